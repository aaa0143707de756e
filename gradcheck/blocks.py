"""Large arrays worked on a part at a time: what is derived from them then needs little memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

Some = slice | NDArray[np.intp]
"""Some entries of an array (flat, C order)."""

BLOCK = 1 << 14
"""Entries of a part; a parameter of no more is one part."""

MANY = 1 << 17
"""Entries up to which memory does not matter, and time does."""

LOWEST, HIGHEST = 1e-30, 1e30
"""Sizes that single precision is trusted with."""


def parts(size: int) -> Iterator[slice]:
    """Yield the parts of ``size`` entries, in order; one empty part of none."""
    for begin in range(0, max(size, 1), BLOCK):
        yield slice(begin, min(begin + BLOCK, size))


def flat(array: NDArray[Any], at: Some) -> NDArray[Any]:
    """Return some entries of an array (flat, C order): a view, or a copy of these alone."""
    if array.flags.c_contiguous or not any(array.strides):
        return array.reshape(-1)[at]
    return np.asarray(array.flat[at])


def kept_if_same(kept: FloatArray | None, again: FloatArray) -> FloatArray:
    """Return what is kept where it holds the same numbers, else a copy of what came."""
    if kept is not None and kept.shape == again.shape:
        every = parts(kept.size)
        if all(_same(flat(kept, at), flat(again, at)) for at in every):
            return kept
    return again.copy()


def _same(one: FloatArray, two: FloatArray) -> bool:
    # Looking for what is no number takes ten times as long, and there seldom is any.
    return np.array_equal(one, two) or np.array_equal(one, two, equal_nan=True)


class SumOfSquares:
    """The sum of squares of values that come in parts, safe from overflow and underflow."""

    def __init__(self) -> None:
        self._largest = 0.0
        self._total = 0.0
        self.count = 0

    def add(self, values: FloatArray) -> None:
        """Add the squares of these values, which have to be finite."""
        self.count += values.size
        largest = float(np.abs(values).max(initial=0.0))
        if largest == 0.0:
            return
        if largest > self._largest:
            self._total *= (self._largest / largest) ** 2
            self._largest = largest
        self._total += float(np.sum(np.square(values / self._largest)))

    @property
    def root(self) -> float:
        """The root of the sum."""
        return self._largest * math.sqrt(self._total)

    @property
    def mean_root(self) -> float:
        """The root of the mean; 0 of none."""
        return self._largest * math.sqrt(self._total / self.count) if self.count else 0.0


def in_little(
    shape: tuple[int, ...], make: Callable[[slice], FloatArray], *, bound: bool = False
) -> NDArray[Any]:
    """Return the array whose parts (flat, C order) ``make`` gives, each made once and in order.

    In single precision where the entries are many (``MANY``) and of sizes that it can hold; a
    ``bound`` is rounded up then.
    """
    size = math.prod(shape)
    if size <= BLOCK:
        return make(slice(0, size)).reshape(shape)
    made: NDArray[Any] = np.empty(size, dtype=np.float64 if size <= MANY else np.float32)
    for at in parts(size):
        part = make(at)
        if made.dtype == np.float32 and not _representable(part):
            # What is not made yet is whatever the memory held: no numbers to convert.
            made, so_far = np.empty(size), made
            made[: at.start] = so_far[: at.start]
        made[at] = rounded_up(part, np.float32) if bound and made.dtype == np.float32 else part
    return made.reshape(shape)


def _representable(values: FloatArray) -> bool:
    """Whether single precision holds these values."""
    sizes = np.abs(values)
    sizes = sizes[np.isfinite(sizes) & (sizes != 0.0)]
    return not sizes.size or bool(sizes.min() > LOWEST and sizes.max() < HIGHEST)


def rounded_up(bounds: FloatArray, kind: type[np.floating[Any]]) -> NDArray[Any]:
    """Return bounds in a lower precision that are no smaller; zeros stay zero."""
    with np.errstate(over="ignore"):
        near = bounds.astype(kind)
    return np.where(near < bounds, np.nextafter(near, kind(np.inf)), near)
