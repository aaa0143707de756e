"""At the bounds of what explains: one answer of several, other shapes, factors nearly alike."""

from dataclasses import replace

import numpy as np
import pytest
from test_diagnose_patterns import evidence, only
from test_diagnose_places import trial
from test_diagnose_search import known, passing, space

from gradcheck.diagnose.arrangement import permuted, swapped, transposed, wrong_axis
from gradcheck.diagnose.counterfactual import explain
from gradcheck.diagnose.entries import duplicate_indices, isolated_entries
from gradcheck.diagnose.factors import name_factor

draw = np.random.default_rng(61).normal


# Arrangements


def test_of_orders_of_axes_that_come_to_the_same_one_is_named():
    cube = draw(size=(3, 3, 3))
    right = cube + cube.transpose(0, 2, 1)  # two orders of its axes are the same
    claimed = right.transpose(1, 0, 2)
    same = [o for o in ((1, 0, 2), (2, 0, 1)) if np.array_equal(right.transpose(o), claimed)]
    assert len(same) == 2
    found = only(transposed(evidence({"v": claimed}, {"v": right}, {"v": right})))
    assert found.evidence["words"] == "with its axes in the order (1, 0, 2)"


def test_of_reorderings_that_come_to_the_same_one_is_named():
    right = np.array([[1.0, 2.0], [3.0, 1.0]])
    right = np.vstack([right, right[0] * 0 + 7.0])
    claimed = right[::-1]
    found = only(permuted(evidence({"v": claimed}, {"v": right}, {"v": right})))
    assert found.evidence["words"] == "with rows reversed"


def test_of_sums_that_come_to_the_same_one_is_named():
    right = np.outer([1.0, 2.0, 3.0], [1.0, -1.0])  # no sum along the rows: the sum of all, too
    claimed = np.broadcast_to(right.sum(axis=1, keepdims=True), right.shape) + 0.0
    found = only(wrong_axis(evidence({"v": claimed}, {"v": right}, {"v": right})))
    assert found.evidence["words"] == "sum over axis 1"


def test_the_gradient_of_a_parameter_of_another_shape_is_not_taken():
    right = {"W": draw(size=(4, 3)), "b": draw(size=3)}
    rows = {"W": np.tile(right["b"], (4, 1)), "b": right["b"]}
    assert swapped(evidence(rows, right, right)) == ()
    flat = {"U": draw(size=(2, 3)), "V": draw(size=(3, 2))}
    exchanged = {"U": flat["V"].reshape(2, 3), "V": flat["U"].reshape(3, 2)}
    assert swapped(evidence(exchanged, flat, flat)) == ()


@pytest.mark.parametrize("shape", [(1, 5), (5, 1)])
def test_an_axis_of_one_entry_is_not_named(shape):
    right = draw(size=shape)
    noun = "columns" if shape[1] == 5 else "rows"

    def said(claimed):
        return only(permuted(evidence({"v": claimed}, {"v": right}, {"v": right}))).evidence

    assert said(right[::-1, ::-1])["words"] == f"with {noun} reversed"
    assert said(np.roll(right, 1).reshape(shape))["words"] == f"with {noun} shifted by 1"
    total = np.full(shape, right.sum())
    found = only(wrong_axis(evidence({"v": total}, {"v": right}, {"v": right})))
    assert found.evidence["words"] == f"sum over axis {shape.index(5)}"


@pytest.mark.parametrize(("first", "axes"), [(-4, [0]), (-5, [])])
def test_indices_count_from_the_end_up_to_the_first(first, axes):
    """Row 0 of four by the names 0 and -4."""
    right = np.abs(draw(size=(4, 2))) + 1.0
    claimed = right.copy()
    claimed[0] *= 0.5
    found = duplicate_indices(
        evidence({"v": claimed}, {"v": right}, {"v": right},
                 integer_arrays={"idx": np.array([first, 0, 1, 2])})
    )  # fmt: skip
    assert [one.evidence["axis"] for one in found] == axes


@pytest.mark.parametrize(("axis", "words"), [(0, "rows"), (1, "columns")])
def test_what_is_named_more_than_once_is_counted(axis, words):
    """1 and 3 are, of five; 2 and 4 are named once, 0 never."""
    right = np.abs(draw(size=(5, 5))) + 1.0
    claimed = right.copy()
    np.moveaxis(claimed, axis, 0)[[1, 3]] *= 0.5
    names = np.array([[3, 4, 1], [1, 3, 2], [3, 3, -2]])
    known = evidence({"v": claimed}, {"v": right}, {"v": right}, integer_arrays={"idx": names})
    found = only(duplicate_indices(known))
    assert found.evidence == {"indices": "idx", "repeated": 2, "axis": axis}
    assert f"in the {words} that idx names more than once (2 of 5)" in found.message
    assert found.remedy.startswith("Add with np.add.at(dv, idx, ...)")


@pytest.mark.parametrize(
    ("names", "confidence", "words"),
    [([1, 3, 1, 3], "possible", ": perhaps of their"), ([1, 3, 1, 3, 4], "likely", "): of their")],
)
def test_rows_named_once_that_are_right_tell_repeated_ones_from_any_mistake(
    names, confidence, words
):
    right = np.zeros((5, 2))
    right[names] = 1.0 + np.abs(draw(size=(len(names), 2)))
    claimed = right.copy()
    claimed[[1, 3]] *= 0.5
    given = {"idx": np.array(names)}
    found = only(
        duplicate_indices(
            evidence({"v": claimed}, {"v": right}, {"v": right}, integer_arrays=given)
        )
    )
    assert found.confidence == confidence
    assert words in found.message


def test_entries_are_isolated_from_others_that_could_be_wrong_and_are_not():
    right = np.zeros(10)
    right[2] = 3.0
    alone = evidence({"v": right / 3}, {"v": right}, {"v": np.ones(10)})
    assert isolated_entries(alone) == ()
    beside = right + np.eye(10)[7] + np.eye(10)[8]
    claimed = np.where(right > 0, 1.0, beside)
    found = only(isolated_entries(evidence({"v": claimed}, {"v": beside}, {"v": np.ones(10)})))
    assert found.evidence["worst_index"] == [2]


def test_a_parameter_of_which_nothing_is_said_does_not_end_the_search():
    turned = np.abs(draw(size=6)) + 1.0
    both = {"u": np.ones(2), "v": turned}
    claimed = {"u": np.array([2.0, 3.0]), "v": turned[::-1]}
    values = {name: np.ones(part.shape) for name, part in both.items()}
    assert only(permuted(evidence(claimed, both, values))).parameters == ("v",)
    assert only(
        permuted(
            evidence(
                {"u": turned, "v": turned[::-1]},
                {"u": turned + 1.0, "v": turned},
                {"u": turned, "v": turned},
            )
        )
    ).parameters == ("v",)
    single = {"u": 2.0 * turned, "v": turned * np.where(np.arange(6) == 4, 2.0, 1.0)}
    found = isolated_entries(
        evidence(single, {"u": turned, "v": turned}, {"u": turned, "v": turned})
    )
    assert only(found).parameters == ("v",)


# Factors nearly alike


@pytest.mark.parametrize(("value", "words"), [(1.0, []), (-1.0, ["-1"]), (-2.0, ["-2"])])
def test_scalars_of_one_and_nothing_are_no_names(value, words):
    right = {"v": draw(size=3)}
    known = evidence(
        right, right, right, scalars={"one": 1.0, "less": -1.0, "nothing": 0.0, "none": -0.0}
    )
    assert [factor.words for factor in name_factor(value, known)] == words


WHOLE = np.array([1.0, -2.0, 2.0, 3.0, 1.0])


def explanations(change, residual, tolerance, order=("W", "b")):
    here = replace(space(residual, tolerance, ("W", "b")), names=order)
    found = explain(trial(0), change, known(), here, passing(here))
    return [(one.factor.kind, set(one.parameters)) for one in found]


@pytest.mark.parametrize("order", [("W", "b"), ("b", "W")])
def test_a_factor_that_is_nearly_nothing_is_that_of_the_cut(order):
    """The error of W is 1 - 1e-10 of what the cut changes: within the tolerance."""
    nearly = np.concatenate([WHOLE[:3] * (1 - 1e-10), WHOLE[3:]])
    assert explanations(WHOLE, nearly, 1e-9, order) == [("cut", {"W", "b"})]


@pytest.mark.parametrize(
    ("apart", "expected"),
    [(1.5e-9, [("unnamed", {"W"}), ("plain", {"b"})]), (0.5e-9, [("unnamed", {"W"})])],
)
def test_factors_are_told_apart_by_a_billionth(apart, expected):
    """That on the way to W is a half and a little more, that to b a half."""
    residual = np.concatenate([WHOLE[:3] * (0.5 - apart), WHOLE[3:] * 0.5])
    assert explanations(WHOLE, residual, 1e-11) == expected
