"""Where wrong slopes are offered and where not: zeros, overflow, broadcasts, runs, other values."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from handed_rules import ALL, G, N, Z, by_words, gives, handed, same
from scipy.special import expit

from gradcheck.diagnose.flow import Flow, Handing
from gradcheck.diagnose.graph import graph_of
from gradcheck.diagnose.wrong import wrong_extremes, wrong_ignored, wrong_slopes
from gradcheck.tracing import trace

FEW = np.array([[-2.0, 0.0, 3.0, 1.0]])
ARRIVING = np.array([[5.0, 7.0, -2.0, 4.0]])


def formula(words):
    return f"is multiplied by {words}, which is not the derivative there"


def renamed(here, name):
    return replace(here, operation=replace(here.operation, name=name))


def taken_at(here, pool, name="X itself"):
    """What the derivative hands on, taken at another value: of each of its forms."""
    return [w for w in wrong_slopes(here, pool) if w.words.endswith(f"derivative, taken at {name}")]


# Formulas


@pytest.mark.parametrize(
    ("words", "slope"),
    [
        ("y > 0", [1, 0, 1, 1]), ("z > 0", [0, 0, 1, 1]), ("z < 0", [1, 0, 0, 0]),
        ("the sign of z", [-1, 0, 1, 1]), ("1 / y", [1 / 4, 0, 1 / 9, 1]),
        ("1 / z", [-1 / 2, 0, 1 / 3, 1]), ("1 / z**2", [1 / 4, 0, 1 / 9, 1]),
    ],
)  # fmt: skip
def test_zero_is_neither_above_nor_below_and_has_no_inverse(words, slope):
    here, pool = handed(lambda W: np.sum(np.square(W) * ARRIVING), "square", {"W": FEW})
    wrong = by_words(wrong_slopes(here, pool))[formula(f"{words} (z goes in, y comes out)")]
    same(wrong, here, ARRIVING * slope)


def test_what_overflows_says_nothing_where_nothing_arrives():
    large = np.array([[1000.0, 0.0, -1000.0]])
    here, pool = handed(
        lambda W: np.sum(np.sin(W) * np.array([0.0, 2.0, 3.0])), "sin", {"W": large}
    )
    found = by_words(wrong_slopes(here, pool))
    same(found[formula("exp(z) (z goes in, y comes out)")], here, [[0.0, 2.0, 0.0]])
    same(found[formula("sigmoid(z) (z goes in, y comes out)")], here, [[0.0, 1.0, 0.0]])


def test_a_slope_is_that_of_one_number_for_each():
    """Not of what is linear, broadcast or written, nor where operands differ between runs."""
    here, pool = handed(lambda W: np.sum(np.negative(W) * G), "negative", {"W": Z})
    assert list(wrong_slopes(here, pool)) == []
    here, pool = handed(lambda b: np.sum(np.maximum(b, Z) * G), "maximum", {"b": Z[0]})
    assert list(wrong_slopes(here, pool)) == []
    assert list(wrong_ignored(here)) == []
    here, pool = handed(lambda W: np.sum(np.maximum(W, 0.0) * G), "maximum", {"W": Z})
    assert list(wrong_slopes(renamed(here, "putmask"), pool)) == []
    assert list(wrong_slopes(renamed(here, "add"), pool)) == []
    assert list(wrong_slopes(renamed(here, "divide"), pool)) == []  # a numerator's slope
    assert list(wrong_slopes(renamed(here, "fabs"), pool)) != []
    differing = SimpleNamespace(
        graph=here.flow.graph, operands=lambda index: (Z,) * (1 + index), value=here.flow.value
    )
    twice = replace(here, runs=(here.runs[0], here.runs[0] + 1), flow=differing)
    assert list(wrong_slopes(twice, pool)) == []
    assert list(wrong_ignored(twice)) == []
    wide = SimpleNamespace(graph=here.flow.graph, operands=lambda _: (Z[0],), value=here.flow.value)
    assert list(wrong_slopes(replace(here, flow=wide), pool)) == []
    assert list(wrong_ignored(replace(here, flow=wide))) == []


def test_the_slopes_of_two_runs():
    """Each run has its own: what the first gets says nothing of the second."""

    def loss(W):
        total = 0.0
        for k in range(2):
            total = total + np.sum(np.power(W, 2.0 + k) * G)
        return total

    (here,) = [h for h in _handings(loss, W=N) if len(h.runs) == 2 and h.operation.name == "power"]
    found = by_words(wrong_slopes(here, _nothing()))
    both = found[formula("p z**p (p is the exponent)")].rule(here.cotangent, ALL)
    np.testing.assert_allclose(both, [2 * G * N**2, 3 * G * N**3])
    second = found[formula("p z (p is the exponent)")].rule(here.cotangent[1:], slice(1, 2))
    np.testing.assert_allclose(second, [3 * G * N])


def _handings(loss, **values):
    traced = trace(loss, (), values, values)
    return list(Flow(traced, graph_of(traced)).handings())


def _nothing():
    return SimpleNamespace(of_shape=lambda *_: ())


@pytest.mark.parametrize("name", ["power", "float_power"])
def test_formulas_of_a_power_are_about_its_base(name):
    here, pool = handed(lambda W: np.sum(np.power(W, 3.0) * G), "power", {"W": N})
    words = formula("(p - 1) z**(p - 2) (p is the exponent)")
    same(by_words(wrong_slopes(renamed(here, name), pool))[words], here, G * 2 * N)
    here, pool = handed(lambda p: np.sum(np.power(N, p) * G), "power", {"p": N}, operand=1)
    assert words not in by_words(wrong_slopes(renamed(here, name), pool))
    sine, pool = handed(lambda W: np.sum(np.sin(W) * G), "sin", {"W": N})
    assert words not in by_words(wrong_slopes(renamed(sine, name), pool))


# The derivative taken at another value

SIGMOID = [lambda v: v * (1 - v), lambda v: expit(v) * (1 - expit(v))]
MASK = [lambda v: v > 0, lambda v: v <= 0]


@pytest.mark.parametrize(
    ("function", "name", "forms"),
    [
        (expit, "expit", SIGMOID), (expit, "sigmoid", SIGMOID),
        (np.tanh, "tanh", [lambda v: 1 - v**2, lambda v: 1 - np.tanh(v) ** 2]),
        (np.fabs, "fabs", [np.sign]), (np.fabs, "abs", [np.sign]),
        (np.absolute, "absolute", [np.sign]),
        (np.square, "square", [lambda v: 2 * v]), (np.cos, "cos", [lambda v: -np.sin(v)]),
        (np.sqrt, "sqrt", [lambda v: 0.5 / v, lambda v: 0.5 / np.sqrt(np.abs(v))]),
    ],
)  # fmt: skip
def test_every_form_of_a_derivative_is_taken_at_another_value(function, name, forms):
    other = N.T.reshape(3, 4) - 0.6
    assert (other < 0).any()
    here, pool = handed(
        lambda W: np.sum(function(W * 1.0) * G), function.__name__, {"W": N}, data={"X": other}
    )
    found = taken_at(renamed(here, name), pool)
    assert len(found) >= len(forms)
    for wrong, form in zip(found, forms, strict=False):
        same(wrong, here, G * form(other))
        assert (wrong.cause, wrong.other) == ("stale_value", None)


@pytest.mark.parametrize("name", ["maximum", "minimum", "clip", "where"])
def test_a_mask_is_taken_at_another_value(name):
    here, pool = handed(
        lambda W: np.sum(np.maximum(W, 1.0) * ARRIVING), "maximum", {"W": FEW}, data={"X": FEW - 1}
    )
    found = taken_at(renamed(here, name), pool)[:2]
    same(found[0], here, ARRIVING * [0, 0, 1, 0])
    same(found[1], here, ARRIVING * [1, 1, 0, 1])


@pytest.mark.parametrize(("exponent", "square"), [(2.0, True), (3.0, False)])
@pytest.mark.parametrize("name", ["power", "float_power"])
def test_the_power_of_two_is_a_square(exponent, square, name):
    here, pool = handed(
        lambda W: np.sum(np.power(W, exponent) * G), "power", {"W": N}, data={"X": Z}
    )
    first = [gives(wrong, here) for wrong in taken_at(renamed(here, name), pool)][:1]
    assert any(np.allclose(value, 2 * Z * G) for value in first) is square


@pytest.mark.parametrize("size", [1.0, 1e-12])
def test_a_formula_of_the_result_that_is_right_is_taken_at_another_value(size):
    """The tangent has no form of its own: ``1 + y**2`` fits, however little arrives."""
    here, pool = handed(lambda W: np.sum(np.tan(W) * G * size), "tan", {"W": N}, data={"X": Z})
    (wrong,) = taken_at(here, pool)
    np.testing.assert_allclose(gives(wrong, here), G * size * (1 + Z**2), rtol=1e-12)


def test_where_nothing_arrives_no_formula_is_right():
    """Though ``z < 0`` is zero everywhere as well."""
    here, pool = handed(lambda W: np.sum(np.arctan(W) * 0.0 * G), "arctan", {"W": N}, data={"X": Z})
    assert not here.cotangent.any()
    assert taken_at(here, pool) == []


def test_a_square_of_a_parameter_at_another_value_is_a_stale_one():
    here, pool = handed(lambda W: np.sum(np.square(W) * G), "square", {"W": N}, data={"X": Z})
    assert {wrong.cause for wrong in taken_at(here, pool)} == {"stale_value"}


def test_only_a_square_lacks_a_term_at_its_value_before_a_shift():
    for function in (np.exp, np.tanh, np.sin):
        name = function.__name__
        here, pool = handed(lambda W, f=function: np.sum(f(W - 0.5) * G), name, {"W": N})
        assert {wrong.cause for wrong in taken_at(here, pool, "W itself")} == {"stale_value"}


def test_its_own_result_is_no_other_value():
    here, pool = handed(lambda W: np.sum(np.sin(np.sin(W)) * G), "sin", {"W": Z}, occurrence=1)
    others = {wrong.other for wrong in wrong_slopes(here, pool)} - {None}
    assert others
    assert not others & set(here.runs)


# Masks


def test_the_opposite_of_a_mask_hands_on_the_rest():
    here, pool = handed(
        lambda W: np.sum(np.maximum(W, 0.5) * ARRIVING * [1.0, 0.0, 1.0, 0.0]),
        "maximum", {"W": FEW},
    )  # fmt: skip
    found = by_words(wrong_slopes(here, pool))
    same(found[formula("the opposite mask")], here, [[5.0, 0.0, 0.0, 0.0]])
    same(found[formula("the mask alone")], here, [[0.0, 0.0, -2.0, 0.0]])
    assert found[formula("the opposite mask")].cause == "activation_derivative_wrong"
    assert not any(wrong.drops_others for wrong in found.values())


def ignored(loss, **values):
    here, _ = handed(loss, "maximum", values)
    return [gives(wrong, here) for wrong in wrong_ignored(here)], here.cotangent[0]


@pytest.mark.parametrize("square", [np.square, lambda A: A**2, lambda A: A * A])
def test_an_ignored_mask_is_ignored_in_every_form_of_a_square(square):
    (found,), arriving = ignored(lambda W: np.sum(square(np.maximum(W, 0.5)) * ARRIVING), W=FEW)
    clipped = np.maximum(FEW, 0.5)
    np.testing.assert_allclose(arriving, 2 * clipped * ARRIVING)
    np.testing.assert_allclose(found, 2 * FEW * ARRIVING)


@pytest.mark.parametrize(
    "other",
    [
        lambda A: A**3.0, lambda A: np.exp(A), lambda A: A * FEW, lambda A: 2.0**A,
        lambda A: A * 2.0, lambda A: A + 1.0,
    ],
)  # fmt: skip
def test_other_uses_of_a_masked_result_are_no_square(other):
    assert ignored(lambda W: np.sum(other(np.maximum(W, 0.5)) * ARRIVING), W=FEW)[0] == []


def test_a_square_that_has_no_part_in_the_loss_does_not_count():
    def loss(W):
        A = np.maximum(W, 0.5)
        np.square(A)
        return np.sum(A * ARRIVING)

    assert ignored(loss, W=FEW)[0] == []


def test_only_masks_are_ignored():
    here, _ = handed(lambda W: np.sum(np.sin(W) ** 2 * G), "sin", {"W": Z})
    assert list(wrong_ignored(here)) == []


def test_each_run_ignores_its_own_mask():
    def loss(W):
        total = 0.0
        for k in range(2):
            total = total + np.sum(np.square(np.maximum(W, 0.5)) * ARRIVING) * (1 + k)
        return total

    (here,) = [h for h in _handings(loss, W=FEW) if h.operation.name == "maximum" and h.runs[1:]]
    (wrong,) = wrong_ignored(here)
    weights = np.array([1.0, 2.0])[:, None, None]
    np.testing.assert_allclose(wrong.rule(here.cotangent, ALL), weights * 2 * FEW * ARRIVING)
    second = slice(1, 2)
    np.testing.assert_allclose(wrong.rule(here.cotangent[second], second), [4 * FEW * ARRIVING])


# Extremes


@pytest.mark.parametrize("loss", [lambda W: 3.0 * np.max(W), lambda W: 3.0 * np.max(W, axis=1)[0],
                                  lambda W: np.sum(3.0 * np.max(W, keepdims=True))])  # fmt: skip
def test_an_extreme_of_several_entries_is_spread_evenly(loss):
    here, _ = handed(loss, "max", {"W": FEW})
    (wrong,) = wrong_extremes(here)
    same(wrong, here, np.full((1, 4), 0.75))


@pytest.mark.parametrize(
    ("name", "value", "axis"), [("max", FEW[:, :1], None), ("max", FEW, 0), ("sin", FEW, None)]
)
def test_what_is_no_extreme_of_several_entries_is_not_spread(name, value, axis):
    function = np.sin if name == "sin" else lambda W: np.max(W, axis=axis)
    here, _ = handed(lambda W: np.sum(function(W)), name, {"W": value})
    assert list(wrong_extremes(here)) == []


def test_an_extreme_whose_operands_differ_is_not_spread():
    class Differing(Handing):
        operands = ()

    here, _ = handed(lambda W: np.max(W), "max", {"W": FEW})
    names = ("runs", "operand", "operation", "sources", "cotangent", "right", "repeats", "flow")
    differing = Differing(**{name: getattr(here, name) for name in names})
    assert list(wrong_extremes(differing)) == []
