"""Kinks that several entries share, in the order of a check: looked at together, and failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradcheck.noise import Noise
from gradcheck.problem import Problem
from gradcheck.report import Diagnosis
from gradcheck.verdict.failed import accepted_kinks, failed
from gradcheck.verdict.joint_kinks import contradicted_together, diagnoses_of
from gradcheck.verdict.judging import ParameterFindings

if TYPE_CHECKING:
    from gradcheck.oracle_runs import OracleRuns


def fail_together(
    problem: Problem,
    noise: Noise,
    generator: np.random.Generator,
    parameters: dict[str, ParameterFindings],
    runs: OracleRuns,
) -> tuple[dict[str, ParameterFindings], tuple[Diagnosis, ...]]:
    """Fail entries at kinks whose claims are valid each alone, and contradict the loss together.

    Returns the findings by parameter name, and what there is to say of the entries. Nothing is
    looked for where the loss is drawn at random, or where an entry is wrong by itself.
    """
    if problem.facts.spread > 0 or any(one.is_wrong for one in parameters.values()):
        return parameters, ()
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
