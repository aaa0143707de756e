"""Boxes of arrays that move by their steps, in the arrays' own precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcheck.blocks import BLOCK, MANY
from gradcheck.sweep.moves import (
    CAST,
    Block,
    InPlace,
    can_undo,
    moved_blocks,
    moved_entries,
    unchanged,
)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.longdouble])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_a_box_moves_and_nothing_else(dtype: Any, kind: Any) -> None:
    value = np.arange(12.0).reshape(3, 4).astype(dtype)
    steps = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=kind)
    start = value.copy()
    with moved_blocks([value], [Block(0, (slice(1, 3), slice(0, 2)), steps)]) as move:
        for distance in (0.5, -2.0, 0.0):
            move(distance)
            expected = start.copy()
            expected[1:3, 0:2] += (distance * steps).astype(dtype)
            np.testing.assert_array_equal(value, expected)
            assert value.dtype == dtype
    np.testing.assert_array_equal(value, start)


def test_several_arrays_move_together_each_from_where_it_was() -> None:
    one, two = np.arange(3.0), np.arange(4.0)
    blocks = [Block(1, (slice(0, 2),), np.ones(2)), Block(0, (), np.full(3, 2.0))]
    with moved_blocks([one, two], blocks) as move:
        assert (one.tolist(), two.tolist()) == ([0.0, 1.0, 2.0], [0.0, 1.0, 2.0, 3.0])
        move(1.0)
        move(1.0)
        assert one.tolist() == [2.0, 3.0, 4.0]
        assert two.tolist() == [1.0, 2.0, 2.0, 3.0]
    assert (one.tolist(), two.tolist()) == ([0.0, 1.0, 2.0], [0.0, 1.0, 2.0, 3.0])


@pytest.mark.parametrize("turned", [False, True])
def test_entries_move_in_arrays_of_any_layout(turned: bool) -> None:
    wide = np.arange(24.0).reshape(4, 6)
    value = wide[:, ::2].T if turned else wide
    start = value.copy()
    places, steps = np.array([1, 5]), np.array([1.0, 10.0])
    with moved_entries(value, places, steps) as move:
        move(0.5)
        expected = start.copy()
        expected[np.unravel_index(places, value.shape)] += 0.5 * steps
        np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(value, start)


@pytest.mark.parametrize("size", [CAST, CAST + 1])
def test_steps_in_single_precision_count_as_they_are(size: int) -> None:
    value = np.full((size, 1), 0.1)
    steps = np.full((size, 1), 0.1, dtype=np.float32)
    with moved_blocks([value], [Block(0, (slice(0, size), slice(0, 1)), steps)]) as move:
        move(1e-3)
        assert (value == 0.1 + 1e-3 * float(np.float32(0.1))).all()
    assert (value == 0.1).all()


@pytest.mark.parametrize(("size", "kind"), [(1 << 17, np.float64), ((1 << 17) + 1, np.float32)])
def test_so_many_of_them_are_made_double_once_and_more_anew_each_time(size: int, kind: Any) -> None:
    steps = np.ones(size, dtype=np.float32)
    with moved_blocks([np.zeros(size)], [Block(0, (slice(0, size),), steps)]) as move:
        ((moved, _),) = move.__self__._each  # type: ignore[attr-defined]
        assert moved._steps.dtype == kind
    few = np.ones(3)
    with moved_blocks([np.zeros(3)], [Block(0, (), few)]) as move:
        ((moved, _),) = move.__self__._each  # type: ignore[attr-defined]
        assert moved._steps is few


def test_what_has_not_moved_is_not_put_back() -> None:
    value = np.zeros(3)
    with moved_blocks([value], [Block(0, (), np.ones(3))]):
        value[0] = 7.0
    assert value.tolist() == [7.0, 0.0, 0.0]


# Large arrays


@pytest.mark.parametrize(
    ("dtype", "box", "in_place"),
    [("f8", (), True), ("f4", (), False), ("f8", (slice(0, MANY + 1),), False)],
)
def test_large_ones_of_doubles_that_move_as_wholes_are_not_copied(
    dtype: str, box: Any, in_place: bool
) -> None:
    value = np.zeros(MANY + 1, dtype=dtype)
    with moved_blocks([value], [Block(0, box, np.ones(MANY + 1))]) as move:
        ((moved, _),) = move.__self__._each  # type: ignore[attr-defined]
    assert isinstance(moved, InPlace) is in_place


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros(MANY + 1), True),
        (np.zeros(MANY + 1, dtype=np.float32), True),
        (np.zeros(MANY + 1, dtype=np.float16), True),
        (np.zeros(MANY), False),
        (np.zeros(MANY + 1, dtype=np.int64), False),
        (np.zeros(MANY + 1, dtype=np.complex64), False),
        (np.zeros((MANY, 2))[:, 0], False),
    ],
    ids=["double", "single", "half", "small", "integers", "complex", "strided"],
)
def test_large_ones_of_floats_need_no_copy(array: Any, expected: bool) -> None:
    assert can_undo(array) is expected


@pytest.mark.parametrize(
    ("off", "kind"),
    [
        *((127, np.int8), (-128, np.int8), (128, np.int16), (-129, np.int16)),
        *((2**15 - 1, np.int16), (-(2**15), np.int16), (2**15, np.int32), (-(2**15) - 1, np.int32)),
        *((2**31 - 1, np.int32), (-(2**31), np.int32), (2**31, np.int64), (-(2**31) - 1, np.int64)),
    ],
)
def test_what_is_kept_of_an_entry_takes_as_few_bytes_as_hold_it(off: int, kind: Any) -> None:
    value = np.full(BLOCK, 1.5)
    large = InPlace(value)
    large.move(lambda _, entries: entries - off * 2.0**-52, unchanged)
    ((_, kept),) = [way for way in large._ways_back if way is not None]
    assert kept.dtype == kind
    assert (kept == off).all()
    large.undo()
    assert (value == 1.5).all()


def test_nothing_is_kept_of_a_part_that_a_move_backwards_puts_back() -> None:
    value = np.full(2 * BLOCK, 1.5)
    value[-1] = 0.1  # 0.1 + 1 - 1 is another number
    large = InPlace(value)
    large.move(lambda _, entries: entries + 1.0, lambda _, entries: entries - 1.0)
    exact, inexact = large._ways_back
    assert exact is not None
    assert exact[1] is None
    assert inexact is not None
    assert inexact[1] is not None
    large.undo()
    assert (value[:-1] == 1.5).all()
    assert value[-1] == 0.1


def test_a_part_that_did_not_change_comes_back_from_a_signal_in_its_next_move() -> None:
    value = np.full(BLOCK, 1.5)
    large = InPlace(value)
    large.move(lambda _, entries: entries + 0.0, unchanged)
    before = large._before(0)
    assert not np.shares_memory(before, value)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_the_sign_of_a_zero_comes_back(zero: float) -> None:
    value = np.full(BLOCK, zero)
    large = InPlace(value)
    large.move(lambda _, entries: entries + 1.0, lambda _, entries: entries - 1.0)
    large.undo()
    assert (np.signbit(value) == np.signbit(zero)).all()


def test_a_second_move_starts_where_the_first_did() -> None:
    value = np.random.default_rng(0).normal(size=BLOCK + 5)
    start = value.copy()
    large = InPlace(value)
    for factor in (1.5, 0.25, -3.0):
        large.move(
            lambda _, entries, by=factor: entries * by, lambda _, entries, by=factor: entries / by
        )
        np.testing.assert_array_equal(value, start * factor)
    large.undo()
    np.testing.assert_array_equal(value, start)
    large.undo()
    np.testing.assert_array_equal(value, start)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_signal_within_a_move_leaves_what_is_put_back(at: int) -> None:
    value = np.arange(3.0 * BLOCK)
    start = value.copy()
    large = InPlace(value)
    seen = []

    def interrupted(part: slice, entries: Any) -> Any:
        seen.append(part)
        if len(seen) == at + 1:
            raise KeyboardInterrupt
        return entries + 1.0

    with pytest.raises(KeyboardInterrupt):
        large.move(interrupted, lambda _, entries: entries - 1.0)
    assert (value[: at * BLOCK] == start[: at * BLOCK] + 1.0).all()
    large.undo()
    np.testing.assert_array_equal(value, start)


def test_a_signal_within_a_way_back_is_waited_for() -> None:
    large, small = np.arange(2.0 * MANY), np.arange(3.0)
    starts = large.copy(), small.copy()
    signals = iter([True])

    class Steps(np.ndarray[Any, Any]):
        """Steps whose use raises once, when told to."""

        armed = False

        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
            if Steps.armed and next(signals, False):
                raise KeyboardInterrupt
            plain = [np.asarray(one) if isinstance(one, Steps) else one for one in inputs]
            return getattr(ufunc, method)(*plain, **kwargs)

    steps = np.ones(large.size).view(Steps)
    blocks = [Block(0, (), steps), Block(1, (), np.ones(3))]

    def call() -> None:
        with moved_blocks([large, small], blocks) as move:
            move(1.0)
            Steps.armed = True

    with pytest.raises(KeyboardInterrupt):
        call()
    np.testing.assert_array_equal(large, starts[0])
    np.testing.assert_array_equal(small, starts[1])
