"""How far an entry can sensibly be moved: the lengths that steps are measured in."""

from __future__ import annotations

import numpy as np

from gradcheck.problem import FloatArray, Parameter, Problem

REACH = 10.0
"""Loss values that an entry may change by at its slope before the slope must change."""

GIANT = 100.0
"""Times the median entry from which an entry counts as one of another size."""


def rms(values: FloatArray) -> float:
    """Root mean square of the finite values, safe from overflow and underflow; 0 of none."""
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size else 0.0
    if largest == 0.0:
        return 0.0
    return largest * float(np.sqrt(np.mean(np.square(finite / largest))))


def median(values: FloatArray) -> float:
    """Return the median, as ``np.median`` without its slow import of ``numpy.ma``."""
    ordered = np.sort(values)
    if np.isnan(ordered[-1]):
        return float("nan")
    return float(0.5 * (ordered[(values.size - 1) // 2] + ordered[values.size // 2]))


def entry_scales(claimed: FloatArray, scales: FloatArray, loss: float) -> FloatArray:
    """Return the scale of each entry where one array mixes entries of very different size.

    An entry whose gradient is ``a`` cannot keep its slope over much more than ``|loss / a|``:
    where that is less than the array's typical entry, it bounds the scale.
    """
    size = np.where(np.isfinite(claimed), np.abs(claimed), 0.0)
    with np.errstate(all="ignore"):
        reach = np.where(size > 0, REACH * abs(loss) / size, np.inf)
    return np.asarray(np.minimum(scales, np.where(reach > 0, reach, np.inf)))


def entry_lengths(problem: Problem, parameter: Parameter) -> FloatArray:
    """Return the scale of each entry of a parameter, never below the entry's own magnitude."""
    claimed = problem.analytic.get(parameter.name)
    if claimed is None:
        return parameter.scales
    loss = problem.facts.value + problem.facts.offset
    reach = entry_scales(claimed, parameter.scales, loss)
    return np.asarray(np.maximum(reach, parameter.magnitudes))


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
    magnitudes = parameter.magnitudes
    nonzero = magnitudes[magnitudes > 0]
    if variation <= 0 or nonzero.size == 0:
        return np.full(magnitudes.shape, typical)
    giant = magnitudes > GIANT * median(nonzero)
    with np.errstate(all="ignore"):
        slope = variation / (np.sqrt(size) * magnitudes)
    return np.asarray(np.where(giant, np.minimum(typical, slope), typical))
