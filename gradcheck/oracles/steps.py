"""The step of the first central difference of each entry."""

from __future__ import annotations

import numpy as np

from gradcheck.oracles.ladder import KAPPA
from gradcheck.problem import FloatArray
from gradcheck.scales import rms

AIM = 1e-8
"""Relative error from noise that the first step aims at, where truncation allows it."""
SHORTEST = 1e-12
LONGEST = 1e-2
"""Bounds of the first step, in units of the entry's scale."""


def typical_change(claimed: FloatArray, scales: FloatArray) -> float:
    """Return by how much entries of this gradient typically change the loss over their scales."""
    return rms(np.where(np.isfinite(claimed), np.abs(claimed), 0.0) * scales)


def first_steps(
    claimed: FloatArray,
    scales: FloatArray,
    noise_level: float,
    loss: float,
    typical: float | None = None,
) -> FloatArray:
    """Return the first step of each entry, in the parameter's units.

    The smaller of two: the step at which noise falls to ``AIM`` of the claimed gradient, and the
    one that balances noise against the truncation error of a loss whose derivatives are of
    ordinary size in units of the scale: the cube root of three times the noise over the third
    derivative.

    Args:
        claimed: the analytic gradient.
        scales: of the entries, in the parameter's units.
        noise_level: standard deviation of the loss's roundoff.
        loss: the loss at the point.
        typical: change of the loss over an entry's scale (see ``typical_change``); by default that
            of these entries.
    """
    if typical is None:
        typical = typical_change(claimed, scales)
    finite = np.where(np.isfinite(claimed), np.abs(claimed), 0.0)
    changes = finite * scales
    fallback = abs(loss) if loss != 0.0 else noise_level
    change = np.maximum(changes, typical)
    change = np.where(change > 0, change, fallback)
    size = np.maximum(finite, 1e-2 * typical / scales)
    with np.errstate(all="ignore"):
        balanced = scales * np.cbrt(np.where(change > 0, 3 * noise_level / change, 1e-16))
        aimed = np.where(size > 0, KAPPA * noise_level / (AIM * size), np.inf)
    steps = np.minimum(balanced, aimed)
    steps = np.clip(steps, SHORTEST * scales, LONGEST * scales)
    # A power of two: x + h and x - h then differ from x by exactly h for most x.
    return np.asarray(np.exp2(np.round(np.log2(steps))))
