"""Two mistakes at once: pairs of altered operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradcheck.diagnose.causes import SPECIFICITY, Explanation, cause_of
from gradcheck.diagnose.evidence import Array, Evidence
from gradcheck.diagnose.factors import Factor, name_factor
from gradcheck.diagnose.finding import Finding, spoken
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.plan import Trial
from gradcheck.diagnose.sites import in_words, location
from gradcheck.diagnose.space import Space
from gradcheck.tracing.contract import Alteration

if TYPE_CHECKING:
    from gradcheck.diagnose.passes import Passes

PROMISING = 0.2
"""A pair is looked at closely when it leaves at most this part of the error."""

MOST_COLUMNS = 1000
"""Single alterations that pairs are made of."""

MOST_VERIFIED = 12
"""Pairs that are verified with a backward pass of their own."""


@dataclass(frozen=True, eq=False)
class Column:
    """A trial and the change of the gradient that it makes, as far as it is known.

    ``components`` are those of the change along some directions, ``error`` those of the error.
    """

    trial: Trial
    change: Array | None
    components: Array | None = None
    error: Array | None = None


def pair_findings(
    columns: list[Column], evidence: Evidence, space: Space, graph: Graph, passes: Passes
) -> list[Finding]:
    """Return the first pair of alterations that reproduces the whole gradient, if any does.

    Pairs are ranked by least squares as if their changes added up, which they do unless one lies
    on the other's path; a backward pass with both alterations decides.
    """
    usable = [column for column in columns if len(column.trial.alterations) == 1][:MOST_COLUMNS]
    for one, other, alterations in _promising(usable, evidence, space):
        change = passes.change(alterations)
        if change is None:
            continue
        if space.matched(change) == frozenset(space.names) and passes.confirmed(space.names):
            whole = [(column.trial, _whole(column, passes)) for column in (one, other)]
            return [_finding(whole, alterations, evidence, space, graph)]
    return []


def _whole(column: Column, passes: Passes) -> Array:
    """Return the whole change that a column stands for; nothing where no pass is left for it."""
    change = column.change
    if change is None:
        change = passes.change(column.trial.alterations)
    return np.zeros_like(passes.base) if change is None else change


def _promising(
    columns: list[Column], evidence: Evidence, space: Space
) -> Iterator[tuple[Column, Column, dict[int, Alteration]]]:
    if len(columns) < 2:
        return
    seen = all(column.components is not None for column in columns)
    vectors = [c.components if seen else c.change for c in columns]
    matrix = np.stack([vector for vector in vectors if vector is not None])
    given = columns[0].error
    error = space.residual if not seen or given is None else given
    ranked = _ranked(matrix @ matrix.T, matrix @ error, float(error @ error))
    count = 0
    for i, j, x, y in ranked:
        one, other = columns[i], columns[j]
        for alterations in _combined(one.trial, other.trial, x, y, evidence):
            yield one, other, alterations
            count += 1
            if count >= MOST_VERIFIED:
                return


def _ranked(gram: Array, right: Array, total: float) -> list[tuple[int, int, float, float]]:
    """Return pairs of columns with their strengths by least squares, the best first."""
    own = np.diag(gram)
    determinant = np.outer(own, own) - gram**2
    usable = np.triu(determinant > 1e-10 * np.outer(own, own), 1)
    determinant = np.where(usable, determinant, 1.0)
    x = (right[:, None] * own[None, :] - right[None, :] * gram) / determinant
    y = (right[None, :] * own[:, None] - right[:, None] * gram) / determinant
    left = np.maximum(total - x * right[:, None] - y * right[None, :], 0.0)
    first, second = np.nonzero(usable & (left <= PROMISING * total))
    order = np.argsort(left[first, second], kind="stable")[: 4 * MOST_VERIFIED]
    chosen = zip(first[order], second[order], strict=True)
    return [(int(i), int(j), float(x[i, j]), float(y[i, j])) for i, j in chosen]


def _combined(
    one: Trial, other: Trial, x: float, y: float, evidence: Evidence
) -> Iterator[dict[int, Alteration]]:
    first, second = _alteration(one, x, evidence), _alteration(other, y, evidence)
    if first is None or second is None:
        return
    (i,), (j,) = one.alterations, other.alterations
    if i != j:
        yield {i: first, j: second}


def _alteration(trial: Trial, strength: float, evidence: Evidence) -> Alteration | None:
    """Return the alteration of a trial at the strength that least squares found for it."""
    (alteration,) = trial.alterations.values()
    if trial.kind != "cut":
        return alteration  # on another's path the strength says little; a pass decides
    factor = 1.0 - strength
    if abs(factor) < 1e-6:
        return alteration
    named = next(name_factor(factor, evidence), None)
    if named is None:
        return None
    kind = "scale" if trial.operand is None else "scale_operand"
    return Alteration(kind, operand=trial.operand, factor=named.value)


def _finding(
    whole: list[tuple[Trial, Array]],
    alterations: Mapping[int, Alteration],
    evidence: Evidence,
    space: Space,
    graph: Graph,
) -> Finding:
    names = tuple(name for name in evidence.names if name in space.wrong)
    causes, words, places = [], [], []
    for trial, change in whole:
        (index,) = trial.alterations
        value = alterations[index].factor if alterations[index].kind.startswith("scale") else 0.0
        named = next(name_factor(value, evidence), Factor(value, f"{value:g}", "cut"))
        factor = named if trial.kind == "cut" else None
        parameters = space.changed(change) & space.wrong
        explanation = Explanation(trial, factor, change, parameters, False, "exact")
        causes.append(cause_of(explanation, evidence, space, graph))
        operation = graph.by_index[trial.sites[0]]
        words.append(in_words(operation))
        places.append(location(operation.site))
    order = sorted((0, 1), key=lambda k: -SPECIFICITY[causes[k]])
    message = (
        f"The gradient of {spoken(names)} is exactly what two mistakes together give: "
        f"{_mistake(causes[order[0]])} at {words[order[0]]} and {_mistake(causes[order[1]])} at "
        f"{words[order[1]]}."
    )
    return Finding(
        cause=causes[order[0]],
        parameters=names,
        message=message,
        remedy="Correct the backward pass at both lines.",
        confidence="exact",
        specificity=SPECIFICITY[causes[order[0]]],
        evidence={"causes": [causes[k] for k in order], "lines": [places[k].line for k in order]},
        location=places[order[0]],
        also=(places[order[1]],),
        n_sites=2,
    )


def _mistake(cause: str) -> str:
    return cause.replace("_", " ")
