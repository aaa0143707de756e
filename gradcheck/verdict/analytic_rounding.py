"""The rounding of the analytic gradient: what the arithmetic that it was computed in leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from gradcheck.blocks import BLOCK, flat, in_little
from gradcheck.calling.quiet import quiet
from gradcheck.noise import Noise
from gradcheck.problem import FloatArray, Problem
from gradcheck.scales import rms
from gradcheck.verdict.compare import DEEP, SMALL
from gradcheck.verdict.gradient_noise import measured_rounding
from gradcheck.verdict.nearby import Signs, moved
from gradcheck.verdict.rounding import is_single_precision, rounding_error

GRADIENTS = 5
"""Gradients, counted as evaluations, that the rounding of one takes at the least."""
AWAY = 512.0
"""Distance, in units of the rounding, of a point that lies on no kink of this one."""
RARE = 0.01
"""Part of a bound that another one hardly ever is where both are of rounding."""
DOUBTED = 1e-8
"""Share of an entry that its rounding has to be more than where it may be lost in that of terms."""
SLIGHT = 1e-6
"""Share of the variation of the loss that a gradient's own change of it is below at an optimum."""

Gradient = Callable[[], Mapping[str, FloatArray]]


def with_rounding(problem: Problem, noise: Noise, generator: np.random.Generator) -> Problem:
    """Add to the analytic gradient's rounding that of the arithmetic it was computed in.

    The problem comes back as it is where its gradient cannot be computed again, where its loss is
    drawn at random, and where the limits leave no evaluations for it.
    """
    if problem.gradient_at is None or not problem.analytic or problem.facts.spread:
        return problem
    if not problem.evaluator.spend(GRADIENTS):
        return problem
    unit = float(np.finfo(np.float64).eps)
    low = problem.in_low_precision or noise.dtype.itemsize < np.dtype(np.float64).itemsize
    if low or any(is_single_precision(one, noise) for one in problem.analytic.values()):
        unit = float(np.finfo(np.float32).eps)
    errors = rounding_error(
        problem.gradient_at, problem.parameters, generator, unit, noise, about=problem.analytic
    )
    errors = _off_masks(problem, problem.gradient_at, errors, noise, generator, unit)
    errors = measured_rounding(
        problem, problem.gradient_at, problem.analytic, errors, noise, generator
    )
    terms: dict[str, FloatArray] = {}
    doubted = [name for name in errors if _may_be_dust(problem, name, errors[name], noise)]
    if doubted and unit == float(np.finfo(np.float64).eps):
        from gradcheck.verdict.cancelled import rounded_as, terms_of

        # A generator of its own: what is drawn later is what it would be without. With this seed
        # the directions of few entries differ, too.
        terms = terms_of(problem, problem.gradient_at, doubted, np.random.default_rng(2))
        errors |= {name: np.fmax(errors[name], rounded_as(one)) for name, one in terms.items()}
    total = {
        name: _sum_of_bounds(rounding, errors[name]) if name in errors else rounding
        for name, rounding in problem.analytic_rounding.items()
    }
    return replace(problem, analytic_rounding=total, gradient_terms=terms)


def _off_masks(
    problem: Problem,
    gradient: Gradient,
    errors: dict[str, FloatArray],
    noise: Noise,
    generator: np.random.Generator,
    unit: float,
) -> dict[str, FloatArray]:
    """Take the bounds of a point beside this one where a gradient jumps at this one alone.

    The sign of a residual that is 0 is another one at every move by a rounding, to whichever side.
    Some hundred roundings away it stays what it is, while rounding itself is as large there.
    """
    hidden = [
        name
        for name, bound in errors.items()
        if bound.size <= BLOCK and (bound > DEEP * np.abs(problem.analytic[name])).any()
    ]
    if not hidden or not problem.evaluator.spend(GRADIENTS):
        return errors
    with ExitStack() as stack:
        for one in problem.parameters:
            signs = Signs(generator, one.value.size)
            stack.enter_context(moved(one.value, AWAY * unit, signs))
        try:
            with quiet():
                beside = rounding_error(gradient, problem.parameters, generator, unit, noise)
        except Exception:
            # Outside the domain: what was seen at the point remains.
            return errors
    far = {
        name: np.where(beside[name] < RARE * errors[name], beside[name], errors[name])
        for name in hidden
        if name in beside
    }
    return errors | far


def _may_be_dust(problem: Problem, name: str, rounding: FloatArray, noise: Noise) -> bool:
    """Whether rounding is no small part of an entry, or all change the loss by next to nothing."""
    claimed = problem.analytic[name]
    parameter = next(one for one in problem.parameters if one.name == name)
    if claimed.size > BLOCK or not claimed.any():
        return False
    own = np.maximum(np.abs(claimed), SMALL * rms(claimed))
    if (rounding > DOUBTED * own).any():
        return True
    change = rms(claimed) * rms(parameter.scales) * np.sqrt(claimed.size)
    return bool(change < SLIGHT * noise.variation)


def _sum_of_bounds(one: FloatArray, two: FloatArray) -> FloatArray:
    if not one.any():
        return two
    return in_little(
        one.shape, lambda at: flat(one, at).astype(np.float64) + flat(two, at), bound=True
    )
