"""From all that was found to at most three answers, the best first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from gradcheck.diagnose.entries import unexplained
from gradcheck.diagnose.evidence import ROUNDING_FLOOR, Evidence
from gradcheck.diagnose.finding import CONFIDENCES, Finding
from gradcheck.diagnose.patterns import match_patterns
from gradcheck.report import Diagnosis

MAX_DIAGNOSES = 3
DEFAULT_PASSES = 200
_AGREE = 8.0


def diagnose(evidence: Evidence, *, max_passes: int = DEFAULT_PASSES) -> tuple[Diagnosis, ...]:
    """Say why the failing parameters' gradient is wrong, and where.

    Args:
        evidence: what is known of the gradient.
        max_passes: how many altered backward passes over the trace may be spent.

    Returns:
        At most three diagnoses, the best first; none when nothing fails. Together they cover the
        failing parameters as far as something explains them; what nothing explains is
        ``unexplained``, with the pattern of where it lies.
    """
    if not evidence.failing_facts:
        return ()
    usable = sharpened(evidence)
    findings = list(match_patterns(usable))
    if usable.trace is not None:
        from gradcheck.diagnose.counterfactual import locate, match_counterfactuals

        found = match_counterfactuals(usable, max_passes=max_passes)
        findings += found.findings
        findings = [locate(finding, usable, found) for finding in findings]
    names = tuple(facts.name for facts in evidence.failing_facts)
    chosen = cover(findings, names)
    explained = {name for finding in chosen for name in finding.parameters}
    left = tuple(name for name in names if name not in explained)
    if left and len(chosen) < MAX_DIAGNOSES:
        chosen = (*chosen, unexplained(evidence, left))
    return tuple(finding.to_diagnosis(evidence.names) for finding in chosen)


def cover(findings: Iterable[Finding], names: tuple[str, ...]) -> tuple[Finding, ...]:
    """Choose findings, the best first, until they explain all ``names`` or three are chosen.

    Exact explanations come before likely ones, then those of more parameters at once, with fewer
    altered sites, and of more meaning.
    """
    candidates, chosen = list(findings), []
    remaining = set(names)
    while remaining and len(chosen) < MAX_DIAGNOSES:
        candidates = [finding for finding in candidates if remaining & set(finding.parameters)]
        if not candidates:
            break
        best = min(candidates, key=lambda finding: _order(finding, remaining))
        chosen.append(best)
        remaining -= set(best.parameters)
    return tuple(chosen)


def sharpened(evidence: Evidence) -> Evidence:
    """Return the evidence with the trace's own gradient as the reference, where they agree.

    The traced gradient is right to roundoff, so that explanations can be told apart which central
    differences cannot. A trace whose gradient contradicts the reference is of no use and dropped.
    """
    if evidence.trace is None:
        return evidence
    traced = evidence.trace.backward()
    reference, uncertainty = dict(evidence.reference), dict(evidence.uncertainty)
    for name, gradient in traced.items():
        if name not in evidence.names:
            continue
        facts = evidence.facts[name]
        apart = np.abs(np.asarray(gradient) - facts.reference)[facts.known]
        if (apart > _AGREE * facts.tolerance[facts.known]).any():
            return replace(evidence, trace=None)
        rounding = np.finfo(evidence.analytic_dtype.get(name, "float64")).eps
        largest = float(np.max(np.abs(gradient), initial=0.0))
        reference[name] = np.asarray(gradient, dtype=np.float64)
        uncertainty[name] = np.full(
            facts.value.shape, max(8.0 * rounding, ROUNDING_FLOOR) * largest
        )
    return replace(evidence, reference=reference, uncertainty=uncertainty)


def _order(finding: Finding, remaining: set[str]) -> tuple[int, int, int, int]:
    return (
        CONFIDENCES.index(finding.confidence),
        -len(remaining & set(finding.parameters)),
        finding.n_sites,
        -finding.specificity,
    )
