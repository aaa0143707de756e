"""What central differences see at kinks, settled together: entry by entry they see too little."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcheck.noise import Noise
from gradcheck.problem import Problem
from gradcheck.report import Diagnosis
from gradcheck.settings import Settings
from gradcheck.verdict.clarke import with_subgradients
from gradcheck.verdict.compare import thresholds_for
from gradcheck.verdict.failed import accepted_kinks, failed
from gradcheck.verdict.joint_kinks import contradicted_together, diagnoses_of
from gradcheck.verdict.judging import ParameterFindings, precision_of
from gradcheck.verdict.wrong_beside import diagnosis_of, wrong_beside

if TYPE_CHECKING:
    from gradcheck.oracle_runs import OracleRuns
    from gradcheck.sweep.localize import Localisation

Parameters = dict[str, ParameterFindings]

SHARP = 0.05
"""Part of the coarsest uncertainty at a point that counts as none beside it, where slopes are many
times as long as their noise."""


def settle_kinks_together(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    generator: np.random.Generator,
    parameters: Parameters,
    runs: OracleRuns,
) -> tuple[Parameters, OracleRuns, tuple[Diagnosis, ...]]:
    """Tell subgradients from mistakes where pieces of the loss meet.

    What fails entry by entry passes as a subgradient of the loss; what is valid entry by entry
    fails where it contradicts the loss together, or where the same code is wrong right beside the
    point; and what is open at a kink by then passes as a subgradient, too.

    Returns:
        The findings by parameter name, what the oracles said, and what there is to say of entries
        that fail now. Nothing is looked for where the loss is drawn at random.
    """
    if problem.facts.spread:
        return parameters, runs, ()
    known: tuple[Diagnosis, ...] = ()
    if not _wrong(parameters):
        parameters, known = fail_together(problem, noise, generator, parameters, runs)
        if known:
            return parameters, runs, known
    if settings.rtol is not None:  # a plain threshold knows no subgradients
        return parameters, runs, known
    revised = with_subgradients(problem, noise, parameters)
    if revised:
        # Autograd disagreed with differences that see no slope there.
        notices = tuple(one for one in runs.notices if one.key != "trace_discarded")
        runs = replace(runs, notices=notices)
    return parameters | revised, runs, known


def fail_together(
    problem: Problem,
    noise: Noise,
    generator: np.random.Generator,
    parameters: Parameters,
    runs: OracleRuns,
) -> tuple[Parameters, tuple[Diagnosis, ...]]:
    """Fail entries at kinks whose claims are valid each alone, and contradict the loss together.

    So do those of code that is wrong right beside the point. None fails before.
    """
    trace = runs.autograd.trace
    accepted = accepted_kinks(parameters)
    wrong = contradicted_together(
        problem,
        noise,
        generator,
        differences=runs.differences,
        accepted=accepted,
        choices=trace.subgradients() if trace is not None and trace.ties else None,
    )
    for together in wrong:
        for name, entries in together.entries.items():
            parameters = {**parameters, name: failed(parameters[name], entries)}
    if wrong or noise.jumps is not None:
        return parameters, diagnoses_of(wrong)
    at_kinks = _at_kinks(parameters, runs.selection.localisation)
    tolerances = {
        name: SHARP * thresholds_for(precision_of(problem, name, noise)).coarsest
        for name in at_kinks
    }
    beside = wrong_beside(problem, noise, at_kinks, tolerances)
    for one in beside:
        parameters = {**parameters, one.name: failed(parameters[one.name], one.entries)}
    return parameters, tuple(diagnosis_of(one) for one in beside)


def _wrong(parameters: Mapping[str, ParameterFindings]) -> bool:
    return any(one.is_wrong for one in parameters.values())


def _at_kinks(
    parameters: Mapping[str, ParameterFindings], located: Localisation | None
) -> dict[str, NDArray[np.bool_]]:
    """Mark the entries at kinks, by name of the parameters that have any.

    Those that group testing found wrong beside the point are at kinks if they are right here, even
    where the slope of one is that between the two sides; unless a whole block is wrong, the others
    of their parameter are right.
    """
    marks = {
        name: one.comparisons["analytic~central"].kinks
        for name, one in parameters.items()
        if one.has_kinks
    }
    if located is None or not located.beside:
        return marks
    whole = {block.parameter for block in located.blocks}
    for name in {name for name, _ in located.entries} & set(parameters):
        shape = parameters[name].combined.codes.shape
        flat = np.zeros(math.prod(shape), dtype=bool)
        if name in whole and name in marks:
            flat |= marks[name].reshape(-1)
        flat[[index for one, index in located.entries if one == name]] = True
        marks[name] = flat.reshape(shape)
    return marks
