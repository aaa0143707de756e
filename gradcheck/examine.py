"""From a problem to findings: the oracles in their order, their comparisons, the diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from gradcheck.calling.quiet import quiet
from gradcheck.direction_runs import (
    SeenBeside,
    disagreeing,
    run_directions,
    see_beside,
    with_directions,
)
from gradcheck.noise import Noise, loss_noise, shows_steps
from gradcheck.oracle_runs import OracleRuns, autograd_of, run_oracles
from gradcheck.oracles.directions import DirectionResult
from gradcheck.oracles.torch_autograd import Autograd
from gradcheck.problem import Problem
from gradcheck.report import Diagnosis, Notice
from gradcheck.settings import Settings
from gradcheck.variation import variation
from gradcheck.verdict.analytic_rounding import with_rounding
from gradcheck.verdict.compare import INCONCLUSIVE, Judged
from gradcheck.verdict.judging import ParameterFindings, compare_parameter


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything found about one problem.

    ``disagreeing`` names the parameters that random directions find wrong, ``hidden`` those of
    which kinks let them tell nothing.
    """

    noise: Noise
    parameters: Mapping[str, ParameterFindings]
    oracles: tuple[str, ...]
    diagnoses: tuple[Diagnosis, ...]
    notices: tuple[Notice, ...]
    evaluations: int
    disagreeing: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


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
        problem, noise, autograd, jumps = _prepared(problem, settings, generator)
        runs = run_oracles(problem, settings, noise, generator, autograd, thorough=thorough)
        parameters = {
            name: compare_parameter(problem, settings, name, estimates, noise, runs.autograd.trace)
            for name, estimates in runs.found.items()
        }
        parameters, runs, known = _settled(problem, settings, noise, generator, parameters, runs)
        directions: tuple[DirectionResult, ...] = ()
        with problem.evaluator.keeping():
            directions = run_directions(
                problem, settings, noise, generator, runs, parameters, thorough=thorough
            )
        beside = SeenBeside()
        with problem.evaluator.keeping():
            beside = see_beside(problem, noise, generator, runs, parameters, directions)
        parameters = with_directions(problem, parameters, runs, directions, beside.directions)
        off = disagreeing(parameters, (*directions, *beside.directions), runs)
        diagnoses: tuple[Diagnosis, ...] = ()
        notices: tuple[Notice, ...] = ()
        with problem.evaluator.keeping():
            diagnoses, notices = explain(
                problem,
                parameters,
                runs.autograd,
                noise,
                learning_rate=learning_rate,
                disagreeing=off,
                known=(*known, *beside.known),
                seen=(*problem.notices, *runs.notices),
            )
        evaluations = problem.evaluator.count
        if pictures:
            from gradcheck.drawing.draw import draw

            with problem.evaluator.aside(), problem.evaluator.keeping():
                parameters = draw(problem, parameters, noise)
    return Findings(
        noise,
        parameters,
        runs.names,
        (*diagnoses, *beside.open),
        (*problem.notices, *jumps, *runs.notices, *notices),
        evaluations,
        off,
        beside.hidden,
    )


def _settled(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    generator: np.random.Generator,
    parameters: dict[str, ParameterFindings],
    runs: OracleRuns,
) -> tuple[dict[str, ParameterFindings], OracleRuns, tuple[Diagnosis, ...]]:
    """Look again at what is wrong, or at kinks, entry by entry; return what is known of it, too."""
    known: tuple[Diagnosis, ...] = ()
    with problem.evaluator.keeping():
        found = runs.selection.localisation
        if (found is not None and found.beside) or any(
            one.is_wrong or one.has_kinks for one in parameters.values()
        ):
            from gradcheck.verdict.kinks_together import settle_kinks_together

            parameters, runs, known = settle_kinks_together(
                problem, settings, noise, generator, parameters, runs
            )
    with problem.evaluator.keeping():
        if settings.rtol is None and any(one.is_wrong for one in parameters.values()):
            from gradcheck.verdict.inner_solvers import left_open

            parameters, tolerated = left_open(problem, parameters)
            known = (*known, *tolerated)
    with problem.evaluator.keeping():
        if settings.rtol is None and not known and any(map(_is_off, parameters.values())):
            from gradcheck.verdict.own_iterations import settled_by_iteration

            parameters, known = settled_by_iteration(problem, noise, parameters)
    return parameters, runs, known


def _is_off(one: ParameterFindings) -> bool:
    """Whether an entry fails, or one stays open of which more is seen than is allowed."""
    if one.is_wrong:
        return True
    open_ = one.combined.codes == INCONCLUSIVE
    return bool(open_.any()) and any(
        bool(
            (
                open_
                & ~judged.kinks
                & (np.abs(judged.analytic - judged.reference) > judged.allowed)
            ).any()
        )
        for name, judged in one.comparisons.items()
        if name.startswith("analytic~") and isinstance(judged, Judged)
    )


def _prepared(
    problem: Problem, settings: Settings, generator: np.random.Generator
) -> tuple[Problem, Noise, Autograd, tuple[Notice, ...]]:
    """Measure the noise of the loss and the gradient's rounding, and differentiate the code.

    Where the code turns out to work in lower precision inside, all of it is done again for that.
    """
    steady, noise, jumps = _noise_of(problem, settings, generator)
    rounded = with_rounding(steady, noise, generator)
    autograd = autograd_of(rounded, settings, noise, generator)
    if autograd.trace is None:
        return rounded, noise, autograd, jumps
    from gradcheck.lower_precision import knowing, lower_inside

    inside = lower_inside(rounded, noise, autograd.trace)
    if inside is None or problem.evaluator.exhausted:
        return rounded, noise, autograd, jumps
    rounded, noise, autograd, again = _prepared(knowing(problem, inside), settings, generator)
    return rounded, noise, autograd, jumps or again


def _noise_of(
    problem: Problem, settings: Settings, generator: np.random.Generator
) -> tuple[Problem, Noise, tuple[Notice, ...]]:
    """Measure the noise of the loss, and settle which slope counts where it jumps all along.

    The loss of the problem is another one then if it depends on what was evaluated before.
    """
    noise = loss_noise(problem, generator)
    notices: tuple[Notice, ...] = ()
    if noise.drift > 0.0:
        from gradcheck.history import from_afar, notice_of, remembers

        if remembers(problem, noise):
            notices = (notice_of(noise.drift),)
            problem = from_afar(problem)
            noise = loss_noise(problem, generator)
    noise = replace(noise, variation=variation(problem, generator))
    if noise.jumps is None:
        if not shows_steps(problem, noise):
            return problem, noise, notices
        from gradcheck.treads import settled_steps

        noise, steps = settled_steps(problem, settings, noise)
        return problem, noise, (*notices, *steps)
    from gradcheck.across_jumps import across_or_between

    noise, jumps = across_or_between(problem, settings, noise, noise.jumps, generator)
    return problem, noise, (*notices, *jumps)
