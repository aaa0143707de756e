"""What each use of a parameter adds to its gradient, looked up in a trace, and what explains it.

A trace hands out values and cotangents (``DetailedTrace``); with another value or cotangent in
their place, a use would add something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from gradcheck.diagnose.evidence import Array, Facts
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.limits import numbers
from gradcheck.diagnose.matching import quality
from gradcheck.diagnose.sites import location
from gradcheck.report import Location
from gradcheck.tracing.contract import DetailedTrace, Operation

MOST_KEPT = 16_000_000
"""Numbers in what the uses of a parameter add to its gradient, where numbers are counted."""


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
