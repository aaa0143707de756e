"""Sums of a gradient's errors over boxes of entries, seen along a random direction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.noise import Noise
from gradcheck.oracles.drawn_steps import Projection, draw_steps, project
from gradcheck.oracles.ladder import KAPPA, RATIO
from gradcheck.oracles.walk import LONGEST, WALKS, Walk, first_distance
from gradcheck.problem import Problem
from gradcheck.sweep.moves import Block
from gradcheck.verdict.compare import thresholds_for

Box = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A box with what is known of the sum of errors in it: ``error``, give or take ``bound``."""

    number: int
    box: Box
    error: float
    bound: float

    @property
    def is_wrong(self) -> bool:
        """Whether errors do not add up to zero here."""
        return abs(self.error) > self.bound

    @property
    def shape(self) -> tuple[int, ...]:
        """Entries along each axis."""
        return tuple(one.stop - one.start for one in self.box)

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    def halves(self, axis: int) -> tuple[Box, Box]:
        """Return the two halves along an axis; the first is the larger one."""
        start, stop = self.box[axis].start, self.box[axis].stop
        middle = (start + stop + 1) // 2
        before, after = self.box[:axis], self.box[axis + 1 :]
        return (
            (*before, slice(start, middle), *after),
            (*before, slice(middle, stop), *after),
        )


class EnoughError(Exception):
    """The evaluations allowed are spent, or what was found is enough."""


def within(array: NDArray[Any], box: Box) -> NDArray[Any]:
    """Return the part of an array inside a box, as a view."""
    place: Any = (*box, ...)
    return np.asarray(array[place])


class Sight:
    """A random direction through the parameters, and the sums of errors seen along it.

    Attributes:
        kink: the slopes on both sides along the first direction, in order of size, where they
            differ at the point.
        longest: the longest distance to go, in units of the parameters' scales.
    """

    def __init__(
        self,
        problem: Problem,
        noise: Noise,
        max_evaluations: int | None,
        *,
        longest: float = LONGEST,
    ) -> None:
        self.problem = problem
        self.noise = noise
        self.max_evaluations = max_evaluations
        self.longest = longest
        self.kink: tuple[float, float] | None = None
        self.start = problem.evaluator.count
        self.resolution: dict[str, float] = {}
        self.numbers = [
            k
            for k, parameter in enumerate(problem.parameters)
            if parameter.name in problem.analytic
        ]
        self._steps: dict[int, NDArray[Any]] = {}
        self._distance: float | None = None
        self._share = 0.5

    @property
    def spent(self) -> int:
        """Evaluations so far."""
        return self.problem.evaluator.count - self.start

    def wholes(self) -> list[tuple[int, Box]]:
        """Return the box of each whole parameter."""
        values = [(k, self.problem.parameters[k].value) for k in self.numbers]
        return [(k, tuple(slice(0, n) for n in value.shape)) for k, value in values]

    def turn(self, generator: np.random.Generator, excluded: Sequence[Part]) -> None:
        """Draw a new direction, in which what is ``excluded`` does not move."""
        self._steps.clear()
        for k in self.numbers:
            parameter = self.problem.parameters[k]
            steps = draw_steps(parameter.value, generator)
            claimed = self.problem.analytic[parameter.name]
            if not math.isfinite(float(claimed.sum())):
                steps[~np.isfinite(claimed)] = 0.0
            self._steps[k] = steps
        for part in excluded:
            within(self._steps[part.number], part.box)[...] = 0.0

    def sum_of_all(self) -> tuple[float, float]:
        """Measure all parameters together; the first time, find the distance to go."""
        if self._distance is not None:
            return self.measure(self.wholes())
        self._allow(2 * (2 + WALKS))
        seen, blocks = self._project(self.wholes())
        base = min(first_distance(self.problem, self.noise, seen.size), self.longest / RATIO)
        walk = Walk(self.problem, self.noise, blocks, base, self.longest)
        slope = walk.go(1e-9 * seen.size)
        self._look_at_limits()
        self._distance = slope.distance
        self._share = 0.5 if slope.settled else 3.0
        bound = slope.bound + seen.rounding
        kink = self.kink = walk.kink()
        # Between the slopes of the two sides nothing is seen.
        self._resolve(bound if kink is None else bound + kink[1] - kink[0])
        if not math.isfinite(bound):
            return 0.0, math.inf
        if kink is not None:
            # A claim between the slopes on both sides is a valid one.
            return seen.dot - min(max(seen.dot, kink[0]), kink[1]), bound
        return seen.dot - slope.value, bound

    def _resolve(self, bound: float) -> None:
        for k, box in self.wholes():
            size = self._project([(k, box)])[0].size
            typical = size / math.sqrt(self.problem.parameters[k].value.size)
            ratio = bound / typical if typical > 0 else math.inf
            self.resolution[self.problem.parameters[k].name] = ratio

    def measure(self, places: Sequence[tuple[int, Box]]) -> tuple[float, float]:
        """Return the sum of errors within these boxes, and a bound on the error of that."""
        self._allow(4)
        seen, blocks = self._project(places)
        h = self._distance or 2.0**-17
        losses = self.problem.evaluator.moved(blocks, [h, -h, RATIO * h, -RATIO * h])
        self._look_at_limits()
        if not np.isfinite(losses).all():
            return 0.0, math.inf
        near = float(losses[0] - losses[1]) / (2 * h)
        far = float(losses[2] - losses[3]) / (2 * RATIO * h)
        noise = KAPPA * self.noise.at(np.array(np.abs(losses[:2]).max())).item() / h
        apart = abs(near - far)
        doubt = 0.0 if apart <= noise * (1 + 1 / RATIO) else self._share * apart
        return seen.dot - near, noise + seen.rounding + doubt

    def smallest(self, number: int, box: Box) -> float:
        """Return the smallest difference at one entry that counts as wrong."""
        parameter = self.problem.parameters[number]
        seen = self._project([(number, box)])[0]
        return thresholds_for(parameter.dtype).smallest * abs(seen.dot)

    def _project(self, places: Sequence[tuple[int, Box]]) -> tuple[Projection, list[Block]]:
        """Project the claim on the direction within these boxes."""
        blocks = [Block(k, box, within(self._steps[k], box)) for k, box in places]
        claimed, rounding = [], []
        for k, box in places:
            name = self.problem.parameters[k].name
            claimed.append(within(self.problem.analytic[name], box))
            rounding.append(within(self.problem.analytic_rounding[name], box))
        return project(claimed, rounding, [block.steps for block in blocks]), blocks

    def _allow(self, more: int) -> None:
        if self.max_evaluations is not None and self.spent + more > self.max_evaluations:
            raise EnoughError
        self._look_at_limits()

    def _look_at_limits(self) -> None:
        if self.problem.evaluator.exhausted:
            raise EnoughError
