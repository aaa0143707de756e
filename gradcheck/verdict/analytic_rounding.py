"""The rounding of the analytic gradient: what the arithmetic that it was computed in leaves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradcheck.blocks import flat, in_little
from gradcheck.noise import Noise
from gradcheck.problem import FloatArray, Problem
from gradcheck.verdict.gradient_noise import measured_rounding
from gradcheck.verdict.rounding import is_single_precision, rounding_error

GRADIENTS = 5
"""Gradients, counted as evaluations, that the rounding of one takes at the least."""


def with_rounding(problem: Problem, noise: Noise, generator: np.random.Generator) -> Problem:
    """Add to the analytic gradient's rounding that of the arithmetic it was computed in.

    The problem comes back as it is where its gradient cannot be computed again, where its loss is
    drawn at random, and where the limits leave no evaluations for it.
    """
    if problem.gradient_at is None or not problem.analytic or problem.facts.spread > 0:
        return problem
    if not problem.evaluator.spend(GRADIENTS):
        return problem
    unit = float(np.finfo(np.float64).eps)
    low_inside = any(is_single_precision(one, noise) for one in problem.analytic.values())
    low = any(parameter.value.dtype != np.float64 for parameter in problem.parameters)
    if low or low_inside or noise.dtype != np.float64:
        unit = float(np.finfo(np.float32).eps)
    errors = rounding_error(
        problem.gradient_at, problem.parameters, generator, unit, noise, about=problem.analytic
    )
    errors = measured_rounding(
        problem, problem.gradient_at, problem.analytic, errors, noise, generator
    )
    total = {
        name: _sum_of_bounds(rounding, errors[name]) if name in errors else rounding
        for name, rounding in problem.analytic_rounding.items()
    }
    return replace(problem, analytic_rounding=total)


def _sum_of_bounds(one: FloatArray, two: FloatArray) -> FloatArray:
    if not one.any():
        return two
    return in_little(
        one.shape, lambda at: flat(one, at).astype(np.float64) + flat(two, at), bound=True
    )
