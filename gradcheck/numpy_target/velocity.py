"""A gradient function that returns its velocity: a share of the last one, and the gradient.

A buffer ``v = m v + a`` that began at zero holds ``a (1 - m**n) / (1 - m)`` after ``n`` calls at
one point: ``m`` is the momentum, or the weight of a running average.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradcheck.problem import FloatArray
from gradcheck.scales import rms

LEAST = 0.05
"""Smallest share kept from call to call; below it, an iteration that converges does the same."""
EXACT = 1e-6
"""Relative error up to which what is kept of a change is one share of all of it."""
ROUNDING = 1e-12
"""Rounding of the gradients, relative to them."""
WHOLE = 0.02
"""How far a number of calls may be from a whole one."""


@dataclass(frozen=True, eq=False)
class Velocity:
    """What a buffer keeps of itself in each call (``share``), and where it ends (``limit``)."""

    share: float
    limit: FloatArray

    @property
    def second(self) -> FloatArray:
        """What the second call returns, which is how training meets it."""
        return np.asarray(self.limit * (1 - self.share**2))


def velocity(draws: Sequence[FloatArray]) -> Velocity | None:
    """Return the velocity that successive calls at one point return; None if it is none.

    An iteration that starts where it last ended comes closer to its limit by the same share, too;
    but not as if it had begun at zero, in every entry, a whole number of calls ago.
    """
    with np.errstate(all="ignore"):
        changes = np.diff(np.stack(draws).reshape(len(draws), -1), axis=0)
        floor = ROUNDING * rms(draws[-1])
        square = float(changes[0] @ changes[0])
        share = float(changes[0] @ changes[1]) / square if square else 0.0
        if len(changes) < 3 or not LEAST <= share < 1:
            return None
        left = changes[1:] - share * changes[:-1]
        sizes = zip(left, changes[:-1], strict=True)
        if any(rms(one) > EXACT * rms(change) + floor for one, change in sizes):
            return None
        first = draws[0].reshape(-1)
        limit = first + changes[0] / (1 - share)
        remaining = float((limit - first) @ limit) / float(limit @ limit)
        apart = rms(limit - first - remaining * limit)
        if not 0 < remaining < 1 or apart > EXACT * rms(limit - first) + floor / (1 - share):
            return None
        calls = math.log(remaining) / math.log(share)
        if round(calls) < 1 or abs(calls - round(calls)) > WHOLE:
            return None
    return Velocity(share, limit.reshape(draws[0].shape))
