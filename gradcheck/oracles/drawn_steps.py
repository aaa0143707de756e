"""Directions drawn at random, and a gradient multiplied with them; in parts, without copies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.oracles.ladder import KAPPA
from gradcheck.problem import FloatArray

BUFFER = 1 << 16
"""Entries of an array that are worked on at a time."""
DRAWN = 1 << 13
"""Entries of a direction that are drawn at a time: few enough for the processor's cache."""


@dataclass(frozen=True, eq=False, slots=True)
class Projection:
    """A gradient seen along a direction.

    ``dot`` is the sum of its products with the direction, ``size`` the root of the sum of their
    squares, ``rounding`` what the gradient's own rounding may have moved ``dot`` by.
    """

    dot: float
    size: float
    rounding: float


def draw_steps(value: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
    """Draw a direction for one parameter: random signs, each entry about as long as its scale.

    An entry is a power of two times a number of ten bits, so that ``x + h v`` is exact for most
    ``x`` and every ``h`` that is a power of two, and half as many bytes as the parameter suffice.
    Lengths vary too, since equal errors at equal lengths would cancel each other half the time.
    """
    typical = _typical(value)
    smallest = np.float32 if 1e-25 < typical < 1e25 else np.float64
    steps = np.empty(value.shape, dtype=smallest)
    source = value.ravel() if value.flags.c_contiguous else value.flat
    target = steps.ravel()
    for begin in range(0, value.size, DRAWN):
        part = slice(begin, begin + DRAWN)
        magnitude = np.abs(np.asarray(source[part], dtype=np.float64))
        np.maximum(magnitude, typical, out=magnitude)
        drawn = generator.integers(-512, 512, len(magnitude), dtype=np.int16)
        drawn += 512 + 1023 * (drawn >> 15)  # of size 512 to 1023, negative where it was
        target[part] = drawn * (_nearest_power(magnitude) * 2.0**-10)
    return steps


def _nearest_power(magnitude: FloatArray) -> FloatArray:
    """Return the power of two nearest to each positive number, by the ratio between them.

    0 for what is not finite: that does not move.
    """
    if not 1e-300 < magnitude.min() <= magnitude.max() < 1e300:
        fraction, exponent = np.frexp(magnitude)
        power = np.ldexp(np.where(fraction >= math.sqrt(0.5), 1.0, 0.5), exponent)
        return np.where(np.isfinite(magnitude), power, 0.0)
    # The bits of a float are its sign, its exponent and its fraction: without the last one, it is
    # the power of two below it.
    bits = (magnitude * math.sqrt(2.0)).view(np.int64)
    bits &= _EXPONENT
    return bits.view(np.float64)


_EXPONENT = np.int64(0x7FF << 52)


def _typical(value: NDArray[Any]) -> float:
    """Root mean square of the non-zero entries, in one pass without a copy; 1 where all are 0."""
    largest = max(abs(float(value.max())), abs(float(value.min())))
    if not 0.0 < largest < math.inf:
        return 1.0
    total, count = 0.0, 0
    source = value.ravel() if value.flags.c_contiguous else value.flat
    for begin in range(0, value.size, BUFFER):
        part = np.asarray(source[begin : begin + BUFFER], dtype=np.float64) / largest
        total += float(part @ part)
        count += int(np.count_nonzero(part))
    return largest * math.sqrt(total / count)


def project(
    claimed: Sequence[FloatArray], rounding: Sequence[FloatArray], steps: Sequence[NDArray[Any]]
) -> Projection:
    """Multiply a gradient, given in parts, with the steps of a direction."""
    dots: list[float] = []
    squares = blurs = 0.0
    for parts in zip(claimed, rounding, steps, strict=True):
        with np.nditer(
            parts,
            flags=["external_loop", "buffered", "zerosize_ok"],
            op_dtypes=[np.float64] * 3,
            buffersize=BUFFER,
        ) as chunks:
            for a, error, v in chunks:
                with np.errstate(invalid="ignore"):
                    product = np.multiply(a, v)
                if not math.isfinite(float(product.sum())):
                    # Entries that are not numbers are judged by themselves; they do not move.
                    product[v == 0.0] = 0.0
                dots.append(float(product.sum()))
                squares += float(product @ product)
                blur = np.multiply(error, v)
                blurs += float(blur @ blur)
    size = math.sqrt(squares)
    unit = float(np.finfo(np.float64).eps)
    return Projection(math.fsum(dots), size, KAPPA * math.sqrt(blurs) + 16 * unit * size)
