"""A gradient that is what is left of terms which cancel, as at an optimum of least squares.

``X'X w - X'y`` is rounded as its two terms are, and where ``X'X`` is computed beforehand, its own
rounding is a part of them that no move of ``w`` changes. How large the terms are shows in how much
the gradient changes when the parameters move by a small part of themselves: by that part of the
Hessian times the parameters (condition numbers, as of Higham, "Accuracy and Stability of Numerical
Algorithms", 2002, section 1.6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from gradcheck.calling.quiet import quiet
from gradcheck.problem import FloatArray, Problem
from gradcheck.verdict.compare import (
    CLEAR,
    INCONCLUSIVE,
    PASS,
    SMALL,
    TAIL,
    Judged,
    Thresholds,
)
from gradcheck.verdict.nearby import Signs, moved

DRAWS = 4
"""Directions of which the mean counts, for in a single one the terms of an entry may cancel."""
PART = 2.0**-10
"""Part of themselves by which the parameters move: far more than a rounding, so that none hides
the change, and jumps of the gradient add next to nothing to its rounding."""
SUMMED = 32.0
"""Units in the last place of its terms, by root mean square, that sums of some hundred numbers and
the products in them may leave in an entry: 40 is the most of three thousand that were drawn."""
DUST = 1e-11
"""Share of its terms up to which an entry is what rounding, and that of the parameters, leave:
above, its own rounding is less than a thousandth of it."""

Gradient = Callable[[], Mapping[str, FloatArray]]


def terms_of(
    problem: Problem, gradient: Gradient, names: Sequence[str], generator: np.random.Generator
) -> dict[str, FloatArray]:
    """Return how large the terms of each entry of some parameters' gradient are.

    Nothing is returned where the limits, or the domain of the loss, leave no room to measure it.

    Args:
        problem: its parameters are moved, and put back; each gradient counts as an evaluation.
        gradient: computes it at the parameters' present values.
        names: of the parameters.
        generator: draws the directions.
    """
    if not problem.evaluator.spend(2 * DRAWS):
        return {}
    squares = {name: np.zeros(problem.analytic[name].shape) for name in names}
    for _ in range(DRAWS):
        signs = [Signs(generator, one.value.size) for one in problem.parameters]
        sides: list[dict[str, FloatArray]] = []
        for part in (PART, -PART):
            with ExitStack() as stack:
                for one, sign in zip(problem.parameters, signs, strict=True):
                    stack.enter_context(moved(one.value, part, sign))
                try:
                    with quiet():
                        found = gradient()
                        sides.append({name: np.array(found[name]) for name in names})
                except Exception:
                    # Outside the domain: how large the terms are stays unknown.
                    return {}
        for name in names:
            squares[name] += np.square((sides[0][name] - sides[1][name]) / (2.0 * PART))
    terms = {name: np.sqrt(one / DRAWS) for name, one in squares.items()}
    return {name: one for name, one in terms.items() if np.isfinite(one).all()}


def rounded_as(terms: FloatArray) -> FloatArray:
    """Return the rounding of an entry whose terms are of this size."""
    return np.asarray(SUMMED * float(np.finfo(np.float64).eps) * terms)


def with_dust_settled(judged: Judged, terms: FloatArray, thresholds: Thresholds) -> Judged:
    """Let entries pass that agree within their rounding, and are dust beside their terms.

    The scale of such an entry is a thousandth of its terms: of what the gradient ordinarily is.
    What differs by more than rounding stays as it is.
    """
    size = np.fmax(np.abs(judged.analytic), np.abs(judged.reference))
    difference = np.abs(judged.analytic - judged.reference)
    dust = (size <= DUST * terms) & (judged.allowed <= CLEAR * DUST * terms) & ~judged.kinks
    agrees = dust & (judged.codes == INCONCLUSIVE) & (difference <= TAIL * judged.allowed)
    if not agrees.any():
        return judged
    with np.errstate(all="ignore"):
        known = np.fmax(judged.allowed, difference) / (SMALL * terms)
    resolution = np.where(agrees, np.fmax(known, thresholds.same), judged.resolution)
    codes = np.where(agrees, PASS, judged.codes).astype(np.int8)
    return replace(judged, codes=codes, resolution=resolution)
