"""A gradient a rounding away from the point: moves that are undone, and what they changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import BLOCK, MANY, FloatArray, flat, parts, rounded_up
from gradcheck.scales import rms
from gradcheck.sweep.moves import InPlace, Moves, can_undo, unchanged

TOP = 15
"""Power of two below which the largest size of a part is kept in half precision."""


class Signs:
    """A random sign of each of ``size`` entries, eight in a byte."""

    def __init__(self, generator: np.random.Generator, size: int) -> None:
        self._bits = np.empty(-(-size // 8), dtype=np.uint8)
        for at in parts(size):
            drawn = generator.integers(0, 2, at.stop - at.start)
            self._bits[at.start // 8 : -(-at.stop // 8)] = np.packbits(drawn.astype(bool))

    def part(self, at: slice) -> NDArray[np.int8]:
        """Return the signs of some entries, of which the first is at a multiple of eight."""
        bits = self._bits[at.start // 8 :]
        signs = np.unpackbits(bits, count=at.stop - at.start).astype(np.int8)
        signs += signs
        signs -= 1
        return signs


@contextmanager
def moved(value: NDArray[Any], unit: float, signs: Signs) -> Iterator[None]:
    """Multiply an array by ``1 + unit * signs`` for a while, in place.

    No copy is kept of a large array (see ``gradcheck.sweep.moves``); it is put back to the bit.
    """
    if can_undo(value):
        large = InPlace(value)

        def multiply(units: float) -> None:
            large.move(lambda at, entries: entries * (1.0 + units * signs.part(at)), unchanged)

        with Moves([(large, multiply)]) as move:
            move(unit)
            yield
        return
    start = value.copy()
    factors = np.asarray(unit * signs.part(slice(0, value.size)).reshape(value.shape))
    factors += 1.0
    try:
        np.copyto(value, np.multiply(start, factors, out=factors))
        yield
    finally:
        np.copyto(value, start)


class Kept:
    """A gradient near the point, to be compared with another.

    Args:
        array: the gradient; the target may write into it in its next call.
        about: the gradient at the point: of many entries, only the difference from it is kept, in
            single precision. None where ``array`` is that gradient itself, and stays as it is.
    """

    def __init__(self, array: FloatArray, about: FloatArray | None = None) -> None:
        self._about = about
        if about is None:
            self._kept: NDArray[Any] = array
        elif array.size <= MANY:
            self._kept, self._about = array.copy(), None
        else:
            self._unit = math.ldexp(1.0, math.frexp(rms(about))[1])
            self._kept = self._difference(array, about)

    def _difference(self, array: FloatArray, about: FloatArray) -> NDArray[np.float32]:
        small = np.empty(array.size, dtype=np.float32)
        for at in parts(array.size):
            with np.errstate(all="ignore"):
                small[at] = (flat(array, at) - flat(about, at)) / self._unit
        return small

    def apart(self, other: FloatArray) -> Callable[[slice], FloatArray]:
        """Return a function that tells how far some entries are from those of another gradient."""
        about = self._about

        def of_part(at: slice) -> FloatArray:
            with np.errstate(all="ignore"):
                if about is None:
                    return np.asarray(np.abs(flat(other, at) - flat(self._kept, at)))
                offset = flat(other, at) - flat(about, at)
                kept = self._unit * flat(self._kept, at).astype(np.float64)
                return np.asarray(np.abs(offset - kept))

        return of_part


class Least:
    """The least of several sizes of each of ``size`` entries; NaN where one of them is.

    Where the entries are many, in two bytes each, rounded up by no more than a thousandth; parts
    that this cannot hold stay as they are.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._parts: list[tuple[float, NDArray[Any]]] = []

    def lower(self, sizes: Callable[[slice], FloatArray]) -> None:
        """Take these sizes where they are smaller."""
        for number, at in enumerate(parts(self._size)):
            part = sizes(at)
            if number < len(self._parts):
                self._parts[number] = self._kept(np.minimum(self.part(at), part))
            else:
                self._parts.append(self._kept(part))

    def part(self, at: slice) -> FloatArray:
        """Return the least sizes of one of ``gradcheck.blocks.parts``."""
        unit, kept = self._parts[at.start // BLOCK]
        return np.asarray(unit * kept.astype(np.float64))

    def _kept(self, sizes: FloatArray) -> tuple[float, NDArray[Any]]:
        if self._size > MANY:
            with np.errstate(all="ignore"):
                largest = float(np.max(sizes, where=np.isfinite(sizes), initial=0.0))
                unit = math.ldexp(1.0, math.frexp(largest)[1] - TOP)
                small = rounded_up(sizes / unit, np.float16)
                grown = small.astype(np.float64) * unit > 1.001 * sizes
            if unit > 0.0 and not grown.any():
                return unit, small
        return 1.0, sizes
