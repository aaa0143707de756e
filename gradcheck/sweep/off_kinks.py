"""A point beside this one, off the kinks that entries sit on, with the target's gradient there.

Each entry moves by a drawn part of its scale, not less than about a third of the radius: what was
exactly zero, or equal to something else, is so no longer. Only one gradient is right there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from gradcheck.calling.quiet import quiet
from gradcheck.noise import Noise
from gradcheck.oracles.drawn_steps import draw_steps
from gradcheck.oracles.walk import first_distance
from gradcheck.problem import FloatArray, Problem
from gradcheck.sweep.moves import Block, moved_blocks

NEAREST, FARTHEST = 2.0**-13, 2.0**-4
"""Radius of the first point, in units of the parameters' scales, within what noise asks for."""
STEPS_WITHIN = 32.0
"""Times the first step of a central difference that the radius is, at least."""
NEARER = 16.0
"""How much nearer each further point is, where one is no good."""
POINTS = 3


def radii(problem: Problem, noise: Noise) -> tuple[float, ...]:
    """Return the distances at which points may be tried, in units of the parameters' scales."""
    if problem.gradient_at is None:
        return ()
    wanted = STEPS_WITHIN * first_distance(problem, noise, 0.0)
    radius = min(max(NEAREST, wanted), FARTHEST)
    return tuple(radius / NEARER**k for k in range(POINTS))


@contextmanager
def off_kinks(
    problem: Problem, noise: Noise, generator: np.random.Generator, radius: float
) -> Iterator[tuple[Problem, Noise] | None]:
    """Move the parameters to a drawn point for a while, and give what there is to check there.

    It takes two evaluations. The parameters are put back to the bit.

    Yields:
        The problem with the target's gradient there, and the noise about the loss there; None
        beyond the limits, outside the domain, and where the gradient is no other than here in any
        bit: it may be kept from this point.
    """
    own = problem.gradient_at
    if own is None or not problem.evaluator.spend(1):
        yield None
        return
    blocks = [
        Block(number, (), draw_steps(one.value, generator))
        for number, one in enumerate(problem.parameters)
    ]
    moves = moved_blocks([one.value for one in problem.parameters], blocks)
    try:
        with moves as move:
            move(radius)
            gradient: dict[str, FloatArray] = {}
            with problem.evaluator.keeping(), quiet():
                try:
                    gradient = {name: np.array(one, np.float64) for name, one in own().items()}
                except Exception:
                    # Outside the domain: that point tells nothing.
                    gradient = {}
            yield _there(problem, noise, gradient)
    finally:
        moves.undo()


def _there(
    problem: Problem, noise: Noise, gradient: Mapping[str, FloatArray]
) -> tuple[Problem, Noise] | None:
    """Return what there is to check where the parameters are now."""
    here = problem.analytic
    if problem.evaluator.exhausted or set(gradient) != set(here):
        return None
    if all(np.array_equal(gradient[name], here[name]) for name in here):
        return None
    loss = problem.evaluator.current()
    if not math.isfinite(loss) or not all(np.isfinite(one.sum()) for one in gradient.values()):
        return None
    rounding = {name: _rounding(problem, name, one) for name, one in gradient.items()}
    facts = replace(problem.facts, value=loss)
    there = replace(problem, analytic=gradient, analytic_rounding=rounding, facts=facts)
    return there, replace(noise, loss=loss)


def _rounding(problem: Problem, name: str, gradient: FloatArray) -> FloatArray:
    """Return how far rounding may have moved a gradient: what was 0 at the point had none there."""
    dtypes = [one.dtype for one in problem.parameters if one.name == name]
    dtypes.append(problem.gradient_dtypes.get(name, np.dtype(np.float64)))
    unit = max(float(np.finfo(dtype).eps) for dtype in dtypes if dtype.kind == "f")
    return np.asarray(np.maximum(problem.analytic_rounding[name], unit * np.abs(gradient)))
