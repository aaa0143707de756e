"""Mistakes in what is multiplied or summed where a parameter is used: stale values, wrong axes.

These look at the values and cotangents that a trace hands out (``DetailedTrace``), and compare the
parameter's own contribution with what it would be with another value, cotangent or axis.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from gradcheck.diagnose.evidence import Array, Evidence, Facts
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.graph import Graph, detailed
from gradcheck.diagnose.limits import numbers
from gradcheck.diagnose.matching import quality
from gradcheck.diagnose.operations import PRODUCTS
from gradcheck.diagnose.sites import in_words, location
from gradcheck.report import Location
from gradcheck.tracing.contract import DetailedTrace, Operation

MOST_KEPT = 16_000_000
"""Numbers in what the uses of a parameter add to its gradient, where numbers are counted."""

_ADDITIONS = {"add": 1.0, "subtract": -1.0}


@dataclass(frozen=True, eq=False)
class Use:
    """One operation that reads a parameter, with the cotangent of its result."""

    operation: Operation
    operand: int
    cotangent: Array
    contribution: Array


@dataclass(eq=False)
class Probe:
    """The values and cotangents of a trace, looked up once.

    ``left`` counts down how many numbers the gradients that are tried may still have together.
    """

    trace: DetailedTrace
    graph: Graph
    cotangents: dict[int, Array]
    left: float = float("inf")
    _uses: dict[str, list[Use]] = field(default_factory=dict)

    def may_try(self, facts: Facts) -> bool:
        """Say whether one more gradient of a parameter may be tried, and count it."""
        self.left -= facts.value.size
        return self.left >= 0

    def uses(self, name: str) -> list[Use]:
        """Return the operations that read a parameter and how each adds to its gradient."""
        if name not in self._uses:
            readers = [
                (operation, operand)
                for operation in self.graph.operations
                for operand, source in enumerate(operation.inputs)
                if source == ("parameter", name) and operation.index in self.cotangents
            ]
            kept = sum(numbers(op.input_shapes[operand]) for op, operand in readers)
            if kept > MOST_KEPT and self.left < float("inf"):
                self.left, readers = -1, []
            found = (self._use(operation, operand) for operation, operand in readers)
            self._uses[name] = [use for use in found if use is not None]
        return self._uses[name]

    def _use(self, operation: Operation, operand: int) -> Use | None:
        c = self.cotangents[operation.index]
        part = self.trace.local(operation.index, c)[operand]
        return None if part is None else Use(operation, operand, c, part)

    def single_uses(self, name: str) -> list[Use]:
        """Return the uses that are not one of the many runs of a loop: these go together."""
        uses = self.uses(name)
        return [use for use in uses if use.operation.index not in self.graph.in_long_loop]

    def outside_long_loops(self) -> Iterator[Operation]:
        """Yield the operations that are not one of the many runs of a loop."""
        return (op for op in self.graph.operations if op.index not in self.graph.in_long_loop)

    def of_shape(self, shape: tuple[int, ...]) -> Iterator[Operation]:
        """Yield the operations outside long loops whose result has a shape."""
        return (op for op in self.outside_long_loops() if op.output_shape == shape)


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
    uses = [use for use in probe.uses(facts.name) if use.operation.name in _ADDITIONS]
    if not uses or uses[0].cotangent.shape == facts.value.shape:
        return None
    operation = uses[0].operation
    signs = [_ADDITIONS[u.operation.name] if u.operand == 1 else 1.0 for u in uses]
    known = sum((use.contribution for use in uses), np.zeros(facts.value.shape))
    for axes, reduce, words in _reductions(uses[0].cotangent.shape, facts.value.shape):
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
    for operation in probe.outside_long_loops():
        value = probe.trace.value(operation.index)
        if value.ndim == 0 or not _fits(value.shape, use.cotangent.shape) or (value == 0).any():
            continue
        for factor, words in ((value, "divide"), (1.0 / value, "multiply")):
            if not probe.may_try(facts):
                return None
            part = probe.trace.local(use.operation.index, use.cotangent * factor)[use.operand]
            grade = None if part is None else explains(facts, part - use.contribution)
            if grade is None:
                continue
            readers = [
                probe.graph.by_index[user]
                for user, _ in probe.graph.consumers.get(operation.index, ())
            ]
            reader = next((r for r in readers if r.name in PRODUCTS), operation)
            message = (
                f"The gradient of {facts.name} is exactly what you get when {in_words(reader)} "
                f"is passed without the factor: a step of the backward pass does not {words} by "
                f"the result of {in_words(operation)}."
            )
            preposition = "by the result of line"
            remedy = f"{words.capitalize()} {preposition} {operation.site.line} as well."
            places = (location(operation.site),)
            return finding_at("factor_missing", facts, message, remedy, grade, reader, places)
    return None


def scaled_by_result(facts: Facts, _: Evidence, probe: Probe) -> Finding | None:
    """Find a whole gradient that lacks a product with, or a division by, an intermediate result."""
    for operation in probe.outside_long_loops():
        value = probe.trace.value(operation.index)
        if value.ndim == 0 or not _fits(value.shape, facts.value.shape) or (value == 0).any():
            continue
        for factor, words in ((value, "divide"), (1.0 / value, "multiply")):
            if not probe.may_try(facts):
                return None
            grade = explains(facts, facts.reference * (factor - 1.0))
            if grade is None:
                continue
            users = probe.graph.consumers.get(operation.index, ())
            readers = [probe.graph.by_index[user] for user, _ in users]
            reader = next((r for r in readers if r.name in PRODUCTS), operation)
            message = (
                f"The gradient of {facts.name} is exactly the right one without the factor of "
                f"{in_words(reader)}: the backward pass does not {words} by the result of "
                f"{in_words(operation)}."
            )
            remedy = f"{words.capitalize()} by the result of line {operation.site.line} as well."
            places = (location(operation.site),)
            return finding_at("factor_missing", facts, message, remedy, grade, reader, places)
    return None


def _fits(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(small, large) == large
    except ValueError:
        return False


def other_factor(use: Use, probe: Probe) -> Array | None:
    """Return the value that a parameter is multiplied by, if it is used in a product."""
    if use.operation.name not in ("matmul", "dot", "multiply") or len(use.operation.inputs) != 2:
        return None
    values = probe.trace.operand_values(use.operation.index)
    return values[1 - use.operand] if len(values) == 2 else None


def product(value: Array, use: Use) -> Array | None:
    """Return the contribution of a product with ``value`` in place of the other factor."""
    c = use.cotangent
    if use.operation.name == "multiply":
        both = np.asarray(c * value)
        extra = both.ndim - len(use.contribution.shape)
        both = both.sum(axis=tuple(range(extra))) if extra > 0 else both
        kept = tuple(k for k, n in enumerate(use.contribution.shape) if n != both.shape[k])
        return both.sum(axis=kept, keepdims=True) if kept else both
    if value.ndim != 2 or c.ndim not in (1, 2):
        return None
    if use.operand == 1:
        return np.asarray(value.T @ c)
    return np.asarray(c @ value.T) if c.ndim == 2 else None


def explains(facts: Facts, change: Array) -> str | None:
    """Say how surely a change of the right gradient makes the analytic one; None if not at all."""
    if np.abs(change).max(initial=0.0) <= 4.0 * facts.tolerance.max(initial=0.0):
        return None
    grade = quality(facts, facts.reference + change)
    return grade if grade in ("exact", "likely") else None


def finding_at(
    cause: str,
    facts: Facts,
    message: str,
    remedy: str,
    grade: str,
    operation: Operation,
    also: tuple[Location, ...] = (),
) -> Finding:
    """Return the finding about one parameter at an operation that reads it."""
    return Finding(
        cause=cause,
        parameters=(facts.name,),
        message=message,
        remedy=remedy,
        confidence=grade,
        specificity=62,
        evidence={"operation": operation.name, "index": operation.index},
        location=location(operation.site),
        also=also,
    )
