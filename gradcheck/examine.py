"""From a problem to findings: the oracles in their order, their comparisons, the diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from gradcheck.blocks import flat, in_little
from gradcheck.calling.quiet import quiet
from gradcheck.noise import Noise, loss_noise
from gradcheck.oracle_runs import OracleRuns, autograd_of, run_oracles
from gradcheck.oracles.directions import DirectionResult, check_directions
from gradcheck.problem import FloatArray, Problem
from gradcheck.report import Diagnosis, Notice, Verdict
from gradcheck.settings import Settings
from gradcheck.variation import variation
from gradcheck.verdict.applicable import inapplicable
from gradcheck.verdict.compare import PASS
from gradcheck.verdict.gradient_noise import measured_rounding
from gradcheck.verdict.judging import ParameterFindings, compare_parameter
from gradcheck.verdict.rounding import is_single_precision, rounding_error

COARSE = 1e-5
"""Jumps of a loss, relative to it, that are larger than rounding in single precision makes."""
MANY_DIRECTIONS = 20
MOST_WITH_TAYLOR = 1 << 17
"""Entries of a full sweep up to which a direction is drawn for the Taylor test alone."""
FEW_DIRECTIONS = 4
"""Random directions that speak for the entries left out, in a thorough check and else."""
WITNESSES = 2
"""As many do where another oracle has confirmed every entry and they all confirm that oracle."""


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything found about one problem."""

    noise: Noise
    parameters: Mapping[str, ParameterFindings]
    oracles: tuple[str, ...]
    diagnoses: tuple[Diagnosis, ...]
    notices: tuple[Notice, ...]
    evaluations: int
    disagreeing: tuple[str, ...] = ()


def examine(
    problem: Problem,
    settings: Settings,
    *,
    learning_rate: float | None = None,
    pictures: bool = False,
    thorough: bool = False,
) -> Findings:
    """Run the oracles on a problem, compare, and explain what is wrong.

    ``thorough`` refines every central difference as far as the noise of the loss allows, and
    draws a sample of entries also where autograd covers all.
    """
    from gradcheck.explain import explain

    generator = np.random.default_rng(settings.seed)
    with quiet():
        noise = loss_noise(problem, generator)
        noise = replace(noise, variation=variation(problem, generator))
        noise, jumps = _across_jumps(problem, settings, noise, generator)
        problem = _with_rounding(problem, noise, generator)
        runs = run_oracles(problem, settings, noise, generator, thorough=thorough)
        parameters = {
            name: compare_parameter(problem, settings, name, estimates, noise, runs.autograd.trace)
            for name, estimates in runs.found.items()
        }
        known: tuple[Diagnosis, ...] = ()
        with problem.evaluator.keeping():
            parameters, known = _kinks_together(problem, noise, generator, parameters, runs)
        directions: tuple[DirectionResult, ...] = ()
        with problem.evaluator.keeping():
            directions = _directions(
                problem,
                settings,
                noise,
                generator,
                runs,
                confirmed=_all_pass(parameters),
                thorough=thorough,
            )
        parameters = {
            name: replace(
                one,
                directions=_those_of(name, directions),
                along=_seen_along(problem, name, one, runs, directions),
            )
            for name, one in parameters.items()
        }
        disagreeing = _disagreeing(parameters, directions, runs)
        diagnoses: tuple[Diagnosis, ...] = ()
        notices: tuple[Notice, ...] = ()
        with problem.evaluator.keeping():
            diagnoses, notices = explain(
                problem,
                parameters,
                runs.autograd,
                noise,
                learning_rate=learning_rate,
                disagreeing=disagreeing,
                known=known,
                seen=(*problem.notices, *runs.notices),
            )
        evaluations = problem.evaluator.count
        if pictures:
            from gradcheck.drawing.draw import draw

            with problem.evaluator.keeping():
                parameters = draw(problem, parameters, noise)
    return Findings(
        noise,
        parameters,
        _names(runs),
        diagnoses,
        (*problem.notices, *jumps, *runs.notices, *notices),
        evaluations,
        disagreeing,
    )


def _across_jumps(
    problem: Problem, settings: Settings, noise: Noise, generator: np.random.Generator
) -> tuple[Noise, tuple[Notice, ...]]:
    """Settle what the derivative of a loss is that jumps all along: across the jumps, or between.

    Between, where every operation was seen to work in double precision; else as autograd of it
    says; without, the slope between them is doubted, and a gradient that claims it cannot be told
    from one that misses a term in lower precision. Jumps larger than those of single precision
    leave both undecided.
    """
    jumps = noise.jumps
    if jumps is None:
        return noise, ()
    if problem.precision_inside == np.float64:
        return replace(noise, level=jumps.level, jumps=None), ()
    names = [parameter.name for parameter in problem.parameters]
    exact = autograd_of(problem, settings, noise, generator).estimates
    by_steps = {name: estimate.value for name, estimate in exact.items()}
    if jumps.lies_between(by_steps, names):
        return replace(noise, level=jumps.level, jumps=None), ()
    alone = not by_steps and "forward" in inapplicable(problem)
    by_design = noise.level > COARSE * max(abs(noise.loss), noise.variation)
    if alone and (by_design or jumps.lies_between(problem.analytic, names)):
        noise = replace(noise, level=max(noise.level, abs(jumps.across - jumps.between)))
    text = (
        "the loss jumps all along, as one does that computes in lower precision inside: its slope "
        f"along a random direction is {jumps.across:.3g} across the jumps, which counts, and "
        f"{jumps.between:.3g} between them"
    )
    return noise, (Notice("loss_jumps", text),)


def _with_rounding(problem: Problem, noise: Noise, generator: np.random.Generator) -> Problem:
    """Add to the analytic gradient the rounding of the arithmetic it was computed in."""
    if problem.gradient_at is None or not problem.analytic or problem.facts.spread > 0:
        return problem
    if not problem.evaluator.spend(5):
        return problem
    unit = float(np.finfo(np.float64).eps)
    low_inside = any(is_single_precision(one, noise) for one in problem.analytic.values())
    low = any(parameter.value.dtype != np.float64 for parameter in problem.parameters)
    if low or low_inside or noise.dtype != np.float64:
        unit = float(np.finfo(np.float32).eps)
    errors = rounding_error(
        problem.gradient_at, problem.parameters, generator, unit, noise, about=problem.analytic
    )
    errors = measured_rounding(
        problem, problem.gradient_at, problem.analytic, errors, noise, generator
    )
    total = {
        name: _sum_of_bounds(rounding, errors[name]) if name in errors else rounding
        for name, rounding in problem.analytic_rounding.items()
    }
    return replace(problem, analytic_rounding=total)


def _sum_of_bounds(one: FloatArray, two: FloatArray) -> FloatArray:
    if not one.any():
        return two
    return in_little(
        one.shape, lambda at: flat(one, at).astype(np.float64) + flat(two, at), bound=True
    )


def _directions(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    generator: np.random.Generator,
    runs: OracleRuns,
    *,
    confirmed: bool,
    thorough: bool,
) -> tuple[DirectionResult, ...]:
    """Random directions: the Taylor test, and what speaks for the entries that were left out."""
    wanted = settings.oracles is None or "central" in settings.oracles
    if not wanted or not problem.analytic or problem.facts.spread > 0:
        return ()
    if runs.selection.sampled:
        n = MANY_DIRECTIONS if thorough else FEW_DIRECTIONS
        if thorough or not confirmed:
            return check_directions(problem, noise, generator, n=n)
        first = check_directions(problem, noise, generator, n=WITNESSES)
        if all(one.agree is True for one in first):
            return first
        return (*first, *check_directions(problem, noise, generator, n=n - WITNESSES))
    if problem.size > MOST_WITH_TAYLOR and not thorough:
        return ()
    names = tuple(problem.analytic) if thorough else None
    return check_directions(problem, noise, generator, n=1, parameters=names)


def _kinks_together(
    problem: Problem,
    noise: Noise,
    generator: np.random.Generator,
    parameters: dict[str, ParameterFindings],
    runs: OracleRuns,
) -> tuple[dict[str, ParameterFindings], tuple[Diagnosis, ...]]:
    """Fail entries at kinks whose claims are valid each alone, and contradict the loss together."""
    if problem.facts.spread > 0 or any(
        one.combined.verdict is Verdict.FAIL for one in parameters.values()
    ):
        return parameters, ()
    if not any(_has_kinks(one) for one in parameters.values()):
        return parameters, ()
    from gradcheck.verdict.failed import accepted_kinks, failed
    from gradcheck.verdict.joint_kinks import contradicted_together, diagnoses_of

    trace = runs.autograd.trace
    wrong = contradicted_together(
        problem,
        noise,
        generator,
        differences=runs.differences,
        accepted=accepted_kinks(parameters),
        choices=trace.subgradients() if trace is not None and trace.ties else None,
    )
    for together in wrong:
        for name, entries in together.entries.items():
            parameters = {**parameters, name: failed(parameters[name], entries)}
    return parameters, diagnoses_of(wrong)


def _has_kinks(findings: ParameterFindings) -> bool:
    central = findings.comparisons.get("analytic~central")
    return central is not None and bool(central.kinks.any())


def _all_pass(parameters: Mapping[str, ParameterFindings]) -> bool:
    """Whether every single entry was checked and passed."""
    return all(bool((one.combined.codes == PASS).all()) for one in parameters.values())


def _those_of(name: str, directions: tuple[DirectionResult, ...]) -> tuple[DirectionResult, ...]:
    return tuple(one for one in directions if one.parameter in ("", name))


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
    share = [d.uncertainty / d.size for d in directions if d.size > 0]
    return min(share, default=0.0) * float(np.sqrt(problem.size))


def _disagreeing(
    parameters: Mapping[str, ParameterFindings],
    directions: tuple[DirectionResult, ...],
    runs: OracleRuns,
) -> tuple[str, ...]:
    """Parameters that a direction finds wrong although no entry looked at is."""
    if not runs.selection.sampled:
        return ()
    if any(one.combined.verdict is Verdict.FAIL for one in parameters.values()):
        return ()
    off = [one for one in directions if one.agree is False]
    names = {name for one in off for name in ([one.parameter] if one.parameter else parameters)}
    return tuple(name for name in parameters if name in names)


def _names(runs: OracleRuns) -> tuple[str, ...]:
    order = ("central", "complex", "autograd", "forward")
    present = {oracle for estimates in runs.found.values() for oracle in estimates}
    return tuple(oracle for oracle in order if oracle in present)
