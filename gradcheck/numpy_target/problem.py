"""From a NumPy target and its inputs to a Problem: the first calls, and what they tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradcheck.calling import random_state
from gradcheck.calling.calls import LOW_PRECISION, BoundInputs, bind_inputs
from gradcheck.calling.choose import Chosen, choose, live_parameters
from gradcheck.calling.eligible import refuse_ineligible, without_empty
from gradcheck.calling.live import LiveState
from gradcheck.calling.quiet import quiet
from gradcheck.calling.returned_names import returned_names, variables_of
from gradcheck.calling.returns import MatchedGradients, leaf_name, match_gradients, require_gradient
from gradcheck.calling.stochastic import Repetition, averaged_loss
from gradcheck.calling.time_limit import limited, plain
from gradcheck.calling.tree import leaves
from gradcheck.errors import TargetError
from gradcheck.numpy_target.closures import (
    gradient_closure,
    surroundings,
    trace_request,
    twin_closure,
)
from gradcheck.numpy_target.closures import loss_closure as loss_closure
from gradcheck.numpy_target.first_call import FirstCall, Functions, first_call, mutation_notice
from gradcheck.numpy_target.number_calls import complex_closure, extended_closure
from gradcheck.numpy_target.preflight import (
    Gradient,
    examine_loss,
    follows_float64,
    low_precision_rounding,
    repeat_gradient,
)
from gradcheck.numpy_target.working_call import Working, working_call
from gradcheck.problem import FloatArray, LossFacts, Parameter, Problem
from gradcheck.report import Notice
from gradcheck.sweep.evaluator import Evaluator


@dataclass(frozen=True)
class Limits:
    """How much work the evaluator may do, and whom to tell of it.

    ``deadline`` is a ``time.monotonic()``, ``timeout`` in seconds, for one call of the target.
    """

    budget: int | None = None
    deadline: float | None = None
    progress: Callable[[int], None] | None = None
    timeout: float | None = None


@dataclass(frozen=True, eq=False)
class _Point:
    """Everything known before the loss is evaluated in the working precision.

    ``live`` holds the parameters read from elsewhere; ``seed`` is None for a target that draws
    from no global generator; ``known`` are names a gradient may have without being under check.
    """

    functions: Functions
    bound: BoundInputs
    chosen: Chosen
    first: FirstCall
    matched: MatchedGradients
    live: LiveState | None
    seed: int | None
    known: tuple[str, ...]
    notices: tuple[Notice, ...]


def numpy_problem(
    target: Callable[..., Any],
    inputs: Any,
    wrt: Sequence[str | int] | str | int | None = None,
    *,
    grad: Callable[..., Any] | None = None,
    params: Any = None,
    twin: Callable[..., Any] | str | None = None,
    seed: int = 0,
    name: str = "",
    limits: Limits | None = None,
    jitter: float = 0.0,
    repetition: Repetition | None = None,
    hess: Callable[..., Any] | None = None,
) -> Problem:
    """Examine a NumPy target and make it ready for the oracles.

    The inputs are copied: the user's arrays are never written to, except those in ``params``,
    which are put back by ``Problem.cleanup``. With ``jitter`` the parameters are moved by that
    much of their scale first; ``hess`` is the second derivative, for ``Problem.hessian_product``.

    Raises:
        UsageError: the inputs do not fit the target, or the parameters cannot be told.
        TargetError: the loss is not a finite scalar, there is no gradient, or a parameter holds
            integers.
    """
    bound = bind_inputs(target, inputs)
    tree = live_parameters(target, params)
    owner = getattr(target, "__self__", target)
    live = None if tree is None else LiveState(tree, owner)
    states = random_state.snapshot()

    def cleanup() -> None:
        if live is not None:
            live.restore()
        random_state.restore(states)

    limits = limits or Limits()
    functions = Functions(
        limited(target, limits.timeout),
        None if grad is None else limited(grad, limits.timeout),
    )
    try:
        point = _first_look(functions, bound, wrt, live, seed, states, finite=not jitter)
        if jitter:
            point = _moved(point, wrt, owner, seed, states, jitter)
        own = None if hess is None else limited(hess, limits.timeout)
        return _build(point, twin, name, limits, repetition or Repetition(), own, cleanup)
    except BaseException:
        cleanup()
        raise


def _moved(
    point: _Point,
    wrt: Sequence[str | int] | str | int | None,
    owner: Any,
    seed: int,
    states: tuple[Any, ...],
    jitter: float,
) -> _Point:
    """Look again from a point beside the one handed in."""
    from gradcheck.calling.jitter import jitter_notice, moved_inputs

    bound = moved_inputs(point.bound, point.chosen, jitter, seed)
    live = None if point.live is None else LiveState(point.live.tree, owner)
    again = _first_look(point.functions, bound, wrt, live, seed, states)
    seen = dict.fromkeys((*point.notices, *again.notices, jitter_notice(jitter)))
    return replace(again, notices=tuple(seen))


def _first_look(
    functions: Functions,
    bound: BoundInputs,
    wrt: Sequence[str | int] | str | int | None,
    live: LiveState | None,
    seed: int,
    states: tuple[Any, ...],
    *,
    finite: bool = True,
) -> _Point:
    """Call the target once, and find parameters and gradient in what it took and returned."""
    first = first_call(functions, bound, live, seed, states)
    if finite and not np.isfinite(first.loss):
        raise TargetError("non_finite_loss", _non_finite_message(float(first.loss)))
    require_gradient(first.grads)
    tree = None if live is None else live.tree
    chosen = choose(bound, first.grads, wrt=wrt, live=tree, hints=lambda: _hints(functions))
    notices = refuse_ineligible(chosen)
    if first.changes.paths:
        notices.append(mutation_notice(first.changes))
    known = (*_known_names(bound, tree), *variables_of(plain(functions.target)))
    shapes = [(leaf.name, np.shape(leaf.value)) for leaf in chosen.leaves]
    matched = match_gradients(first.grads, shapes, chosen.groups, known_names=known, copy=False)
    chosen, empty = without_empty(chosen)
    notices += empty
    call_seed = seed if first.draws else None
    return _Point(functions, bound, chosen, first, matched, live, call_seed, known, tuple(notices))


def _known_names(bound: BoundInputs, live: Any) -> tuple[str, ...]:
    """Names under which a gradient of something that is not under check may be returned."""
    roots = [*bound.items(), *([] if live is None else [("params", live)])]
    members = [leaf_name(leaf, label) for label, value in roots for leaf in leaves(value, label)]
    return tuple(dict.fromkeys([*(label for label, _ in bound.items()), *members]))


def _hints(functions: Functions) -> list[str]:
    """What the code calls the gradients that it returns."""
    if functions.gradient is not None:
        return returned_names(plain(functions.gradient))
    return returned_names(plain(functions.target))[1:]


def _non_finite_message(loss: float) -> str:
    return (
        f"the loss is {loss} at the point checked, so that there is no gradient to compare; check "
        "for an overflow in exp, a log of 0 or a division by 0, or choose other inputs"
    )


def _build(
    point: _Point,
    twin: Callable[..., Any] | str | None,
    name: str,
    limits: Limits,
    repetition: Repetition,
    hess: Callable[..., Any] | None,
    cleanup: Callable[[], None],
) -> Problem:
    """Choose the working precision, and evaluate loss and gradient in it."""
    functions, chosen, bound = point.functions, point.chosen, point.bound
    tree = None if point.live is None else point.live.tree
    working, loss, gradient, upcast = _in_working_precision(point)
    matched = point.matched.arrays
    analytic = {key: array.astype(np.float64, copy=False) for key, array in matched.items()}
    rounding = low_precision_rounding(
        point.matched.arrays, gradient, upcast=upcast, scatter=lambda: _scatter(point, working)
    )
    entries = sum(value.size for value in working.values)
    facts, calls, notices = examine_loss(working.call, functions, repetition, entries)
    spread = facts.spread
    remembered = _from_afar(loss, gradient, working, facts) if facts.settles else None
    if remembered is not None:
        loss, gradient, facts, notices = remembered
    random = facts.spread > 0
    repeated = repeat_gradient(gradient, analytic, rounding, repetition, stochastic=random)
    evaluator = Evaluator(
        averaged_loss(loss, repetition.averaged) if random else loss,
        working.values,
        budget=limits.budget,
        deadline=limits.deadline,
        progress=limits.progress,
        calls=repetition.averaged if random else 1 if remembered is None else 2,
    )
    evaluator.count = 4 + calls
    parameters = tuple(
        Parameter(leaf.name, leaf.path, value, _dtype_of(leaf.value))
        for leaf, value in zip(chosen.leaves, working.values, strict=True)
    )
    blur = repeated.rounding
    if remembered is not None:
        from gradcheck.history import approximate

        blur = approximate(blur, parameters, spread)
    product = None
    if hess is not None:
        from gradcheck.second_order import product_closure

        product = product_closure(working.call, hess, parameters)
    return Problem(
        name=name,
        target="",
        parameters=parameters,
        analytic=repeated.analytic,
        analytic_rounding=blur,
        gradient_problems=(*point.matched.problems, *repeated.problems),
        facts=facts,
        evaluator=evaluator,
        notices=(*point.notices, *notices, *repeated.notices),
        complex_loss=complex_closure(working, functions, chosen, tree),
        extended_loss=extended_closure(working, functions, chosen, tree),
        twin_gradient=twin_closure(twin, working, chosen, tree),
        gradient_at=gradient if repeated.steady else None,
        hessian_product=product,
        trace_request=trace_request(working, functions, chosen),
        surroundings=surroundings(bound, chosen),
        gradient_dtypes={key: array.dtype for key, array in point.matched.arrays.items()},
        cleanup=cleanup,
    )


def _scatter(point: _Point, working: Working) -> dict[str, FloatArray]:
    """How far rounding in the user's own precision scatters each entry of the gradient."""
    from gradcheck.numpy_target.two_precisions import pairs_of, scatter

    low = _working(point, upcast=False)
    own, wide = (
        gradient_closure(one.call, point.functions, point.chosen, point.known)
        for one in (low, working)
    )
    return scatter(own, wide, pairs_of(low, working))


def _from_afar(
    loss: Callable[[], float], gradient: Gradient, working: Working, facts: LossFacts
) -> tuple[Callable[[], float], Gradient, LossFacts, tuple[Notice, ...]] | None:
    """Return loss and gradient that start alike each time, if they differed by where they began."""
    from gradcheck.history import FromAfar, notice_of, settled

    alike = FromAfar(loss, working.values)
    with quiet():
        value = settled(alike, facts.spread)
    if value is None:
        return None
    notices = (notice_of(facts.spread),)
    return alike, FromAfar(gradient, working.values), LossFacts(value, facts.dtype), notices


def _dtype_of(value: Any) -> np.dtype[Any]:
    """The dtype handed in; that of the float where it is a Python int."""
    dtype = np.asarray(value).dtype
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


def _in_working_precision(
    point: _Point,
) -> tuple[Working, Callable[[], float], Gradient, bool]:
    """Return the call, its loss and gradient, and whether low-precision inputs became float64."""
    functions, bound, chosen = point.functions, point.bound, point.chosen
    arrays = [np.asarray(x) for x in _numeric(bound)]
    low = any(array.dtype.name in LOW_PRECISION for array in arrays)
    for upcast in (True, False):
        working = _working(point, upcast=upcast)
        loss = loss_closure(working.call, functions)
        gradient = gradient_closure(working.call, functions, chosen, point.known)
        if not upcast or follows_float64(loss, gradient, point.first.loss, arrays):
            break
    return working, loss, gradient, upcast and low


def _working(point: _Point, *, upcast: bool) -> Working:
    return working_call(
        point.functions,
        point.bound,
        point.chosen,
        point.first,
        point.live,
        point.seed,
        upcast=upcast,
    )


def _numeric(bound: BoundInputs) -> list[Any]:
    values = [leaf.value for label, value in bound.items() for leaf in leaves(value, label)]
    return [value for value in values if isinstance(value, np.ndarray | np.generic)]
