"""Numbers of a diagnosis in closed form: factors, fits, orders of entries, what is known."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_diagnose_patterns import DW, W, evidence, only
from test_diagnose_words import graded

from gradcheck.diagnose import Evidence, matching, ranking
from gradcheck.diagnose.arrangement import permuted, swapped, transposed, wrong_axis
from gradcheck.diagnose.curvature import (
    Curvature,
    difference_of_gradients,
    largest_curvature,
    step_too_long,
)
from gradcheck.diagnose.entries import duplicate_indices, isolated_entries
from gradcheck.diagnose.evidence import largest_of
from gradcheck.diagnose.factors import name_factor
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.flat import loss_ignores_parameter, zero_gradient
from gradcheck.diagnose.matching import agrees, fit, quality
from gradcheck.diagnose.proportional import constant_factor, data_term_factor
from gradcheck.diagnose.ranking import explained, sharpened
from gradcheck.diagnose.regulariser import regulariser

draw = np.random.default_rng(53).normal


# How well it fits


@pytest.mark.parametrize(("tolerance", "grade"), [(0.37, "likely"), (0.38, None)])
def test_what_is_known_is_a_quarter_of_the_error(tolerance, grade):
    assert graded(1.5, tolerance, 0.0) == grade


def test_a_gradient_agrees_where_every_known_entry_does():
    right = np.array([1.0, 2.0, np.nan])
    facts = evidence({"v": np.array([1.0, 2.0, 5.0])}, {"v": right}, {"v": right}).facts["v"]
    unit = float(facts.tolerance[0])
    assert agrees(facts, np.array([1.0 + 3.9 * unit, 2.0 - 3.9 * unit, 7.0]))
    assert not agrees(facts, np.array([1.0 + 4.1 * unit, 2.0, 5.0]))
    assert not agrees(facts, np.array([1.0, 2.0 - 4.1 * unit, 5.0]))


def test_what_is_not_known_has_no_part_in_the_grade():
    right = np.where(np.arange(40) < 4, 1.0, np.nan)
    known = Evidence(
        names=("v",), values={"v": right}, analytic={"v": np.full(40, 2.0)},
        reference={"v": right}, uncertainty={"v": np.full(40, 1e-9)}, failing={},
    )  # fmt: skip
    facts = known.facts["v"]
    assert quality(facts, 2 * right) == "exact"
    assert quality(facts, 2 * right, np.where(facts.known, 1e-9, 9.0)) == "exact"
    assert quality(facts, 2 * right, np.where(facts.known, 9.0, 1e-9)) is None


def test_a_coefficient_of_many_entries_takes_some_of_them(monkeypatch):
    monkeypatch.setattr(matching, "MANY", 10)
    right = draw(size=35)
    facts = evidence({"v": 3 * right}, {"v": right}, {"v": right}).facts["v"]
    found = fit(facts, facts.analytic, facts.reference)
    assert found.coefficients == pytest.approx((3.0,), rel=1e-12)
    taken = matching._some(facts.known, (facts.analytic,))
    np.testing.assert_array_equal(np.flatnonzero(taken), np.arange(0, 35, 4))
    # zeros of all arrays tell nothing, and neither does what is not known
    zeros = np.where(np.arange(35) % 2 == 0, 0.0, right)
    np.testing.assert_array_equal(
        np.flatnonzero(matching._some(facts.known, (zeros, 0 * zeros))), np.arange(1, 35, 4)
    )
    known = np.arange(35) >= 20
    np.testing.assert_array_equal(
        np.flatnonzero(matching._some(known, (right,))), np.arange(20, 35, 2)
    )


def test_entries_are_taken_evenly_across_parts(monkeypatch):
    monkeypatch.setattr(matching, "MANY", 10)
    monkeypatch.setattr(
        matching, "parts", lambda size: (slice(k, min(k + 6, size)) for k in range(0, size, 6))
    )
    taken = matching._some(np.ones(35, bool), (np.ones(35),))
    np.testing.assert_array_equal(np.flatnonzero(taken), np.arange(0, 35, 4))


# Factors


def test_an_array_of_one_is_no_factor_of_another():
    for sizes in (((1, "the rows of y"), (7, "the columns of W")),
                  ((7, "the columns of W"), (1, "the rows of y"))):  # fmt: skip
        known = evidence({"W": 2 * DW}, {"W": DW}, sizes=sizes)
        assert [one.words for one in name_factor(7.0, known)] == ["7, the columns of W"]
    sizes = ((2, "the rows of y"), (7, "the columns of W"))
    known = evidence({"W": 2 * DW}, {"W": DW}, sizes=sizes)
    assert [one.words for one in name_factor(14.0, known)] == [
        "14, the rows of y times the columns of W"
    ]


def test_a_factor_on_all_is_none_on_the_data_term_alone():
    assert data_term_factor(evidence({"W": 2 * DW}, {"W": DW}, {"W": W})) == ()
    beside = 2 * (DW - 0.3 * W) + 0.3 * W
    known = evidence(
        {"W": beside, "b": 2 * DW[0]}, {"W": DW, "b": DW[0]}, {"W": W, "b": W[0]},
        scalars={"reg": 0.3},
    )  # fmt: skip
    assert only(data_term_factor(known)).parameters == ("W", "b")


@pytest.mark.parametrize(
    ("factor", "words"), [(1 + 1e-8, "1.00000001"), (0.25, "1/4"), (0.2468, "0.2468")]
)
def test_a_factor_has_its_words(factor, words):
    found = only(constant_factor(evidence({"W": factor * DW}, {"W": DW}, relative=1e-15)))
    assert found.evidence["words"] == words
    by_name = {"1.00000001": 20, "1/4": 40, "0.2468": 20}
    assert found.specificity == by_name[words]


def test_factors_that_are_nearly_the_same_are_one_finding():
    right = {"W": DW, "b": DW[0]}
    for beside, count in ((1 + 0.9e-6, 1), (1 + 1.1e-6, 2)):
        claimed = {"W": 1.2345 * DW, "b": 1.2345 * beside * DW[0]}
        found = constant_factor(evidence(claimed, right, relative=1e-12))
        assert len(found) == count


def test_a_gradient_of_nearly_nothing_is_no_factor():
    assert constant_factor(evidence({"W": 0.9e-9 * DW}, {"W": DW}, relative=1e-16)) == ()
    assert constant_factor(evidence({"W": 1.1e-9 * DW}, {"W": DW}, relative=1e-16))


# Entries in another order


def order(claimed, right):
    return only(permuted(evidence({"v": claimed}, {"v": right}, {"v": right}))).evidence["words"]


@pytest.mark.parametrize(
    ("shift", "words"),
    [(1, "shifted by 1"), (2, "shifted by 2"), (3, "shifted by -2"), (4, "shifted by -1")],
)
def test_entries_shifted_around(shift, words):
    right = draw(size=5)
    assert order(np.roll(right, shift), right) == f"with entries {words}"


def test_half_around_is_forwards():
    right = draw(size=4)
    assert order(np.roll(right, 2), right) == "with entries shifted by 2"
    assert order(right[::-1], right) == "with axis 0 reversed"
    assert order(right[[1, 0, 2, 3]], right) == "with entries in another order"


def test_rows_columns_and_slices_in_another_order():
    right, cube = draw(size=(3, 4)), draw(size=(2, 3, 4))
    assert order(right[::-1], right) == "with rows reversed"
    assert order(right[:, ::-1], right) == "with columns reversed"
    assert order(right[::-1, ::-1], right) == "with rows and columns reversed"
    assert order(right[[1, 2, 0]], right) == "with rows shifted by -1"
    assert order(right[:, [1, 0, 2, 3]], right) == "with columns in another order"
    assert order(cube[:, [1, 2, 0]], cube) == "with slices of axis 1 shifted by -1"
    mixed = right.ravel()[[5, 0, 7, 2, 9, 4, 1, 6, 11, 8, 3, 10]].reshape(3, 4)
    assert order(mixed, right) == "with its entries in another order"


def test_two_entries_are_no_permutation():
    right = draw(size=2)
    assert permuted(evidence({"v": right[::-1]}, {"v": right}, {"v": right})) == ()


def test_axes_in_another_order():
    def said(claimed, right):
        found = transposed(evidence({"v": claimed}, {"v": right}, {"v": right}))
        return [one.evidence["words"] for one in found]

    square, cube, wide = draw(size=(3, 3)), draw(size=(2, 2, 2)), draw(size=(2, 3))
    assert said(square.T, square) == ["transposed"]
    assert said(wide.T.reshape(2, 3), wide) == ["transposed, then reshaped to (2, 3)"]
    assert said(cube.transpose(1, 0, 2), cube) == ["with its axes in the order (1, 0, 2)"]
    four = draw(size=(2, 2, 2, 2))
    assert said(four.transpose(0, 3, 2, 1), four) == ["with its axes in the order (0, 3, 2, 1)"]
    five = draw(size=(2, 1, 2, 1, 2))
    assert said(five.transpose(4, 1, 2, 3, 0), five) == []
    assert said(square[0][::-1], square[0]) == []


@pytest.mark.parametrize(("axes", "words"), [((0,), "sum over axis 0"), ((1,), "sum over axis 1"),
                                             ((0, 2), "sum over axis 0 and axis 2")])  # fmt: skip
def test_a_sum_or_mean_too_many(axes, words):
    right = draw(size=(2, 3, 4)) + 2.0

    def said(claimed):
        claimed = np.broadcast_to(claimed, right.shape).copy()
        found = wrong_axis(evidence({"v": claimed}, {"v": right}, {"v": right}))
        return [one.evidence["words"] for one in found]

    assert said(right.sum(axes, keepdims=True)) == [words]
    assert said(right.mean(axes, keepdims=True)) == [words.replace("sum", "mean")]
    assert said(right.mean(axes, keepdims=True) * 1.01) == []
    assert said(right.sum((0, 1, 2), keepdims=True)) == []


def test_gradients_exchanged_among_three():
    right = {name: draw(size=3) for name in "abc"}
    round_about = {"a": right["b"], "b": right["c"], "c": right["a"]}
    found = swapped(evidence(round_about, right, right))
    assert [one.parameters for one in found] == [("a",), ("b",), ("c",)]
    mutual = {"a": right["b"], "b": right["a"], "c": right["c"]}
    assert [one.parameters for one in swapped(evidence(mutual, right, right))] == [("a", "b")]
    one_way = {"a": right["b"], "b": right["b"], "c": right["c"]}
    assert [one.parameters for one in swapped(evidence(one_way, right, right))] == [("a",)]


# Nothing, and what does not depend


def test_a_zero_gradient_of_whole_numbers_is_cut_off():
    zero, right = {"W": 0 * DW}, {"W": DW}
    assert only(zero_gradient(evidence(zero, right))).parameters == ("W",)
    for dtype in ("int64", "uint8"):
        assert zero_gradient(evidence(zero, right, analytic_dtype={"W": dtype})) == ()
    assert zero_gradient(evidence(zero, right, analytic_dtype={"W": "float32"}))
    nearly = np.where(np.arange(12).reshape(4, 3) == 5, 1e-3, 0.0)
    assert zero_gradient(evidence({"W": nearly}, right)) == ()


def ignored(claimed, right, values, **more):
    return [one.message for one in loss_ignores_parameter(evidence(claimed, right, values, **more))]


def test_where_the_true_gradient_is_a_regulariser_the_data_have_no_part():
    reg = {"scalars": {"lam": 0.1}}
    value = draw(size=(4, 3))
    (said,) = ignored({"W": DW}, {"W": 0.2 * value}, {"W": value}, **reg)
    assert "exactly 2 lam times the parameter: the regulariser" in said
    part = value * (np.arange(4) < 2)[:, None]
    (said,) = ignored({"W": DW}, {"W": 0.2 * part}, {"W": value}, **reg)
    assert "2 lam times the parameter (in rows 0 and 1)" in said
    # near misses: no scalar to name it, another multiple, three entries, scattered ones
    assert ignored({"W": DW}, {"W": 0.2 * value}, {"W": value}) == []
    assert ignored({"W": DW}, {"W": 0.123 * value}, {"W": value}, **reg) == []
    three = value[0]
    assert ignored({"W": DW[0]}, {"W": 0.2 * three}, {"W": three}, **reg) == []
    four = draw(size=4)
    assert ignored({"W": draw(size=4)}, {"W": 0.2 * four}, {"W": four}, **reg)
    some = value * (draw(size=(4, 3)) > 0)
    assert ignored({"W": DW}, {"W": 0.2 * some}, {"W": value}, **reg) == []
    off = 0.2 * value + 1e-5 * DW
    assert ignored({"W": DW}, {"W": off}, {"W": value}, **reg) == []


@pytest.mark.parametrize(("beside", "count"), [(0.5e-6, 0), (2e-6, 1)])
def test_a_multiple_of_the_parameter_in_the_claim_is_another_mistake(beside, count):
    value, other = draw(size=(4, 3)), draw(size=(4, 3))
    other -= value * np.sum(other * value) / np.sum(value * value)
    error = 0.3 * value
    other *= np.linalg.norm(error) / np.linalg.norm(other)
    claimed = 0.5 * value + beside * other
    found = ignored({"W": claimed}, {"W": 0.2 * value}, {"W": value}, scalars={"lam": 0.1})
    assert len(found) == count


def test_a_regularised_slice_or_block_or_bias():
    value, reg = draw(size=(4, 3)), {"scalars": {"lam": 0.1}}

    def said(region, factor=0.2):
        claimed = DW + factor * value * region
        found = regulariser(evidence({"W": claimed}, {"W": DW}, {"W": value}, **reg))
        return [(one.cause, one.evidence["where"], one.confidence) for one in found]

    rows, columns = np.arange(4)[:, None], np.arange(3)[None, :]
    assert said((rows == 1) | (columns < 0)) == [("reg_extra", "row 1", "exact")]
    assert said((rows < 3) & (columns < 9)) == [("reg_extra", "all rows but row 3", "exact")]
    assert said((rows < 9) & (columns < 9)) == [("reg_scale", "all entries", "likely")]
    assert said((rows < 9) & (columns < 9), -0.2) == [("reg_missing", "all entries", "exact")]
    assert said((rows < 9) & (columns < 9), -0.1) == [("reg_missing", "all entries", "likely")]
    assert said((rows == columns) & (rows < 2)) == []


# Which entries


def test_indices_named_twice_along_an_axis():
    right = np.abs(draw(size=(4, 5))) + 1.0

    def said(wrong, indices, axis=0):
        claimed = right.copy()
        np.moveaxis(claimed, axis, 0)[wrong] *= 0.5
        known = evidence({"v": claimed}, {"v": right}, {"v": right},
                         integer_arrays={"idx": np.array(indices)})  # fmt: skip
        return [one.evidence["axis"] for one in duplicate_indices(known)]

    assert said([1], [0, 1, 1, 2]) == [0]
    assert said([3], [-1, 3, 0, 1, 2], 1) == []  # -1 is column 4 there
    assert said([4], [-1, 4, 0, 1, 2, 3], 1) == [1]
    assert said([1], [0, 1, 1, 4]) == []  # no row 4; and as columns it is not that one
    assert said([1], [0, 1, 1, -5]) == []
    assert said([1, 2], [0, 1, 1, 2]) == []
    assert said([1], [1, 1]) == []  # rows that are never named have a gradient
    right[[0, 2, 3]] = 0.0
    assert said([1], [1, 1]) == [0]
    assert said([1], [1]) == []


@pytest.mark.parametrize(
    ("shape", "words"), [((4, 2), "the rows"), ((4,), "the slices of axis 0"),
                         ((4, 2, 2), "the slices of axis 0")],
)  # fmt: skip
def test_rows_are_of_matrices(shape, words):
    right = np.ones(shape)
    claimed = right.copy()
    claimed[1] = 0.5
    known = evidence({"v": claimed}, {"v": right}, {"v": right},
                     integer_arrays={"idx": np.array([0, 1, 1])})  # fmt: skip
    assert f"exactly in {words} that idx names" in only(duplicate_indices(known)).message


@pytest.mark.parametrize(
    ("shape", "factor", "said", "do"),
    [((4, 3), -0.2, "is too small by exactly 2 lam times", "Add 2 lam times"),
     ((4, 3), 0.2, "is too large by exactly 2 lam times", "Take 2 lam times"),
     ((4,), 0.2, "contains 2 lam times", "Leave the regulariser out")],
)  # fmt: skip
def test_what_is_said_of_a_regulariser(shape, factor, said, do):
    value, right = draw(size=shape), draw(size=shape)
    known = evidence({"v": right + factor * value}, {"v": right}, {"v": value},
                     scalars={"lam": 0.1})  # fmt: skip
    found = only(regulariser(known))
    assert said in found.message
    assert found.remedy.startswith(do)


def test_the_worst_of_isolated_entries_is_named():
    right = np.ones((5, 4))
    claimed = right.copy()
    claimed[3, 2] += 0.5
    claimed[1, 0] -= 0.7
    found = only(isolated_entries(evidence({"v": claimed}, {"v": right}, {"v": right})))
    assert found.evidence["worst_index"] == [1, 0]
    assert "(2 of 20 checked entries)" in found.message
    small = np.ones(3)
    off = np.array([1.0, 1.0, 2.0])
    assert isolated_entries(evidence({"v": off}, {"v": small}, {"v": small})) == ()
    four = np.ones(4)
    off = np.array([1.0, 1.0, 1.0, 2.0])
    assert isolated_entries(evidence({"v": off}, {"v": four}, {"v": four}))


# What is known


def test_what_is_known_of_an_entry():
    claimed, right = np.array([1.0, np.nan, 3.0, 2.0]), np.array([1.0, 2.0, np.inf, 2.5])
    known = Evidence(
        names=("v", "w"), values={"v": claimed, "w": claimed},
        analytic={"v": claimed, "w": claimed}, reference={"v": right, "w": claimed},
        uncertainty={"v": np.array([0.1, 0.1, 0.1, np.nan]), "w": np.broadcast_to(0.25, 4)},
        failing={"v": np.array([False, True, False, True])},
    )  # fmt: skip
    facts, other = known.facts["v"], known.facts["w"]
    np.testing.assert_array_equal(facts.known, [True, False, False, True])
    np.testing.assert_array_equal(facts.failing, [False, False, False, True])
    np.testing.assert_array_equal(facts.residual, [0, 0, 0, -0.5])
    np.testing.assert_array_equal(facts.support, [False, False, False, True])
    assert facts.error == 0.5
    # no less than a sum in another order costs, relative to the largest known entry
    np.testing.assert_allclose(facts.tolerance, [0.1, 0.1, 0.1, 2.5e-12], rtol=1e-15)
    assert other.tolerance.strides == (0,)
    assert other.tolerance[3] == 0.25
    assert known.failing_facts == (facts,)
    assert largest_of(right, facts.known) == 2.5
    assert largest_of(-right, facts.known) == 2.5
    assert largest_of(right, ~facts.known & False) == 0.0


def traced(gradient, *, reference=None, dtype=None, tolerance=1e-3):
    right = np.ones(20) if reference is None else reference
    known = Evidence(
        names=("v",), values={"v": right}, analytic={"v": 2 * right}, reference={"v": right},
        uncertainty={"v": np.full(20, tolerance)}, failing={"v": np.ones(20, bool)},
        analytic_dtype={} if dtype is None else {"v": dtype},
        trace=SimpleNamespace(backward=lambda: {} if gradient is None else {"v": gradient}),
    )  # fmt: skip
    return known, sharpened(known)


@pytest.mark.parametrize(
    ("dtype", "relative"),
    [(None, 1e-12), ("float64", 1e-12), ("float32", 64 * 2.0**-23), ("float16", 64 * 2.0**-10)],
)
def test_the_traced_gradient_is_right_to_rounding(dtype, relative):
    gradient = np.linspace(0.9999, 1.0001, 20)
    _, sharp = traced(gradient, dtype=dtype)
    np.testing.assert_array_equal(sharp.reference["v"], gradient)
    np.testing.assert_allclose(sharp.uncertainty["v"], 1.0001 * relative, rtol=1e-12)
    assert sharp.uncertainty["v"].strides == (0,)


@pytest.mark.parametrize(("apart", "kept"), [(0, True), (2, True), (3, False)])
def test_a_trace_that_contradicts_more_than_a_tenth_is_dropped(apart, kept):
    gradient = np.ones(20)
    gradient[:apart] += 8.1e-3
    gradient[apart:] += 7.9e-3
    known, sharp = traced(gradient)
    assert (sharp.trace is not None) is kept
    if not kept:
        assert sharp.reference is known.reference
        return
    assert np.isnan(sharp.reference["v"]).sum() == apart
    assert np.isnan(sharp.reference["v"][:apart]).all()


def test_what_was_not_estimated_is_taken_from_the_trace():
    gradient, right = np.full(20, 1.0), np.ones(20)
    right[5:] = np.nan
    _, sharp = traced(gradient, reference=right)
    assert sharp.trace is not None
    np.testing.assert_array_equal(sharp.reference["v"], gradient)
    known, sharp = traced(None)
    np.testing.assert_array_equal(sharp.reference["v"], known.reference["v"])


# From findings to answers


def answered(monkeypatch, *findings, untried="", failing=("a", "b")):
    from gradcheck.diagnose import counterfactual

    right = {name: np.ones(3) for name in "abcde"}
    claimed = {name: right[name] + (name in failing) for name in right}
    known = evidence(claimed, right, right, trace=SimpleNamespace(backward=lambda: right))
    made = counterfactual.Counterfactuals(tuple(findings), (), untried)
    monkeypatch.setattr(ranking, "match_patterns", lambda _: ())
    monkeypatch.setattr(counterfactual, "match_counterfactuals", lambda *_, **__: made)
    monkeypatch.setattr("gradcheck.diagnose.locating.locate", lambda finding, *_: finding)
    found = explained(known)
    return [one.cause for one in found.diagnoses], found.untried


def finding(cause, names, confidence="exact"):
    return Finding(cause, tuple(names), "", "", confidence, 50)


def test_what_nothing_explains_is_said_and_what_was_left_out(monkeypatch):
    a, b = finding("sign", "a"), finding("scale", "b")
    how = {"untried": "much"}
    assert answered(monkeypatch, a, b, **how) == (["sign", "scale"], "")
    assert answered(monkeypatch, a, **how) == (["sign", "unexplained"], "much")
    unsure = finding("scale", "b", "likely")
    assert answered(monkeypatch, a, unsure, **how) == (["sign", "scale"], "much")
    assert answered(monkeypatch, a, b, failing=(), **how) == ([], "")
    each = [finding(f"cause {name}", name) for name in "abc"]
    three = [f"cause {name}" for name in "abc"]
    assert answered(monkeypatch, *each, failing="abcd", **how) == (three, "much")
    two = answered(monkeypatch, *each[:2], failing="abcd", **how)
    assert two == ([*three[:2], "unexplained"], "much")


# Curvature


def test_a_small_positive_curvature_above_a_large_negative_one():
    H = np.diag([-9.0, 2.0])
    calls = []

    def product(v):
        calls.append(v)
        return H @ v

    found = largest_curvature(product, 2, rtol=1e-10)
    assert found.value == pytest.approx(2.0, rel=1e-6)
    assert (found.n_products, found.converged) == (len(calls), True)
    # of a third as many the first search takes all
    short = largest_curvature(lambda v: H @ v, 2, rtol=1e-14, max_products=3)
    assert (short.n_products, short.converged) == (3, False)


def test_the_products_are_counted():
    assert largest_curvature(lambda v: 3.0 * v, 4) == Curvature(pytest.approx(3.0), 2, True)
    never = largest_curvature(lambda v: np.diag([3.0, 2.9]) @ v, 2, rtol=0.0, max_products=7)
    assert (never.n_products, never.converged) == (7, False)
    assert np.isnan(largest_curvature(lambda v: v, 2, max_products=0).value)


def test_the_step_of_a_difference_is_a_share_of_the_point():
    seen = []

    def gradient(w):
        seen.append(w.copy())
        return w**2

    point = np.array([0.5, -40.0])
    along = np.array([0.0, 2.0])
    np.testing.assert_allclose(
        difference_of_gradients(gradient, point)(along), [0.0, -160.0], rtol=1e-8
    )
    forward, backward = seen
    assert forward[1] - point[1] == pytest.approx(40 * 2.0 ** (-52 / 3), rel=1e-6)
    assert point[1] - backward[1] == pytest.approx(40 * 2.0 ** (-52 / 3), rel=1e-6)
    seen.clear()
    difference_of_gradients(gradient, point, step=0.25)(along)
    np.testing.assert_allclose(seen, [[0.5, -39.75], [0.5, -40.25]])
    seen.clear()
    assert not difference_of_gradients(gradient, point)(0 * along).any()
    assert seen == []
    small = difference_of_gradients(gradient, np.array([0.01, 0.0]))
    small(along)
    assert seen[0][1] == pytest.approx(2.0 ** (-52 / 3), rel=1e-6)


def test_a_curvature_that_is_not_sure_is_at_least_so_large():
    sure, unsure = (Curvature(10.0, 3, converged=done) for done in (True, False))
    assert "at least 10" in step_too_long(unsure, 0.3).message
    assert "at least" not in step_too_long(sure, 0.3).message
    assert step_too_long(sure, 0.2) is None
    assert step_too_long(Curvature(-1.0, 3, converged=True), 9.0) is None
    assert step_too_long(Curvature(0.0, 3, converged=True), 9.0) is None


@pytest.mark.parametrize(("beside", "count"), [(0.5e-9, 0), (1.5e-9, 1)])
def test_a_factor_of_one_explains_nothing(beside, count):
    claimed = {"W": (1 + beside) * DW}
    assert len(constant_factor(evidence(claimed, {"W": DW}, relative=1e-16))) == count
