"""Which entries are wrong, and whether the right ones stand elsewhere: orders, places, nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_diagnose_patterns import DW, evidence, only

from gradcheck.diagnose import arrangement
from gradcheck.diagnose.arrangement import permuted, swapped, transposed, wrong_axis
from gradcheck.diagnose.entries import duplicate_indices, isolated_entries
from gradcheck.diagnose.flat import loss_ignores_parameter, zero_gradient
from gradcheck.diagnose.regulariser import regulariser

draw = np.random.default_rng(53).normal


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
    # of two that have the same gradient the first is named
    alike = {"a": right["a"], "b": right["c"], "c": right["c"]}
    claimed = {"a": right["c"], "b": 2 * right["c"], "c": right["c"]}
    (found,) = swapped(evidence(claimed, alike, right))
    assert found.evidence["gradient_of"] == "b"
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
    right = np.abs(draw(size=(2, 3, 4))) + 1.0
    assert said([1], [0, 1, 1, 2], 1) == [1]
    assert said([1], [0, 1, 1, 3], 2) == []  # along the first two axes alone


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


@pytest.mark.parametrize(("shape", "found"), [((4,), 0), ((2, 3), 1), ((2, 3, 4), 1),
                                              ((2, 1, 3, 2), 1), ((2, 1, 1, 3, 2), 0)])  # fmt: skip
def test_arrays_of_two_to_four_axes_are_turned(shape, found):
    right = draw(size=shape)
    claimed = right.T.reshape(shape)
    told = transposed(evidence({"v": claimed}, {"v": right}, {"v": right}))
    assert len(told) == found
    if found:
        assert told[0].remedy.startswith("Compute the gradient of v with its factors in the order")
    square = draw(size=(3,) * len(shape))
    told = transposed(evidence({"v": square.T}, {"v": square}, {"v": square}))
    assert len(told) == found
    assert all(one.remedy == "Transpose the gradient of v back." for one in told)


def sums_agree(claimed, right, wrong=None):
    """Whether wrong entries may hold each other's values: asked of four of them."""
    claimed, right = np.asarray(claimed, float), np.asarray(right, float)
    support = np.ones(claimed.size, bool) if wrong is None else np.asarray(wrong, bool)
    facts = SimpleNamespace(value=right, analytic=claimed, reference=right, support=support)
    return arrangement._same_numbers(facts)


def test_the_same_numbers_have_the_same_sums(monkeypatch):
    monkeypatch.setattr(arrangement, "MANY", 3)
    right = np.array([3.0, -4.0, 1.0, 2.0])
    assert sums_agree(right[::-1], right)
    assert not sums_agree(-right, right)  # the same sizes and squares, another sum
    zero = np.array([3.0, -3.0, 1.0, -1.0])
    for off, agree in ((7.9e-6, True), (8.1e-6, False)):  # of that, parts of the sizes count
        assert sums_agree(np.add(zero, [off / 2, off / 2, 0, 0]), zero) is agree
    assert not sums_agree([4.0, -4.0, 1.0, 1.0], right)  # the same sizes, other squares
    assert not sums_agree(np.sqrt([9.0, 16.0, 0.0, 5.0]), right)  # the same squares, other sizes
    for off, agree in ((0.9e-6, True), (2.1e-6, False)):
        assert sums_agree(right * (1 + off / 2), right) is agree
    assert sums_agree([-4.0, 3.0, 9.0, 9.0], right, [1, 1, 0, 0])
    assert not sums_agree([-4.0, 3.0, 9.0, 9.0], right, [1, 1, 1, 0])
    monkeypatch.setattr(arrangement, "MANY", 4)
    assert sums_agree([9.0, 9.0, 9.0, 9.0], right)  # of few entries all orders are looked at


def test_only_what_is_known_everywhere_stands_in_another_order():
    right = draw(size=5)
    unknown = np.where(np.arange(5) == 2, np.nan, right)
    assert permuted(evidence({"v": right[::-1]}, {"v": right}, {"v": right}))
    assert permuted(evidence({"v": unknown[::-1]}, {"v": unknown}, {"v": right})) == ()
