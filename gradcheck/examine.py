"""From a problem to findings: the oracles in their order, their comparisons, the diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.compare import (
    FAIL,
    INCONCLUSIVE,
    PASS,
    Judged,
    judge,
    thresholds_for,
    typical_gradient,
)
from gradcheck.noise import Noise, loss_noise
from gradcheck.numpy_problem import quiet
from gradcheck.oracles.central import central_differences
from gradcheck.oracles.complex_step import complex_step
from gradcheck.oracles.estimate import Estimate
from gradcheck.oracles.torch_autograd import (
    NONE,
    Autograd,
    autograd_of_trace,
    autograd_of_twin,
)
from gradcheck.problem import FloatArray, Problem
from gradcheck.report import Diagnosis, Notice
from gradcheck.rounding import rounding_error
from gradcheck.scales import rms
from gradcheck.settings import Settings
from gradcheck.variation import variation
from gradcheck.verdicts import Combined, combine, share_kinks

FULL_SWEEP = 5000
"""Entries of a problem up to which every one gets its central difference."""
SAMPLE = 500
"""Entries of each parameter that are drawn above that."""
N_DIRECTIONS = 20
LOW_INSIDE = 1e-9
"""Relative noise of the loss from which it must have been computed in low precision inside."""
FINE = 1e-5
"""Relative uncertainty above which an entry is referred to the complex step."""

Selection = dict[str, NDArray[np.intp]]


@dataclass(frozen=True)
class ParameterFindings:
    """What the oracles say of one parameter."""

    estimates: Mapping[str, Estimate]
    comparisons: Mapping[str, Judged]
    combined: Combined
    directions: tuple[Any, ...] = ()
    pictures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Findings:
    """Everything found about one problem."""

    noise: Noise
    parameters: Mapping[str, ParameterFindings]
    oracles: tuple[str, ...]
    diagnoses: tuple[Diagnosis, ...]
    notices: tuple[Notice, ...]
    evaluations: int
    exhausted: bool


def examine(
    problem: Problem,
    settings: Settings,
    *,
    learning_rate: float | None = None,
    pictures: bool = False,
    thorough: bool = False,
) -> Findings:
    """Run the oracles on a problem, compare, and explain what is wrong.

    ``thorough`` refines every central difference as far as the noise of the loss allows.
    """
    from gradcheck.explain import explain

    generator = np.random.default_rng(settings.seed)
    with quiet():
        noise = loss_noise(problem, generator)
        noise = replace(noise, variation=variation(problem, generator))
        problem = _with_rounding(problem, noise, generator)
        autograd = _autograd(problem, settings, noise, generator)
        found, refusals = _oracles(problem, settings, noise, autograd, generator, thorough=thorough)
        autograd, disagreement = _trusted(problem, autograd, found)
        parameters = {
            name: _compare(problem, settings, name, estimates, noise)
            for name, estimates in found.items()
        }
        directions, sampled = _directions(problem, settings, noise, generator, found)
        parameters = {
            name: replace(one, directions=directions.get(name, ()))
            for name, one in parameters.items()
        }
        diagnoses, notices = explain(
            problem, parameters, autograd, noise, learning_rate=learning_rate
        )
        evaluations = problem.evaluator.count
        if pictures:
            from gradcheck.drawing import draw

            parameters = draw(problem, parameters, noise)
    return Findings(
        noise,
        parameters,
        _names(found),
        diagnoses,
        (*problem.notices, *autograd.notices, *disagreement, *refusals, *sampled, *notices),
        evaluations,
        problem.evaluator.exhausted,
    )


def _with_rounding(problem: Problem, noise: Noise, generator: np.random.Generator) -> Problem:
    """Add to the analytic gradient the rounding of the arithmetic it was computed in."""
    if problem.gradient_at is None or not problem.analytic or problem.facts.spread > 0:
        return problem
    unit = float(np.finfo(np.float64).eps)
    relative = noise.level / abs(noise.loss) if noise.loss != 0.0 else 0.0
    low_inside = LOW_INSIDE < relative < 1e-5
    low = any(parameter.value.dtype != np.float64 for parameter in problem.parameters)
    if low or low_inside or noise.dtype == np.float32:
        unit = float(np.finfo(np.float32).eps)
    errors = rounding_error(problem.gradient_at, problem.parameters, generator, unit, noise)
    problem.evaluator.count += 5
    total = {
        name: rounding + errors.get(name, 0.0)
        for name, rounding in problem.analytic_rounding.items()
    }
    return replace(problem, analytic_rounding=total)


def _autograd(
    problem: Problem, settings: Settings, noise: Noise, generator: np.random.Generator
) -> Autograd:
    wanted = settings.oracles is None or "autograd" in settings.oracles
    if not settings.autograd or not wanted or problem.kind == "torch":
        return NONE
    if problem.twin_gradient is not None:
        found = autograd_of_twin(problem, noise, generator)
        traced = _trace(problem, noise, generator)
        return replace(found, trace=traced.trace)
    return _trace(problem, noise, generator)


def _trace(problem: Problem, noise: Noise, generator: np.random.Generator) -> Autograd:
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        return Autograd(
            {},
            notices=(
                Notice("not_traceable", "torch is not installed: there is no autograd oracle"),
            ),
        )
    return autograd_of_trace(problem, noise, generator)


def _select(problem: Problem, settings: Settings, generator: np.random.Generator) -> Selection:
    """Choose the entries that get a central difference."""
    entries = settings.entries
    limit: int | None = None
    if isinstance(entries, int):
        limit = entries
    elif entries == "auto" and problem.size > FULL_SWEEP:
        limit = SAMPLE
    selection: Selection = {}
    for parameter in problem.parameters:
        size = parameter.value.size
        if limit is None or size <= limit:
            selection[parameter.name] = np.arange(size)
        else:
            drawn = generator.choice(size, limit, replace=False)
            selection[parameter.name] = np.sort(drawn)
    return selection


def _oracles(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    autograd: Autograd,
    generator: np.random.Generator,
    *,
    thorough: bool,
) -> tuple[dict[str, dict[str, Estimate]], tuple[Notice, ...]]:
    """Run central differences and what goes with them; estimates by parameter and oracle."""
    wanted = settings.oracles
    found: dict[str, dict[str, Estimate]] = {name: {} for name in problem.analytic}
    for name, estimate in autograd.estimates.items():
        if name in found:
            found[name]["autograd"] = estimate
    selection = _select(problem, settings, generator)
    _add_suspects(problem, selection, autograd)
    central: dict[str, Estimate] = {}
    if wanted is None or "central" in wanted:
        suspected = _suspects(problem, autograd)
        central = central_differences(
            problem,
            noise,
            generator,
            selection=selection,
            suspected=suspected,
            thorough=thorough,
        )
        for name, estimate in central.items():
            found[name]["central"] = estimate
    notices = _complex(problem, settings, noise, selection, central, autograd, found)
    notices += _forward(problem, settings, generator, found)
    return found, notices


def _suspects(problem: Problem, autograd: Autograd) -> dict[str, NDArray[np.bool_]]:
    """Entries on which autograd contradicts the claim: is it a kink, or is the claim wrong?"""
    suspected = {}
    for name, estimate in autograd.estimates.items():
        if name not in problem.analytic:
            continue
        allowed = estimate.uncertainty + problem.analytic_rounding[name]
        suspected[name] = np.abs(estimate.value - problem.analytic[name]) > allowed
    return suspected


def _add_suspects(problem: Problem, selection: Selection, autograd: Autograd) -> None:
    """Put the worst entries that autograd contradicts into a sampled selection."""
    for name, marked in _suspects(problem, autograd).items():
        flat = marked.reshape(-1)
        if len(selection[name]) == flat.size or not flat.any():
            continue
        difference = np.abs(autograd.estimates[name].value - problem.analytic[name]).reshape(-1)
        worst = np.argsort(-np.where(flat, difference, -1.0))[:12]
        selection[name] = np.union1d(selection[name], worst[flat[worst]])


def _complex(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    selection: Selection,
    central: Mapping[str, Estimate],
    autograd: Autograd,
    found: dict[str, dict[str, Estimate]],
) -> tuple[Notice, ...]:
    """Run the complex step where it was asked for, or on the entries still undecided."""
    if problem.kind == "torch" or (settings.oracles and "complex" not in settings.oracles):
        return ()
    asked = settings.oracles is not None
    chosen = selection if asked else _undecided(problem, settings, noise, central, autograd)
    if not any(indices.size for indices in chosen.values()):
        return ()
    outcome = complex_step(problem, selection=chosen, central=central, noise=noise)
    if outcome.refusal is not None:
        if not asked:
            return ()
        return (Notice("complex_step_refused", f"complex step not available: {outcome.refusal}"),)
    for name, estimate in outcome.estimates.items():
        found[name]["complex"] = estimate
    return ()


def _undecided(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    central: Mapping[str, Estimate],
    autograd: Autograd,
) -> Selection:
    chosen: Selection = {}
    for name, estimate in central.items():
        if name in autograd.estimates:
            continue
        judged = _judged(problem, settings, name, estimate, noise)
        own = np.fmax(np.abs(judged.analytic), np.abs(judged.reference))
        typical = float(np.max(own, initial=0.0))
        coarse = (judged.allowed > FINE * own) & (own > 1e-4 * typical)
        open_ = (judged.codes == INCONCLUSIVE) | ((judged.codes == PASS) & coarse)
        open_ &= ~estimate.kinks
        chosen[name] = np.flatnonzero(open_)
    return chosen


def _forward(
    problem: Problem,
    settings: Settings,
    generator: np.random.Generator,
    found: dict[str, dict[str, Estimate]],
) -> tuple[Notice, ...]:
    wanted = settings.oracles is None or "forward" in settings.oracles
    if problem.kind != "torch" or not wanted:
        return ()
    from gradcheck.oracles.forward_mode import forward_mode

    central = {name: one["central"] for name, one in found.items() if "central" in one}
    outcome = forward_mode(problem, generator, central=central)
    if outcome.refusal is not None:
        return (Notice("forward_refused", f"forward mode not available: {outcome.refusal}"),)
    for name, estimate in outcome.estimates.items():
        if name in found:
            found[name]["forward"] = estimate
    return ()


def _judged(
    problem: Problem, settings: Settings, name: str, estimate: Estimate, noise: Noise
) -> Judged:
    rounding = problem.analytic_rounding[name]
    parameter = next(one for one in problem.parameters if one.name == name)
    ordinary = noise.variation / (rms(parameter.scales) * np.sqrt(problem.size))
    typical = typical_gradient(estimate.value, estimate.uncertainty + rounding, float(ordinary))
    return judge(
        problem.analytic[name],
        rounding,
        estimate,
        thresholds_for(_precision(problem, name, noise), settings.rtol),
        typical=typical,
    )


def _precision(problem: Problem, name: str, noise: Noise) -> np.dtype[Any]:
    """The lowest precision that the parameter, its gradient or the loss was computed in."""
    parameter = next(one for one in problem.parameters if one.name == name)
    found = [parameter.dtype, noise.dtype, problem.gradient_dtypes.get(name, parameter.dtype)]
    if noise.loss != 0.0 and noise.level > LOW_INSIDE * abs(noise.loss):
        found.append(np.dtype(np.float32))
    return min(found, key=lambda dtype: dtype.itemsize)


def _trusted(
    problem: Problem, autograd: Autograd, found: dict[str, dict[str, Estimate]]
) -> tuple[Autograd, tuple[Notice, ...]]:
    """Drop a trace that contradicts the central differences: it missed something."""
    if autograd.source != "trace":
        return autograd, ()
    for name, estimates in found.items():
        if "autograd" not in estimates or "central" not in estimates:
            continue
        one, two = estimates["autograd"], estimates["central"]
        known = np.isfinite(two.uncertainty) & ~two.kinks
        apart = np.abs(one.value - two.value)
        off = known & (apart > 4 * (one.uncertainty + two.uncertainty))
        off &= apart > 1e-6 * np.fmax(np.abs(one.value), np.abs(two.value))
        if off.any():
            for others in found.values():
                others.pop("autograd", None)
            notice = Notice(
                "trace_discarded",
                f"autograd of the traced code disagrees with central differences on "
                f"{int(off.sum())} entries of {name}: something in the target does not trace "
                "faithfully, so that autograd of it was not used",
            )
            return replace(NONE, notices=autograd.notices), (notice,)
    return autograd, ()


def _compare(
    problem: Problem,
    settings: Settings,
    name: str,
    estimates: Mapping[str, Estimate],
    noise: Noise,
) -> ParameterFindings:
    central = estimates.get("central")
    shared = {
        oracle: estimate if oracle == "central" else share_kinks(estimate, central)
        for oracle, estimate in estimates.items()
    }
    judged = {
        oracle: _judged(problem, settings, name, one, noise) for oracle, one in shared.items()
    }
    comparisons = {f"analytic~{oracle}": one for oracle, one in judged.items()}
    if central is not None and "autograd" in estimates:
        own = estimates["autograd"]
        comparisons["autograd~central"] = judge(
            own.value,
            own.uncertainty,
            central,
            thresholds_for(_precision(problem, name, noise)),
            typical=rms(own.value),
        )
    combined = combine(list(judged.values()), estimates) if judged else _nothing(problem, name)
    return ParameterFindings(estimates, comparisons, combined)


def _nothing(problem: Problem, name: str) -> Combined:
    shape = problem.analytic[name].shape
    return Combined(np.full(shape, -1, dtype=np.int8), None, np.zeros(shape, dtype=bool))


def _directions(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    generator: np.random.Generator,
    found: Mapping[str, Mapping[str, Estimate]],
) -> tuple[dict[str, tuple[Any, ...]], tuple[Notice, ...]]:
    """Random directions: the Taylor test, and the check of what a sample left out."""
    return {}, ()


def _names(found: Mapping[str, Mapping[str, Estimate]]) -> tuple[str, ...]:
    order = ("central", "complex", "autograd", "forward")
    present = {oracle for estimates in found.values() for oracle in estimates}
    return tuple(oracle for oracle in order if oracle in present)


def failing_entries(findings: Mapping[str, ParameterFindings]) -> dict[str, NDArray[np.bool_]]:
    """Return the entries with verdict ``fail``, by parameter."""
    return {name: one.combined.codes == FAIL for name, one in findings.items()}


def reference_of(findings: ParameterFindings) -> tuple[FloatArray, FloatArray]:
    """Return the most certain value of each entry over all oracles, and its uncertainty."""
    estimates = list(findings.estimates.values())
    values = np.stack([one.value for one in estimates])
    errors = np.stack([one.uncertainty for one in estimates])
    ranked = np.where(np.isfinite(values) & np.isfinite(errors), errors, np.inf)
    finest = np.argmin(ranked, axis=0)[None]
    value = np.take_along_axis(values, finest, axis=0)[0]
    error = np.take_along_axis(errors, finest, axis=0)[0]
    return value, error
