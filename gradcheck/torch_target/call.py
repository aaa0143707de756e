"""A torch target with private tensors, evaluated at whatever the NumPy arrays hold that share them.

The parameters live in CPU memory that NumPy sees (``memory``); the target reads them as tensors on
their own device and in the working precision (``read``), which is the same memory where it can be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.calling import random_state
from gradcheck.calling.tree import leaves, map_leaves
from gradcheck.torch_target.kept import kept
from gradcheck.torch_target.outputs import Reduction
from gradcheck.torch_target.parameters import Place

if TYPE_CHECKING:
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
        remembers: at each call the target keeps a tensor from which the next one could start; it
            is taken out again after each call, too.
        seed: the seed for the global generators before each call; None leaves them alone.
        keeps_graph: the target differentiates inside and cannot run without a graph.
        around: a context in which the target runs, and its backward pass; None for none.
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
    remembers: bool = False
    seed: int | None = None
    keeps_graph: bool = False
    around: AbstractContextManager[Any] | None = None

    def inside(self) -> AbstractContextManager[Any]:
        """Return the context in which the target runs."""
        return self.around or nullcontext()

    def refresh(self) -> None:
        """Copy what NumPy sees to where the target reads it, if these are not the same memory."""
        for read, memory in zip(self.read, self.memory, strict=True):
            if read.data_ptr() != memory.data_ptr():
                read.data.copy_(memory)

    def run(self, function: Callable[..., Any] | None = None) -> Any:
        """Call the target (or ``function``) at the present values; its side effects stay."""
        self.refresh()
        self._rewind()
        with self.inside():
            return (function or self.function)(*self.args, **self.kwargs)

    def loss(self) -> float:
        """Return the loss at the present values, without a graph where the target allows it."""
        import torch

        with torch.set_grad_enabled(self.keeps_graph), self.preserved():
            return float(self.reduced(self.run()).detach())

    def gradient(self) -> list[Tensor | None]:
        """Return autograd's gradient by each parameter; None where the graph does not reach it."""
        import torch

        with torch.enable_grad(), self.preserved(), self.inside():
            loss = self.reduced(self.run())
            return list(torch.autograd.grad(loss, self.read, allow_unused=True))

    @contextmanager
    def preserved(self) -> Iterator[None]:
        """Put back, at the end, what the target was seen to change."""
        before = [one.detach().clone() for one in self.changed]
        with ExitStack() as stack:
            if self.remembers:
                stack.enter_context(self.kept())
            try:
                yield
            finally:
                for one, value in zip(self.changed, before, strict=True):
                    one.data.copy_(value)

    def kept(self) -> AbstractContextManager[Callable[[], bool]]:
        """Take out again, at the end, the tensors that the target keeps in the meantime."""
        return kept(self.function, self.args, self.kwargs)

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

        Nothing is written to: what the target was seen to change is given to it as a copy. Of the
        tensors that stand for others, nothing is left where the target keeps them.
        """
        self.refresh()
        self._rewind()
        substitutes = {id(self.read[k]): one for k, one in tensors.items()}
        for one in self.changed:
            substitutes.setdefault(id(one), one.detach().clone())
        args = [_exchanged(value, substitutes) for value in self.args]
        kwargs = {key: _exchanged(value, substitutes) for key, value in self.kwargs.items()}
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
            stack.enter_context(self.kept())
            stack.enter_context(_swapped(swaps))
            if elsewhere:
                stack.enter_context(_substituting(elsewhere))
            stack.enter_context(self.inside())
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


def _exchanged(value: Any, substitutes: Mapping[int, Tensor]) -> Any:
    """Return an argument with the tensors in it exchanged; flattening is kept for trees."""
    if id(value) in substitutes:
        return substitutes[id(value)]
    if hasattr(value, "shape") or isinstance(value, int | float | str | None):
        return value
    return map_leaves(lambda leaf: substitutes.get(id(leaf), leaf), value)


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
