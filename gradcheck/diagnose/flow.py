"""What flows through a trace, looked up once: values, cotangents, and what runs hand on together.

The runs of one expression of the source (one for most lines, many in a loop) are taken together,
with a leading axis for the run: a mistake in a line is made in each of its runs.
"""

from __future__ import annotations

import linecache
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.limits import numbers
from gradcheck.diagnose.operations import WRITES
from gradcheck.diagnose.plan import MOST_LAYERS, unary_chains
from gradcheck.tracing.contract import DetailedTrace, Operation

FEW = 4
"""Whether the runs of a loop follow one another is asked of so many of them."""

MOST_OPERANDS = 6
"""Operations of more operands, such as a concatenation of many, are not looked at."""

Source = tuple[str, int | str]
"""Where an operand comes from: ``("operation", index)`` or ``("parameter", name)``."""


@dataclass(frozen=True, eq=False)
class Handing:
    """What the runs of one expression hand back to one operand.

    All arrays have a leading axis, one entry for each run. ``repeats`` says that a run depends on
    an earlier one, so that a mistake here meets itself. ``chains`` holds, for each run, the
    elementwise operations in a row that make up one activation; then there is one operand, that of
    the first of them, and the result is that of the last.
    """

    runs: tuple[int, ...]
    operand: int
    operation: Operation
    sources: tuple[Source, ...]
    cotangent: Array
    right: Array
    repeats: bool
    flow: Flow
    chains: tuple[tuple[int, ...], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """NumPy's names of the operation, or of those of one chain, in order."""
        chain = self.chains[0] if self.chains else (self.operation.index,)
        return tuple(self.flow.graph.by_index[index].name for index in chain)

    @cached_property
    def result(self) -> Array:
        """The results of the runs."""
        return np.stack([self.flow.value(index) for index in self.runs])

    @cached_property
    def operands(self) -> tuple[Array, ...]:
        """The values of each operand; those that differ in shape from run to run are left out."""
        if self.chains:
            return (self._entering,)
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
    def _entering(self) -> Array:
        """What goes into the chains."""
        graph, firsts = self.flow.graph, [chain[0] for chain in self.chains]
        return np.stack([self.flow.operands(i)[graph.paths_in(i)[0]] for i in firsts])

    @property
    def own(self) -> Array:
        """The values of the operand that gets the handed gradient."""
        return self.operands[self.operand]


@dataclass(frozen=True, eq=False)
class Flow:
    """The values and cotangents of a trace, each looked up at most once.

    What runs hand on together is left out where it is more than ``largest`` numbers.
    """

    trace: DetailedTrace
    graph: Graph
    largest: int | None = None
    _values: dict[int, Array] = field(default_factory=dict)
    _operands: dict[int, tuple[Array, ...]] = field(default_factory=dict)

    @cached_property
    def cotangents(self) -> dict[int, Array]:
        """The derivative of the loss by each operation's result."""
        return self.trace.cotangents()

    @cached_property
    def _several(self) -> frozenset[int]:
        """The operations of several results: only the first one's value and tangent is known."""
        indices = self.graph.by_index
        return frozenset(index for index in indices if self.trace.n_results(index) != 1)

    def is_known(self, source: Source) -> bool:
        """Say whether what flows through an operand's source is known."""
        kind, index = source
        return kind == "parameter" or (kind == "operation" and int(index) not in self._several)

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
            paths = self.graph.paths_in(operation.index)
            if operation.name in WRITES or len(paths) > MOST_OPERANDS:
                continue  # what gathers many values only hands on
            for operand in paths:
                kept = tuple(i for i in runs if operand in self.graph.paths_in(i))
                found = self._handing(kept, operand)
                if found is not None:
                    yield found

    def _groups(self) -> Iterator[tuple[int, ...]]:
        runs: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for operation in self.graph.operations:
            runs[self.graph.expression(operation.index)].append(operation.index)
        yield from self._parted(list(runs.values()))

    def _parted(self, groups: list[list[int]]) -> Iterator[tuple[int, ...]]:
        """Yield groups of runs, whole, by where their results are used, and one by one."""
        seen: set[tuple[int, ...]] = set()
        parts = list(groups)
        for group in groups:
            called: dict[object, list[int]] = defaultdict(list)
            for index in group:
                called[self._used_at(index)].append(index)
            parts += called.values()
        parts += [[i] for group in groups if len(group) <= MOST_LAYERS for i in group]
        for part in parts:
            if tuple(part) not in seen:
                seen.add(tuple(part))
                yield tuple(part)

    def activations(self) -> Iterator[Handing]:
        """Yield the same for elementwise operations in a row, taken as one activation."""
        ends: dict[int, tuple[int, ...]] = {}
        for chain in unary_chains(self.graph):
            ends[chain[-1]] = max(ends.get(chain[-1], ()), tuple(chain), key=len)
        together: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for last, whole in ends.items():
            together[tuple(self.graph.expression(index) for index in whole)].append(last)
        for runs in self._parted(list(together.values())):
            found = self._activation(tuple(ends[last] for last in runs))
            if found is not None:
                yield found

    def _activation(self, chains: tuple[tuple[int, ...], ...]) -> Handing | None:
        graph, runs = self.graph, tuple(chain[-1] for chain in chains)
        if not self.fits(graph.by_index[runs[0]], len(runs)):
            return None
        right, cotangents = [], []
        for chain in chains:
            handed: Array | None = self.cotangents.get(chain[-1])
            cotangents.append(handed)
            for index in reversed(chain):
                (position,) = graph.paths_in(index)
                handed = None if handed is None else self.trace.local(index, handed)[position]
            right.append(handed)
        arrays = [a for a in (*right, *cotangents) if a is not None]
        if len(arrays) != 2 * len(chains) or len({a.shape for a in arrays}) != 1:
            return None
        firsts = [chain[0] for chain in chains]
        sources = tuple(graph.by_index[i].inputs[graph.paths_in(i)[0]] for i in firsts)
        n = len(chains)
        if not all(self.is_known(source) for source in sources):
            return None
        return Handing(
            runs, 0, graph.by_index[runs[0]], sources, np.stack(arrays[n:]), np.stack(arrays[:n]),
            self.depend(runs), self, chains,
        )  # fmt: skip

    def _used_at(self, index: int) -> object:
        """Return the places outside its own function where an operation's result ends up."""
        return self._all_used_at[index]

    @cached_property
    def _all_used_at(self) -> dict[int, frozenset[object]]:
        graph = self.graph
        found: dict[int, frozenset[object]] = {}
        for operation in reversed(graph.operations):
            places: set[object] = set()
            for user, _ in graph.consumers.get(operation.index, ()):
                if graph.by_index[user].site.function != operation.site.function:
                    places.add(graph.expression(user))
                else:
                    places |= found[user]
            found[operation.index] = frozenset(places)
        return found

    def _handing(self, runs: tuple[int, ...], operand: int) -> Handing | None:
        graph = self.graph
        runs = tuple(index for index in runs if index in self.cotangents)
        if not runs:
            return None
        shapes = {(graph.by_index[i].output_shape, graph.by_index[i].input_shapes) for i in runs}
        if len(shapes) != 1 or not self.fits(graph.by_index[runs[0]], len(runs)):
            return None
        cotangents = [self.cotangents[index] for index in runs]
        right = [self.local(index, operand) for index in runs]
        known = [part for part in right if part is not None]
        if len(known) != len(runs) or len({part.shape for part in known}) != 1:
            return None
        repeats = self.depend(runs)
        sources = tuple(graph.by_index[index].inputs[operand] for index in runs)
        if not all(self.is_known(s) for s in (*sources, *(("operation", i) for i in runs))):
            return None
        return Handing(
            runs, operand, graph.by_index[runs[0]], sources, np.stack(cotangents),
            np.stack(known), repeats, self,
        )  # fmt: skip

    def called_at(self, here: Handing) -> int | None:
        """Return the operation at which a helper is called, if only some of its calls are meant.

        That is one in the line that names the helper: what feeds this call, or uses its result.
        """
        graph, first = self.graph, here.runs[0]
        function = graph.by_index[first].site.function
        every = {i for run in graph.loops if first in run for i in run}
        if len(every) <= len(here.runs):
            return None
        waiting, seen = [first], set(every)  # where the same ran before, that was another call
        while waiting:
            for kind, source in graph.by_index[waiting.pop()].inputs:
                if kind != "operation" or int(source) in seen:
                    continue
                seen.add(int(source))
                if graph.by_index[int(source)].site.function == function:
                    waiting.append(int(source))
                elif self._only_in(function, int(source)) and self._calls(function, int(source)):
                    return int(source)
        users = self._outside(first, function, every)
        return next((i for i in sorted(users) if self._calls(function, i)), None)

    def _calls(self, function: str, index: int) -> bool:
        site = self.graph.by_index[index].site
        name = function.rsplit(".", 1)[-1]
        return f"{name}(" in linecache.getline(site.file, site.line)

    def _only_in(self, function: str, index: int) -> bool:
        users = self.graph.consumers.get(index, ())
        return all(self.graph.by_index[user].site.function == function for user, _ in users)

    def _outside(self, index: int, function: str, every: Iterable[int]) -> set[int]:
        """Return the first users of a call's result that are not in its own function."""
        waiting, places = [index], set()
        seen = set(every)
        while waiting:
            for user, _ in self.graph.consumers.get(waiting.pop(), ()):
                if self.graph.by_index[user].site.function != function:
                    places.add(user)
                elif user not in seen:
                    seen.add(user)
                    waiting.append(user)
        return places

    @cached_property
    def _handed(self) -> dict[int, tuple[Array | None, ...]]:
        return {}

    def local(self, index: int, operand: int) -> Array | None:
        """Return what an operation hands to one of its operands; None if that is no path."""
        if operand >= len(self.graph.by_index[index].inputs):
            return None
        if index in self._handed:
            return self._handed[index][operand]
        handed = self.trace.local(index, self.cotangents[index])
        if self.fits(self.graph.by_index[index], 1):
            self._handed[index] = handed
        return handed[operand]

    def fits(self, operation: Operation, runs: int) -> bool:
        """Say whether so many runs of an operation are small enough to be looked at."""
        shapes = (operation.output_shape, *operation.input_shapes)
        return self.largest is None or runs * max(map(numbers, shapes)) <= self.largest

    def depend(self, indices: Sequence[int]) -> bool:
        """Say whether one of some operations depends on another: on one of the first few."""
        found = set(indices)
        return any(self.graph.reaches_any(index, found) for index in indices[:FEW])
