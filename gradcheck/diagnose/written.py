"""A trace whose derivatives are all written down, for many altered backward passes.

A pass through autograd's graph takes some ten microseconds for each recorded operation, however
small. In a loop of a thousand steps that is a tenth of a second for every candidate. Written down,
the derivatives of all operations are one sparse matrix: with the parameters first, then the
results in the order in which they were computed, it has entries above its diagonal only, and a
backward pass is one substitution, a hundred times as fast. Passes with altered derivatives change
a few of the entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.jacobians import Blocks, Indices, added_at
from gradcheck.diagnose.limits import numbers
from gradcheck.diagnose.rewriting import Change, change_of
from gradcheck.tracing.contract import Alteration, DetailedTrace, Operation

Gradient = dict[str, Array]


@dataclass(frozen=True, eq=False)
class Layout:
    """Where each parameter and each result lies in the vector of all cotangents."""

    starts: Mapping[int, int]
    shapes: Mapping[int, tuple[int, ...]]
    parameters: Mapping[str, tuple[int, tuple[int, ...]]]
    used: Mapping[int, bool]
    size: int

    def source(self, kind: str, name: int | str) -> int:
        """Return where the entries of an operand's source begin."""
        return self.parameters[str(name)][0] if kind == "parameter" else self.starts[int(name)]

    def named(self, vector: Array) -> Gradient:
        """Return the parameters' part of a vector, by name."""
        return {
            name: vector[start : start + numbers(shape)].reshape(shape)
            for name, (start, shape) in self.parameters.items()
        }

    def of_results(self, vector: Array) -> dict[int, Array]:
        """Return the part of each result, by the index of its operation."""
        found = {}
        for index, shape in self.shapes.items():
            start = self.starts[index]
            found[index] = vector[start : start + numbers(shape)].reshape(shape)
        return found


@dataclass(frozen=True, eq=False)
class WrittenTrace:
    """A trace with the derivatives of its operations as numbers (``DetailedTrace``).

    ``spans`` says where the entries of an operation's operand lie among ``out``, ``into`` and
    ``values``; these number all results and parameters as ``layout`` does.
    """

    trace: DetailedTrace
    layout: Layout
    blocks: Mapping[int, Blocks]
    spans: Mapping[tuple[int, int], slice]
    out: Indices
    into: Indices
    values: Array
    source: Array

    @property
    def loss(self) -> float:
        """Value of the loss."""
        return self.trace.loss

    @property
    def n_numbers(self) -> int:
        """How many numbers a backward pass moves: entries of derivatives, and cotangents."""
        return self.layout.size + self.values.size

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """The recorded operations."""
        return self.trace.operations

    @cached_property
    def by_index(self) -> dict[int, Operation]:
        """The operations by their index."""
        return {operation.index: operation for operation in self.operations}

    def value(self, index: int) -> Array:
        """Return the forward value of operation ``index``."""
        return self.trace.value(index)

    def operand_values(self, index: int) -> tuple[Array, ...]:
        """Return the forward values of the operands of operation ``index``."""
        return self.trace.operand_values(index)

    def n_results(self, index: int) -> int:
        """Return how many results an operation has: one."""
        return self.trace.n_results(index)

    def local(self, index: int, cotangent: Array) -> tuple[Array | None, ...]:
        """Return what operation ``index`` makes of a cotangent of its result, for each operand."""
        shapes = self.by_index[index].input_shapes
        pairs = zip(self.blocks[index], shapes, strict=True)
        given = np.asarray(cotangent, dtype=np.float64)
        return tuple(None if one is None else one.handed(given, shape) for one, shape in pairs)

    def backward(self, alterations: Mapping[int, Alteration] | None = None) -> Gradient:
        """Return the gradient by parameter name, with the given operations' derivatives altered.

        Raises:
            ValueError: the operation does not allow the alteration.
        """
        change = change_of(self, alterations or {})
        if change is None:
            return self.trace.backward(alterations)
        return self.layout.named(self._solved(self.source, change))

    def pull(
        self, cotangents: Mapping[int, Array], alterations: Mapping[int, Alteration] | None = None
    ) -> Gradient:
        """Return the gradient by parameter that these cotangents of operation outputs cause."""
        change = change_of(self, alterations or {})
        if change is None:
            return self.trace.pull(cotangents, alterations)
        given = np.zeros(self.layout.size)
        for index, cotangent in cotangents.items():
            start = self.layout.starts[index]
            given[start : start + np.size(cotangent)] += np.asarray(cotangent).reshape(-1)
        return self.layout.named(self._solved(given, change))

    def cotangents(self) -> dict[int, Array]:
        """Return the derivative of the loss by the output of each operation."""
        return self.layout.of_results(self._cotangents)

    def tangents(
        self,
        directions: Iterable[Mapping[str, Array]],
        alterations: Mapping[int, Alteration] | None = None,
    ) -> list[dict[int, Array]]:
        """Return, for each direction of the parameters, how each operation's output moves."""
        change = change_of(self, alterations or {})
        if change is None:
            return self.trace.tangents(directions, alterations)
        rows = []
        for direction in directions:
            row = np.zeros(self.layout.size)
            for name, along in direction.items():
                if name in self.layout.parameters:
                    start = self.layout.parameters[name][0]
                    row[start : start + np.size(along)] = np.asarray(along).reshape(-1)
            rows.append(row)
        if not rows:
            return []
        moved = self._factored(change).solve(np.stack(rows, axis=1), trans="T")
        return [self.layout.of_results(column) for column in np.ascontiguousarray(moved.T)]

    @cached_property
    def _pattern(self) -> tuple[Indices, Indices, Indices]:
        """Where the entries go in the matrix: its rows, where its columns begin, and each place.

        The identity's entries come first in ``places``, then the derivatives'.
        """
        size = self.layout.size
        diagonal = np.arange(size)
        keys = np.concatenate([diagonal * (size + 1), self.out * size + self.into])
        kept, places = np.unique(keys, return_inverse=True)
        starts = np.searchsorted(kept, np.arange(size + 1) * size)
        return kept % size, starts, places.reshape(-1)

    def _factored(self, change: Change) -> Any:
        """Return the factored matrix: the identity less all that is handed on."""
        from scipy.sparse import csc_matrix
        from scipy.sparse.linalg import splu

        rows, starts, places = self._pattern
        values = change.values(self.values)
        signed = np.concatenate([np.ones(self.layout.size), -values])
        entries = added_at(places, signed, rows.size)
        shape = (self.layout.size, self.layout.size)
        matrix = csc_matrix((entries, rows, starts), shape=shape)
        if change.added:
            out, into, more = change.joined()
            matrix = (matrix - csc_matrix((more, (into, out)), shape=shape)).tocsc()
        # It is triangular already, with ones on the diagonal: no order to find, nothing to pivot.
        return splu(matrix, permc_spec="NATURAL", diag_pivot_thresh=0.0, relax=1, panel_size=1)

    def sizes(self) -> Array:
        """Return how large what each entry hands on is, of the loss's own cotangents."""
        return np.asarray(np.abs(self.values * self._cotangents[self.out]))

    @cached_property
    def _cotangents(self) -> Array:
        return self._solved(self.source, Change())

    def _solved(self, given: Array, change: Change) -> Array:
        return np.asarray(self._factored(change).solve(change.offset_of(given)))
