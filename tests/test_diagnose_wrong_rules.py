"""Every wrong rule hands on what its words say: formulas, powers, masks.

The words of a formula are themselves the closed form that the rule is held against.
"""

import re

import numpy as np
import pytest
from handed_rules import G, N, Z, by_words, handed, same

from gradcheck.diagnose.evidence import Evidence
from gradcheck.diagnose.flow import Flow
from gradcheck.diagnose.graph import graph_of
from gradcheck.diagnose.pool import Pool
from gradcheck.diagnose.wrong import wrong_extremes, wrong_ignored, wrong_slopes
from gradcheck.tracing import trace

NAMES = {
    **{name: getattr(np, name) for name in ("exp", "cos", "sin", "tanh", "sqrt", "sign")},
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
}


def evaluated(words, **values):
    """The value of a formula as it stands in a message."""
    text = words.replace("the sign of z", "sign(z)").replace(" alone", " + 0 * z")
    text = re.sub(r"(?<=[p)\d]) (?=[znd])", " * ", text)
    return eval(text, NAMES, values)


FORMULAS = (
    *("y", "y - 1", "y + 1", "1 - y", "1 - y**2", "1 + y**2", "y * (1 - y)", "y * (1 + y)"),
    *("y**2", "1 / y", "y > 0", "z", "2 z", "z**2", "1 / z", "1 / z**2", "1 - z", "z > 0"),
    *("z < 0", "the sign of z", "exp(z)", "sigmoid(z)", "sigmoid(z) * (1 - sigmoid(z))"),
    *("tanh(z)", "1 - tanh(z)**2", "1 - tanh(z)", "cos(z)", "sin(z)", "1 / (1 + z**2)"),
    *("1 - z**2", "z * (1 - z)", "0.5 alone", "2 alone", "-0.5 alone", "-2 alone"),
)
FIRST = {"y", "1 - y", "1 - y**2", "y * (1 - y)", "1 + y**2", "z > 0"}


def formulas(wrongs):
    """The rules that multiply by a formula, by that formula."""
    found = {}
    for wrong in wrongs:
        match = re.match(r"is multiplied by (.*), which is not the derivative there$", wrong.words)
        if match:
            found[match[1].replace(" (z goes in, y comes out)", "")] = wrong
    return found


@pytest.mark.parametrize("function", [np.sin, np.exp, np.tanh])
def test_a_formula_for_a_derivative(function):
    here, pool = handed(lambda W: np.sum(function(W) * G), function.__name__, {"W": Z})
    found = formulas(wrong_slopes(here, pool))
    assert tuple(found) == FORMULAS
    for words, wrong in found.items():
        same(wrong, here, G * evaluated(words, z=Z, y=function(Z)))
        assert wrong.rank == (0 if words in FIRST else 2)
        stale = words in ("1 - z**2", "z * (1 - z)")
        assert wrong.cause == ("stale_value" if stale else "activation_derivative_wrong")
        assert wrong.remedy.startswith("Multiply by the derivative: ")


def test_where_a_sum_goes_in_its_terms_are_no_formula():
    traced = trace(lambda W: np.sum(np.tanh(W + 1.0) * G), (Z,), {}, {"W": Z})
    flow = Flow(traced, graph_of(traced))
    (chain,) = [here for here in flow.activations() if len(here.chains[0]) == 2]
    known = Evidence(("W",), {"W": Z}, {"W": Z}, {"W": Z}, {"W": Z}, {}, trace=traced)
    found = formulas(wrong_slopes(chain, Pool(flow, known)))
    assert "1 - y" in found
    assert "1 - z" not in found
    same(found["1 - y"], chain, G * (1 - np.tanh(Z + 1)))
    np.testing.assert_array_equal(chain.own[0], Z)


def test_an_inverse_of_zero_is_zero():
    zero = np.where(np.abs(Z) < 0.5, 0.0, Z)
    assert (zero == 0).any()
    here, pool = handed(lambda W: np.sum(np.sin(W) * G), "sin", {"W": zero})
    found = formulas(wrong_slopes(here, pool))
    inverse = np.where(zero == 0, 0.0, 1 / np.where(zero == 0, 1.0, zero))
    same(found["1 / z"], here, G * inverse)
    same(found["1 / z**2"], here, G * inverse**2)


@pytest.mark.parametrize("exponent", [3.0, np.array([2.5, 3.0, 1.5, 2.0])])
def test_an_exponent_off_by_one(exponent):
    here, pool = handed(lambda W: np.sum(np.power(W, exponent) * G), "power", {"W": N})
    found = {
        words.removesuffix(" (p is the exponent)"): wrong
        for words, wrong in formulas(wrong_slopes(here, pool)).items()
        if "(p is the exponent)" in words
    }
    assert tuple(found) == (
        *("p z**p", "p z**(p - 2)", "z**p", "p z", "(p - 1) z**(p - 1)", "(p - 1) z**(p - 2)"),
        "(p + 1) z**p",
    )
    for words, wrong in found.items():
        same(wrong, here, G * evaluated(words, z=N, p=exponent))


def test_a_divisor_to_another_power():
    here, pool = handed(lambda D: np.sum(G / D * Z), "divide", {"D": N}, operand=1)
    found = {
        words.removesuffix(" (n is divided by d)"): wrong
        for words, wrong in formulas(wrong_slopes(here, pool)).items()
        if "(n is divided by d)" in words
    }
    assert tuple(found) == (
        *("-n / d", "n / d", "-1 / d", "1 / d", "-1 / d**2", "1 / d**2", "-n", "-n / d**3"),
        *("-2 n / d**3", "-n / sqrt(d)"),
    )
    for words, wrong in found.items():
        same(wrong, here, Z * evaluated(words, n=G, d=N))


def test_masks():
    here, pool = handed(lambda W: np.sum(np.maximum(W, 0.0) * G), "maximum", {"W": Z})
    found = formulas(wrong_slopes(here, pool))
    same(found["the opposite mask"], here, G * (Z <= 0))
    same(found["the mask alone"], here, G * (Z > 0))
    assert "the mask of the other operand" not in found

    here, pool = handed(lambda W: np.sum(np.abs(W) * G), "absolute", {"W": Z})
    found = formulas(wrong_slopes(here, pool))
    same(found["the opposite mask"], here, G * (1 - np.sign(Z)))
    same(found["the mask alone"], here, G)


def test_masks_of_two_that_vary():
    pair = {"W": Z, "U": N}
    here, pool = handed(lambda W, U: np.sum(np.maximum(W, U) * G), "maximum", pair)
    found = formulas(wrong_slopes(here, pool))
    same(found["the mask of the other operand"], here, G * (Z < N))
    assert found["the mask of the other operand"].cause == "stale_value"
    (whole,) = [w for w in wrong_slopes(here, pool) if w.drops_others]
    same(whole, here, G)
    assert whole.cause == "activation_mask_missing"


def test_a_derivative_taken_at_another_value():
    data = {"X": N}
    here, pool = handed(lambda W: np.sum(np.tanh(np.sin(W) * 1.5) * G), "tanh", {"W": Z}, data=data)
    taken = [w for w in wrong_slopes(here, pool) if "taken at X itself" in w.words]
    expected = [G * (1 - N**2), G * (1 - np.tanh(N) ** 2)]
    assert len(taken) >= 2
    for wrong, value in zip(taken, expected, strict=False):
        same(wrong, here, value)
        assert wrong.cause == "stale_value"
    assert any("np.sin(W)" in w.words and w.other is not None for w in wrong_slopes(here, pool))


SLOPES_AT = {
    np.exp: [lambda v: v, np.exp],
    np.log: [lambda v: 1 / v],
    np.sqrt: [lambda v: 0.5 / v, lambda v: 0.5 / np.sqrt(v)],
    np.square: [lambda v: 2 * v],
    np.sin: [np.cos],
    np.cos: [lambda v: -np.sin(v)],
    np.abs: [np.sign],
}


@pytest.mark.parametrize("function", SLOPES_AT)
def test_derivatives_as_they_are_written(function):
    other = N.T.reshape(3, 4) - 0.1
    here, pool = handed(
        lambda W: np.sum(function(W * 1.0) * G), function.__name__, {"W": N}, data={"X": other}
    )
    taken = [w for w in wrong_slopes(here, pool) if w.words.endswith("taken at X itself")]
    for wrong, formula in zip(taken, SLOPES_AT[function], strict=False):
        same(wrong, here, G * formula(other))


def test_a_square_of_a_difference_taken_at_what_it_was_taken_from():
    here, pool = handed(lambda W: np.sum(np.square(W - 0.5) * G), "square", {"W": Z})
    found = next(w for w in wrong_slopes(here, pool) if w.words.endswith("taken at W itself"))
    assert found.cause == "term_missing"
    same(found, here, 2 * G * Z)


def test_a_mask_ignored_also_in_a_square():
    def loss(W):
        A = np.maximum(W, 0.0)
        return np.sum(A * A * G) + np.sum(A**2 * N)

    here, _ = handed(loss, "maximum", {"W": Z})
    (wrong,) = list(wrong_ignored(here))
    A = np.maximum(Z, 0.0)
    arriving = 2 * A * (G + N)
    # the squares are differentiated at W itself: 2 W in place of 2 A
    same(wrong, here, arriving + (2 * G + 2 * N) * (Z - A))
    assert wrong.cause == "activation_mask_missing"
    plain, _ = handed(lambda W: np.sum(np.maximum(W, 0.0) * G), "maximum", {"W": Z})
    assert list(wrong_ignored(plain)) == []


def test_an_extreme_spread_as_a_mean():
    here, _ = handed(lambda W: 3.0 * np.max(W), "max", {"W": Z})
    (wrong,) = wrong_extremes(here)
    same(wrong, here, np.full((3, 4), 3.0 / 12))
    rows, _ = handed(lambda W: np.sum(np.max(W, axis=1)), "max", {"W": Z})
    assert list(wrong_extremes(rows)) == []


# The derivative at another value


@pytest.mark.parametrize("shown", [G, G * (Z > 0)], ids=["everywhere", "where something arrives"])
def test_a_formula_that_is_right_is_taken_at_another_value(shown):
    """``arctan`` has no form of its own: the one that fits is looked up."""
    other = Z * 0.5 + 1.0
    here, pool = handed(
        lambda W: np.sum(np.arctan(W) * shown), "arctan", {"W": Z}, data={"M": other}
    )
    found = [
        w for w in wrong_slopes(here, pool) if w.words.endswith("derivative, taken at M itself")
    ]
    (wrong,) = found
    np.testing.assert_allclose(wrong.rule(here.cotangent, slice(None))[0], shown / (1 + other**2))
    sine, pool = handed(lambda W: np.sum(np.sinh(W) * G), "sinh", {"W": Z}, data={"M": other})
    assert not [w for w in by_words(wrong_slopes(sine, pool)) if "taken at M itself" in w]


@pytest.mark.parametrize("shift", [lambda W: W - 0.5, lambda W: 0.5 + W, lambda W: W * 1.5])
def test_a_square_at_its_value_before_a_shift_lacks_a_term(shift):
    """At any other value it is merely a stale one, and so it is where nothing was shifted."""
    here, pool = handed(
        lambda W: np.sum(shift(W) ** 2 * G), "power", {"W": Z}, data={"X": G, "Y": Z[:, :1]}
    )
    causes = {wrong.words: wrong.cause for wrong in wrong_slopes(here, pool)}
    before = causes["is multiplied by its derivative, taken at W itself"]
    assert before == ("stale_value" if shift(2.0) == 3.0 else "term_missing")
    assert causes["is multiplied by its derivative, taken at X itself"] == "stale_value"
