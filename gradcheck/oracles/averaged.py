"""Noise averaged out of a slope: a polynomial fitted to the losses along one entry.

A pair of losses knows a slope to the noise over the step. A least-squares polynomial through many
points knows it better by the root of their number, and over longer steps, since it takes the
curvature along. It is believed where what it leaves of the losses is white, where the polynomial of
the next lower degree agrees within the noise, and where the differences at shorter steps do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from gradcheck.noise import Noise
from gradcheck.oracles.estimate import Estimate
from gradcheck.oracles.first_pass import points
from gradcheck.oracles.ladder import KAPPA
from gradcheck.problem import FloatArray, Problem
from gradcheck.scales import lengths_in_parts

REACHES = (0.25, 0.5, 0.125, 0.0625)
"""Longest steps of a fit, in units of the entry's scale, in the order in which they are tried."""
PAIRS = 32
"""Pairs of losses that each of them adds."""
MORE = 12
"""How many times as many are added at last, at most."""
DEGREES = (4, 6, 8)
"""Each takes one odd power more than the data show."""
DISTINCT = 0.5
"""Share of the losses that must differ: noise that does not change from one to the next, as below
the grain of the loss, is not averaged out."""
KINKS = (0.0, 0.02, 0.05, 0.1, 0.17, 0.25, 0.35, 0.5, 0.65, 0.8)
"""Distances at which a kink is looked for, in units of the reach."""
IN_VAIN = 3
"""Entries of a parameter that may be looked at in vain."""
WHITE = 0.35
"""Correlation of neighbouring residuals, at most, that may be chance."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A slope with its uncertainty, from points up to ``reach`` away."""

    value: float
    uncertainty: float
    reach: float


def averaged(
    problem: Problem,
    noise: Noise,
    generator: np.random.Generator,
    number: int,
    estimate: Estimate,
    wanted: dict[int, float],
) -> Estimate:
    """Refine some entries of an estimate, where that makes them more certain.

    Args:
        problem: its evaluator evaluates and counts.
        noise: of the loss.
        generator: draws the steps, so that the grain of the loss does not repeat itself.
        number: of the parameter.
        estimate: what is known of it.
        wanted: by entry (flat, C order), the uncertainty that is enough.
    """
    value, uncertainty, steps = (
        np.array(one) for one in (estimate.value, estimate.uncertainty, estimate.steps)
    )
    entries = np.array(list(wanted), dtype=np.intp)
    scales = lengths_in_parts(problem, problem.parameters[number])(entries)
    in_vain = 0
    for entry, scale in zip(entries.tolist(), scales.tolist(), strict=True):
        if problem.evaluator.exhausted or in_vain == IN_VAIN:
            break
        known = Fit(float(value.flat[entry]), float(uncertainty.flat[entry]), 0.0)
        found = _along(problem, noise, generator, (number, entry, scale), known, wanted[entry])
        if found is None:
            in_vain += 1
            continue
        value.flat[entry], uncertainty.flat[entry] = found.value, found.uncertainty
        steps.flat[entry] = found.reach
    lower, upper = (
        np.where(estimate.kinks, side, value) for side in (estimate.lower, estimate.upper)
    )
    return replace(
        estimate, value=value, uncertainty=uncertainty, lower=lower, upper=upper, steps=steps
    )


def _along(
    problem: Problem,
    noise: Noise,
    generator: np.random.Generator,
    place: tuple[int, int, float],
    known: Fit,
    wanted: float,
) -> Fit | None:
    """Return the best fit along one entry; None where none is better than what is known."""
    number, entry, scale = place
    moves, losses = np.zeros(0), np.zeros(0)
    best: Fit | None = None
    for k in range(len(REACHES) + MORE):
        # At last, more points where the best fit comes from.
        reach = best.reach if best is not None and k >= len(REACHES) else REACHES[k] * scale
        drawn = (np.arange(PAIRS) + generator.uniform(size=PAIRS)) / PAIRS * reach
        more = _losses(problem, number, entry, drawn)
        if more is None:
            break
        moves, losses = np.append(moves, more[0]), np.append(losses, more[1])
        level = noise.at(np.array(np.abs(losses).max())).item()
        # All again: what few points leave open, more of them may contradict.
        seen = [scale * one for one in REACHES[: k + 1]]
        best = _best(moves, losses, level, seen, known)
        if k + 1 >= len(REACHES) and best is None:
            break
        if best is not None and best.uncertainty <= wanted:
            break
    return best


def _best(
    moves: FloatArray, losses: FloatArray, level: float, reaches: list[float], known: Fit
) -> Fit | None:
    """Return the best fit over some reaches that agrees with what is known, and betters it."""
    best = known
    for reach in reaches:
        within = np.abs(moves) <= reach
        for fit in fits(moves[within], losses[within], level, reach):
            agree = abs(fit.value - known.value) <= fit.uncertainty + known.uncertainty
            if agree and fit.uncertainty < best.uncertainty:
                best = fit
    return None if best is known else best


def _losses(
    problem: Problem, number: int, entry: int, steps: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    """Return the moves really made, to either side, and the losses; None if one is not finite."""
    value = problem.parameters[number].value
    start = np.full(len(steps), value.flat[entry], dtype=value.dtype.newbyteorder("="))
    above, below = points(start, steps)
    places = np.concatenate([above, below])
    losses = problem.evaluator.entries(number, np.full(len(places), entry), places)
    if not np.isfinite(losses).all():
        return None
    return places.astype(np.float64) - float(value.flat[entry]), losses


def fits(moves: FloatArray, losses: FloatArray, level: float, reach: float) -> list[Fit]:
    """Return the polynomial fits of losses over moves up to ``reach`` that can be believed.

    ``level`` is the standard deviation of the noise, at least.
    """
    if len(np.unique(losses)) < DISTINCT * len(losses):
        return []
    order = np.argsort(moves)
    x, y = moves[order] / reach, losses[order]
    y = y - y[len(y) // 2]
    before = _Polynomial.of(x, DEGREES[0] - 2)
    found = []
    for degree in DEGREES:
        one = _Polynomial.of(x, degree)
        left = one.residual(y)
        spread = max(level, math.sqrt(float(left @ left) / (len(x) - degree - 1)))
        slope, gain = float(one.weights @ y), float(np.linalg.norm(one.weights))
        change = one.weights - before.weights
        settled = abs(float(change @ y)) <= KAPPA * spread * float(np.linalg.norm(change))
        hidden = _hidden(one, x, left, spread)
        if settled and hidden is not None and _is_white(left):
            found.append(Fit(slope / reach, max(KAPPA * spread * gain, hidden) / reach, reach))
        before = one
    return found


@dataclass(frozen=True, eq=False, slots=True)
class _Polynomial:
    """A least-squares polynomial: an orthonormal basis, and what gives its slope at 0."""

    basis: FloatArray
    weights: FloatArray

    @classmethod
    def of(cls, x: FloatArray, degree: int) -> _Polynomial:
        q, r = np.linalg.qr(np.vander(x, degree + 1, increasing=True))
        return cls(q, np.linalg.inv(r)[1] @ q.T)

    def residual(self, y: FloatArray) -> FloatArray:
        return np.asarray(y - self.basis @ (self.basis.T @ y))


def _hidden(
    polynomial: _Polynomial, x: FloatArray, left: FloatArray, spread: float
) -> float | None:
    """Return by how much a kink that noise may hide can have moved the slope; None where one shows.

    The residuals say of a kink at each of some distances how large it may be.
    """
    columns = [np.maximum(side * x - d, 0.0) for d in KINKS for side in (1.0, -1.0)]
    kinks = np.stack(columns, axis=1)
    outside = kinks - polynomial.basis @ (polynomial.basis.T @ kinks)
    norms = np.linalg.norm(outside, axis=0)
    sizes, errors = np.abs(left @ outside) / norms**2, spread / norms
    if (sizes > KAPPA * errors).any():
        return None
    return float((np.abs(polynomial.weights @ kinks) * (sizes + errors)).max())


def _is_white(left: FloatArray) -> bool:
    """Whether neighbouring residuals have little to do with each other."""
    total = float(left @ left)
    return total == 0.0 or float(left[1:] @ left[:-1]) <= WHITE * total
