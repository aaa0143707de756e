"""The gradient, or its data term, is a multiple of the right one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.blocks import flat
from gradcheck.diagnose.evidence import Array, Evidence, Facts
from gradcheck.diagnose.factors import Factor, name_coefficient, name_factor, unnamed
from gradcheck.diagnose.finding import Finding, merge, spoken
from gradcheck.diagnose.matching import fit, quality_in_parts

_CAUSES = {"sign": "sign", "size": "batch_not_divided", "inverse_size": "batch_divided_twice"}


def constant_factor(evidence: Evidence) -> tuple[Finding, ...]:
    """Find parameters whose whole gradient is a constant times the right one."""
    found = []
    for facts in evidence.failing_facts:
        match = _factor_of(facts, evidence)
        if match is not None:
            found.append((facts, *match))
    return _grouped(found, data_term=False)


def data_term_factor(evidence: Evidence) -> tuple[Finding, ...]:
    """Find a constant factor on the data term alone, beside a right regulariser.

    With a right regulariser of coefficient ``c`` the gradient is ``k (r - c theta) + c theta``.
    Parameters without a regulariser (biases) join with the same factor.
    """
    found = []
    mixed = False
    for facts in evidence.failing_facts:
        match = _factor_of(facts, evidence)
        if match is None or match[0].kind == "unnamed":
            match = _mixed_factor_of(facts, evidence)
            mixed = mixed or match is not None
        if match is not None:
            found.append((facts, *match))
    return _grouped(found, data_term=True) if mixed else ()


def describe(factor: Factor, names: tuple[str, ...], *, data_term: bool) -> tuple[str, str, str]:
    """Return cause, message and remedy for a factor on the gradients of ``names``."""
    cause = _CAUSES.get(factor.kind, "scale")
    what = (
        f"the data term of the gradient of {spoken(names)}"
        if data_term
        else (f"the gradient of {spoken(names)}")
    )
    kept = ", beside a right regulariser" if data_term else ""
    if cause == "sign":
        message = f"{_capital(what)} has the wrong sign{kept}: it is -1 times the right one."
        remedy = f"Negate {what} in the backward pass."
    elif cause == "batch_not_divided":
        message = (
            f"{_capital(what)} is {factor.size} times the right one{kept} ({factor.words}): the "
            "loss divides by this number, the gradient does not."
        )
        remedy = f"Divide {what} by {factor.size}."
    elif cause == "batch_divided_twice":
        message = (
            f"{_capital(what)} is 1/{factor.size} of the right one{kept} ({factor.words}): it is "
            "divided by this number once too often."
        )
        remedy = f"Leave out one division by {factor.size} from {what}."
    else:
        message = f"{_capital(what)} is {factor.words} times the right one{kept}."
        remedy = f"Divide {what} by {factor.words.split(',')[0]}."
    return cause, message, remedy


def _factor_of(facts: Facts, evidence: Evidence) -> tuple[Factor, str] | None:
    found = fit(facts, facts.analytic, facts.reference)
    if found is None:
        return None
    (value,) = found.coefficients
    if abs(value) < 1e-9:
        return None
    for factor in _candidates(value, evidence, free=found.overdetermined):
        grade = _quality_of_multiple(facts, factor.value)
        if grade in ("exact", "likely"):
            return factor, grade if found.overdetermined else "likely"
    return None


def _mixed_factor_of(facts: Facts, evidence: Evidence) -> tuple[Factor, str] | None:
    if not facts.value.any():
        return None
    found = fit(facts, facts.analytic, facts.reference, facts.value)
    if found is None or not found.overdetermined:
        return None
    value, rest = found.coefficients
    if abs(value) < 1e-9 or abs(value - 1.0) < 1e-6:
        return None
    coefficient = rest / (1.0 - value)
    named = name_coefficient(coefficient, evidence)
    if named is None and evidence.scalars:
        return None
    exact = coefficient if named is None else named[0]
    for factor in _candidates(value, evidence, free=False):
        grade = _quality_of_multiple(facts, factor.value, exact)
        if grade in ("exact", "likely"):
            return factor, grade
    return None


def _quality_of_multiple(facts: Facts, k: float, penalty: float | None = None) -> str | None:
    """Say how well ``k`` times the right gradient reproduces the analytic one.

    With a ``penalty``, that times the parameter is right in it, and ``k`` is on the rest alone.
    """

    def candidate(at: slice) -> Array:
        multiple = k * flat(facts.reference, at)
        if penalty is not None:
            multiple = multiple + (1.0 - k) * penalty * flat(facts.value, at)
        return np.asarray(multiple)

    def tolerance(at: slice) -> Array:
        return np.asarray(abs(k) * flat(facts.tolerance, at))

    return quality_in_parts(facts, candidate, tolerance)


def _candidates(value: float, evidence: Evidence, *, free: bool) -> Iterator[Factor]:
    yield from name_factor(value, evidence)
    if free and abs(value - 1.0) > 1e-9:
        yield unnamed(value)


def _grouped(found: list[tuple[Facts, Factor, str]], *, data_term: bool) -> tuple[Finding, ...]:
    groups: list[list[tuple[Facts, Factor, str]]] = []
    for item in found:
        for group in groups:
            if _same(group[0][1], item[1]):
                group.append(item)
                break
        else:
            groups.append([item])
    return tuple(_finding(group, data_term=data_term) for group in groups)


def _same(one: Factor, other: Factor) -> bool:
    return abs(one.value - other.value) <= 1e-6 * abs(one.value)


def _finding(group: list[tuple[Facts, Factor, str]], *, data_term: bool) -> Finding:
    names = tuple(facts.name for facts, _, _ in group)
    factor = group[0][1]
    cause, message, remedy = describe(factor, names, data_term=data_term)
    evidence = {"factor": factor.value, "words": factor.words, "data_term_only": data_term}
    specificity = {"unnamed": 20, "plain": 40}.get(factor.kind, 50)
    parts = [
        Finding(cause, (facts.name,), "", "", grade, specificity, evidence)
        for facts, _, grade in group
    ]
    return merge(parts, message, remedy)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
