"""Directional derivatives of a torch target by forward-mode automatic differentiation."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.torch_target.attention import plain_attention
from gradcheck.torch_target.call import TorchCall
from gradcheck.torch_target.tangents import EntryTangents, at_the_point, plain_derivative

if TYPE_CHECKING:
    from torch import Tensor

FloatArray = NDArray[np.float64]


class ForwardModeError(Exception):
    """The target cannot be differentiated in forward mode; the message says why."""


class ForwardDerivatives:
    """The derivatives of a torch target's loss, along directions and at single entries.

    The backward pass takes no part: tangents are carried through the target's own operations, many
    together where it allows it.
    """

    def __init__(self, call: TorchCall, values: Sequence[NDArray[Any]]) -> None:
        self._call = call
        self._values = values
        self._at_entries = EntryTangents(call)
        self._together = True
        self._arriving: dict[int, bool] = {}

    def __call__(self, parameter: int, directions: FloatArray) -> FloatArray:
        """Return the ``n`` derivatives along directions ``(n, *shape)`` of a parameter.

        Raises:
            ForwardModeError: an operation has no forward formula.
        """
        with _told():
            self._refuse_lost(parameter)
            tangents = _tangents(self._call, parameter, directions)
            if self._together:
                try:
                    return _by_vmap(self._call, parameter, tangents)
                except (RuntimeError, NotImplementedError, TypeError, ValueError):
                    # vmap or torch.func refuses the target; dual tensors, one at a time, may do.
                    self._together = False
            return np.array([plain_derivative(self._call, parameter, one) for one in tangents])

    def entries(self, parameter: int, indices: NDArray[np.intp]) -> FloatArray:
        """Return the derivatives at entries (flat, C order); of none if directions are to be given.

        Raises:
            ForwardModeError: an operation has no forward formula.
        """
        with _told():
            self._refuse_lost(parameter)
            return self._at_entries(parameter, indices)

    def _refuse_lost(self, parameter: int) -> None:
        if parameter not in self._arriving:
            self._arriving[parameter] = _arrives(self._call, parameter, self._values[parameter])
        if not self._arriving[parameter]:
            raise ForwardModeError(
                "the target hands a tensor that it holds to an autograd.Function, where no "
                "tangent can be given to it; pass the tensor as an input"
            )


@contextmanager
def _told() -> Iterator[None]:
    """Say in a ForwardModeError what torch raised."""
    with warnings.catch_warnings(), plain_attention():
        # torch's own forward formulas are loaded at the first use, by a call it has deprecated.
        warnings.filterwarnings("ignore", message=".*torch.jit.script", append=False)
        try:
            yield
        except (RuntimeError, NotImplementedError, TypeError) as error:
            lines = str(error).strip().splitlines()
            raise ForwardModeError(lines[0] if lines else type(error).__name__) from None


def _tangents(call: TorchCall, parameter: int, directions: FloatArray) -> Tensor:
    import torch

    read = call.read[parameter]
    given = torch.from_numpy(np.ascontiguousarray(directions))
    if read.is_complex():
        return torch.view_as_complex(given).to(read.device, read.dtype)
    return given.to(read.device, read.dtype)


def _by_vmap(call: TorchCall, parameter: int, tangents: Tensor) -> FloatArray:
    import torch

    fixed = at_the_point(call)
    primal = fixed[parameter].detach()

    def loss(one: Tensor) -> Tensor:
        return call.loss_at({**fixed, parameter: one})

    def derivative(tangent: Tensor) -> Tensor:
        found: Tensor = torch.func.jvp(loss, (primal,), (tangent,))[1]
        return found

    with torch.set_grad_enabled(call.keeps_graph):
        found = torch.func.vmap(derivative, randomness="same")(tangents)
    return np.asarray(found.detach().double().cpu().numpy())


def _arrives(call: TorchCall, parameter: int, value: NDArray[Any]) -> bool:
    """Whether the tangent of a tensor that a closure holds arrives in the loss.

    The tensor is exchanged where torch functions are called, which an ``autograd.Function`` is
    not: there the tangent is lost, as a coarse difference quotient shows.
    """
    if not call.held[parameter] or call.places[parameter]:
        return True
    start = value.copy()
    direction = np.random.default_rng(0).standard_normal(start.shape)
    step = 1e-6 * max(float(np.abs(start).max()), 1e-6)
    losses = []
    try:
        for distance in (step, -step):
            np.copyto(value, start + distance * direction, casting="same_kind")
            losses.append(call.loss())
    finally:
        np.copyto(value, start)
    call.refresh()
    slope = (losses[0] - losses[1]) / (2 * step)
    tangent = _tangents(call, parameter, direction[None])[0]
    found = plain_derivative(call, parameter, tangent)
    noise = 1e3 * float(np.finfo(start.dtype).eps) * abs(losses[0]) / step
    return bool(abs(slope - found) <= 1e-2 * max(abs(slope), abs(found)) + noise)
