"""Differences of losses kept to the bit in a byte or two, beside the claim that predicts them.

A loss is a whole number of units in its last place, and so is the difference of two. The claimed
gradient tells this number but for the noise of the loss, so that what is left of it is small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import FloatArray

EXACT = 2.0**53
"""Size below which every whole number is a float."""
KINDS = (np.int8, np.int16, np.int32)


@dataclass(frozen=True, eq=False)
class Counted:
    """Differences of losses: ``grain`` times a whole number that is ``missed`` off the expected.

    The smallest number of its type stands for what is not finite. Without ``grain``, ``missed``
    holds the differences themselves.
    """

    grain: float
    missed: NDArray[Any]

    def differences(self, expected: FloatArray, at: slice) -> FloatArray:
        """Return some of them, given what ``counted`` was told to expect of these."""
        missed = self.missed[at]
        if not self.grain:
            return np.asarray(missed)
        whole = (_rounded(expected, self.grain) + missed) * self.grain
        return np.where(missed == np.iinfo(missed.dtype).min, np.nan, whole)


def counted(differences: FloatArray, expected: FloatArray) -> Counted:
    """Keep differences of losses in as little as holds them to the bit.

    Args:
        differences: finite ones are told to the bit, others as NaN.
        expected: what the claim makes of them, about; finite.
    """
    finite = np.isfinite(differences)
    grain = _grain(differences[finite & (differences != 0.0)])
    with np.errstate(all="ignore"):
        counts = np.where(finite, differences, 0.0) / grain
        near = _rounded(expected, grain)
        missed = np.where(finite, counts - near, 0.0)
        largest = max(float(np.abs(one).max(initial=0.0)) for one in (counts, near, missed))
    if largest < EXACT and grain > np.finfo(np.float64).tiny:
        beyond = float(np.abs(missed).max(initial=0.0))
        for kind in KINDS:
            if beyond <= np.iinfo(kind).max:
                return Counted(grain, np.where(finite, missed, np.iinfo(kind).min).astype(kind))
    return Counted(0.0, np.where(finite, differences, np.nan))


def _rounded(expected: FloatArray, grain: float) -> FloatArray:
    return np.asarray(np.rint(expected / grain))


def _grain(differences: FloatArray) -> float:
    """The largest power of two that divides all of these; 1 of none."""
    if not differences.size:
        return 1.0
    mantissas, exponents = np.frexp(differences)
    whole = (mantissas * EXACT).astype(np.int64)
    lowest = np.frexp((whole & -whole).astype(np.float64))[1] - 1 + exponents - 53
    return float(np.ldexp(1.0, int(lowest.min())))


def packed(marks: NDArray[np.bool_]) -> bool | NDArray[np.uint8]:
    """Keep marks: all the same, as most often, or eight in a byte."""
    if marks.all() or not marks.any():
        return bool(marks.any())
    return np.packbits(marks)


def unpacked(kept: bool | NDArray[np.uint8], at: slice) -> NDArray[np.bool_]:
    """Return some of the marks."""
    if isinstance(kept, bool):
        return np.full(at.stop - at.start, kept)
    return np.unpackbits(kept, count=at.stop)[at].astype(bool)
