"""From two sources of a gradient to relative errors and a verdict for each entry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.oracles.estimate import Estimate
from gradcheck.problem import FloatArray
from gradcheck.scales import median, rms

PASS, INCONCLUSIVE, FAIL, UNCHECKED = 0, 1, 2, -1
"""Codes of an entry's verdict in arrays."""


BLOCK = 1 << 14
"""Entries that are judged together."""

TAIL = 2.0
"""Times what is allowed up to which a difference may be noise, which is not quite Gaussian."""
CLEAR = 10.0
"""Times the smallest wrong difference, beyond which one that is not allowed is no tail of noise."""

DEEP = 0.05
"""Share of its scale that the rounding of an entry may be of, up to which its bound is one; of a
gradient that rounding nearly hides, it is a guess within ``CLEAR`` times."""

DOUBLE = 1e-3
"""Relative uncertainty that agreement is worth a pass up to in double precision."""

SMALL = 1e-3
"""Share of the typical gradient below which an entry is judged by this share of it."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What counts as the same.

    ``coarsest`` is the largest relative uncertainty at which agreement is worth a pass,
    ``smallest`` the smallest relative difference that counts as wrong, ``same`` the largest that
    counts as none whatever the uncertainty, ``faint`` the share of the typical gradient below which
    an error in an entry counts by the typical gradient alone. With ``rtol`` set, a plain
    threshold on the relative error decides instead.
    """

    coarsest: float = DOUBLE
    smallest: float = 1e-6
    same: float = 1e-8
    faint: float = SMALL
    rtol: float | None = None


def thresholds_for(dtype: np.dtype[np.generic], rtol: float | None = None) -> Thresholds:
    """Return the thresholds for a parameter handed in with ``dtype``."""
    if dtype.name == "float16" or dtype.name == "bfloat16":
        return Thresholds(5e-2, 1e-2, same=1e-3, faint=math.inf, rtol=rtol)
    if dtype.name == "float32":
        return Thresholds(5e-3, 1e-3, same=1e-6, rtol=rtol)
    return Thresholds(DOUBLE, 1e-6, rtol=rtol)


@dataclass(frozen=True, eq=False)
class Judged:
    """One comparison entry by entry, in the parameter's shape.

    Attributes:
        codes: ``PASS``, ``INCONCLUSIVE``, ``FAIL`` or ``UNCHECKED``.
        reference: the oracle's value; at a kink the valid one nearest to the analytic value.
        allowed: uncertainty of the oracle plus rounding of the analytic value.
        resolution: ``allowed`` relative to the scale of the entry, and no finer than the
            difference that counts as none; 0 where both are zero in every bit.
    """

    oracle: str
    codes: NDArray[np.int8]
    analytic: FloatArray
    reference: FloatArray
    allowed: FloatArray
    relative_error: FloatArray
    resolution: FloatArray
    kinks: NDArray[np.bool_]

    def part(self, at: slice) -> Judged:
        """Return the comparison of some of the entries (flat, C order)."""
        names = ("codes", "analytic", "reference", "allowed", "relative_error", "resolution")
        arrays = {name: getattr(self, name).reshape(-1)[at] for name in (*names, "kinks")}
        return Judged(oracle=self.oracle, **arrays)

    @property
    def coarsest(self) -> float:
        """Resolution of the parameter: the largest of its checked entries; NaN of none."""
        checked = self.codes != UNCHECKED
        values = self.resolution[checked]
        return float(values.max()) if values.size else math.nan


def typical_at_null(reference: FloatArray, allowed: FloatArray, ordinary: float) -> float:
    """Return the size that a gradient typically has that is claimed to be mere rounding.

    At an optimum, say, that is its root mean square, or, where that is lost in the uncertainty, a
    thousandth of the slope that the loss ordinarily has over the parameter's scale (``ordinary``).
    """
    size = rms(reference)
    finite = allowed[np.isfinite(allowed)]
    if finite.size and size > TAIL * median(finite):
        return size
    return max(size, SMALL * ordinary)


def relative_errors(one: FloatArray, two: FloatArray) -> FloatArray:
    """Return ``|a - r| / max(|a|, |r|)``, and 0 where both are 0."""
    size = np.maximum(np.abs(one), np.abs(two))
    with np.errstate(all="ignore"):
        ratio = np.abs(one / size - two / size)
    result = np.where(size > 0, ratio, 0.0)
    return np.asarray(np.where(np.isnan(one) | np.isnan(two), np.nan, result))


def judge(
    analytic: FloatArray,
    rounding: FloatArray,
    estimate: Estimate,
    thresholds: Thresholds,
    *,
    typical: float | FloatArray,
    kink_is_known: bool = False,
) -> Judged:
    """Judge every entry of one parameter against one oracle.

    A value between the one-sided derivatives of a kink is a valid subgradient. One outside is
    wrong when ``kink_is_known`` (each operation's own choice has been considered), else it
    stays inconclusive. A gradient that is not finite is wrong, whether it was checked or not.

    The scale of an entry is its own size, but no less than ``SMALL`` of the parameter's
    ``typical`` gradient. Where that is lost in the uncertainty, and the entry with it is no more
    than ``faint`` of the typical gradient, it is the typical one itself.

    Args:
        analytic: the claimed gradient.
        rounding: how far rounding may have moved it.
        estimate: what the oracle says.
        thresholds: what counts as the same.
        typical: the parameter's typical gradient (see ``typical_at_null``), or each entry's.
        kink_is_known: whether the valid values at kinks are all known.
    """
    n = analytic.size
    if n <= BLOCK:
        return _judge_at_once(analytic, rounding, estimate, thresholds, typical, kink_is_known)
    fields = (analytic, rounding, typical)
    flat = [np.broadcast_to(values, analytic.shape).reshape(-1) for values in fields]
    whole = {name: np.empty(n) for name in ("allowed", "relative_error", "resolution")}
    whole["codes"] = np.empty(n, dtype=np.int8)
    if estimate.kinks.any():
        whole["reference"] = np.empty(n)
    for begin in range(0, n, BLOCK):
        part = slice(begin, begin + BLOCK)
        own, blur, size = (values[part] for values in flat)
        one = estimate.part(part)
        judged = _judge_at_once(own, blur, one, thresholds, size, kink_is_known)
        for name, values in whole.items():
            values[part] = getattr(judged, name)
    arrays: dict[str, Any] = {k: values.reshape(analytic.shape) for k, values in whole.items()}
    arrays.setdefault("reference", estimate.value)
    return Judged(oracle=estimate.oracle, analytic=analytic, kinks=estimate.kinks, **arrays)


def _judge_at_once(
    analytic: FloatArray,
    rounding: FloatArray,
    estimate: Estimate,
    thresholds: Thresholds,
    typical: float | FloatArray,
    kink_is_known: bool,
) -> Judged:
    """Judge few enough entries that what is computed in between stays in the processor's cache."""
    reference = estimate.value
    if estimate.kinks.any():
        nearest = np.clip(analytic, estimate.lower, estimate.upper)
        reference = np.where(estimate.kinks, nearest, estimate.value)
    elif estimate.oracle != "central" and thresholds.rtol is None:
        found = _confirmed(analytic, rounding, estimate, thresholds)
        if found is not None:
            return found
    known = _resolved(analytic, reference, rounding, estimate, thresholds, typical)
    relative = relative_errors(analytic, reference)
    codes = _codes(known, estimate, thresholds, kink_is_known)
    if thresholds.rtol is not None:
        # A true zero has no relative error: what is lost in the uncertainty is judged by it.
        judged = np.isfinite(reference) & ~(known.size <= known.allowed)
        codes = np.where(judged, np.where(relative <= thresholds.rtol, PASS, FAIL), codes)
    codes = np.where(estimate.checked, codes, UNCHECKED)
    codes = np.where(np.isfinite(analytic), codes, FAIL).astype(np.int8)
    return Judged(
        estimate.oracle,
        codes,
        analytic,
        reference,
        known.allowed,
        relative,
        np.where(np.isnan(known.resolution), np.inf, known.resolution),
        estimate.kinks,
    )


@dataclass(frozen=True, eq=False, slots=True)
class _Resolved:
    """How well each entry is known, beside how far the two values are apart.

    ``wide`` is its scale where the uncertainty hides its own size; ``near`` marks those known well
    enough by their difference, ``close`` those that count as the same whatever the uncertainty,
    ``in_tail`` those a little beyond what is allowed, and ``slight`` those of them too small to be
    called wrong.
    """

    difference: FloatArray
    size: FloatArray
    allowed: FloatArray
    wide: FloatArray
    resolution: FloatArray
    near: NDArray[np.bool_]
    close: NDArray[np.bool_]
    in_tail: NDArray[np.bool_]
    slight: NDArray[np.bool_]


def _resolved(
    analytic: FloatArray,
    reference: FloatArray,
    rounding: FloatArray,
    estimate: Estimate,
    thresholds: Thresholds,
    typical: float | FloatArray,
) -> _Resolved:
    """Return how far the values are apart, and how small an error would have been seen."""
    allowed = estimate.uncertainty + rounding
    difference = np.abs(analytic - reference)
    size = np.fmax(np.abs(analytic), np.abs(reference))
    if estimate.oracle != "central":
        # Two independent exact ways to eight digits: that is how well the value is known.
        confirmed = np.isfinite(allowed) & (difference <= thresholds.same * size)
        confirmed &= estimate.flat | (size > 0)
        allowed = np.where(confirmed, np.fmin(allowed, thresholds.same * size), allowed)
    own = np.where(np.isfinite(size), np.maximum(size, SMALL * typical), size)
    lost = ~(allowed <= thresholds.coarsest * own)
    wide = np.where(lost, np.maximum(own, typical), own)
    with np.errstate(invalid="ignore"):
        rough = allowed > thresholds.coarsest * wide
        faint = size + allowed <= thresholds.faint * typical
        scale = np.where(faint | (rough & (size <= allowed)), wide, own)
        # What agrees within the coarsest uncertainty may be off by twice that, and so may this.
        bound = difference + estimate.uncertainty
        near = lost & ~faint & ~rough & (bound <= 2.0 * thresholds.coarsest * own)
    with np.errstate(all="ignore"):
        known = np.where(near, bound, allowed)
        resolution = np.where(scale > 0, known / scale, np.where(known == 0, 0.0, np.inf))
    # Zero in every bit, and none claimed: exact, whatever the noise might hide.
    nothing = estimate.flat & (analytic == 0.0)
    resolution = np.where(nothing, 0.0, resolution)
    # A difference in the ninth digit is rounding, or an iteration's own tolerance: it is not seen.
    resolution = np.where(resolution > 0, np.fmax(resolution, thresholds.same), resolution)
    close = (difference <= thresholds.same * scale) & np.isfinite(allowed)
    # A little beyond what is allowed, and too small to be called wrong: noise, and the resolution
    # says so.
    in_tail = difference <= TAIL * allowed
    slight = in_tail & (difference <= thresholds.smallest * scale)
    with np.errstate(all="ignore"):
        resolution = np.where(slight, np.fmax(resolution, difference / scale), resolution)
    return _Resolved(difference, size, allowed, wide, resolution, near, close, in_tail, slight)


def _codes(
    known: _Resolved, estimate: Estimate, thresholds: Thresholds, kink_is_known: bool
) -> NDArray[Any]:
    """Return the verdict of each entry by its difference and what is allowed."""
    difference, allowed, wide = known.difference, known.allowed, known.wide
    agrees = (difference <= allowed) | known.close | known.slight
    agrees &= known.near | (known.resolution <= thresholds.coarsest)
    differs = ~known.close & (difference > allowed) & (difference > thresholds.smallest * wide)
    # What is too coarse for a pass is too coarse to call its tail wrong; but in lower precision
    # nothing is finer, and the exact oracles share what the target cuts off.
    sharp = (allowed <= thresholds.coarsest * wide) | (thresholds.coarsest > DOUBLE)
    differs &= ~known.in_tail | (sharp & (difference > CLEAR * thresholds.smallest * wide))
    if estimate.oracle != "central":
        differs &= (allowed <= DEEP * wide) | (difference > CLEAR * allowed)
    codes = np.where(agrees, PASS, np.where(differs, FAIL, INCONCLUSIVE))
    outside = estimate.kinks & (codes == FAIL)
    return np.where(outside & (not kink_is_known), INCONCLUSIVE, codes)


def _confirmed(
    analytic: FloatArray,
    rounding: FloatArray,
    estimate: Estimate,
    thresholds: Thresholds,
) -> Judged | None:
    """Judge entries that two exact ways all give alike: what is most often so, and quick to tell.

    Returns None where an entry needs a closer look; the figures are those that it would give.
    """
    reference = estimate.value
    size = np.fmax(np.abs(analytic), np.abs(reference))
    limit = np.asarray(thresholds.same * size)
    difference = np.abs(analytic - reference)
    allowed = np.asarray(estimate.uncertainty + rounding)
    if not ((difference <= limit).all() and allowed.max(initial=0.0) < np.inf):
        return None
    if not size.min(initial=np.inf) > 0.0:
        return None
    allowed = np.fmin(allowed, limit, out=allowed)
    return Judged(
        estimate.oracle,
        np.full(analytic.shape, PASS, dtype=np.int8),
        analytic,
        reference,
        allowed,
        np.asarray(np.abs(analytic / size - reference / size)),
        np.full(analytic.shape, thresholds.same),
        estimate.kinks,
    )
