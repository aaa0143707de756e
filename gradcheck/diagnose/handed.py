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
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from gradcheck.diagnose.evidence import Array, Evidence
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.flow import Handing, Source
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.handed_findings import best_of, finding_of
from gradcheck.diagnose.pool import Pool
from gradcheck.diagnose.sketch import Sketch
from gradcheck.diagnose.space import Space
from gradcheck.diagnose.wrong import Wrong, wrong_extremes, wrong_ignored, wrong_slopes
from gradcheck.diagnose.wrong_products import wrong_matrix_products, wrong_products
from gradcheck.diagnose.wrong_shares import wrong_normalisations, wrong_shares
from gradcheck.diagnose.wrong_sums import wrong_broadcasts, wrong_reductions
from gradcheck.tracing.contract import Alteration

if TYPE_CHECKING:
    from gradcheck.diagnose.passes import Passes

MOST_WORK = 400_000_000
"""Products of numbers that the scalar products may cost in all."""

MOST_CONFIRMED = 12
_CLOSE = 1e-9
_DIGITS = 9.0
"""A match has to say at least this many decimal digits more than chance."""


def handed_findings(
    evidence: Evidence, space: Space, graph: Graph, passes: Passes, left: frozenset[str]
) -> list[Finding]:
    """Return what a wrong rule for one expression explains.

    One finding for all wrong parameters, or one for each of those that are ``left``.
    """
    sketch = passes.sketch
    if sketch is None or not _telling(space):
        return []
    pool = Pool(sketch.flow, evidence)
    everything = (*sketch.flow.activations(), *sketch.flow.handings())
    handings = [here for here in everything if _behind(here, graph) & space.wrong]
    whole = _linear(handings, pool, sketch, _rows(sketch, None), evidence, space, passes)
    if whole is not None:
        return [whole]
    inner = {index for here in handings for chain in here.chains for index in chain}
    repeating = [
        here
        for here in handings
        if here.repeats
        and _behind(here, graph) >= space.wrong
        and (here.chains or here.runs[0] not in inner)
    ]
    found = _repeating(repeating, pool, evidence, space, passes)
    if found is not None:
        return [found]
    findings: list[Finding] = []
    for b in range(sketch.n_wrong):
        done = {name for finding in findings for name in finding.parameters}
        names = (sketch.blocks[b] & left) - done
        if names and len(sketch.blocks) > 1:
            nearer = [here for here in handings if _behind(here, graph) >= names]
            part = _linear(nearer, pool, sketch, _rows(sketch, b), evidence, space, passes)
            findings += [] if part is None else [part]
    return findings


def _rows(sketch: Sketch, block: int | None) -> Array:
    """Return the sums of directions to look along: all parameters', or one block's."""
    n, blocks = sketch.n_each, len(sketch.blocks)
    if block is None:
        return np.tile(np.eye(n), blocks)
    return np.eye(n * blocks)[block * n : (block + 1) * n]


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


def _wrongs(here: Handing, pool: Pool) -> Iterable[Wrong]:
    if here.chains:
        return wrong_slopes(here, pool)
    return chain(
        wrong_reductions(here),
        wrong_broadcasts(here),
        wrong_slopes(here, pool),
        wrong_ignored(here),
        wrong_extremes(here),
        wrong_products(here, pool),
        wrong_matrix_products(here, pool),
        wrong_normalisations(here, pool),
        wrong_shares(here, pool),
    )


def _linear(
    handings: list[Handing],
    pool: Pool,
    sketch: Sketch,
    rows: Array,
    evidence: Evidence,
    space: Space,
    passes: Passes,
) -> Finding | None:
    """Judge every rule whose change is linear, by its components along some directions."""
    work = confirmed = 0
    found: list[Finding] = []
    wanted, slack = rows @ sketch.residual, rows @ sketch.slack
    for here in handings:
        if here.repeats and any(kind == "operation" for kind, _ in here.sources):
            continue
        moved = rows @ sketch.stacked(here.sources)
        if not moved.any():
            continue
        right = sketch.joined(here.sources, here.right)
        length = np.linalg.norm(moved, axis=1)
        for wrong in _wrongs(here, pool):
            work += here.right.size
            if work > MOST_WORK or confirmed >= MOST_CONFIRMED or passes.left <= 0:
                passes.ran_out = True
                return best_of(found)
            with np.errstate(all="ignore"):
                handed = np.asarray(wrong.rule(here.cotangent, slice(None)), dtype=np.float64)
            extra = sketch.joined(here.sources, handed) - right
            if not np.isfinite(extra).all():
                continue
            dropped = rows @ _dropped(here, sketch) if wrong.drops_others else 0.0
            off = np.abs(moved @ extra + dropped - wanted)
            if (off > slack + _CLOSE * (length * np.linalg.norm(extra) + np.abs(wanted))).any():
                continue
            confirmed += 1
            one = _made(here, wrong, handed - here.right, evidence, space, passes)
            found += [] if one is None else [one]
    return best_of(found)


def _others(here: Handing) -> Iterator[tuple[Source, Array]]:
    """Yield what the other operands of the runs are handed, with their sources."""
    graph, flow = here.flow.graph, here.flow
    for index in here.runs:
        for operand in graph.paths_in(index):
            handed = flow.local(index, operand)
            if operand != here.operand and handed is not None:
                yield graph.by_index[index].inputs[operand], handed


def _dropped(here: Handing, sketch: Sketch) -> Array:
    """Return the components of what is missing when the other operands get nothing."""
    others = list(_others(here))
    return sketch.given([source for source, _ in others], [-handed for _, handed in others])


def _made(
    here: Handing, wrong: Wrong, extra: Array, evidence: Evidence, space: Space, passes: Passes
) -> Finding | None:
    """Make the rule's whole change, and compare it with the error entry by entry."""
    given: dict[int, Array] = {}
    direct: dict[str, Array] = {}
    parts = [*zip(here.sources, extra, strict=True)]
    if wrong.drops_others:
        parts += [(source, -handed) for source, handed in _others(here)]
    for (kind, source), part in parts:
        if kind == "operation":
            index = int(source)
            given[index] = given[index] + part if index in given else part
        else:
            name = str(source)
            direct[name] = direct[name] + part if name in direct else part
    change = passes.pulled(given, direct)
    if change is None or not np.isfinite(change).all():
        return None
    return _judged(here, wrong, change, evidence, space, passes)


def _judged(
    here: Handing,
    wrong: Wrong,
    change: Array,
    evidence: Evidence,
    space: Space,
    passes: Passes,
) -> Finding | None:
    changed = space.changed(change)
    explained = changed & space.matched(change) & space.wrong
    if not explained or changed & space.wrong - explained or not passes.confirmed(explained):
        return None
    return finding_of(here, wrong, explained, evidence, alone=bool(changed - explained))


def _repeating(
    handings: list[Handing], pool: Pool, evidence: Evidence, space: Space, passes: Passes
) -> Finding | None:
    """Try rules of loops whose passes follow one another, by altered backward passes."""
    kept = passes.left // 5
    for rank in (0, 1, 2):
        waiting = [(here, _distinct(here, pool, rank=rank)) for here in handings]
        while waiting:
            for here, wrongs in list(waiting):
                wrong = next(wrongs, None)
                if wrong is None:
                    waiting.remove((here, wrongs))
                    continue
                if passes.left <= kept:
                    passes.ran_out = True
                    return None
                change = passes.change(_alterations(here, wrong))
                found = None
                if change is not None:
                    found = _judged(here, wrong, change, evidence, space, passes)
                if found is not None and set(found.parameters) == space.wrong:
                    return found
    return None


def _distinct(here: Handing, pool: Pool, *, rank: int) -> Iterator[Wrong]:
    """Yield the rules that hand on something wrong, and each of these once."""
    seen: list[Array] = [here.right]
    size = float(np.abs(here.right).max(initial=0.0))
    for wrong in _wrongs(here, pool):
        if wrong.rank != rank:
            continue
        with np.errstate(all="ignore"):
            handed = np.asarray(wrong.rule(here.cotangent, slice(None)), dtype=np.float64)
        if np.isfinite(handed).all() and not any(
            np.abs(handed - other).max(initial=0.0) <= 1e-12 * size for other in seen
        ):
            seen.append(handed)
            yield wrong


def _alterations(here: Handing, wrong: Wrong) -> dict[int, Alteration]:
    def of_run(k: int) -> Callable[[Array], Array]:
        return lambda c: np.asarray(wrong.rule(c[None], slice(k, k + 1)))[0]

    if here.chains:
        # The whole derivative is put where the result is; the rest of a chain only hands on.
        inner = (index for chain in here.chains for index in chain[:-1])
        made = dict.fromkeys(inner, Alteration("identity"))
        last = {index: Alteration("rule", rule=of_run(k)) for k, index in enumerate(here.runs)}
        return made | last
    return {
        index: Alteration("rule", operand=here.operand, rule=of_run(k))
        for k, index in enumerate(here.runs)
    }
