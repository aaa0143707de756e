"""A torch target with private tensors, evaluated at whatever the NumPy arrays hold that share them.

The parameters live in CPU memory that NumPy sees (``memory``); the target reads them as tensors on
their own device and in the working precision (``read``), which is the same memory where it can be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck import random_state
from gradcheck.calls import BoundInputs
from gradcheck.torch_outputs import Reduction
from gradcheck.torch_parameters import Place, TorchParameter
from gradcheck.torch_targets import private
from gradcheck.tree import leaves, map_leaves

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Buffer:
    """A module's buffer, such as a running mean, and where the module keeps it."""

    name: str
    tensor: Tensor
    place: Place


@dataclass
class TorchCall:
    """The target and what it is called with.

    Attributes:
        read: the tensor that the target reads for each parameter.
        memory: for each parameter the CPU tensor that shares memory with a NumPy array.
        places: for each parameter where modules keep it.
        held: for each parameter whether it is read from elsewhere than the inputs.
        buffers: the buffers of all modules.
        changed: tensors that the target was seen to change, put back after each call.
        seed: the seed for the global generators before each call; None leaves them alone.
        keeps_graph: the target differentiates inside and cannot run without a graph.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    read: list[Tensor]
    memory: list[Tensor]
    places: list[tuple[Place, ...]]
    held: list[bool]
    buffers: list[Buffer]
    reduction: Reduction | None = None
    changed: list[Tensor] = field(default_factory=list)
    generators: list[tuple[Any, Any]] = field(default_factory=list)
    seed: int | None = None
    keeps_graph: bool = False

    def refresh(self) -> None:
        """Copy what NumPy sees to where the target reads it, if these are not the same memory."""
        for read, memory in zip(self.read, self.memory, strict=True):
            if read.data_ptr() != memory.data_ptr():
                read.data.copy_(memory)

    def run(self, function: Callable[..., Any] | None = None) -> Any:
        """Call the target (or ``function``) at the present values; its side effects stay."""
        self.refresh()
        self._rewind()
        return (function or self.function)(*self.args, **self.kwargs)

    def loss(self) -> float:
        """Return the loss at the present values, without a graph where the target allows it."""
        import torch

        with torch.set_grad_enabled(self.keeps_graph), self.preserved():
            return float(self.reduced(self.run()).detach())

    def gradient(self) -> list[Tensor | None]:
        """Return autograd's gradient by each parameter; None where the graph does not reach it."""
        import torch

        with torch.enable_grad(), self.preserved():
            loss = self.reduced(self.run())
            return list(torch.autograd.grad(loss, self.read, allow_unused=True))

    @contextmanager
    def preserved(self) -> Iterator[None]:
        """Put back, at the end, what the target was seen to change."""
        before = [one.detach().clone() for one in self.changed]
        try:
            yield
        finally:
            for one, value in zip(self.changed, before, strict=True):
                one.data.copy_(value)

    def watched(self) -> list[Tensor]:
        """Return every tensor that the target could change, always in the same order."""
        import torch

        found = [
            leaf.value
            for leaf in leaves((self.args, dict(self.kwargs)), "x")
            if isinstance(leaf.value, torch.Tensor)
        ]
        return [*found, *self.read, *(buffer.tensor for buffer in self.buffers)]

    def loss_at(
        self,
        tensors: Mapping[int, Tensor],
        buffers: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Return the loss with other tensors in the place of some parameters."""
        return self.reduced(self.result_at(tensors, buffers))

    def result_at(
        self,
        tensors: Mapping[int, Tensor],
        buffers: Mapping[str, Tensor] | None = None,
    ) -> Any:
        """Return what the target returns with other tensors in the place of some parameters.

        Nothing is written to: what the target was seen to change is given to it as a copy.
        """
        self.refresh()
        self._rewind()
        substitutes = {id(self.read[k]): one for k, one in tensors.items()}
        for one in self.changed:
            substitutes.setdefault(id(one), one.detach().clone())
        args, kwargs = map_leaves(
            lambda leaf: substitutes.get(id(leaf), leaf), (self.args, dict(self.kwargs))
        )
        swaps = [(place, one) for k, one in tensors.items() for place in self.places[k]]
        for buffer in self.buffers:
            if buffers is not None and buffer.name in buffers:
                swaps.append((buffer.place, buffers[buffer.name]))
            elif id(buffer.tensor) in substitutes:
                swaps.append((buffer.place, substitutes[id(buffer.tensor)]))
        elsewhere = {
            id(self.read[k]): one
            for k, one in tensors.items()
            if self.held[k] and not self.places[k]
        }
        with ExitStack() as stack:
            stack.enter_context(_swapped(swaps))
            if elsewhere:
                stack.enter_context(_substituting(elsewhere))
            return self.function(*args, **kwargs)

    def reduced(self, result: Any) -> Tensor:
        """Return the loss in what the target returned."""
        if self.reduction is None:
            raise ValueError("the call has no reduction yet")
        return self.reduction.tensor(result)

    def _rewind(self) -> None:
        if self.seed is not None:
            random_state.seed_all(self.seed)
        for generator, state in self.generators:
            _set_state(generator, state)


@contextmanager
def _swapped(swaps: Sequence[tuple[Place, Tensor]]) -> Iterator[None]:
    before = [(place, place[0][place[1]]) for place, _ in swaps]
    try:
        for (owner, key), tensor in swaps:
            owner[key] = tensor
        yield
    finally:
        for (owner, key), tensor in before:
            owner[key] = tensor


@contextmanager
def _substituting(substitutes: Mapping[int, Tensor]) -> Iterator[None]:
    """Hand other tensors to every torch function that is given one of these.

    A tensor that a closure holds cannot be replaced there; the functions it is passed to can be
    told to read another one. ``autograd.Function.apply`` is not among these functions: callers
    compare with an evaluation in place.
    """
    import torch

    class Substitute(torch.overrides.TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            return function(*_replaced(args, substitutes), **_replaced(kwargs or {}, substitutes))

    with Substitute():
        yield


def _replaced(value: Any, substitutes: Mapping[int, Tensor]) -> Any:
    if isinstance(value, tuple | list) and type(value) in (tuple, list):
        return type(value)(_replaced(item, substitutes) for item in value)
    if type(value) is dict:
        return {key: _replaced(item, substitutes) for key, item in value.items()}
    return substitutes.get(id(value), value)


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    else:
        generator.set_state(state)


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
    import copy

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
