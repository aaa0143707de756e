"""What flows through a trace, looked up once: values, cotangents, and what runs hand on together.

The runs of one expression of the source (one for most lines, many in a loop) are taken together,
with a leading axis for the run: a mistake in a line is made in each of its runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.plan import MOST_LAYERS
from gradcheck.tracing.contract import DetailedTrace, Operation

Source = tuple[str, int | str]
"""Where an operand comes from: ``("operation", index)`` or ``("parameter", name)``."""


@dataclass(frozen=True, eq=False)
class Handing:
    """What the runs of one expression hand back to one operand.

    All arrays have a leading axis, one entry for each run. ``repeats`` says that a run depends on
    an earlier one, so that a mistake here meets itself.
    """

    runs: tuple[int, ...]
    operand: int
    operation: Operation
    sources: tuple[Source, ...]
    cotangent: Array
    right: Array
    repeats: bool
    flow: Flow

    @cached_property
    def result(self) -> Array:
        """The results of the runs."""
        return np.stack([self.flow.value(index) for index in self.runs])

    @cached_property
    def operands(self) -> tuple[Array, ...]:
        """The values of each operand; those that differ in shape from run to run are left out."""
        values = [self.flow.operands(index) for index in self.runs]
        counts = {len(found) for found in values}
        if len(counts) != 1:
            return ()
        stacked = []
        for position in range(counts.pop()):
            parts = [found[position] for found in values]
            if len({part.shape for part in parts}) != 1:
                return ()
            stacked.append(np.stack(parts))
        return tuple(stacked)

    @property
    def own(self) -> Array:
        """The values of the operand that gets the handed gradient."""
        return self.operands[self.operand]


@dataclass(frozen=True, eq=False)
class Flow:
    """The values and cotangents of a trace, each looked up at most once."""

    trace: DetailedTrace
    graph: Graph
    _values: dict[int, Array] = field(default_factory=dict)
    _operands: dict[int, tuple[Array, ...]] = field(default_factory=dict)

    @cached_property
    def cotangents(self) -> dict[int, Array]:
        """The derivative of the loss by each operation's result."""
        return self.trace.cotangents()

    def value(self, index: int) -> Array:
        """Return the result of an operation."""
        if index not in self._values:
            self._values[index] = self.trace.value(index)
        return self._values[index]

    def operands(self, index: int) -> tuple[Array, ...]:
        """Return the operands of an operation."""
        if index not in self._operands:
            self._operands[index] = self.trace.operand_values(index)
        return self._operands[index]

    def handings(self) -> Iterator[Handing]:
        """Yield what each expression hands to each of its operands, runs together.

        Runs are also taken apart by where their results are used (a helper function that is called
        at several places), and one by one where they are few.
        """
        for runs in self._groups():
            operation = self.graph.by_index[runs[-1]]
            for operand in self.graph.paths_in(operation.index):
                kept = tuple(i for i in runs if operand in self.graph.paths_in(i))
                found = self._handing(kept, operand)
                if found is not None:
                    yield found

    def _groups(self) -> Iterator[tuple[int, ...]]:
        runs: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for operation in self.graph.operations:
            runs[self.graph.expression(operation.index)].append(operation.index)
        seen: set[tuple[int, ...]] = set()

        def new(group: list[int]) -> Iterator[tuple[int, ...]]:
            if tuple(group) not in seen:
                seen.add(tuple(group))
                yield tuple(group)

        for group in runs.values():
            yield from new(group)
        for group in runs.values():
            called: dict[object, list[int]] = defaultdict(list)
            for index in group if len(group) > 1 else ():
                called[self._used_at(index)].append(index)
            for part in called.values():
                yield from new(part)
        for group in runs.values():
            if 1 < len(group) <= MOST_LAYERS:
                for index in group:
                    yield from new([index])

    def _used_at(self, index: int) -> object:
        """Return the place outside its own function where an operation's result ends up."""
        here = self.graph.by_index[index].site.function
        waiting, places = [index], set()
        for _ in range(12):
            users = [u for i in waiting for u, _ in self.graph.consumers.get(i, ())]
            waiting = []
            for user in users:
                if self.graph.by_index[user].site.function == here:
                    waiting.append(user)
                else:
                    places.add(self.graph.expression(user))
            if not waiting:
                break
        return frozenset(places)

    def _handing(self, runs: tuple[int, ...], operand: int) -> Handing | None:
        graph = self.graph
        runs = tuple(index for index in runs if index in self.cotangents)
        if not runs:
            return None
        shapes = {(graph.by_index[i].output_shape, graph.by_index[i].input_shapes) for i in runs}
        if len(shapes) != 1:
            return None
        cotangents = [self.cotangents[index] for index in runs]
        right = [self._local(index, operand) for index in runs]
        known = [part for part in right if part is not None]
        if len(known) != len(runs) or len({part.shape for part in known}) != 1:
            return None
        repeats = len(runs) > 1 and runs[1] in self.reached(runs[0])
        sources = tuple(graph.by_index[index].inputs[operand] for index in runs)
        return Handing(
            runs, operand, graph.by_index[runs[0]], sources, np.stack(cotangents),
            np.stack(known), repeats, self,
        )  # fmt: skip

    @cached_property
    def _handed(self) -> dict[int, tuple[Array | None, ...]]:
        return {}

    def _local(self, index: int, operand: int) -> Array | None:
        if index not in self._handed:
            self._handed[index] = self.trace.local(index, self.cotangents[index])
        return self._handed[index][operand]

    @cached_property
    def _reached(self) -> dict[int, frozenset[int]]:
        return {}

    def reached(self, index: int) -> frozenset[int]:
        """Return the operations that depend on the result of one."""
        if index not in self._reached:
            self._reached[index] = self.graph.reached_from(index)
        return self._reached[index]
