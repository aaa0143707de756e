"""A comparison reduced to the figures of a report, and the entries in it that matter most."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.problem import FloatArray
from gradcheck.report import Comparison, Entry, Verdict
from gradcheck.scales import median
from gradcheck.verdict.compare import BLOCK, FAIL, INCONCLUSIVE, PASS, UNCHECKED, Judged

N_WORST = 10


def summarise(judged: Judged, first: NDArray[np.intp] | None = None) -> Comparison:
    """Reduce a comparison to the figures of a report, with its worst entries.

    ``first`` are flat positions of entries to list before this comparison's own worst, so that
    the comparisons of one parameter tell of the same entries.
    """
    checked = judged.codes != UNCHECKED
    comparable = checked & np.isfinite(judged.reference)
    size = np.asarray(np.abs(judged.analytic))
    np.fmax(size, np.abs(judged.reference), out=size)
    above = comparable & ~(size <= judged.allowed)
    errors = _picked(judged.relative_error, above)
    if np.isnan(errors.max(initial=0.0)):
        errors = np.where(np.isnan(errors), np.inf, errors)
    a, r = _picked(judged.analytic, comparable), _picked(judged.reference, comparable)
    resolution = _picked(judged.resolution, checked)
    return Comparison(
        max_relative_error=float(errors.max()) if errors.size else 0.0,
        median_relative_error=median(errors) if errors.size else 0.0,
        norm_relative_error=norm_relative_error(a, r),
        resolution=float(resolution.max()) if resolution.size else math.nan,
        checked=int(checked.sum()),
        below_noise=int((comparable & ~above).sum()),
        failing_entries=int((judged.codes == FAIL).sum()),
        inconclusive_entries=int((judged.codes == INCONCLUSIVE).sum()),
        worst=tuple(entry_at(judged, position) for position in _listed(judged, first)),
    )


def _picked(values: FloatArray, chosen: NDArray[np.bool_]) -> FloatArray:
    """Return the chosen entries, one-dimensional; no copy where all are chosen, as most often."""
    return values.reshape(-1) if chosen.all() else values[chosen]


def norm_relative_error(one: FloatArray, two: FloatArray) -> float:
    """Return ``||a - r|| / (||a|| + ||r||)``, and 0 where both are 0."""
    largest = max(float(np.abs(one).max(initial=0.0)), float(np.abs(two).max(initial=0.0)))
    if not math.isfinite(largest):
        return math.nan
    if largest == 0.0:
        return 0.0
    one, two = one / largest, two / largest
    total = float(np.linalg.norm(one) + np.linalg.norm(two))
    return float(np.linalg.norm(one - two)) / total


def _listed(judged: Judged, first: NDArray[np.intp] | None) -> list[int]:
    codes = judged.codes.reshape(-1)
    shared = [] if first is None else [int(i) for i in first if codes[i] != UNCHECKED]
    if len(shared) >= N_WORST:
        return shared
    return (shared + [i for i in worst_positions(judged).tolist() if i not in shared])[:N_WORST]


def worst_positions(judged: Judged) -> NDArray[np.intp]:
    """Return the flat positions of the entries that matter most, at most ``N_WORST``.

    By verdict first, then by error: relative for wrong entries, else in units of what is allowed.
    """
    best = [_worst_of(judged, begin) for begin in range(0, judged.codes.size, BLOCK)]
    positions, codes, badness = (np.concatenate(parts) for parts in zip(*best, strict=True))
    return np.asarray(positions[np.lexsort((-badness, -codes))[:N_WORST]])


def _worst_of(judged: Judged, begin: int) -> tuple[NDArray[np.intp], NDArray[Any], FloatArray]:
    """Return the worst entries of one block by position, with their codes and how bad they are.

    Those that matter most of all are among them.
    """
    part = slice(begin, begin + BLOCK)
    arrays = (judged.analytic, judged.reference, judged.allowed, judged.relative_error)
    analytic, reference, allowed, errors = (array.reshape(-1)[part] for array in arrays)
    codes = judged.codes.reshape(-1)[part]
    worst = codes.max()
    with np.errstate(all="ignore"):
        badness = np.abs(analytic - reference) / allowed
    if worst == FAIL or np.isnan(badness.max()):
        unknown = np.isnan(errors)
        severity = np.where(np.isnan(badness), np.where(unknown, np.inf, 0.0), badness)
        badness = np.where(codes == FAIL, np.where(unknown, np.inf, errors), severity)
    chosen = np.flatnonzero(codes == worst)
    if chosen.size > N_WORST:
        least = np.partition(badness[chosen], chosen.size - N_WORST)[chosen.size - N_WORST]
        chosen = chosen[badness[chosen] >= least]
    else:
        chosen = np.arange(codes.size)
    chosen = chosen[codes[chosen] != UNCHECKED]
    return begin + chosen, codes[chosen], badness[chosen]


def entry_at(judged: Judged, position: int) -> Entry:
    """Return one entry, at a flat position, as a report tells it."""
    verdicts = {PASS: Verdict.PASS, INCONCLUSIVE: Verdict.INCONCLUSIVE, FAIL: Verdict.FAIL}
    return Entry(
        index=tuple(int(i) for i in np.unravel_index(position, judged.codes.shape)),
        analytic=float(judged.analytic.reshape(-1)[position]),
        reference=float(judged.reference.reshape(-1)[position]),
        relative_error=float(judged.relative_error.reshape(-1)[position]),
        uncertainty=float(judged.allowed.reshape(-1)[position]),
        verdict=verdicts[int(judged.codes.reshape(-1)[position])],
    )
