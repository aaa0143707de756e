"""Random directions of a check: how many are taken, and what they say of each parameter.

They are the Taylor test, and speak for the entries that central differences left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from gradcheck.noise import Noise
from gradcheck.oracle_runs import OracleRuns
from gradcheck.oracles.directions import DirectionResult, check_directions
from gradcheck.problem import Problem
from gradcheck.report import Diagnosis
from gradcheck.settings import Settings
from gradcheck.verdict.compare import PASS
from gradcheck.verdict.judging import ParameterFindings

MANY_DIRECTIONS = 20
MOST_WITH_TAYLOR = 1 << 17
"""Entries of a full sweep up to which a direction is drawn for the Taylor test alone."""
FEW_DIRECTIONS = 4
"""Random directions that speak for the entries left out, in a thorough check and else."""
WITNESSES = 2
"""As many do where another oracle has confirmed every entry and they all confirm that oracle, and
where an entry fails: whatever they say, it is wrong."""
HIDDEN = 1e-3
"""Part of the slope along a direction that may be hidden at a kink for it to tell anything."""


@dataclass(frozen=True, eq=False)
class SeenBeside:
    """What was found beside the point about entries left out that kinks hide at the point itself.

    Attributes:
        directions: those taken there that told right from wrong.
        hidden: the parameters of which nothing could be told, neither here nor there.
        known: what there is to say where entries fail.
        open: what there is to say where nothing could be told.
    """

    directions: tuple[DirectionResult, ...] = ()
    hidden: tuple[str, ...] = ()
    known: tuple[Diagnosis, ...] = ()
    open: tuple[Diagnosis, ...] = ()


def run_directions(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    generator: np.random.Generator,
    runs: OracleRuns,
    parameters: Mapping[str, ParameterFindings],
    *,
    thorough: bool,
) -> tuple[DirectionResult, ...]:
    """Hold the claim against the loss along as many random directions as the findings ask for."""
    wanted = settings.oracles is None or "central" in settings.oracles
    if not wanted or not problem.analytic or problem.facts.spread > 0:
        return ()
    if runs.selection.sampled:
        n = MANY_DIRECTIONS if thorough else FEW_DIRECTIONS
        if not thorough and any(one.is_wrong for one in parameters.values()):
            n = WITNESSES
        if thorough or not _all_pass(parameters):
            return check_directions(problem, noise, generator, n=n)
        first = check_directions(problem, noise, generator, n=WITNESSES)
        if all(one.agree is True for one in first):
            return first
        return (*first, *check_directions(problem, noise, generator, n=n - WITNESSES))
    if problem.size > MOST_WITH_TAYLOR and not thorough:
        return ()
    names = tuple(problem.analytic) if thorough else None
    return check_directions(problem, noise, generator, n=1, parameters=names)


def _all_pass(parameters: Mapping[str, ParameterFindings]) -> bool:
    """Whether every single entry was checked and passed."""
    return all(bool((one.combined.codes == PASS).all()) for one in parameters.values())


def see_beside(
    problem: Problem,
    noise: Noise,
    generator: np.random.Generator,
    runs: OracleRuns,
    parameters: Mapping[str, ParameterFindings],
    directions: tuple[DirectionResult, ...],
) -> SeenBeside:
    """Take directions beside the point, if kinks leave those at the point nothing to tell.

    Nothing is asked where an entry fails anyway, or group testing was made there.
    """
    names = tuple(name for name, one in parameters.items() if one.left_out)
    at_kinks = any(one.gap > 0.0 for one in directions)
    told = any(one.agree is not None or one.hides <= HIDDEN for one in directions)
    if not names or not at_kinks or told or any(one.is_wrong for one in parameters.values()):
        return SeenBeside()
    located = runs.selection.localisation
    if located is not None and located.beside and located.found_nothing:
        return SeenBeside()
    from gradcheck.direction_beside import directions_beside, nothing_told, wrong_somewhere

    beside = directions_beside(problem, noise, generator)
    if problem.evaluator.exhausted:
        return SeenBeside(beside)
    if not beside:
        return SeenBeside(hidden=names, open=(nothing_told(names),))
    wrong = any(one.agree is False for one in beside)
    return SeenBeside(beside, known=(wrong_somewhere(names),) if wrong else ())


def with_directions(
    problem: Problem,
    parameters: Mapping[str, ParameterFindings],
    runs: OracleRuns,
    directions: tuple[DirectionResult, ...],
    beside: tuple[DirectionResult, ...] = (),
) -> dict[str, ParameterFindings]:
    """Add to the findings of each parameter the directions that it took part in.

    Those ``beside`` the point speak for entries left out, too.
    """
    return {
        name: replace(
            one,
            directions=tuple(each for each in directions if each.parameter in ("", name)),
            along=_seen_along(problem, name, one, runs, (*directions, *beside)),
        )
        for name, one in parameters.items()
    }


def _seen_along(
    problem: Problem,
    name: str,
    one: ParameterFindings,
    runs: OracleRuns,
    directions: tuple[DirectionResult, ...],
) -> float:
    """Smallest error, relative to a typical entry, that was seen of those left out; 0 of none."""
    if not one.left_out:
        return 0.0
    if runs.selection.localisation is not None:
        return runs.selection.localisation.resolution.get(name, 0.0)
    share = [d.hides for d in directions if d.size > 0]
    return min(share, default=0.0) * float(np.sqrt(problem.size))


def disagreeing(
    parameters: Mapping[str, ParameterFindings],
    directions: tuple[DirectionResult, ...],
    runs: OracleRuns,
) -> tuple[str, ...]:
    """Return the parameters that a direction finds wrong although no entry looked at is."""
    if not runs.selection.sampled:
        return ()
    if any(one.is_wrong for one in parameters.values()):
        return ()
    off = [one for one in directions if one.agree is False]
    names = {name for one in off for name in ([one.parameter] if one.parameter else parameters)}
    return tuple(name for name in parameters if name in names)
