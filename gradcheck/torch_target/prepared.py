"""A torch target with its parameters chosen, ready to be called at any precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.calling import random_state
from gradcheck.calling.calls import BoundInputs
from gradcheck.calling.choose import choose
from gradcheck.calling.jitter import displacements
from gradcheck.calling.returns import NOT_GIVEN
from gradcheck.errors import UsageError
from gradcheck.torch_target.call import Buffer, TorchCall
from gradcheck.torch_target.kinds import Subject
from gradcheck.torch_target.outputs import (
    arrays_in,
    as_real,
    explicit_gradients,
    numpy_dtype,
    shapes_of,
)
from gradcheck.torch_target.parameters import (
    TorchParameter,
    by_request,
    candidates,
    default_choice,
    is_empty,
    no_parameters,
    validate,
)
from gradcheck.torch_target.setup import buffers_of, hold, make_call, modules_in, widened

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Prepared:
    """The target, its inputs, and everything that it reads.

    ``empty`` names parameters of no entries, which are left as they are.
    """

    subject: Subject
    bound: BoundInputs
    gradient: Callable[..., Any] | None
    parameters: tuple[TorchParameter, ...]
    others: tuple[Tensor, ...]
    buffers: tuple[Buffer, ...]
    put_back: Callable[[], None]
    dtypes: tuple[np.dtype[Any], ...]
    dtype_names: tuple[str, ...]
    returns_gradient: bool
    empty: tuple[str, ...] = ()
    jitter: float = 0.0
    seed: int = 0

    @property
    def low_others(self) -> bool:
        """Whether tensors that the target reads, not under check, are of low precision."""
        return any(widened(one.dtype) != one.dtype for one in self.others)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter as the oracles see it, by name."""
        return shapes_of(self.parameters)

    @property
    def groups(self) -> list[tuple[str, tuple[str, ...]]]:
        """Each argument or module with the names of its parameters."""
        names = list(dict.fromkeys(one.group for one in self.parameters))
        return [
            (group, tuple(one.name for one in self.parameters if one.group == group))
            for group in names
        ]

    def call(self, *, wide: bool) -> TorchCall:
        """Return the call with private tensors, at the user's precision or in float64."""
        self.put_back()
        call = make_call(
            self.subject.function,
            self.bound,
            self.parameters,
            self.others,
            self.buffers,
            wide=wide,
        )
        if self.jitter:
            _move(call, [one.tensor.dtype for one in self.parameters], self.jitter, self.seed)
        return call


def _move(call: TorchCall, dtypes: Sequence[torch.dtype], jitter: float, seed: int) -> None:
    """Move the private parameters, to where the user's own precision has numbers."""
    import torch

    values = [as_real(memory).numpy() for memory in call.memory]
    moves = displacements(values, jitter, seed)
    for memory, move, dtype in zip(call.memory, moves, dtypes, strict=True):
        target = as_real(memory) + torch.from_numpy(move).to(as_real(memory).dtype)
        if memory.is_complex():
            target = torch.view_as_complex(target.contiguous())
        memory.copy_(target.to(dtype))
    for read, memory in zip(call.read, call.memory, strict=True):
        read.data.copy_(memory)


def prepare(
    subject: Subject,
    bound: BoundInputs,
    wrt: Sequence[str | int] | str | int | None,
    grad: Callable[..., Any] | None,
) -> Prepared:
    """Decide which tensors are the parameters, and take hold of everything that is read.

    Raises:
        UsageError: the parameters cannot be told, or cannot be perturbed.
        TargetError: a parameter holds integers.
    """
    known = candidates(bound, subject)
    returns_gradient = False
    if wrt is not None:
        parameters = by_request(wrt, known, bound)
    else:
        parameters = default_choice(known)
        if not parameters:
            parameters = _by_returned_gradient(subject, bound, known, grad)
            returns_gradient = bool(parameters) and grad is None
    if not parameters:
        raise UsageError(no_parameters(known))
    empty = [one for one in parameters if is_empty(one)]
    if len(empty) < len(parameters):
        parameters = [one for one in parameters if not is_empty(one)]
    validate(parameters)
    chosen = {id(one.tensor) for one in parameters}
    others = tuple(one.tensor for one in known if one.held and id(one.tensor) not in chosen)
    modules = [(held.label, held.module) for held in subject.modules] + modules_in(bound)
    buffers = tuple(buffers_of(modules))
    return Prepared(
        subject,
        bound,
        grad,
        tuple(parameters),
        others,
        buffers,
        hold(parameters, buffers, others),
        tuple(numpy_dtype(one.tensor.dtype) for one in parameters),
        tuple(str(one.tensor.dtype).removeprefix("torch.") for one in parameters),
        returns_gradient,
        tuple(one.name for one in empty),
    )


def _by_returned_gradient(
    subject: Subject,
    bound: BoundInputs,
    known: Sequence[TorchParameter],
    gradient: Callable[..., Any] | None,
) -> list[TorchParameter]:
    """Choose as for a NumPy target, by the gradient that the target or ``gradient`` returns."""
    import torch

    states = random_state.snapshot()
    call = make_call(subject.function, bound, (), (), (), wide=False)
    with torch.enable_grad():
        result = call.run(gradient)
    grads = explicit_gradients(result, {}) if gradient is None else result
    random_state.restore(states)
    if grads is NOT_GIVEN:
        return []
    args, kwargs = arrays_in((bound.args, dict(bound.kwargs)))
    names = choose(BoundInputs(args, kwargs, bound.names), arrays_in(grads), wrt=None, live=None)
    paths = {leaf.path for leaf in names.leaves}
    return [one for one in known if one.path in paths]
