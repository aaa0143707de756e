"""Losses that were seen to compute in lower precision inside than they take and return."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck.noise import Noise
from gradcheck.problem import Problem
from gradcheck.verdict.judging import precision_of


def lower_inside(problem: Problem, noise: Noise, trace: Any) -> np.dtype[Any] | None:
    """Return the precision that values on the way to the loss are kept in, if nothing else says so.

    None where it is no lower than that of every parameter, gradient or the loss, and where
    somebody has looked before.
    """
    if trace is None or problem.precision_inside is not None:
        return None
    inside: np.dtype[Any] = trace.precision
    names = [one.name for one in problem.parameters if one.name in problem.analytic]
    known = [precision_of(problem, name, noise).itemsize for name in names]
    return inside if any(inside.itemsize < size for size in known) else None


def knowing(problem: Problem, inside: np.dtype[Any]) -> Problem:
    """Return the problem with what its loss works in inside.

    Lower precision makes steps that short tables of differences may fall between: the loss is then
    known no better than such a number is.
    """
    return replace(problem, precision_inside=inside, facts=replace(problem.facts, dtype=inside))
