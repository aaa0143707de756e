"""Nothing comes back, or the loss does not depend on what is differentiated."""

from __future__ import annotations

import numpy as np

from gradcheck.blocks import flat, parts
from gradcheck.diagnose.evidence import Array, Evidence, Facts, Mask, largest_of
from gradcheck.diagnose.factors import name_coefficient
from gradcheck.diagnose.finding import Finding, merge, spoken
from gradcheck.diagnose.matching import fit
from gradcheck.diagnose.response import response
from gradcheck.diagnose.where import place


def zero_gradient(evidence: Evidence) -> tuple[Finding, ...]:
    """Find parameters whose analytic gradient is zero in every entry."""
    names = [
        facts.name
        for facts in evidence.failing_facts
        if not np.any(facts.analytic, where=facts.known)
        and not evidence.analytic_dtype.get(facts.name, "").startswith(("int", "uint"))
    ]
    if not names:
        return ()
    listed = spoken(names)
    return (
        Finding(
            cause="zero_gradient",
            parameters=tuple(names),
            message=f"The gradient of {listed} is zero in every entry, but the loss depends on it.",
            remedy=f"Compute the gradient of {listed} and store it where it is returned from.",
            confidence="exact",
            specificity=55,
            evidence={"parameters": names},
        ),
    )


def loss_ignores_parameter(evidence: Evidence) -> tuple[Finding, ...]:
    """Find parameters in which the loss is flat, or only as curved as their regulariser."""
    groups: dict[tuple[str, bool], list[Finding]] = {}
    for facts in evidence.failing_facts:
        match = _what_remains(facts, evidence)
        if match is None:
            continue
        remains, penalty, region = match
        how = response(evidence, facts, penalty, region)
        if how == "smooth":
            # It is the point at which the data's gradient vanishes: an optimum, say.
            continue
        groups.setdefault((remains, how == "steps"), []).append(
            Finding("loss_ignores_parameter", (facts.name,), "", "", "exact", 65)
        )
    return tuple(_worded(*key, findings) for key, findings in groups.items())


def _what_remains(facts: Facts, evidence: Evidence) -> tuple[str, float, Mask] | None:
    """Say what the true gradient is, where the data have no part in it.

    Returns:
        It in words, what it is as a multiple of the parameter, and where it is that.
    """
    reference, scale = facts.reference, largest_of(facts.analytic, facts.known)
    # Entries close to a step stay uncertain; moves of all together tell more (see ``response``).
    sure = facts.known if evidence.moved is None else facts.failing
    if largest_of(facts.tolerance, sure) > 1e-3 * scale:
        return None
    if _within(facts, reference, 1.0):
        return "zero", 0.0, facts.known
    if facts.value.size < 4 or not evidence.scalars:
        return None
    known = facts.known
    where = place(known & (np.abs(reference) > facts.tolerance), known & (facts.value != 0.0))
    theta = np.where(where.region, facts.value, 0.0)
    if where.kind not in ("all", "slices", "block") or not theta.any():
        return None
    found = fit(facts, reference, theta)
    if found is None:
        return None
    (multiple,) = found.coefficients
    named = name_coefficient(multiple, evidence)
    if named is None:
        return None
    if not _within(facts, reference - named[0] * theta, 4.0) or _is_multiple(facts, theta):
        return None
    inside = "" if where.kind == "all" else f" (in {where.words})"
    return f"{named[1]} times the parameter{inside}", named[0], where.region


def _within(facts: Facts, values: Array, tolerances: float) -> bool:
    """Say whether all known entries are zero to so many tolerances."""
    return all(
        bool(
            (np.abs(flat(values, at)) <= tolerances * flat(facts.tolerance, at))[
                flat(facts.known, at)
            ].all()
        )
        for at in parts(values.size)
    )


def _is_multiple(facts: Facts, theta: np.ndarray) -> bool:
    """Say whether the analytic gradient is a regulariser too: then the data have no part at all."""
    found = fit(facts, facts.analytic, theta)
    if found is None:
        return False
    (factor,) = found.coefficients
    left = facts.analytic - factor * theta
    return float(np.linalg.norm(left[facts.known])) <= 1e-6 * facts.error


def _worded(remains: str, in_steps: bool, findings: list[Finding]) -> Finding:
    listed = spoken([finding.parameters[0] for finding in findings])
    if in_steps:
        return _in_steps(remains, listed, findings)
    if remains == "zero":
        truth = f"the loss does not change with {listed} at all"
    else:
        truth = f"the true gradient is exactly {remains}: the regulariser, and nothing of the data"
    message = (
        f"The loss ignores {listed}: {truth}, while the analytic gradient is not zero. "
        "The forward pass reads other weights than those it is given."
    )
    remedy = f"Let the forward pass of the loss read {listed} from its arguments."
    return merge(findings, message, remedy)


def _in_steps(remains: str, listed: str, findings: list[Finding]) -> Finding:
    beside = "" if remains == "zero" else ", but for the regulariser"
    message = (
        f"The forward pass is flat in {listed}, and the backward pass is not{beside}: the loss "
        "changes in steps alone, as behind sign, round, a threshold or an index, so that the true "
        "gradient is zero; that of a straight-through estimator is not the loss's."
    )
    remedy = (
        f"Where the estimator is meant, leave {listed} out of the check (wrt), or check what comes "
        "after the steps; else put a smooth function in their place."
    )
    return merge(findings, message, remedy)
