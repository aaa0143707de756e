"""Why a check came out as it did: diagnoses of what is wrong, notices of what to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import flat, in_little
from gradcheck.noise import Noise
from gradcheck.oracles.torch_autograd import Autograd
from gradcheck.problem import FloatArray, Problem
from gradcheck.report import Diagnosis, Notice, Verdict
from gradcheck.sentences import sentence
from gradcheck.sweep.moves import Block
from gradcheck.verdict.compare import FAIL
from gradcheck.verdict.judging import ParameterFindings, reference_of
from gradcheck.verdict.non_finite import non_finite_gradients
from gradcheck.verdict.unchecked import edge_notices, limit_notices


def explain(
    problem: Problem,
    parameters: Mapping[str, ParameterFindings],
    autograd: Autograd,
    noise: Noise,
    *,
    learning_rate: float | None = None,
    disagreeing: Sequence[str] = (),
    known: Sequence[Diagnosis] = (),
    seen: Sequence[Notice] = (),
) -> tuple[tuple[Diagnosis, ...], tuple[Notice, ...]]:
    """Diagnose what fails or stays open, and collect what a passing check should know.

    ``known`` explains all that fails, where it is given; ``seen`` are the notices so far: why an
    oracle did not run.
    """
    diagnoses = [
        Diagnosis(one.cause, one.parameter, sentence(one.message), "exact")
        for one in problem.gradient_problems
    ]
    diagnoses += non_finite_gradients(problem.analytic)
    untried: list[Notice] = []
    failing = any(one.is_wrong for one in parameters.values())
    if known:
        diagnoses += known
    elif failing:
        with problem.evaluator.aside():
            causes, untried = _causes(problem, parameters, autograd)
        diagnoses += causes
    elif disagreeing:
        diagnoses.append(_somewhere(disagreeing))
    elif not diagnoses:
        from gradcheck.verdict.open_questions import open_questions

        diagnoses += open_questions(problem, parameters, autograd, noise, seen)
    notices = _vacuous(problem, parameters)
    if failing:
        notices += [*untried, *limit_notices(problem, parameters)]
        notices += edge_notices(problem, parameters)
    if learning_rate is not None:
        notices += _step(problem, learning_rate, failing=failing)
    return tuple(diagnoses), tuple(notices)


def _causes(
    problem: Problem, parameters: Mapping[str, ParameterFindings], autograd: Autograd
) -> tuple[list[Diagnosis], list[Notice]]:
    from gradcheck.diagnose import Evidence, explained

    trace, notices = autograd.trace, list[Notice]()
    if problem.torch_trace is not None:
        trace, notices = _torch_trace(problem.torch_trace)
    reference: dict[str, FloatArray] = {}
    uncertainty: dict[str, FloatArray] = {}
    for name, one in parameters.items():
        reference[name], uncertainty[name] = _held_against(problem, name, one)
    surroundings = problem.surroundings
    evidence = Evidence(
        names=tuple(parameters),
        values={p.name: np.asarray(p.value, dtype=np.float64) for p in problem.parameters},
        analytic=problem.analytic,
        reference=reference,
        uncertainty=uncertainty,
        failing={name: one.combined.codes == FAIL for name, one in parameters.items()},
        scalars=surroundings.scalars,
        sizes=_sizes(problem),
        integer_arrays=surroundings.integers,
        data=surroundings.data,
        analytic_dtype={
            p.name: problem.gradient_dtypes.get(p.name, p.dtype).name for p in problem.parameters
        },
        own_dtype={p.name: p.dtype_name or p.dtype.name for p in problem.parameters},
        trace=trace,
        moved=None if problem.facts.spread else _mover(problem),
        loss_rounding=64.0 * _precision(problem),
    )
    try:
        found = explained(evidence)
    except Exception as error:
        # The verdict stands without its explanation; that this one failed is said, not hidden.
        names = [n for n, failing in evidence.failing.items() if failing.any()]
        return [_search_failed(error, names)], notices
    if found.untried:
        text = f"the search for the cause was cut short: {found.untried}"
        notices.append(Notice("search_cut_short", text))
    return list(found.diagnoses), notices


def _mover(problem: Problem) -> Callable[[str, FloatArray, Sequence[float]], FloatArray]:
    """Return what evaluates the loss with one parameter moved."""
    numbers = {one.name: number for number, one in enumerate(problem.parameters)}

    def moved(name: str, direction: FloatArray, distances: Sequence[float]) -> FloatArray:
        return problem.evaluator.moved([Block(numbers[name], (), direction)], distances)

    return moved


def _precision(problem: Problem) -> float:
    """Return the rounding of the lowest precision known to take part in the loss."""
    dtypes = [problem.facts.dtype, *(one.value.dtype for one in problem.parameters)]
    if problem.precision_inside is not None:
        dtypes.append(problem.precision_inside)
    return max(float(np.finfo(one).eps) for one in dtypes if one.kind == "f")


def _held_against(
    problem: Problem, name: str, one: ParameterFindings
) -> tuple[FloatArray, FloatArray]:
    """Return the best gradient of a parameter, and how far the claimed one may be from it."""
    value, error = reference_of(one)
    rounding = problem.analytic_rounding[name]
    return value, in_little(
        value.shape, lambda at: flat(error, at) + flat(rounding, at), bound=True
    )


def _search_failed(error: Exception, names: Sequence[str]) -> Diagnosis:
    return Diagnosis(
        "unexplained",
        ", ".join(names),
        f"The gradient of {', '.join(names)} is wrong, but the search for the cause ended in an "
        f"error of gradcheck's own ({type(error).__name__}: {error}). Please report it.",
        "possible",
        remedy="Look at the worst entries; the verdict does not depend on the search.",
    )


def _torch_trace(record: Callable[[], Any]) -> tuple[Any, list[Notice]]:
    """Record a torch target's operations; where that does not work, patterns remain."""
    try:
        return record(), []
    except Exception as error:
        # The target ran without the recording: whatever this is, it concerns the recording alone.
        text = (
            f"recording the target's operations raised {type(error).__name__}: {error}; the cause "
            "was looked for without them"
        )
        return None, [Notice("not_traceable", text)]


def _somewhere(names: Sequence[str]) -> Diagnosis:
    return Diagnosis(
        "unexplained",
        names[0] if len(names) == 1 else "",
        f"Along random directions the loss does not change as the gradient of {', '.join(names)} "
        "says, although every entry looked at is right: a wrong one is among the others.",
        "likely",
        remedy="Check every entry with --entries all.",
    )


def _sizes(problem: Problem) -> tuple[tuple[int, str], ...]:
    """Name the sizes of the arrays around, as a diagnosis may find them as a factor."""
    words = ("the rows of", "the columns of")
    found: list[tuple[int, str]] = []
    arrays: list[tuple[str, NDArray[Any]]] = [
        *problem.surroundings.data.items(),
        *problem.surroundings.integers.items(),
        *((p.name, p.value) for p in problem.parameters),
    ]
    for name, array in arrays:
        if array.ndim == 1:
            found.append((array.shape[0], f"the length of {name}"))
        elif array.ndim == 2:
            found += [(n, f"{word} {name}") for n, word in zip(array.shape, words, strict=True)]
        else:
            found += [(n, f"axis {axis} of {name}") for axis, n in enumerate(array.shape)]
    return tuple((n, text) for n, text in found if n > 1)


def _sees_a_slope(one: ParameterFindings) -> bool:
    """Whether some entry's most certain value is no zero, by far more than its uncertainty."""
    value, error = reference_of(one)
    with np.errstate(invalid="ignore"):
        return bool((np.abs(value) > 4 * error).any())


def _vacuous(problem: Problem, parameters: Mapping[str, ParameterFindings]) -> list[Notice]:
    """Warn where the whole gradient of a parameter is exactly zero: agreement proves nothing."""
    empty = [
        name
        for name, one in parameters.items()
        if not problem.analytic[name].any()
        and one.combined.verdict is Verdict.PASS
        and not _sees_a_slope(one)
    ]
    if not empty:
        return _at_zero(problem, parameters)
    names = ", ".join(empty)
    return [
        Notice(
            "vacuous_point",
            f"the gradient of {names} is exactly 0 in every entry at this point, so that a "
            "backward pass which returns zeros would pass as well; check at another draw of the "
            "inputs (another --seed, --jitter 0.01, or --search 100)",
        )
    ]


def _at_zero(problem: Problem, parameters: Mapping[str, ParameterFindings]) -> list[Notice]:
    """Warn where every parameter is zero, and with them what penalties and products would show."""
    if any(one.value.any() for one in problem.parameters) or not all(
        one.combined.verdict is Verdict.PASS for one in parameters.values()
    ):
        return []
    return [
        Notice(
            "vacuous_point",
            "every parameter is 0 at this point, where penalties have no gradient and products of "
            "parameters vanish, so that a mistake in theirs would not show; check at another point "
            "(--jitter 0.1, or other inputs)",
        )
    ]


def _step(problem: Problem, learning_rate: float, *, failing: bool) -> list[Notice]:
    """Judge the learning rate, or say why it was not judged."""
    reason = ""
    if failing:
        reason = "the gradient is wrong, and steps along it go elsewhere"
    elif problem.gradient_at is None or problem.gradient_problems:
        reason = "the gradient is not complete, or not the same in every call"
    if not reason:
        try:
            with problem.evaluator.aside():
                return _curvature(problem, learning_rate)
        except _LimitReachedError:
            reason = "the limit on evaluations or time was reached"
    return [Notice("step_not_judged", f"the learning rate was not judged: {reason}")]


class _LimitReachedError(Exception):
    """No gradient may be computed any more."""


def _curvature(problem: Problem, learning_rate: float) -> list[Notice]:
    """Judge a gradient-descent step against the largest curvature of the loss."""
    from gradcheck.diagnose.curvature import (
        difference_of_gradients,
        largest_curvature,
        step_too_long,
    )

    gradient_at = problem.gradient_at
    if gradient_at is None:
        return []
    values = [parameter.value for parameter in problem.parameters]
    start = np.concatenate([value.reshape(-1).astype(np.float64) for value in values])
    names = [parameter.name for parameter in problem.parameters]

    def gradient(point: FloatArray) -> FloatArray:
        if not problem.evaluator.spend(1):
            raise _LimitReachedError
        offset = 0
        for value in values:
            np.copyto(value, point[offset : offset + value.size].reshape(value.shape))
            offset += value.size
        found = gradient_at()
        return np.concatenate([found[name].reshape(-1) for name in names])

    try:
        product = difference_of_gradients(gradient, start)
        curvature = largest_curvature(product, start.size)
    finally:
        offset = 0
        for value in values:
            np.copyto(value, start[offset : offset + value.size].reshape(value.shape))
            offset += value.size
    notice = step_too_long(curvature, learning_rate)
    return [] if notice is None else [notice]
