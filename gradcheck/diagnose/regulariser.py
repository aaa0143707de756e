"""The error is proportional to the parameter itself: the regulariser is at fault."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gradcheck.blocks import flat, parts
from gradcheck.diagnose.evidence import Array, Evidence, Facts, Mask
from gradcheck.diagnose.factors import name_coefficient
from gradcheck.diagnose.finding import Finding, merge, spoken
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.matching import SLACK, fit, quality_in_parts
from gradcheck.diagnose.operations import (
    CURVED,
    EXTREMES,
    MATRIX_PRODUCTS,
    PRODUCTS,
    STATISTICS,
)
from gradcheck.diagnose.space import Space
from gradcheck.diagnose.where import Place, place


def regulariser(evidence: Evidence) -> tuple[Finding, ...]:
    """Find parameters whose residual is ``c`` times the parameter, whole or in some slices.

    One point cannot tell a missing ``reg/2 * sum W**2`` from half of ``reg * sum W**2``: where the
    sign and the kind of parameter do not decide, the confidence is ``"likely"`` and the trace, if
    there is one, decides.
    """
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for facts in evidence.failing_facts:
        match = None if is_all_of_the_loss(facts) else _coefficient(facts, evidence)
        if match is None:
            continue
        coefficient, words, where, grade = match
        cause, sure = _cause(coefficient, words, facts, where)
        finding = Finding(
            cause=cause,
            parameters=(facts.name,),
            message="",
            remedy="",
            confidence=grade if sure else "likely",
            specificity=60,
            evidence={"coefficient": coefficient, "words": words, "where": where.words},
        )
        groups.setdefault((cause, words, where.words), []).append(finding)
    return tuple(_worded(key, findings) for key, findings in groups.items())


def is_all_of_the_loss(facts: Facts) -> bool:
    """Say whether the true gradient is nothing but a multiple of the parameter.

    Then the square of the parameter is the loss itself: a regulariser stands beside something.
    """
    theta, truth = facts.value.ravel(), facts.reference.ravel()
    square = float(theta @ theta)
    if theta.size < 2 or square == 0.0 or not facts.known.all() or not truth.any():
        return False
    strength = float(truth @ theta) / square
    return all(
        bool((np.abs(truth[at] - strength * theta[at]) <= flat(facts.tolerance, at)).all())
        for at in parts(theta.size)
    )


def _coefficient(facts: Facts, evidence: Evidence) -> tuple[float, str, Place, str] | None:
    where = place(facts.support, consider=_would_show(facts))
    # Few entries of a vector prove nothing, but for the coefficient being one of the loss's own.
    few = where.kind == "few" and is_bias(facts)
    if not few and where.kind not in ("all", "slices", "block"):
        return None
    theta = np.where(where.region, facts.value, 0.0)
    found = fit(facts, facts.residual, theta) if theta.any() else None
    if found is None:
        return None
    (value,) = found.coefficients
    named = name_coefficient(value, evidence)
    tries = [] if named is None or (few and value < 0) else [named]
    if found.overdetermined and not few:
        tries.append((value, f"{value:.8g}"))
    for coefficient, words in tries:
        grade = _quality_beside(facts, coefficient, theta)
        if grade == "exact" or (grade == "likely" and not few):
            return coefficient, words, where, grade if found.overdetermined else "likely"
    return None


def _quality_beside(facts: Facts, coefficient: float, theta: Array) -> str | None:
    """Say how well so many times ``theta``, added to the right gradient, reproduce the analytic."""

    def candidate(at: slice) -> Array:
        return np.asarray(flat(facts.reference, at) + coefficient * flat(theta, at))

    return quality_in_parts(facts, candidate)


def _would_show(facts: Facts) -> Mask:
    """Return where an error shows that is the same multiple of the parameter everywhere."""
    marks, slack = facts.known.copy(), SLACK * np.linalg.norm(facts.value)
    entries = marks.reshape(-1)
    for at in parts(entries.size):
        least = slack * flat(facts.tolerance, at)
        entries[at] &= facts.error * np.abs(flat(facts.value, at)) > least
    return marks


def _cause(coefficient: float, words: str, facts: Facts, where: Place) -> tuple[str, bool]:
    if coefficient < 0:
        # -2 reg is the whole of reg * sum W**2; -reg may be that of reg/2 * sum W**2, or half.
        return "reg_missing", words.startswith("-2 ")
    if where.kind != "all" or is_bias(facts):
        return "reg_extra", True
    return "reg_scale", False


def is_bias(facts: Facts) -> bool:
    """Say whether the parameter looks like a bias: a vector, or a single row or column."""
    return max(facts.value.shape, default=1) == facts.value.size


def _worded(key: tuple[str, str, str], findings: list[Finding]) -> Finding:
    cause, words, where = key
    names = tuple(f.parameters[0] for f in findings)
    listed, plain = spoken(names), words.lstrip("-")
    inside = "" if where == "all entries" else f" in {where}"
    which = "the parameter" if len(names) == 1 else "each"
    if cause == "reg_missing":
        message = (
            f"The gradient of {listed} is too small by exactly {plain} times {which}{inside}: the "
            "regulariser of the loss is missing from it."
        )
        remedy = f"Add {plain} times {which} to the gradient of {listed}{inside}."
    elif cause == "reg_extra":
        message = (
            f"The gradient of {listed} contains {plain} times {which}{inside}, which the loss "
            "does not: it is regularised in the gradient only."
        )
        remedy = f"Leave the regulariser out of the gradient of {listed}{inside}."
    else:
        message = (
            f"The gradient of {listed} is too large by exactly {plain} times {which}{inside}: the "
            "regulariser in it is larger than that of the loss."
        )
        remedy = f"Take {plain} times {which} less in the gradient of {listed}{inside}."
    return merge(findings, message, remedy)


def is_regulariser(change: Array, names: Iterable[str], evidence: Evidence, space: Space) -> bool:
    """Say whether a change of the gradient is a constant times each parameter, where not zero.

    A term that is all there is of the loss is no regulariser: there has to be something beside it.
    """
    for name in names:
        facts = evidence.facts[name]
        if is_all_of_the_loss(facts):
            return False
        along = space.part(change * space.scale, name)
        theta = space.pick(name, facts.value)
        here = along != 0.0
        # Any single number is a multiple of another.
        if np.count_nonzero(theta[here]) < 2:
            return False
        strength = float(along[here] @ theta[here]) / float(theta[here] @ theta[here])
        if np.abs(along - np.where(here, strength * theta, 0.0)).max() > 1e-9 * np.abs(along).max():
            return False
    return True


def adds_up(index: int, operand: int | None, graph: Graph) -> bool:
    """Say whether all that an operation's result goes through on its way to the loss is linear.

    That of a regulariser is; a length that a parameter is divided by hands on a multiple of the
    parameter as well, and is none. Where an operand is meant, the operation itself counts: one
    factor of ``w @ w`` is half of a regulariser.
    """
    reached = graph.reached_from(index) - {index}
    for following in reached if operand is None else reached | {index}:
        operation = graph.by_index[following]
        if operation.name in CURVED or operation.name in EXTREMES | MATRIX_PRODUCTS | STATISTICS:
            return False
        if operation.name in PRODUCTS and len(graph.paths_in(following)) > 1:
            return False
    return True
