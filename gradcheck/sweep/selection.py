"""Which entries get a central difference of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import flat, parts
from gradcheck.noise import Noise
from gradcheck.oracles.parted import AnyEstimate
from gradcheck.problem import Problem
from gradcheck.report import Notice
from gradcheck.settings import Settings

if TYPE_CHECKING:
    from gradcheck.sweep.localize import Localisation

FULL_SWEEP = 5000
"""Entries of a problem up to which every one gets its central difference.

A count, and not the time that they would take: the same check chooses the same on any machine.
"""
FULL_TOGETHER = 20_000
"""The same where a torch target evaluates many entries at a time."""
TOGETHER = 16
"""Entries of every parameter that have to share an evaluation for that."""
SAMPLE = 500
"""Entries of each parameter that are drawn above that in a thorough check."""
FEW = 20
"""Entries of each parameter that are drawn beside what group testing finds."""
SUSPECTS = 12
"""Entries of a parameter that autograd contradicts and that are looked at in any case."""

Entries = dict[str, NDArray[np.intp] | range]
Marks = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Selection:
    """The entries (flat, C order) by parameter, and how they came to be chosen.

    ``sampled`` says whether some entries were left out, so that random directions have to speak
    for them.
    """

    entries: Entries
    sampled: bool
    notices: tuple[Notice, ...] = ()
    localisation: Localisation | None = None


def select(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    generator: np.random.Generator,
    *,
    exact: Mapping[str, AnyEstimate],
    suspected: Marks,
    thorough: bool,
) -> Selection:
    """Choose the entries; those that hold no number are left out where their gradient is zero.

    Args:
        problem: the problem.
        settings: ``entries`` is ``"all"``, ``"auto"`` or a number a parameter.
        noise: of the loss.
        generator: draws the sample.
        exact: estimates that cover every entry already, such as those of autograd.
        suspected: entries that these contradict; some of them are always chosen.
        thorough: draw a sample also where autograd has covered every entry.
    """
    sizes = {one.name: one.value.size for one in problem.parameters if one.name in problem.analytic}
    drawn: Entries | None = None
    if sweeps_all(problem, settings):
        whole: Entries = {name: range(size) for name, size in sizes.items()}
        return _movable(problem, Selection(whole, sampled=False))
    if isinstance(settings.entries, int):
        drawn = _draw(sizes, settings.entries, generator)
    elif thorough:
        drawn = _draw(sizes, SAMPLE, generator)
    elif set(exact) >= set(sizes):
        drawn = {name: range(0) for name in sizes}
    if drawn is not None:
        return _movable(problem, _with_suspects(problem, drawn, exact, suspected))
    return _movable(problem, _located(problem, noise, generator, sizes))


def sweeps_all(problem: Problem, settings: Settings) -> bool:
    """Return whether every entry is to get its central difference."""
    return settings.entries == "all" or (settings.entries == "auto" and _few(problem))


def _few(problem: Problem) -> bool:
    """Return whether a central difference of every entry does not take long."""
    if problem.size <= FULL_SWEEP or problem.size > FULL_TOGETHER:
        return problem.size <= FULL_SWEEP
    numbers = (k for k, one in enumerate(problem.parameters) if one.name in problem.analytic)
    return all(problem.evaluator.rows_together(k) >= TOGETHER for k in numbers)


def _movable(problem: Problem, chosen: Selection) -> Selection:
    """Leave out entries of NaN or infinity, from which no step leads anywhere.

    A gradient other than zero there stays under check: it claims that a step does.
    """
    entries = dict(chosen.entries)
    stuck: dict[str, int] = {}
    for parameter in problem.parameters:
        name = parameter.name
        if name not in entries:
            continue
        fixed = ~np.isfinite(parameter.value) & (problem.analytic[name] == 0.0)
        if fixed.any():
            entries[name] = np.setdiff1d(entries[name], np.flatnonzero(fixed))
            stuck[name] = int(fixed.sum())
    if not stuck:
        return chosen
    counts = ", ".join(f"{count} of {name}" for name, count in stuck.items())
    text = (
        f"no step leads away from an entry that is NaN or infinite: {counts}, where the gradient "
        "is 0, got no central difference"
    )
    notices = (*chosen.notices, Notice("non_finite_entries", text))
    return replace(chosen, entries=entries, notices=notices)


def _draw(sizes: Mapping[str, int], limit: int, generator: np.random.Generator) -> Entries:
    return {
        name: range(size)
        if size <= limit
        else np.sort(generator.choice(size, limit, replace=False))
        for name, size in sizes.items()
    }


def _with_suspects(
    problem: Problem, chosen: Entries, exact: Mapping[str, AnyEstimate], suspected: Marks
) -> Selection:
    for name, marked in suspected.items():
        if len(chosen[name]) == marked.size or not marked.any():
            continue
        before = np.asarray(chosen[name], dtype=np.intp)
        worst = _farthest(exact[name], problem.analytic[name], marked)
        chosen[name] = np.union1d(before, worst)
    left_out = any(len(chosen[name]) < problem.analytic[name].size for name in chosen)
    return Selection(chosen, sampled=left_out)


def _farthest(
    exact: AnyEstimate, claimed: NDArray[np.float64], marked: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Return some of the marked entries (flat, C order): where an estimate is farthest off."""
    positions, apart = [], []
    for at in parts(marked.size):
        marks = flat(marked, at)
        if not marks.any():
            continue
        off = np.where(marks, np.abs(exact.part(at).value - flat(claimed, at)), -1.0)
        worst = np.argpartition(-off, min(SUSPECTS, off.size - 1))[:SUSPECTS]
        worst = worst[marks[worst]]
        positions.append(at.start + worst)
        apart.append(off[worst])
    first = np.argsort(-np.concatenate(apart), kind="stable")[:SUSPECTS]
    return np.asarray(np.concatenate(positions)[first], dtype=np.intp)


def _located(
    problem: Problem, noise: Noise, generator: np.random.Generator, sizes: Mapping[str, int]
) -> Selection:
    """Find the wrong entries by group testing; the ones found are looked at one by one."""
    from gradcheck.sweep.localize import localise

    found = localise(problem, noise, generator, max_evaluations=problem.evaluator.budget)
    chosen = _draw(sizes, FEW, generator)
    for name in sizes:
        looked_at = (*found.entries, *found.suspects)
        entries = [index for parameter, index in looked_at if parameter == name]
        drawn = np.asarray(chosen[name], dtype=np.intp)
        chosen[name] = np.union1d(drawn, np.array(entries, dtype=np.intp))
    many = f"too many entries for one central difference each ({problem.size:,})"
    if not found.evaluations:
        text = f"{many}, and a limit was reached before wrong ones were looked for by group testing"
        notice = Notice("located", text)
        return Selection(chosen, sampled=True, notices=(notice,), localisation=found)
    text = (
        f"{many}: wrong ones were located by group testing in {found.evaluations} evaluations, an "
        f"error of {max(found.resolution.values(), default=float('nan')):.1g} of a typical entry "
        f"would have been seen{_where(found)}; --entries all checks each"
    )
    notice = Notice("located", f"{text}. {_outcome(found)}")
    return Selection(chosen, sampled=True, notices=(notice,), localisation=found)


def _where(found: Localisation) -> str:
    """Say where the search was made, if not at the point itself."""
    if found.beside:
        return " at a point right beside this one, which lies on kinks"
    return " between the slopes of the kinks that the point lies on" if found.hidden else ""


def _outcome(found: Localisation) -> str:
    """Say what the search came to: what it found, what it could not tell, how it ended."""
    alone = len(found.entries)
    said = [f"Found: {alone} wrong {'entry' if alone == 1 else 'entries'}"]
    if found.blocks:
        named = ", ".join(block.place for block in found.blocks[:5])
        more = f" and {len(found.blocks) - 5} more" if len(found.blocks) > 5 else ""
        said.append(f"wrong as wholes: {named}{more}")
    if found.unresolved:
        parts = len(found.unresolved)
        said.append(f"{parts} part{'s' if parts > 1 else ''} wrong in sum, but in no entry alone")
    if not found.complete:
        said.append("a limit ended the search before all was looked at")
    elif found.agreed:
        said.append("along random directions the rest agrees with the loss")
    else:
        said.append("along random directions the rest still disagrees with the loss")
    return "; ".join(said)
