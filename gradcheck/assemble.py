"""From findings to the Check of a report, and from checks to a report: arrays stop here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.environment import describe_environment
from gradcheck.errors import TargetError
from gradcheck.examine import Findings
from gradcheck.problem import Parameter, Problem
from gradcheck.report import (
    Check,
    Comparison,
    Diagnosis,
    Expectation,
    ParameterResult,
    Report,
    Story,
    TrainingTrace,
    Verdict,
    worst_verdict,
)
from gradcheck.sentences import sentence
from gradcheck.settings import Settings
from gradcheck.verdict.compare import UNCHECKED
from gradcheck.verdict.in_parts import summarise, worst_positions
from gradcheck.verdict.judging import ParameterFindings
from gradcheck.verdict.unchecked import cut_short


def assemble(
    problem: Problem,
    findings: Findings,
    settings: Settings,
    *,
    expect: Expectation | None = None,
) -> Check:
    """Reduce what was found to plain data."""
    malformed = {one.parameter: one for one in problem.gradient_problems}
    results = [_parameter(parameter, findings, problem) for parameter in problem.parameters]
    verdicts = [result.verdict for result in results]
    if malformed:
        verdicts.append(Verdict.FAIL)
    return Check(
        name=problem.name,
        target=problem.target,
        verdict=worst_verdict(verdicts),
        loss=problem.facts.value,
        seed=settings.seed,
        evaluations=findings.evaluations,
        oracles=findings.oracles,
        parameter_results=tuple(results),
        diagnoses=findings.diagnoses,
        warnings=findings.notices,
        expected=expect,
    )


def _parameter(parameter: Parameter, findings: Findings, problem: Problem) -> ParameterResult:
    found = findings.parameters.get(parameter.name)
    shape = tuple(int(n) for n in parameter.value.shape)
    if found is None:
        return ParameterResult(
            name=parameter.name,
            shape=shape,
            dtype=parameter.dtype_name or parameter.dtype.name,
            entries=int(parameter.value.size),
            checked=0,
            verdict=Verdict.FAIL,
            kinks=0,
            comparisons={},
            path=parameter.path,
        )
    best = None if found.combined.best is None else f"analytic~{found.combined.best}"
    central = found.comparisons.get("analytic~central")
    counted = found.counted
    judged = found.comparisons.get(best or "")
    first = None if judged is None else worst_positions(judged)
    verdict = Verdict.FAIL if parameter.name in findings.disagreeing else found.combined.verdict
    unseen = parameter.name in findings.hidden or cut_short(problem, found)
    if verdict is Verdict.PASS and unseen:
        verdict = Verdict.INCONCLUSIVE
    return ParameterResult(
        name=parameter.name,
        shape=shape,
        dtype=parameter.dtype_name or parameter.dtype.name,
        entries=int(parameter.value.size),
        checked=int((counted != UNCHECKED).sum()),
        verdict=verdict,
        kinks=0 if central is None else int(central.kinks.sum()),
        comparisons=_comparisons(found, first),
        best=best,
        path=parameter.path,
        note=_note(parameter),
        taylor=tuple(direction.to_plain() for direction in found.directions),
        **_pictures(found.pictures),
    )


def _comparisons(found: ParameterFindings, first: NDArray[np.intp] | None) -> dict[str, Comparison]:
    """Sum up the comparisons; entries left out count by what random directions would have seen."""
    summed = {key: summarise(one, first) for key, one in found.comparisons.items()}
    central = summed.get("analytic~central")
    if central is not None and found.along > central.resolution:
        summed["analytic~central"] = replace(central, resolution=found.along)
    return summed


def _note(parameter: Parameter) -> str:
    if not np.any(parameter.value):
        return "all zero: it carries no scale of its own, and 1 was assumed"
    return ""


def _pictures(pictures: Mapping[str, Any]) -> dict[str, Any]:
    return dict(pictures)


def error_check(
    name: str,
    target: str,
    error: TargetError,
    settings: Settings,
    *,
    expect: Expectation | None = None,
) -> Check:
    """Return the check of a target that could not be judged."""
    return Check(
        name=name,
        target=target,
        verdict=_verdict_of(error),
        loss=float("nan"),
        seed=settings.seed,
        evaluations=0,
        oracles=(),
        parameter_results=(),
        diagnoses=(Diagnosis(error.cause, error.parameter, sentence(str(error)), "exact"),),
        expected=expect,
    )


def _verdict_of(error: TargetError) -> Verdict:
    if error.cause == "empty_parameter":
        # Nothing was wrong, and nothing was checked.
        return Verdict.INCONCLUSIVE
    return Verdict.FAIL if error.verdict_is_fail else Verdict.ERROR


def make_report(
    checks: Sequence[Check],
    *,
    stories: Sequence[Story] = (),
    traces: Sequence[TrainingTrace] = (),
) -> Report:
    """Put checks into a report, with the tool and the environment that made them."""
    from datetime import UTC, datetime

    from gradcheck import __version__

    return Report(
        checks=tuple(checks),
        tool={"name": "gradcheck", "version": __version__},
        environment=describe_environment(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=sum(found.seconds for found in checks),
        stories=tuple(stories),
        traces=tuple(traces),
    )
