"""Comparisons of large parameters, judged part by part: what is kept of an entry is its verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import BLOCK, FloatArray, SumOfSquares, flat, parts
from gradcheck.oracles.parted import AnyEstimate, PartedEstimate, as_whole
from gradcheck.report import Comparison, Entry
from gradcheck.scales import median
from gradcheck.verdict import summary
from gradcheck.verdict.compare import (
    FAIL,
    INCONCLUSIVE,
    UNCHECKED,
    Judged,
    Thresholds,
    judge,
)
from gradcheck.verdict.summary import N_WORST, entry_at
from gradcheck.verdict.verdicts import Combined, best_of, combine

SAMPLE = 1 << 12
"""Entries of each part, at most, of which the median is taken."""


class Sums:
    """What a comparison comes to, over its parts."""

    def __init__(self) -> None:
        self.resolution = math.nan
        self.kinks = 0
        self._largest = 0.0
        self._checked = self._below = 0
        self._finite = True
        self._sample: list[FloatArray] = []
        self._analytic, self._reference = SumOfSquares(), SumOfSquares()
        self._apart = SumOfSquares()

    def add(self, one: Judged) -> None:
        """Add a part."""
        self.kinks += int(np.count_nonzero(one.kinks))
        checked = one.codes != UNCHECKED
        if not checked.any():
            return
        comparable = checked & np.isfinite(one.reference)
        size = np.fmax(np.abs(one.analytic), np.abs(one.reference))
        above = comparable & ~(size <= one.allowed)
        errors = one.relative_error[above]
        errors = np.where(np.isnan(errors), np.inf, errors)
        self._largest = max(self._largest, float(errors.max(initial=0.0)))
        self.resolution = float(np.fmax(self.resolution, one.resolution[checked].max()))
        self._checked += int(checked.sum())
        self._below += int((comparable & ~above).sum())
        self._sample.append(errors[:: -(-errors.size // SAMPLE) or 1].astype(np.float32))
        a, r = one.analytic[comparable], one.reference[comparable]
        self._finite = self._finite and bool(np.isfinite(a).all())
        if self._finite:
            self._analytic.add(a)
            self._reference.add(r)
            self._apart.add(a - r)

    def comparison(
        self, *, failing: int, inconclusive: int, worst: tuple[Entry, ...]
    ) -> Comparison:
        """Return the figures, with what is known of the entries beside."""
        sample = np.concatenate([np.zeros(0, dtype=np.float32), *self._sample])
        total = self._analytic.root + self._reference.root
        norm = self._apart.root / total if total > 0 else 0.0
        return Comparison(
            max_relative_error=self._largest,
            median_relative_error=float(median(sample)) if sample.size else 0.0,
            norm_relative_error=norm if self._finite else math.nan,
            resolution=self.resolution,
            checked=self._checked,
            below_noise=self._below,
            failing_entries=failing,
            inconclusive_entries=inconclusive,
            worst=worst,
        )


@dataclass(frozen=True, eq=False)
class PartedJudged:
    """A comparison with the attributes of ``Judged``, each but ``codes`` made when asked for.

    Attributes:
        part: returns the comparison of a part of the entries (flat, C order) that lies within one
            of ``gradcheck.blocks.parts``.
        sums: what the comparison comes to, over all of its parts.
        worst: flat positions of the entries that matter most.
    """

    oracle: str
    codes: NDArray[np.int8]
    part: Callable[[slice], Judged]
    sums: Sums
    worst: NDArray[np.intp]

    @property
    def coarsest(self) -> float:
        """Resolution of the parameter: the largest of its checked entries; NaN of none."""
        return self.sums.resolution

    @property
    def analytic(self) -> FloatArray:
        """As of ``Judged``."""
        return self._joined("analytic")

    @property
    def reference(self) -> FloatArray:
        """As of ``Judged``."""
        return self._joined("reference")

    @property
    def allowed(self) -> FloatArray:
        """As of ``Judged``."""
        return self._joined("allowed")

    @property
    def relative_error(self) -> FloatArray:
        """As of ``Judged``."""
        return self._joined("relative_error")

    @property
    def resolution(self) -> FloatArray:
        """As of ``Judged``."""
        return self._joined("resolution")

    @property
    def kinks(self) -> NDArray[np.bool_]:
        """As of ``Judged``; where there are none, one number for all entries."""
        if not self.sums.kinks:
            return np.broadcast_to(np.False_, self.codes.shape)
        return self._joined("kinks")

    def _joined(self, name: str) -> NDArray[Any]:
        pieces = [getattr(self.part(at), name) for at in parts(self.codes.size)]
        return np.concatenate(pieces).reshape(self.codes.shape)


AnyJudged = Judged | PartedJudged


def judge_in_parts(
    analytic: FloatArray,
    rounding: NDArray[Any],
    estimate: AnyEstimate,
    thresholds: Thresholds,
    *,
    typical: Callable[[slice], FloatArray],
    kink_is_known: bool = False,
) -> PartedJudged:
    """Judge every entry of a large parameter; arguments as of ``compare.judge``."""

    def part(at: slice) -> Judged:
        blur = np.asarray(flat(rounding, at), dtype=np.float64)
        return judge(
            flat(analytic, at),
            blur,
            estimate.part(at),
            thresholds,
            typical=typical(at),
            kink_is_known=kink_is_known,
        )

    codes = np.full(analytic.size, UNCHECKED, dtype=np.int8)
    sums = Sums()
    rows: list[tuple[float, float, int]] = []
    for at in parts(analytic.size):
        if isinstance(estimate, PartedEstimate) and estimate.is_empty(at):
            # A gradient that is not finite is wrong, whether it was checked or not.
            codes[at][~np.isfinite(flat(analytic, at))] = FAIL
            continue
        one = part(at)
        codes[at] = one.codes
        sums.add(one)
        for inner in summary.worst_positions(one).tolist():
            rows.append((*_order(one, inner), at.start + inner))
        rows = sorted(rows)[:N_WORST]
        del one  # not while the next part is judged
    worst = np.array([position for _, _, position in rows], dtype=np.intp)
    return PartedJudged(estimate.oracle, codes.reshape(analytic.shape), part, sums, worst)


def combined_of(judged: Sequence[AnyJudged], estimates: Mapping[str, AnyEstimate]) -> Combined:
    """Combine the comparisons of one parameter, as ``verdicts.combine``; a large one in parts."""
    shape = judged[0].codes.shape
    small = [one for one in judged if isinstance(one, Judged)]
    if len(small) == len(judged):
        return combine(small, {name: as_whole(one) for name, one in estimates.items()})
    best = best_of(judged)
    if len(judged) == 1:
        return Combined(judged[0].codes, best, np.broadcast_to(np.False_, shape))
    codes = np.empty(math.prod(shape), dtype=np.int8)
    contested = np.zeros(codes.size, dtype=bool)
    for at in parts(codes.size):
        here = [one for one in judged if (flat(one.codes, at) != UNCHECKED).any()] or judged[:1]
        if len(here) == 1:
            codes[at] = flat(here[0].codes, at)
            continue
        pieces = {oracle: one.part(at) for oracle, one in estimates.items()}
        found = combine([one.part(at) for one in here], pieces)
        codes[at], contested[at] = found.codes, found.contested
    return Combined(codes.reshape(shape), best, contested.reshape(shape))


def worst_positions(judged: AnyJudged) -> NDArray[np.intp]:
    """Return the flat positions of the entries that matter most; as ``summary.worst_positions``."""
    return judged.worst if isinstance(judged, PartedJudged) else summary.worst_positions(judged)


def _order(judged: Judged, position: int) -> tuple[float, float]:
    """Return what worst entries are ordered by: the verdict, then how bad the entry is."""
    code, error = int(judged.codes[position]), float(judged.relative_error[position])
    if code == FAIL:
        return -code, -(math.inf if math.isnan(error) else error)
    apart = abs(float(judged.analytic[position]) - float(judged.reference[position]))
    allowed = float(judged.allowed[position])
    severity = apart / allowed if allowed > 0 else (math.inf if apart > 0 else math.nan)
    if math.isnan(severity):
        severity = math.inf if math.isnan(error) else 0.0
    return -code, -severity


def summarise(judged: AnyJudged, first: NDArray[np.intp] | None = None) -> Comparison:
    """Reduce a comparison to the figures of a report; as ``summary.summarise``.

    The median of a large parameter is that of an even choice of its entries.
    """
    if isinstance(judged, Judged):
        return summary.summarise(judged, first)
    shared = [] if first is None else [int(i) for i in first if _code(judged, i) != UNCHECKED]
    listed = (shared + [i for i in judged.worst.tolist() if i not in shared])[:N_WORST]
    return judged.sums.comparison(
        failing=int((judged.codes == FAIL).sum()),
        inconclusive=int((judged.codes == INCONCLUSIVE).sum()),
        worst=tuple(_entry(judged, position) for position in listed),
    )


def _code(judged: PartedJudged, position: int) -> int:
    return int(judged.codes.flat[position])


def _entry(judged: PartedJudged, position: int) -> Entry:
    """Return one entry, seen within its part."""
    begin = position // BLOCK * BLOCK
    one = judged.part(slice(begin, min(begin + BLOCK, judged.codes.size)))
    index = tuple(int(i) for i in np.unravel_index(position, judged.codes.shape))
    return replace(entry_at(one, position - begin), index=index)
