"""``trace``: run a target once and record what its loss is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import UsageError
from gradcheck.tracing.contract import Operation
from gradcheck.tracing.errors import NotTraceable
from gradcheck.tracing.graph import NumpyTrace
from gradcheck.tracing.memory import Shadow, holds, to_tensor
from gradcheck.tracing.numbers import with_own_numbers
from gradcheck.tracing.operation import Recorded
from gradcheck.tracing.recorder import Recorder


def _identity(result: Any) -> Any:
    return result


def trace(
    target: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    parameters: Mapping[str, NDArray[Any]],
    *,
    scalars: Mapping[str, str] | None = None,
    loss_of: Callable[[Any], Any] | None = None,
) -> NumpyTrace:
    """Run ``target(*args, **kwargs)`` once and return the trace of its loss.

    Args:
        target: a function, bound method, class instance with ``__call__``, or partial of these.
        args: positional arguments.
        kwargs: keyword arguments.
        parameters: the differentiated arrays by name. An array is recognised by its memory,
            wherever the target gets hold of it: in the arguments, in ``self``, in a closure,
            in a global.
        scalars: the differentiated Python numbers: by name, the path of each in the arguments, as
            Python would write it from the argument's name on (``"c"``, ``"params['c']"``).
        loss_of: picks the loss out of what the target returns; runs under the trace, too.

    Returns:
        The trace; ``operations`` holds what the loss depends on.

    Raises:
        NotTraceable: the loss depends on an operation whose derivative is not known, is no
            number, or is not made of the parameters' dtype.
        UsageError: a parameter is not a float array or a float.
    """
    import torch

    from gradcheck.tracing.hooks import hook_call, recording

    recorder = Recorder(torch)
    numbers: dict[str, float] = {}
    if scalars:
        args, kwargs, numbers = with_own_numbers(target, args, kwargs, scalars)
    differentiated = {**parameters, **numbers}
    leaves = {name: _leaf(recorder, name, value) for name, value in differentiated.items()}
    saved = [(v, v.copy()) for v in parameters.values() if isinstance(v, np.ndarray)]
    try:
        with recording(recorder):
            result = hook_call(target, *args, **kwargs)
            loss = hook_call(loss_of or _identity, result)
    finally:
        for array, content in saved:
            _restore(array, content)
    shadow = recorder.shadow(loss)
    if shadow is not None and shadow.lost is not None:
        raise shadow.lost
    if np.size(loss) != 1:
        raise NotTraceable("loss", None, f"it has shape {np.shape(loss)}; a loss is one number")
    if np.iscomplexobj(loss):
        raise NotTraceable("loss", None, "it is complex; a loss is one real number")
    tensor = shadow.tensor.reshape(()) if shadow is not None else None
    return _pruned(recorder, float(np.asarray(loss).reshape(())), tensor, leaves)


def _restore(array: NDArray[Any], content: NDArray[Any]) -> None:
    if not holds(array, content):
        array[...] = content


def _leaf(recorder: Recorder, name: str, value: Any) -> Any:
    """Return the tensor that autograd differentiates with respect to, a copy of the parameter."""
    kind = getattr(value, "dtype", type(value).__name__)
    if not ((isinstance(value, np.ndarray) and value.dtype.kind == "f") or type(value) is float):
        raise UsageError(f"parameter {name} is {kind}: pass a float array or a float")
    leaf = to_tensor(recorder.torch, value).requires_grad_(True)
    recorder.track(value, Shadow(leaf, ("parameter", name)))
    return leaf


def _pruned(recorder: Recorder, loss: float, tensor: Any, leaves: Mapping[str, Any]) -> NumpyTrace:
    """Return the trace with the operations that the loss depends on, numbered anew."""
    reached = _reached(tensor)
    kept = [
        (number, operation)
        for number, operation in enumerate(recorder.operations)
        if any(output.grad_fn in reached for output in operation.outputs)
    ]
    renumbered = {number: index for index, (number, _) in enumerate(kept)}
    operations = tuple(_published(renumbered, i, op) for i, (_, op) in enumerate(kept))
    weights = tuple(
        (renumbered[tie.operation], tie) for tie in recorder.ties if tie.operation in renumbered
    )
    return NumpyTrace(
        loss=loss,
        operations=operations,
        ties=tuple(sorted({index for index, _ in weights})),
        _loss_tensor=tensor,
        _parameters=leaves,
        _recorded=tuple(operation for _, operation in kept),
        _tie_weights=weights,
        _torch=recorder.torch,
    )


def _reached(tensor: Any) -> set[Any]:
    """Return the nodes of autograd's graph that the loss depends on."""
    if tensor is None or tensor.grad_fn is None:
        return set()
    reached = {tensor.grad_fn}
    waiting = [tensor.grad_fn]
    while waiting:
        for node, _ in waiting.pop().next_functions:
            if node is not None and node not in reached:
                reached.add(node)
                waiting.append(node)
    return reached


def _published(renumbered: Mapping[int, int], index: int, operation: Recorded) -> Operation:
    inputs = tuple(
        ("operation", renumbered[int(where)])
        if kind == "operation" and where in renumbered
        else (kind, where)
        if kind != "operation"
        else ("constant", "no influence on the loss")
        for kind, where in operation.inputs
    )
    shape = tuple(operation.outputs[0].shape)
    return Operation(
        index=index,
        name=operation.name,
        site=operation.site,
        inputs=inputs,
        input_shapes=tuple(operation.shapes),
        output_shape=shape,
        keywords=operation.keywords,
    )
