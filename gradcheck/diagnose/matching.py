"""Does a candidate gradient equal the analytic one, within what is known?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck.diagnose.evidence import Array, Facts, Mask

SLACK = 4.0
"""Uncertainties are estimates: a candidate may be off by this many of them."""

NEAR = 0.01
"""A near miss leaves at most this part of the error unexplained."""

SHARP = 0.03
"""An exact match needs an uncertainty below this part of the error it explains."""


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
    if candidate.shape != facts.analytic.shape or facts.error == 0.0:
        return None
    allowed = np.maximum(facts.tolerance, 0.0 if tolerance is None else tolerance)
    usable = facts.known & np.isfinite(candidate)
    if not usable.any() or (facts.known & ~usable).any():
        return None
    left = np.where(usable, np.abs(facts.analytic - np.where(usable, candidate, 0.0)), 0.0)
    if (left <= SLACK * allowed).all():
        spread = float(np.linalg.norm(np.where(usable, allowed, 0.0)))
        if spread <= SHARP * facts.error:
            return "exact"
        return "likely" if spread <= facts.error / SLACK else None
    return "possible" if float(np.linalg.norm(left)) <= NEAR * facts.error else None


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
