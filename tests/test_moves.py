"""Arrays moved in place: they go where they should, and come back to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.blocks import MANY
from gradcheck.sweep.moves import Block, InPlace, can_undo, moved_blocks, unchanged

N = MANY + 11
STRANGE = [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -1e-310, 1e308, 1e-300, 2.0**53]


def values_of(scale):
    draw = np.random.default_rng(0)
    values = draw.normal(size=N) * scale ** draw.uniform(-1, 1, N)
    values[: len(STRANGE)] = STRANGE
    return values


def steps_of(values, dtype):
    size = np.where(np.isfinite(values), np.abs(values), 1.0)
    size = np.clip(np.maximum(size, 1.0), 0, 1e30)
    return (size * np.random.default_rng(1).choice((-1.0, 1.0), N)).astype(dtype)


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_large_array_moves_as_from_a_copy_and_comes_back(scale, dtype):
    values = values_of(scale)
    start, steps = values.copy(), steps_of(values, dtype)
    with np.errstate(all="ignore"), moved_blocks([values], [Block(0, (), steps)]) as move:
        for distance in (1.0, -1.0, 0.25, 1e-9):
            move(distance)
            expected = start + distance * steps.astype(np.float64)
            np.testing.assert_array_equal(values, expected)
    assert values.tobytes() == start.tobytes()


def test_of_a_large_array_no_copy_is_kept():
    values = values_of(1.0)
    large = InPlace(values)
    assert can_undo(values)
    large.move(lambda _, entries: entries * (1 + 2**-52), unchanged)
    kept = [way[1] for way in large._ways_back if way is not None]
    assert sum(off.size for off in kept) == N
    assert all(off.dtype == np.int8 for off in kept[1:])
    large.undo()


@pytest.mark.parametrize(
    "array",
    [np.zeros(MANY), np.zeros((N, 2))[:, 0], np.zeros(N, dtype=np.longdouble), np.zeros(N, ">f8")],
    ids=["small", "strided", "extended", "foreign"],
)
def test_others_are_copied(array):
    assert not can_undo(array)
    with moved_blocks([array], [Block(0, (), np.ones(array.shape))]) as move:
        move(0.5)
        assert (array == 0.5).all()
    assert not array.any()


def test_an_exception_puts_them_back_too():
    values, small = values_of(1.0), np.arange(3.0)
    start = values.copy()
    blocks = [Block(1, (), np.ones(3)), Block(0, (), np.ones(N))]

    def call():
        with moved_blocks([values, small], blocks) as move:
            move(1.0)
            raise MemoryError

    with pytest.raises(MemoryError):
        call()
    assert values.tobytes() == start.tobytes()
    assert small.tolist() == [0.0, 1.0, 2.0]
