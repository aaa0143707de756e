"""Entries that central differences leave open or coarse, and which of them get a second look."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import parts
from gradcheck.noise import Noise
from gradcheck.oracles.estimate import Estimate
from gradcheck.oracles.parted import AnyEstimate, PartedEstimate, as_whole
from gradcheck.oracles.torch_autograd import Autograd
from gradcheck.problem import Problem
from gradcheck.settings import Settings
from gradcheck.verdict.compare import FAIL, INCONCLUSIVE, PASS, thresholds_for
from gradcheck.verdict.in_parts import AnyJudged
from gradcheck.verdict.judging import judge_estimate, precision_of

FINE = 1e-5
"""Relative uncertainty above which an entry is referred to the complex step."""
RESOLVED = 1e-6
"""Relative uncertainty above which an entry is looked at in extended precision."""
CHEAP = 1000
"""Entries of a problem above which that is ``FINE``: to prove extended precision would take longer
than a twentieth of a sweep over losses of a tenth of a millisecond."""
MANY, FEW, SHARE = 1000, 50, 50
"""How many of a parameter, at most: in a thorough check; else so many, or one in so many."""
ENOUGH = 0.5
"""Share of the coarsest uncertainty that is worth a pass at which no more noise is averaged out."""
MOST_EXTENDED = 1 << 17
"""Entries of a parameter up to which it is: every one takes some hundred bytes then."""


def again(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    generator: np.random.Generator,
    central: dict[str, AnyEstimate],
    settled: Mapping[str, AnyEstimate],
    *,
    thorough: bool,
) -> dict[str, AnyEstimate]:
    """Look again at entries that float64 leaves coarse or undecided.

    In extended precision first, then with the noise averaged out of those that stay undecided.
    Without ``thorough``, not at parameters whose every entry an exact oracle has ``settled``.
    """
    names = [name for name in central if thorough or name not in settled]
    small = {name: as_whole(central[name]) for name in names if _is_small(central[name])}
    coarse = {
        name: _coarse(problem, settings, noise, name, one, thorough=thorough)
        for name, one in small.items()
    }
    chosen = {name: entries for name, entries in coarse.items() if entries.size}
    if chosen:
        central = central | _in_more_digits(
            problem, noise, generator, small, chosen, thorough=thorough
        )
    if problem.facts.spread > 0:  # its error bars are those of a mean
        return central
    return central | {
        name: one
        for number, name in enumerate(parameter.name for parameter in problem.parameters)
        if name in names
        for one in (_averaged(problem, settings, noise, generator, number, central[name]),)
        if one is not None
    }


def decided(
    problem: Problem, settings: Settings, noise: Noise, exact: Mapping[str, AnyEstimate]
) -> dict[str, AnyEstimate]:
    """Return the exact estimates that leave no entry of their parameter open for want of digits.

    Large ones count as such: they are not looked at again.
    """
    found = {}
    for name, estimate in exact.items():
        if _is_small(estimate):
            judged = judge_estimate(problem, settings, name, estimate, noise, None)
            coarsest = thresholds_for(precision_of(problem, name, noise)).coarsest
            if ((judged.codes == INCONCLUSIVE) & ~(judged.resolution <= coarsest)).any():
                continue
        found[name] = estimate
    return found


def _is_small(estimate: AnyEstimate) -> bool:
    """Whether a parameter has few enough entries to be looked at again."""
    return estimate.size <= MOST_EXTENDED


def _averaged(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    generator: np.random.Generator,
    number: int,
    estimate: AnyEstimate,
) -> Estimate | None:
    """Average the noise out of the entries of a parameter that are undecided, if they are few."""
    if not _is_small(estimate):
        return None
    name, whole = problem.parameters[number].name, as_whole(estimate)
    judged = judge_estimate(problem, settings, name, whole, noise, None)
    if (judged.codes == FAIL).any():
        return None
    unknown = (judged.codes == INCONCLUSIVE) & ~whole.kinks & np.isfinite(judged.allowed)
    entries = np.flatnonzero(unknown)
    if not 0 < entries.size <= FEW:
        return None
    from gradcheck.oracles.averaged import averaged

    own = np.fmax(np.abs(judged.analytic), np.abs(judged.reference)).ravel()
    coarsest = thresholds_for(precision_of(problem, name, noise)).coarsest
    wanted = {entry: ENOUGH * coarsest * float(own[entry]) for entry in entries.tolist()}
    return averaged(problem, noise, generator, number, whole, wanted)


def _in_more_digits(
    problem: Problem,
    noise: Noise,
    generator: np.random.Generator,
    central: Mapping[str, Estimate],
    chosen: Mapping[str, NDArray[np.intp]],
    *,
    thorough: bool,
) -> dict[str, AnyEstimate]:
    """The estimates with the first of the chosen entries seen in extended precision.

    None of them where the limits or the target leave no such precision.
    """
    if problem.evaluator.exhausted:
        return {}
    from gradcheck.oracles.extended import in_extended_precision, refine

    extended = in_extended_precision(problem, noise, generator)
    if extended is None:
        return {}
    afford = extended.affordable // len(chosen)
    most = {name: max(FEW, problem.analytic[name].size // SHARE) for name in chosen}
    first = {
        name: entries[: min(MANY if thorough else most[name], afford)]
        for name, entries in chosen.items()
    }
    refined = refine(problem, extended, generator, central, first)
    return {name: refined[name] for name in chosen}


def _coarse(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    name: str,
    estimate: Estimate,
    *,
    thorough: bool,
) -> NDArray[np.intp]:
    """The entries that are undecided, or known less well than they should; the worst first."""
    judged = judge_estimate(problem, settings, name, estimate, noise, None)
    relative = judged.resolution
    if thorough:
        own = np.fmax(np.abs(judged.analytic), np.abs(judged.reference))
        with np.errstate(all="ignore"):
            relative = np.where(own > 1e-8 * np.nanmax(own), judged.allowed / own, 0.0)
    relative = np.where(estimate.kinks, 0.0, np.where(np.isfinite(relative), relative, np.inf))
    relative[judged.codes == INCONCLUSIVE] = np.inf
    relative[~estimate.checked] = 0.0
    worst_first = np.argsort(-relative.ravel(), kind="stable")
    wanted = RESOLVED if thorough or problem.size <= CHEAP else FINE
    return worst_first[relative.ravel()[worst_first] > wanted]


def in_doubt(
    problem: Problem, settings: Settings, noise: Noise, name: str, estimate: AnyEstimate
) -> NDArray[np.intp] | None:
    """Return the entries (flat, C order) that central differences do not find right and fine.

    None of a parameter that is too large to be looked at again.
    """
    if not _is_small(estimate):
        return None
    whole = as_whole(estimate)
    judged = judge_estimate(problem, settings, name, whole, noise, None)
    fine = (judged.codes == PASS) & (judged.resolution <= FINE)
    return np.flatnonzero(whole.checked & (whole.kinks | whole.edges | ~fine))


def undecided(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    central: Mapping[str, AnyEstimate],
    autograd: Autograd,
) -> dict[str, NDArray[np.intp]]:
    """Return the entries (flat, C order) of each parameter that the complex step is to settle."""
    chosen: dict[str, NDArray[np.intp]] = {}
    for name, estimate in central.items():
        if name in autograd.estimates:
            continue
        judged = judge_estimate(problem, settings, name, estimate, noise, None)
        chosen[name] = _open(judged, estimate)
    return chosen


def _open(judged: AnyJudged, estimate: AnyEstimate) -> NDArray[np.intp]:
    """Entries that are undecided, or known coarsely although they are not small."""
    found = []
    largest = 0.0
    for at in parts(judged.codes.size):
        if isinstance(estimate, PartedEstimate) and estimate.is_empty(at):
            continue
        part = judged.part(at)
        own = np.fmax(np.abs(part.analytic), np.abs(part.reference))
        largest = max(largest, float(np.fmax.reduce(own)))
        coarse = (part.codes == PASS) & (part.allowed > FINE * own)
        chosen = np.flatnonzero(((part.codes == INCONCLUSIVE) | coarse) & ~estimate.part(at).kinks)
        undecided = part.codes[chosen] == INCONCLUSIVE
        found.append((at.start + chosen, np.where(undecided, np.inf, own[chosen])))
    if not found:
        return np.zeros(0, dtype=np.intp)
    positions, sizes = (np.concatenate(one) for one in zip(*found, strict=True))
    return np.asarray(positions[sizes > 1e-4 * largest])
