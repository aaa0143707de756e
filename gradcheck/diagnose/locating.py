"""Where in the forward code a finding belongs that was made without the trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gradcheck.diagnose.evidence import Evidence
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.graph import Graph, graph_of
from gradcheck.diagnose.sites import location
from gradcheck.report import Location
from gradcheck.tracing.contract import Operation


def locate(
    finding: Finding, evidence: Evidence, regularisers: Sequence[tuple[str, Operation]]
) -> Finding:
    """Give a finding without a place the operation that it is about in the forward code.

    That is the regulariser, for a mistake about it, else where the parameter is first read.
    """
    if finding.location is not None or evidence.trace is None:
        return finding
    if finding.cause.startswith("reg_") and regularisers:
        own = [op for name, op in regularisers if name in finding.parameters]
        usual = own or [op for _, op in regularisers]
        squares = [op for op in usual if op.name in ("square", "power", "multiply")] or usual
        lines = dict.fromkeys(location(operation.site) for operation in squares)
        first, *rest = lines
        others = tuple(place for place in rest if place.line != first.line)
        return replace(finding, location=first, also=others)
    if finding.cause in ("unexplained", "isolated_entries", "low_precision_accumulation"):
        return finding
    graph: Graph = graph_of(evidence.trace)
    places = _lookups(finding, graph)
    for name in finding.parameters if not places else ():
        for operation in graph.operations:
            if ("parameter", name) in operation.inputs:
                places.append(location(operation.site))
                break
    if not places:
        return finding
    by_line: dict[tuple[str, int], Location] = {}
    for place in places:
        by_line.setdefault((place.file, place.line), place)
    distinct = tuple(by_line.values())
    return replace(finding, location=distinct[0], also=distinct[1:])


def _lookups(finding: Finding, graph: Graph) -> list[Location]:
    """Return the look-ups of what depends on a parameter alone, those of loops first."""
    if finding.cause != "duplicate_indices":
        return []
    names = frozenset(finding.parameters)
    found = [
        operation
        for operation in graph.operations
        if operation.name in ("getitem", "take")
        and graph.parameters_behind[operation.index] <= names
    ]
    found.sort(key=lambda operation: operation.index not in graph.in_loop)
    return [location(operation.site) for operation in found]
