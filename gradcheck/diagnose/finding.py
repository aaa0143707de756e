"""An explanation found by a pattern or by a counterfactual, before they are ranked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from gradcheck.report import Diagnosis, JsonValue, Location

CONFIDENCES = ("exact", "likely", "possible")


@dataclass(frozen=True)
class Finding:
    """One explanation of the error in some parameters.

    ``specificity`` orders findings that explain the same parameters equally well: the larger, the
    more it says. ``n_sites`` counts the altered places: one before two.
    """

    cause: str
    parameters: tuple[str, ...]
    message: str
    remedy: str
    confidence: str
    specificity: int
    evidence: Mapping[str, JsonValue] = field(default_factory=dict)
    location: Location | None = None
    also: tuple[Location, ...] = ()
    n_sites: int = 1

    def to_diagnosis(self, names: tuple[str, ...]) -> Diagnosis:
        """Return the diagnosis; ``parameter`` is empty when all of several ``names`` are meant."""
        whole = len(names) > 1 and set(self.parameters) == set(names)
        return Diagnosis(
            cause=self.cause,
            parameter="" if whole else ", ".join(self.parameters),
            message=self.message,
            confidence=self.confidence,
            location=self.location,
            evidence=dict(self.evidence),
            remedy=self.remedy,
            also=self.also,
        )


def merge(findings: Iterable[Finding], message: str, remedy: str) -> Finding:
    """Return one finding for the parameters of all ``findings``, as sure as the least sure."""
    first, *rest = all_findings = list(findings)
    if not rest:
        return replace(first, message=message, remedy=remedy)
    return replace(
        first,
        parameters=tuple(name for finding in all_findings for name in finding.parameters),
        confidence=max((f.confidence for f in all_findings), key=CONFIDENCES.index),
        message=message,
        remedy=remedy,
    )


def spoken(names: Iterable[str]) -> str:
    """Return the names as words: ``"W1"``, ``"W1 and b1"``, ``"W1, b1 and W2"``."""
    listed = list(names)
    if len(listed) < 2:
        return "".join(listed)
    return f"{', '.join(listed[:-1])} and {listed[-1]}"
