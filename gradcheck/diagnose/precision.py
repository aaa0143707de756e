"""Numbers lost on the way: integers, and single or half precision."""

from __future__ import annotations

import numpy as np

from gradcheck.diagnose.evidence import Evidence, Facts
from gradcheck.diagnose.finding import Finding, spoken
from gradcheck.diagnose.matching import quality

_COARSE = {"float16": (np.float16, 5e-2), "float32": (np.float32, 1e-3)}
_NOISE = (1e-9, 3e-6)
_SAMPLE = 20


def integer_truncation(evidence: Evidence) -> tuple[Finding, ...]:
    """Find gradients that are the right ones with their fractional part cut off or rounded."""
    found = []
    for facts in evidence.failing_facts:
        claimed = facts.analytic[facts.known]
        integral = bool((claimed == np.trunc(claimed)).all())
        by_type = evidence.analytic_dtype.get(facts.name, "").startswith(("int", "uint"))
        if not integral or not (by_type or claimed.any()):
            continue
        for cut, words in (
            (np.trunc, "cut off"),
            (np.round, "rounded"),
            (np.floor, "rounded down"),
        ):
            grade = quality(facts, cut(facts.reference))
            if grade in ("exact", "likely"):
                found.append((facts.name, words, grade))
                break
    return tuple(
        Finding(
            cause="integer_truncation",
            parameters=(name,),
            message=f"The gradient of {name} is the right one {words} to whole numbers: it was "
            "stored in an array of integers.",
            remedy=f"Allocate the gradient of {name} with a float dtype (np.zeros_like of an "
            "integer array is an integer array).",
            confidence=grade,
            specificity=58,
            evidence={"words": words},
        )
        for name, words, grade in found
    )


def low_precision(evidence: Evidence) -> tuple[Finding, ...]:
    """Find gradients that carry the rounding errors of a narrower float type than they should."""
    stored: dict[str, list[str]] = {}
    noisy: list[str] = []
    for facts in evidence.failing_facts:
        narrow = _stored_in(facts)
        if narrow is not None:
            stored.setdefault(narrow, []).append(facts.name)
        elif _looks_like_rounding(facts):
            noisy.append(facts.name)
    findings = [_finding(names, dtype, "likely") for dtype, names in stored.items()]
    if noisy:
        findings.append(_finding(noisy, "float32", "possible"))
    return tuple(findings)


def _stored_in(facts: Facts) -> str | None:
    claimed = facts.analytic[facts.known]
    error = np.abs(facts.residual[facts.known]).max()
    scale = np.abs(facts.reference[facts.known]).max()
    for dtype, (narrow, limit) in _COARSE.items():
        with np.errstate(over="ignore"):
            same = (claimed == claimed.astype(narrow).astype(np.float64)).all()
        # Small integers fit every type: they say nothing about it.
        telling = (claimed != np.trunc(claimed)).any()
        if same and telling and error <= limit * scale:
            return dtype
    return None


def _looks_like_rounding(facts: Facts) -> bool:
    known = facts.known & (facts.reference != 0.0)
    right = facts.reference[known]
    if right.size < _SAMPLE:
        return False
    relative = facts.error / float(np.linalg.norm(right))
    upward = float(np.mean(facts.residual[known] * np.sign(right) > 0))
    return _NOISE[0] <= relative <= _NOISE[1] and 0.25 <= upward <= 0.75


def _finding(names: list[str], dtype: str, confidence: str) -> Finding:
    listed = spoken(names)
    how = (
        f"every entry is a {dtype} number"
        if confidence == "likely"
        else f"the error has the size and the random signs of {dtype} rounding"
    )
    return Finding(
        cause="low_precision_accumulation",
        parameters=tuple(names),
        message=f"The gradient of {listed} was computed or summed in {dtype}: {how}, and the "
        "errors are larger than the parameter's own type would cause.",
        remedy=f"Compute and accumulate the gradient of {listed} in the dtype of the parameter.",
        confidence=confidence,
        specificity=35 if confidence == "likely" else 5,
        evidence={"dtype": dtype},
    )
