"""Which wrong rule for what one expression hands on makes just the user's gradient?

Thousands of wrong rules are told apart without a backward pass for each. The change that a rule
makes in the gradient is linear in what it hands on wrongly, and its component along a direction of
the parameters is the scalar product with the tangent of the operand along that direction. A few
tangents of the whole trace therefore judge every rule at every expression by scalar products; only
what fits all of them is confirmed by a pull of its own. Where a mistake in a loop meets itself in
the next pass the change is not linear, and a rule costs one altered backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from gradcheck.diagnose.evidence import Array, Evidence
from gradcheck.diagnose.finding import Finding, spoken
from gradcheck.diagnose.flow import Flow, Handing
from gradcheck.diagnose.graph import Graph, detailed
from gradcheck.diagnose.pool import Pool
from gradcheck.diagnose.sites import in_words, location
from gradcheck.diagnose.space import Space
from gradcheck.diagnose.wrong import Wrong, wrong_extremes, wrong_slopes
from gradcheck.diagnose.wrong_products import wrong_matrix_products, wrong_products
from gradcheck.diagnose.wrong_shares import wrong_normalisations, wrong_shares
from gradcheck.diagnose.wrong_sums import wrong_broadcasts, wrong_reductions
from gradcheck.tracing.contract import Alteration

if TYPE_CHECKING:
    from gradcheck.diagnose.counterfactual import Passes

N_DIRECTIONS = 3
"""Random directions that a rule has to fit before a pull confirms it."""

MOST_WORK = 400_000_000
"""Products of numbers that the scalar products may cost in all."""

MOST_CONFIRMED = 12
_CLOSE = 1e-9
_DIGITS = 9.0
"""A match has to say at least this many decimal digits more than chance."""


@dataclass(frozen=True, eq=False)
class _Aim:
    """Directions of the parameters with the components of the error along them."""

    names: frozenset[str]
    directions: tuple[dict[str, Array], ...]
    tangents: tuple[dict[int, Array], ...]
    wanted: Array
    slack: Array

    def stacked(self, here: Handing, k: int) -> Array:
        """Return how the operands of the runs move along direction ``k``."""
        moved = []
        for (kind, source), shape in zip(here.sources, (p.shape for p in here.right), strict=True):
            if kind == "operation":
                moved.append(self.tangents[k][int(source)].reshape(shape))
            else:
                moved.append(self.directions[k][str(source)].reshape(shape))
        return np.stack(moved)


def handed_findings(
    evidence: Evidence, space: Space, graph: Graph, passes: Passes
) -> list[Finding]:
    """Return what a wrong rule for one expression explains, one finding at most."""
    trace = detailed(evidence.trace)
    if trace is None or not _telling(space):
        return []
    flow = Flow(trace, graph)
    pool = Pool(flow, evidence)
    handings = [here for here in flow.handings() if _behind(here, graph) & space.wrong]
    for aim in _aims(trace_of=flow, space=space, passes=passes):
        found = _linear(handings, pool, aim, evidence, space, passes)
        if found is not None:
            return [found]
    repeating = [h for h in handings if h.repeats and _behind(h, graph) >= space.wrong]
    found = _repeating(repeating, pool, evidence, space, passes)
    return [] if found is None else [found]


def _telling(space: Space) -> bool:
    """Say whether the error has digits enough that no rule fits it by chance."""
    here = np.abs(space.residual) > space.tolerance
    digits = np.log10(np.abs(space.residual[here]) / space.tolerance[here])
    return bool(digits.sum() >= _DIGITS)


def _behind(here: Handing, graph: Graph) -> frozenset[str]:
    found: set[str] = set()
    for kind, source in here.sources:
        found |= {str(source)} if kind == "parameter" else graph.parameters_behind[int(source)]
    return frozenset(found)


def _aims(*, trace_of: Flow, space: Space, passes: Passes) -> Iterator[_Aim]:
    """Yield directions of all parameters together, then of each wrong one alone."""
    yield _aim(frozenset(space.names), trace_of, space, passes)
    if len(space.wrong) > 1:
        for name in space.failing[:6]:
            yield _aim(frozenset({name}), trace_of, space, passes)


def _aim(names: frozenset[str], flow: Flow, space: Space, passes: Passes) -> _Aim:
    rng = np.random.default_rng(20)
    chosen = np.zeros(space.residual.shape, bool)
    for name in names:
        chosen[space.slices[name]] = True
    use = chosen & space.known
    weights = [np.where(use, rng.standard_normal(use.shape), 0.0) for _ in range(N_DIRECTIONS)]
    directions = tuple(
        {
            name: (w / space.scale)[space.slices[name]].reshape(flow_shape)
            for name, flow_shape in space.shapes.items()
        }
        for w in weights
    )
    passes.left -= 1 + N_DIRECTIONS
    tangents = tuple(flow.trace.tangents(directions, passes.background))
    wanted = np.array([float(w @ space.residual) for w in weights])
    slack = np.array([4.0 * float(np.linalg.norm(w * space.tolerance)) for w in weights])
    return _Aim(names, directions, tangents, wanted, slack)


def _wrongs(here: Handing, pool: Pool) -> Iterable[Wrong]:
    return chain(
        wrong_reductions(here),
        wrong_broadcasts(here),
        wrong_slopes(here, pool),
        wrong_extremes(here),
        wrong_products(here, pool),
        wrong_matrix_products(here, pool),
        wrong_normalisations(here, pool),
        wrong_shares(here, pool),
    )


def _linear(
    handings: list[Handing], pool: Pool, aim: _Aim, evidence: Evidence, space: Space, passes: Passes
) -> Finding | None:
    """Judge every rule whose change is linear, by its components along the aim's directions."""
    work = confirmed = 0
    every = slice(None)
    for here in handings:
        own = all(kind == "parameter" for kind, _ in here.sources)
        if here.repeats and not own:
            continue
        moved = [aim.stacked(here, k).ravel() for k in range(N_DIRECTIONS)]
        if not any(m.any() for m in moved):
            continue
        right = here.right.ravel()
        length = float(np.linalg.norm(moved[0]))
        for wrong in _wrongs(here, pool):
            work += right.size
            if work > MOST_WORK or confirmed >= MOST_CONFIRMED or passes.left <= 0:
                return None
            with np.errstate(all="ignore"):
                handed = np.asarray(wrong.rule(here.cotangent, every), dtype=np.float64)
            extra = handed.ravel() - right
            if not np.isfinite(extra).all() or not _fits(extra, moved, length, aim):
                continue
            confirmed += 1
            found = _confirmed(here, wrong, handed - here.right, evidence, space, passes)
            if found is not None:
                return found
    return None


def _fits(extra: Array, moved: list[Array], length: float, aim: _Aim) -> bool:
    for k, along in enumerate(moved):
        off = abs(float(extra @ along) - aim.wanted[k])
        size = length * float(np.linalg.norm(extra)) if k == 0 else abs(aim.wanted[k])
        if not off <= aim.slack[k] + _CLOSE * max(size, abs(aim.wanted[k])):
            return False
    return True


def _confirmed(
    here: Handing, wrong: Wrong, extra: Array, evidence: Evidence, space: Space, passes: Passes
) -> Finding | None:
    """Make the rule's whole change, and compare it with the error entry by entry."""
    given: dict[int, Array] = {}
    direct: dict[str, Array] = {}
    for (kind, source), part in zip(here.sources, extra, strict=True):
        if kind == "operation":
            index = int(source)
            given[index] = given[index] + part if index in given else part
        else:
            name = str(source)
            direct[name] = direct[name] + part if name in direct else part
    change = passes.pulled(given, direct)
    if change is None or not np.isfinite(change).all():
        return None
    return _judged(here, wrong, change, evidence, space)


def _judged(
    here: Handing, wrong: Wrong, change: Array, evidence: Evidence, space: Space
) -> Finding | None:
    changed = space.changed(change)
    explained = changed & space.matched(change) & space.wrong
    if not explained or changed - explained:
        return None
    return _finding(here, wrong, explained, evidence)


def _repeating(
    handings: list[Handing], pool: Pool, evidence: Evidence, space: Space, passes: Passes
) -> Finding | None:
    """Try rules of loops whose passes follow one another, by altered backward passes."""
    waiting = [iter(_wrongs(here, pool)) for here in handings]
    kept = passes.left // 4
    while waiting:
        for place in range(len(waiting) - 1, -1, -1):
            wrong = next(waiting[place], None)
            if wrong is None:
                del waiting[place], handings[place]
                continue
            if passes.left <= kept:
                return None
            here = handings[place]
            change = passes.change(_alterations(here, wrong))
            found = None if change is None else _judged(here, wrong, change, evidence, space)
            if found is not None:
                return found
    return None


def _alterations(here: Handing, wrong: Wrong) -> dict[int, Alteration]:
    def of_run(k: int) -> Callable[[Array], Array]:
        return lambda c: np.asarray(wrong.rule(c[None], slice(k, k + 1)))[0]

    return {
        index: Alteration("rule", operand=here.operand, rule=of_run(k))
        for k, index in enumerate(here.runs)
    }


def _finding(here: Handing, wrong: Wrong, explained: frozenset[str], evidence: Evidence) -> Finding:
    names = tuple(name for name in evidence.names if name in explained)
    graph = here.flow.graph
    own = location(here.operation.site)
    places = {(own.file, own.line): own}
    others = [user for index in here.runs[:1] for user, _ in graph.consumers.get(index, ())]
    if wrong.other is not None:
        others.append(wrong.other)
    for index in others:
        place = location(graph.by_index[index].site)
        places.setdefault((place.file, place.line), place)
    many = f" (in each of its {len(here.runs)} runs)" if len(here.runs) > 1 else ""
    return Finding(
        cause=wrong.cause,
        parameters=names,
        message=f"The gradient of {spoken(names)} is exactly what you get when, in the backward "
        f"pass of {in_words(here.operation)}{many}, the gradient {wrong.words}.",
        remedy=wrong.remedy,
        confidence="exact",
        specificity=64,
        evidence={"operation": here.operation.name, "index": here.operation.index},
        location=own,
        also=tuple(places.values())[1:],
    )
