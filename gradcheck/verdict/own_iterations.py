"""Slight errors of a gradient whose loss is the end of an iteration that the user wrote.

A fixed point, Newton's method or conjugate gradients stop at a tolerance, after a number of rounds
that depends on the point. Where that number changes, the loss jumps by what the tolerance leaves of
it: over the scale of a parameter, no slope is known better than such a jump. A gradient by the
implicit function theorem is then as right as the loss, and lies that far from its slopes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import CodeType, FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import BLOCK
from gradcheck.calling.quiet import quiet
from gradcheck.noise import Noise
from gradcheck.problem import FloatArray, Problem
from gradcheck.report import Diagnosis
from gradcheck.scales import rms
from gradcheck.verdict.compare import FAIL, INCONCLUSIVE, PASS, SMALL, Judged
from gradcheck.verdict.judging import ParameterFindings, reference_of

SLIGHT = 1e-4
"""Part of an entry, or of the typical gradient where it is asked of that, up to which an error may
come of a tolerance."""
JUMPS = 16.0
"""Times a jump over the scale of an entry that its slope may be off by."""
DISTANCES = tuple(2.0**-k for k in (8, 6, 4, 3, 2, 1))
"""How far the parameters move, in units of their own sizes, to meet another number of rounds."""
HALVINGS = 36
"""Halvings of such a distance, after which a slope makes less of the change than a tolerance."""
FAR = 10.0
"""Times a jump that another one is hardly ever."""
DIRECTIONS = 3
"""Directions in which it is looked for."""
CLEARLY = 64.0
"""Times what the slope makes of the rest of a distance, from which a change is a jump."""
SEEN = 8.0
"""Standard deviations of the noise of the loss that a jump is more than."""

OWN = ("gradcheck.", "numpy.", "scipy.", "torch.")
"""Packages whose lines are not counted: an iteration of the user's is none of theirs."""

Parameters = Mapping[str, ParameterFindings]
Rounds = Mapping[tuple[CodeType, int], int]


@dataclass(frozen=True, eq=False)
class _Off:
    """What a parameter's open or failing entries are off by: flat positions, and how far."""

    entries: NDArray[np.intp]
    off: FloatArray
    own: FloatArray
    scales: FloatArray


def settled_by_iteration(
    problem: Problem, noise: Noise, parameters: Parameters
) -> tuple[dict[str, ParameterFindings], tuple[Diagnosis, ...]]:
    """Let entries pass that are off by what an iteration's tolerance makes, and say of the others.

    An entry passes that is off by less than a ten-thousandth of its own size, or of a thousandth
    of the typical gradient; it stays open where it is off by less than that of the typical one.
    Where an entry fails that is off by more, or by more than the jumps of the loss explain,
    everything stays as it is.
    """
    found = dict(parameters)
    doubted = {name: _off(problem, name, one) for name, one in parameters.items()}
    if any(one is None for one in doubted.values()):
        return found, ()
    off = {name: one for name, one in doubted.items() if one is not None and one.entries.size}
    if not off or problem.facts.spread or problem.in_low_precision:
        return found, ()
    needed = max(_needed(parameters[name], one) for name, one in off.items())
    jump = _largest_jump(problem, needed)
    if jump <= SEEN * noise.level:
        return found, ()
    diagnoses = []
    for name, one in off.items():
        explained = one.off * one.scales <= JUMPS * jump
        if (~explained & (parameters[name].combined.codes.flat[one.entries] == FAIL)).any():
            return dict(parameters), ()
        fine = explained & (one.off <= SLIGHT * one.own)
        rest = explained & ~fine
        found[name] = _settled(parameters[name], one, fine, rest, jump)
        if rest.any():
            diagnoses.append(_diagnosis(name, one, rest, jump, parameters[name]))
    return found, tuple(diagnoses)


def _off(problem: Problem, name: str, one: ParameterFindings) -> _Off | None:
    """The entries that are seen to be off; None where one fails by more than a tolerance makes."""
    claimed = problem.analytic[name]
    codes = one.combined.codes
    if not ((codes == FAIL) | (codes == INCONCLUSIVE)).any():
        nothing = np.zeros(0)
        return _Off(np.zeros(0, dtype=np.intp), nothing, nothing, nothing)
    if claimed.size > BLOCK:
        return None
    value, error = reference_of(one)
    off = np.abs(claimed - value)
    typical = rms(value)
    slight = off <= SLIGHT * typical
    if ((codes == FAIL) & ~slight).any():
        return None
    seen = off > error + problem.analytic_rounding[name]
    doubtful = one.combined.contested | one.open_kinks
    open_ = (codes == INCONCLUSIVE) & seen & slight & ~doubtful
    chosen = np.flatnonzero((codes == FAIL) | open_)
    parameter = next(each for each in problem.parameters if each.name == name)
    own = np.maximum(np.fmax(np.abs(claimed), np.abs(value)), SMALL * typical)
    sizes = np.broadcast_to(parameter.scales, claimed.shape)
    return _Off(chosen, *(array.reshape(-1)[chosen] for array in (off, own, sizes)))


def _settled(
    one: ParameterFindings,
    off: _Off,
    fine: NDArray[np.bool_],
    rest: NDArray[np.bool_],
    jump: float,
) -> ParameterFindings:
    """The findings with some entries right at the resolution of the iteration, others open."""
    known = np.minimum(JUMPS * jump / off.scales, SLIGHT * off.own) / off.own
    comparisons = dict(one.comparisons)
    for name, judged in one.comparisons.items():
        if name.startswith("analytic~") and isinstance(judged, Judged):
            codes, resolution = judged.codes.copy(), np.array(judged.resolution)
            codes.flat[off.entries[fine]] = PASS
            codes.flat[off.entries[rest]] = INCONCLUSIVE
            least = resolution.flat[off.entries[fine]]
            resolution.flat[off.entries[fine]] = np.fmax(
                np.where(np.isfinite(least), least, 0.0), known[fine]
            )
            comparisons[name] = replace(judged, codes=codes, resolution=resolution)
    codes = one.combined.codes.copy()
    codes.flat[off.entries[fine]] = PASS
    codes.flat[off.entries[rest]] = INCONCLUSIVE
    return replace(one, comparisons=comparisons, combined=replace(one.combined, codes=codes))


def _needed(findings: ParameterFindings, one: _Off) -> float:
    """How large a jump has to be to explain what fails."""
    failing = findings.combined.codes.flat[one.entries] == FAIL
    return float((one.off * one.scales)[failing].max(initial=0.0)) / JUMPS


def _largest_jump(problem: Problem, needed: float) -> float:
    """The largest jump of the loss where the number of rounds changes; 0 where none is seen.

    Where the first is far below what is ``needed``, no others are looked for.
    """
    generator = np.random.default_rng(0)
    starts = [one.value.copy() for one in problem.parameters]
    sizes = [np.where(one.value != 0, np.abs(one.value), one.scales) for one in problem.parameters]

    def at(directions: Sequence[FloatArray], distance: float) -> tuple[float, Rounds]:
        for one, start, direction in zip(problem.parameters, starts, directions, strict=True):
            np.copyto(one.value, start + distance * direction)
        return _counted(problem.evaluator.current)

    largest = 0.0
    try:
        with quiet():
            for _ in range(DIRECTIONS):
                if not _affordable(problem):
                    break
                directions = [_direction(size, generator) for size in sizes]
                slope = sum(
                    float((problem.analytic[one.name] * along).sum())
                    for one, along in zip(problem.parameters, directions, strict=True)
                    if one.name in problem.analytic
                )
                largest = max(largest, _jump(partial(at, directions), slope))
                if 0.0 < FAR * largest < needed:
                    break
    finally:
        for one, start in zip(problem.parameters, starts, strict=True):
            np.copyto(one.value, start)
    return largest


def _affordable(problem: Problem) -> bool:
    """Whether the limits leave the evaluations that one direction takes."""
    evaluator = problem.evaluator
    most = (1 + len(DISTANCES) + HALVINGS) * evaluator.calls
    enough = evaluator.budget is None or evaluator.count + most <= evaluator.budget
    return enough and not evaluator.exhausted


def _direction(sizes: FloatArray, generator: np.random.Generator) -> Any:
    shape = sizes.shape
    return sizes * generator.uniform(0.5, 1.0, shape) * generator.choice((-1, 1), shape)


def _jump(at: Callable[[float], tuple[float, Rounds]], slope: float) -> float:
    """Halve a distance to where the number of rounds changes; return how the loss jumps there."""
    low, (here, rounds) = 0.0, at(0.0)
    high = there = 0.0
    for high in DISTANCES:
        there, others = at(high)
        if _differ(rounds, others):
            break
    else:
        return 0.0
    for _ in range(HALVINGS):
        if abs(there - here) > CLEARLY * abs(slope) * (high - low):
            break
        middle = 0.5 * (low + high)
        loss, found = at(middle)
        if _differ(rounds, found):
            high, there = middle, loss
        else:
            low, here = middle, loss
    jump = abs(there - here) - 4.0 * abs(slope) * (high - low)
    return jump if np.isfinite(jump) and jump > 0.0 else 0.0


def _differ(one: Rounds, other: Rounds) -> bool:
    """Whether a line that is repeated is so another number of times."""
    return any(n > 1 and other.get(line, 0) > 1 and other[line] != n for line, n in one.items())


def _counted(evaluate: Callable[[], float]) -> tuple[float, Rounds]:
    """Evaluate the loss, and count how often each line of the user's is run."""
    rounds: dict[tuple[CodeType, int], int] = {}

    def lines(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            line = (frame.f_code, frame.f_lineno)
            rounds[line] = rounds.get(line, 0) + 1
        return lines

    def calls(frame: FrameType, _: str, __: Any) -> Any:
        return None if str(frame.f_globals.get("__name__", "")).startswith(OWN) else lines

    before = sys.gettrace()
    sys.settrace(calls)
    try:
        return evaluate(), rounds
    finally:
        sys.settrace(before)


def _diagnosis(
    name: str, one: _Off, rest: NDArray[np.bool_], jump: float, findings: ParameterFindings
) -> Diagnosis:
    worst = float((one.off / one.own)[rest].max())
    return Diagnosis(
        "precision_limited",
        name,
        f"The gradient of {name} is off by at most {worst:.1g} of its size at {int(rest.sum())} of "
        f"{findings.combined.codes.size} entries. An iteration inside stops at a tolerance: where "
        f"it takes a round more, the loss jumps by {jump:.1g}, and no slope is known better than "
        "such jumps let it.",
        "likely",
        evidence={"relative_error": worst, "jump": jump},
        remedy="Tighten the tolerance of the iteration: an error that falls with it is its own.",
    )
