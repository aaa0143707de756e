"""The rounding of a gradient measured, where guesses or moves by a rounding do not tell it.

Terms that cancel may leave as much rounding in a gradient as the loss has noise, over the scale of
the parameter. Where that would hide much of the gradient, its own noise is looked at: difference
tables of each entry along a random direction, as those of the loss (More and Wild, "Estimating
computational noise", SIAM J. Sci. Comput. 33, 2011, section 3). So is that of a gradient which
stays the same a rounding away from the point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import BLOCK
from gradcheck.calling.quiet import quiet
from gradcheck.noise import POINTS, WIDEST, Noise, is_flat, table_noise
from gradcheck.problem import FloatArray, Parameter, Problem
from gradcheck.scales import rms
from gradcheck.verdict.rounding import FLOOR, SAFETY, cancellation_floor

HIDES = 1e-6, 0.1
"""Shares of a gradient that a guess of its rounding may hide: below, it decides nothing, and above,
the gradient may be nothing but rounding."""
SLIGHT = 1e-4
"""Share of a gradient up to which the noise of one that does not change a rounding away counts:
more is no rounding, but a jump, or a mistake whatever made it."""
TINY = 1e-9
"""Change of the loss over a parameter's scale, relative to the loss, below which its gradient may
be what cancelling terms leave of rounding."""
NARROWEST = 1e-3
"""Spacing of the first table, in units of the parameter's scales."""
WIDENED = 7.0
"""Times the spacing of the table before."""

Gradient = Callable[[], Mapping[str, FloatArray]]


def measured_rounding(
    problem: Problem,
    gradient: Gradient,
    base: Mapping[str, FloatArray],
    rounding: Mapping[str, FloatArray],
    noise: Noise,
    generator: np.random.Generator,
) -> dict[str, FloatArray]:
    """Return bounds on the rounding of a gradient, with guesses replaced by measurements.

    Args:
        problem: its parameters are moved, and put back; each gradient counts as an evaluation.
        gradient: computes it at the parameters' present values.
        base: the gradient at the point.
        rounding: the bounds that ``rounding_error`` gave.
        noise: of the loss.
        generator: draws the directions.
    """
    bounds = dict(rounding)
    for parameter in problem.parameters:
        name = parameter.name
        if name not in bounds or parameter.value.size > BLOCK:
            continue
        at = slice(0, parameter.value.size)
        guess = cancellation_floor(parameter, base[name], noise)(at).reshape(base[name].shape)
        share = float(guess.max(initial=0.0)) / (rms(base[name]) or np.inf)
        if parameter.value.dtype.itemsize < np.dtype(np.float64).itemsize:
            continue
        if not HIDES[0] < share < HIDES[1]:
            if share <= HIDES[0] and _stays(base[name], bounds[name] - guess):
                least = SAFETY * _of_each(problem, parameter, gradient, generator)
                slight = least <= SLIGHT * np.abs(base[name])
                bounds[name] = bounds[name] + np.where(slight, least, 0.0)
            continue
        level = _level(problem, parameter, gradient, generator)
        if level is not None:
            measured = np.minimum(guess, SAFETY * level)
            bounds[name] = np.maximum(bounds[name] - guess, 0.0) + measured
        own = _of_own_size(parameter, noise)
        tiny = rms(base[name]) * parameter.typical < TINY * abs(noise.loss)
        if tiny and (own > 2.0 * guess).any():
            least = SAFETY * _of_each(problem, parameter, gradient, generator)
            bounds[name] = np.fmax(bounds[name], np.minimum(least, own))
    return bounds


def _of_own_size(parameter: Parameter, noise: Noise) -> FloatArray:
    """What terms as large as the loss leave in the gradient by an entry, over its own size.

    Beside entries of other sizes, the terms of a small one may be larger than theirs.
    """
    sizes = np.where(parameter.value != 0, parameter.magnitudes, parameter.scales)
    return np.asarray(FLOOR * noise.level / sizes)


def _stays(values: FloatArray, rounding: FloatArray) -> bool:
    """Whether a gradient is the same to the last bit a rounding away from the point.

    It is that of a linear function, or has a grain that hides the move: ``p - 1`` of a saturated
    sigmoid ``p`` is rounded as numbers near 1 are.
    """
    own = float(np.finfo(np.float64).eps) * (SAFETY * np.abs(values) + 2.0 * rms(values))
    return bool(values.any()) and bool((rounding <= 1.02 * own).all())


def _of_each(
    problem: Problem, parameter: Parameter, gradient: Gradient, generator: np.random.Generator
) -> FloatArray:
    """Standard deviation of each entry in the narrowest table; 0 where it shows none."""
    shape = parameter.value.shape
    if not problem.evaluator.spend(POINTS):
        return np.zeros(shape)
    step = NARROWEST * _direction(parameter, generator)
    rows = _table(parameter, gradient, parameter.value.copy(), step)
    if rows is None:
        return np.zeros(shape)
    levels = [0.0 if is_flat(row) else table_noise(row.tolist()) for row in rows]
    return np.array(levels).reshape(shape)


def _direction(parameter: Parameter, generator: np.random.Generator) -> FloatArray:
    """Draw a direction in which each entry moves by about itself, or its scale where it is 0."""
    shape = parameter.value.shape
    direction = generator.uniform(0.5, 1.0, shape) * generator.choice((-1.0, 1.0), shape)
    sizes = np.where(parameter.value != 0, parameter.magnitudes, parameter.scales)
    return np.asarray(direction * sizes)


def _level(
    problem: Problem, parameter: Parameter, gradient: Gradient, generator: np.random.Generator
) -> float | None:
    """Standard deviation of the noisiest entry; None where the tables lie below its grain."""
    start, direction = parameter.value.copy(), _direction(parameter, generator)
    spacing = NARROWEST
    while spacing <= WIDEST and problem.evaluator.spend(POINTS):
        rows = _table(parameter, gradient, start, spacing * direction)
        if rows is None:
            return None
        moving = [row.tolist() for row in rows if not is_flat(row)]
        if 2 * len(moving) > len(rows):
            return max(table_noise(row) for row in moving)
        spacing *= WIDENED
    return None


def _table(
    parameter: Parameter, gradient: Gradient, start: NDArray[np.float64], step: FloatArray
) -> FloatArray | None:
    """Each entry's gradient at ``POINTS`` places in a row; None where one is not finite."""
    columns: list[FloatArray] = []
    try:
        for k in range(1, POINTS + 1):
            np.copyto(parameter.value, start + k * step)
            with quiet():
                columns.append(np.array(gradient()[parameter.name], dtype=np.float64).reshape(-1))
    except Exception:
        # Outside the domain: nothing is measured, and the guess remains.
        return None
    finally:
        np.copyto(parameter.value, start)
    table = np.stack(columns, axis=1)
    return table if np.isfinite(table).all() else None
