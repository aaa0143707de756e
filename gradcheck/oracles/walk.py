"""The slope of the loss along one direction, from losses at steps that bring its bound down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gradcheck.noise import Noise
from gradcheck.oracles.ladder import KAPPA, RATIO, Rung, read_ladder
from gradcheck.problem import Problem
from gradcheck.sweep.moves import Block

LONGEST = 2.0**-3
"""Largest distance, in units of the parameters' scales."""
WALKS = 6
"""Steps at most that are added to the first two."""


@dataclass(frozen=True, eq=False, slots=True)
class Slope:
    """The slope of the loss along a direction.

    ``settled`` says whether neighbouring steps agree, ``noise_limited`` whether within noise.
    """

    value: float
    bound: float
    distance: float
    settled: bool
    noise_limited: bool


@dataclass(eq=False)
class Walk:
    """Losses along one direction at steps ``base * RATIO**level``, and the slope they show.

    No step beyond the first two is longer than ``longest``.
    """

    problem: Problem
    noise: Noise
    blocks: Sequence[Block]
    base: float
    longest: float = LONGEST
    rungs: dict[float, Rung] = field(default_factory=dict)

    def look(self, levels: Sequence[float]) -> None:
        """Evaluate the loss on both sides at these levels."""
        steps = [self.base * RATIO**level for level in levels]
        losses = self.problem.evaluator.moved(self.blocks, [t for h in steps for t in (h, -h)])
        for j, (level, step) in enumerate(zip(levels, steps, strict=True)):
            self.rungs[level] = Rung(step, step, float(losses[2 * j]), float(losses[2 * j + 1]))

    @property
    def level_noise(self) -> float:
        """Noise of the losses at the two smallest steps."""
        near = [self.rungs[level] for level in sorted(self.rungs)[:2]]
        losses = [abs(x) for r in near for x in (r.loss_up, r.loss_down) if math.isfinite(x)]
        return self.noise.at(np.array(max(losses, default=0.0))).item()

    def best(self) -> Slope:
        """Return the slope from the two neighbouring steps that leave the least doubt.

        They must agree within noise or come together as those of a smooth loss do; otherwise three
        times the spread of the slopes so far is the bound. A slope at longer steps must not
        contradict those at shorter ones, lest a kink or an oscillation between them be taken for
        the slope.
        """
        rungs = [self.rungs[level] for level in sorted(self.rungs)]
        rungs = [r for r in rungs if math.isfinite(r.loss_up) and math.isfinite(r.loss_down)]
        slopes = [(r.loss_up - r.loss_down) / (r.up + r.down) for r in rungs]
        bends = [(r.loss_up - 2 * self.noise.loss + r.loss_down) / r.up for r in rungs]
        noises = [KAPPA * self.level_noise / r.up for r in rungs]
        best = Slope(math.nan, math.inf, self.base, settled=False, noise_limited=False)
        for k in range(len(rungs) - 1):
            apart = abs(slopes[k] - slopes[k + 1])
            calm = apart <= noises[k] + noises[k + 1]
            smooth = _comes_together(slopes[k:], bends[k:], noises[k])
            spread = max(slopes[: k + 3]) - min(slopes[: k + 3])
            doubt = 0.0 if calm else (0.25 * apart if smooth else 3.0 * spread)
            bound = noises[k] + doubt
            agrees = all(abs(slopes[k] - slopes[j]) <= bound + noises[j] for j in range(k))
            if agrees and bound < best.bound:
                best = Slope(
                    slopes[k], bound, rungs[k].up, settled=calm or smooth, noise_limited=calm
                )
        return best

    def kink(self) -> tuple[float, float] | None:
        """Return the slopes on both sides, in order of size, where they differ at the point."""
        reading = read_ladder(self.rungs, self.noise.loss, self.level_noise)
        if not reading.kink:
            return None
        return reading.lower - reading.uncertainty, reading.upper + reading.uncertainty

    def refutes(self, claimed: float, rounding: float, slope: Slope) -> bool:
        """Whether a shorter step agrees with a claim that the slope found contradicts.

        Only steps count whose noise leaves half of the contradiction to be seen. Over the long
        steps that a coarse noise asks for, kinks on both sides may make up a slope of their own.
        """
        if not self.noise.coarse:
            return False
        step, apart = slope.distance / RATIO, abs(claimed - slope.value)
        while KAPPA * self.level_noise / step < 0.5 * apart:
            up, down = self.problem.evaluator.moved(self.blocks, [step, -step]).tolist()
            nearer, unsure = (up - down) / (2 * step), KAPPA * self.level_noise / step + rounding
            if abs(claimed - nearer) <= unsure:
                return True
            step /= RATIO
        return False

    def go(self, goal: float) -> Slope:
        """Walk to the steps that bring the bound down to ``goal``, if any do."""
        self.look([0, 1])
        best = self.best()
        for _ in range(WALKS):
            lowest, highest = min(self.rungs), max(self.rungs)
            shortest = self.rungs[lowest].up / RATIO
            if best.bound <= goal or self.problem.evaluator.exhausted:
                break
            descends = KAPPA * self.level_noise / shortest < best.bound
            if not best.settled and descends:
                self.look([lowest - 1])
            elif best.noise_limited and self.rungs[highest].up * RATIO <= self.longest:
                self.look([highest + 1])
            else:
                break
            before, best = best, self.best()
            if before.settled and best.bound > 0.7 * before.bound:
                break
        return best


def _comes_together(slopes: Sequence[float], bends: Sequence[float], noise: float) -> bool:
    """Whether the first three slopes, by rising step, approach each other as if the loss is smooth.

    Their differences fall with the square of the step, and the bends (the differences of the
    one-sided slopes) with the step itself.
    """
    if len(slopes) < 3:
        return False
    near, far = abs(slopes[0] - slopes[1]), abs(slopes[1] - slopes[2])
    square = far / 32 - 2 * noise <= near <= far / 8 + 2 * noise
    straight = abs(bends[0] - bends[1] / RATIO) <= 0.1 * abs(bends[1]) / RATIO + 4 * noise
    return square and straight


def first_distance(problem: Problem, noise: Noise, size: float) -> float:
    """Return the first distance to try: noise against a loss with ordinary third derivatives."""
    change = size if size > 0 else abs(noise.loss)
    guess = math.cbrt(3 * noise.level / change) if change > 0 else 2.0**-17
    coarsest = max(float(np.finfo(p.value.dtype).eps) for p in problem.parameters)
    shortest = max(2.0**-36, coarsest * 2**10)
    return float(2.0 ** round(math.log2(min(max(guess, shortest), 2.0**-7))))
