"""Central differences along random directions: a gradient of any size in a few evaluations.

The claimed gradient times a direction is held against the slope of the loss along it, which the
ladder of steps (``ladder``) reads with its uncertainty. The same losses give the Taylor test: what
the claim leaves of ``loss(x + h v) - loss(x)`` falls with the square of ``h`` where the claim is
right, and with ``h`` where it is wrong. A direction sees the sum of all errors, each with a random
sign, and so resolves one of ``n`` entries about ``sqrt(n)`` times worse than a step in it alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.noise import Noise
from gradcheck.oracles.drawn_steps import Projection, draw_steps, project
from gradcheck.oracles.ladder import KAPPA, RATIO
from gradcheck.oracles.walk import LONGEST, Walk, first_distance
from gradcheck.problem import FloatArray, Parameter, Problem
from gradcheck.report import JsonValue, number
from gradcheck.sweep.moves import Block

TAYLOR_STEPS = 4


@dataclass(frozen=True, eq=False, slots=True)
class DirectionResult:
    """One random direction.

    Attributes:
        parameter: the parameter that moves; empty where all do.
        claimed: the claimed gradient times the direction.
        numeric: slope of the loss along it.
        uncertainty: bound on the error of ``numeric`` together with the rounding of ``claimed``.
        agree: whether the two are the same; None where the loss does not resolve it.
        steps: distances of the Taylor test, in units of the parameters' scales.
        residuals: ``|loss(x + h v) - loss(x) - h claimed|`` at each.
        order: slope of the residuals over the steps: 2 where the claim is right, 1 where wrong;
            None where they are lost in noise.
        size: ``claimed`` as large as it is typically, over directions.
        gap: how far the slopes of the two sides are apart at a kink of the loss; 0 of none.
    """

    parameter: str
    claimed: float
    numeric: float
    uncertainty: float
    agree: bool | None
    steps: tuple[float, ...]
    residuals: tuple[float, ...]
    order: float | None
    size: float
    gap: float = 0.0

    @property
    def hides(self) -> float:
        """The largest error that would not be seen along it, in units of ``size``."""
        return (self.uncertainty + self.gap) / self.size if self.size else math.inf

    def to_plain(self) -> dict[str, JsonValue]:
        """Return plain data, for ``ParameterResult.taylor``."""
        return {
            "parameter": self.parameter,
            "claimed": number(self.claimed),
            "numeric": number(self.numeric),
            "uncertainty": number(self.uncertainty),
            "agree": self.agree,
            "steps": [number(step) for step in self.steps],
            "residuals": [number(residual) for residual in self.residuals],
            "order": None if self.order is None else number(self.order),
        }


def check_directions(
    problem: Problem,
    noise: Noise,
    generator: np.random.Generator,
    *,
    n: int = 3,
    parameters: Sequence[str] | None = None,
    claimed: Mapping[str, FloatArray] | None = None,
    longest: float = LONGEST,
) -> tuple[DirectionResult, ...]:
    """Hold a gradient against the loss along ``n`` random directions; six evaluations each.

    Moves all parameters together, or each of ``parameters`` alone, ``n`` times. ``claimed`` is the
    gradient by parameter name, by default that of the problem, and ``longest`` the longest
    distance to go, in units of the parameters' scales. At a kink along the direction a claim
    between the two slopes is not called right, only not wrong.
    """
    gradient = problem.analytic if claimed is None else claimed
    numbers = {p.name: k for k, p in enumerate(problem.parameters) if p.name in gradient}
    names = [name for name in numbers if parameters is None or name in parameters]
    groups = [("", names)] if parameters is None else [(name, [name]) for name in names]
    results = []
    for label, members in groups:
        start = None
        for _ in range(n if members else 0):
            chosen = [problem.parameters[numbers[name]] for name in members]
            blocks = [
                Block(numbers[p.name], (), _finite_steps(p, gradient[p.name], generator))
                for p in chosen
            ]
            result, start = _one_direction(problem, noise, blocks, gradient, label, start, longest)
            results.append(result)
    return tuple(results)


def _finite_steps(
    parameter: Parameter, gradient: FloatArray, generator: np.random.Generator
) -> NDArray[Any]:
    steps = draw_steps(parameter.value, generator)
    if not math.isfinite(float(gradient.sum())):
        steps[~np.isfinite(gradient)] = 0.0
    return steps


def _one_direction(
    problem: Problem,
    noise: Noise,
    blocks: Sequence[Block],
    gradient: Mapping[str, FloatArray],
    label: str,
    start: float | None,
    longest: float,
) -> tuple[DirectionResult, float]:
    names = [problem.parameters[block.parameter].name for block in blocks]
    seen = project(
        [gradient[name] for name in names],
        [problem.analytic_rounding.get(name, np.zeros(())) for name in names],
        [block.steps for block in blocks],
    )
    base = first_distance(problem, noise, seen.size) if start is None else start
    walk = Walk(problem, noise, blocks, min(base, longest / RATIO), longest)
    slope = walk.go(1e-6 * seen.size)
    kink = walk.kink()
    allowed = slope.bound + seen.rounding
    steps, residuals = _taylor(walk, seen)
    agree = None if kink else _agrees(seen, slope.value, allowed)
    if agree is False and walk.refutes(seen.dot, seen.rounding, slope):
        agree = None
    result = DirectionResult(
        label,
        seen.dot,
        slope.value,
        allowed,
        agree,
        steps,
        residuals,
        _order(steps, residuals, walk.level_noise, seen.rounding),
        seen.size,
        0.0 if kink is None else kink[1] - kink[0],
    )
    return result, slope.distance


def _agrees(seen: Projection, slope: float, allowed: float) -> bool | None:
    if not math.isfinite(allowed):
        return None
    scale = max(abs(slope), seen.size)
    difference = abs(seen.dot - slope)
    if difference > allowed and difference > 1e-6 * scale:
        return False
    return True if difference <= allowed <= 1e-3 * scale else None


def _taylor(walk: Walk, seen: Projection) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Residuals of the claim's first-order Taylor polynomial, on the side of positive steps."""
    losses = {rung.up: rung.loss_up for rung in walk.rungs.values()}
    further = max(losses)
    more: list[float] = []
    while len(losses) + len(more) < TAYLOR_STEPS and further * RATIO <= walk.longest:
        further *= RATIO
        more.append(further)
    if more:
        found = walk.problem.evaluator.moved(walk.blocks, more).tolist()
        losses |= dict(zip(more, found, strict=True))
    steps = tuple(step for step in sorted(losses) if math.isfinite(losses[step]))
    residuals = tuple(abs(losses[h] - walk.noise.loss - h * seen.dot) for h in steps)
    return steps, residuals


def _order(
    steps: Sequence[float], residuals: Sequence[float], noise: float, rounding: float
) -> float | None:
    """Order of convergence between the two smallest steps whose residuals are above noise."""
    shown = [
        (h, r)
        for h, r in zip(steps, residuals, strict=True)
        if r > 2 * (KAPPA * noise + h * rounding)
    ]
    if len(shown) < 2:
        return None
    (h1, r1), (h2, r2) = shown[0], shown[1]
    return math.log(r2 / r1) / math.log(h2 / h1)
