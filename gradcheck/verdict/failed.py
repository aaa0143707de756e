"""Entries that passed by themselves, and are found wrong with others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gradcheck.oracles.parted import AnyEstimate
from gradcheck.verdict.compare import FAIL, PASS, Judged, relative_errors
from gradcheck.verdict.in_parts import AnyJudged
from gradcheck.verdict.judging import ParameterFindings


def accepted_kinks(
    parameters: Mapping[str, ParameterFindings],
) -> dict[str, NDArray[np.bool_]]:
    """Mark the entries at kinks that pass, by name of the parameters that have any."""
    marks: dict[str, NDArray[np.bool_]] = {}
    for name, one in parameters.items():
        central = one.comparisons.get("analytic~central")
        if central is not None and central.kinks.any():
            marks[name] = central.kinks & (one.combined.codes == PASS)
    return marks


def failed(findings: ParameterFindings, entries: NDArray[np.intp]) -> ParameterFindings:
    """Return the findings with some entries (flat, C order) wrong in every comparison.

    They are compared with the oracle's own value then, not with the valid one that is nearest.
    """
    marks = np.zeros(findings.combined.codes.size, dtype=bool)
    marks[entries] = True
    codes = _with_failures(findings.combined.codes, marks)
    comparisons = {
        key: _failed(judged, findings.estimates[judged.oracle], marks)
        if key.startswith("analytic~")
        else judged
        for key, judged in findings.comparisons.items()
    }
    combined = replace(findings.combined, codes=codes)
    return replace(findings, comparisons=comparisons, combined=combined)


def _with_failures(codes: NDArray[np.int8], marks: NDArray[np.bool_]) -> NDArray[np.int8]:
    return np.where(marks.reshape(codes.shape), np.int8(FAIL), codes)


def _failed(judged: AnyJudged, estimate: AnyEstimate, marks: NDArray[np.bool_]) -> AnyJudged:
    codes = _with_failures(judged.codes, marks)
    if isinstance(judged, Judged):
        everything = slice(0, judged.codes.size)
        whole = _part_failed(judged.part(everything), estimate, everything, marks)
        shape = codes.shape
        return replace(
            judged,
            codes=codes,
            reference=whole.reference.reshape(shape),
            relative_error=whole.relative_error.reshape(shape),
        )

    def part(at: slice) -> Judged:
        return _part_failed(judged.part(at), estimate, at, marks)

    first = np.flatnonzero(marks)[: len(judged.worst)]
    return replace(judged, codes=codes, part=part, worst=first)


def _part_failed(
    judged: Judged, estimate: AnyEstimate, at: slice, marks: NDArray[np.bool_]
) -> Judged:
    """Return a flat part of a comparison with the marked entries wrong."""
    here = marks[at]
    reference = np.where(here, estimate.part(at).value, judged.reference)
    return replace(
        judged,
        codes=_with_failures(judged.codes, here),
        reference=reference,
        relative_error=relative_errors(judged.analytic, reference),
    )
