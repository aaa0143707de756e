"""Which alterations to try, in which order: whole lines before single runs of a loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from gradcheck.diagnose.graph import Cut, Graph, cut_alteration
from gradcheck.diagnose.operations import (
    CURVED,
    EXTREMES,
    LINEAR,
    MASKING,
    MATRIX_PRODUCTS,
    PRODUCTS,
    WRITES,
    is_elementwise,
)
from gradcheck.tracing.contract import Alteration, Operation

MOST_LAYERS = 4
"""An expression that ran at most this often is also altered in each run by itself."""

LONGEST_CHAIN = 6
"""Elementwise operations that may make up one activation, such as 1 / (1 + exp(-z))."""


_PARTS = {
    "last": slice(-1, None),
    "all but the first": slice(1, None),
    "all but the last": slice(None, -1),
    "first": slice(None, 1),
}
"""Runs of a loop that a backward loop may leave out, or overwrite."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One alteration to try.

    Attributes:
        kind: ``"cut"`` (the derivative is linear in the strength of a cut, so that one pass stands
            for every factor), ``"factor"``, ``"identity"``, ``"twice"`` or ``"transpose"``.
        alterations: what ``Trace.backward`` is given.
        sites: indices of the operations meant, those first that the alteration is made at; the
            others have the same effect.
        operand: of the operation it is made at; None for all operands.
        runs: which runs of a loop are meant: ``""`` (no loop), ``"every"``, ``"last"``,
            ``"first"``, ``"all but the last"``, ``"all but the first"`` or ``"one"``.
        n_runs: how many runs the loop has.
        edges: by operation, the operand of it that has this effect; None, or left out, where all of
            it has.
    """

    kind: str
    alterations: Mapping[int, Alteration]
    sites: tuple[int, ...]
    operand: int | None = None
    runs: str = ""
    n_runs: int = 1
    edges: Mapping[int, int | None] = field(default_factory=dict)


def trials(graph: Graph) -> Iterator[Trial]:
    """Yield every trial, those first that say most for one backward pass."""
    yield from _single_local(graph)
    yield from _single_cuts(graph, inside_loops=False)
    loops = _loop_cuts(graph)
    yield from _whole_loops(graph, loops)
    yield from _chains(graph)
    yield from _recurrences(graph)
    yield from _loop_factors(graph, loops, (-1.0,))
    yield from _partial_loops(loops)
    yield from _single_runs(graph)
    yield from _loop_factors(graph, loops, (2.0, 0.5))
    yield from _single_cuts(graph, inside_loops=True)


def shifts(graph: Graph) -> Iterator[Cut]:
    """Yield the maxima that code subtracts to keep ``exp`` from overflowing.

    Hand-written gradients leave them out, rightly so where the result does not depend on them.
    """
    for operation in graph.operations:
        uses = graph.consumers.get(operation.index, ())
        names = {graph.by_index[user].name for user, _ in uses}
        if operation.name in ("max", "min", "maximum_reduce", "reduce") and "subtract" in names:
            yield operation.index, None


def _single_local(graph: Graph) -> Iterator[Trial]:
    for operation in graph.operations:
        if operation.index not in graph.in_loop:
            for kind, alteration in _local(operation, graph):
                sites = (operation.index,)
                yield Trial(kind, {operation.index: alteration}, sites, alteration.operand)


def _single_runs(graph: Graph) -> Iterator[Trial]:
    for run in graph.loops:
        # A helper that is called for each of a few layers is one line that runs several times.
        if len(run) <= MOST_LAYERS:
            for index in run:
                for kind, alteration in _local(graph.by_index[index], graph):
                    which = {run[0]: "first", run[-1]: "last"}.get(index, "one")
                    sites = (index,)
                    yield Trial(
                        kind, {index: alteration}, sites, alteration.operand, which, len(run)
                    )


def _local(operation: Operation, graph: Graph) -> Iterator[tuple[str, Alteration]]:
    paths = graph.paths_in(operation.index)
    if is_elementwise(operation, varies=operation.index in graph.varying):
        # Only the operand of the result's shape can be handed its cotangent unchanged.
        same = [k for k in paths if operation.input_shapes[k] == operation.output_shape]
        if operation.name in WRITES:
            if 0 in same:
                yield "identity", Alteration("identity", operand=0)
        elif len(paths) == 1:
            yield "identity", Alteration("identity")
        else:
            for position in same:
                yield "identity", Alteration("identity", operand=position)
        if operation.name in CURVED or operation.name in PRODUCTS:
            for position in same or paths:
                yield "twice", Alteration("twice", operand=position)
    if operation.name in EXTREMES and len(paths) == 1:
        yield "identity", Alteration("identity")
    if operation.name in MATRIX_PRODUCTS:
        for position in paths:
            yield "transpose", Alteration("transpose_operand", operand=position)


def _single_cuts(graph: Graph, *, inside_loops: bool) -> Iterator[Trial]:
    for members in graph.cut_classes:
        looped = all(index in graph.in_loop for index, _ in members)
        if looped and any(index in graph.in_very_long_loop for index, _ in members):
            continue
        if looped == inside_loops and not _half_of_a_square(graph, members[0]):
            # The representative must be one whose operation is not in a loop, if there is one.
            outside = [cut for cut in members if cut[0] not in graph.in_loop] or list(members)
            index, alteration = cut_alteration(outside[0])
            sites = tuple(dict.fromkeys(i for i, _ in (*outside, *members)))
            runs = "one" if inside_loops else ""
            edges = _edges(members)
            yield Trial("cut", {index: alteration}, sites, outside[0][1], runs, edges=edges)


def _edges(cuts: Iterable[Cut]) -> dict[int, int | None]:
    """Return the operand that is cut of each operation, None where one cut is of all of it."""
    found: dict[int, int | None] = {}
    for index, operand in cuts:
        found[index] = None if found.get(index, operand) is None else operand
    return found


def _half_of_a_square(graph: Graph, cut: Cut) -> bool:
    """Say whether a cut takes one of two equal factors of ``x * x``: that is half, not a term."""
    index, operand = cut
    operation = graph.by_index[index]
    return (
        operand is not None
        and operation.name == "multiply"
        and len(operation.inputs) == 2
        and operation.inputs[0] == operation.inputs[1]
    )


@dataclass(frozen=True, eq=False)
class _LoopCut:
    """The same cut in every run of an expression, with the expressions where it has the effect."""

    run: tuple[int, ...]
    operand: int | None
    sites: tuple[int, ...]
    edges: Mapping[int, int | None]


def _loop_cuts(graph: Graph) -> tuple[_LoopCut, ...]:
    """Return the cuts of whole loops, one for those that must have the same effect."""
    classes = {cut: k for k, members in enumerate(graph.cut_classes) for cut in members}
    found: dict[frozenset[int], list[tuple[tuple[int, ...], int | None]]] = {}
    for run in graph.loops:
        for operand in _operands_of_run(graph, run):
            cuts: list[Cut] = [(i, operand) for i in run if _has(graph, i, operand)]
            if not any(_half_of_a_square(graph, cut) for cut in cuts):
                key = frozenset(classes[cut] for cut in cuts)
                found.setdefault(key, []).append((run, operand))
    loops = []
    for same in found.values():
        run, operand = same[0]
        sites = tuple(other[0] for other, _ in same)
        edges = _edges((other[0], operand) for other, operand in same)
        loops.append(_LoopCut(run, operand, sites, edges))
    return tuple(loops)


def _operands_of_run(graph: Graph, run: tuple[int, ...]) -> Iterator[int | None]:
    """Yield None for the whole operation, and the operands that carry a gradient in some run."""
    common = set(graph.paths_in(run[-1]))
    yield None
    if len(common) > 1:
        yield from (k for k in sorted(common) if all(k in graph.paths_in(i) for i in run))
        late = [k for k in sorted(common) if k not in graph.paths_in(run[0])]
        # The state before the first step may be a constant; the cut then starts at the second.
        yield from (k for k in late if all(k in graph.paths_in(i) for i in run[1:]))


def _whole_loops(graph: Graph, loops: tuple[_LoopCut, ...]) -> Iterator[Trial]:
    for run in graph.loops:
        for kind, alteration in _local(graph.by_index[run[-1]], graph):
            changes = {i: alteration for i in run if _has(graph, i, alteration.operand)}
            yield Trial(kind, changes, run[:1], alteration.operand, "every", len(run))
    for loop in loops:
        yield _loop_cut(loop, graph, loop.run, "every")


def _recurrences(graph: Graph) -> Iterator[Trial]:
    """Yield the cut of all ways on which a loop's result enters its next run."""
    for run in graph.loops:
        if not graph.reaches(run[0], run[1]):
            continue
        edges: dict[int, Cut] = {}
        for here, following in pairwise(run):
            for user, operand in graph.consumers.get(here, ()):
                if user == following or graph.reaches(user, following):
                    edges[user] = (user, None if user in edges else operand)
        if len(edges) >= len(run):
            alterations = dict(cut_alteration(cut) for cut in edges.values())
            yield Trial("cut", alterations, run[:1], None, "every", len(run))


def _partial_loops(loops: tuple[_LoopCut, ...]) -> Iterator[Trial]:
    for which, part in _PARTS.items():
        for loop in loops:
            if len(loop.run) > 2 or not which.startswith("all"):
                yield _loop_cut(loop, None, loop.run[part], which)


def _loop_factors(
    graph: Graph, loops: tuple[_LoopCut, ...], factors: tuple[float, ...]
) -> Iterator[Trial]:
    """Yield factors on loops whose runs follow one another, where no cut tells the factor."""
    for loop in loops:
        if graph.reaches(loop.run[0], loop.run[-1]):
            for factor in factors:
                kind = "scale" if loop.operand is None else "scale_operand"
                alteration = Alteration(kind, operand=loop.operand, factor=factor)
                changes = {i: alteration for i in loop.run if _has(graph, i, loop.operand)}
                yield Trial(
                    "factor",
                    changes,
                    loop.sites,
                    loop.operand,
                    "every",
                    len(loop.run),
                    loop.edges,
                )


def _loop_cut(loop: _LoopCut, graph: Graph | None, chosen: tuple[int, ...], which: str) -> Trial:
    cuts: list[Cut] = [
        (index, loop.operand)
        for index in chosen
        if graph is None or _has(graph, index, loop.operand)
    ]
    alterations = dict(cut_alteration(cut) for cut in cuts)
    return Trial("cut", alterations, loop.sites, loop.operand, which, len(loop.run), loop.edges)


def _has(graph: Graph, index: int, operand: int | None) -> bool:
    return operand is None or operand in graph.paths_in(index)


def _chains(graph: Graph) -> Iterator[Trial]:
    """Yield runs of elementwise operations of one variable, taken as one activation.

    Those that the same expressions of a loop made are altered together.
    """
    together: dict[tuple[object, ...], list[list[int]]] = {}
    for chain in unary_chains(graph):
        key = tuple(graph.expression(index) for index in chain)
        together.setdefault(key, []).append(chain)
    for chains in together.values():
        sites = tuple(reversed(chains[0]))
        members = [index for chain in chains for index in chain]
        runs = "every" if len(chains) > 1 else ""
        for kind in ("identity", "twice"):
            yield Trial(
                kind, dict.fromkeys(members, Alteration(kind)), sites, None, runs, len(chains)
            )


def unary_chains(graph: Graph) -> Iterator[list[int]]:
    """Yield elementwise operations of one variable that follow one another, as lists of indices."""
    follows: dict[int, int] = {}
    for operation in graph.operations:
        uses = graph.consumers.get(operation.index, ())
        if len(uses) == 1 and _unary(graph, operation.index) and _unary(graph, uses[0][0]):
            follows[operation.index] = uses[0][0]
    inner = set(follows.values())
    for start in follows:
        chain = [start]
        while chain[-1] in follows and len(chain) < LONGEST_CHAIN:
            chain.append(follows[chain[-1]])
            whole = start not in inner or chain[-1] not in follows
            names = [graph.by_index[index].name for index in chain]
            if whole and any(name in CURVED or name in MASKING for name in names):
                yield list(chain)


def _unary(graph: Graph, index: int) -> bool:
    operation = graph.by_index[index]
    if len(graph.paths_in(index)) != 1:
        return False
    position = graph.paths_in(index)[0]
    known = operation.name in CURVED or operation.name in MASKING
    return operation.input_shapes[position] == operation.output_shape and (
        known or operation.name in LINEAR
    )
