"""One entry's derivative from losses at a ladder of steps, with its uncertainty.

Central differences at steps ``h_k`` are extrapolated to zero (Richardson, with Neville's scheme in
``h^2``). Which steps may be believed follows Lepski's principle: a value from large steps must
agree with the values at all smaller ones to within their noise, so that neither a kink nor an
oscillation hidden below a step is taken for the derivative.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck.problem import FloatArray

RATIO = 4.0
KAPPA = 4.0
"""Standard deviations of noise that an uncertainty covers."""
MAX_ORDER = 4
SLOWEST = 0.75
"""Ratio of successive changes of a slope that is taken over from larger steps, at most."""
ABOUT = 3
"""Larger steps at which signs of a kink make a smaller step suspect."""


@dataclass(frozen=True, eq=False, slots=True)
class Rung:
    """The losses at one step up and one step down, with the steps really taken."""

    up: float
    down: float
    loss_up: float
    loss_down: float


@dataclass(frozen=True, eq=False, slots=True)
class Reading:
    """What a ladder says of one entry.

    ``lower`` and ``upper`` are the one-sided derivatives at a kink. ``consistent`` says whether
    the smallest steps agree with each other; ``noise_limited`` whether noise, not truncation,
    dominates the uncertainty.
    """

    value: float
    uncertainty: float
    step: float
    kink: bool
    lower: float
    upper: float
    consistent: bool
    noise_limited: bool
    edge: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class _Slopes:
    """Slopes by rising step: central, forward and backward, with the noise of each."""

    steps: FloatArray
    central: FloatArray
    forward: FloatArray
    backward: FloatArray
    noise: FloatArray

    @property
    def gap(self) -> FloatArray:
        return self.forward - self.backward


def read_ladder(rungs: Mapping[float, Rung], loss: float, noise: float) -> Reading:
    """Estimate the derivative from the rungs, keyed by level (step ``h_0 * RATIO**level``).

    Args:
        rungs: by level; whole levels and, towards large steps, half ones.
        loss: the loss at the point itself.
        noise: standard deviation of the loss's roundoff.
    """
    ordered = [rungs[level] for level in sorted(rungs)]
    both = [r for r in ordered if np.isfinite(r.loss_up) and np.isfinite(r.loss_down)]
    if len(both) < 2:
        return _one_sided_only(_in_ratio(rungs, ordered), both, loss, noise)
    slopes = _slopes(both, loss, noise)
    value, uncertainty, step, noise_limited = _best_window(slopes)
    consistent = _smallest_agree(slopes)
    kink = _is_kink(slopes)
    if not kink:
        return Reading(value, uncertainty, step, False, value, value, consistent, noise_limited)
    whole = _slopes(_in_ratio(rungs, both), loss, noise)
    right, right_error = _extrapolate_side(whole.forward, whole.noise)
    left, left_error = _extrapolate_side(whole.backward, whole.noise)
    error = max(right_error, left_error)
    return Reading(
        value, error, step, True, min(left, right), max(left, right), consistent, noise_limited
    )


def _in_ratio(rungs: Mapping[float, Rung], chosen: list[Rung]) -> list[Rung]:
    """The rungs among the chosen whose steps are ``RATIO`` apart: those of whole levels."""
    whole = [rungs[level] for level in sorted(rungs) if float(level).is_integer()]
    return [rung for rung in whole if any(rung is one for one in chosen)]


def _slopes(rungs: list[Rung], loss: float, noise: float) -> _Slopes:
    up = np.array([r.up for r in rungs])
    down = np.array([r.down for r in rungs])
    loss_up = np.array([r.loss_up for r in rungs])
    loss_down = np.array([r.loss_down for r in rungs])
    return _Slopes(
        steps=0.5 * (up + down),
        central=(loss_up - loss_down) / (up + down),
        forward=(loss_up - loss) / up,
        backward=(loss - loss_down) / down,
        noise=2 * KAPPA * noise / (up + down),
    )


def _smallest_agree(slopes: _Slopes) -> bool:
    difference = abs(slopes.central[0] - slopes.central[1])
    return bool(difference <= slopes.noise[0] + slopes.noise[1] + 1e-9 * abs(slopes.central[0]))


def neville(steps: FloatArray, values: FloatArray) -> tuple[float, FloatArray]:
    """Extrapolate even-order ``values`` to step 0; return the value and the weights of each."""
    # Plain numbers: an array's own take four times as long, and there are few of them.
    squares = np.square(steps / steps[-1]).tolist()
    found = []
    for i, own in enumerate(squares):
        weight = 1.0
        for j, other in enumerate(squares):
            if i != j:
                weight *= other / (other - own) if other != own else math.inf
        found.append(weight)
    weights = np.array(found)
    return float(weights @ values), weights


def _best_window(slopes: _Slopes) -> tuple[float, float, float, bool]:
    """Value with the smallest uncertainty among the extrapolations that may be believed."""
    n_levels = len(slopes.steps)
    smooth = _is_smooth(slopes).tolist()
    best = (float(slopes.central[0]), float("inf"), float(slopes.steps[0]), True)
    known: dict[tuple[int, int], tuple[float, FloatArray]] = {}

    def extrapolated(first: int, last: int) -> tuple[float, FloatArray]:
        """Extrapolate from a window, once: higher orders are compared with it."""
        if (first, last) not in known:
            window = slice(first, last + 1)
            known[first, last] = neville(slopes.steps[window], slopes.central[window])
        return known[first, last]

    for last in range(1, n_levels):
        for order in range(min(last, MAX_ORDER) + 1):
            first = last - order
            if not all(smooth[first:last]):
                break
            window = slice(first, last + 1)
            value, weights = extrapolated(first, last)
            roundoff = float(np.abs(weights) @ slopes.noise[window])
            truncation = _truncation(slopes, first, last, value, extrapolated)
            if not all(smooth[: first + ABOUT]):
                # The nearest kink may lie just inside the step, hidden from smaller ones by noise;
                # or a jump within smaller ones is seen by neither of two that agree by chance.
                truncation += 0.6 * _largest_gap(slopes, first)
            uncertainty = roundoff + truncation
            if uncertainty < best[1] and _believable(slopes, first, value, uncertainty):
                step = float(slopes.steps[first])
                best = (value, uncertainty, step, roundoff >= truncation)
    return best


def _largest_gap(slopes: _Slopes, first: int) -> float:
    """The largest gap between the one-sided slopes of steps up to one.

    Of a loss that is another one at the point itself, all gaps come from there: they grow as fast
    as the step shrinks, and the central differences know nothing of it.
    """
    gap = slopes.gap[: first + 1]
    from_the_point = gap[first] * slopes.steps[first] / slopes.steps[: first + 1]
    smaller = np.minimum(np.abs(gap), np.abs(gap - from_the_point))
    return float(max(smaller.max(), abs(gap[first])))


def _truncation(
    slopes: _Slopes,
    first: int,
    last: int,
    value: float,
    extrapolated: Callable[[int, int], tuple[float, FloatArray]],
) -> float:
    """Error estimate of an extrapolation: its distance from the ones of lower order."""
    if first == last:
        # The noise of the smaller step may hide as much.
        hidden = 0.75 * float(slopes.noise[first - 1])
        return 1.5 * float(abs(slopes.central[first] - slopes.central[first - 1])) + hidden
    inner, outer = extrapolated(first, last - 1)[0], extrapolated(first + 1, last)[0]
    return max(abs(value - inner), 0.1 * abs(value - outer), _slow_remainder(slopes, first, value))


def _slow_remainder(slopes: _Slopes, first: int, value: float) -> float:
    """How far an extrapolation may be off where the error grows like the step, not its square.

    It does where the curvature jumps, as where two parabolas meet: there extrapolation in the
    square of the step leaves an error of first order. 0 where it grows faster.
    """
    n_levels = len(slopes.steps)
    if n_levels < 3:
        return 0.0
    lowest = min(first, n_levels - 3)
    steps, central = (one[lowest : lowest + 3] for one in (slopes.steps, slopes.central))
    near, far = abs(central[1] - central[0]), abs(central[2] - central[1])
    linear = (steps[2] - steps[1]) / (steps[1] - steps[0])
    square = linear * (steps[2] + steps[1]) / (steps[1] + steps[0])
    if far >= near * np.sqrt(linear * square):
        return 0.0
    here, there = slopes.central[first : first + 2]
    reach = slopes.steps[first] / (slopes.steps[first + 1] - slopes.steps[first])
    return float(abs(value - here) + abs(there - here) * reach)


def _is_smooth(slopes: _Slopes) -> NDArray[np.bool_]:
    """Whether the loss looks smooth between each step and the next.

    The gap between the one-sided slopes of a smooth loss grows like the step. Where it grows
    otherwise there is a kink about, and the central differences are no series in the step's
    square: a kink on one side moves them by half of what it moves the gap.
    """
    bend = slopes.gap / slopes.steps
    unsure = 2 * slopes.noise / slopes.steps
    size = np.maximum(np.abs(bend[:-1]), np.abs(bend[1:]))
    return np.asarray(np.abs(np.diff(bend)) <= unsure[:-1] + unsure[1:] + 0.25 * size)


def _believable(slopes: _Slopes, first: int, value: float, uncertainty: float) -> bool:
    smaller = np.abs(value - slopes.central[:first])
    return bool((smaller <= uncertainty + slopes.noise[:first]).all())


def _is_kink(slopes: _Slopes) -> bool:
    """Whether the two one-sided slopes differ by a gap that does not shrink with the step.

    One that grows as fast as the step shrinks tells of a loss that is another one at the point.
    """
    gap = slopes.gap
    clear = np.abs(gap) > 5 * slopes.noise
    if not clear[0]:
        # At the smallest steps noise hides the gap: look at the smallest where it shows.
        shown = np.flatnonzero(clear)
        if shown.size < 2 or slopes.noise[0] < 0.1 * np.abs(gap[shown[0]]):
            return False
        first = int(shown[0])
    else:
        first = 0
    pairs = range(first, min(first + 2, len(gap) - 1))
    growth = slopes.steps[1:] / slopes.steps[:-1]
    size = np.abs(gap)
    return all(
        clear[i + 1] and growth[i] ** -0.35 < size[i] / size[i + 1] < growth[i] ** 0.75
        for i in pairs
    )


def _extrapolate_side(slopes: FloatArray, noise: FloatArray) -> tuple[float, float]:
    """One-sided slopes extrapolated to step 0, with their error; the best of the steps.

    The remainder follows from how fast successive differences shrink (Aitken), which is not
    faster than the fourth that a smooth side gives, and slower where the loss behaves like a
    fractional power; where they do not shrink there is no limit. Where noise hides it, they shrink
    as at larger steps. Nor is there a limit where the slopes of smaller steps are further from it
    than they still move.
    """
    best = (float(slopes[0]), float("inf"))
    ratios = _shrinking(slopes, noise)
    for j in range(1, len(slopes)):
        ratio = ratios[j - 1]
        if ratio >= 0.95:
            continue
        remainder = (slopes[j - 1] - slopes[j]) * ratio / (1 - ratio)
        value, error = slopes[j - 1] + remainder, 1.5 * abs(remainder) + 4 * noise[j - 1]
        if error < best[1] and _follows(slopes[:j], noise[:j], value, error):
            best = (float(value), float(error))
    return best


def _shrinking(slopes: FloatArray, noise: FloatArray) -> list[float]:
    """Ratio of each change between neighbouring slopes to the next larger one.

    Where noise hides it, that of larger steps, but no more than ``SLOWEST``; of the largest, that
    of the next.
    """
    ratios = [1 / RATIO] * (len(slopes) - 1)
    changes = np.abs(np.diff(slopes))
    for j in range(len(changes) - 2, -1, -1):
        if changes[j] > 4 * (noise[j] + noise[j + 1]):
            before = changes[j + 1]
            ratios[j] = max(1 / RATIO, changes[j] / before) if before > 0 else 1.0
            if j == len(changes) - 2:
                ratios[j + 1] = ratios[j]
        else:
            ratios[j] = min(ratios[j + 1], SLOWEST)
    return ratios


def _follows(slopes: FloatArray, noise: FloatArray, limit: float, error: float) -> bool:
    """Whether the smaller steps come nearer to a limit that is extrapolated from larger ones."""
    still = np.abs(np.diff(slopes)) + 2 * noise[:-1]
    return bool((np.abs(limit - slopes[:-1]) <= error + still).all())


def _one_sided_only(ordered: list[Rung], both: list[Rung], loss: float, noise: float) -> Reading:
    """The derivative where the loss is finite on one side alone."""
    nan = float("nan")
    up = [r for r in ordered if np.isfinite(r.loss_up)]
    down = [r for r in ordered if np.isfinite(r.loss_down)]
    if both and len(up) < 2 and len(down) < 2:
        slopes = _slopes(both, loss, noise)
        return Reading(
            float(slopes.central[0]), nan, float(slopes.steps[0]), False, nan, nan, False, False
        )
    use_up = len(up) >= len(down)
    side = up if use_up else down
    if len(side) < 3:
        return Reading(nan, nan, nan, False, nan, nan, False, False, edge=not side)
    steps = np.array([r.up if use_up else r.down for r in side])
    if use_up:
        one_sided = (np.array([r.loss_up for r in side]) - loss) / steps
    else:
        one_sided = (loss - np.array([r.loss_down for r in side])) / steps
    value, error = _extrapolate_side(one_sided, 2 * KAPPA * noise / steps)
    return Reading(value, error, float(steps[0]), False, value, value, True, True)
