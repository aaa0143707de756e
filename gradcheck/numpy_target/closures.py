"""What the oracles call: loss, gradient, twin and trace of a target at its working inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.calling.calls import BoundInputs, Call
from gradcheck.calling.choose import Chosen
from gradcheck.calling.quiet import quiet
from gradcheck.calling.returns import match_gradients, split_result
from gradcheck.calling.time_limit import Limited, plain
from gradcheck.calling.tree import leaves
from gradcheck.numpy_target.first_call import Functions
from gradcheck.numpy_target.preflight import Gradient
from gradcheck.numpy_target.working_call import Working
from gradcheck.problem import FloatArray, Surroundings, TraceRequest


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


def gradient_closure(
    call: Call,
    functions: Functions,
    chosen: Chosen,
    known: Sequence[str],
) -> Gradient:
    """Return the target's own gradient by parameter name as a function of nothing.

    Nothing is copied: the target may write into the same arrays in its next call.
    """
    own = functions.gradient
    caller = call if own is None else replace(call, target=own)
    shapes = [(leaf.name, np.shape(leaf.value)) for leaf in chosen.leaves]

    def gradient() -> Mapping[str, FloatArray]:
        result = caller()
        if own is None:
            result = split_result(result, gradient_elsewhere=False)[1]
        matched = match_gradients(result, shapes, chosen.groups, known_names=known, copy=False)
        return {key: array.astype(np.float64, copy=False) for key, array in matched.arrays.items()}

    return gradient


def twin_closure(
    twin: Callable[..., Any] | str | None, working: Working, chosen: Chosen, live: Any
) -> Callable[[], tuple[float, dict[str, FloatArray]]] | None:
    """Return loss and gradient of the PyTorch twin, if there is one, as a function of nothing."""
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


def trace_request(working: Working, functions: Functions, chosen: Chosen) -> TraceRequest:
    """Return what it takes to trace the loss at the working inputs."""
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

    target = functions.target
    seconds = target.seconds if isinstance(target, Limited) else None
    return TraceRequest(plain(target), prepare, undo.close, functions.loss_of, seconds)


def surroundings(bound: BoundInputs, chosen: Chosen) -> Surroundings:
    """Return the inputs that are not under check."""
    under_check = {leaf.path for leaf in chosen.leaves}
    scalars: dict[str, float] = dict(bound.defaults)
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
