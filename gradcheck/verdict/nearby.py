"""A gradient a rounding away from the point: moves that are undone, differences kept in little."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import MANY, FloatArray, flat, in_little, parts
from gradcheck.scales import rms

BITS = {2: np.int16, 4: np.int32, 8: np.int64}


@contextmanager
def moved(value: NDArray[Any], unit: float, signs: NDArray[np.int8]) -> Iterator[None]:
    """Multiply an array by ``1 + unit * signs`` for a while, in place.

    Of a large array no copy is kept, but by how many units in the last place each entry moved,
    which is undone to the bit.
    """
    plain = value.flags.c_contiguous and value.dtype.isnative and value.dtype.itemsize in BITS
    if value.size <= MANY or not plain:
        start = value.copy()
        factors = np.asarray(unit * signs)
        factors += 1.0
        try:
            np.copyto(value, np.multiply(start, factors, out=factors))
            yield
        finally:
            np.copyto(value, start)
        return
    bits = value.reshape(-1).view(BITS[value.dtype.itemsize])
    moves: NDArray[Any] = np.zeros(value.size, dtype=np.int8)
    entries = value.reshape(-1)
    try:
        for at in parts(value.size):
            before = bits[at].copy()
            target = (entries[at] * (1.0 + unit * flat(signs, at))).astype(value.dtype)
            by = target.view(bits.dtype) - before
            if moves.dtype == np.int8 and max(by.max(), -by.min()) > np.iinfo(np.int8).max:
                moves = moves.astype(bits.dtype)
            moves[at] = by
            bits[at] += moves[at]
        yield
    finally:
        for at in parts(value.size):
            bits[at] -= moves[at]


class Kept:
    """A gradient near the point, to be compared with another.

    Args:
        array: the gradient; the target may write into it in its next call.
        about: the gradient at the point: of many entries, only the difference from it is kept, in
            single precision. None where ``array`` is that gradient itself, and stays as it is.
    """

    def __init__(self, array: FloatArray, about: FloatArray | None = None) -> None:
        self._about, self._unit = about, 1.0
        if about is None:
            self._kept: NDArray[Any] = array
        elif array.size <= MANY:
            self._kept, self._about = array.copy(), None
        else:
            typical = rms(about)
            self._unit = math.ldexp(1.0, math.frexp(typical)[1]) if typical > 0 else 1.0
            self._kept = self._difference(array, about)

    def _difference(self, array: FloatArray, about: FloatArray) -> NDArray[np.float32]:
        small = np.empty(array.size, dtype=np.float32)
        for at in parts(array.size):
            with np.errstate(all="ignore"):
                small[at] = (flat(array, at) - flat(about, at)) / self._unit
        return small

    def apart(self, other: FloatArray) -> NDArray[Any]:
        """Return how far each entry is from that of another gradient."""
        about = self._about

        def of_part(at: slice) -> FloatArray:
            with np.errstate(all="ignore"):
                if about is None:
                    return np.asarray(np.abs(flat(other, at) - flat(self._kept, at)))
                offset = flat(other, at) - flat(about, at)
                kept = self._unit * flat(self._kept, at).astype(np.float64)
                return np.asarray(np.abs(offset - kept))

        return in_little(other.shape, of_part)
