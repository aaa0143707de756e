"""The first pass of central differences: one pair of losses an entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import Some, flat
from gradcheck.noise import Noise
from gradcheck.oracles.ladder import KAPPA, RATIO
from gradcheck.oracles.steps import first_steps, typical_change
from gradcheck.problem import FloatArray, Problem
from gradcheck.scales import lengths_in_parts, rms

DWARFED = 1e-4
"""Magnitude of an entry, in units of its assumed length, below which the length is doubted."""
DEEP = 1e-4
"""Step, in units of the magnitude, at which such an entry is looked at, too."""


@dataclass(frozen=True, eq=False)
class FirstPass:
    """The first pass over one parameter; arrays by position in ``indices``."""

    number: int
    indices: NDArray[np.intp]
    start: FloatArray
    up: FloatArray
    down: FloatArray
    loss_up: FloatArray
    loss_down: FloatArray
    claimed: FloatArray
    rounding: FloatArray
    noise: FloatArray
    scales: FloatArray
    typical: float

    @property
    def slope(self) -> FloatArray:
        """The central differences."""
        return (self.loss_up - self.loss_down) / (self.up + self.down)

    @property
    def n_evaluated(self) -> int:
        """How many of the entries, from the first on, come before those that limits left out."""
        seen = np.flatnonzero(np.isfinite(self.loss_up) | np.isfinite(self.loss_down))
        return int(seen[-1]) + 1 if seen.size else 0

    def upto(self, n: int) -> FirstPass:
        """Return the first pass over the first ``n`` of the entries."""
        arrays: dict[str, Any] = {
            field.name: value[:n]
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), np.ndarray)
        }
        return replace(self, **arrays)

    @property
    def dwarfed(self) -> NDArray[np.bool_]:
        """Entries so small beside the length assumed for them that it may not be theirs."""
        magnitude = np.abs(self.start.astype(np.float64))
        return np.asarray((magnitude > 0) & (magnitude < DWARFED * self.scales))

    def deep_level(self, position: int) -> float:
        """The level at which the step is a small part of the entry's own magnitude."""
        step = 0.5 * (self.up[position] + self.down[position])
        wanted = DEEP * abs(float(self.start[position])) / step
        return float(min(-1, round(np.log(wanted) / np.log(RATIO))))

    @property
    def uncertainty(self) -> FloatArray:
        """What the noise of the loss may have added to them."""
        return 2 * KAPPA * self.noise / (self.up + self.down)


@dataclass(frozen=True, eq=False)
class Prepared:
    """What the first pass over a parameter needs to know of all of it.

    ``lengths`` gives the scales of some entries; ``typical`` is the size of the claimed gradient.
    """

    problem: Problem
    noise: Noise
    number: int
    lengths: Callable[[Some], FloatArray]
    typical: float

    def changes(self, some: Some) -> float:
        """Return by how much these entries typically change the loss over their scales."""
        return typical_change(self._claimed(some), self.lengths(some))

    def evaluated(self, some: Some, changes: float) -> FirstPass:
        """Evaluate one pair of losses for each of some entries (flat, C order)."""
        start, scales, steps = self._steps(some, changes)
        indices = np.arange(some.start, some.stop) if isinstance(some, slice) else some
        up, down, loss_up, loss_down = pairs(self.problem, self.number, indices, start, steps)
        largest = np.fmax(np.abs(loss_up), np.abs(loss_down))
        noise = self.noise.at(np.where(np.isfinite(largest), largest, 0.0))
        rounding = flat(self.problem.analytic_rounding[self._name], some)
        losses = (loss_up, loss_down)
        return FirstPass(
            *(self.number, indices, start, up, down, *losses),
            *(self._claimed(some), rounding, noise, scales, self.typical),
        )

    def steps(self, some: Some, changes: float) -> tuple[FloatArray, FloatArray]:
        """Return the steps up and down that ``evaluated`` takes."""
        start, _, steps = self._steps(some, changes)
        above, below = points(start, steps)
        wide = start.astype(np.float64)
        return above.astype(np.float64) - wide, wide - below.astype(np.float64)

    def _steps(self, some: Some, changes: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        value = self.problem.parameters[self.number].value
        # NumPy's floating-point functions want the machine's own byte order.
        start = flat(value, some).astype(value.dtype.newbyteorder("="))
        scales = self.lengths(some)
        level, loss = self.noise.level, self.noise.loss
        return start, scales, first_steps(self._claimed(some), scales, level, loss, changes)

    @property
    def _name(self) -> str:
        return self.problem.parameters[self.number].name

    def _claimed(self, some: Some) -> FloatArray:
        return flat(self.problem.analytic[self._name], some)


def truncation_of(
    values: FloatArray, typical: float, spans: FloatArray, scales: FloatArray
) -> FloatArray:
    """Return how the truncation error of central differences grows, from entry to entry.

    With the gradient, and with the square of the step: of neighbours whose steps are as unequal as
    their gradients, one tells of the other.
    """
    return np.asarray((np.abs(values) + typical) * np.square(spans / scales))


def prepare(problem: Problem, noise: Noise, number: int) -> Prepared:
    """Look at all of a parameter before its first pass, which may then go by parts."""
    parameter = problem.parameters[number]
    typical = rms(problem.analytic[parameter.name])
    return Prepared(problem, noise, number, lengths_in_parts(problem, parameter), typical)


def first_pass(problem: Problem, noise: Noise, number: int, indices: NDArray[np.intp]) -> FirstPass:
    """Evaluate one pair of losses for each of the entries ``indices`` (flat, C order)."""
    prepared = prepare(problem, noise, number)
    return prepared.evaluated(indices, prepared.changes(indices))


def points(start: FloatArray, steps: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the values a step up and a step down."""
    above = (start + steps).astype(start.dtype)
    below = (start - steps).astype(start.dtype)
    # Where the step is lost in the entry's own rounding, take the neighbouring numbers.
    above = np.where(above == start, np.nextafter(start, np.inf, dtype=start.dtype), above)
    below = np.where(below == start, np.nextafter(start, -np.inf, dtype=start.dtype), below)
    return above, below


def pairs(
    problem: Problem,
    number: int,
    indices: NDArray[np.intp],
    start: FloatArray,
    steps: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Evaluate the loss a step up and a step down; return the steps really taken, and losses."""
    above, below = points(start, steps)
    wide = start.astype(np.float64)
    # Up and down side by side: a budget that ends in between leaves whole pairs.
    both = problem.evaluator.entries(
        number, np.repeat(indices, 2), np.stack([above, below], axis=1).ravel()
    )
    loss_up, loss_down = both[0::2], both[1::2]
    return above.astype(np.float64) - wide, wide - below.astype(np.float64), loss_up, loss_down
