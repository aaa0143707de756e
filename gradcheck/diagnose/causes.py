"""From what an altered backward pass explains to a cause key, words and source lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gradcheck.diagnose.evidence import Array, Evidence
from gradcheck.diagnose.factors import Factor
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.matching import SLACK
from gradcheck.diagnose.operations import (
    CURVED,
    EXTREMES,
    MASKING,
    MATRIX_PRODUCTS,
    MEANS,
    PRODUCTS,
    SELECTIONS,
    STATISTICS,
    own_factor,
)
from gradcheck.diagnose.places import (
    averaged,
    divides,
    is_last_run,
    is_recurrence,
    of_extreme,
    spreads,
)
from gradcheck.diagnose.plan import Trial
from gradcheck.diagnose.regulariser import adds_up, is_regulariser
from gradcheck.diagnose.sites import location
from gradcheck.diagnose.space import Space
from gradcheck.diagnose.wording import word
from gradcheck.report import Location
from gradcheck.tracing.contract import Operation


@dataclass(frozen=True, eq=False)
class Explanation:
    """A trial that reproduces the user's gradient of some parameters.

    ``factor`` is what a cut path is multiplied by instead of being cut; None for other trials.
    ``alone`` says that the same alteration would change parameters that are right: the mistake is
    in what is handed to the explained parameters only.
    """

    trial: Trial
    factor: Factor | None
    change: Array
    parameters: frozenset[str]
    alone: bool
    confidence: str


SPECIFICITY = {
    "loss_ignores_parameter": 90,
    "zero_gradient": 85,
    "reg_missing": 80,
    "reg_scale": 80,
    "reg_extra": 80,
    "activation_mask_missing": 76,
    "activation_derivative_missing": 74,
    "extra_activation_derivative": 72,
    "last_step_missing": 70,
    "transpose": 68,
    "batch_not_divided": 66,
    "batch_divided_twice": 66,
    "factor_missing": 64,
    "sign": 63,
    "extra_factor": 62,
    "path_detached": 60,
    "term_missing": 59,
    "scale": 45,
}
"""How much each cause says: between equally good explanations the larger wins."""

_SUITED: dict[str, tuple[frozenset[str], ...]] = {
    "batch_not_divided": (MEANS, frozenset({"divide", "true_divide"}), frozenset({"multiply"})),
    "batch_divided_twice": (MEANS, frozenset({"divide", "true_divide"}), frozenset({"multiply"})),
    "scale": (
        frozenset({"var", "std"}),
        frozenset({"square", "power"}),
        MEANS | {"divide", "true_divide"},
        frozenset({"multiply"}),
    ),
    "sign": (frozenset({"subtract", "negative"}),),
    "path_detached": (MEANS | {"var", "std"}, STATISTICS),
    "term_missing": (SELECTIONS, PRODUCTS, frozenset({"add", "subtract"})),
    "reg_missing": (frozenset({"square", "power"}), frozenset({"multiply"}), frozenset({"sum"})),
    "reg_scale": (frozenset({"square", "power"}), frozenset({"multiply"}), frozenset({"sum"})),
    "zero_gradient": (MATRIX_PRODUCTS,),
}
"""Operations that a cause is most likely about, among those that explain exactly the same."""


def findings_from(
    explanations: Iterable[Explanation], evidence: Evidence, space: Space, graph: Graph
) -> tuple[Finding, ...]:
    """Turn explanations into findings: one for each cause, set of parameters and factor."""
    groups: dict[tuple[object, ...], list[Explanation]] = {}
    for explanation in _plainest(list(explanations), space):
        cause = cause_of(explanation, evidence, space, graph)
        factor = None if explanation.factor is None else f"{explanation.factor.value:.9g}"
        # A factor that is an array size is about the average, wherever else it could sit.
        sized = explanation.factor is not None and explanation.factor.size is not None
        alone = None if sized else explanation.alone
        key = (cause, explanation.parameters, alone, factor, explanation.confidence)
        groups.setdefault(key, []).append(explanation)
    return tuple(
        _finding(str(key[0]), group, evidence, space, graph) for key, group in groups.items()
    )


def _plainest(explanations: list[Explanation], space: Space) -> list[Explanation]:
    """Leave out what comes to the same as a plainer alteration.

    An identity that comes to the same as a cut: what it hands on cancels later. A cut in one run
    of a loop that comes to the same as the cut in every run: nothing flowed to the others. A chain
    of operations taken for the identity that comes to the same as a factor on one of them: what is
    masked or bent in it does not matter.
    """

    def same(one: Explanation, other: Explanation) -> bool:
        close = np.abs(one.change - other.change) <= SLACK * space.tolerance
        return one.parameters <= other.parameters and bool(close.all())

    cuts = [e for e in explanations if e.factor is not None and e.factor.value == 0.0]
    whole = [e for e in cuts if e.trial.runs in ("", "every")]
    factors = [e for e in explanations if e.factor is not None]
    kept = []
    for e in explanations:
        plainer = cuts if e.factor is None else whole if e.trial.runs in _PARTIAL else []
        if e.trial.kind == "identity" and len(e.trial.sites) > 1:
            plainer = [*plainer, *(o for o in factors if set(o.trial.sites) & set(e.trial.sites))]
        if not any(same(e, other) for other in plainer if other is not e):
            kept.append(e)
    return kept


_PARTIAL = frozenset({"last", "first", "all but the last", "all but the first", "one"})


def cause_of(explanation: Explanation, evidence: Evidence, space: Space, graph: Graph) -> str:
    """Return the cause key of an explanation."""
    trial, factor = explanation.trial, explanation.factor
    operation = graph.by_index[trial.sites[0]]
    if trial.kind == "transpose":
        return "transpose"
    if trial.kind == "twice":
        names = {graph.by_index[index].name for index in trial.alterations}
        return "extra_factor" if names <= PRODUCTS else "extra_activation_derivative"
    if trial.kind == "identity":
        return _identity_cause(trial, operation, graph)
    assert factor is not None
    proportional = is_regulariser(explanation.change, explanation.parameters, evidence, space)
    if proportional and any(adds_up(i, trial.edges.get(i), graph) for i in trial.sites):
        return "reg_missing" if factor.value == 0.0 else "reg_scale"
    if _is_slope_of_a_branch(trial, factor, graph):
        return "activation_mask_missing"
    if factor.kind == "sign":
        return "sign"
    if of_extreme(trial, factor, graph):
        return "scale"  # a maximum is no mean
    mean = averaged(trial, factor, graph)
    if mean is not None:
        return mean
    if factor.size == 2 and not divides(trial, graph):
        return "scale"  # 2 and 1/2 are more often numbers than sizes of arrays
    if factor.kind == "size":
        return "batch_not_divided"
    if factor.kind == "inverse_size":
        return "batch_divided_twice"
    if factor.value != 0.0:
        return "scale"
    return _cut_cause(explanation, evidence, graph)


def _identity_cause(trial: Trial, operation: Operation, graph: Graph) -> str:
    names = {graph.by_index[index].name for index in trial.alterations}
    if names & set(CURVED):
        return "activation_derivative_missing"
    if names & (set(MASKING) | EXTREMES):
        return "activation_mask_missing"
    # 1 / x is a curve, x / c a factor.
    reciprocal = operation.name != "multiply" and 0 not in graph.paths_in(operation.index)
    return "activation_derivative_missing" if reciprocal else "factor_missing"


def _is_slope_of_a_branch(trial: Trial, factor: Factor, graph: Graph) -> bool:
    """Say whether the constant slope of one branch is left out, as that of a leaky ReLU."""
    for index in trial.sites:
        operation = graph.by_index[index]
        users = graph.consumers.get(index, ())
        chosen = users and all(graph.by_index[user].name in MASKING for user, _ in users)
        if operation.name != "multiply" or not chosen:
            continue
        slope = own_factor(operation)
        if slope is not None and abs(slope * factor.value - 1.0) <= 1e-9:
            return True
    return False


def _cut_cause(explanation: Explanation, evidence: Evidence, graph: Graph) -> str:
    trial = explanation.trial
    if all(not evidence.facts[name].analytic.any() for name in explanation.parameters):
        return "zero_gradient"
    if _only_regulariser_left(explanation, evidence):
        return "path_detached"
    if trial.runs == "last":
        return "last_step_missing"
    if trial.runs == "all but the first" and is_recurrence(trial, graph):
        return "path_detached"
    if trial.runs in ("first", "all but the first", "all but the last", "one"):
        return "term_missing"
    if trial.runs == "" and is_last_run(trial, graph):
        return "last_step_missing"
    reached = graph.reached_from(trial.sites[0])
    if trial.runs == "every" and reached & set(trial.alterations):
        return "path_detached"
    names = {graph.by_index[index].name for index in trial.sites}
    if names & SELECTIONS:
        return "term_missing"
    whole = [i for i in trial.sites if _is_cut_whole(i, trial, graph)]
    if any(graph.by_index[index].name in STATISTICS for index in whole):
        return "path_detached"
    terms = PRODUCTS | {"add", "subtract", "negative"}
    return "term_missing" if names & terms else "path_detached"


def _only_regulariser_left(explanation: Explanation, evidence: Evidence) -> bool:
    """Say whether the analytic gradient is a multiple of the parameter: no data term is left."""
    for name in explanation.parameters:
        facts = evidence.facts[name]
        theta, claimed = facts.value[facts.known], facts.analytic[facts.known]
        if theta.size < 2 or not theta.any():
            return False
        strength = float(claimed @ theta) / float(theta @ theta)
        if np.abs(claimed - strength * theta).max() > 1e-9 * np.abs(claimed).max():
            return False
    return True


def _is_cut_whole(index: int, trial: Trial, graph: Graph) -> bool:
    """Say whether the cut is one of everything that this operation's result does."""
    if index == trial.sites[0]:
        return trial.operand is None
    return len(graph.consumers.get(index, ())) <= 1


def _finding(
    cause: str, group: list[Explanation], evidence: Evidence, space: Space, graph: Graph
) -> Finding:
    candidates = [(index, e) for e in group for index in e.trial.sites]
    index, explanation = min(candidates, key=lambda item: _suits(cause, item[0], item[1], graph))
    operation = graph.by_index[index]
    names = tuple(sorted(explanation.parameters, key=evidence.names.index))
    place = location(operation.site)
    message, remedy = word(cause, operation, names, explanation)
    details: dict[str, object] = {
        "alteration": explanation.trial.kind,
        "operation": operation.name,
        "index": operation.index,
        "runs": explanation.trial.runs,
        "parameters_alone": explanation.alone,
        "unexplained_part": _left(explanation, space),
    }
    if explanation.factor is not None:
        details["factor"] = explanation.factor.value
    whole = 4 if not explanation.alone else 0
    # One of two equal contributions with the wrong sign is both of them left out.
    solving = cause == "sign" and operation.name in ("solve", "inv", "cholesky")
    unnamed = explanation.factor is not None and explanation.factor.kind == "unnamed"
    specific = 22 if unnamed else SPECIFICITY[cause]
    if explanation.factor is not None and of_extreme(explanation.trial, explanation.factor, graph):
        specific = SPECIFICITY["batch_divided_twice"]
    return Finding(
        cause=cause,
        parameters=names,
        message=message,
        remedy=remedy,
        confidence=explanation.confidence,
        specificity=specific - 10 * solving + whole,
        evidence=details,
        location=place,
        also=_others(place, candidates, graph),
    )


def _suits(cause: str, index: int, explanation: Explanation, graph: Graph) -> tuple[int, ...]:
    """Return how well a place suits a cause, as numbers to compare: the smaller, the better."""
    operation, trial, factor = graph.by_index[index], explanation.trial, explanation.factor
    wanted = _SUITED.get(cause, ())
    rank = next((k for k, names in enumerate(wanted) if operation.name in names), len(wanted))
    # The mean over what the parameter was broadcast along.
    plainly = len(explanation.parameters) == 1 and spreads(index, trial, factor, graph)
    if factor is not None:
        plainly |= operation.name in EXTREMES and of_extreme(trial, factor, graph)
        own = own_factor(operation)  # a constant of its own, left out
        plainly |= own is not None and abs(own * factor.value - 1.0) <= 1e-9
    # A term is named by what computes it, not by the sum that it enters.
    entering = cause.startswith("reg_") and trial.edges.get(index) is not None
    altered = len(trial.alterations) if trial.kind != "cut" else 0
    return trial.runs == "one", altered, entering, not plainly, rank, -index


def _others(
    place: Location, candidates: list[tuple[int, Explanation]], graph: Graph
) -> tuple[Location, ...]:
    """Return one location for each other line that explains exactly the same."""
    lines = {(place.file, place.line)}
    found = []
    for index in sorted({index for index, _ in candidates}):
        other = location(graph.by_index[index].site)
        if (other.file, other.line) not in lines:
            lines.add((other.file, other.line))
            found.append(other)
    return tuple(found)


def _left(explanation: Explanation, space: Space) -> float:
    """Return the largest part of a parameter's error that stays unexplained, relative to it."""
    left = space.residual - explanation.change
    parts = []
    for name in explanation.parameters:
        error = float(np.linalg.norm(space.part(space.residual, name)))
        parts.append(float(np.linalg.norm(space.part(left, name))) / error if error else 0.0)
    return float(f"{max(parts):.3g}")
