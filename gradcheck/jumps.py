"""Losses that jump all along: rounded in lower precision inside, or stepped by design.

Beside a term in lower precision, one in double precision hides the steps of the former from short
difference tables and short steps alike: the slope between the jumps is then that of the latter
alone. Numbers cannot tell which slope is meant. An exact gradient can, where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradcheck.problem import FloatArray, Problem

HALVINGS = 32
"""Halvings of the interval in which a jump is looked for: to the last bits of the parameters."""
LAST, STAYS = 9, 0.5
"""Over the last so many halvings a jump keeps so much of its height; what is steep shrinks."""
SURE = 8.0
"""Standard deviations of noise that a jump has to exceed."""
CLEAR = 0.01
"""Part of the slope across the jumps to which that between them is measured."""
SHORTEST = 1e-11
"""Least length that it is measured over, in units of the parameters' scales."""
SAME = 0.1
"""Part of the difference of the two slopes within which a gradient has one of them."""


@dataclass(frozen=True, eq=False)
class Jumps:
    """What a loss that jumps does along a direction.

    ``between`` is its slope between the jumps, ``across`` that across them; ``level`` the noise
    between them; ``height`` that of one of the larger jumps.
    """

    direction: Sequence[FloatArray]
    between: float
    across: float
    level: float
    height: float = 0.0

    def lies_between(self, gradient: Mapping[str, FloatArray], names: Sequence[str]) -> bool:
        """Whether a gradient has the slope between the jumps."""
        if any(name not in gradient for name in names):
            return False
        slope = sum(
            float(np.sum(np.asarray(gradient[name], dtype=np.float64) * steps))
            for name, steps in zip(names, self.direction, strict=True)
        )
        return abs(slope - self.between) <= SAME * abs(self.across - self.between)


def find_jumps(
    problem: Problem,
    direction: Sequence[FloatArray],
    wide: tuple[float, FloatArray],
    short: float,
    level: float,
) -> Jumps | None:
    """Return what the jumps do, if the slope that short tables see does not add up to the loss.

    Args:
        problem: whose loss is looked at; a few evaluations, and some thirty where it jumps.
        direction: of the tables, an array for each parameter.
        wide: spacing and losses of a wide table, at 1, 2, ... spacings from the point.
        short: length of a narrow one, which shows no more than roundoff.
        level: standard deviation of that.
    """
    spacing, losses = wide
    middle, end = len(losses) // 2, len(losses)
    length = end * spacing
    whole = float(losses[end - 1]) - problem.facts.value
    # As short as noise allows: it should lie between two jumps.
    enough = SURE * level * length / (CLEAR * abs(whole)) if whole != 0.0 else short
    short = min(short, max(enough, SHORTEST))
    places = np.array([0.0, middle * spacing, length])
    ends = np.array([problem.facts.value, losses[middle - 1], losses[end - 1]])
    slopes = (problem.evaluator.along(direction, (places + short).tolist()) - ends) / short
    if not np.isfinite(slopes).all():
        return None
    missing = abs(whole - length * float(slopes @ np.array([1.0, 4.0, 1.0])) / 6.0)
    bend = length * abs(float(slopes @ np.array([1.0, -2.0, 1.0])))
    if missing <= 4.0 * bend + SURE * level * (1.0 + length / short):
        return None
    begin = (0.0, problem.facts.value)
    finish = (length, float(losses[end - 1]))
    height = _jump(problem, direction, begin, finish, slopes[1], level)
    if height is None:
        return None
    return Jumps(direction, float(slopes[0]), whole / length, level, height)


def is_staircase(
    problem: Problem, direction: Sequence[FloatArray], length: float, level: float
) -> bool:
    """Whether a loss that is rough along ``length``, and plain along less, jumps in between.

    A fast oscillation is rough and plain on such scales, too, and does not; what lies about a pole
    is higher the nearer one looks.
    """
    wide = problem.evaluator.along(direction, [length]).item()
    here = problem.facts.value
    if not np.isfinite(wide):
        return False
    slope = (wide - here) / length
    heights = _heights(problem, direction, (0.0, here), (length, wide), slope, level)
    if len(heights) < HALVINGS:
        return False
    return STAYS < heights[-1] / heights[-LAST] < 1.0 / STAYS


def _jump(
    problem: Problem,
    direction: Sequence[FloatArray],
    begin: tuple[float, float],
    end: tuple[float, float],
    slope: float,
    level: float,
) -> float | None:
    """Height of a jump that remains however short the interval is."""
    heights = _heights(problem, direction, begin, end, slope, level)
    return heights[-1] if len(heights) == HALVINGS else None


def _heights(
    problem: Problem,
    direction: Sequence[FloatArray],
    begin: tuple[float, float],
    end: tuple[float, float],
    slope: float,
    level: float,
) -> list[float]:
    """What ``slope`` leaves unexplained, halving by halving; the half where it is more goes on.

    They end where no more is left than noise.
    """

    def unexplained(one: tuple[float, float], other: tuple[float, float]) -> float:
        return abs(other[1] - one[1] - slope * (other[0] - one[0]))

    heights: list[float] = []
    for _ in range(HALVINGS):
        middle = 0.5 * (begin[0] + end[0])
        half = (middle, problem.evaluator.along(direction, [middle]).item())
        first, second = unexplained(begin, half), unexplained(half, end)
        begin, end = (begin, half) if first >= second else (half, end)
        if not unexplained(begin, end) > SURE * level:
            break
        heights.append(unexplained(begin, end))
    return heights
