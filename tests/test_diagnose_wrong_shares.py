"""Every wrong rule for a normalisation hands on what its words say."""

from dataclasses import replace

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


def test_a_vector_has_no_other_axis_to_be_normalised_over():
    def loss(W):
        E = np.exp(W)
        return np.sum(E / np.sum(E) * G[0])

    here, pool = handed(loss, "divide", {"W": Z[0].copy()})
    found = by_words(wrong_normalisations(here, pool))
    assert "adds sum(g p)" in found
    assert not any("is normalised over" in words for words in found)


def test_shares_of_a_block_are_taken_over_the_axes_of_the_sum():
    cube = np.random.default_rng(4).normal(size=(2, 3, 2))
    weights = np.random.default_rng(5).normal(size=(2, 3, 2))

    def loss(W):
        E = np.exp(W)
        return np.sum(E / E.sum(axis=(0, 2), keepdims=True) * weights)

    here, pool = handed(loss, "divide", {"W": cube})
    E = np.exp(cube)
    T = E.sum((0, 2), keepdims=True)
    P = E / T
    found = by_words(wrong_normalisations(here, pool))
    own = (weights * P).sum((0, 2), keepdims=True)
    same(found["adds sum(g p)"], here, (weights + own + own) / T)
    over = {words for words in found if words.startswith("is normalised over axis")}
    assert over == {
        f"is normalised over axis {axes}, not that of the sum"
        for axes in ("0", "1", "2", "0 and 1", "1 and 2", "0 and 1 and 2")
    }
    one = (weights * P).sum(1, keepdims=True)
    same(found["is normalised over axis 1, not that of the sum"], here, (weights - one + own) / T)


def test_zero_is_a_share_and_its_own_result_is_none_of_anothers():
    some = np.where(N > 0.8, 0.0, N)
    assert (some == 0).any()
    here, pool = handed(softmax_loss, "divide", {"W": Z}, data={"Q": some})
    found = list(wrong_normalisations(here, pool))
    assert "is computed with Q itself in place of its own result" in {w.words for w in found}
    others = {wrong.other for wrong in found} - {None}
    assert others
    assert not others & set(here.runs)


def no_sum(W):
    E = np.exp(W)
    return np.sum(E / N[:, :1] * G)


def of_one(W):
    E = np.exp(W[:, :1])
    return np.sum(E / E.sum(axis=1, keepdims=True) * G[:, :1])


def of_another(W):
    E = np.exp(W)
    return np.sum((E + 1.0) / E.sum(axis=1, keepdims=True) * G)


def of_the_logarithm(W):
    E = np.exp(W)
    return np.sum(E / np.sum(W, axis=1, keepdims=True) * G)


def of_a_column(W):
    return np.sum(np.exp(W) / W[:, :1] * G)


@pytest.mark.parametrize("loss", [no_sum, of_one, of_another, of_the_logarithm, of_a_column])
def test_what_is_divided_by_anything_else_is_not_normalised(loss):
    here, pool = handed(loss, "divide", {"W": Z})
    assert list(wrong_normalisations(here, pool)) == []


def test_a_product_with_a_sum_is_no_normalisation():
    here, pool = handed(softmax_loss, "divide", {"W": Z})
    product = replace(here, operation=replace(here.operation, name="multiply"))
    assert list(wrong_normalisations(product, pool)) == []
    slashed = replace(here, operation=replace(here.operation, name="true_divide"))
    assert list(wrong_normalisations(slashed, pool)) != []


def test_a_sum_of_a_parameter_itself_is_a_normalisation():
    here, pool = handed(lambda W: np.sum(W / W.sum(axis=1, keepdims=True) * G), "divide", {"W": N})
    assert "adds sum(g p)" in by_words(wrong_normalisations(here, pool))


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (lambda W: np.sum(np.sin(np.exp(W))), "exp"),
        (lambda W: np.sum(np.sum(np.cosh(W), axis=1) * 2.0), "cosh"),
        (lambda W: np.sum(np.mean(np.exp(W), axis=1) * 2.0), "exp"),
    ],
)
def test_only_what_is_exponentiated_and_summed_has_shares(loss, name):
    here, pool = handed(loss, name, {"W": Z}, data={"Q": N})
    assert list(wrong_shares(here, pool)) == []


def test_an_exponential_that_has_another_use_besides():
    def loss(W):
        E = np.exp(W)
        return np.sum(E * G) + np.sum(np.sum(E, axis=1))

    here, pool = handed(loss, "exp", {"W": Z}, data={"Q": N})
    words = "is computed with Q itself in place of its own result"
    arriving = G + 1.0
    total = np.exp(Z).sum(axis=1, keepdims=True)
    same(by_words(wrong_shares(here, pool))[words], here, arriving * total * N)
