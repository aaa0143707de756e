"""What the pages of a report draw, computed while the arrays and the loss are still at hand."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck.drawing.curves import error_curve
from gradcheck.drawing.pictures import CELLS, POINTS, grids, histogram, scatter, share
from gradcheck.noise import Noise
from gradcheck.problem import Parameter, Problem
from gradcheck.verdict.compare import FAIL, PASS, UNCHECKED
from gradcheck.verdict.in_parts import AnyJudged
from gradcheck.verdict.judging import ParameterFindings

N_CURVES = 2
MAX_CURVES = 6
"""Entries of one parameter, and of one check, whose error is drawn against the step."""


def draw(
    problem: Problem, parameters: Mapping[str, ParameterFindings], noise: Noise
) -> dict[str, ParameterFindings]:
    """Add to each parameter its heat map, scatter plot, histogram and curves."""
    sizes = [one.combined.codes.size for one in parameters.values()]
    allowed = zip(share(sizes, CELLS), share(sizes, POINTS), strict=True)
    left = MAX_CURVES
    drawn = {}
    for (cells, points), (name, one) in zip(allowed, parameters.items(), strict=True):
        number = next(i for i, p in enumerate(problem.parameters) if p.name == name)
        curves = _curves(problem, number, one, noise, min(left, N_CURVES))
        left -= len(curves)
        drawn[name] = replace(one, pictures=_pictures(one, cells, points) | {"curves": curves})
    return drawn


def _shown(one: ParameterFindings) -> AnyJudged | None:
    """The comparison to draw: with central differences, else with the best oracle."""
    central = one.comparisons.get("analytic~central")
    if central is not None and (central.codes != UNCHECKED).all():
        return central
    best = one.comparisons.get(f"analytic~{one.combined.best}")
    return best if best is not None else central


def _pictures(one: ParameterFindings, max_cells: int, max_points: int) -> dict[str, Any]:
    judged = _shown(one)
    if judged is None:
        return {}
    checked = judged.codes != UNCHECKED
    relative = np.where(checked, judged.relative_error, np.nan)
    reference = np.where(checked, judged.reference, np.nan)
    # The codes of this comparison are pass, inconclusive, fail: the severities of the verdicts.
    # Right entries that another oracle alone has looked at have no error here to show.
    codes = np.where(checked | (one.combined.codes != PASS), one.combined.codes, UNCHECKED)
    autograd = one.estimates.get("autograd")
    size = np.fmax(np.abs(judged.analytic), np.abs(judged.reference))
    below = checked & (size <= judged.allowed)
    return {
        "grids": grids(
            judged.analytic,
            reference,
            judged.allowed,
            relative,
            autograd=None if autograd is None else autograd.value,
            verdicts=codes,
            max_cells=max_cells,
            oracle=judged.oracle,
        ),
        "scatter": scatter(
            judged.analytic,
            reference,
            uncertainty=judged.allowed,
            verdicts=codes,
            max_points=min(max_points, 400),
            oracle=judged.oracle,
        ),
        "histogram": histogram(relative, judged.coarsest, below_noise=below),
    }


def _curves(
    problem: Problem, number: int, one: ParameterFindings, noise: Noise, count: int
) -> tuple[Mapping[str, Any], ...]:
    central = one.comparisons.get("analytic~central")
    if central is None or count <= 0 or noise.level <= 0:
        return ()
    parameter = problem.parameters[number]
    steps = one.estimates["central"].steps.reshape(-1)
    found = []
    for position in _worth_drawing(central, count):
        step = float(steps[position])
        allowed = float(central.allowed.reshape(-1)[position])
        if not (np.isfinite(step) and np.isfinite(allowed)):
            continue
        curve = error_curve(
            functools.partial(_loss_at, problem, number, position),
            float(central.analytic.reshape(-1)[position]),
            scale=float(parameter.scales.reshape(-1)[position]),
            noise=noise.level,
            chosen_step=step,
            uncertainty=allowed,
        )
        index = [int(i) for i in np.unravel_index(position, parameter.value.shape)]
        found.append({"index": index, **curve})
    return tuple(found)


def _worth_drawing(central: AnyJudged, count: int) -> list[int]:
    """The worst failing entries, then kinks, then the entry that agrees least."""
    codes = central.codes.reshape(-1)
    error = np.nan_to_num(central.relative_error.reshape(-1), nan=np.inf)
    rank = np.where(codes == FAIL, 2e6, np.where(central.kinks.reshape(-1), 1e6, 0.0))
    rank = np.where(codes == UNCHECKED, -1.0, rank + np.minimum(error, 1e5))
    order = np.argsort(-rank, kind="stable")[:count]
    return [int(i) for i in order if rank[i] >= 0]


def _loss_at(problem: Problem, number: int, position: int, offset: float) -> float:
    parameter: Parameter = problem.parameters[number]
    start = parameter.value.reshape(-1)[position]
    moved = np.array([start + offset]).astype(parameter.value.dtype)
    return float(problem.evaluator.entries(number, np.array([position]), moved)[0])
