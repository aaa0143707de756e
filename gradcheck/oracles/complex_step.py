"""The complex step: ``Im f(x + ih) / h``, exact to roundoff with one evaluation an entry.

Squire and Trapp, "Using complex variables to estimate derivatives of real functions", SIAM Review
40 (1998); Martins, Sturdza and Alonso, "The complex-step derivative approximation", ACM TOMS 29
(2003). It holds for losses that are analytic in their parameters and keep the imaginary part; where
a loss drops it (``abs``, a cast to float, a comparison), the oracle is refused, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gradcheck.calling.quiet import quiet
from gradcheck.noise import POINTS, Noise, is_flat, table_noise
from gradcheck.oracles.contradiction import contradiction
from gradcheck.oracles.estimate import Estimate, smooth_estimate
from gradcheck.oracles.parted import AnyEstimate
from gradcheck.problem import FloatArray, Problem
from gradcheck.scales import rms
from gradcheck.verdict.rounding import cancellation_floor

DOUBTED = 20
"""Entries of a parameter, at most, at which the noise of a contradicting slope is measured."""
SPACING = 1e-3
"""Distance between the points that this takes, in units of the parameters' own sizes."""
SLIGHT = 1e-4
"""Share of a slope up to which its noise is rounding; more is a kink, or another loss there."""
SAFETY = 8.0
"""Standard deviations of its noise by which a slope may be off."""
STEP = 1e-30
"""Imaginary step, in units of the entry's scale: so small that no truncation is left."""

LINE = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Steps along a line, in units of the entries' scales, at which the method must prove itself."""
SHOWN = 0.05
"""Relative agreement that is proof enough: a lost imaginary part shows as a large difference."""

NOT_ANALYTIC = "the loss is not analytic there, or drops the imaginary part"
"""Why a slope by the complex step may be another one than that of the loss."""


@dataclass(frozen=True)
class ComplexStep:
    """The estimates, or the reason why the method does not apply here."""

    estimates: Mapping[str, Estimate]
    refusal: str | None = None


def complex_step(
    problem: Problem,
    *,
    selection: Mapping[str, NDArray[np.intp]],
    central: Mapping[str, AnyEstimate],
    noise: Noise,
) -> ComplexStep:
    """Estimate the gradient at the selected entries (flat, C order) of each parameter.

    The method is refused when the loss cannot be called with complex parameters, changes its
    value there, or disagrees with the central differences beyond their uncertainty. What the limits
    leave out is unchecked; beside central differences, which decide then, it is not missed.
    """
    if problem.complex_loss is None:
        return ComplexStep({}, "the target cannot be called with complex parameters")
    with problem.evaluator.aside() if central else nullcontext():
        return _complex_step(problem, selection, central, noise)


def _complex_step(
    problem: Problem,
    selection: Mapping[str, NDArray[np.intp]],
    central: Mapping[str, AnyEstimate],
    noise: Noise,
) -> ComplexStep:
    if problem.complex_loss is None or not problem.evaluator.affords(2 + 2 * len(LINE)):
        return ComplexStep({})
    values = [one.value.astype(np.complex128, order="C") for one in problem.parameters]
    estimates: dict[str, Estimate] = {}
    try:
        with quiet():
            base = problem.complex_loss(values)
            if abs(base.real - problem.facts.value) > 64 * noise.level + 1e-10 * abs(base.real):
                return ComplexStep({}, "the loss has another value with complex parameters")
            if not _is_shown(problem, noise):
                return ComplexStep({}, "it does not agree with a central difference along a line")
            for number, parameter in enumerate(problem.parameters):
                chosen = selection.get(parameter.name)
                if chosen is None or chosen.size == 0:
                    continue
                slopes = _slopes(problem, values, number, chosen)
                found = _estimate(problem, number, chosen[: len(slopes)], slopes, noise)
                estimates[parameter.name] = _with_noise(problem, values, number, found)
    except Exception as error:
        # Whatever the target cannot do with complex numbers is the reason that is given.
        text = str(error).strip().splitlines()
        return ComplexStep({}, f"{type(error).__name__}: {text[0] if text else ''}".rstrip(": "))
    refusal = contradiction(estimates, central, NOT_ANALYTIC)
    return ComplexStep({} if refusal else estimates, refusal)


def _is_shown(problem: Problem, noise: Noise) -> bool:
    """Whether the complex step gives the slope along one direction that the loss shows there.

    The central difference is taken at the steps where noise is small against the slope, or
    against the loss's ordinary slope where that along the direction is zero.
    """
    if problem.complex_loss is None:
        return False
    generator = np.random.default_rng(0)
    direction = [
        parameter.scales * generator.choice((-1.0, 1.0), parameter.value.shape)
        for parameter in problem.parameters
    ]
    moved = [
        parameter.value + STEP * 1j * steps
        for parameter, steps in zip(problem.parameters, direction, strict=True)
    ]
    exact = problem.complex_loss(moved).imag / STEP
    problem.evaluator.count += 1
    losses = problem.evaluator.along(direction, [sign * t for t in LINE for sign in (1.0, -1.0)])
    steps = np.array(LINE)
    above, below = losses[0::2], losses[1::2]
    slopes = (above - below) / (2 * steps)
    errors = 4 * noise.at(above) / steps
    sizes = np.maximum(abs(exact), np.abs(slopes))
    known = errors <= SHOWN * np.maximum(sizes, noise.variation)
    return bool((known & (np.abs(slopes - exact) <= SHOWN * sizes + errors)).any())


def _slopes(
    problem: Problem, values: list[NDArray[np.complex128]], number: int, chosen: NDArray[np.intp]
) -> FloatArray:
    """Return the slopes of the entries up to where a limit was reached."""
    if problem.complex_loss is None:
        raise ValueError("the problem has no complex loss")
    flat = values[number].ravel()
    scales = problem.parameters[number].scales.ravel()
    slopes = np.full(len(chosen), np.nan)
    for j, index in enumerate(chosen.tolist()):
        if not problem.evaluator.spend(1):
            return slopes[:j]
        step = STEP * scales[index]
        before = flat[index]
        flat[index] = before + 1j * step
        slopes[j] = problem.complex_loss(values).imag / step
        flat[index] = before
    return slopes


def _estimate(
    problem: Problem,
    number: int,
    chosen: NDArray[np.intp],
    slopes: FloatArray,
    noise: Noise,
) -> Estimate:
    parameter = problem.parameters[number]
    whole = np.full(parameter.value.size, np.nan)
    whole[chosen] = slopes
    # The loss is evaluated to its relative rounding error; so is the imaginary part.
    relative = 64 * np.finfo(np.float64).eps
    shape = parameter.value.shape
    value = whole.reshape(shape)
    uncertainty = relative * (np.abs(value) + rms(slopes))
    floor = cancellation_floor(parameter, value, noise)(slice(0, value.size))
    return smooth_estimate("complex", value, uncertainty + floor.reshape(shape))


def _with_noise(
    problem: Problem, values: list[NDArray[np.complex128]], number: int, estimate: Estimate
) -> Estimate:
    """Add the noise of the slopes where they contradict the claim, by tables of differences.

    The real part may lose digits inside, as ``1 - F`` does for ``F`` next to 1, and a derivative
    that is divided by it loses as many.
    """
    name = problem.parameters[number].name
    if name not in problem.analytic:
        return estimate
    apart = np.abs(estimate.value - problem.analytic[name])
    doubted = apart > estimate.uncertainty + problem.analytic_rounding[name]
    entries = np.flatnonzero(doubted)[:DOUBTED]
    if not entries.size or not problem.evaluator.affords(POINTS * entries.size):
        return estimate
    generator = np.random.default_rng(0)
    signs = [generator.choice((-1.0, 1.0), one.shape) for one in values]
    rows = np.empty((entries.size, POINTS))
    try:
        for k in range(POINTS):
            near = [one * (1.0 + k * SPACING * way) for one, way in zip(values, signs, strict=True)]
            rows[:, k] = _slopes(problem, near, number, entries)
    except Exception:
        # Outside the domain nothing is measured; at the point itself the method worked.
        return estimate
    levels = [SAFETY * table_noise(row.tolist()) if _tells(row) else 0.0 for row in rows]
    slight = np.array(levels) <= SLIGHT * np.abs(rows[:, 0])
    uncertainty = estimate.uncertainty.copy().ravel()
    uncertainty[entries] += np.where(slight, levels, 0.0)
    return replace(estimate, uncertainty=uncertainty.reshape(estimate.value.shape))


def _tells(row: FloatArray) -> bool:
    return bool(np.isfinite(row).all()) and not is_flat(row)
