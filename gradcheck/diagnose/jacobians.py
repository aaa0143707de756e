"""The derivatives of single operations, written down as numbers.

What an operation hands to an operand is linear in the cotangent of its result. A few cotangents
tell which entry gets how much of which: of one result, a cotangent of 1; where each entry of the
operand feeds one entry of the result (elementwise operations, sums, selections), one of ones and
one of random labels; else one cotangent for each entry of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.limits import numbers
from gradcheck.tracing.contract import DetailedTrace, Operation

Indices = NDArray[np.int64]
Handed = Sequence[Array | None]
"""What each operand is handed; None for one that carries no gradient."""

MOST_COTANGENTS = 64
"""Cotangents that one operation may be asked about, where labels do not tell."""

MOST_IN_BLOCKS = 1 << 20
"""Numbers that the derivative of one operation may have."""

_SAME = 1e-11


@dataclass(frozen=True, slots=True)
class Block:
    """The derivative of a result by one operand: entry ``into`` gets ``values`` of entry ``out``.

    Entries are numbered as in the flattened arrays; what is not listed is 0.
    """

    out: Indices
    into: Indices
    values: Array

    def handed(self, cotangent: Array, shape: tuple[int, ...]) -> Array:
        """Return what an operand of a shape is handed of a cotangent."""
        parts = self.values * cotangent.ravel()[self.out]
        return added_at(self.into, parts, numbers(shape)).reshape(shape)


def added_at(places: Indices, parts: Array, size: int) -> Array:
    """Return a vector with each part added at its place."""
    return np.asarray(np.bincount(places, parts, size), dtype=np.float64)


Blocks = tuple[Block | None, ...]


@dataclass(frozen=True, eq=False)
class Jacobians:
    """The derivatives of a trace's operations by their operands.

    With ``known`` those of sums, products, quotients and views are taken from what these are known
    to be, and what gathers or sums numbers is asked once for all runs of an expression. That is
    quick, and to be checked as a whole; without it each operation is asked.
    """

    trace: DetailedTrace
    known: bool
    _seen: dict[object, Blocks] = field(default_factory=dict)

    def of(self, operation: Operation) -> Blocks | None:
        """Return the derivative of an operation by each operand; None where it takes too much."""
        if not self.known:
            return self._asked(operation)
        name = operation.name
        if name in _ARITHMETIC:
            found = _arithmetic(self.trace, operation)
        elif name in ("matmul", "dot"):
            found = _matrix_product(self.trace, operation)
        elif name in _GATHERING:
            return self._asked_once(operation)
        else:
            found = self._view(operation)
        return self._asked(operation) if found is None else found

    def _asked(self, operation: Operation) -> Blocks | None:
        return probed(lambda c: self.trace.local(operation.index, c), operation.output_shape)

    def _asked_once(self, operation: Operation) -> Blocks | None:
        constant = tuple(kind == "constant" for kind, _ in operation.inputs)
        shapes = (operation.input_shapes, operation.output_shape)
        key = (operation.name, operation.site, constant, shapes, repr(operation.keywords))
        if key not in self._seen:
            found = self._asked(operation)
            if found is None:
                return None
            self._seen[key] = found
        return self._seen[key]

    def _view(self, operation: Operation) -> Blocks | None:
        selected = getattr(self.trace, "selected", None)
        entries = None if selected is None else selected(operation.index)
        if entries is None or entries.size != numbers(operation.output_shape):
            return None
        block = Block(np.arange(entries.size), entries, np.ones(entries.size))
        return (block,)


def probed(
    pull: Callable[[Array], Handed], shape: tuple[int, ...], *, linear: bool = True
) -> Blocks | None:
    """Return a linear map of cotangents of a shape, asked of it; None where it takes too much.

    None, too, where it turns out not to be ``linear``, as a derivative is.
    """
    n = numbers(shape)
    whole = pull(np.ones(shape))
    if n == 1:
        opposite = whole if linear else pull(np.full(shape, -1.0))
        if not linear and any(
            p is not None and q is not None and not _same(-q, p)
            for p, q in zip(whole, opposite, strict=True)
        ):
            return None
        return tuple(None if part is None else _of_one(part) for part in whole)
    labels = _labels(n)
    labelled = pull(labels.reshape(shape))
    pairs = zip(whole, labelled, strict=True)
    found = [None if p is None or q is None else _told_apart(p, q, labels) for p, q in pairs]
    if any(block is None and part is not None for block, part in zip(found, whole, strict=True)):
        return _entry_by_entry(pull, shape, labels, labelled)
    return tuple(found)


@lru_cache(maxsize=64)
def _labels(n: int) -> Array:
    # Of both signs, so that no absolute value passes for linear; random, so that no sum is another.
    return np.random.default_rng(n).normal(size=n)


def _of_one(part: Array) -> Block:
    values = part.ravel()
    (into,) = np.nonzero(values)
    return Block(np.zeros(into.size, np.int64), into, values[into])


def _told_apart(whole: Array, labelled: Array, labels: Array) -> Block | None:
    """Return the block in which each entry of the operand feeds one entry of the result."""
    whole, labelled = whole.ravel(), labelled.ravel()
    (into,) = np.nonzero(labelled)
    values = whole[into]
    if not values.all():
        return None
    label = labelled[into] / values
    if whole.size == labels.size and _same(label, labels[into]):
        return Block(into, into, values)
    order = np.argsort(labels)
    known = labels[order]
    place = np.searchsorted(known, label).clip(1, known.size - 1)
    place -= label - known[place - 1] < known[place] - label
    return Block(order[place], into, values) if _same(label, known[place]) else None


def _same(one: Array, other: Array) -> bool:
    return bool((np.abs(one - other) <= _SAME * np.abs(other)).all())


def _entry_by_entry(
    pull: Callable[[Array], Handed], shape: tuple[int, ...], labels: Array, labelled: Handed
) -> Blocks | None:
    n = numbers(shape)
    if n > MOST_COTANGENTS:
        return None
    units = np.eye(n).reshape(n, *shape)
    handed = [pull(unit) for unit in units]
    found: list[Block | None] = []
    for k, all_of in enumerate(labelled):
        if all_of is None:
            found.append(None)
            continue
        matrix = np.stack([row.ravel() for one in handed if (row := one[k]) is not None])
        out, into = np.nonzero(matrix)
        block = Block(out, into, matrix[out, into])
        size = np.abs(labels) @ np.abs(matrix)
        off = np.abs(labels @ matrix - all_of.ravel())
        if not (off <= _SAME * size).all():
            return None
        found.append(block)
    return tuple(found)


_ARITHMETIC = frozenset({"add", "subtract", "multiply", "divide", "true_divide", "negative"})
_GATHERING = frozenset(
    {"array", "asarray", "stack", "concatenate", "hstack", "vstack", "sum", "mean"}
    | {"reshape", "transpose", "ravel", "squeeze", "expand_dims"}
)
"""Operations whose derivative does not depend on the numbers that go in."""


def _arithmetic(trace: DetailedTrace, operation: Operation) -> Blocks | None:
    """Return the blocks of sums, products and quotients, by what they are known to be."""
    shape, shapes = operation.output_shape, operation.input_shapes
    if len(shapes) != (1 if operation.name == "negative" else 2):
        return None
    if operation.keywords or np.broadcast_shapes(*shapes) != shape:
        return None
    found: list[Block | None] = []
    for slope, (kind, _), given in zip(
        _slopes(trace, operation), operation.inputs, shapes, strict=True
    ):
        if kind == "constant":
            found.append(None)
        elif shape == ():
            found.append(Block(_ZERO, _ZERO, np.array([slope], dtype=np.float64)))
        else:
            into = np.broadcast_to(np.arange(numbers(given)).reshape(given), shape).ravel()
            values = np.broadcast_to(np.asarray(slope, dtype=np.float64), shape).ravel()
            found.append(Block(np.arange(numbers(shape)), into, values))
    return tuple(found)


_ZERO = np.zeros(1, np.int64)
_SAME_EVERYWHERE = {"negative": (-1.0,), "add": (1.0, 1.0), "subtract": (1.0, -1.0)}
"""Derivatives by each operand that do not depend on the operands."""


def _slopes(trace: DetailedTrace, operation: Operation) -> tuple[Array | float, ...]:
    """Return the derivative of a sum, product or quotient by each operand."""
    if operation.name in _SAME_EVERYWHERE:
        return _SAME_EVERYWHERE[operation.name]
    a, b = trace.operand_values(operation.index)
    if operation.name == "multiply":
        return b, a
    with np.errstate(all="ignore"):
        return 1.0 / b, -a / b**2


def _matrix_product(trace: DetailedTrace, operation: Operation) -> Blocks | None:
    """Return the blocks of a product of two matrices."""
    operands = trace.operand_values(operation.index)
    if len(operands) != 2 or any(factor.ndim != 2 for factor in operands):
        return None
    a, b = operands
    (rows, inner), columns = a.shape, b.shape[1]
    if operation.output_shape != (rows, columns) or b.shape[0] != inner:
        return None
    if rows * inner * columns > MOST_IN_BLOCKS:
        return None
    i, k, j = (grid.ravel() for grid in np.indices((rows, inner, columns)))
    out = i * columns + j
    blocks = (Block(out, i * inner + k, b[k, j]), Block(out, k * columns + j, a[i, k]))
    kinds = (kind for kind, _ in operation.inputs)
    return tuple(
        None if kind == "constant" else one for kind, one in zip(kinds, blocks, strict=True)
    )
