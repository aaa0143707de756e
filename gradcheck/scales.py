"""How far an entry can sensibly be moved: the lengths that steps are measured in."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gradcheck.blocks import BLOCK, Some, SumOfSquares, flat, parts
from gradcheck.problem import FloatArray, Parameter, Problem

REACH = 10.0
"""Loss values that an entry may change by at its slope before the slope must change."""

GIANT = 100.0
"""Times the median entry from which an entry counts as one of another size."""


def rms(values: FloatArray) -> float:
    """Root mean square of the finite values, safe from overflow and underflow; 0 of none."""
    squares = SumOfSquares()
    for at in parts(values.size):
        part = flat(values, at)
        squares.add(part if np.isfinite(part).all() else part[np.isfinite(part)])
    return squares.mean_root


def norm(values: FloatArray) -> float:
    """Return the Euclidean norm, of numbers whose squares are beyond the floats, too."""
    return rms(values) * math.sqrt(values.size)


def median(values: FloatArray) -> float:
    """Return the median, as ``np.median`` without its slow import of ``numpy.ma``."""
    if np.isnan(values.max()):
        return float("nan")
    middle = values.size // 2
    parted = np.partition(values, middle)  # at two places at once it takes ten times as long
    upper = parted[middle]
    lower = upper if values.size % 2 else parted[:middle].max()
    return float(0.5 * (lower + upper))


def entry_scales(claimed: FloatArray, scales: FloatArray, loss: float) -> FloatArray:
    """Return the scale of each entry where one array mixes entries of very different size.

    An entry whose gradient is ``a`` cannot keep its slope over much more than ``|loss / a|``:
    where that is less than the array's typical entry, it bounds the scale.
    """
    with np.errstate(all="ignore"):
        reach = np.asarray(np.divide(REACH * abs(loss), np.abs(claimed)))
        if not reach.min(initial=np.inf) > 0.0:  # an infinite claim, no number, a loss of 0
            reach = np.where(reach > 0, reach, np.inf)
        return np.asarray(np.minimum(scales, reach))


def entry_lengths(problem: Problem, parameter: Parameter) -> FloatArray:
    """Return the scale of each entry of a parameter, never below the entry's own magnitude."""
    of_part = lengths_in_parts(problem, parameter)
    return of_part(slice(0, parameter.value.size)).reshape(parameter.value.shape)


def lengths_in_parts(problem: Problem, parameter: Parameter) -> Callable[[Some], FloatArray]:
    """Return a function that gives these scales for some entries (flat, C order)."""
    claimed = problem.analytic.get(parameter.name)
    typical, loss = parameter.typical, problem.facts.value + problem.facts.offset

    def of_part(at: Some) -> FloatArray:
        magnitude = parameter.magnitude(at)
        scales = np.maximum(magnitude, typical)
        if claimed is None:
            return scales
        return np.asarray(np.maximum(entry_scales(flat(claimed, at), scales, loss), magnitude))

    return of_part


def own_size(parameter: Parameter, typical: float, variation: float, size: int) -> FloatArray:
    """Return the typical gradient of each entry, where one array mixes entries of many sizes.

    An entry far larger than the others has a gradient as much smaller, in its units: no more than
    the slope at which its own size would change the loss as much as the loss varies at all.

    Args:
        parameter: whose entries are looked at.
        typical: the root mean square gradient of the whole array.
        variation: how much the loss changes over the parameters' scales (see ``variation``).
        size: number of entries that moved together to make it.
    """
    of_part = own_size_in_parts(parameter, typical, variation, size)
    return of_part(slice(0, parameter.value.size)).reshape(parameter.value.shape)


def own_size_in_parts(
    parameter: Parameter, typical: float, variation: float, size: int
) -> Callable[[slice], FloatArray]:
    """Return a function that gives the same for a part of the entries (flat, C order)."""
    ordinary = _median_magnitude(parameter) if variation > 0 else 0.0

    def of_part(at: slice) -> FloatArray:
        magnitudes = parameter.magnitude(at) if ordinary > 0.0 else np.zeros(0)
        if magnitudes.max(initial=0.0) <= GIANT * ordinary:
            return np.broadcast_to(typical, (at.stop - at.start,))
        giant = magnitudes > GIANT * ordinary
        with np.errstate(all="ignore"):
            slope = variation / (np.sqrt(size) * magnitudes)
        return np.asarray(np.where(giant, np.minimum(typical, slope), typical))

    return of_part


def _median_magnitude(parameter: Parameter) -> float:
    """Median of the entries that are not zero, of every k-th where they are many; 0 of none."""
    value = parameter.value
    every = max(1, -(-value.size // BLOCK))
    drawn = value.reshape(-1)[::every] if value.flags.c_contiguous else value.flat[::every]
    magnitudes = np.abs(np.asarray(drawn).astype(np.float64))
    nonzero = magnitudes[(magnitudes > 0) & np.isfinite(magnitudes)]
    return median(nonzero) if nonzero.size else 0.0
