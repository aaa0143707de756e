"""From a NumPy target and its inputs to a Problem: the first calls, and what they tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck import random_state
from gradcheck.calls import LOW_PRECISION, BoundInputs, Call, bind_inputs
from gradcheck.choose import Chosen, choose, live_parameters
from gradcheck.complex_call import complex_closure
from gradcheck.eligible import refuse_ineligible
from gradcheck.errors import TargetError
from gradcheck.evaluator import Evaluator
from gradcheck.first_call import FirstCall, Functions, first_call, mutation_notice
from gradcheck.live import LiveState
from gradcheck.preflight import (
    REPEATS as REPEATS,
)
from gradcheck.preflight import (
    Gradient,
    examine_loss,
    follows_float64,
    low_precision_rounding,
    repeat_gradient,
)
from gradcheck.problem import FloatArray, Parameter, Problem, Surroundings, TraceRequest
from gradcheck.quiet import quiet as quiet
from gradcheck.report import Notice
from gradcheck.returns import (
    MatchedGradients,
    leaf_name,
    match_gradients,
    require_gradient,
    split_result,
)
from gradcheck.tree import leaves
from gradcheck.working_call import Working, working_call


@dataclass(frozen=True)
class Limits:
    """How much work the evaluator may do, and whom to tell of it."""

    budget: int | None = None
    deadline: float | None = None
    progress: Callable[[int], None] | None = None


@dataclass(frozen=True)
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

    @property
    def shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        return [(leaf.name, np.shape(leaf.value)) for leaf in self.chosen.leaves]


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
) -> Problem:
    """Examine a NumPy target and make it ready for the oracles.

    The inputs are copied: the user's arrays are never written to, except those in ``params``,
    which are put back by ``Problem.cleanup``.

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

    try:
        point = _first_look(Functions(target, grad), bound, wrt, live, seed, states)
        return _build(point, twin, name, limits or Limits(), cleanup)
    except BaseException:
        cleanup()
        raise


def _first_look(
    functions: Functions,
    bound: BoundInputs,
    wrt: Sequence[str | int] | str | int | None,
    live: LiveState | None,
    seed: int,
    states: tuple[Any, ...],
) -> _Point:
    """Call the target once, and find parameters and gradient in what it took and returned."""
    first = first_call(functions, bound, live, seed, states)
    if not np.isfinite(first.loss):
        raise TargetError("non_finite_loss", _non_finite_message(float(first.loss)))
    require_gradient(first.grads)
    tree = None if live is None else live.tree
    chosen = choose(bound, first.grads, wrt=wrt, live=tree)
    notices = refuse_ineligible(chosen)
    if first.changes.paths:
        notices.append(mutation_notice(first.changes))
    known = _known_names(bound, tree)
    shapes = [(leaf.name, np.shape(leaf.value)) for leaf in chosen.leaves]
    matched = match_gradients(first.grads, shapes, chosen.groups, known_names=known)
    call_seed = seed if first.draws else None
    return _Point(functions, bound, chosen, first, matched, live, call_seed, known, tuple(notices))


def _known_names(bound: BoundInputs, live: Any) -> tuple[str, ...]:
    """Names under which a gradient of something that is not under check may be returned."""
    roots = [*bound.items(), *([] if live is None else [("params", live)])]
    members = [leaf_name(leaf, label) for label, value in roots for leaf in leaves(value, label)]
    return tuple(dict.fromkeys([*(label for label, _ in bound.items()), *members]))


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
    cleanup: Callable[[], None],
) -> Problem:
    """Choose the working precision, and evaluate loss and gradient in it."""
    functions, chosen, bound = point.functions, point.chosen, point.bound
    tree = None if point.live is None else point.live.tree
    working, loss, gradient, upcast = _in_working_precision(point)
    analytic = {key: array.astype(np.float64) for key, array in point.matched.arrays.items()}
    rounding = low_precision_rounding(point.matched.arrays, gradient, upcast=upcast)
    facts, calls, notices = examine_loss(working.call, functions)
    repeated = repeat_gradient(gradient, analytic, rounding, stochastic=facts.spread > 0)
    evaluator = Evaluator(
        loss,
        working.values,
        budget=limits.budget,
        deadline=limits.deadline,
        progress=limits.progress,
    )
    evaluator.count = 4 + calls
    return Problem(
        name=name,
        target="",
        parameters=tuple(
            Parameter(leaf.name, leaf.path, value, _dtype_of(leaf.value))
            for leaf, value in zip(chosen.leaves, working.values, strict=True)
        ),
        analytic=repeated.analytic,
        analytic_rounding=repeated.rounding,
        gradient_problems=(*point.matched.problems, *repeated.problems),
        facts=facts,
        evaluator=evaluator,
        notices=(*point.notices, *notices, *repeated.notices),
        complex_loss=complex_closure(working, functions, chosen, tree),
        twin_gradient=_twin_closure(twin, working, chosen, tree),
        gradient_at=gradient if repeated.steady else None,
        trace_request=_trace_request(working, functions, chosen),
        surroundings=_surroundings(bound, chosen),
        gradient_dtypes={key: array.dtype for key, array in point.matched.arrays.items()},
        cleanup=cleanup,
    )


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
        working = working_call(
            functions, bound, chosen, point.first, point.live, point.seed, upcast=upcast
        )
        loss = loss_closure(working.call, functions)
        gradient = _gradient_closure(working.call, point)
        if not upcast or follows_float64(loss, gradient, point.first.loss, arrays):
            break
    return working, loss, gradient, upcast and low


def _numeric(bound: BoundInputs) -> list[Any]:
    values = [leaf.value for label, value in bound.items() for leaf in leaves(value, label)]
    return [value for value in values if isinstance(value, np.ndarray | np.generic)]


def loss_closure(call: Call, functions: Functions) -> Callable[[], float]:
    """Return the loss as a function of nothing, as lean as the call allows."""
    pick = functions.loss_of
    if not call.is_plain:
        return lambda: float(np.asarray(pick(call())).reshape(())[()])
    function, args, kwargs = call.target, call.inputs.args, call.inputs.kwargs
    result = None
    with quiet():
        try:
            result = function(*args, **kwargs)
        except Exception:
            # Judged by the caller, which compares this precision with the user's own.
            return lambda: float(np.asarray(pick(function(*args, **kwargs))).reshape(())[()])
    if isinstance(result, tuple) and isinstance(result[0], float) and pick(result) is result[0]:
        return lambda: float(function(*args, **kwargs)[0])
    if isinstance(result, float):
        return lambda: float(function(*args, **kwargs))
    return lambda: float(np.asarray(pick(function(*args, **kwargs))).reshape(())[()])


def _gradient_closure(call: Call, point: _Point) -> Gradient:
    own = point.functions.gradient
    caller = call if own is None else replace(call, target=own)

    def gradient() -> Mapping[str, FloatArray]:
        result = caller()
        if own is None:
            result = split_result(result, gradient_elsewhere=False)[1]
        matched = match_gradients(
            result, point.shapes, point.chosen.groups, known_names=point.known
        )
        return {key: array.astype(np.float64) for key, array in matched.arrays.items()}

    return gradient


def _twin_closure(
    twin: Callable[..., Any] | str | None, working: Working, chosen: Chosen, live: Any
) -> Callable[[], tuple[float, dict[str, FloatArray]]] | None:
    if twin is None:
        return None

    def twin_gradient() -> tuple[float, dict[str, FloatArray]]:
        from gradcheck.oracles.torch_twin import evaluate_twin

        names = [leaf.name for leaf in chosen.leaves]
        live_names = {id(leaf.value): leaf.name for leaf in chosen.leaves if leaf.live}
        inputs = working.call.arguments()
        return evaluate_twin(
            twin,
            inputs.args,
            inputs.kwargs,
            {position: names[k] for position, k in working.positions.items()},
            live,
            live_names,
        )

    return twin_gradient


def _trace_request(working: Working, functions: Functions, chosen: Chosen) -> TraceRequest:
    call = working.call
    live = {leaf.name: leaf.value for leaf in chosen.leaves if leaf.live}
    undo = ExitStack()

    def prepare() -> tuple[tuple[Any, ...], Mapping[str, Any], Mapping[str, Any]]:
        call.rewind()
        if call.live is not None:
            undo.enter_context(call.live.kept(call.live_overwritten))
        inputs = call.arguments()
        handed = [leaf.value for leaf in leaves((inputs.args, dict(inputs.kwargs)), "inputs")]
        among = {chosen.leaves[k].name: handed[p] for p, k in working.positions.items()}
        return inputs.args, inputs.kwargs, among | live

    return TraceRequest(functions.target, prepare, undo.close, functions.loss_of)


def _surroundings(bound: BoundInputs, chosen: Chosen) -> Surroundings:
    under_check = {leaf.path for leaf in chosen.leaves}
    scalars: dict[str, float] = {}
    data: dict[str, FloatArray] = {}
    integers: dict[str, NDArray[Any]] = {}
    for label, value in bound.items():
        for leaf in leaves(value, label):
            if leaf.path in under_check or isinstance(leaf.value, bool):
                continue
            if isinstance(leaf.value, int | float | np.floating | np.integer):
                scalars[leaf.path] = float(leaf.value)
            elif isinstance(leaf.value, np.ndarray) and leaf.value.dtype.kind == "f":
                data[leaf.path] = leaf.value.astype(np.float64)
            elif isinstance(leaf.value, np.ndarray) and leaf.value.dtype.kind in "iu":
                integers[leaf.path] = leaf.value
    return Surroundings(scalars, data, integers)
