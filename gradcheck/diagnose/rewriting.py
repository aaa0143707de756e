"""Alterations of single derivatives, as changes of the numbers that were written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.jacobians import Block, Indices, probed
from gradcheck.diagnose.limits import numbers
from gradcheck.tracing.altered import fits, with_unit_axes
from gradcheck.tracing.contract import Alteration, Operation

if TYPE_CHECKING:
    from gradcheck.diagnose.written import WrittenTrace

_NOT_ELEMENTWISE = frozenset({"matmul", "dot"})
_PUT_IN_PLACE = frozenset({"identity", "slope", "rule", "transpose_operand"})


@dataclass(frozen=True, eq=False)
class Change:
    """What altered derivatives change in the written ones.

    ``cut`` holds spans of entries that become 0, ``scaled`` spans with what multiplies them,
    ``added`` entries put in their place (results, what gets them, values), and ``offset`` what is
    handed on whatever the cotangent is.
    """

    cut: list[slice] = field(default_factory=list)
    scaled: list[tuple[slice, Array | float]] = field(default_factory=list)
    added: list[tuple[Indices, Indices, Array]] = field(default_factory=list)
    offset: list[tuple[int, Array]] = field(default_factory=list)

    def values(self, values: Array) -> Array:
        """Return the values of the written entries after the change."""
        if not self.cut and not self.scaled:
            return values
        changed = values.copy()
        for span, factor in self.scaled:
            changed[span] *= factor
        for span in self.cut:
            changed[span] = 0.0
        return changed

    def joined(self) -> tuple[Indices, Indices, Array]:
        """Return the added entries as one."""
        out, into, values = zip(*self.added, strict=True)
        return np.concatenate(out), np.concatenate(into), np.concatenate(values)

    def offset_of(self, given: Array) -> Array:
        """Return the given cotangents with what is handed on in any case."""
        if not self.offset:
            return given
        total = given.copy()
        for start, part in self.offset:
            total[start : start + part.size] += part.reshape(-1)
        return total


def change_of(trace: WrittenTrace, alterations: Mapping[int, Alteration]) -> Change | None:
    """Return what alterations change; None where only the trace itself can make them.

    Raises:
        ValueError: the operation does not allow the alteration.
    """
    change = Change()
    for index, alteration in alterations.items():
        operation = trace.by_index.get(index)
        if operation is None:
            raise ValueError(f"there is no operation {index}")
        for operand in _operands(trace, operation, alteration):
            if not _add(change, trace, operation, alteration, operand):
                return None
    return change


def _operands(trace: WrittenTrace, operation: Operation, alteration: Alteration) -> list[int]:
    """Return the operands that an alteration concerns."""
    if alteration.operand is None:
        if alteration.kind.endswith("_operand"):
            raise ValueError(f"{alteration.kind} needs an operand")
        return [k for k in range(len(operation.inputs)) if (operation.index, k) in trace.spans]
    if (operation.index, alteration.operand) not in trace.spans:
        raise ValueError(f"operand {alteration.operand} of {operation.name} carries no gradient")
    return [alteration.operand]


def _add(
    change: Change,
    trace: WrittenTrace,
    operation: Operation,
    alteration: Alteration,
    operand: int,
) -> bool:
    """Add the alteration of one operand to a change; False where it cannot be written down."""
    kind, span = alteration.kind, trace.spans[operation.index, operand]
    if kind in ("constant", "drop_operand"):
        change.cut.append(span)
        return True
    if kind in ("scale", "scale_operand"):
        change.scaled.append((span, alteration.factor))
        return True
    if kind == "twice":
        change.scaled.append((span, _slope(trace, operation, operand)))
        return True
    if kind not in _PUT_IN_PLACE:
        raise ValueError(f"there is no alteration {kind!r}")
    block = _in_place(trace, operation, alteration, operand, change)
    if block is None:
        return False
    own = trace.layout.starts[operation.index]
    start = trace.layout.source(*operation.inputs[operand])
    change.cut.append(span)
    change.added.append((own + block.out, start + block.into, block.values))
    return True


def _slope(trace: WrittenTrace, operation: Operation, operand: int) -> Array:
    """Return what multiplies the entries of an elementwise operation: the slope of each."""
    if operation.output_shape != operation.input_shapes[operand]:
        raise ValueError(f"{operation.name} is not elementwise in this operand")
    if operation.name in _NOT_ELEMENTWISE:
        raise ValueError(f"{operation.name} is not elementwise")
    block = trace.blocks[operation.index][operand]
    assert block is not None
    shape = operation.input_shapes[operand]
    return block.handed(np.ones(shape), shape).reshape(-1)[block.into]


def _in_place(
    trace: WrittenTrace,
    operation: Operation,
    alteration: Alteration,
    operand: int,
    change: Change,
) -> Block | None:
    """Return what stands in the place of a derivative; None where it cannot be written down."""
    shape, result = operation.input_shapes[operand], operation.output_shape
    if alteration.kind == "identity":
        return _identity(operation, result, shape)
    if alteration.kind == "slope" and alteration.slope is not None:
        if alteration.slope.shape != shape or shape != result:
            raise ValueError(f"{operation.name} is not elementwise in this operand")
        every = np.arange(numbers(shape))
        return Block(every, every, np.asarray(alteration.slope, dtype=np.float64).reshape(-1))
    if alteration.kind != "rule" or alteration.rule is None:
        return None
    rule = alteration.rule
    always = np.asarray(rule(np.zeros(result)), dtype=np.float64).reshape(shape)

    def pull(cotangent: Array) -> tuple[Array]:
        made = np.asarray(rule(cotangent), dtype=np.float64)
        return (made.reshape(shape) - always,)

    found = probed(pull, result, linear=False)
    if found is None:
        return None
    if always.any():
        change.offset.append((trace.layout.source(*operation.inputs[operand]), always))
    return found[0]


def _identity(operation: Operation, result: tuple[int, ...], shape: tuple[int, ...]) -> Block:
    """Return how a result's cotangent is handed on unchanged to an operand of a shape."""
    n_out, n_into = numbers(result), numbers(shape)
    out, into = np.arange(n_out), np.arange(n_into)
    if result != shape and fits(shape, result):
        into = np.broadcast_to(into.reshape(shape), result).reshape(-1)
    elif result != shape:
        kept = with_unit_axes(result, shape, operation.keywords.get("axis"))
        if kept is not None and fits(kept, shape):
            out = np.broadcast_to(out.reshape(kept), shape).reshape(-1)
        elif n_out != n_into:
            raise ValueError(
                f"{operation.name} maps {shape} to {result}: not to be taken for the identity"
            )
    return Block(out, into, np.ones(out.size))
