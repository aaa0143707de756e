"""Losses of quantised parameters: constant between steps, each entry with its own.

``round(x * n) / n`` makes the loss a staircase whose derivative is 0, and difference tables take
its steps for noise. So they should where the loss itself is rounded, or works in lower precision:
the derivative is meant across those. What tells them apart is where an entry's steps are. Those of
a quantised entry stay where they are however the others move, and follow each other at the same
distance for every entry of an array; those of a rounded sum move with every term of it; rounded
terms have steps of one height, at distances as different as their slopes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np

from gradcheck.noise import Noise, half_ulp
from gradcheck.oracle_runs import autograd_of
from gradcheck.problem import FloatArray, Problem
from gradcheck.report import Notice
from gradcheck.scales import entry_lengths
from gradcheck.settings import Settings

ENTRIES, ARRAYS, DRAWN = 3, 8, 8
"""Entries of the largest array that are looked at, arrays of which one is, and those drawn."""
NARROWEST = 2.0**-26
"""Width of a tread, in units of the entry's scale, below which it tells nothing."""
HALVINGS = 26
"""Halvings from twice a width known to an edge of the tread: to a part in a hundred million."""
PLACES = 4
"""Points to which the other entries are moved."""
PARTS = (1.0, 1.0 / 16.0, 1.0 / 256.0)
"""How far, in units of their scales: less where the loss is not finite there."""
LEVEL = 4.0
"""Half units in the last place up to which two losses are the same."""
SAME = 1e-6
"""Relative difference of widths, or heights, that counts as none."""
ROUNDS = {"round", "floor", "ceil", "trunc", "fix", "frac", "sign", "floor_divide", "remainder"}
"""Functions of torch's that make steps, beside those that quantise or give integers."""
LEAVES = {"numpy", "array", "tolist"}
"""Those by which a tensor leaves torch."""


class Steps(Enum):
    """What the steps of a loss are."""

    PARAMETERS = "of quantised parameters"
    UNKNOWN = "of parameters, or of values computed of them"
    ROUNDING = "of rounding"


@dataclass(frozen=True, slots=True)
class Tread:
    """Where a loss is constant over moves of one entry, how wide that is, and the step at its end.

    ``value`` is the entry's own. It is ``regular`` where a neighbouring tread is as wide.
    """

    parameter: int
    entry: int
    value: float
    width: float
    height: float
    regular: bool


def settled_steps(
    problem: Problem, settings: Settings, noise: Noise
) -> tuple[Noise, tuple[Notice, ...]]:
    """Tell steps of quantised parameters from noise, and settle what the noise is.

    Between such steps nothing but roundoff is left. Where steps may as well be those of lower
    precision inside, the loss is known no better than it varies at all.
    """
    treads = find_treads(problem)
    # The code is looked at only where it matters whether it rounds.
    if not treads or steps_of(treads, True) is Steps.ROUNDING:
        return noise, ()
    what = steps_of(treads, _rounds_inside(problem, settings, noise, treads))
    if what is Steps.ROUNDING:
        return noise, ()
    first = treads[0]
    text = (
        f"the loss is constant between steps, some {first.width:.3g} apart in entry {first.entry} "
        f"(flat) of {problem.parameters[first.parameter].path}, wherever the other entries are, as "
        "after rounding the parameters to a grid: "
    )
    if what is Steps.PARAMETERS:
        text += "its derivative is 0, which a straight-through gradient is not"
        floor = half_ulp(np.array(noise.loss), noise.dtype).item()
        noise = replace(noise, level=max(floor, noise.drift), treads=True)
    elif not noise.measured:
        return noise, ()
    else:
        text += (
            "whether that is meant, and the derivative is 0, or the slope across the steps, cannot "
            "be told from its values; without the rounding the gradient can be checked"
        )
        noise = replace(noise, level=max(noise.level, noise.variation))
    return noise, (Notice("loss_is_stepped", text),)


def _rounds_inside(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    treads: tuple[Tread, ...],
) -> bool | None:
    """Whether the code rounds on the way to the loss; None where that cannot be seen."""
    if problem.kind == "torch":
        return _rounds_in_torch(problem)
    # With draws of its own: what is looked at later does not depend on whether this was.
    exact = autograd_of(problem, settings, noise, np.random.default_rng(0))
    if exact.trace is None:
        return _rounds_in_more_digits(problem, treads)
    if exact.trace.precision.itemsize < np.dtype(np.float64).itemsize:
        return False
    names = [problem.parameters[one.parameter].name for one in treads]
    slopes = [
        exact.estimates[name].value.flat[one.entry]
        for name, one in zip(names, treads, strict=True)
        if name in exact.estimates
    ]
    return len(slopes) == len(treads) and not any(slopes)


def _rounds_in_more_digits(problem: Problem, treads: tuple[Tread, ...]) -> bool | None:
    """False where more digits show that a loss changes within a tread; None where none do."""
    if problem.extended_loss is None:
        return None
    values = [one.value.astype(np.longdouble) for one in problem.parameters]
    first = treads[0]
    moved = [one.copy() for one in values]
    moved[first.parameter].flat[first.entry] += np.longdouble(2.0**-8 * first.width)
    try:
        same = problem.extended_loss(values) == problem.extended_loss(moved)
    except Exception:
        # Not everything takes such numbers: float64 is what there is, then.
        return None
    return None if same else False


def _rounds_in_torch(problem: Problem) -> bool | None:
    from torch import Tensor
    from torch.overrides import TorchFunctionMode

    seen: set[str] = set()

    class Watch(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = function(*args, **(kwargs or {}))
            name = getattr(function, "__name__", "").strip("_")
            whole = isinstance(result, Tensor) and not (
                result.is_floating_point() or result.is_complex()
            )
            seen.add("round" if whole or "quantize" in name else name)
            return result

    still = [np.zeros(one.value.shape) for one in problem.parameters]
    with Watch():
        problem.evaluator.along(still, [0.0])
    if seen & ROUNDS:
        return True
    return None if seen & LEAVES or not seen else False


def steps_of(treads: tuple[Tread, ...], rounds: bool | None) -> Steps:
    """Return what steps are, by the widths and heights that entries of the first array have.

    Code that ``rounds`` nothing makes them where sums cancel or functions saturate: of other
    widths from one to the next, if that is not known. Those as wide as the spacing of lower
    precision are of that.
    """
    own = [one for one in treads if one.parameter == treads[0].parameter]
    own = own if len(own) > 1 else list(treads)
    if rounds is False or len(own) < 2 or _are_spacings(treads):
        return Steps.ROUNDING
    regular = all(one.regular for one in own)
    if regular and _are_same([one.width for one in own]):
        return Steps.PARAMETERS if rounds else Steps.UNKNOWN
    of_one_height = _are_same([abs(one.height) for one in own])
    return Steps.ROUNDING if of_one_height or not (regular or rounds) else Steps.UNKNOWN


def _are_same(values: list[float]) -> bool:
    return max(values) - min(values) <= SAME * max(values)


def _are_spacings(treads: tuple[Tread, ...]) -> bool:
    """Whether every entry changes the loss where its cast to lower precision changes."""
    for dtype in (np.float32, np.float16):
        spacings = [float(np.spacing(dtype(abs(one.value)))) for one in treads]
        if all(_are_same([one.width, gap]) for one, gap in zip(treads, spacings, strict=True)):
            return True
    return False


def find_treads(problem: Problem) -> tuple[Tread, ...]:
    """Look at some entries; return their treads, or none if the loss has no fixed one for one.

    Those of the largest array come first. Entries that change nothing, as beyond the end of a
    grid, have none and are passed over.
    """
    drawn = np.random.default_rng(0)
    by_size = sorted(
        range(len(problem.parameters)), key=lambda one: -problem.parameters[one].value.size
    )
    found: list[Tread] = []
    for number in by_size[:ARRAYS]:
        if not problem.parameters[number].value.size:
            break
        lengths = entry_lengths(problem, problem.parameters[number])
        wanted = len(found) + (1 if found else ENTRIES)
        tried = drawn.choice(lengths.size, min(lengths.size, DRAWN), replace=False)
        for entry in tried.tolist():
            edges = _edges(problem, number, entry, float(lengths.flat[entry]))
            if edges is None:
                return ()
            if not np.isfinite(edges).all():
                continue
            if not all(_steps_there(problem, number, entry, edges, drawn) for _ in range(PLACES)):
                return ()
            found.append(_tread(problem, number, entry, edges))
            if len(found) == wanted:
                break
    return tuple(found)


def _tread(problem: Problem, number: int, entry: int, edges: tuple[float, float, float]) -> Tread:
    lower, inside, outside = edges
    width = inside - lower
    losses = _losses(problem, number, entry, [inside, outside])
    value = float(problem.parameters[number].value.flat[entry])
    # Beyond either end, a width further: as far from the end as this one was found to be.
    ends = ((outside, width), (lower - (outside - inside), -width))
    regular = any(_is_as_wide(problem, number, entry, end, side) for end, side in ends)
    return Tread(number, entry, value, width, float(losses[1] - losses[0]), regular)


def _is_as_wide(problem: Problem, number: int, entry: int, end: float, width: float) -> bool:
    distances = [end, end + (1.0 - SAME) * width, end + (1.0 + SAME) * width]
    here, inner, outer = _losses(problem, number, entry, distances).tolist()
    return _is_level(here, inner) and not _is_level(here, outer)


def _edges(
    problem: Problem, number: int, entry: int, length: float
) -> tuple[float, float, float] | None:
    """Moves of an entry to the lower edge of its tread, the upper one and beyond.

    Infinite where nothing changes over its scale; None where it has no tread.
    """
    above = _edge(problem, number, entry, length)
    below = _edge(problem, number, entry, -length) if above is not None else None
    return None if above is None or below is None else (below[0], *above)


def _losses(problem: Problem, number: int, entry: int, distances: list[float]) -> FloatArray:
    return problem.evaluator.together(number, np.array([entry]), np.ones(1), distances)


def _edge(problem: Problem, number: int, entry: int, length: float) -> tuple[float, float] | None:
    """Distances just before and after the first change of the loss; None without a tread.

    Infinite where it does not change over the length.
    """

    def stays(distance: float) -> bool | None:
        here, there = _losses(problem, number, entry, [0.0, distance])
        return bool(_is_level(here, there)) if np.isfinite(there) else None

    before = NARROWEST * length
    if stays(before) is not True:
        return None
    while (same := stays(2.0 * before)) is True:
        before *= 2.0
        if abs(before) > abs(length):
            return float("inf"), float("inf")
    if same is None:
        return None
    after = 2.0 * before
    for _ in range(HALVINGS):
        middle = 0.5 * (before + after)
        if stays(middle):
            before = middle
        else:
            after = middle
    return before, after


def _is_level(one: float, other: float) -> bool:
    """Whether two losses are the same but for the order of a sum."""
    largest = np.array(max(abs(one), abs(other)))
    return abs(one - other) <= LEVEL * half_ulp(largest, np.dtype(np.float64)).item()


def _steps_there(
    problem: Problem,
    number: int,
    entry: int,
    distances: tuple[float, float, float],
    drawn: np.random.Generator,
) -> bool:
    """Whether the loss is as constant, and steps at the same place, with all others elsewhere."""
    moves = [
        entry_lengths(problem, one)
        * drawn.uniform(0.2, 1.0, one.value.shape)
        * drawn.choice((-1.0, 1.0), one.value.shape)
        for one in problem.parameters
    ]
    for part in PARTS:
        direction, losses = [np.asarray(part * one) for one in moves], []
        for distance in distances:
            direction[number].flat[entry] = distance
            losses.append(problem.evaluator.along(direction, [1.0]).item())
        if np.isfinite(losses).all():
            lower, inside, outside = losses
            return _is_level(lower, inside) and not _is_level(inside, outside)
    return False
