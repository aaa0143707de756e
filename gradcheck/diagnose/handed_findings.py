"""What is said of a wrong rule for what an expression hands on; of several, the likeliest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradcheck.diagnose.evidence import Evidence
from gradcheck.diagnose.finding import Finding, spoken
from gradcheck.diagnose.flow import Handing
from gradcheck.diagnose.sites import in_words, location
from gradcheck.diagnose.wrong import Wrong

_PREFERRED = (
    *("activation_mask_missing", "wrong_axis", "transpose", "batch_divided_twice"),
    *("activation_derivative_wrong", "term_missing", "factor_missing", "extra_factor", "sign"),
)
"""Causes of rules that come to the same, the likelier first; another's value comes last."""


def best_of(found: list[Finding]) -> Finding | None:
    """Return the likeliest of findings that come to the same, with the lines of the others."""

    def order(finding: Finding) -> tuple[bool, int, int]:
        cause = finding.cause
        place = _PREFERRED.index(cause) if cause in _PREFERRED else len(_PREFERRED)
        return bool(finding.evidence["parameters_alone"]), -len(finding.parameters), place

    if not found:
        return None
    best = min(found, key=order)
    places = {(p.file, p.line): p for p in (best.location, *best.also) if p is not None}
    own = next(iter(places))
    for other in found:
        if other.parameters == best.parameters and other.location is not None:
            places.setdefault((other.location.file, other.location.line), other.location)
    return replace(best, also=tuple(p for key, p in places.items() if key != own))


def _concerned(here: Handing, wrong: Wrong) -> Handing:
    """Return the handing of those runs that hand on something wrong."""
    with np.errstate(all="ignore"):
        off = np.abs(wrong.rule(here.cotangent, slice(None)) - here.right)
    size = float(np.abs(here.right).max(initial=0.0))
    wrongly = np.asarray((off > 1e-12 * size).any(axis=tuple(range(1, off.ndim))))
    if wrong.drops_others or wrongly.all() or not wrongly.any():
        return here
    runs = tuple(index for index, mark in zip(here.runs, wrongly, strict=True) if mark)
    chains = tuple(c for c, mark in zip(here.chains, wrongly, strict=False) if mark)
    operation = here.flow.graph.by_index[runs[0]]
    return replace(here, runs=runs, chains=chains, operation=operation)


def _where(here: Handing) -> str:
    """Return in words the operation, or the chain of operations that make up one activation."""
    names = here.names
    if len(names) == 1:
        return in_words(here.operation)
    end = in_words(here.operation).split(" in line ", 1)[1]
    return f"the chain of {spoken([f'`{name}`' for name in names])} that ends in line {end}"


def finding_of(
    here: Handing,
    wrong: Wrong,
    explained: frozenset[str],
    evidence: Evidence,
    *,
    alone: bool,
) -> Finding:
    """Return what is said of a wrong rule; ``alone`` on the way to some of the parameters."""
    names = tuple(name for name in evidence.names if name in explained)
    graph = here.flow.graph
    here = _concerned(here, wrong)
    called = here.flow.called_at(here)
    own = location((here.operation if called is None else graph.by_index[called]).site)
    places = {(own.file, own.line): own}
    others = [here.operation.index, *(reversed(here.chains[0][:-1]) if here.chains else ())]
    others += [user for index in here.runs[:1] for user, _ in graph.consumers.get(index, ())]
    if wrong.other is not None:
        others.append(wrong.other)
    for index in others:
        place = location(graph.by_index[index].site)
        places.setdefault((place.file, place.line), place)
    on_the_way = f", on the way to {spoken(names)} alone" if alone else ""
    many = f" (in each of its {len(here.runs)} runs)" if len(here.runs) > 1 else ""
    return Finding(
        cause=wrong.cause,
        parameters=names,
        message=f"The gradient of {spoken(names)} is exactly what you get when, in the backward "
        f"pass of {_where(here)}{many}, the gradient {wrong.words}{on_the_way}.",
        remedy=wrong.remedy,
        confidence="exact",
        specificity=54 if alone else 64,
        evidence={
            "operation": here.operation.name,
            "index": here.operation.index,
            "parameters_alone": alone,
        },
        location=own,
        also=tuple(places.values())[1:],
    )
