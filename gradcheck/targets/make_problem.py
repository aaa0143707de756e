"""From what the user handed in to a Problem, whichever kind of target it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from gradcheck.calling.stochastic import Repetition
from gradcheck.calling.time_limit import TimeUp, limited
from gradcheck.errors import TargetError, UsageError
from gradcheck.numpy_target.problem import Limits, numpy_problem
from gradcheck.problem import Problem
from gradcheck.report import Notice
from gradcheck.settings import Settings
from gradcheck.sweep.selection import FULL_SWEEP

Progress = Callable[[int, int, str], None]

OVERHEAD = 25
"""Evaluations besides those of the entries: noise, variation, rounding, directions."""


SCOUTS = 3
"""Calls that may be made to see in which form a target comes."""


def make_problem(
    target: Callable[..., Any],
    inputs: Any,
    wrt: Sequence[str | int] | str | int | None,
    functions: tuple[Any, Any, Any, Any],
    params: Any,
    settings: Settings,
    name: str,
    progress: Progress | None,
) -> Problem:
    """Examine the target; ``functions`` are its ``grad``, ``vjp``, ``hess`` and torch twin.

    Raises:
        UsageError: the arguments do not fit together or the target.
        TargetError: the target cannot be judged.
    """
    grad, vjp, hess, twin = functions
    deadline = None if settings.time is None else time.monotonic() + settings.time
    common: dict[str, Any] = {
        "seed": settings.seed,
        "name": name,
        "limits": Limits(settings.budget, deadline, timeout=settings.timeout),
        "jitter": settings.jitter,
        "repetition": Repetition(settings.repeats, settings.confidence),
    }
    if not callable(target):
        raise UsageError(f"the target is {type(target).__name__}, which cannot be called")
    if vjp is not None and grad is not None:
        raise UsageError("vjp= is the backward pass of a layer, grad= that of a loss: give one")
    if _is_torch(target, inputs, params):
        from gradcheck.torch_target.problem import torch_problem

        for option, given in (("hess", hess), ("torch", twin)):
            if given is not None:
                raise UsageError(
                    f"{option}= is for NumPy targets, and this one is torch's own: leave it out; "
                    "autograd's gradient is checked, with order=2 its double backward, too"
                )
        problem = torch_problem(target, inputs, wrt, grad=grad, vjp=vjp, params=params, **common)
    else:
        problem = _numpy(target, inputs, wrt, functions, params, settings, common)
        problem = replace(problem, notices=(*problem.notices, *_penalties_off(target, inputs)))
    if progress is not None:
        total = expected_evaluations(problem, settings)
        problem.evaluator.on_progress(lambda done: progress(min(done, total), total, name))
    return replace(problem, name=name, target=describe_target(target))


def _numpy(
    target: Callable[..., Any],
    inputs: Any,
    wrt: Sequence[str | int] | str | int | None,
    functions: tuple[Any, Any, Any, Any],
    params: Any,
    settings: Settings,
    common: dict[str, Any],
) -> Problem:
    """Bring a NumPy target into the form of a loss; ``common`` is what every problem takes."""
    from gradcheck.targets.numpy_form import NumpyForm, many_outputs, numpy_form

    grad, vjp, hess, twin = functions
    looking = limited(numpy_form, settings.timeout and SCOUTS * settings.timeout)
    try:
        form = looking(target, inputs, wrt, grad=grad, vjp=vjp, params=params, seed=settings.seed)
    except TimeUp:
        raise TimeUp(settings.timeout or 0.0) from None

    def problem_of(form: NumpyForm) -> Problem:
        return numpy_problem(
            form.loss,
            inputs,
            form.wrt,
            grad=form.grad,
            params=form.params,
            twin=twin,
            hess=hess,
            **common,
        )

    try:
        return problem_of(form)
    except TargetError as error:
        if error.cause != "loss_not_scalar":
            raise
        of_many = many_outputs(form, inputs, seed=settings.seed)
        if of_many is None:
            raise
    problem = problem_of(of_many)
    return replace(problem, notices=(*problem.notices, *of_many.notices))


def _penalties_off(target: Callable[..., Any], inputs: Any) -> list[Notice]:
    from gradcheck.calling.calls import bind_inputs
    from gradcheck.targets.signature import Signature
    from gradcheck.targets.switched_off import switched_off_notices

    return switched_off_notices(Signature.of(target), dict(bind_inputs(target, inputs).items()))


def expected_evaluations(problem: Problem, settings: Settings) -> int:
    """Return about how many loss evaluations a check whose gradient is right takes."""
    entries = problem.size
    if isinstance(settings.entries, int):
        entries = sum(min(one.value.size, settings.entries) for one in problem.parameters)
    elif settings.entries == "auto" and entries > FULL_SWEEP:
        # Located by group testing or sampled, unless the loss is fast enough for all.
        entries = FULL_SWEEP
    first = problem.evaluator.count + OVERHEAD
    total = first + 2 * entries * problem.evaluator.calls
    return total if settings.budget is None else max(1, min(total, settings.budget))


def _is_torch(target: Any, inputs: Any, params: Any) -> bool:
    import sys

    if "torch" not in sys.modules:
        return False
    from gradcheck.torch_target.problem import is_torch_target

    return bool(is_torch_target(target, inputs, params))


def describe_target(target: Any) -> str:
    """Return ``module:qualified name`` of a target."""
    module = getattr(target, "__module__", None) or type(target).__module__
    qualified = getattr(target, "__qualname__", type(target).__qualname__)
    return f"{module}:{qualified}"
