"""A trace of a torch loss, in which every ``autograd.Function`` is opened up.

A custom backward is on trial against the composition of its own forward: the forward is run where
autograd can see it, operation by operation, so that altering one of them says which derivative the
custom backward gets wrong. A forward that leaves torch (``.numpy()``, ``.detach()``, an extension)
cannot be opened; its trace contradicts the reference gradient, and is then not used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from gradcheck.torch_target.attention import plain_attention
from gradcheck.tracing import NotTraceable, Trace
from gradcheck.tracing.operation import Recorded
from gradcheck.tracing.recorder import Recorder
from gradcheck.tracing.tracer import _pruned

Origins = dict[int, tuple[str, int | str]]
"""Where the tensors, by identity, came from: a parameter or an operation."""

_NUMPY_NAMES = {
    "mm": "matmul",
    "bmm": "matmul",
    "mul": "multiply",
    "div": "divide",
    "truediv": "divide",
    "rdiv": "divide",
    "rtruediv": "divide",
    "sub": "subtract",
    "rsub": "subtract",
    "radd": "add",
    "rmul": "multiply",
    "neg": "negative",
    "pow": "power",
    "rpow": "power",
    "get": "transpose",
    "amax": "max",
    "amin": "min",
    "clamp": "clip",
    "relu": "maximum",
}
"""NumPy's names for torch's operations, underscores stripped."""


def trace_torch(
    target: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    parameters: Mapping[str, Any],
) -> Trace:
    """Run a torch loss once and record what it is made of.

    Args:
        target: returns a scalar tensor.
        args: positional arguments.
        kwargs: keyword arguments.
        parameters: the differentiated tensors by name, each an element of ``args`` or ``kwargs``.

    Raises:
        NotTraceable: the loss is no scalar tensor, or a tensor is changed in place.
    """
    import torch

    recorder = Recorder(torch)
    leaves = {name: p.detach().clone().requires_grad_(True) for name, p in parameters.items()}
    stand_ins = {id(parameters[name]): leaf for name, leaf in leaves.items()}
    origins: Origins = {id(leaf): ("parameter", name) for name, leaf in leaves.items()}
    mode = _mode(torch, recorder, origins)
    with mode, torch.enable_grad(), plain_attention(), _opened(torch):
        loss = target(
            *(stand_ins.get(id(a), a) for a in args),
            **{key: stand_ins.get(id(a), a) for key, a in kwargs.items()},
        )
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        raise NotTraceable("loss", None, "it is no scalar tensor")
    return _pruned(recorder, float(loss.detach()), loss.reshape(()), leaves)


def _mode(torch: Any, recorder: Recorder, origins: Origins) -> Any:
    from torch.overrides import TorchFunctionMode

    kept: list[Any] = []  # results stay alive, so that their identities stay their own

    class Recording(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, _: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = kwargs or {}
            if recorder.sites.is_own():
                return function(*args, **kwargs)
            name = str(getattr(function, "__name__", "")).strip("_")
            operation = Recorded(_NUMPY_NAMES.get(name, name), recorder.sites.here())
            new_args = tuple(_edges(torch, operation, a, origins) for a in args)
            new_kwargs = {k: _edges(torch, operation, a, origins) for k, a in kwargs.items()}
            if not any(edge is not None for edge in operation.edges):
                return function(*args, **kwargs)
            versions = [None if edge is None else edge._version for edge in operation.edges]
            result = function(*new_args, **new_kwargs)
            if not isinstance(result, torch.Tensor) or not result.requires_grad:
                return result
            for k, (edge, version) in enumerate(zip(operation.edges, versions, strict=True)):
                if result is edge and result._version == version:
                    # Nothing was done, as by double() of a double: it is what went in.
                    kept.append(result)
                    origins[id(result)] = operation.inputs[k]
                    return result
            if any(result is edge for edge in operation.edges):
                raise NotTraceable(name, operation.site, "a tensor is changed in place")
            operation.keywords.update({k: v for k, v in kwargs.items() if isinstance(v, int)})
            if operation.name == "matmul" and len(operation.operands) == 2:
                operation.factors = tuple(t.detach() for t in operation.operands)
            operation.outputs.append(result)
            kept.append(result)
            origins[id(result)] = ("operation", len(recorder.operations))
            recorder.operations.append(operation)
            return result

    return Recording()


def _edges(torch: Any, operation: Recorded, value: Any, origins: Origins) -> Any:
    """Return an argument with each tensor replaced by a node of this operation's own."""
    if isinstance(value, list | tuple):
        return type(value)(_edges(torch, operation, item, origins) for item in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        operation.inputs.append(("constant", repr(value)))
        operation.shapes.append(())
        operation.edges.append(None)
        operation.operands.append(value)
        return value
    if not isinstance(value, torch.Tensor):
        return value
    varies = value.requires_grad and id(value) in origins
    edge = value.view_as(value) if varies else value
    operation.inputs.append(origins[id(value)] if varies else ("constant", "tensor"))
    operation.shapes.append(tuple(value.shape))
    operation.edges.append(edge if varies else None)
    operation.operands.append(value)
    return edge


class _OpenContext:
    """What a forward is given in place of autograd's context: it keeps nothing."""

    def __init__(self, inputs: Sequence[Any]) -> None:
        self.needs_input_grad = tuple(getattr(a, "requires_grad", False) for a in inputs)
        self.saved_tensors: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep the tensors for a forward that reads them back."""
        self.saved_tensors = tensors

    save_for_forward = save_for_backward

    def mark_dirty(self, *_: Any) -> None:
        """Do nothing: writes in place are refused where they happen."""

    mark_non_differentiable = mark_dirty
    set_materialize_grads = mark_dirty


@contextmanager
def _opened(torch: Any) -> Iterator[None]:
    """Let ``autograd.Function.apply`` run the forward in sight of autograd, in this thread only."""
    base = torch.autograd.Function
    original = base.__dict__["apply"]
    thread = threading.get_ident()

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != thread:
            return original.__get__(None, cls)(*args, **kwargs)
        if cls.setup_context is not base.setup_context:
            return cls.forward(*args, **kwargs)
        return cls.forward(_OpenContext(args), *args, **kwargs)

    base.apply = classmethod(apply)
    try:
        yield
    finally:
        base.apply = original
