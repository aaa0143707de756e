"""Which alterations to try, in which order: whole lines before single runs of a loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gradcheck.diagnose.graph import Cut, Graph, cut_alteration
from gradcheck.diagnose.operations import CURVED, MASKING, MATRIX_PRODUCTS, is_elementwise
from gradcheck.tracing.contract import Alteration, Operation

LONGEST_CHAIN = 6
"""Elementwise operations that may make up one activation, such as 1 / (1 + exp(-z))."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One alteration to try.

    Attributes:
        kind: ``"cut"`` (the derivative is linear in the strength of a cut, so that one pass stands
            for every factor), ``"identity"``, ``"twice"`` or ``"transpose"``.
        alterations: what ``Trace.backward`` is given.
        sites: indices of the operations meant, those first that the alteration is made at; the
            others have the same effect.
        runs: which runs of a loop are meant: ``""`` (no loop), ``"every"``, ``"last"``,
            ``"first"``, ``"all but the last"``, ``"all but the first"`` or ``"one"``.
        n_runs: how many runs the loop has.
    """

    kind: str
    alterations: Mapping[int, Alteration]
    sites: tuple[int, ...]
    operand: int | None = None
    runs: str = ""
    n_runs: int = 1


def trials(graph: Graph) -> Iterator[Trial]:
    """Yield every trial, those first that say most for one backward pass."""
    yield from _single_local(graph)
    yield from _single_cuts(graph, inside_loops=False)
    yield from _whole_loops(graph)
    yield from _chains(graph)
    yield from _partial_loops(graph)
    yield from _single_cuts(graph, inside_loops=True)


def _single_local(graph: Graph) -> Iterator[Trial]:
    for operation in graph.operations:
        if operation.index not in graph.in_loop:
            for kind, alteration in _local(operation, graph):
                sites = (operation.index,)
                yield Trial(kind, {operation.index: alteration}, sites, alteration.operand)


def _local(operation: Operation, graph: Graph) -> Iterator[tuple[str, Alteration]]:
    if is_elementwise(operation):
        paths = graph.paths_in(operation.index)
        if len(paths) == 1 or operation.name in MASKING or operation.name in CURVED:
            yield "identity", Alteration("identity")
        else:
            for position in paths:
                yield "identity", Alteration("identity", operand=position)
        yield "twice", Alteration("twice")
    if operation.name in MATRIX_PRODUCTS:
        for position in graph.paths_in(operation.index):
            yield "transpose", Alteration("transpose_operand", operand=position)


def _single_cuts(graph: Graph, *, inside_loops: bool) -> Iterator[Trial]:
    for members in graph.cut_classes:
        looped = any(index in graph.in_loop for index, _ in members)
        if looped == inside_loops:
            index, alteration = cut_alteration(members[0])
            sites = tuple(dict.fromkeys(i for i, _ in members))
            runs = "one" if inside_loops else ""
            yield Trial("cut", {index: alteration}, sites, members[0][1], runs)


def _whole_loops(graph: Graph) -> Iterator[Trial]:
    for run in graph.loops:
        first = graph.by_index[run[0]]
        for kind, alteration in _local(first, graph):
            changes = dict.fromkeys(run, alteration)
            yield Trial(kind, changes, run[:1], alteration.operand, "every", len(run))
        for cut in _cuts_of_run(graph, run):
            yield _loop_cut(run, run, cut, "every")


def _partial_loops(graph: Graph) -> Iterator[Trial]:
    for run in graph.loops:
        for cut in _cuts_of_run(graph, run):
            yield _loop_cut(run[-1:], run, cut, "last")
            yield _loop_cut(run[:1], run, cut, "first")
            if len(run) > 2:
                yield _loop_cut(run[1:], run, cut, "all but the first")
                yield _loop_cut(run[:-1], run, cut, "all but the last")


def _cuts_of_run(graph: Graph, run: tuple[int, ...]) -> Iterator[int | None]:
    common = set(graph.paths_in(run[0]))
    for index in run[1:]:
        common &= set(graph.paths_in(index))
    yield None
    if len(common) > 1 or any(len(graph.paths_in(index)) > 1 for index in run):
        yield from sorted(common)


def _loop_cut(
    chosen: tuple[int, ...], run: tuple[int, ...], operand: int | None, which: str
) -> Trial:
    cuts: list[Cut] = [(index, operand) for index in chosen]
    return Trial(
        "cut", dict(cut_alteration(cut) for cut in cuts), chosen[:1], operand, which, len(run)
    )


def _chains(graph: Graph) -> Iterator[Trial]:
    """Yield runs of elementwise operations of one variable, taken as one activation."""
    follows: dict[int, int] = {}
    for operation in graph.operations:
        uses = graph.consumers.get(operation.index, ())
        if len(uses) == 1 and _unary(graph, operation.index) and _unary(graph, uses[0][0]):
            follows[operation.index] = uses[0][0]
    for start in follows:
        chain = [start]
        while chain[-1] in follows and len(chain) < LONGEST_CHAIN:
            chain.append(follows[chain[-1]])
            names = [graph.by_index[index].name for index in chain]
            if any(name in CURVED or name in MASKING for name in names):
                sites = (chain[-1], *chain[:-1])
                for kind in ("identity", "twice"):
                    yield Trial(kind, dict.fromkeys(chain, Alteration(kind)), sites)


def _unary(graph: Graph, index: int) -> bool:
    operation = graph.by_index[index]
    if len(graph.paths_in(index)) != 1:
        return False
    position = graph.paths_in(index)[0]
    known = operation.name in CURVED or operation.name in MASKING
    return operation.input_shapes[position] == operation.output_shape and (
        known
        or operation.name
        in {"add", "subtract", "negative", "multiply", "divide", "true_divide", "positive"}
    )
