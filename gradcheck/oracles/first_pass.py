"""The first pass of central differences: one pair of losses an entry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck.noise import Noise
from gradcheck.oracles.ladder import KAPPA, RATIO
from gradcheck.oracles.steps import first_steps
from gradcheck.problem import FloatArray, Problem
from gradcheck.scales import entry_lengths, rms

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


def first_pass(problem: Problem, noise: Noise, number: int, indices: NDArray[np.intp]) -> FirstPass:
    """Evaluate one pair of losses for each of the entries ``indices`` (flat, C order)."""
    parameter = problem.parameters[number]
    value = parameter.value
    claimed = problem.analytic[parameter.name].reshape(-1)[indices]
    rounding = problem.analytic_rounding[parameter.name].reshape(-1)[indices]
    # NumPy's floating-point functions want the machine's own byte order.
    start = value.reshape(-1)[indices].astype(value.dtype.newbyteorder("="))
    scales = entry_lengths(problem, parameter).reshape(-1)[indices]
    steps = first_steps(claimed, scales, noise.level, noise.loss)
    typical = rms(problem.analytic[parameter.name])
    up, down, loss_up, loss_down = pairs(problem, number, indices, start, steps)
    largest = np.fmax(np.abs(loss_up), np.abs(loss_down))
    return FirstPass(
        number,
        indices,
        start,
        up,
        down,
        loss_up,
        loss_down,
        claimed,
        rounding,
        noise.at(np.where(np.isfinite(largest), largest, 0.0)),
        scales,
        typical,
    )


def pairs(
    problem: Problem,
    number: int,
    indices: NDArray[np.intp],
    start: FloatArray,
    steps: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Evaluate the loss a step up and a step down; return the steps really taken, and losses."""
    above = (start + steps).astype(start.dtype)
    below = (start - steps).astype(start.dtype)
    # Where the step is lost in the entry's own rounding, take the neighbouring numbers.
    above = np.where(above == start, np.nextafter(start, np.inf, dtype=start.dtype), above)
    below = np.where(below == start, np.nextafter(start, -np.inf, dtype=start.dtype), below)
    wide = start.astype(np.float64)
    # Up and down side by side: a budget that ends in between leaves whole pairs.
    both = problem.evaluator.entries(
        number, np.repeat(indices, 2), np.stack([above, below], axis=1).reshape(-1)
    )
    loss_up, loss_down = both[0::2], both[1::2]
    return above.astype(np.float64) - wide, wide - below.astype(np.float64), loss_up, loss_down
