"""Is the gradient exactly right for a backward pass with one derivative wrong?

Every recorded operation's derivative is altered in turn, with the forward values unchanged, and the
gradient that results is compared with the user's, to roundoff. The gradient is linear in how much
of a cotangent is handed on, so that the pass with nothing handed on (a cut) also tells the gradient
for every other factor, and which factor the user's gradient has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from gradcheck.diagnose.causes import Explanation, findings_from
from gradcheck.diagnose.cotangents import cotangent_findings
from gradcheck.diagnose.evidence import Array, Evidence
from gradcheck.diagnose.factors import Factor, name_factor, unnamed
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.graph import Graph, detailed, graph_of
from gradcheck.diagnose.handed import handed_findings
from gradcheck.diagnose.limits import flowing, limits_for, untried
from gradcheck.diagnose.pairs import Column, pair_findings
from gradcheck.diagnose.passes import Passes, gradient_of, quick
from gradcheck.diagnose.places import is_recurrence
from gradcheck.diagnose.plan import Trial, shifts, trials
from gradcheck.diagnose.probes import probe_findings
from gradcheck.diagnose.regulariser import is_regulariser
from gradcheck.diagnose.sketch import WIDER, wider
from gradcheck.diagnose.space import Space, make_space
from gradcheck.diagnose.tied import to_all_that_share
from gradcheck.tracing.contract import Alteration, Operation

_CUT = Factor(0.0, "0", "cut")


@dataclass(frozen=True)
class Counterfactuals:
    """What altered backward passes explain, and where the loss has its regularisers.

    ``regularisers`` holds pairs of a parameter and an operation through which the loss depends on
    it in proportion to its square. ``untried`` says in words what the limits have left out.
    """

    findings: tuple[Finding, ...] = ()
    regularisers: tuple[tuple[str, Operation], ...] = ()
    untried: str = ""


def match_counterfactuals(evidence: Evidence, *, max_passes: int) -> Counterfactuals:
    """Alter the trace's backward pass in every way that the budget allows."""
    if evidence.trace is None:
        return Counterfactuals()
    graph = graph_of(evidence.trace)
    traced = gradient_of(evidence.trace, evidence)
    trace = quick(evidence.trace, traced)
    if trace is not evidence.trace:
        evidence = replace(evidence, trace=trace)
    names = frozenset(traced)
    n_entries = sum(evidence.facts[name].value.size for name in names & set(evidence.names))
    operations = graph.operations
    limits = limits_for(
        n_entries,
        len(names),
        flowing(operations),
        len(operations),
        max_passes=max_passes,
        n_written=getattr(trace, "n_numbers", None),
    )
    space = make_space(evidence, names, sampled=limits.sampled)
    if not space.failing or not graph.operations:
        return Counterfactuals()
    if not limits.passes:
        left_out = untried(limits, operations, n_entries, ran_out=True, unsketched=True)
        return Counterfactuals(untried=left_out)
    passes = Passes(evidence, trace, space, limits, space.vector(traced))
    del traced
    passes.detach_shifts(shifts(graph))
    passes.draw_sketch(graph)
    tried = _try_all(trials(graph), evidence, space, graph, passes)
    findings = list(findings_from(tried.explanations, evidence, space, graph))
    findings += _further(findings, tried, evidence, space, graph, passes)
    left_out = untried(
        limits,
        graph.operations,
        n_entries,
        ran_out=passes.ran_out,
        unsketched=passes.unsketched,
    )
    return Counterfactuals(tuple(findings), tuple(tried.regularisers), left_out)


def _may_regularise(trial: Trial, graph: Graph) -> bool:
    """Say whether a cut may take a regulariser out: a term of the loss of one parameter alone."""
    if len(trial.alterations) != 1:
        return False
    return any(
        len(graph.parameters_behind[index]) == 1 and index not in graph.in_long_loop
        for index in trial.sites
    )


def _is_unlikely(trial: Trial, graph: Graph) -> bool:
    """Say whether other mistakes in a loop of steps are likelier: these wait for their turn."""
    if trial.kind == "factor":
        return next(iter(trial.alterations.values())).factor != -1.0
    if trial.runs == "all but the first":
        return not is_recurrence(trial, graph)
    return trial.runs == "all but the last"


@dataclass(frozen=True)
class _Tried:
    """What a round of trials found: explanations, the changes made, and regularisers."""

    explanations: list[Explanation]
    columns: list[Column]
    regularisers: list[tuple[str, Operation]]
    postponed: list[Trial]


def _try_all(
    wanted: Iterable[Trial],
    evidence: Evidence,
    space: Space,
    graph: Graph,
    passes: Passes,
    *,
    postpone: bool = True,
) -> _Tried:
    tried = _Tried([], [], [], [])
    for trial in wanted:
        # Some runs of a loop alone are the least likely place: leave something for other looks.
        if trial.runs not in ("", "every", "last") and passes.left <= passes.reserved:
            passes.ran_out = True
            continue
        # Single cuts also tell where the regularisers are, of other parameters as well.
        single = trial.kind == "cut" and trial.runs == ""
        if not single and not graph.behind_all(trial.alterations) & space.wrong:
            continue
        foreseen = None if passes.sketch is None else passes.sketch.predicted(trial)
        if foreseen is not None and passes.sketch is not None:
            by_factor = trial.kind == "cut"
            regulariser = by_factor and _may_regularise(trial, graph)
            if not regulariser and not passes.sketch.explains(foreseen, by_factor=by_factor):
                if foreseen.any():
                    tried.columns.append(Column(trial, None))
                continue
        elif postpone and passes.sketch is not None and _is_unlikely(trial, graph):
            tried.postponed.append(trial)
            continue
        change = passes.change(trial.alterations)
        if passes.left <= 0 and change is None:
            break
        if change is None or not space.changed(change):
            continue
        if trial.kind == "cut":
            name = regularised(change, evidence, space)
            tried.regularisers.extend((name, graph.by_index[i]) for i in trial.sites if name)
        tried.explanations.extend(explain(trial, change, evidence, space, passes))
        if (len(tried.columns) + 1) * change.size <= passes.limits.stored:
            tried.columns.append(Column(trial, change))
    return tried


def _further(
    findings: list[Finding],
    tried: _Tried,
    evidence: Evidence,
    space: Space,
    graph: Graph,
    passes: Passes,
) -> list[Finding]:
    """Look further for the parameters that no single alteration explains exactly."""

    def left(found: list[Finding]) -> frozenset[str]:
        exact = (f for f in (*findings, *found) if f.confidence == "exact")
        return space.wrong - {name for finding in exact for name in finding.parameters}

    found: list[Finding] = []
    if not passes.limits.singly:
        passes.unsketched |= bool(left(found))
        late = _try_all(tried.postponed, evidence, space, graph, passes, postpone=False)
        return [*findings_from(late.explanations, evidence, space, graph)]
    if left(found):
        found += cotangent_findings(evidence, space, graph, passes)
    if left(found):
        found += handed_findings(evidence, space, graph, passes, left(found))
    if left(found):
        late = _try_all(tried.postponed, evidence, space, graph, passes, postpone=False)
        found += findings_from(late.explanations, evidence, space, graph)
    if left(found):
        found += _behind_ties(evidence, space, graph, passes)
    if left(found):
        probed, stopped = probe_findings(evidence, graph, left(found), most=passes.limits.probed)
        found += probed
        passes.ran_out |= stopped
    if left(found):
        found += _beside(tried, left(found), evidence, space, graph, passes)
    if left(found):
        found += pair_findings(_seen(tried.columns, passes), evidence, space, graph, passes)
    return found


def _behind_ties(
    evidence: Evidence, space: Space, graph: Graph, passes: Passes
) -> tuple[Finding, ...]:
    """Look for a forgotten mask where entries that share a maximum all get its gradient."""
    trace = detailed(evidence.trace)
    shared = {} if trace is None else to_all_that_share(trace, graph)
    change = passes.change(shared) if shared else None
    if change is None or space.changed(change):
        return ()
    passes.take_as_made(shared, change, space)
    identities = (trial for trial in trials(graph) if trial.kind == "identity")
    tried = _try_all(identities, evidence, space, graph, passes)
    passes.take_back(space)
    return findings_from(tried.explanations, evidence, space, graph)


def _seen(columns: list[Column], passes: Passes) -> list[Column]:
    """Return columns with their components along more directions, where only a few were made."""
    whole = [column for column in columns if column.change is not None]
    if passes.sketch is None or passes.left <= WIDER:
        return whole
    if WIDER * flowing(passes.sketch.flow.graph.operations) > passes.limits.stored:
        return whole
    passes.left -= 1 + WIDER
    sketch = wider(passes.sketch, passes.space, passes.background)
    seen = []
    for column in columns:
        change = column.change
        found = sketch.predicted(column.trial) if change is None else sketch.of(change)
        if found is not None:
            seen.append(replace(column, components=found))
    return [replace(column, error=sketch.residual) for column in seen]


def _beside(
    tried: _Tried,
    left: frozenset[str],
    evidence: Evidence,
    space: Space,
    graph: Graph,
    passes: Passes,
) -> tuple[Finding, ...]:
    """Take a mistake that explains some parameters as made, and look for another in the rest."""
    made = next(
        (
            e
            for e in tried.explanations
            if e.confidence == "exact" and e.factor is None and not e.alone
        ),
        None,
    )
    if made is None:
        return ()
    rest = replace(
        space,
        residual=space.residual - made.change,
        failing=tuple(name for name in space.failing if name in left),
    )
    passes.take_as_made(made.trial.alterations, made.change, rest)
    second = _try_all(trials(graph), evidence, rest, graph, passes)
    passes.take_back(space)
    return findings_from(second.explanations, evidence, rest, graph)


def explain(
    trial: Trial, change: Array, evidence: Evidence, space: Space, passes: Passes
) -> Iterator[Explanation]:
    """Yield what a trial explains: of a cut, with each factor that some parameter shows."""
    if trial.kind != "cut":
        factor = None
        if trial.kind == "factor":
            value = next(iter(trial.alterations.values())).factor
            factor = next(name_factor(value, evidence), unnamed(value))
        found = _judged(trial, factor, change, space, passes)
        if found is not None:
            yield found
        return
    tried: list[float] = []
    for name in sorted(space.changed(change) & space.wrong, key=space.names.index):
        for factor in _factors_shown(name, change, evidence, space):
            if any(abs(factor.value - value) <= 1e-9 * max(1.0, abs(value)) for value in tried):
                continue
            scaled = _scaled(trial, factor, change, passes)
            found = None if scaled is None else _judged(trial, factor, scaled, space, passes)
            if found is not None and name in found.parameters:
                tried.append(factor.value)
                yield found
                break


def _factors_shown(name: str, change: Array, evidence: Evidence, space: Space) -> Iterator[Factor]:
    """Yield the factors on the cut path that one parameter's residual shows, named ones first."""
    along, residual = space.part(change, name), space.part(space.residual, name)
    strength = float(along @ residual) / float(along @ along)
    left = np.abs(residual - strength * along)
    # A first look: only a residual along the change can be explained by any factor.
    if np.linalg.norm(left) > 1e-3 * np.linalg.norm(residual):
        return
    factor = 1.0 - strength
    if abs(factor) <= 1e-3:
        yield _CUT
    yield from name_factor(factor, evidence)
    telling = int(np.count_nonzero(np.abs(along) > 1e-9 * np.abs(along).max()))
    if telling >= 3:
        yield unnamed(factor)


def _scaled(trial: Trial, factor: Factor, change: Array, passes: Passes) -> Array | None:
    """Return the change that ``factor`` on the cut path makes.

    The runs of a loop may follow one another, and then the factors multiply: only a pass can tell.
    """
    if passes.space.picks and factor.value == 0.0:
        return passes.change(trial.alterations)  # what it makes is compared entry by entry
    if factor.value == 0.0:
        return change
    if len(trial.alterations) == 1 and not passes.space.picks:
        return change * (1.0 - factor.value)
    kind = "scale" if trial.operand is None else "scale_operand"
    alteration = Alteration(kind, operand=trial.operand, factor=factor.value)
    return passes.change(dict.fromkeys(trial.alterations, alteration))


def _judged(
    trial: Trial, factor: Factor | None, change: Array, space: Space, passes: Passes
) -> Explanation | None:
    changed, matched = space.changed(change), space.matched(change)
    explained = changed & matched & space.wrong
    if explained and passes.confirmed(explained):
        alone = bool(changed - matched - space.wrong)
        return Explanation(trial, factor, change, explained, alone, "exact")
    if changed and space.nearly(change) and not (changed - space.wrong):
        return Explanation(trial, factor, change, space.wrong, alone=False, confidence="possible")
    return None


def regularised(change: Array, evidence: Evidence, space: Space) -> str | None:
    """Return the parameter that a cut changes in proportion to the parameter itself, if any."""
    changed = space.changed(change)
    if len(changed) != 1:
        return None
    (name,) = changed
    return name if is_regulariser(change, (name,), evidence, space) else None
