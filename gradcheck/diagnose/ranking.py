"""From all that was found to at most three answers, the best first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from gradcheck.blocks import flat, parts
from gradcheck.diagnose.entries import unexplained
from gradcheck.diagnose.evidence import ROUNDING_FLOOR, Evidence, largest_of
from gradcheck.diagnose.finding import CONFIDENCES, Finding
from gradcheck.diagnose.limits import DEFAULT_PASSES
from gradcheck.diagnose.patterns import match_patterns
from gradcheck.report import Diagnosis

MAX_DIAGNOSES = 3
_AGREE = 8.0
_FEW = 0.1


@dataclass(frozen=True)
class Explained:
    """What a search for the cause found, and in words what it left out; empty if nothing.

    What was left out is not worth mentioning where everything is explained exactly.
    """

    diagnoses: tuple[Diagnosis, ...] = ()
    untried: str = ""


def diagnose(evidence: Evidence, *, max_passes: int = DEFAULT_PASSES) -> tuple[Diagnosis, ...]:
    """Say why the failing parameters' gradient is wrong, and where: ``explained`` in short."""
    return explained(evidence, max_passes=max_passes).diagnoses


def explained(evidence: Evidence, *, max_passes: int = DEFAULT_PASSES) -> Explained:
    """Say why the failing parameters' gradient is wrong, and where.

    Args:
        evidence: what is known of the gradient.
        max_passes: how many altered backward passes over the trace may be spent; fewer are where
            there is much to pass (``gradcheck.diagnose.limits``).

    Returns:
        At most three diagnoses, the best first; none when nothing fails. Together they cover the
        failing parameters as far as something explains them; what nothing explains is
        ``unexplained``, with the pattern of where it lies.
    """
    # What is derived of a large gradient takes memory: of the evidence as it came, for a moment.
    as_it_came = replace(evidence)
    names = tuple(facts.name for facts in as_it_came.failing_facts)
    if not names:
        return Explained()
    untried = ""
    usable = sharpened(as_it_came)
    del as_it_came
    findings = list(match_patterns(usable))
    if usable.trace is not None:
        from gradcheck.diagnose.counterfactual import match_counterfactuals
        from gradcheck.diagnose.locating import locate

        found = match_counterfactuals(usable, max_passes=max_passes)
        findings += found.findings
        untried = found.untried
        findings = [locate(finding, usable, found.regularisers) for finding in findings]
    chosen = cover(findings, names)
    covered = {name for finding in chosen for name in finding.parameters}
    left = tuple(name for name in names if name not in covered)
    if left and len(chosen) < MAX_DIAGNOSES:
        chosen = (*chosen, unexplained(evidence, left))
    if not left and all(finding.confidence == "exact" for finding in chosen):
        untried = ""
    return Explained(tuple(one.to_diagnosis(evidence.names) for one in chosen), untried)


def cover(findings: Iterable[Finding], names: tuple[str, ...]) -> tuple[Finding, ...]:
    """Choose findings, the best first, until they explain all ``names`` or three are chosen.

    Exact explanations come before likely ones, then those of more parameters at once, with fewer
    altered sites, and of more meaning.
    """
    candidates = list(findings)
    chosen: list[Finding] = []
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
    differences cannot. Where a few entries disagree (a kink, at which each takes another
    subgradient), these are left out; a trace that contradicts the reference widely is dropped.
    """
    if evidence.trace is None:
        return evidence
    traced = dict(evidence.trace.backward())
    reference, uncertainty = dict(evidence.reference), dict(evidence.uncertainty)
    known = [name for name in evidence.names if name in traced]
    for name in known:
        facts = evidence.facts[name]
        gradient = np.asarray(traced.pop(name), dtype=np.float64, order="C")
        entries, apart = gradient.reshape(-1), 0
        for at in parts(entries.size):
            off = np.abs(entries[at] - flat(facts.reference, at)) > (
                _AGREE * flat(facts.tolerance, at)
            )
            off &= flat(facts.known, at)
            if off.any():
                if not apart:  # the trace's own stays as it is
                    gradient = gradient.copy()
                    entries = gradient.reshape(-1)
                apart += int(np.count_nonzero(off))
                entries[at][off] = np.nan
        if apart > _FEW * facts.known.sum():
            return replace(evidence, trace=None)
        largest = largest_of(gradient, np.isfinite(gradient))
        reference[name] = gradient
        # One number for all entries takes no memory.
        rounding = np.float64(_rounding(evidence, name) * largest)
        uncertainty[name] = np.broadcast_to(rounding, facts.value.shape)
    of_trace = () if traced else tuple(known)
    return replace(evidence, reference=reference, uncertainty=uncertainty, of_trace=of_trace)


def _rounding(evidence: Evidence, name: str) -> float:
    """Return how far rounding may take the analytic gradient, relative to its largest entry."""
    dtype = evidence.analytic_dtype.get(name, "float64")
    if dtype in ("float16", "float32"):
        return 64.0 * float(np.finfo(dtype).eps)
    return ROUNDING_FLOOR


def _order(finding: Finding, remaining: set[str]) -> tuple[int, int, int, int]:
    return (
        CONFIDENCES.index(finding.confidence),
        -len(remaining & set(finding.parameters)),
        finding.n_sites,
        -finding.specificity,
    )
