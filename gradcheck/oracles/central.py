"""Central differences with an uncertainty.

One pair of losses an entry first (``first_pass``), with a step chosen from the noise of the loss
and the size of the claimed gradient. Entries that agree with the claim within the noise are done.
The others climb a ladder of steps (``climb``, ``ladder``): the worst and a random sample first, and
the rest too unless enough of them have been confirmed wrong, so that a wholly wrong gradient costs
little more than a right one. The claim decides where to look harder; value and uncertainty come
from the losses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import BLOCK, flat, parts
from gradcheck.noise import Noise
from gradcheck.oracles.climb import ORDINARY, THOROUGH, Effort, climb, is_wrong
from gradcheck.oracles.estimate import Estimate
from gradcheck.oracles.first_pass import (
    FirstPass,
    Prepared,
    first_pass,
    prepare,
    truncation_of,
)
from gradcheck.oracles.ladder import Reading
from gradcheck.oracles.parted import (
    AnyEstimate,
    PartedEstimate,
    joined,
    sampled,
    shaped,
    spread,
)
from gradcheck.problem import Problem

Entries = NDArray[np.intp] | range
"""Entries of a parameter (flat, C order), ascending."""

CONFIRMED = 8
"""Entries confirmed wrong after which the rest of a parameter is judged by the first pass."""
MOST_AT_ONCE = 512
"""Entries in doubt that are looked at together, at most."""


def central_differences(
    problem: Problem,
    noise: Noise,
    generator: np.random.Generator,
    *,
    selection: Mapping[str, Entries],
    suspected: Mapping[str, NDArray[np.bool_]] | None = None,
    thorough: bool = False,
) -> dict[str, AnyEstimate]:
    """Estimate the gradient at the selected entries (flat, C order) of each parameter.

    Entries marked in ``suspected`` climb the ladder even where the first pass agrees with the
    claim. With ``thorough``, every entry is refined as far as noise allows.
    """
    numbers = {parameter.name: k for k, parameter in enumerate(problem.parameters)}
    chosen = {
        name: selection[name] for name in numbers if name in selection and name in problem.analytic
    }
    cap = _ladder_cap(problem, len(chosen))
    refinement = Refinement(problem, noise, generator, cap, THOROUGH if thorough else ORDINARY)
    few = {name: np.sort(one) for name, one in chosen.items() if len(one) <= BLOCK}
    with problem.evaluator.holding_back(2 * sum(len(one) for one in few.values())):
        at_once = {
            name: first_pass(problem, noise, numbers[name], one) for name, one in few.items()
        }
        cut = problem.evaluator.exhausted
    refined = _refined(refinement, at_once, suspected or {}, cut=cut)
    found: dict[str, AnyEstimate] = {}
    for name, indices in chosen.items():
        marked = None if suspected is None else suspected.get(name)
        if name not in at_once:
            found[name] = _swept(
                refinement, prepare(problem, noise, numbers[name]), indices, marked
            )
            continue
        one = refined[name]
        shape = problem.parameters[numbers[name]].value.shape
        if math.prod(shape) <= BLOCK:
            found[name] = shaped(spread(one, few[name], math.prod(shape)), shape)
        else:
            found[name] = sampled(one, few[name], shape)
    return found


def _refined(
    refinement: Refinement,
    first: Mapping[str, FirstPass],
    suspected: Mapping[str, NDArray[np.bool_]],
    *,
    cut: bool,
) -> dict[str, Estimate]:
    """Refine first passes; where they were cut short, the rest follows as far as limits allow.

    What was seen to be in doubt is looked at again before more entries are looked at once.
    """
    pieces: dict[str, list[Estimate]] = {name: [] for name in first}
    ends = {name: one.n_evaluated if cut else len(one.indices) for name, one in first.items()}
    for name, one in first.items():
        if ends[name] or not cut:
            pieces[name].append(refinement.of(one.upto(ends[name]), suspected.get(name))[0])
    for name, one in first.items():
        rest = one.indices[ends[name] :]
        if rest.size:
            more = first_pass(refinement.problem, refinement.noise, one.number, rest)
            pieces[name].append(refinement.of(more, suspected.get(name))[0])
    return {name: some[0] if len(some) == 1 else joined(some) for name, some in pieces.items()}


def _swept(
    refinement: Refinement,
    prepared: Prepared,
    indices: Entries,
    marked: NDArray[np.bool_] | None,
) -> PartedEstimate:
    """Look at many entries of a large parameter, a block at a time, each judged like a whole."""
    shape = refinement.problem.parameters[prepared.number].value.shape
    if len(indices) < math.prod(shape):
        pieces, given = [], np.asarray(indices)
        for at in parts(len(indices)):
            some = given[at]
            first = prepared.evaluated(some, prepared.changes(some))
            pieces.append(refinement.of(first, marked)[0])
        return sampled(joined(pieces), given, shape)
    from gradcheck.oracles.swept import Swept

    swept = Swept(prepared)
    for at in parts(len(indices)):
        changes = prepared.changes(at)
        first = prepared.evaluated(at, changes)
        swept.add(at, changes, first, refinement.of(first, marked))
        del first  # not while the next part is looked at
    return swept.estimate()


def _ladder_cap(problem: Problem, n_parameters: int) -> int:
    """Entries of one parameter that may be confirmed wrong before the ladder is left.

    A wholly wrong gradient then costs at most one more evaluation an entry, and two thousand.
    """
    spare = 1500 + problem.size
    return max(2, min(CONFIRMED, spare // (12 * max(1, n_parameters))))


@dataclass(frozen=True, eq=False)
class Refinement:
    """How entries in doubt are looked at again; up to ``cap`` of them are confirmed wrong."""

    problem: Problem
    noise: Noise
    generator: np.random.Generator
    cap: int
    effort: Effort

    def of(
        self, first: FirstPass, marked: NDArray[np.bool_] | None
    ) -> tuple[Estimate, NDArray[np.bool_], float]:
        """Refine a first pass.

        Returns:
            The estimate of its entries, those of them that were left in doubt, and the truncation
            error that is to be expected of these, relative to their size.
        """
        problem, noise, generator, effort = self.problem, self.noise, self.generator, self.effort
        return _refine(problem, noise, generator, first, marked, self.cap, effort)


def _refine(
    problem: Problem,
    noise: Noise,
    generator: np.random.Generator,
    first: FirstPass,
    marked: NDArray[np.bool_] | None,
    cap: int,
    effort: Effort,
) -> tuple[Estimate, NDArray[np.bool_], float]:
    """Judge the first pass, let the entries in doubt climb, and put the estimate together."""
    slope, uncertainty = first.slope, first.uncertainty
    difference = np.abs(slope - first.claimed)
    evaluated = np.isfinite(first.loss_up) | np.isfinite(first.loss_down)
    doubtful = ~(difference <= uncertainty + first.rounding)
    own = np.maximum(np.abs(slope), np.abs(first.claimed))
    scale = np.where(own > 1e-3 * first.typical, own, first.typical)
    doubtful |= ~(uncertainty <= 1e-3 * scale)
    if marked is not None:
        doubtful |= flat(marked, first.indices)
    doubtful |= first.dwarfed
    if problem.evaluator.exhausted:
        doubtful &= evaluated
    readings = _climb_doubtful(problem, noise, generator, first, doubtful, cap, effort)
    size = np.maximum(own, effort.smallest * first.typical)
    picked = np.flatnonzero(~doubtful & (uncertainty > effort.coarse * size))
    if picked.size:
        coarsest = np.argsort(-uncertainty[picked] / size[picked], kind="stable")
        picked = picked[coarsest[: effort.n_fine]]
        readings |= climb(problem, noise, first, picked, effort)
    return _assemble(problem, first, doubtful, readings)


def _climb_doubtful(
    problem: Problem,
    noise: Noise,
    generator: np.random.Generator,
    first: FirstPass,
    doubtful: NDArray[np.bool_],
    cap: int,
    effort: Effort,
) -> dict[int, Reading]:
    """Climb ``cap`` at a time, half of the worst and half drawn, until so many are wrong.

    Where entries are evaluated together, twice as many as before follow those of which none was
    wrong: a right gradient takes few calls then, and a wrong one hardly more evaluations.
    """
    open_ = np.flatnonzero(doubtful)
    severity = np.abs(first.slope - first.claimed)[open_] / (
        first.uncertainty[open_] + first.rounding[open_] + np.finfo(float).tiny
    )
    severity = np.where(np.isnan(severity), np.inf, severity)
    by_severity = open_[np.argsort(-severity, kind="stable")].tolist()
    at_random = generator.permutation(open_).tolist()
    readings: dict[int, Reading] = {}
    confirmed, at_once = 0, cap
    while len(readings) < len(open_) and confirmed < cap and not problem.evaluator.exhausted:
        batch: dict[int, None] = {}
        while len(batch) < at_once and by_severity and at_random:
            source = by_severity if len(batch) % 2 == 0 else at_random
            position = source.pop(0)
            if position not in readings and position not in batch:
                batch[position] = None
        if not batch:
            break
        new = climb(problem, noise, first, np.array(list(batch), dtype=np.intp), effort)
        readings |= new
        wrong = sum(is_wrong(first, position, new[position]) for position in new)
        confirmed += wrong
        if problem.evaluator.in_batches:
            at_once = cap if wrong else min(2 * at_once, MOST_AT_ONCE)
    return readings


def _assemble(
    problem: Problem,
    first: FirstPass,
    doubtful: NDArray[np.bool_],
    readings: Mapping[int, Reading],
) -> tuple[Estimate, NDArray[np.bool_], float]:
    """Put first pass and readings together."""
    value, uncertainty = first.slope.copy(), first.uncertainty.copy()
    step = 0.5 * (first.up + first.down)
    n = len(first.indices)
    lower, upper = value.copy(), value.copy()
    kinks, edges = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    left = doubtful.copy()
    left[list(readings)] = False
    # Where nothing was confirmed wrong, what was left open is not known, rather than wrong.
    truncation = np.nan
    if any(is_wrong(first, p, r) for p, r in readings.items()):
        truncation = _truncation_seen(first, readings)
    more = truncation_of(first.slope, first.typical, first.up + first.down, first.scales)
    uncertainty[left] += truncation * more[left]
    for position, reading in readings.items():
        value[position], uncertainty[position] = reading.value, reading.uncertainty
        lower[position], upper[position] = reading.lower, reading.upper
        step[position] = reading.step
        kinks[position] = reading.kink
        far = first.dwarfed[position] and reading.step > abs(first.start[position])
        if far and is_wrong(first, position, reading):
            # Contradicted only by steps far longer than the entry itself: not known.
            uncertainty[position] = np.nan
    evaluated = np.isfinite(first.loss_up) | np.isfinite(first.loss_down)
    if not problem.evaluator.exhausted:
        edges = ~np.isfinite(value)
    else:
        edges = evaluated & ~np.isfinite(value)
    loss = problem.facts.value
    still = (first.loss_up == loss) & (first.loss_down == loss) & (value == 0.0)
    still &= _stays_flat(problem, first, still)
    found = Estimate("central", value, uncertainty, kinks, lower, upper, edges, step, still)
    return found, left, float(truncation)


def _stays_flat(problem: Problem, first: FirstPass, still: NDArray[np.bool_]) -> bool:
    """Whether moving all flat entries together, by as much as their scale, changes no bit either.

    Small steps alone prove nothing: their change may be lost beside a large constant.
    """
    if not still.any():
        return False
    losses = problem.evaluator.together(
        first.number, first.indices[still], first.scales[still], (1.0, -1.0, 0.01, -0.01)
    )
    return bool((losses == problem.facts.value).all())


def _truncation_seen(first: FirstPass, readings: Mapping[int, Reading]) -> float:
    """Truncation error of the first pass, in the units of ``truncation_of``, as the ladder saw."""
    worst = 0.0
    spans = first.up + first.down
    for position, reading in readings.items():
        if reading.kink or not np.isfinite(reading.uncertainty):
            continue
        error = abs(first.slope[position] - reading.value) - first.uncertainty[position]
        at = slice(position, position + 1)
        value = np.array([reading.value])
        size = truncation_of(value, first.typical, spans[at], first.scales[at]).item()
        if size > 0 and np.isfinite(error):
            worst = max(worst, error / size)
    return float(worst)
