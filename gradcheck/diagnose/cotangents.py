"""Mistakes in the gradient of an intermediate result: transposed, or times a factor too many."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from gradcheck.diagnose.evidence import Array, Evidence
from gradcheck.diagnose.finding import Finding, spoken
from gradcheck.diagnose.graph import Graph, detailed
from gradcheck.diagnose.operations import MATRIX_PRODUCTS
from gradcheck.diagnose.repeated import overwritten_results
from gradcheck.diagnose.sites import in_words, location
from gradcheck.diagnose.sketch import Sketch
from gradcheck.diagnose.space import Space
from gradcheck.tracing.contract import DetailedTrace, Operation

if TYPE_CHECKING:
    from gradcheck.diagnose.passes import Passes


@dataclass(frozen=True, eq=False)
class _Attempt:
    """A wrong addition ``extra`` to the cotangents of the results of some operations."""

    cause: str
    operation: Operation
    extra: Mapping[int, Array]
    words: str
    remedy: str
    local: bool = False


def _logistic_slope(z: Array) -> Array:
    with np.errstate(over="ignore"):
        y = 1.0 / (1.0 + np.exp(-z))
    return y * (1.0 - y)


_SLOPES: tuple[tuple[str, Callable[[Array], Array]], ...] = (
    ("y * (1 - y) with y = sigmoid(z)", _logistic_slope),
    ("1 - tanh(z)**2", lambda z: 1.0 - np.tanh(z) ** 2),
    ("z > 0", lambda z: (z > 0).astype(np.float64)),
)
"""Derivatives of activations, as functions of what goes into them."""


def cotangent_findings(
    evidence: Evidence, space: Space, graph: Graph, passes: Passes
) -> list[Finding]:
    """Return what a wrong gradient of one intermediate result explains, one at most.

    Half of the passes that are left may be spent: pairs of mistakes need some, too.
    """
    trace = detailed(evidence.trace)
    if trace is None:
        return []
    cotangents = trace.cotangents()
    largest = passes.limits.largest
    kept = {i: c for i, c in cotangents.items() if largest is None or c.size <= largest}
    # First where just the wrong parameters lie behind, then where others do as well.
    fitting = (
        attempt
        for wanted in (operator.eq, operator.gt)
        for attempt in _attempts(trace, graph, kept)
        if wanted(graph.behind_all(attempt.extra), space.wrong)
    )
    if passes.sketch is not None:
        fitting = (attempt for attempt in fitting if _may_explain(attempt, passes.sketch))
    for attempt in islice(fitting, passes.left // 2):
        change = passes.pulled(attempt.extra, {}, background={})
        if change is None or not np.isfinite(change).all():
            continue
        explained = space.changed(change) & space.matched(change) & space.wrong
        if not explained or explained != space.wrong or space.changed(change) - explained:
            continue
        if passes.confirmed(explained):
            return [_finding(attempt, evidence, space, graph)]
    return []


def _may_explain(attempt: _Attempt, sketch: Sketch) -> bool:
    """Say whether what is added may explain an error, by its components along a few directions."""
    extra = {("operation", index): part for index, part in attempt.extra.items()}
    found = sketch.given(list(extra), list(extra.values()))
    return bool(np.isfinite(found).all()) and sketch.explains(found, by_factor=False)


def _attempts(
    trace: DetailedTrace, graph: Graph, cotangents: Mapping[int, Array]
) -> Iterator[_Attempt]:
    yield from _transposed(trace, graph, cotangents)
    yield from _overwritten(trace, graph, cotangents)
    yield from _extra_slopes(trace, graph, cotangents)


def _overwritten(
    trace: DetailedTrace, graph: Graph, cotangents: Mapping[int, Array]
) -> Iterator[_Attempt]:
    for operation, extra in overwritten_results(trace, graph, cotangents):
        yield _Attempt(
            "term_missing",
            operation,
            extra,
            "keeps the last contribution of a loop only: they overwrite each other instead of "
            "being added",
            "Add each contribution with `+=`.",
        )


def _transposed(
    trace: DetailedTrace, graph: Graph, cotangents: Mapping[int, Array]
) -> Iterator[_Attempt]:
    remedy = "Transpose it back: check the order of the factors of the matrix product."
    for operation in graph.operations:
        index, c = operation.index, cotangents.get(operation.index)
        if c is None or c.ndim != 2 or c.shape[0] != c.shape[1] or index in graph.in_long_loop:
            continue
        yield _Attempt("transpose", operation, {index: c.T - c}, "is transposed", remedy)
        if operation.name not in MATRIX_PRODUCTS:
            continue
        words = "is used transposed for one of the factors of this product"
        handed = zip(trace.local(index, c.T), trace.local(index, c), strict=True)
        for (kind, source), (wrong, right) in zip(operation.inputs, handed, strict=True):
            if kind == "operation" and wrong is not None and right is not None:
                extra = {int(source): wrong - right}
                yield _Attempt("transpose", operation, extra, words, remedy, local=True)


def _extra_slopes(
    trace: DetailedTrace, graph: Graph, cotangents: Mapping[int, Array]
) -> Iterator[_Attempt]:
    for operation in graph.operations:
        c = cotangents.get(operation.index)
        if c is None or c.ndim == 0 or operation.index in graph.in_long_loop:
            continue
        value = trace.value(operation.index)
        for words, slope in _SLOPES:
            yield _Attempt(
                "extra_activation_derivative",
                operation,
                {operation.index: c * slope(value) - c},
                f"is multiplied by {words} once too often (z is that result)",
                f"Leave out the factor {words}: it is contained in the gradient already.",
            )


def _finding(attempt: _Attempt, evidence: Evidence, space: Space, graph: Graph) -> Finding:
    operation = attempt.operation
    names = tuple(name for name in evidence.names if name in space.wrong)
    uses = graph.consumers.get(operation.index, ())
    places = [location(operation.site)]
    if not attempt.local:
        # What is done to a result's gradient is done where the result is used.
        places = [location(graph.by_index[user].site) for user, _ in uses] + places
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
