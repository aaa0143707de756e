"""Which alterations of a trace are the same alteration, and which operations share a line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush
from typing import cast

from gradcheck.tracing.contract import Alteration, DetailedTrace, Operation, Trace

Cut = tuple[int, int | None]
"""An operation and one of its operands whose path is cut; None for all of them."""


FEW_RUNS = 4
"""From so many runs on, a mistake in a single one of them is not looked for everywhere."""

FEW_BEFORE = 8
"""Operations that another depends on, up to which they are listed."""

MANY_RUNS = 100
"""In a loop of more runs than this, one of them alone is no place for a mistake."""


@dataclass(frozen=True, eq=False)
class Graph:
    """The recorded operations with their consumers, and cuts that cannot be told apart."""

    operations: tuple[Operation, ...]

    @cached_property
    def by_index(self) -> dict[int, Operation]:
        """The operations by their index in the log."""
        return {operation.index: operation for operation in self.operations}

    @cached_property
    def consumers(self) -> dict[int, tuple[tuple[int, int], ...]]:
        """For each operation, ``(consumer, operand position)`` of every use of its result."""
        uses: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for operation in self.operations:
            for position, (kind, source) in enumerate(operation.inputs):
                if kind == "operation":
                    uses[int(source)].append((operation.index, position))
        return {index: tuple(found) for index, found in uses.items()}

    def paths_in(self, index: int) -> tuple[int, ...]:
        """Return the operand positions of an operation that carry a gradient."""
        operation = self.by_index[index]
        return tuple(k for k, (kind, _) in enumerate(operation.inputs) if kind != "constant")

    @cached_property
    def cut_classes(self) -> tuple[tuple[Cut, ...], ...]:
        """All cuts, those grouped that must have the same effect.

        Cutting the only use of a result is cutting the operation that made it; cutting the only
        operand of an operation is cutting the operation.
        """
        leader: dict[Cut, Cut] = {}

        def find(cut: Cut) -> Cut:
            while leader.setdefault(cut, cut) != cut:
                cut = leader[cut]
            return cut

        for operation in self.operations:
            whole: Cut = (operation.index, None)
            find(whole)
            paths = self.paths_in(operation.index)
            for position in paths:
                find((operation.index, position))
            if len(paths) == 1:
                leader[find((operation.index, paths[0]))] = find(whole)
            uses = self.consumers.get(operation.index, ())
            if len(uses) == 1:
                leader[find(uses[0])] = find(whole)
        classes: dict[Cut, list[Cut]] = defaultdict(list)
        # The whole of an operation comes before its operands.
        for cut in sorted(leader, key=lambda cut: tuple(k for k in cut if k is not None)):
            classes[find(cut)].append(cut)
        return tuple(tuple(members) for members in classes.values())

    @cached_property
    def loops(self) -> tuple[tuple[int, ...], ...]:
        """The operations that one expression of the source ran several times, in order."""
        runs: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for operation in self.operations:
            runs[self.expression(operation.index)].append(operation.index)
        return tuple(tuple(found) for found in runs.values() if len(found) > 1)

    def expression(self, index: int) -> tuple[object, ...]:
        """Return what tells the source expression of an operation from all others."""
        operation = self.by_index[index]
        site = operation.site
        return site.file, site.line, site.column, site.end_line, site.end_column, operation.name

    def reached_from(self, index: int) -> frozenset[int]:
        """Return the operations that depend on the result of one."""
        reached: set[int] = set()
        waiting = [index]
        while waiting:
            for user, _ in self.consumers.get(waiting.pop(), ()):
                if user not in reached:
                    reached.add(user)
                    waiting.append(user)
        return frozenset(reached)

    def reaches(self, index: int, later: int) -> bool:
        """Say whether one operation depends on the result of another.

        What ran after it is not looked at, and what leads farthest first: a loop hands its state
        on from step to step in a few operations of the many that a step has.
        """
        if (index, later) not in self._reaches:
            self._reaches[index, later] = self._is_reached(index, later)
        return self._reaches[index, later]

    @cached_property
    def _reaches(self) -> dict[tuple[int, int], bool]:
        return {}

    def _is_reached(self, index: int, later: int) -> bool:
        seen: set[int] = set()
        waiting = [-index]
        while waiting:
            for user, _ in self.consumers.get(-heappop(waiting), ()):
                if user == later:
                    return True
                if user < later and user not in seen:
                    seen.add(user)
                    heappush(waiting, -user)
        return False

    def reaches_any(self, index: int, later: AbstractSet[int]) -> bool:
        """Say whether one of some operations depends on the result of another.

        They are looked for in the order in which they ran, and no further than the last of them:
        the next step of a loop is near.
        """
        before = {one: self._few_before[one] for one in later}
        if any(index in found for found in before.values() if found is not None):
            return True
        sought = {one for one, found in before.items() if found is None}
        last = max(sought, default=index)
        seen: set[int] = set()
        waiting = [index]
        while waiting and last > index:
            for user, _ in self.consumers.get(heappop(waiting), ()):
                if user in sought:
                    return True
                if user < last and user not in seen:
                    seen.add(user)
                    heappush(waiting, user)
        return False

    @cached_property
    def _few_before(self) -> dict[int, frozenset[int] | None]:
        """For each operation, those that it depends on; None of more than a few.

        What every step of a loop makes of the parameters alone depends on next to nothing: a look
        through all that follows would not find it.
        """
        found: dict[int, frozenset[int] | None] = {}
        for operation in self.operations:
            before: set[int] | None = set()
            for kind, source in operation.inputs:
                if kind != "operation" or before is None:
                    continue
                earlier = found.get(int(source))
                before = None if earlier is None else before | earlier | {int(source)}
            few = before is not None and len(before) <= FEW_BEFORE
            found[operation.index] = frozenset(before) if few and before is not None else None
        return found

    @cached_property
    def parameters_behind(self) -> dict[int, frozenset[str]]:
        """For each operation, the parameters that its result depends on."""
        behind: dict[int, frozenset[str]] = {}
        for operation in self.operations:
            found: set[str] = set()
            for kind, source in operation.inputs:
                if kind == "parameter":
                    found.add(str(source))
                elif kind == "operation":
                    found |= behind.get(int(source), frozenset())
            behind[operation.index] = frozenset(found)
        return behind

    def behind_all(self, indices: Iterable[int]) -> frozenset[str]:
        """Return the parameters that any of some operations' results depend on."""
        return frozenset().union(*(self.parameters_behind[index] for index in indices))

    @cached_property
    def varying(self) -> frozenset[int]:
        """The operations of loops in which a constant number differs from run to run."""
        found: set[int] = set()
        for run in self.loops:
            numbers = {
                tuple(what for kind, what in self.by_index[i].inputs if kind == "constant")
                for i in run
            }
            if len(numbers) > 1:
                found.update(run)
        return frozenset(found)

    @cached_property
    def in_long_loop(self) -> frozenset[int]:
        """The operations of loops of more runs than a few layers make."""
        return frozenset(index for run in self.loops if len(run) >= FEW_RUNS for index in run)

    @cached_property
    def in_very_long_loop(self) -> frozenset[int]:
        """The operations of loops of so many runs that one of them alone is never looked at."""
        return frozenset(index for run in self.loops if len(run) > MANY_RUNS for index in run)

    @cached_property
    def in_loop(self) -> frozenset[int]:
        """The operations whose expression ran several times."""
        return frozenset(index for run in self.loops for index in run)


def graph_of(trace: Trace) -> Graph:
    """Return the graph of a trace."""
    return Graph(trace.operations)


def detailed(trace: Trace | None) -> DetailedTrace | None:
    """Return the trace if it hands out values and cotangents, else None."""
    offered = all(hasattr(trace, name) for name in ("value", "cotangents", "pull", "local"))
    return cast(DetailedTrace, trace) if offered else None


def cut_alteration(cut: Cut) -> tuple[int, Alteration]:
    """Return the alteration that makes a cut."""
    index, operand = cut
    if operand is None:
        return index, Alteration("constant")
    return index, Alteration("drop_operand", operand=operand)
