"""The estimates of one parameter held against its claimed gradient, and combined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import BLOCK, SumOfSquares, flat, parts
from gradcheck.noise import Noise
from gradcheck.oracles.estimate import Estimate
from gradcheck.oracles.parted import AnyEstimate, PartedEstimate, as_whole
from gradcheck.oracles.torch_autograd import Autograd
from gradcheck.problem import FloatArray, Parameter, Problem
from gradcheck.report import Verdict
from gradcheck.scales import own_size, own_size_in_parts, rms
from gradcheck.settings import Settings
from gradcheck.verdict.compare import (
    INCONCLUSIVE,
    UNCHECKED,
    Thresholds,
    judge,
    thresholds_for,
    typical_at_null,
)
from gradcheck.verdict.in_parts import AnyJudged, combined_of, judge_in_parts
from gradcheck.verdict.rounding import cancellation_floor, is_mere_rounding, is_single_precision
from gradcheck.verdict.verdicts import Combined, share_kinks

AT_ONCE = 4.0 * float(np.finfo(np.float64).eps)
"""Move, in units of the scale, over which a gradient changes at once at a kink."""
CANCELLED = 8.0
"""Times that terms which cancel may be larger than the loss over the scale of the parameter."""
MIXED = 4
"""Moves in which each entry goes its own way, and as many back, until all are seen to change."""


@dataclass(frozen=True, eq=False)
class ParameterFindings:
    """What the oracles say of one parameter.

    ``directions`` holds the random directions that it took part in, ``along`` the smallest error of
    an entry that these would have seen, relative to a typical one, where they speak for entries
    that central differences left out; ``pictures`` what the pages draw.
    """

    estimates: Mapping[str, AnyEstimate]
    comparisons: Mapping[str, AnyJudged]
    combined: Combined
    directions: tuple[Any, ...] = ()
    along: float = 0.0
    pictures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def counted(self) -> NDArray[np.int8]:
        """Codes of the entries that count as checked: by central differences, if these ran."""
        central = self.comparisons.get("analytic~central")
        if central is not None and (central.codes != UNCHECKED).any():
            return central.codes
        return self.combined.codes

    @property
    def left_out(self) -> bool:
        """Whether some entry was not checked."""
        return bool((self.counted == UNCHECKED).any())

    @property
    def is_wrong(self) -> bool:
        """Whether some entry fails."""
        return self.combined.verdict is Verdict.FAIL

    @property
    def open_kinks(self) -> NDArray[np.bool_]:
        """Marks the entries that are open since the claim lies outside the slopes of a kink."""
        central = self.comparisons.get("analytic~central")
        if central is None:
            return np.zeros(self.combined.codes.shape, dtype=bool)
        return np.asarray(central.kinks & (self.combined.codes == INCONCLUSIVE))

    @property
    def has_kinks(self) -> bool:
        """Whether central differences found an entry at a kink."""
        central = self.comparisons.get("analytic~central")
        return central is not None and bool(central.kinks.any())


def judge_estimate(
    problem: Problem, settings: Settings, name: str, estimate: AnyEstimate, noise: Noise, trace: Any
) -> AnyJudged:
    """Judge the claimed gradient of one parameter against one oracle."""
    claimed, rounding = problem.analytic[name], problem.analytic_rounding[name]
    parameter = next(one for one in problem.parameters if one.name == name)
    typical = _typical_value(estimate)
    thresholds = thresholds_for(precision_of(problem, name, noise), settings.rtol)
    if _is_null(problem, parameter, noise):
        thresholds = replace(thresholds, faint=np.inf)
        ordinary = noise.variation / (rms(parameter.scales) * np.sqrt(problem.size))
        ordinary = max(ordinary, _summands(parameter, rounding, noise))
        typical = typical_at_null(*_seen_of(estimate, rounding), float(ordinary))
    known = trace is not None
    if claimed.size > BLOCK:
        size = own_size_in_parts(parameter, typical, noise.variation, problem.size)
        return judge_in_parts(
            claimed, rounding, estimate, thresholds, typical=size, kink_is_known=known
        )
    own = own_size(parameter, typical, noise.variation, problem.size)
    whole = as_whole(estimate)
    judged = judge(claimed, rounding, whole, thresholds, typical=own, kink_is_known=known)
    terms = problem.gradient_terms.get(name)
    if terms is None or settings.rtol is not None:
        return judged
    from gradcheck.verdict.cancelled import with_dust_settled

    return with_dust_settled(judged, terms, thresholds)


def _typical_value(estimate: AnyEstimate) -> float:
    """Root mean square of an estimate's values; of a kink, the steeper side counts."""
    if isinstance(estimate, Estimate):
        return rms(_slopes_seen(estimate))
    squares = SumOfSquares()
    for at in parts(estimate.size):
        if not _is_empty(estimate, at):
            value = _slopes_seen(estimate.part(at))
            squares.add(value[np.isfinite(value)])
    return squares.mean_root


def _seen_of(estimate: AnyEstimate, rounding: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    """Return the slopes of an estimate, and how far off the claim may be, of what was looked at."""
    if isinstance(estimate, Estimate):
        return _slopes_seen(estimate), estimate.uncertainty + rounding
    some = [at for at in parts(estimate.size) if not _is_empty(estimate, at)] or [slice(0, 1)]
    pieces = [estimate.part(at) for at in some]
    allowed = [one.uncertainty + flat(rounding, at) for one, at in zip(pieces, some, strict=True)]
    return np.concatenate([_slopes_seen(one) for one in pieces]), np.concatenate(allowed)


def _slopes_seen(estimate: Estimate) -> FloatArray:
    """The values, and at kinks the steeper of the one-sided slopes, which may cancel in a value."""
    if not estimate.kinks.any():
        return estimate.value
    steeper = np.fmax(np.abs(estimate.lower), np.abs(estimate.upper))
    return np.where(estimate.kinks & np.isfinite(steeper), steeper, estimate.value)


def _is_null(problem: Problem, parameter: Parameter, noise: Noise) -> bool:
    """Whether the claimed gradient is nothing but rounding, as at an optimum."""
    claimed, rounding = problem.analytic[parameter.name], problem.analytic_rounding[parameter.name]
    largest = float(rounding.max(initial=0.0))
    if rms(claimed) > 4.0 * largest:  # far more than all rounding: most often, and cheap to tell
        return False
    return is_mere_rounding(claimed, rounding, cancellation_floor(parameter, claimed, noise))


def _summands(parameter: Parameter, rounding: FloatArray, noise: Noise) -> float:
    """Size of the terms whose rounding is what a gradient is in low precision; 0 in float64.

    They are as much larger as the precision is fine, but not much larger than the loss over the
    scale of the parameter.
    """
    if parameter.dtype.itemsize >= np.dtype(np.float64).itemsize:
        return 0.0
    size = rms(rounding) / float(np.finfo(parameter.dtype).eps)
    return min(size, CANCELLED * abs(noise.loss) / rms(parameter.scales))


def precision_of(problem: Problem, name: str, noise: Noise) -> np.dtype[Any]:
    """Return the lowest precision that parameter, gradient or loss have, or are computed in."""
    (parameter,) = [one for one in problem.parameters if one.name == name]
    found = [parameter.dtype, noise.dtype, problem.gradient_dtypes.get(name, parameter.dtype)]
    if problem.precision_inside is not None:
        found.append(problem.precision_inside)
    if is_single_precision(problem.analytic[name], noise):
        found.append(np.dtype(np.float32))
    return min(found, key=lambda dtype: dtype.itemsize)


def compare_parameter(
    problem: Problem,
    settings: Settings,
    name: str,
    estimates: Mapping[str, AnyEstimate],
    noise: Noise,
    trace: Any,
) -> ParameterFindings:
    """Compare the claimed gradient of one parameter with every oracle, and two with each other."""
    central = estimates.get("central")
    shared = {
        oracle: estimate if oracle == "central" else share_kinks(estimate, central)
        for oracle, estimate in estimates.items()
    }
    judged = {
        oracle: judge_estimate(problem, settings, name, one, noise, trace)
        for oracle, one in shared.items()
    }
    comparisons = {f"analytic~{oracle}": one for oracle, one in judged.items()}
    if central is not None and "autograd" in estimates:
        own = estimates["autograd"]
        comparisons["autograd~central"] = _between(
            as_whole(own), central, thresholds_for(precision_of(problem, name, noise))
        )
    combined = _nothing(problem, name)
    if judged:
        combined = combined_of(list(judged.values()), estimates)
    return ParameterFindings(estimates, comparisons, combined)


def _between(one: Estimate, other: AnyEstimate, thresholds: Thresholds) -> AnyJudged:
    """Compare two oracles with each other."""
    typical = rms(one.value)
    if one.value.size <= BLOCK:
        return judge(one.value, one.uncertainty, as_whole(other), thresholds, typical=typical)
    return judge_in_parts(
        one.value,
        one.uncertainty,
        other,
        thresholds,
        typical=lambda at: np.broadcast_to(typical, (at.stop - at.start,)),
    )


def _nothing(problem: Problem, name: str) -> Combined:
    shape = problem.analytic[name].shape
    return Combined(np.full(shape, -1, dtype=np.int8), None, np.zeros(shape, dtype=bool))


def settle_kinks(
    problem: Problem, found: dict[str, dict[str, AnyEstimate]], source: Autograd
) -> None:
    """Tell by the trace what the kinks are that central differences have seen.

    Where an operation sits on a kink, every choice of the operations' own subgradients counts as
    valid: a loss such as ``relu(x) - 0.1 relu(-x)`` has the slopes 1 and 0.1 at 0, but code that
    masks each relu with 0 there computes 0, which is as good. Where none does, the kink is
    real only if the exact gradient changes over a move of a few units in the last place (a
    condition such as ``x > 0`` may decide the slope); else it lies beside the point, too near for
    the differences to go below, and they know nothing there.
    """
    choices: list[Mapping[str, FloatArray]] | None = None
    for number, parameter in enumerate(problem.parameters):
        estimates = found.get(parameter.name, {})
        central = estimates.get("central")
        if central is None or not central.kinks.any():
            continue
        central = as_whole(central)
        if "autograd" in estimates and _no_derivative(as_whole(estimates["autograd"]), central):
            continue
        if not source.trace.ties:
            kinks = central.kinks & _changes_at_once(problem, number, central, source)
            unknown = np.where(central.kinks & ~kinks, np.nan, central.uncertainty)
            estimates["central"] = replace(central, uncertainty=unknown, kinks=kinks)
            continue
        if choices is None:
            choices = list(source.trace.subgradients())
        values = np.stack([gradient[parameter.name] for gradient in choices])
        lower = np.where(central.kinks, np.fmin(central.lower, values.min(axis=0)), central.lower)
        upper = np.where(central.kinks, np.fmax(central.upper, values.max(axis=0)), central.upper)
        estimates["central"] = replace(central, lower=lower, upper=upper)


def _no_derivative(autograd: Estimate, central: Estimate) -> bool:
    """Whether a trace sees no path to a parameter whose kinks all leave no doubt of a slope."""
    return not autograd.value.any() and bool(excluded(autograd, central)[central.kinks].all())


def excluded(one: Estimate, central: Estimate) -> NDArray[np.bool_]:
    """Where a value lies outside the one-sided derivatives of a kink, and by far."""
    margin = 4.0 * central.uncertainty + np.abs(central.upper - central.lower)
    beyond = (one.value < central.lower - margin) | (one.value > central.upper + margin)
    return np.asarray(central.kinks & beyond)


def _changes_at_once(
    problem: Problem, number: int, central: Estimate, source: Autograd
) -> NDArray[np.bool_]:
    """Where the exact gradient is another one a few units in the last place away.

    All move alike, or each by its own: equals that are sorted stay equal where they move alike.
    Where the exact gradient is not a number at the point itself, it is one there.
    """
    parameter = problem.parameters[number]
    changed = np.zeros(central.kinks.shape, dtype=bool)
    if source.again is None:
        return changed
    base = source.again()[parameter.name]
    gap = np.abs(central.upper - central.lower)
    start = parameter.value.copy()
    length = AT_ONCE * np.maximum(parameter.magnitudes, parameter.scales)
    try:
        for side in _moves(central.kinks.shape):
            moved = np.where(central.kinks, start + side * length, start)
            np.copyto(parameter.value, moved, casting="same_kind")
            try:
                there = source.again()[parameter.name]
            except Exception:
                # Off the domain, or in code that cannot be traced: that point tells nothing.
                continue
            with np.errstate(invalid="ignore"):
                changed |= np.abs(there - base) > 0.1 * gap
            changed |= ~np.isfinite(base) & np.isfinite(there)
            if changed[central.kinks].all():
                break
    finally:
        np.copyto(parameter.value, start)
    return changed


def _moves(shape: tuple[int, ...]) -> Iterator[float | FloatArray]:
    """Yield moves of a point's entries: all up, all down, then each another way and length."""
    yield from (1.0, -1.0)
    generator = np.random.default_rng(0)
    for _ in range(MIXED):
        mixed = generator.choice((0.25, 0.5, 0.75, 1.0), shape) * generator.choice((-1, 1), shape)
        yield mixed
        yield -mixed


def _is_empty(estimate: AnyEstimate, at: slice) -> bool:
    """Whether none of these entries was looked at."""
    return isinstance(estimate, PartedEstimate) and estimate.is_empty(at)


def reference_of(findings: ParameterFindings) -> tuple[FloatArray, FloatArray]:
    """Return the most certain value of each entry over all oracles, and its uncertainty."""
    estimates = list(findings.estimates.values())
    shape = findings.combined.codes.shape
    if not estimates:  # of a parameter without entries
        return np.full(shape, np.nan), np.full(shape, np.inf)
    if len(estimates) == 1:
        return estimates[0].value, estimates[0].uncertainty
    size = estimates[0].size
    value, error = np.empty(size), np.empty(size)
    for at in parts(size):
        pieces = [one.part(at) for one in estimates if not _is_empty(one, at)]
        if len(pieces) == 1:
            value[at], error[at] = pieces[0].value, pieces[0].uncertainty
            if np.isfinite(value[at]).all() and np.isfinite(error[at]).all():
                continue
        pieces = [one.part(at) for one in estimates]
        values = np.stack([one.value for one in pieces])
        errors = np.stack([one.uncertainty for one in pieces])
        ranked = np.where(np.isfinite(values) & np.isfinite(errors), errors, np.inf)
        finest = np.argmin(ranked, axis=0)[None]
        value[at] = np.take_along_axis(values, finest, axis=0)[0]
        error[at] = np.take_along_axis(errors, finest, axis=0)[0]
    return value.reshape(shape), error.reshape(shape)
