"""Every wrong rule for a sum or a broadcast hands on what its words say."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from handed_rules import G, M, N, V, Z, by_words, handed, same

from gradcheck.diagnose.wrong_sums import wrong_broadcasts, wrong_reductions

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


N4 = np.random.default_rng(42).normal(size=(4, 4)).round(2)


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


def test_a_column_that_is_broadcast_gets_another_sum_along_the_rows():
    here, _ = handed(lambda b: np.sum((b + Z) * G), "add", {"b": N[:, :1]})
    found = by_words(wrong_broadcasts(here))
    assert len(found) == 4
    mean = found["is averaged over axis 1 instead of summed over the axes of the broadcast"]
    same(mean, here, G.mean(1, keepdims=True))
    assert mean.cause == "batch_divided_twice"


@pytest.mark.parametrize(
    ("loss", "name", "operand"),
    [
        (lambda b: np.sum(np.maximum(b, Z) * G), "maximum", 0),  # no sum and no product
        (lambda b: np.sum((b[None] + Z) * G), "getitem", 0),
        (lambda b: np.sum((Z[:, 0] + b[:3]) * G[:, 0]), "add", 1),  # nothing is broadcast
        (lambda b: np.sum((Z / b) * G), "divide", 1),
        (lambda b: np.sum((Z[:1] + b) * G[:1]), "add", 1),  # along an axis of one
    ],
)
def test_other_operands_have_no_other_sum(loss, name, operand):
    here, _ = handed(loss, name, {"b": V}, operand)
    assert list(wrong_broadcasts(here)) == []


def test_an_operation_of_three_has_no_other_sum():
    here, _ = handed(lambda b: np.sum((Z + b) * G), "add", {"b": V}, 1)
    three = SimpleNamespace(graph=here.flow.graph, operands=lambda _: (Z, V, V))
    assert list(wrong_broadcasts(replace(here, flow=three))) == []


def test_a_column_of_a_square_may_be_summed_along_the_columns():
    here, _ = handed(lambda b: np.sum((M + b) * N4), "add", {"b": V[:, None]}, 1)
    found = by_words(wrong_broadcasts(here))
    wrong = found["is summed over axis 0 instead of summed over the axes of the broadcast"]
    same(wrong, here, N4.sum(0)[:, None])
    assert wrong.cause == "wrong_axis"
    assert "is summed over axis 1 instead of summed over the axes of the broadcast" not in found
    assert len(found) == 9


def test_two_operands_that_are_both_broadcast():
    column = N[:, :1]
    here, _ = handed(lambda b: np.sum((b * V) * G), "multiply", {"b": column})
    mean = "is averaged over axis 1 instead of summed over the axes of the broadcast"
    same(by_words(wrong_broadcasts(here))[mean], here, (G * V).mean(1, keepdims=True))
    here, _ = handed(lambda b: np.sum((b / N[0]) * G), "divide", {"b": column})
    same(by_words(wrong_broadcasts(here))[mean], here, (G / N[0]).mean(1, keepdims=True))


def test_of_two_entries_of_one_size_the_positive_is_the_largest():
    tied = np.array([[3.0, -2.0], [-3.0, 2.0], [1.0, 1.0]])
    here, _ = handed(lambda b: np.sum((b + Z[:, :2]) * tied), "add", {"b": V[:2]})
    largest = by_words(wrong_broadcasts(here))[
        "is reduced to its largest entry over axis 0 instead of summed over the axes of the "
        "broadcast"
    ]
    same(largest, here, [3.0, 2.0])


def test_sums_over_several_axes_and_over_axes_of_one():
    cube = np.random.default_rng(3).normal(size=(2, 1, 3))
    kept = np.array([2.0, 5.0, 7.0])
    here, _ = handed(lambda W: np.sum(np.mean(W, axis=0) * kept), "mean", {"W": cube})
    found = by_words(wrong_reductions(here))
    assert set(found) == {"is spread along axis 0", "is spread along axis 0 and 1"}
    for wrong in found.values():
        same(wrong, here, np.broadcast_to(kept / 2, (2, 1, 3)))
    here, _ = handed(lambda W: np.sum(np.mean(W, axis=2) * 4.0), "mean", {"W": cube})
    found = by_words(wrong_reductions(here))
    assert set(found) == {"is spread along axis 2", "is spread along axis 1 and 2"}
    assert {wrong.cause for wrong in found.values()} == {"wrong_axis"}
    here, _ = handed(lambda W: np.sum(np.mean(W, keepdims=True) * 6.0), "mean", {"W": Z})
    (wrong,) = wrong_reductions(here)
    same(wrong, here, np.full((3, 4), 0.5))
    assert wrong.words == "is spread along axis 0 and 1"


def test_what_has_one_axis_or_no_entries_is_spread_nowhere_else():
    here, _ = handed(lambda W: np.sum(np.sum(W, keepdims=True) * 2.0), "sum", {"W": V})
    assert list(wrong_reductions(here)) == []
    here, _ = handed(lambda W: np.sum(np.max(W, axis=0) * V), "max", {"W": M})
    assert list(wrong_reductions(here)) == []
    empty = np.zeros((1, 0, 3))
    here = SimpleNamespace(operation=here.operation, right=empty, cotangent=empty.sum(1))
    here.operation = replace(here.operation, name="mean")
    assert list(wrong_reductions(here)) == []


def test_a_running_sum_of_a_vector_or_of_everything():
    here, _ = handed(lambda W: np.sum(np.cumsum(W) * V), "cumsum", {"W": M[0].copy()})
    forwards = by_words(wrong_reductions(here))["is summed forwards along the axis, not backwards"]
    same(forwards, here, np.cumsum(V))
    here, _ = handed(lambda W: np.sum(np.cumsum(W)), "cumsum", {"W": M})
    assert list(wrong_reductions(here)) == []
