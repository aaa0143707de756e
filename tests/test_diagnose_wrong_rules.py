"""Every wrong rule hands on what its words say: formulas, powers, masks, sums, factors, shares.

The words of a formula are themselves the closed form that the rule is held against.
"""

import re

import numpy as np
import pytest

from gradcheck.diagnose.evidence import Evidence
from gradcheck.diagnose.flow import Flow
from gradcheck.diagnose.graph import graph_of
from gradcheck.diagnose.pool import Pool
from gradcheck.diagnose.wrong import wrong_extremes, wrong_ignored, wrong_slopes
from gradcheck.diagnose.wrong_products import wrong_matrix_products, wrong_products
from gradcheck.diagnose.wrong_shares import wrong_normalisations, wrong_shares
from gradcheck.diagnose.wrong_sums import wrong_broadcasts, wrong_reductions
from gradcheck.tracing import trace

generator = np.random.default_rng(41)
Z = generator.normal(size=(3, 4)).round(2)
G = generator.normal(size=(3, 4)).round(2)
M = generator.normal(size=(4, 4)).round(2)
N = np.abs(generator.normal(size=(3, 4))).round(2) + 0.3
V = generator.normal(size=4).round(2)
ALL = slice(None)


def handed(loss, name, parameters, operand=0, data=None, occurrence=0):
    """What the named operation of a loss hands to one operand, and the values around."""
    traced = trace(loss, (), parameters, parameters)
    flow = Flow(traced, graph_of(traced))
    known = Evidence(
        names=tuple(parameters), values=parameters, analytic=parameters, reference=parameters,
        uncertainty=parameters, failing={}, data=data or {}, trace=traced,
    )  # fmt: skip
    found = [h for h in flow.handings() if h.operation.name == name and h.operand == operand]
    return found[occurrence], Pool(flow, known)


def by_words(wrongs):
    """The rules by what they say, up to the first remark."""
    found = {}
    for wrong in wrongs:
        found.setdefault(wrong.words, wrong)
    return found


def gives(wrong, here):
    (result,) = wrong.rule(here.cotangent, ALL)
    return result


def same(wrong, here, expected):
    np.testing.assert_allclose(gives(wrong, here), expected, rtol=1e-12, atol=1e-13)


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


# Products


def test_a_factor_to_another_power():
    here, pool = handed(lambda W: np.sum(W * N * G), "multiply", {"W": Z})
    found = by_words(wrong_products(here, pool))
    for words, power in {
        "its square root": 0.5, "its square": 2, "its third power": 3, "its inverse": -1,
    }.items():  # fmt: skip
        same(found[f"is multiplied by {words} in place of the other factor"], here, G * N**power)
    assert "is multiplied by 1 in place of the other factor" not in found
    causes = [w.cause for w in found.values()][:4]
    assert causes == ["factor_missing", "extra_factor", "extra_factor", "stale_value"]


def test_a_negative_factor_has_no_root_and_a_broadcast_one_may_be_left_out():
    here, pool = handed(lambda W: np.sum(W * V * G), "multiply", {"W": Z})
    assert not any("square root" in words for words in by_words(wrong_products(here, pool)))
    here, pool = handed(lambda b: np.sum(b * Z * G), "multiply", {"b": V})
    found = by_words(wrong_products(here, pool))
    same(found["is multiplied by 1 in place of the other factor"], here, G.sum(0))
    same(found["is multiplied by its square in place of the other factor"], here, (G * Z**2).sum(0))


def test_another_value_in_place_of_a_factor_or_a_divisor():
    here, pool = handed(lambda W: np.sum(W * N * G), "multiply", {"W": Z}, data={"X": G})
    found = by_words(wrong_products(here, pool))
    same(found["is multiplied by X itself in place of the other factor"], here, G * G)
    here, pool = handed(lambda W: np.sum(W / N * G), "divide", {"W": Z}, data={"X": G})
    found = by_words(wrong_products(here, pool))
    same(found["is divided by X itself in place of the divisor"], here, np.ones((3, 4)))
    same(found["is divided by its square in place of the divisor"], here, G / N**2)
    same(found["is divided by its inverse in place of the divisor"], here, G * N)
    here, pool = handed(lambda D: np.sum(G / D), "divide", {"D": N}, operand=1, data={"X": Z})
    found = by_words(wrong_products(here, pool))
    same(found["is multiplied by X itself in place of the numerator"], here, -Z / N**2)


def test_one_number_in_every_entry_is_no_factor_to_raise():
    here, pool = handed(lambda W: np.sum(W * np.full((3, 4), 2.0) * G), "multiply", {"W": Z})
    assert not any("square" in words for words in by_words(wrong_products(here, pool)))


@pytest.mark.parametrize(
    ("parameter", "operand", "loss", "right"),
    [
        (Z, 0, lambda W: np.sum((W @ M) * G), lambda F: G @ F.T),
        (M, 1, lambda W: np.sum((Z @ W) * G), lambda F: F.T @ G),
        (V, 1, lambda W: np.sum((Z @ W) * U), lambda F: F.T @ U),
        (U0 := np.array([0.4, -1.1, 0.8]), 0, lambda W: np.sum((W @ Z) * V), lambda F: F @ V),
    ],
)
def test_another_matrix_in_place_of_the_factor_of_a_product(parameter, operand, loss, right):
    here, pool = handed(loss, "matmul", {"W": parameter}, operand)
    factor = here.operands[1 - operand][0]
    found = by_words(wrong_matrix_products(here, pool))
    same(
        found["is multiplied by the squares of the entries of the other factor of the product"],
        here,
        right(factor**2),
    )
    same(
        found[
            "is multiplied by the absolute values of the entries of the other factor of the product"
        ],
        here,
        right(np.abs(factor)),
    )
    turned = "is multiplied by the transpose of the other factor of the product"
    assert (turned in found) == (factor.shape[0] == factor.shape[1])
    if turned in found:
        same(found[turned], here, right(factor.T))
        assert found[turned].cause == "transpose"


U = np.array([0.9, 0.2, -0.7])


def test_another_vector_in_place_of_the_factor_of_a_scalar_product():
    here, pool = handed(lambda W: 3.0 * (W @ V), "matmul", {"W": Z[0].copy()}, data={"X": Z[1]})
    found = by_words(wrong_matrix_products(here, pool))
    same(found["is multiplied by X itself in place of the other factor"], here, 3.0 * Z[1])


def test_the_gradient_of_a_square_product_transposed():
    here, pool = handed(lambda W: np.sum((M @ W) * M), "matmul", {"W": M.T.copy()}, 1)
    found = by_words(wrong_matrix_products(here, pool))
    same(found["is used transposed"], here, M.T @ M.T)


# Sums


SUMMED = {
    "summed": lambda a, axes: a.sum(axes),
    "averaged": lambda a, axes: a.mean(axes),
    "reduced to its last entry": lambda a, axes: a[-1],
    "reduced to its first entry": lambda a, axes: a[0],
    "reduced to its largest entry": lambda a, axes: np.take_along_axis(
        a, np.abs(a).argmax(axes)[None], axes
    )[0],
}


def test_a_broadcast_operand_gets_another_sum():
    here, _ = handed(lambda b: np.sum((Z + b) * G), "add", {"b": V}, 1)
    found = by_words(wrong_broadcasts(here))
    for words, reduce in SUMMED.items():
        name = f"is {words} over axis 0 instead of summed over the axes of the broadcast"
        if words == "summed":
            assert name not in found
            continue
        same(found[name], here, reduce(G, 0))
        assert found[name].cause == (
            "batch_divided_twice" if words == "averaged" else "factor_missing"
        )
    assert len(found) == 4


@pytest.mark.parametrize(
    ("loss", "slope", "operand"),
    [
        (lambda b: np.sum((M + b) * N4), 1.0, 1),
        (lambda b: np.sum((b - M) * N4), 1.0, 0),
        (lambda b: np.sum((M - b) * N4), -1.0, 1),
        (lambda b: np.sum((M * b) * N4), M, 1),
        (lambda b: np.sum((b / (M + 9.0)) * N4), 1 / (M + 9.0), 0),
    ],
)
def test_a_broadcast_operand_of_a_square_is_summed_over_the_other_axis(loss, slope, operand):
    name = {0: "subtract", 1: "add"}[operand]
    for name in ("add", "subtract", "multiply", "divide"):
        try:
            here, _ = handed(loss, name, {"b": V}, operand)
        except IndexError:
            continue
        if here.cotangent.shape[1:] == (4, 4) and here.right.shape[1:] == (4,):
            break
    found = by_words(wrong_broadcasts(here))
    wrong = found["is summed over axis 1 instead of summed over the axes of the broadcast"]
    assert wrong.cause == "wrong_axis"
    same(wrong, here, (N4 * slope).sum(1))
    mean = found["is averaged over axis 1 instead of summed over the axes of the broadcast"]
    same(mean, here, (N4 * slope).mean(1))


N4 = generator.normal(size=(4, 4)).round(2)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("name", ["sum", "mean"])
def test_a_sum_handed_back_along_another_axis(name, size, keepdims):
    function, v = getattr(np, name), V[:size]
    weight = 1.0 if name == "sum" else 1.0 / size
    here, _ = handed(
        lambda W: np.sum(function(W, axis=0, keepdims=keepdims) * v), name, {"W": M[:size, :size]}
    )
    found = by_words(wrong_reductions(here))
    assert set(found) == {"is spread along axis 0", "is spread along axis 1"}
    wide = (size, size)
    same(found["is spread along axis 0"], here, np.broadcast_to(v * weight, wide))
    same(found["is spread along axis 1"], here, np.broadcast_to(v[:, None] * weight, wide))


def test_a_sum_of_everything_or_of_a_vector_has_no_other_axis():
    for loss in (lambda W: 2.0 * np.sum(W), lambda W: np.sum(np.sum(W[:1, 0]) * 2.0)):
        here, _ = handed(loss, "sum", {"W": M})
        assert by_words(wrong_reductions(here)) == {}


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_a_cumulative_sum_handed_back_wrongly(axis):
    here, _ = handed(lambda W: np.sum(np.cumsum(W, axis=axis) * G), "cumsum", {"W": Z})
    found = by_words(wrong_reductions(here))
    backwards = np.flip(np.cumsum(np.flip(G, axis), axis), axis)
    same(found["is handed on entry by entry, not summed"], here, G)
    same(found["is summed forwards along the axis, not backwards"], here, np.cumsum(G, axis))
    same(found["is summed backwards without its own entry"], here, backwards - G)
    same(
        found["is summed over the whole axis"],
        here,
        np.broadcast_to(G.sum(axis, keepdims=True), G.shape),
    )
    assert [w.cause for w in wrong_reductions(here)] == [
        *("term_missing", "wrong_axis", "term_missing", "wrong_axis"),
    ]


# Shares


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
