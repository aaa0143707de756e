"""Entries in doubt climb a ladder of steps, each to those that decide it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck.noise import POINTS, Noise, table_noise
from gradcheck.oracles.first_pass import FirstPass, pairs
from gradcheck.oracles.ladder import KAPPA, RATIO, Reading, Rung, read_ladder
from gradcheck.problem import FloatArray, Problem

ROUNDS = 16
LARGEST = 0.2
"""Largest step, in units of the entry's scale."""
SETTLED = 16.0
"""How much nearer to the claim two neighbouring slopes come that settle on it as noise fades."""
SHARE = 0.1
"""Part of its distance from the claim by which noise makes the smallest slope differ from the next;
where the loss oscillates over larger steps, these two agree."""
FINE_SAMPLE = 24
"""Entries of one parameter that climb for a finer resolution alone, unless all are to."""


@dataclass(frozen=True)
class Effort:
    """How far to go.

    ``wanted`` is the relative uncertainty at which climbing stops, where noise allows it, for
    entries down to ``smallest`` of the typical one; entries coarser than ``coarse`` climb for a
    finer value even where they agree with the claim, at most ``n_fine`` of a parameter.
    """

    wanted: float
    coarse: float
    smallest: float
    n_fine: int | None


ORDINARY = Effort(wanted=1e-5, coarse=1e-4, smallest=1e-3, n_fine=FINE_SAMPLE)
THOROUGH = Effort(wanted=3e-7, coarse=1e-6, smallest=1e-8, n_fine=None)


def is_wrong(first: FirstPass, position: int, reading: Reading) -> bool:
    """Return whether a reading contradicts the claim; a kink or an open one does not."""
    if reading.kink or not np.isfinite(reading.uncertainty):
        return False
    allowed = reading.uncertainty + first.rounding[position]
    return bool(abs(reading.value - first.claimed[position]) > allowed)


def climb(
    problem: Problem,
    noise: Noise,
    first: FirstPass,
    positions: NDArray[np.intp],
    effort: Effort,
) -> dict[int, Reading]:
    """Let the entries at ``positions`` climb, each to the steps that it needs.

    An entry that comes out wrong although small steps seem to fall below the grain of the loss
    has its noise measured along it, on the scale of larger ones, and climbs on with that.
    """
    rungs: dict[int, dict[float, Rung]] = {}
    for position in positions.tolist():
        rungs[position] = {
            0.0: Rung(
                first.up[position],
                first.down[position],
                first.loss_up[position],
                first.loss_down[position],
            )
        }
    floors = dict.fromkeys(rungs, 0.0)
    wanted: dict[int, list[float]] = {position: [-1.0, 1.0] for position in rungs}
    for position in np.flatnonzero(first.dwarfed).tolist():
        if position in wanted:
            deep = first.deep_level(position)
            wanted[position] += [deep, deep - 1]
    readings = _rounds(problem, noise, first, rungs, wanted, floors, effort)
    again: dict[int, list[float]] = {}
    for position, reading in readings.items():
        if noise.treads or not is_wrong(first, position, reading):
            continue
        reach = _grain_reach(first, position, rungs[position])
        if reach is not None:
            floors[position] = _noise_across(problem, first, position, reach)
            if floors[position] > _noise_on(noise, rungs[position]):
                again[position] = [max(rungs[position]) + 1]
    if again:
        # No further than to where the noise was measured.
        tops = {position: levels[0] for position, levels in again.items()}
        readings |= _rounds(problem, noise, first, rungs, again, floors, effort, tops)
    return readings


def _rounds(
    problem: Problem,
    noise: Noise,
    first: FirstPass,
    rungs: dict[int, dict[float, Rung]],
    wanted: dict[int, list[float]],
    floors: Mapping[int, float],
    effort: Effort,
    tops: Mapping[int, float] | None = None,
) -> dict[int, Reading]:
    """Evaluate the wanted levels of each entry and go on to the ones that it needs next."""
    readings: dict[int, Reading] = {}
    for _ in range(ROUNDS):
        if not wanted or problem.evaluator.exhausted:
            break
        _evaluate_rungs(problem, first, rungs, wanted)
        following: dict[int, list[float]] = {}
        near = noise.at(np.array([_largest_near(rungs[position]) for position in wanted]))
        for position, level in zip(wanted, near.tolist(), strict=True):
            level_noise = max(floors[position], level)
            reading = read_ladder(rungs[position], noise.loss, level_noise)
            readings[position] = reading
            more = _next_levels(
                *(first, position, rungs[position], reading, level_noise, effort),
                treads=noise.treads,
            )
            if tops is not None:
                more = [level for level in more if level <= tops[position]]
            if more:
                following[position] = more
        wanted = following
    return readings


def _is_flat(rungs: Mapping[float, Rung]) -> bool:
    return all(r.loss_up == r.loss_down for r in rungs.values())


def _grain_reach(first: FirstPass, position: int, rungs: Mapping[float, Rung]) -> float | None:
    """Return over what distance noise should be measured again; None where it need not be.

    Small steps seem to fall below the grain of the loss where it does not change at all over them,
    but does over larger ones; or where their slopes do not agree with each other, but come nearer
    to the claim as the step grows. The noise may also have been found too small: then the slopes
    settle on the claim as fast as the step grows, which those of a wrong claim do not, unless the
    loss oscillates over such steps; the smallest then agree.
    """
    ordered = [rung for _, rung in sorted(rungs.items())]
    beyond = RATIO * ordered[-1].up
    if ordered[0].loss_up == ordered[0].loss_down and not _is_flat(rungs):
        return beyond
    slopes = [(r.loss_up - r.loss_down) / (r.up + r.down) for r in ordered]
    off = np.abs(np.array(slopes) - first.claimed[position])
    settled = _settled(ordered, off)
    if settled is not None and abs(slopes[1] - slopes[0]) > SHARE * max(off[0], off[1]):
        return settled
    hidden = 2 * KAPPA * first.noise[position] / (ordered[0].up + ordered[0].down)
    finite = off[np.isfinite(off)]
    if not finite.size or finite[-1] >= 0.7 * finite[0]:
        return None
    grainy = abs(slopes[1] - slopes[0]) > 2 * hidden + 1e-6 * abs(slopes[0])
    return beyond if grainy else None


def _settled(ordered: Sequence[Rung], off: FloatArray) -> float | None:
    """Return the first step from which two slopes on are far nearer to the claim than small ones.

    ``off`` is how far each slope is from the claim, by rising step.
    """
    steps = np.array([rung.up for rung in ordered])
    for k in range(len(ordered) - 1):
        small = off[steps <= steps[k] / (4 * SETTLED)]
        if small.size and max(off[k], off[k + 1]) <= small.max() / SETTLED:
            return float(steps[k])
    return None


def _noise_across(problem: Problem, first: FirstPass, position: int, reach: float) -> float:
    """Noise of the loss along one entry, as far as ``reach`` on either side."""
    spacing = reach / POINTS
    index = np.full(POINTS, first.indices[position])
    found = [0.0]
    for side in (1.0, -1.0):
        points = first.start[position] + side * spacing * np.arange(1, POINTS + 1)
        losses = problem.evaluator.entries(first.number, index, points.astype(first.start.dtype))
        if np.isfinite(losses).all():
            found.append(table_noise(losses.tolist()))
    return max(found)


def _noise_on(noise: Noise, rungs: Mapping[float, Rung]) -> float:
    return noise.at(np.array(_largest_near(rungs))).item()


def _largest_near(rungs: Mapping[float, Rung]) -> float:
    """The magnitude of the loss at the smaller steps."""
    near = [r for level, r in rungs.items() if level <= 1]
    losses = [abs(x) for r in near for x in (r.loss_up, r.loss_down) if math.isfinite(x)]
    return float(max(losses, default=0.0))


def _changes_suddenly(rungs: Mapping[float, Rung], noise: float) -> bool:
    """Whether the slopes of the two smallest steps agree far better than truncation explains.

    It grows sixteenfold from step to step, or with the square of that. Beyond, the loss jumps at
    the larger steps, and may do so within the smaller ones, which then agree by chance.
    """
    smallest = [rungs[level] for level in sorted(rungs)[:3]]
    slopes = [(r.loss_up - r.loss_down) / (r.up + r.down) for r in smallest]
    hidden = sum(2 * KAPPA * noise / (r.up + r.down) for r in smallest[:2])
    near, far = abs(slopes[1] - slopes[0]), abs(slopes[2] - slopes[1])
    return bool(far > RATIO**4 * (near + hidden))


def _evaluate_rungs(
    problem: Problem,
    first: FirstPass,
    rungs: dict[int, dict[float, Rung]],
    wanted: Mapping[int, list[float]],
) -> None:
    positions = [position for position, levels in wanted.items() for _ in levels]
    levels = [level for chosen in wanted.values() for level in chosen]
    if not positions:
        return
    at = np.array(positions, dtype=np.intp)
    base = 0.5 * (first.up[at] + first.down[at])
    steps = base * RATIO ** np.array(levels, dtype=float)
    up, down, loss_up, loss_down = pairs(
        problem, first.number, first.indices[at], first.start[at], steps
    )
    for j, (position, level) in enumerate(zip(positions, levels, strict=True)):
        rungs[position][level] = Rung(
            float(up[j]), float(down[j]), float(loss_up[j]), float(loss_down[j])
        )


def _next_levels(
    first: FirstPass,
    position: int,
    rungs: Mapping[float, Rung],
    reading: Reading,
    noise: float,
    effort: Effort,
    *,
    treads: bool = False,
) -> list[float]:
    """Which further steps an entry needs; none when what it has decides."""
    lowest, highest = min(rungs), max(rungs)
    claim, scale = abs(first.claimed[position]), first.scales[position]
    known = abs(reading.value) if np.isfinite(reading.value) else 0.0
    size = max(claim, known, first.typical)
    bottom = rungs[lowest]
    next_down = 2 * KAPPA * noise / (bottom.up + bottom.down) * RATIO
    room = bottom.up > 1e-15 * scale
    can_descend = room and (
        next_down <= 1e-3 * size or (not reading.consistent and next_down <= 0.1 * size)
    )
    can_ascend = rungs[highest].up * RATIO <= LARGEST * scale
    if _is_flat(rungs) and claim and not treads:
        # No change at all: the steps may be lost in a coarser rounding inside the loss.
        return [highest + 2] if can_ascend else []
    if not (np.isfinite(bottom.loss_up) and np.isfinite(bottom.loss_down)):
        # The edge of the domain is nearer than this step.
        return [lowest - 2, lowest - 1] if room and next_down <= size else []
    if not np.isfinite(reading.uncertainty):
        return [lowest - 1] if room and next_down <= size else []
    if reading.kink or not reading.consistent:
        return [lowest - 1] if can_descend else []
    allowed = reading.uncertainty + first.rounding[position]
    difference = abs(reading.value - first.claimed[position])
    wanted = effort.wanted * max(known, effort.smallest * size)
    fine = reading.uncertainty <= wanted
    if difference > 10 * allowed and can_descend and _changes_suddenly(rungs, noise):
        return [lowest - 1]
    if (difference <= allowed and fine) or (difference > 10 * allowed and fine):
        return []
    if difference > 100 * allowed:
        return []
    if reading.noise_limited:
        return [highest + 0.5, highest + 1] if can_ascend else []
    return [lowest - 1] if can_descend else []
