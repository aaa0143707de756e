"""Every wrong rule for a normalisation hands on what its words say."""

import numpy as np
import pytest
from handed_rules import G, N, Z, by_words, handed, same

from gradcheck.diagnose.wrong_shares import wrong_normalisations, wrong_shares


def softmax_loss(W):
    E = np.exp(W)
    P = E / E.sum(axis=1, keepdims=True)
    return np.sum(P * G)


def softmax_loss_indexed(W):
    E = np.exp(W)
    P = E / np.sum(E, axis=1)[:, None]
    return np.sum(P * G)


def softmax_loss_reshaped(W):
    E = np.exp(W)
    P = E / np.expand_dims(E.sum(axis=1), 1).reshape(3, 1)
    return np.sum(P * G)


@pytest.mark.parametrize("loss", [softmax_loss, softmax_loss_indexed, softmax_loss_reshaped])
def test_a_normalisation_differentiated_wrongly_as_a_whole(loss):
    here, pool = handed(loss, "divide", {"W": Z}, data={"Q": N})
    E = np.exp(Z)
    T = E.sum(axis=1, keepdims=True)
    P = E / T

    def through(summed):
        # what reaches the numerator through its sum is handed on besides
        return (G - summed) / T + (G * P).sum(1, keepdims=True) / T

    found = by_words(wrong_normalisations(here, pool))
    same(found["takes the diagonal of the Jacobian alone"], here, through(G * P))
    same(found["subtracts sum(g), not sum(g p)"], here, through(G.sum(1, keepdims=True)))
    same(found["adds sum(g p)"], here, through(-(G * P).sum(1, keepdims=True)))
    same(
        found["subtracts the mean of g p, not its sum"],
        here,
        through((G * P).mean(1, keepdims=True)),
    )
    same(found["subtracts p sum(g p)"], here, through(P * (G * P).sum(1, keepdims=True)))
    over = "is normalised over axis 0, not that of the sum"
    same(found[over], here, through((G * P).sum(0, keepdims=True)))
    both = "is normalised over axis 0 and 1, not that of the sum"
    same(found[both], here, through((G * P).sum()))
    exchanged = found["is computed with Q itself in place of its own result"]
    whole = N * (G - (G * N).sum(1, keepdims=True)) / (P * T)
    same(exchanged, here, whole + (G * P).sum(1, keepdims=True) / T)
    assert {words: w.cause for words, w in found.items() if w.other is None} == {
        over: "wrong_axis",
        both: "wrong_axis",
        "takes the diagonal of the Jacobian alone": "term_missing",
        "subtracts sum(g), not sum(g p)": "factor_missing",
        "adds sum(g p)": "sign",
        "subtracts the mean of g p, not its sum": "batch_divided_twice",
        "subtracts p sum(g p)": "extra_factor",
        "is computed with Q itself in place of its own result": "stale_value",
        **{words: "stale_value" for words in found if "itself" in words or "transpose" in words},
    }


def test_no_quotient_but_that_by_its_own_sum_is_a_normalisation():
    def other(W):
        return np.sum(np.exp(W) / np.sum(np.exp(2 * W), axis=1, keepdims=True) * G)

    here, pool = handed(other, "divide", {"W": Z})
    assert list(wrong_normalisations(here, pool)) == []
    here, pool = handed(lambda W: np.sum(W / N * G), "divide", {"W": Z})
    assert list(wrong_normalisations(here, pool)) == []


@pytest.mark.parametrize("axis", [1, -2, None, (0, 1)])
def test_other_shares_of_a_sum_of_exponentials(axis):
    def loss(W):
        return np.sum(np.log(np.sum(np.exp(W), axis=axis)) * 2.0)

    here, pool = handed(loss, "exp", {"W": Z}, data={"Q": N})
    found = by_words(wrong_shares(here, pool))
    total = np.exp(Z).sum(axis=axis, keepdims=True)
    arriving = np.broadcast_to(2.0 / total, Z.shape)
    same(found["is computed with Q itself in place of its own result"], here, arriving * total * N)
    powers = np.exp(N)
    same(
        found["is computed with the shares of exp of Q itself in place of its own result"],
        here,
        arriving * total * powers / powers.sum(axis=axis, keepdims=True),
    )


@pytest.mark.parametrize("statistic", [np.mean, np.max, np.prod])
def test_a_quotient_by_another_statistic_is_no_normalisation(statistic):
    def loss(W):
        E = np.exp(W)
        return np.sum(E / statistic(E, axis=1, keepdims=True) * G)

    here, pool = handed(loss, "divide", {"W": Z})
    assert list(wrong_normalisations(here, pool)) == []


def test_the_divisor_and_a_whole_that_is_not_broadcast_are_no_normalisation():
    here, pool = handed(softmax_loss, "divide", {"W": Z}, operand=1)
    assert list(wrong_normalisations(here, pool)) == []

    def same_shape(W):
        E = np.exp(W)
        return np.sum(E / E.sum(axis=0, keepdims=True) * G[:1])

    here, pool = handed(same_shape, "divide", {"W": Z[:1]})
    assert list(wrong_normalisations(here, pool)) == []


def test_a_value_below_zero_is_no_share():
    here, pool = handed(softmax_loss, "divide", {"W": Z}, data={"Q": N, "S": Z})
    found = by_words(wrong_normalisations(here, pool))
    assert "is computed with Q itself in place of its own result" in found
    assert "is computed with S itself in place of its own result" not in found


def test_an_exponential_that_is_not_summed_has_no_shares():
    here, pool = handed(lambda W: np.sum(np.exp(W) * G), "exp", {"W": Z}, data={"Q": N})
    assert list(wrong_shares(here, pool)) == []
    here, pool = handed(lambda W: np.sum(np.sum(np.sin(W), axis=1) * 2.0), "sin", {"W": Z})
    assert list(wrong_shares(here, pool)) == []
