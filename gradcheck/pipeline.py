"""check(): the only place where the stages meet."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck.assemble import assemble, error_check, make_report
from gradcheck.calling.time_limit import time_limits
from gradcheck.errors import GradientError, Interrupted, TargetError, UsageError
from gradcheck.examine import examine
from gradcheck.places import impersonal
from gradcheck.problem import Problem
from gradcheck.render.uninterrupted import uninterrupted
from gradcheck.report import (
    Check,
    Expectation,
    Notice,
    Verdict,
)
from gradcheck.settings import Settings, validate_real
from gradcheck.sweep.resources import resources
from gradcheck.targets.make_problem import Progress, describe_target, make_problem
from gradcheck.verdict.applicable import needless, without_effect


def check(
    target: Callable[..., Any],
    inputs: Any = None,
    wrt: Sequence[str | int] | str | int | None = None,
    *,
    grad: Callable[..., Any] | None = None,
    vjp: Callable[..., Any] | None = None,
    params: Any = None,
    torch: Callable[..., Any] | str | None = None,
    args: tuple[Any, ...] | None = None,
    jac: Any = None,
    hess: Callable[..., Any] | None = None,
    settings: Settings | None = None,
    name: str | None = None,
    expect: Expectation | None = None,
    learning_rate: float | None = None,
    executor: Any = None,
    progress: Progress | None = None,
    pictures: bool = False,
    thorough: bool = False,
    **options: Any,
) -> Check:
    """Check the gradient of ``target`` at ``inputs`` against independent ones.

    Args:
        target: a function that returns ``loss``, ``(loss, grads)``, ``(grads, loss)`` or
            ``(loss, g1, g2, ...)``; or a torch function, module or ``autograd.Function``.
        inputs: a dict (keyword arguments), a tuple (positional ones) or the single argument.
        wrt: names or positions of the parameters among the inputs; decided from the gradient
            where it is not given.
        grad: gradient function if the target returns only the loss: it takes the target's
            arguments, some of them, or what the target returns beside the loss; of a target with
            many outputs the Jacobian, or the derivative of each entry.
        vjp: backward function of a layer that returns ``out`` or ``(out, cache)``: it takes
            ``(cotangent, cache)``, ``(cotangent, *inputs)`` or ``(cotangent)``.
        params: tree of arrays that the target reads from elsewhere; perturbed in place, put back.
            ``self.params`` is found by itself, others where the gradient has their names or
            structure.
        torch: PyTorch twin of the loss, or its name ``"module:function"``.
        args: further positional arguments, as SciPy's optimisers take them.
        jac: SciPy's gradient: a function, or True if the target returns ``(loss, gradient)``.
        hess: Hessian function or Hessian-vector product, checked with ``order=2``.
        settings: how to check.
        name: name of the check in reports.
        expect: what should come out; without it, ``pass``.
        learning_rate: step of gradient descent that is judged against the curvature.
        executor: a ``concurrent.futures.Executor`` for the loss evaluations.
        progress: called with ``(done, total, text)``.
        pictures: also compute what the report's pages draw (some hundred loss evaluations).
        thorough: refine every central difference as far as the noise of the loss allows, for up
            to some ten evaluations an entry instead of two.
        **options: fields of ``Settings``, put over ``settings``.

    Returns:
        The check. A target that cannot be judged (a loss that is not finite, no gradient, integer
        parameters) comes out with verdict ``error``.

    Raises:
        UsageError: the arguments do not fit together; the message says what to write.
        Interrupted: Ctrl-C or SIGTERM came during the evaluations; it holds what was finished.
        Exception: whatever the target itself raises at the given inputs.
    """
    chosen = Settings.from_options(options, settings)
    if hess is not None:
        chosen = replace(chosen, order=2)
    _refuse_repeated(wrt)
    if learning_rate is not None:
        validate_real("learning_rate", learning_rate, low=0.0)
    label = str(name or getattr(target, "__qualname__", type(target).__name__))
    began = time.monotonic()
    own = target
    if jac is not None or args is not None:
        from gradcheck.targets.scipy_form import from_scipy

        target, inputs, grad = from_scipy(target, inputs, args=args, jac=jac, grad=grad)
    problem: Problem | None = None
    errors = np.geterr()
    try:
        with time_limits(chosen.timeout, executor, chosen.dask):
            functions = (grad, vjp, hess, torch)
            problem = make_problem(target, inputs, wrt, functions, params, chosen, label, progress)
            problem = _answered(problem, chosen, declared=thorough)
            problem.evaluator.finishes = True
            variant = (thorough, pictures)
            lent = resources(problem, chosen, target=own, executor=executor, variant=variant)
            findings = found = None
            with problem.evaluator.keeping(), lent:
                findings = examine(
                    problem,
                    chosen,
                    learning_rate=learning_rate,
                    pictures=pictures,
                    thorough=thorough,
                )
            with problem.evaluator.keeping(), uninterrupted():
                if findings is not None:
                    found = assemble(problem, findings, chosen, expect=expect)
            if found is None:
                # Nothing was finished.
                raise problem.evaluator.interrupted or KeyboardInterrupt
            with problem.evaluator.keeping():
                if chosen.order == 2 and problem.hessian_product is not None:
                    from gradcheck.second_order import with_second_order

                    found = with_second_order(found, problem, chosen)
                if problem.evaluator.interrupted is None:
                    found = _audited(found, target, inputs, wrt, params, chosen, problem)
    except TargetError as error:
        found = error_check(label, describe_target(target), error, chosen, expect=expect)
    finally:
        # A signal that comes meanwhile waits until everything is as it was.
        came = None
        while True:
            try:
                np.seterr(**errors)
                if problem is not None and problem.cleanup is not None:
                    problem.cleanup()
                break
            except KeyboardInterrupt as error:
                came = error
        if came is not None:
            raise came
    found = impersonal(replace(found, seconds=time.monotonic() - began))
    if progress is not None:
        progress(max(1, found.evaluations), max(1, found.evaluations), label)
    if problem is not None and problem.evaluator.interrupted is not None:
        raise Interrupted(found) from problem.evaluator.interrupted
    return found


def _answered(problem: Problem, settings: Settings, *, declared: bool) -> Problem:
    """Refuse options that do not exist for the target; say which have nothing to do.

    Declared checks are many, and an option is for those of them that it fits.
    """
    refused = without_effect(problem, settings)
    if refused and not declared:
        raise UsageError("; ".join(refused))
    notices = [Notice("option_without_effect", text) for text in refused]
    notices += needless(problem, settings)
    return replace(problem, notices=(*problem.notices, *notices)) if notices else problem


def _refuse_repeated(wrt: Sequence[str | int] | str | int | None) -> None:
    if wrt is None or isinstance(wrt, str | int):
        return
    for item in wrt:
        if list(wrt).count(item) > 1:
            raise UsageError(f"wrt names {item!r} twice: name each parameter once")


def _audited(
    found: Check,
    target: Any,
    inputs: Any,
    wrt: Sequence[str | int] | str | int | None,
    params: Any,
    settings: Settings,
    problem: Problem,
) -> Check:
    """Add the audit of a torch backward, where it was asked for or goes without saying."""
    if problem.kind != "torch" or settings.audit is False:
        return found
    from gradcheck.torch_target.kinds import is_function_class

    whole = settings.audit is True or is_function_class(target)
    if not whole and problem.outputs < 2:
        return found
    from gradcheck.audit import audit, audit_outputs, with_audit

    if problem.cleanup is not None:
        problem.cleanup()
    look = audit if whole else audit_outputs
    findings = look(target, inputs, wrt, params=params, seed=settings.seed)
    return with_audit(found, findings, asked=settings.audit is True)


def assert_gradients(
    target: Callable[..., Any],
    inputs: Any = None,
    wrt: Sequence[str | int] | str | int | None = None,
    **options: Any,
) -> Check:
    """Check a gradient and raise unless it passes; arguments as of ``check``.

    Raises:
        GradientError: the verdict is not ``pass`` (``allow_inconclusive=True`` also accepts
            ``inconclusive``); the message is the table.
    """
    found = check(target, inputs, wrt, **options)
    settings = Settings.from_options(
        {key: value for key, value in options.items() if key == "allow_inconclusive"},
        options.get("settings"),
    )
    accepted = {Verdict.PASS}
    if settings.allow_inconclusive:
        accepted.add(Verdict.INCONCLUSIVE)
    if found.verdict not in accepted:
        from gradcheck.render.terminal import render
        from gradcheck.render.words import check_sentence

        raise GradientError(f"{check_sentence(found)}\n\n{render(make_report([found]))}")
    return found
