"""Does a candidate gradient equal the analytic one, within what is known?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from gradcheck.blocks import BLOCK, MANY, flat, parts
from gradcheck.diagnose.evidence import Array, Facts, Mask

SLACK = 4.0
"""Uncertainties are estimates: a candidate may be off by this many of them."""

NEAR = 0.01
"""A near miss leaves at most this part of the error unexplained."""

SHARP = 0.03
"""An exact match needs an uncertainty below this part of the error it explains."""


Values = Callable[[slice], Array]
"""Makes the values of some entries (flat, C order)."""


def quality(facts: Facts, candidate: Array, tolerance: Array | None = None) -> str | None:
    """Say how well ``candidate`` reproduces the analytic gradient of one parameter.

    Args:
        facts: the parameter.
        candidate: gradient that the explanation predicts, of the parameter's shape.
        tolerance: uncertainty of the candidate; by default that of the comparison.

    Returns:
        ``"exact"`` when all known entries agree within the tolerance and that is small compared
        with the error; ``"likely"`` when they agree within a tolerance that is not so small;
        ``"possible"`` when 99% of the error is explained; None otherwise.
    """
    if candidate.shape != facts.analytic.shape:
        return None
    own = None if tolerance is None else partial(flat, tolerance)
    return quality_in_parts(facts, partial(flat, candidate), own)


def quality_in_parts(
    facts: Facts, candidate: Values, tolerance: Values | None = None
) -> str | None:
    """Say the same of a gradient that is made in parts: no more of them than it takes."""
    if facts.error == 0.0:
        return None
    within, left, spread = True, 0.0, 0.0
    for at in _worst_first(facts):
        known, proposed = flat(facts.known, at), candidate(at)
        usable = known & np.isfinite(proposed)
        if (known & ~usable).any():
            return None
        own = flat(facts.tolerance, at)
        allowed = own if tolerance is None else np.maximum(own, tolerance(at))
        claimed = flat(facts.analytic, at)
        off = np.where(usable, np.abs(claimed - np.where(usable, proposed, 0.0)), 0.0)
        within = within and bool((off <= SLACK * allowed).all())
        left = math.hypot(left, float(np.linalg.norm(off)))
        if not within and left > NEAR * facts.error:
            return None
        spread = math.hypot(spread, float(np.linalg.norm(np.where(usable, allowed, 0.0))))
    if not within:
        return "possible"
    if spread <= SHARP * facts.error:
        return "exact"
    return "likely" if spread <= facts.error / SLACK else None


def _worst_first(facts: Facts) -> Iterator[slice]:
    """Yield the parts of a parameter, first the one with the largest error.

    What does not explain that one explains nothing.
    """
    every = list(parts(facts.analytic.size))
    if len(every) > 1:
        every.insert(0, every.pop(facts.worst // BLOCK))
    yield from every


def agrees(facts: Facts, candidate: Array) -> bool:
    """Say whether every known entry of a gradient equals the analytic one to the tolerance."""
    for at in parts(candidate.size):
        off = np.abs(flat(facts.analytic, at) - flat(candidate, at))
        within = off <= SLACK * flat(facts.tolerance, at)
        if not (within | ~flat(facts.known, at)).all():
            return False
    return True


@dataclass(frozen=True)
class Fit:
    """Least-squares coefficients and whether they are determined by more entries than needed."""

    coefficients: tuple[float, ...]
    overdetermined: bool


def fit(facts: Facts, target: Array, *columns: Array, where: Mask | None = None) -> Fit | None:
    """Fit ``target`` as a combination of ``columns``, entries weighted by their tolerance.

    Returns None where the columns do not determine the coefficients.
    """
    use = facts.known if where is None else facts.known & where
    if use.size > MANY:
        use = _some(use, (target, *columns))
    weight = 1.0 / np.maximum(facts.tolerance[use], np.finfo(float).tiny)
    # The weights span many decades; capping them keeps the least squares well conditioned.
    weight = np.minimum(weight, 1e6 * np.median(weight)) if weight.size else weight
    matrix = np.stack([column[use] * weight for column in columns], axis=1)
    right = target[use] * weight
    heights = np.linalg.norm(matrix, axis=0)
    if matrix.shape[0] < len(columns) or not np.isfinite(matrix).all() or (heights == 0).any():
        return None
    solution, _, rank, _ = np.linalg.lstsq(matrix / heights, right, rcond=1e-10)
    if rank < len(columns):
        return None
    telling = int(np.count_nonzero(np.abs(matrix).max(axis=1) > 1e-9 * np.abs(matrix).max()))
    coefficients = tuple(float(c) for c in solution / heights)
    return Fit(coefficients, overdetermined=telling >= 2 * len(columns) + 1)


def _some(use: Mask, arrays: Sequence[Array]) -> Mask:
    """Return some of many entries, evenly spread over those where not all of the arrays are 0.

    A coefficient needs no more of them; whether it is right is judged with all.
    """
    telling = np.zeros(use.shape, bool)
    for array in arrays:
        telling |= array != 0.0
    telling &= use
    step = 1 + int(np.count_nonzero(telling)) // MANY
    chosen = np.zeros(use.size, bool)
    seen = 0
    for at in parts(use.size):
        here = np.flatnonzero(flat(telling, at))
        chosen[at.start + here[-seen % step :: step]] = True
        seen += here.size
    return chosen.reshape(use.shape)
