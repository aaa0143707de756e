"""The right numbers in the wrong places."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from gradcheck.blocks import MANY, flat, parts
from gradcheck.diagnose.evidence import Array, Evidence, Facts
from gradcheck.diagnose.finding import Finding, spoken
from gradcheck.diagnose.matching import quality

_SAME_SUMS = 1e-6
"""How closely sums over the same numbers in another order agree, at least."""


def transposed(evidence: Evidence) -> tuple[Finding, ...]:
    """Find gradients that are the right ones with their axes exchanged or misread."""
    findings = []
    for facts in evidence.failing_facts:
        for candidate, tolerance, words in _axis_orders(facts):
            grade = quality(facts, candidate, tolerance)
            if grade in ("exact", "likely"):
                message = f"The gradient of {facts.name} is the right one {words}."
                remedy = f"Transpose the gradient of {facts.name} back."
                if "then" in words:
                    remedy = f"Compute the gradient of {facts.name} with its factors in the order \
of its own shape instead of reshaping it."
                evidence_ = {"words": words}
                findings.append(
                    Finding("transpose", (facts.name,), message, remedy, grade, 50, evidence_)
                )
                break
    return tuple(findings)


def permuted(evidence: Evidence) -> tuple[Finding, ...]:
    """Find gradients whose slices are reversed, shifted or permuted along an axis."""
    findings = []
    for facts in evidence.failing_facts:
        if facts.value.size < 3 or not facts.known.all() or not _same_numbers(facts):
            continue
        for candidate, tolerance, words in _reorderings(facts):
            grade = quality(facts, candidate, tolerance)
            if grade in ("exact", "likely"):
                message = f"The gradient of {facts.name} is the right one {words}."
                remedy = (
                    f"Put the entries of the gradient of {facts.name} in the parameter's order."
                )
                evidence_ = {"words": words}
                findings.append(
                    Finding("permuted", (facts.name,), message, remedy, grade, 45, evidence_)
                )
                break
    return tuple(findings)


def swapped(evidence: Evidence) -> tuple[Finding, ...]:
    """Find parameters that got each other's gradient, or another parameter's."""
    takes: dict[str, tuple[str, str]] = {}
    for facts in evidence.failing_facts:
        for candidate in evidence.facts.values():
            match = quality(facts, candidate.reference, candidate.tolerance)
            if match in ("exact", "likely"):
                takes[facts.name] = candidate.name, match
                break
    findings = []
    for name, (other, grade) in takes.items():
        mutual = takes.get(other, ("", ""))[0] == name
        if mutual and evidence.names.index(other) < evidence.names.index(name):
            continue
        names: tuple[str, ...] = (name, other) if mutual else (name,)
        message = (
            f"The gradients of {spoken(names)} are exchanged: each is exactly the other's."
            if mutual
            else f"The gradient of {name} is exactly the gradient of {other}."
        )
        remedy = f"Return the gradient of {name} under the name (or at the place) of {name}."
        evidence_ = {"parameters": list(names), "gradient_of": other}
        findings.append(Finding("swapped_parameters", names, message, remedy, grade, 55, evidence_))
    return tuple(findings)


def wrong_axis(evidence: Evidence) -> tuple[Finding, ...]:
    """Find gradients that are the sum or mean of the right one along an axis, spread over it."""
    findings = []
    for facts in evidence.failing_facts:
        for candidate, tolerance, words in _reductions(facts):
            grade = quality(facts, candidate, tolerance)
            if grade in ("exact", "likely"):
                message = (
                    f"The gradient of {facts.name} is the {words} of the right one, the same all "
                    "along it: a sum too many, broadcast back."
                )
                remedy = f"Leave out the {words.split(' ')[0]} over that axis, or take the other."
                evidence_ = {"words": words}
                findings.append(
                    Finding("wrong_axis", (facts.name,), message, remedy, grade, 50, evidence_)
                )
                break
    return tuple(findings)


def _axis_orders(facts: Facts) -> Iterator[tuple[Array, Array, str]]:
    right, tolerance = facts.reference, facts.tolerance
    if not 2 <= right.ndim <= 4:
        return
    for order in itertools.permutations(range(right.ndim)):
        moved = right.transpose(order)
        if order == tuple(range(right.ndim)):
            continue
        axes = f"with its axes in the order {order}" if right.ndim > 2 else "transposed"
        if moved.shape == right.shape:
            yield moved, tolerance.transpose(order), axes
        else:
            reshaped = moved.reshape(right.shape)
            spread = tolerance.transpose(order).reshape(right.shape)
            yield reshaped, spread, f"{axes}, then reshaped to {right.shape}"


def _reorderings(facts: Facts) -> Iterator[tuple[Array, Array, str]]:
    right, tolerance = facts.reference, facts.tolerance
    axes = range(right.ndim)
    noun = {0: "rows", 1: "columns"} if right.ndim == 2 else {}
    for count in range(1, len(axes) + 1):
        for chosen in itertools.combinations(axes, count):
            words = " and ".join(noun.get(axis, f"axis {axis}") for axis in chosen)
            yield np.flip(right, chosen), np.flip(tolerance, chosen), f"with {words} reversed"
    for axis in axes:
        what = noun.get(axis, "entries" if right.ndim == 1 else f"slices of axis {axis}")
        order = _order_along(facts, axis)
        shift, n = int(order[0]), order.size
        cyclic = (order == (np.arange(n) + shift) % n).all()
        words = (
            f"with {what} shifted by {-shift % n if -shift % n <= n // 2 else -shift}"
            if cyclic
            else f"with {what} in another order"
        )
        yield np.take(right, order, axis), np.take(tolerance, order, axis), words
    flat = np.empty(right.size, int)
    flat[np.argsort(facts.analytic, axis=None)] = np.argsort(right, axis=None)
    shape = right.shape
    yield (
        right.ravel()[flat].reshape(shape),
        tolerance.ravel()[flat].reshape(shape),
        ("with its entries in another order"),
    )


def _same_numbers(facts: Facts) -> bool:
    """Say whether the wrong entries may hold each other's values; asked of many, where it costs.

    Sorting takes time and memory, and the sums of values, of their sizes and of their squares tell
    most others apart.
    """
    if facts.value.size <= MANY:
        return True
    one, other = (_sums(facts, gradient) for gradient in (facts.analytic, facts.reference))
    # What is lost in a sum of values of either sign is a part of the sum of their sizes.
    return bool((np.abs(one - other) <= _SAME_SUMS * other[[0, 1, 0]]).all())


def _sums(facts: Facts, gradient: Array) -> Array:
    """Return the sums of the sizes, of the squares and of a gradient's entries where it is off."""
    totals = np.zeros(3)
    for at in parts(facts.value.size):
        values = flat(gradient, at)[flat(facts.support, at)]
        totals += np.abs(values).sum(), values @ values, values.sum()
    return totals


def _order_along(facts: Facts, axis: int) -> np.ndarray:
    """Return which slice of the reference stands where, told apart by a random projection."""
    size = facts.value.shape[axis]
    probe = np.random.default_rng(0).standard_normal(facts.value.size // size)
    keys = [
        np.moveaxis(array, axis, 0).reshape(size, probe.size) @ probe
        for array in (facts.analytic, facts.reference)
    ]
    order = np.empty(size, int)
    order[np.argsort(keys[0])] = np.argsort(keys[1])
    return order


def _reductions(facts: Facts) -> Iterator[tuple[Array, Array, str]]:
    right, tolerance = facts.reference, facts.tolerance
    axes = range(right.ndim)
    for count in range(1, min(len(axes), 2) + 1):
        for chosen in itertools.combinations(axes, count):
            spread = tolerance.sum(chosen, keepdims=True)
            total = right.sum(chosen, keepdims=True)
            over = " and ".join(f"axis {axis}" for axis in chosen)
            for number, words in ((1.0, "sum"), (total.size / right.size, "mean")):
                yield (
                    np.broadcast_to(total * number, right.shape),
                    np.broadcast_to(spread * number, right.shape),
                    f"{words} over {over}",
                )
