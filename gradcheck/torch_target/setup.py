"""Private tensors for a torch target, and putting back what it reads from elsewhere."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.calling.calls import BoundInputs
from gradcheck.calling.tree import leaves, map_leaves
from gradcheck.torch_target.call import Buffer, TorchCall
from gradcheck.torch_target.kinds import private
from gradcheck.torch_target.parameters import TorchParameter

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def make_call(
    function: Callable[..., Any],
    bound: BoundInputs,
    parameters: Sequence[TorchParameter],
    others: Sequence[Tensor],
    buffers: Sequence[Buffer],
    *,
    wide: bool,
    dtype: torch.dtype | None = None,
) -> TorchCall:
    """Copy the inputs and give the target private tensors to read.

    Tensors held elsewhere, ``others`` that are not under check among them, get other data, of
    which ``hold`` keeps the old ones. With ``wide``, all floating-point tensors become float64 and
    complex ones complex128; with ``dtype``, real ones are rounded to that instead.
    """
    import torch

    read: list[Tensor | None] = [None] * len(parameters)
    memory: list[Tensor | None] = [None] * len(parameters)
    numbers = {id(one.tensor): k for k, one in enumerate(parameters)}
    copies: dict[int, Any] = {}
    kept: list[tuple[Any, Any]] = []

    def adopt(leaf: Any) -> Any:
        if id(leaf) not in copies:
            number = numbers.get(id(leaf))
            if isinstance(leaf, torch.Tensor) and number is not None:
                memory[number], copies[id(leaf)] = _allocate(leaf, _goal(leaf, wide, dtype))
                read[number] = copies[id(leaf)].requires_grad_()
            else:
                copies[id(leaf)] = _copy_leaf(leaf, wide, dtype)
            _keep_state(copies[id(leaf)], kept)
        return copies[id(leaf)]

    args, kwargs = map_leaves(adopt, (bound.args, dict(bound.kwargs)))
    for k, one in enumerate(parameters):
        if one.held:
            memory[k], data = _allocate(one.tensor, _goal(one.tensor, wide, dtype))
            one.tensor.data = data
            read[k] = one.tensor.requires_grad_()
    for other in (*others, *(buffer.tensor for buffer in buffers)):
        other.data = _copy_leaf(other, wide, dtype).detach()
    return TorchCall(
        function,
        args,
        kwargs,
        [one for one in read if one is not None],
        [one for one in memory if one is not None],
        [one.places for one in parameters],
        [one.held for one in parameters],
        list(buffers),
        generators=kept,
    )


def _goal(tensor: Tensor, wide: bool, dtype: torch.dtype | None) -> torch.dtype:
    """Return the dtype that a tensor is given to the target in."""
    if dtype is not None and tensor.is_floating_point():
        return dtype
    return widened(tensor.dtype) if wide else tensor.dtype


def _allocate(tensor: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return memory for NumPy and what the target reads, both with the values of ``tensor``."""
    import torch

    value = tensor.detach()
    own = value.to(dtype).clone()
    visible = {torch.bfloat16: torch.float32, torch.complex32: torch.complex64}.get(own.dtype)
    if own.device.type == "cpu" and visible is None:
        own = own.resolve_conj().resolve_neg()
        return own, own.view_as(own)
    memory = own.to("cpu", visible or own.dtype).resolve_conj().resolve_neg().clone()
    return memory, own


def widened(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of the same kind in double precision; integers stay as they are."""
    import torch

    if dtype.is_complex:
        return torch.complex128
    return torch.float64 if dtype.is_floating_point else dtype


def _copy_leaf(leaf: Any, wide: bool, dtype: torch.dtype | None) -> Any:
    import torch

    if isinstance(leaf, torch.Tensor):
        value = leaf.detach().clone().to(_goal(leaf, wide, dtype))
        return value.requires_grad_(leaf.requires_grad)
    if isinstance(leaf, np.ndarray):
        low = wide and leaf.dtype.name in ("float16", "float32")
        return leaf.astype(np.float64) if low else leaf.copy()
    if isinstance(leaf, np.random.Generator):
        return copy.deepcopy(leaf)
    return leaf


def _keep_state(leaf: Any, kept: list[tuple[Any, Any]]) -> None:
    import torch

    if isinstance(leaf, np.random.Generator):
        kept.append((leaf, leaf.bit_generator.state))
    elif isinstance(leaf, torch.Generator):
        kept.append((leaf, leaf.get_state()))


def with_private_modules(bound: BoundInputs) -> BoundInputs:
    """Return the inputs with deep copies of the modules among them."""
    import torch

    copies: dict[int, Any] = {}

    def replaced(leaf: Any) -> Any:
        if not isinstance(leaf, torch.nn.Module):
            return leaf
        return copies.setdefault(id(leaf), private(leaf))

    args, kwargs = map_leaves(replaced, (bound.args, dict(bound.kwargs)))
    return replace(bound, args=args, kwargs=kwargs)


def buffers_of(modules: Sequence[tuple[str, Any]]) -> list[Buffer]:
    """Return every buffer of the modules, given with their labels; each once."""
    found: list[Buffer] = []
    seen: set[int] = set()
    for label, module in modules:
        for path, owner in module.named_modules():
            for key, value in owner._buffers.items():
                if value is not None and id(value) not in seen:
                    seen.add(id(value))
                    name = ".".join(part for part in (label, path, key) if part)
                    found.append(Buffer(name, value, (owner._buffers, key)))
    return found


def modules_in(bound: BoundInputs) -> list[tuple[str, Any]]:
    """Return the modules among the inputs with their paths."""
    import torch

    return [
        (leaf.path, leaf.value)
        for label, value in bound.items()
        for leaf in leaves(value, label)
        if isinstance(leaf.value, torch.nn.Module)
    ]


def hold(
    parameters: Sequence[TorchParameter], buffers: Sequence[Buffer], others: Sequence[Tensor]
) -> Callable[[], None]:
    """Remember the tensors held elsewhere; the function returned puts their data back."""
    tensors = {id(one.tensor): one.tensor for one in parameters if one.held}
    tensors |= {id(one): one for one in others}
    kept = [(one, one.data, one.requires_grad) for one in tensors.values()]
    kept_buffers = [(one.tensor, one.tensor.data, one.tensor.data.clone()) for one in buffers]

    def put_back() -> None:
        for tensor, data, requires_grad in kept:
            tensor.data = data
            if tensor.is_leaf:
                tensor.requires_grad_(requires_grad)
        for tensor, data, values in kept_buffers:
            data.copy_(values)
            tensor.data = data

    return put_back
