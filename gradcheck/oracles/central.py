"""Central differences with an uncertainty.

One pair of losses an entry first, with a step chosen from the noise of the loss and the size of
the claimed gradient. Entries that agree with the claim within the noise are done. The others climb
a ladder of steps (``ladder``): the worst and a random sample first, and the rest too unless
enough of them have been confirmed wrong, so that a wholly wrong gradient costs little more than
a right one. The claim decides where to look harder; value and uncertainty come from the losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck.noise import POINTS, Noise, table_noise
from gradcheck.oracles.estimate import Estimate
from gradcheck.oracles.ladder import KAPPA, RATIO, Reading, Rung, read_ladder
from gradcheck.oracles.steps import first_steps
from gradcheck.problem import FloatArray, Problem
from gradcheck.scales import entry_lengths, rms

BATCH = 12
"""Disagreeing entries of one parameter that climb at a time."""
CONFIRMED = 8
"""Entries confirmed wrong after which the rest of a parameter is judged by the first pass."""
ROUNDS = 16
DWARFED = 1e-4
"""Magnitude of an entry, in units of its assumed length, below which the length is doubted."""
DEEP = 1e-4
"""Step, in units of the magnitude, at which such an entry is looked at, too."""
LARGEST = 0.2
"""Largest step, in units of the entry's scale."""
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


@dataclass(frozen=True)
class _Pass:
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
        return 2 * KAPPA * self.noise / (self.up + self.down)


def central_differences(
    problem: Problem,
    noise: Noise,
    generator: np.random.Generator,
    *,
    selection: Mapping[str, NDArray[np.intp]],
    suspected: Mapping[str, NDArray[np.bool_]] | None = None,
    thorough: bool = False,
) -> dict[str, Estimate]:
    """Estimate the gradient at the selected entries (flat, C order) of each parameter.

    Entries marked in ``suspected`` climb the ladder even where the first pass agrees with the
    claim. With ``thorough``, every entry is refined as far as noise allows.
    """
    effort = THOROUGH if thorough else ORDINARY
    passes = []
    for number, parameter in enumerate(problem.parameters):
        chosen = selection.get(parameter.name)
        if chosen is not None and parameter.name in problem.analytic:
            passes.append(_first_pass(problem, noise, number, chosen))
    cap = _ladder_cap(problem, passes)
    found = {}
    for first in passes:
        name = problem.parameters[first.number].name
        marked = None if suspected is None else suspected.get(name)
        found[name] = _refine(problem, noise, generator, first, marked, cap, effort)
    return found


def _ladder_cap(problem: Problem, passes: list[_Pass]) -> int:
    """Entries of one parameter that may be confirmed wrong before the ladder is left.

    A wholly wrong gradient then costs at most one more evaluation an entry, and two thousand.
    """
    spare = 1500 + problem.size
    return max(2, min(CONFIRMED, spare // (12 * max(1, len(passes)))))


def _first_pass(problem: Problem, noise: Noise, number: int, indices: NDArray[np.intp]) -> _Pass:
    parameter = problem.parameters[number]
    value = parameter.value
    claimed = problem.analytic[parameter.name].reshape(-1)[indices]
    rounding = problem.analytic_rounding[parameter.name].reshape(-1)[indices]
    # NumPy's floating-point functions want the machine's own byte order.
    start = value.reshape(-1)[indices].astype(value.dtype.newbyteorder("="))
    scales = entry_lengths(problem, parameter).reshape(-1)[indices]
    steps = first_steps(claimed, scales, noise.level, noise.loss)
    typical = rms(problem.analytic[parameter.name])
    up, down, loss_up, loss_down = _pairs(problem, number, indices, start, steps)
    largest = np.fmax(np.abs(loss_up), np.abs(loss_down))
    return _Pass(
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


def _pairs(
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


def _refine(
    problem: Problem,
    noise: Noise,
    generator: np.random.Generator,
    first: _Pass,
    marked: NDArray[np.bool_] | None,
    cap: int,
    effort: Effort,
) -> Estimate:
    """Judge the first pass, let the entries in doubt climb, and put the estimate together."""
    slope, uncertainty = first.slope, first.uncertainty
    difference = np.abs(slope - first.claimed)
    evaluated = np.isfinite(first.loss_up) | np.isfinite(first.loss_down)
    doubtful = ~(difference <= uncertainty + first.rounding)
    own = np.maximum(np.abs(slope), np.abs(first.claimed))
    scale = np.where(own > 1e-3 * first.typical, own, first.typical)
    doubtful |= ~(uncertainty <= 1e-3 * scale)
    if marked is not None:
        doubtful |= marked.reshape(-1)[first.indices]
    doubtful |= first.dwarfed
    if problem.evaluator.exhausted:
        doubtful &= evaluated
    readings = _climb_doubtful(problem, noise, generator, first, doubtful, cap, effort)
    coarse = ~doubtful & (uncertainty > effort.coarse * own)
    coarse &= own > effort.smallest * first.typical
    picked = np.flatnonzero(coarse)
    if picked.size:
        picked = generator.permutation(picked)[: effort.n_fine]
        readings |= _climb(problem, noise, first, picked, effort)
    return _assemble(problem, first, doubtful, readings)


def _climb_doubtful(
    problem: Problem,
    noise: Noise,
    generator: np.random.Generator,
    first: _Pass,
    doubtful: NDArray[np.bool_],
    cap: int,
    effort: Effort,
) -> dict[int, Reading]:
    """Climb in batches, half of the worst and half drawn, until enough are confirmed wrong."""
    open_ = np.flatnonzero(doubtful)
    severity = np.abs(first.slope - first.claimed)[open_] / (
        first.uncertainty[open_] + first.rounding[open_] + np.finfo(float).tiny
    )
    severity = np.where(np.isnan(severity), np.inf, severity)
    by_severity = open_[np.argsort(-severity, kind="stable")].tolist()
    at_random = generator.permutation(open_).tolist()
    readings: dict[int, Reading] = {}
    confirmed = 0
    while len(readings) < len(open_) and confirmed < cap and not problem.evaluator.exhausted:
        batch: list[int] = []
        size = min(BATCH, max(2, cap))
        while len(batch) < size and (by_severity or at_random):
            source = by_severity if len(batch) % 2 == 0 and by_severity else at_random
            if not source:
                break
            position = source.pop(0)
            if position not in readings and position not in batch:
                batch.append(position)
        if not batch:
            break
        new = _climb(problem, noise, first, np.array(batch, dtype=np.intp), effort)
        readings |= new
        confirmed += sum(_is_wrong(first, position, new[position]) for position in new)
    return readings


def _is_wrong(first: _Pass, position: int, reading: Reading) -> bool:
    if reading.kink or not np.isfinite(reading.uncertainty):
        return False
    allowed = reading.uncertainty + first.rounding[position]
    return bool(abs(reading.value - first.claimed[position]) > allowed)


def _climb(
    problem: Problem,
    noise: Noise,
    first: _Pass,
    positions: NDArray[np.intp],
    effort: Effort,
) -> dict[int, Reading]:
    """Let the entries at ``positions`` climb, each to the steps that it needs.

    An entry that comes out wrong although small steps seem to fall below the grain of the loss
    has its noise measured on the scale of the larger ones, and climbs on with that.
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
        if _is_wrong(first, position, reading) and _grainy(first, position, rungs[position]):
            floors[position] = _noise_across(problem, first, position, rungs[position])
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
    first: _Pass,
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
        for position in wanted:
            level_noise = max(floors[position], _noise_on(noise, rungs[position]))
            reading = read_ladder(rungs[position], noise.loss, level_noise)
            readings[position] = reading
            more = _next_levels(first, position, rungs[position], reading, level_noise, effort)
            if tops is not None:
                more = [level for level in more if level <= tops[position]]
            if more:
                following[position] = more
        wanted = following
    return readings


def _is_flat(rungs: Mapping[float, Rung]) -> bool:
    return all(r.loss_up == r.loss_down for r in rungs.values())


def _grainy(first: _Pass, position: int, rungs: Mapping[float, Rung]) -> bool:
    """Whether small steps seem to fall below the grain of the loss.

    Either the loss does not change at all over them, but does over larger ones; or the slopes of
    the smallest do not agree with each other, but come nearer to the claim as the step grows.
    """
    ordered = [rung for _, rung in sorted(rungs.items())]
    if ordered[0].loss_up == ordered[0].loss_down and not _is_flat(rungs):
        return True
    slopes = [(r.loss_up - r.loss_down) / (r.up + r.down) for r in ordered]
    finite = [abs(slope - first.claimed[position]) for slope in slopes if np.isfinite(slope)]
    if len(finite) < 2 or finite[-1] >= 0.7 * finite[0]:
        return False
    hidden = 4 * first.noise[position] * KAPPA / (ordered[0].up + ordered[0].down)
    return bool(abs(slopes[1] - slopes[0]) > hidden + 1e-6 * abs(slopes[0]))


def _noise_across(
    problem: Problem, first: _Pass, position: int, rungs: Mapping[float, Rung]
) -> float:
    """Noise of the loss along one entry, as far as one step beyond the largest one taken."""
    spacing = RATIO * rungs[max(rungs)].up / POINTS
    index = np.full(POINTS, first.indices[position])
    found = [0.0]
    for side in (1.0, -1.0):
        points = first.start[position] + side * spacing * np.arange(1, POINTS + 1)
        losses = problem.evaluator.entries(first.number, index, points.astype(first.start.dtype))
        if np.isfinite(losses).all():
            found.append(table_noise(losses.tolist()))
    return max(found)


def _noise_on(noise: Noise, rungs: Mapping[float, Rung]) -> float:
    near = [r for level, r in rungs.items() if level <= 1]
    losses = [abs(x) for r in near for x in (r.loss_up, r.loss_down) if np.isfinite(x)]
    return float(noise.at(np.array([max(losses, default=0.0)]))[0])


def _evaluate_rungs(
    problem: Problem,
    first: _Pass,
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
    up, down, loss_up, loss_down = _pairs(
        problem, first.number, first.indices[at], first.start[at], steps
    )
    for j, (position, level) in enumerate(zip(positions, levels, strict=True)):
        rungs[position][level] = Rung(
            float(up[j]), float(down[j]), float(loss_up[j]), float(loss_down[j])
        )


def _next_levels(
    first: _Pass,
    position: int,
    rungs: Mapping[float, Rung],
    reading: Reading,
    noise: float,
    effort: Effort,
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
    if _is_flat(rungs) and claim != 0.0:
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
    if (difference <= allowed and fine) or (difference > 10 * allowed and fine):
        return []
    if difference > 100 * allowed and lowest < 0:
        return []
    if reading.noise_limited:
        return [highest + 0.5, highest + 1] if can_ascend else []
    return [lowest - 1] if can_descend else []


def _assemble(
    problem: Problem,
    first: _Pass,
    doubtful: NDArray[np.bool_],
    readings: Mapping[int, Reading],
) -> Estimate:
    """Spread first pass and readings over the parameter's shape."""
    value, uncertainty = first.slope.copy(), first.uncertainty.copy()
    step = 0.5 * (first.up + first.down)
    n = len(first.indices)
    lower, upper = value.copy(), value.copy()
    kinks, edges = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    left = doubtful.copy()
    left[list(readings)] = False
    if any(_is_wrong(first, p, r) for p, r in readings.items()):
        uncertainty[left] += _truncation_seen(first, readings)[left]
    else:
        # Nothing was confirmed wrong: what was left open is not known, rather than wrong.
        uncertainty[left] = np.nan
    for position, reading in readings.items():
        value[position], uncertainty[position] = reading.value, reading.uncertainty
        lower[position], upper[position] = reading.lower, reading.upper
        step[position] = reading.step
        kinks[position] = reading.kink
        far = first.dwarfed[position] and reading.step > abs(first.start[position])
        if far and _is_wrong(first, position, reading):
            # Contradicted only by steps far longer than the entry itself: not known.
            uncertainty[position] = np.nan
    evaluated = np.isfinite(first.loss_up) | np.isfinite(first.loss_down)
    if not problem.evaluator.exhausted:
        edges = ~np.isfinite(value)
    else:
        edges = evaluated & ~np.isfinite(value)
    loss = problem.facts.value
    flat = (first.loss_up == loss) & (first.loss_down == loss) & (value == 0.0)
    flat &= _stays_flat(problem, first, flat)
    return _spread(problem, first, value, uncertainty, kinks, lower, upper, edges, step, flat)


def _stays_flat(problem: Problem, first: _Pass, flat: NDArray[np.bool_]) -> bool:
    """Whether moving all flat entries together, by as much as their scale, changes no bit either.

    Small steps alone prove nothing: their change may be lost beside a large constant.
    """
    if not flat.any():
        return False
    direction = [np.zeros(value.shape) for value in problem.evaluator.values]
    direction[first.number].reshape(-1)[first.indices[flat]] = first.scales[flat]
    losses = problem.evaluator.along(direction, (1.0, -1.0, 0.01, -0.01))
    return bool((losses == problem.facts.value).all())


def _truncation_seen(first: _Pass, readings: Mapping[int, Reading]) -> FloatArray:
    """Truncation error of the first pass, as large relative to the gradient as the ladder saw."""
    worst = 0.0
    for position, reading in readings.items():
        if reading.kink or not np.isfinite(reading.uncertainty):
            continue
        error = abs(first.slope[position] - reading.value) - first.uncertainty[position]
        size = abs(reading.value) + first.typical
        if size > 0 and np.isfinite(error):
            worst = max(worst, error / size)
    return np.asarray(worst * (np.abs(first.slope) + first.typical))


def _spread(
    problem: Problem,
    first: _Pass,
    value: FloatArray,
    uncertainty: FloatArray,
    kinks: NDArray[np.bool_],
    lower: FloatArray,
    upper: FloatArray,
    edges: NDArray[np.bool_],
    step: FloatArray,
    flat: NDArray[np.bool_],
) -> Estimate:
    shape = problem.parameters[first.number].value.shape
    size = problem.parameters[first.number].value.size

    def full(values: FloatArray) -> FloatArray:
        whole = np.full(size, np.nan)
        whole[first.indices] = values
        return whole.reshape(shape)

    def marks(values: NDArray[np.bool_]) -> NDArray[np.bool_]:
        whole = np.zeros(size, dtype=bool)
        whole[first.indices] = values
        return whole.reshape(shape)

    return Estimate(
        "central",
        full(value),
        full(uncertainty),
        marks(kinks),
        full(lower),
        full(upper),
        marks(edges),
        full(step),
        marks(flat),
    )
