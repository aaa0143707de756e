"""Only some entries are wrong: which, and what they have in common."""

from __future__ import annotations

import math

import numpy as np

from gradcheck.diagnose.evidence import Evidence, Facts, largest_of
from gradcheck.diagnose.finding import Finding, spoken
from gradcheck.diagnose.where import Place, place
from gradcheck.sentences import accepting

ISOLATED = 0.2
"""At most this part of a parameter's entries may be wrong to be called isolated."""


MINORITY = 0.5
"""At most this part of the entries may be wrong in whole rows, columns or a block."""

SLIGHT = 1e-4
"""Part of the norm by which an iteration that stops at a tolerance may leave an entry off."""


def duplicate_indices(evidence: Evidence) -> tuple[Finding, ...]:
    """Find rows that are wrong exactly where an index array names them more than once.

    ``x[idx] += g`` adds once per distinct index. The rows named once must be right, or, where
    there are none, the rows never named must have no gradient: otherwise nothing tells a label
    array from an index array.
    """
    findings = []
    for facts in evidence.failing_facts:
        for name, indices in evidence.integer_arrays.items():
            axis = _axis_of_duplicates(facts, np.asarray(indices))
            if axis is None:
                continue
            counts = np.bincount(_wrapped(indices, facts.value.shape[axis]))
            repeated = int((counts > 1).sum())
            line = ("rows", "columns")[axis] if facts.value.ndim == 2 else f"slices of axis {axis}"
            message = (
                f"The gradient of {facts.name} is wrong exactly in the {line} that {name} names "
                f"more than once ({repeated} of {facts.value.shape[axis]}): "
            )
            # Where none is named once, any mistake is in the rows named more than once.
            shown = bool((counts == 1).any())
            told = "of their contributions only one was added."
            message += told if shown else f"perhaps {told}"
            remedy = f"Add with np.add.at(d{facts.name}, {name}, ...): `+=` on an indexed array \
adds each index once."
            evidence_ = {"indices": name, "repeated": repeated, "axis": axis}
            findings.append(
                Finding(
                    "duplicate_indices",
                    (facts.name,),
                    message,
                    remedy,
                    "likely" if shown else "possible",
                    58,
                    evidence_,
                )
            )
            break
    return tuple(findings)


def isolated_entries(evidence: Evidence) -> tuple[Finding, ...]:
    """Find parameters that are right but for a few entries, rows, columns or a block."""
    findings = []
    for facts in evidence.failing_facts:
        where = place(facts.support, consider=_shows(facts))
        few = facts.support.sum() <= ISOLATED * facts.known.sum()
        if where.kind == "all" or facts.value.size < 4:
            continue
        if where.kind == "scattered" and not few:
            continue
        if facts.support.sum() > MINORITY * facts.known.sum():
            continue  # what is wrong nearly everywhere is not isolated
        worst = tuple(
            int(i) for i in np.unravel_index(np.abs(facts.residual).argmax(), facts.value.shape)
        )
        message = (
            f"The gradient of {facts.name} is wrong in {where.words} alone "
            f"({int(facts.support.sum())} of {int(facts.known.sum())} checked entries); all others "
            "are right."
        )
        remedy = f"Look at what the backward pass does to {facts.name} in {where.words}."
        evidence_ = {"where": where.words, "kind": where.kind, "worst_index": list(worst)}
        findings.append(
            Finding("isolated_entries", (facts.name,), message, remedy, "likely", 10, evidence_)
        )
    return tuple(findings)


def unexplained(evidence: Evidence, names: tuple[str, ...]) -> Finding:
    """Return the answer where nothing explains the error: where it lies and how large it is."""
    lines, details = [], {}
    for name in names:
        facts = evidence.facts[name]
        where: Place = place(facts.support, consider=_shows(facts))
        relative = facts.error / max(
            float(np.linalg.norm(facts.analytic[facts.known])),
            float(np.linalg.norm(facts.reference[facts.known])),
        )
        lines.append(f"{name} is off in {where.words} by {relative:.2g} of its norm")
        details[name] = {"where": where.words, "relative_error": relative}
    message = f"No single mistake explains the gradient of {spoken(names)}: {'; '.join(lines)}."
    remedy = "Check the parameters closest to the loss first: errors travel backwards."
    slight = max(_share_of_largest(evidence.facts[name]) for name in names)
    if slight < SLIGHT:
        message += (
            " An iteration inside that stops at a tolerance (a solver, a fixed point, an adaptive "
            "quadrature) makes errors of that size, in the loss and in the gradient."
        )
        remedy = (
            "If something inside iterates, tighten its tolerance: an error that falls with it is "
            f"its own{_accepting(evidence, names)}. "
        ) + f"If nothing does: {remedy[0].lower()}{remedy[1:]}"
    return Finding("unexplained", names, message, remedy, "possible", 0, {"parameters": details})


def _share_of_largest(facts: Facts) -> float:
    """Largest error of an entry, relative to the norm of the gradient."""
    size = float(np.linalg.norm(facts.reference[facts.known]))
    return largest_of(facts.residual, facts.known) / size if size > 0 else math.inf


def _accepting(evidence: Evidence, names: tuple[str, ...]) -> str:
    """Name the power of ten above the relative error of every entry, if it is a small one."""
    return accepting(max(_largest_relative(evidence.facts[name]) for name in names))


def _largest_relative(facts: Facts) -> float:
    """Largest error of an entry that shows, relative to the larger of its two values."""
    size = np.fmax(np.abs(facts.analytic), np.abs(facts.reference))
    off = np.divide(np.abs(facts.residual), size, where=_shows(facts), out=np.zeros_like(size))
    return float(off.max())


def _shows(facts: Facts) -> np.ndarray:
    """Mark the entries where a wrong value would show: those that are not zero in both."""
    return facts.known & (
        (np.abs(facts.reference) > facts.tolerance) | (np.abs(facts.analytic) > facts.tolerance)
    )


def _axis_of_duplicates(facts: Facts, indices: np.ndarray) -> int | None:
    for axis in range(min(facts.value.ndim, 2)):
        size = facts.value.shape[axis]
        if not indices.size or indices.min() < -size or indices.max() >= size:
            continue
        counts = np.bincount(_wrapped(indices, size), minlength=size)
        others = tuple(k for k in range(facts.value.ndim) if k != axis)
        wrong = np.asarray(facts.support.any(axis=others))
        right_zero = ~np.asarray(_shows(facts).any(axis=others))
        once, never = counts == 1, counts == 0
        telling = once.any() or (never.any() and right_zero[never].all())
        if telling and wrong.any() and (wrong == ((counts > 1) & ~right_zero)).all():
            return axis
    return None


def _wrapped(indices: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(indices).ravel() % size
