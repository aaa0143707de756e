"""How much a loss changes over its parameters' scale: what a zero gradient is small against.

At an optimum, in saturation, or for a parameter that the loss ignores, the gradient has no size of
its own. It is zero to the accuracy asked for when it is small against the slope that leads from
the point to its surroundings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import in_little
from gradcheck.problem import FloatArray, Parameter, Problem
from gradcheck.scales import lengths_in_parts

DISTANCES = (1.0, -1.0, 0.25, -0.25)
"""Moves along a random direction, in units of the parameters' scales."""


def variation(problem: Problem, generator: np.random.Generator) -> float:
    """Return how much the loss changes when every parameter moves by about its own scale.

    The largest change of four moves, in units of the loss; 0 where the loss cannot be evaluated
    at any of them. Costs four evaluations.
    """
    direction = [_signed_lengths(problem, one, generator) for one in problem.parameters]
    losses = problem.evaluator.along(direction, DISTANCES)
    changes = np.abs(losses - problem.facts.value)
    finite = changes[np.isfinite(changes)]
    return float(finite.max()) if finite.size else 0.0


def _signed_lengths(
    problem: Problem, parameter: Parameter, generator: np.random.Generator
) -> NDArray[Any]:
    lengths = lengths_in_parts(problem, parameter)

    def drawn(at: slice) -> FloatArray:
        return np.asarray(lengths(at) * generator.choice((-1.0, 1.0), at.stop - at.start))

    return in_little(parameter.value.shape, drawn)
