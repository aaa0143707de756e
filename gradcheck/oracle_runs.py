"""The oracles run in their order: the exact ones first, then the differences that test them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import flat, parts
from gradcheck.noise import Noise
from gradcheck.oracles.central import central_differences
from gradcheck.oracles.parted import AnyEstimate
from gradcheck.oracles.torch_autograd import (
    NONE,
    Autograd,
    autograd_of_trace,
    autograd_of_twin,
)
from gradcheck.problem import Problem
from gradcheck.report import Notice
from gradcheck.second_look import again, decided, in_doubt, undecided
from gradcheck.settings import Settings
from gradcheck.sweep.selection import Selection, select, sweeps_all
from gradcheck.verdict.applicable import inapplicable, refusals
from gradcheck.verdict.judging import settle_kinks

MOST_COMPLEX = 1 << 20
"""Entries of a problem up to which it gets a complex step unasked: it copies the parameters."""
COMPLEX_SAMPLE = 100
"""Entries of a parameter that get a complex step where central differences are sampled, too."""
ORDER = ("central", "complex", "autograd", "forward")
"""Oracles as a report names them."""

Found = dict[str, dict[str, AnyEstimate]]


@dataclass(frozen=True, eq=False)
class OracleRuns:
    """Estimates by parameter and oracle, with what came along.

    ``differences`` are the central ones as they were measured, before the trace widened kinks.
    """

    found: Found
    autograd: Autograd
    selection: Selection
    differences: Mapping[str, AnyEstimate]
    notices: tuple[Notice, ...] = field(default=())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the oracles that estimate some parameter, in the order of a report."""
        present = {oracle for estimates in self.found.values() for oracle in estimates}
        return tuple(oracle for oracle in ORDER if oracle in present)


def run_oracles(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    generator: np.random.Generator,
    autograd: Autograd,
    *,
    thorough: bool,
) -> OracleRuns:
    """Run every oracle that applies or was asked for, beside ``autograd_of`` the problem.

    A trace that central differences show to be unfaithful is dropped, and all that was chosen and
    looked at by it done again without.
    """
    runs = _run(problem, settings, noise, generator, autograd, thorough=thorough)
    if autograd.source != "trace":
        return runs
    from gradcheck.verdict.trust import unfaithful

    why = unfaithful(problem, noise, autograd, runs.found)
    if why is None:
        return runs
    evaluator = problem.evaluator
    if not evaluator.exhausted and evaluator.interrupted is None:
        with evaluator.keeping():
            without = _run(problem, settings, noise, generator, NONE, thorough=thorough)
            if not evaluator.exhausted and evaluator.interrupted is None:
                return replace(without, notices=(*without.notices, why))
    # A limit leaves what was found first.
    for estimates in runs.found.values():
        estimates.pop("autograd", None)
    return replace(runs, autograd=NONE, notices=(*runs.notices, why))


def _run(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    generator: np.random.Generator,
    autograd: Autograd,
    *,
    thorough: bool,
) -> OracleRuns:
    found: Found = {name: {} for name in problem.analytic}
    _add(found, "autograd", autograd.estimates)
    # Declared checks are given every oracle, whether it applies or not.
    notices = () if thorough else refusals(problem, settings)
    swept = not thorough and _sweeps_all(problem, settings)
    notices += autograd.notices + _forward(problem, settings, generator, found, swept=swept)
    exact = {
        name: estimates[oracle]
        for name, estimates in found.items()
        for oracle in ("forward", "autograd")
        if oracle in estimates and estimates[oracle].checked.all()
    }
    suspected = _suspects(problem, exact)
    selection = Selection({}, sampled=False)
    central: dict[str, AnyEstimate] = {}
    if _wanted(settings, "central"):
        selection = select(
            problem,
            settings,
            noise,
            generator,
            exact=exact,
            suspected=suspected,
            thorough=thorough,
        )
        central = central_differences(
            problem,
            noise,
            generator,
            selection={name: one for name, one in selection.entries.items() if len(one)},
            suspected=suspected,
            thorough=thorough,
        )
        if noise.coarse:
            from gradcheck.oracles.companions import by_companions

            central = by_companions(problem, central)
        with problem.evaluator.keeping():
            settled = decided(problem, settings, noise, exact)
            settled |= _forward_in_doubt(problem, settings, noise, central, found)
            central = again(
                problem, settings, noise, generator, central, settled, thorough=thorough
            )
        _add(found, "central", central)
    notices += _distrusted_forward(problem, found)
    if autograd.trace is not None:
        settle_kinks(problem, found, autograd)
    notices += selection.notices
    with problem.evaluator.keeping():
        notices += _complex(problem, settings, noise, selection, autograd, found)
    return OracleRuns(found, autograd, selection, central, notices)


def _wanted(settings: Settings, oracle: str) -> bool:
    return settings.oracles is None or oracle in settings.oracles


def _runs(problem: Problem, settings: Settings, oracle: str) -> bool:
    return _wanted(settings, oracle) and oracle not in inapplicable(problem)


def _add(found: Found, oracle: str, estimates: Mapping[str, AnyEstimate]) -> None:
    for name, estimate in estimates.items():
        if name in found:
            found[name][oracle] = estimate


def autograd_of(
    problem: Problem, settings: Settings, noise: Noise, generator: np.random.Generator
) -> Autograd:
    """Differentiate the twin or the traced code, where there is one and it is wanted."""
    if not settings.autograd or not _runs(problem, settings, "autograd"):
        return NONE
    if importlib.util.find_spec("torch") is None:
        text = "torch is not installed, so that there is no autograd oracle: pip install torch"
        return Autograd({}, notices=(Notice("not_traceable", text),))
    if problem.twin_gradient is None:
        return autograd_of_trace(problem, noise, generator)
    traced = autograd_of_trace(problem, noise, generator, estimate=False)
    return replace(autograd_of_twin(problem, noise, generator), trace=traced.trace)


def _sweeps_all(problem: Problem, settings: Settings) -> bool:
    """Whether every entry is to get a central difference, and no limit is set that may forbid."""
    limited = settings.budget is not None or settings.time is not None
    return _wanted(settings, "central") and not limited and sweeps_all(problem, settings)


def _forward(
    problem: Problem,
    settings: Settings,
    generator: np.random.Generator,
    found: Found,
    *,
    swept: bool,
) -> tuple[Notice, ...]:
    if not _runs(problem, settings, "forward"):
        return ()
    from gradcheck.oracles.forward_mode import forward_mode

    outcome = forward_mode(problem, generator, swept=swept)
    if outcome.refusal is not None:
        return (Notice("forward_refused", f"forward mode not available: {outcome.refusal}"),)
    _add(found, "forward", outcome.estimates)
    return ()


def _forward_in_doubt(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    central: Mapping[str, AnyEstimate],
    found: Found,
) -> dict[str, AnyEstimate]:
    """Compute by forward mode, where it took a sample, what central differences leave in doubt.

    Returns the estimates of the parameters of which nothing is left in doubt so.
    """
    settled: dict[str, AnyEstimate] = {}
    for name, estimates in found.items():
        sampled = estimates.get("forward")
        if sampled is None or name not in central or sampled.checked.all():
            continue
        from gradcheck.oracles.forward_mode import filled

        entries = in_doubt(problem, settings, noise, name, central[name])
        if entries is not None:
            estimates["forward"] = settled[name] = filled(problem, name, sampled, entries)
    return settled


def _distrusted_forward(problem: Problem, found: Found) -> tuple[Notice, ...]:
    """Drop forward mode where it contradicts the central differences."""
    forward = {name: one["forward"] for name, one in found.items() if "forward" in one}
    if not forward:
        return ()
    from gradcheck.oracles.forward_mode import disagreement

    central = {name: one["central"] for name, one in found.items() if "central" in one}
    reason = disagreement(forward, central, problem.analytic_rounding)
    if reason is None:
        return ()
    for estimates in found.values():
        estimates.pop("forward", None)
    return (Notice("forward_refused", f"forward mode not used: {reason}"),)


def _suspects(problem: Problem, exact: Mapping[str, AnyEstimate]) -> dict[str, NDArray[np.bool_]]:
    """Entries where an exact oracle contradicts the claim: is it a kink, or is the claim wrong?"""
    return {name: _contradicted(problem, name, one) for name, one in exact.items()}


def _contradicted(problem: Problem, name: str, estimate: AnyEstimate) -> NDArray[np.bool_]:
    claimed, rounding = problem.analytic[name], problem.analytic_rounding[name]
    marks = np.zeros(claimed.size, dtype=bool)
    for at in parts(claimed.size):
        one = estimate.part(at)
        off = np.abs(one.value - flat(claimed, at))
        marks[at] = off > one.uncertainty + flat(rounding, at)
    return marks.reshape(claimed.shape)


def _complex(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    selection: Selection,
    autograd: Autograd,
    found: Found,
) -> tuple[Notice, ...]:
    """Run the complex step where it was asked for, or on the entries still undecided."""
    if not _runs(problem, settings, "complex"):
        return ()
    central = {name: one["central"] for name, one in found.items() if "central" in one}
    asked = settings.oracles is not None
    if not asked and problem.size > MOST_COMPLEX:
        return ()
    if not asked:
        chosen = undecided(problem, settings, noise, central, autograd)
    elif selection.sampled:
        listed = selection.entries.items()
        chosen = {name: np.asarray(entries[:COMPLEX_SAMPLE]) for name, entries in listed}
    else:
        chosen = {name: np.arange(array.size) for name, array in problem.analytic.items()}
    if not any(entries.size for entries in chosen.values()):
        return ()
    from gradcheck.oracles.complex_step import complex_step

    outcome = complex_step(problem, selection=chosen, central=central, noise=noise)
    if outcome.refusal is None:
        _add(found, "complex", outcome.estimates)
        return ()
    if not asked:
        return ()
    return (Notice("complex_step_refused", f"complex step not available: {outcome.refusal}"),)
