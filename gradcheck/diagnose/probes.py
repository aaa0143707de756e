"""Mistakes in what is multiplied or summed where a parameter is used: stale values, wrong axes.

These look at the values and cotangents that a trace hands out (``DetailedTrace``), and compare the
parameter's own contribution with what it would be with another value, cotangent or axis.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from gradcheck.diagnose.evidence import Array, Evidence, Facts
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.graph import Graph, detailed
from gradcheck.diagnose.operations import PRODUCTS
from gradcheck.diagnose.probe import Probe, Use, explains, finding_at, other_factor, product
from gradcheck.diagnose.sites import in_words, location
from gradcheck.tracing.contract import Operation

_ADDITIONS = {"add": 1.0, "subtract": -1.0}


def probe_findings(
    evidence: Evidence, graph: Graph, names: frozenset[str], *, most: int | None = None
) -> tuple[list[Finding], bool]:
    """Return what explains single parameters of ``names`` by a wrong value, cotangent or axis.

    Gradients are tried that have ``most`` numbers together; also returned is whether there were
    more to try.
    """
    trace = detailed(evidence.trace)
    if trace is None:
        return [], False
    left = float("inf") if most is None else most
    probe = Probe(trace, graph, trace.cotangents(), left)
    from gradcheck.diagnose.repeated import overwritten, stale_in_loop

    looks = (wrong_sums, lost_duplicates, overwritten, stale_factors, stale_cotangents)
    findings = []
    for name in sorted(names, key=evidence.names.index):
        for look in (*looks, stale_in_loop, missing_factors, scaled_by_result):
            found = look(evidence.facts[name], evidence, probe)
            if found is not None:
                findings.append(found)
                break
    return findings, probe.left < 0


def wrong_sums(facts: Facts, _: Evidence, probe: Probe) -> Finding | None:
    """Find a broadcast parameter whose gradient is summed over other axes, or not at all."""
    additions = [use for use in probe.uses(facts.name) if use.operation.name in _ADDITIONS]
    shapes = [use.cotangent.shape for use in additions if use.cotangent.shape != facts.value.shape]
    if not shapes:
        return None
    uses = [use for use in additions if use.cotangent.shape == shapes[0]]
    operation = uses[0].operation
    signs = [_ADDITIONS[u.operation.name] if u.operand == 1 else 1.0 for u in uses]
    known = sum((use.contribution for use in uses), np.zeros(facts.value.shape))
    for axes, reduce, words in _reductions(shapes[0], facts.value.shape):
        parts = [
            sign * reduce(use.cotangent, axes).reshape(facts.value.shape)
            for sign, use in zip(signs, uses, strict=True)
        ]
        change = np.sum(parts, axis=0) - known
        grade = explains(facts, change)
        if grade is not None:
            message = (
                f"The gradient of {facts.name} is exactly what you get when the gradient that "
                f"arrives at {in_words(operation)} is {words} instead of summed over the axes "
                f"along which {facts.name} was broadcast."
            )
            remedy = f"Sum over the axes along which line {operation.site.line} broadcasts \
{facts.name}."
            return finding_at("wrong_axis", facts, message, remedy, grade, operation)
    return None


def _reductions(
    shape: tuple[int, ...], wanted: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], Callable[[Array, tuple[int, ...]], Array], str]]:
    size = int(np.prod(wanted))
    for count in range(1, len(shape)):
        for axes in itertools.combinations(range(len(shape)), count):
            if int(np.prod([n for k, n in enumerate(shape) if k not in axes])) == size:
                over = " and ".join(str(axis) for axis in axes)
                yield axes, lambda c, a: c.sum(a), f"summed over axis {over}"
                yield axes, lambda c, a: c.mean(a), f"averaged over axis {over}"
                yield axes, _last_of, f"taken from the last index of axis {over} alone"
                yield axes, _first_of, f"taken from the first index of axis {over} alone"


def _last_of(array: Array, axes: tuple[int, ...]) -> Array:
    return array[tuple(-1 if k in axes else slice(None) for k in range(array.ndim))]


def _first_of(array: Array, axes: tuple[int, ...]) -> Array:
    return array[tuple(0 if k in axes else slice(None) for k in range(array.ndim))]


def lost_duplicates(facts: Facts, evidence: Evidence, probe: Probe) -> Finding | None:
    """Find look-ups whose gradient was added by ``x[idx] += g``: once per distinct index."""
    lost: dict[str, list[tuple[Use, Array]]] = {}
    for use in probe.uses(facts.name):
        if use.operation.name not in ("getitem", "take"):
            continue
        for name, indices in evidence.integer_arrays.items():
            if not probe.may_try(facts):
                return None
            try:
                added = np.zeros(facts.value.shape)
                added[indices] += use.cotangent
            except (IndexError, ValueError):
                continue
            lost.setdefault(name, []).append((use, added - use.contribution))
    for name, uses in lost.items():
        # One look-up alone, then all of them with the same indices.
        for chosen in (*([one] for one in uses), uses):
            grade = explains(facts, np.sum([change for _, change in chosen], axis=0))
            if grade is not None:
                operation = chosen[0][0].operation
                message = (
                    f"The gradient of {facts.name} is exactly what `x[{name}] += g` gives for "
                    f"{in_words(operation)}: rows that {name} names more than once got only "
                    "one of their contributions."
                )
                remedy = f"Add with np.add.at(d{facts.name}, {name}, g)."
                also = tuple(location(use.operation.site) for use, _ in chosen[1:])
                cause = "duplicate_indices"
                return finding_at(cause, facts, message, remedy, grade, operation, also)
    return None


def stale_factors(facts: Facts, _: Evidence, probe: Probe) -> Finding | None:
    """Find a product whose gradient was computed with another value than its other factor."""
    for use in probe.single_uses(facts.name):
        factor = other_factor(use, probe)
        if factor is None:
            continue
        for operation in probe.of_shape(factor.shape):
            if not probe.may_try(facts):
                return None
            value = probe.trace.value(operation.index)
            exchanged = product(value, use)
            if exchanged is None or exchanged.shape != facts.value.shape:
                continue
            grade = explains(facts, exchanged - use.contribution)
            if grade is not None:
                message = (
                    f"The gradient of {facts.name} at {in_words(use.operation)} is exactly what "
                    f"you get with the result of {in_words(operation)} in place of the factor "
                    f"that {facts.name} is multiplied by."
                )
                remedy = f"Use the factor of line {use.operation.site.line} itself."
                places = (location(operation.site),)
                return finding_at(
                    "stale_value", facts, message, remedy, grade, use.operation, places
                )
    return None


def stale_cotangents(facts: Facts, _: Evidence, probe: Probe) -> Finding | None:
    """Find a parameter's gradient that was computed from another intermediate's gradient."""
    for use in probe.single_uses(facts.name):
        for operation in probe.of_shape(use.cotangent.shape):
            if operation.index == use.operation.index or operation.index not in probe.cotangents:
                continue
            if not probe.may_try(facts):
                return None
            other = probe.cotangents[operation.index]
            part = probe.trace.local(use.operation.index, other)[use.operand]
            grade = None if part is None else explains(facts, part - use.contribution)
            if grade is not None:
                message = (
                    f"The gradient of {facts.name} at {in_words(use.operation)} is exactly what "
                    f"you get from the gradient by the result of {in_words(operation)}, in place "
                    "of that by its own result."
                )
                remedy = f"Start from the gradient by the result of line {use.operation.site.line}."
                places = (location(operation.site),)
                return finding_at(
                    "stale_value", facts, message, remedy, grade, use.operation, places
                )
    return None


def missing_factors(facts: Facts, _: Evidence, probe: Probe) -> Finding | None:
    """Find a gradient that lacks a multiplication or a division by an intermediate result."""
    uses = probe.uses(facts.name)
    if len(uses) != 1:
        return None
    (use,) = uses
    for operation, factor, words in _factors(probe, use.cotangent.shape):
        if not probe.may_try(facts):
            return None
        part = probe.trace.local(use.operation.index, use.cotangent * factor)[use.operand]
        grade = None if part is None else explains(facts, part - use.contribution)
        if grade is None:
            continue
        reader = _reader(probe, operation)
        message = (
            f"The gradient of {facts.name} is exactly what you get when {in_words(reader)} "
            f"is passed without the factor: a step of the backward pass does not {words} by "
            f"the result of {in_words(operation)}."
        )
        return _without_factor(facts, message, words, grade, reader, operation)
    return None


def scaled_by_result(facts: Facts, _: Evidence, probe: Probe) -> Finding | None:
    """Find a whole gradient that lacks a product with, or a division by, an intermediate result."""
    for operation, factor, words in _factors(probe, facts.value.shape):
        if not probe.may_try(facts):
            return None
        grade = explains(facts, facts.reference * (factor - 1.0))
        if grade is None:
            continue
        reader = _reader(probe, operation)
        message = (
            f"The gradient of {facts.name} is exactly the right one without the factor of "
            f"{in_words(reader)}: the backward pass does not {words} by the result of "
            f"{in_words(operation)}."
        )
        return _without_factor(facts, message, words, grade, reader, operation)
    return None


def _factors(probe: Probe, shape: tuple[int, ...]) -> Iterator[tuple[Operation, Array, str]]:
    """Yield the results that fit a shape, and their inverses: without them, what was not done."""
    for operation in probe.outside_long_loops():
        value = probe.trace.value(operation.index)
        if value.ndim > 0 and _fits(value.shape, shape) and not (value == 0).any():
            yield operation, value, "divide"
            yield operation, 1.0 / value, "multiply"


def _reader(probe: Probe, operation: Operation) -> Operation:
    """Return the product that reads an operation's result; itself where none does."""
    users = probe.graph.consumers.get(operation.index, ())
    readers = [probe.graph.by_index[user] for user, _ in users]
    return next((one for one in readers if one.name in PRODUCTS), operation)


def _without_factor(
    facts: Facts, message: str, words: str, grade: str, reader: Operation, operation: Operation
) -> Finding:
    remedy = f"{words.capitalize()} by the result of line {operation.site.line} as well."
    places = (location(operation.site),)
    return finding_at("factor_missing", facts, message, remedy, grade, reader, places)


def _fits(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(small, large) == large
    except ValueError:
        return False
