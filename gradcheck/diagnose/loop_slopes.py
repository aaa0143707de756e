"""Activations of a loop whose derivative is wrong in every pass.

What a pass hands back goes through the same wrong derivative in the passes before it, so that only
an altered backward pass over the whole loop can tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradcheck.diagnose.cotangents import OF_RESULT, WRONG_SLOPES
from gradcheck.diagnose.evidence import Array, Evidence
from gradcheck.diagnose.finding import Finding, spoken
from gradcheck.diagnose.graph import Graph, detailed
from gradcheck.diagnose.operations import CURVED, MASKING, derivative_in_words
from gradcheck.diagnose.plan import unary_chains
from gradcheck.diagnose.sites import in_words, location
from gradcheck.diagnose.space import Space
from gradcheck.tracing.contract import Alteration, DetailedTrace, Operation

if TYPE_CHECKING:
    from gradcheck.diagnose.counterfactual import Passes

_Chain = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Attempt:
    """The same wrong derivative of one activation in several passes of a loop."""

    cause: str
    chains: tuple[_Chain, ...]
    alterations: Mapping[int, Alteration]
    words: str


def loop_slope_findings(
    evidence: Evidence, space: Space, graph: Graph, passes: Passes
) -> list[Finding]:
    """Return what a wrong derivative of one activation of a loop explains, one at most."""
    trace = detailed(evidence.trace)
    if trace is None:
        return []
    enough = passes.left // 4
    for attempt in _attempts(trace, graph):
        if passes.left <= enough:
            break
        if not graph.behind_all(attempt.alterations) >= space.wrong:
            continue
        change = passes.change(attempt.alterations)
        if change is None:
            continue
        explained = space.changed(change) & space.matched(change) & space.wrong
        if explained and explained == space.wrong and not space.changed(change) - explained:
            return [_finding(attempt, evidence, space, graph)]
    return []


def _attempts(trace: DetailedTrace, graph: Graph) -> Iterator[_Attempt]:
    groups = list(_groups(graph))
    for chains in groups:
        yield from _slopes(chains, trace, graph)
    for chains in groups:
        yield from _stale(chains, trace, graph)


def _groups(graph: Graph) -> Iterator[tuple[_Chain, ...]]:
    """Yield the runs of one activation, and those of a helper by where its result is used."""
    together: dict[tuple[object, ...], list[_Chain]] = defaultdict(list)
    chains = _longest(graph)
    inside = {index for chain in chains for index in chain}
    # What follows may differ in some pass, as after the last step: then no chain holds all runs.
    runs = (run for run in graph.loops if not inside.issuperset(run))
    singles = [(index,) for run in runs for index in run]
    for chain in (*chains, *singles):
        names = {graph.by_index[index].name for index in chain}
        one_variable = all(len(graph.paths_in(index)) == 1 for index in chain)
        if one_variable and names & (set(CURVED) | set(MASKING)):
            together[tuple(graph.expression(index) for index in chain)].append(chain)
    for runs_of_one in together.values():
        if len(runs_of_one) > 1:
            yield tuple(runs_of_one)
        called: dict[object, list[_Chain]] = defaultdict(list)
        for chain in runs_of_one:
            users = graph.consumers.get(chain[-1], ())
            called[frozenset(graph.expression(user) for user, _ in users)].append(chain)
        yield from (tuple(found) for found in called.values() if 1 < len(found) < len(runs_of_one))


def _longest(graph: Graph) -> list[_Chain]:
    """Return the chains that are no part of a longer one."""
    kept: list[_Chain] = []
    held: dict[int, _Chain] = {}
    for chain in sorted((tuple(c) for c in unary_chains(graph)), key=len, reverse=True):
        longer = held.get(chain[0], ())
        if not set(chain) <= set(longer):
            kept.append(chain)
            held.update((index, chain) for index in chain if index not in held)
    return sorted(kept)


def _slopes(chains: tuple[_Chain, ...], trace: DetailedTrace, graph: Graph) -> Iterator[_Attempt]:
    shape = graph.by_index[chains[0][-1]].output_shape
    ones = [np.ones(shape) for _ in chains]
    missing = "activation_derivative_missing"
    if graph.by_index[chains[0][-1]].name in MASKING:
        missing = "activation_mask_missing"
    yield _attempt(missing, chains, ones, "is left out")
    for cause, words, slope in WRONG_SLOPES:
        given = [slope(_operand(chain, trace, graph), trace.value(chain[-1])) for chain in chains]
        yield _attempt(cause, chains, given, f"is taken to be {words} (z goes in, y comes out)")


def _stale(chains: tuple[_Chain, ...], trace: DetailedTrace, graph: Graph) -> Iterator[_Attempt]:
    """Yield the derivatives taken at another result of the same pass."""
    last = graph.by_index[chains[0][-1]]
    slope = OF_RESULT.get("maximum" if last.name in MASKING else last.name)
    if slope is None:
        return
    for run in graph.loops:
        other = graph.by_index[run[0]]
        if len(run) == len(chains) and other.output_shape == last.output_shape and other != last:
            given = [slope(trace.value(index)) for index in run]
            yield _attempt("stale_value", chains, given, f"is taken at {in_words(other)}")


def _operand(chain: _Chain, trace: DetailedTrace, graph: Graph) -> Array:
    (position,) = graph.paths_in(chain[0])
    return trace.operand_values(chain[0])[position]


def _attempt(cause: str, chains: tuple[_Chain, ...], given: list[Array], words: str) -> _Attempt:
    alterations: dict[int, Alteration] = {}
    for chain, slope in zip(chains, given, strict=True):
        # The whole derivative is put where the result is; the rest of a chain only hands on.
        alterations.update(dict.fromkeys(chain[:-1], Alteration("identity")))
        alterations[chain[-1]] = Alteration("slope", slope=slope)
    return _Attempt(cause, chains, alterations, words)


def _finding(attempt: _Attempt, evidence: Evidence, space: Space, graph: Graph) -> Finding:
    names = tuple(name for name in evidence.names if name in space.wrong)
    first: Operation = graph.by_index[attempt.chains[0][-1]]
    own = location(first.site)
    places = {(own.file, own.line): own}
    for user, _ in graph.consumers.get(first.index, ()):
        place = location(graph.by_index[user].site)
        places.setdefault((place.file, place.line), place)
    return Finding(
        cause=attempt.cause,
        parameters=names,
        message=f"The gradient of {spoken(names)} is exactly what you get when the derivative of "
        f"{in_words(first)} {attempt.words}, in {len(attempt.chains)} passes of the loop.",
        remedy=f"Multiply by the derivative: {derivative_in_words(first)}.",
        confidence="exact",
        specificity=66,
        evidence={"operation": first.name, "index": first.index},
        location=own,
        also=tuple(places.values())[1:],
    )
