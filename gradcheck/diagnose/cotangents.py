"""Mistakes in the gradient of an intermediate result: transposed, or times a factor too many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from gradcheck.diagnose.evidence import Array, Evidence
from gradcheck.diagnose.finding import Finding, spoken
from gradcheck.diagnose.graph import Graph, detailed
from gradcheck.diagnose.sites import in_words, location
from gradcheck.diagnose.space import Space
from gradcheck.tracing.contract import DetailedTrace, Operation


@dataclass(frozen=True, eq=False)
class _Attempt:
    cause: str
    operation: Operation
    cotangent: Array
    words: str
    remedy: str


def _logistic_slope(z: Array) -> Array:
    y = 1.0 / (1.0 + np.exp(-np.clip(z, -700, 700)))
    return y * (1.0 - y)


_SLOPES: tuple[tuple[str, Callable[[Array], Array]], ...] = (
    ("y * (1 - y) with y = sigmoid(z)", _logistic_slope),
    ("1 - tanh(z)**2", lambda z: 1.0 - np.tanh(z) ** 2),
    ("z > 0", lambda z: (z > 0).astype(np.float64)),
)
"""Derivatives of activations, as functions of what goes into them."""


def cotangent_findings(
    evidence: Evidence, space: Space, graph: Graph, *, max_passes: int
) -> list[Finding]:
    """Return what a wrong gradient of one intermediate result explains, the best at most."""
    trace = detailed(evidence.trace)
    if trace is None:
        return []
    cotangents = trace.cotangents()
    for number, attempt in enumerate(_attempts(trace, graph, cotangents)):
        if number >= max_passes:
            break
        index = attempt.operation.index
        extra = trace.pull({index: attempt.cotangent - cotangents[index]})
        change = space.vector(extra)
        if not np.isfinite(change).all():
            continue
        explained = space.changed(change) & space.matched(change) & space.wrong
        if explained and explained == space.wrong and not space.changed(change) - explained:
            return [_finding(attempt, evidence, space, graph)]
    return []


def _attempts(
    trace: DetailedTrace, graph: Graph, cotangents: Mapping[int, Array]
) -> Iterator[_Attempt]:
    for operation in graph.operations:
        c = cotangents.get(operation.index)
        if c is not None and c.ndim == 2 and c.shape[0] == c.shape[1]:
            yield _Attempt(
                "transpose",
                operation,
                c.T,
                "is transposed",
                "Transpose it back: check the order of the factors of the matrix product.",
            )
    for operation in graph.operations:
        c = cotangents.get(operation.index)
        if c is None or c.ndim == 0:
            continue
        value = trace.value(operation.index)
        for words, slope in _SLOPES:
            yield _Attempt(
                "extra_activation_derivative",
                operation,
                c * slope(value),
                f"is multiplied by {words} once too often (z is that result)",
                f"Leave out the factor {words}: it is contained in the gradient already.",
            )


def _finding(attempt: _Attempt, evidence: Evidence, space: Space, graph: Graph) -> Finding:
    operation = attempt.operation
    names = tuple(name for name in evidence.names if name in space.wrong)
    uses = graph.consumers.get(operation.index, ())
    places = [location(graph.by_index[user].site) for user, _ in uses]
    places.append(location(operation.site))
    unique = list({(place.file, place.line): place for place in places}.values())
    return Finding(
        cause=attempt.cause,
        parameters=names,
        message=f"The gradient of {spoken(names)} is exactly what you get when the gradient by "
        f"the result of {in_words(operation)} {attempt.words}.",
        remedy=attempt.remedy,
        confidence="exact",
        specificity=66,
        evidence={"operation": operation.name, "index": operation.index},
        location=unique[0],
        also=tuple(unique[1:]),
    )
