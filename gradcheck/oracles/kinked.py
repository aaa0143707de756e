"""Slopes of the loss along directions that move several entries which all sit at kinks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck.noise import Noise
from gradcheck.oracles.parted import AnyEstimate, as_whole
from gradcheck.problem import FloatArray, Problem
from gradcheck.sweep.moves import Block

LARGEST = 1 << 17
"""Entries of a parameter up to which its kinks are looked at together."""
SHORTEST, LONGEST = 1e-6, 1e-3
"""Steps, in units of the parameters' scales."""
APART = 16.0
"""How far from the point the slopes nearby are taken, in steps."""
DRAWN = 8
"""Points nearby that are drawn, and as many opposite to them."""
FEW = 5
"""Entries up to which each way of moving them up or down is among these."""
SMALLEST = 1e-3
"""Part of the largest kink below which another is left alone."""
NOISE = 4.0
"""Standard deviations that an error spans."""


@dataclass(frozen=True, eq=False)
class Kinked:
    """Entries at kinks, of one or several parameters, and how they move.

    Attributes:
        places: number, name and flat positions of the entries, by parameter.
        claimed: the claimed gradient of each entry, and ``rounding`` the bound on its error.
        units: how far each moves at distance 1: so far that all kinks bend the loss alike.
        kink: by how much they bend it, in units of the loss by distance.
        step: the distance at which noise is small against that.
        noise: standard deviation of the loss's roundoff.
    """

    problem: Problem
    places: tuple[tuple[int, str, NDArray[np.intp]], ...]
    claimed: FloatArray
    rounding: FloatArray
    units: FloatArray
    kink: float
    step: float
    noise: float

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.claimed.size

    def claim(self, direction: FloatArray) -> float:
        """Return the claimed slope along a direction."""
        return float(self.claimed @ (self.units * direction))

    def error(self, direction: FloatArray) -> float:
        """Return a bound on the error of a slope along a direction, and on that of the claim."""
        rounding = self.rounding + 1e-6 * np.abs(self.claimed)
        return float(rounding @ (self.units * np.abs(direction))) + NOISE * self.noise / self.step

    def sides(self, direction: FloatArray, step: float) -> tuple[float, float]:
        """Return the one-sided slopes along a direction, in order of size; NaN off the domain."""
        here = self.problem.facts.value
        up, down = self._losses(direction, (step, -step))
        forward, backward = (up - here) / step, (here - down) / step
        return float(np.minimum(forward, backward)), float(np.maximum(forward, backward))

    def offsets(
        self, direction: FloatArray, generator: np.random.Generator
    ) -> tuple[FloatArray, ...]:
        """Draw ways away from the point, in pairs of opposite ones.

        Entries that the direction moves lie on the direction, or each another way: of a few, every
        way there is. The others rest in half of the points, and go farther in the rest.
        """
        moved = np.flatnonzero(direction)
        ways = 2 ** (len(moved) - 1)
        drawn = [direction]
        for number in range(max(DRAWN, ways) if len(moved) <= FEW else DRAWN):
            rest = number // ways % 2 == 0 if len(moved) <= FEW else number % 2 == 0
            offset = (0.0 if rest else 4.0) * generator.choice((-1.0, 1.0), self.size)
            if len(moved) <= FEW:
                offset[moved] = [-1.0 if number >> bit & 1 else 1.0 for bit in range(len(moved))]
                offset[moved[-1]] = 1.0  # the opposite ways come with the opposite points
            else:
                offset[moved] = generator.choice((-1.0, 1.0), len(moved))
            drawn.append(offset * generator.uniform(0.5, 1.0, self.size))
        return (*drawn, *(-one for one in drawn))

    def nearby(
        self, direction: FloatArray, step: float, offsets: Sequence[FloatArray]
    ) -> FloatArray:
        """Return slopes along a direction at points ``APART`` steps from the point."""
        slopes = []
        for offset in offsets:
            away = APART * step * offset
            up, down = (self._losses(away + t * direction, (1.0,)).item() for t in (step, -step))
            slopes.append((up - down) / (2.0 * step))
        return np.array(slopes)

    def entries(self, marked: NDArray[np.bool_]) -> dict[str, NDArray[np.intp]]:
        """Return the flat positions of marked entries by parameter name."""
        found = {}
        for (_, name, positions), marks in zip(self.places, self._split(marked), strict=True):
            if marks.any():
                found[name] = positions[marks]
        return found

    def picked(self, gradient: Mapping[str, FloatArray]) -> FloatArray:
        """Return the entries of a gradient by parameter name."""
        return np.concatenate([gradient[name].ravel()[at] for _, name, at in self.places])

    def _losses(self, offset: FloatArray, distances: Sequence[float]) -> FloatArray:
        """Return the losses at the point with the entries moved."""
        blocks = []
        pieces = self._split(self.units * offset)
        for (number, _, positions), piece in zip(self.places, pieces, strict=True):
            shape = self.problem.parameters[number].value.shape
            steps = np.zeros(shape)
            steps.ravel()[positions] = piece
            blocks.append(Block(number, (), steps))
        return self.problem.evaluator.moved(blocks, distances)

    def _split(self, values: NDArray[np.generic]) -> list[NDArray[np.generic]]:
        ends = np.cumsum([len(positions) for _, _, positions in self.places])
        return np.split(values, ends[:-1])


def kinked(
    problem: Problem,
    noise: Noise,
    differences: Mapping[str, AnyEstimate],
    accepted: Mapping[str, NDArray[np.bool_]],
) -> Kinked | None:
    """Gather the accepted entries whose claim lies between the one-sided slopes of its kink.

    None where there are fewer than two, or where noise hides what they do together.
    """
    places, gaps, scales = [], [], []
    for number, parameter in enumerate(problem.parameters):
        marks = accepted.get(parameter.name)
        if marks is None or parameter.value.size > LARGEST or not marks.any():
            continue
        one = as_whole(differences[parameter.name])
        claimed = problem.analytic[parameter.name]
        blur = 4.0 * one.uncertainty + problem.analytic_rounding[parameter.name]
        between = (claimed >= one.lower - blur) & (claimed <= one.upper + blur)
        positions = np.flatnonzero(marks & one.kinks & between)
        if positions.size:
            places.append((number, parameter.name, positions))
            gaps.append((one.upper - one.lower).ravel()[positions])
            scales.append(parameter.scales.ravel()[positions])
    if not places:
        return None
    gap, scale = np.concatenate(gaps), np.concatenate(scales)
    with np.errstate(all="ignore"):
        bends = gap * scale
    return _made(problem, noise, places, gap, bends)


def _made(
    problem: Problem,
    noise: Noise,
    places: list[tuple[int, str, NDArray[np.intp]]],
    gap: FloatArray,
    bends: FloatArray,
) -> Kinked | None:
    usable = np.isfinite(bends) & (bends > 0)
    usable &= bends >= SMALLEST * bends[usable].max(initial=0.0)
    if int(usable.sum()) < 2:
        return None
    ends = np.cumsum([len(positions) for _, _, positions in places])[:-1]
    kept = [
        (number, name, positions[marks])
        for (number, name, positions), marks in zip(places, np.split(usable, ends), strict=True)
        if marks.any()
    ]
    kink = float(bends[usable].min())
    units = kink / gap[usable]
    level = noise.at(np.array(problem.facts.value)).item()
    step = max(SHORTEST, 100.0 * NOISE * level / kink, _resolved(problem, kept, units))
    if not step <= LONGEST:
        return None

    def of(values: Mapping[str, FloatArray]) -> FloatArray:
        return np.concatenate(
            [np.asarray(values[name], dtype=np.float64).ravel()[at] for _, name, at in kept]
        )

    claimed, rounding = of(problem.analytic), of(problem.analytic_rounding)
    return Kinked(problem, tuple(kept), claimed, rounding, units, kink, step, level)


def _resolved(
    problem: Problem, places: list[tuple[int, str, NDArray[np.intp]]], units: FloatArray
) -> float:
    """Return the step of which the rounding of the entries' values is a ten-thousandth."""
    rounding = []
    for number, _, positions in places:
        parameter = problem.parameters[number]
        own = float(np.finfo(parameter.value.dtype).eps)
        rounding.append(own * parameter.magnitudes.ravel()[positions])
    return 1e4 * float((np.concatenate(rounding) / units).max())
