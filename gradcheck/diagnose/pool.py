"""Which other values of the same shape could have been used in the place of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradcheck.diagnose.evidence import Array, Evidence
from gradcheck.diagnose.flow import Flow, Handing
from gradcheck.diagnose.plan import MOST_LAYERS
from gradcheck.diagnose.sites import in_words


@dataclass(frozen=True, eq=False)
class Other:
    """A value by run, in words, and the operation that it is the result of, if it is one."""

    values: Array
    words: str
    index: int | None = None


@dataclass(frozen=True, eq=False)
class Pool:
    """The values of a trace and of what surrounds it, by shape."""

    flow: Flow
    evidence: Evidence

    @cached_property
    def _single(self) -> dict[tuple[int, ...], list[Other]]:
        """Values that exist once: inputs, and the results outside long loops."""
        found: dict[tuple[int, ...], list[Other]] = {}

        def keep(value: Array, words: str, index: int | None = None) -> None:
            if largest is None or value.size <= largest:
                found.setdefault(value.shape, []).append(Other(value[None], words, index))

        graph, largest = self.flow.graph, self.flow.largest
        for operation in graph.operations:
            if operation.index not in graph.in_long_loop and self.flow.fits(operation, 1):
                value = self.flow.value(operation.index)
                keep(value, f"the result of {in_words(operation)}", operation.index)
        for name, value in (*self.evidence.values.items(), *self.evidence.data.items()):
            array = np.asarray(value, dtype=np.float64)
            keep(array, f"{name} itself")
            if array.ndim == 2:
                keep(np.ascontiguousarray(array.T), f"the transpose of {name}")
        for words, value in self._looked_up():
            keep(value, words)
        return found

    def _looked_up(self) -> Iterator[tuple[str, Array]]:
        """Yield the look-ups of the loss with another of the index arrays among the inputs."""
        tables: dict[int, Array] = {}
        for operation in self.flow.graph.operations:
            if operation.name in ("getitem", "take") and len(operation.output_shape) > 0:
                if operation.index in self.flow.graph.in_long_loop:
                    continue
                if not self.flow.fits(operation, 1):
                    continue
                table = self.flow.operands(operation.index)[0]
                tables.setdefault(hash((table.shape, table.tobytes())), table)
        for table in tables.values():
            for name, indices in self.evidence.integer_arrays.items():
                if table.ndim and indices.size and indices.ndim == 1:
                    low, high = int(indices.min()), int(indices.max())
                    if low >= -table.shape[0] and high < table.shape[0]:
                        yield f"the rows that {name} names", table[indices]

    @cached_property
    def _loops(self) -> dict[tuple[int, ...], list[tuple[int, ...]]]:
        """The loops of more than a few runs, by the shape of their results."""
        found: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for run in self.flow.graph.loops:
            shapes = {self.flow.graph.by_index[index].output_shape for index in run}
            if len(shapes) == 1:
                found.setdefault(shapes.pop(), []).append(run)
        return found

    def of_shape(self, shape: tuple[int, ...], like: Handing) -> Iterator[Other]:
        """Yield the values of a shape that there are in the passes of ``like``."""
        n = len(like.runs)
        for other in self._single.get(shape, ()):
            if n > 1 and other.index is not None and other.index in self.flow.graph.in_loop:
                continue
            yield Other(np.broadcast_to(other.values, (n, *shape)), other.words, other.index)
        for run in self._loops.get(shape, ()):
            for chosen in _aligned(run, n):
                index = chosen[0]
                words = f"the result of {in_words(self.flow.graph.by_index[index])}"
                yield Other(self._stacked(chosen), words, index)

    @cached_property
    def _stacks(self) -> dict[tuple[int, ...], Array]:
        return {}

    def _stacked(self, run: tuple[int, ...]) -> Array:
        if run not in self._stacks:
            self._stacks[run] = np.stack([self.flow.value(index) for index in run])
        return self._stacks[run]


def _aligned(run: tuple[int, ...], n: int) -> Iterator[tuple[int, ...]]:
    """Yield the runs of another loop that may go with ``n`` passes."""
    if len(run) == n:
        yield run
    elif len(run) == n + 1 and n >= MOST_LAYERS // 2:
        yield run[:n]
        yield run[1:]
    elif n > 1 and len(run) % n == 0:
        # A helper that is called several times in each pass.
        times = len(run) // n
        for first in range(times):
            yield run[first::times]
