"""Directional derivatives of a torch target by forward-mode automatic differentiation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.torch_target.call import TorchCall

if TYPE_CHECKING:
    from torch import Tensor

FloatArray = NDArray[np.float64]


class ForwardModeError(Exception):
    """The target cannot be differentiated in forward mode; the message says why."""


def forward_derivatives(
    call: TorchCall, values: Sequence[NDArray[Any]]
) -> Callable[[int, FloatArray], FloatArray]:
    """Return a function of a parameter's number and directions ``(n, *shape)``.

    It returns the ``n`` derivatives of the loss along these. The backward pass takes no part:
    tangents are carried through the target's own operations, by vmap where it allows it.

    Raises:
        ForwardModeError: from the function returned; an operation has no forward formula.
    """
    together = [True]
    arriving: dict[int, bool] = {}

    def derivatives(parameter: int, directions: FloatArray) -> FloatArray:
        with warnings.catch_warnings():
            # torch's own forward formulas are loaded at the first use, by a call it has deprecated.
            warnings.filterwarnings("ignore", message=".*torch.jit.script", append=False)
            try:
                return _found(parameter, directions)
            except (RuntimeError, NotImplementedError, TypeError) as error:
                lines = str(error).strip().splitlines()
                raise ForwardModeError(lines[0] if lines else type(error).__name__) from None

    def _found(parameter: int, directions: FloatArray) -> FloatArray:
        tangents = _tangents(call, parameter, directions)
        if parameter not in arriving:
            arriving[parameter] = _arrives(call, parameter, values[parameter])
        if not arriving[parameter]:
            raise ForwardModeError(
                "the target hands a tensor that it holds to an autograd.Function, where no "
                "tangent can be given to it; pass the tensor as an input"
            )
        if together[0]:
            try:
                return _by_vmap(call, parameter, tangents)
            except (RuntimeError, NotImplementedError, TypeError, ValueError):
                # vmap or torch.func refuses the target; dual tensors, one at a time, may do.
                together[0] = False
        return np.array([_by_dual(call, parameter, one) for one in tangents])

    return derivatives


def _tangents(call: TorchCall, parameter: int, directions: FloatArray) -> Tensor:
    import torch

    read = call.read[parameter]
    given = torch.from_numpy(np.ascontiguousarray(directions))
    if read.is_complex():
        return torch.view_as_complex(given).to(read.device, read.dtype)
    return given.to(read.device, read.dtype)


def _detached(call: TorchCall) -> dict[int, Tensor]:
    if call.keeps_graph:
        return dict(enumerate(call.read))
    return {k: one.detach() for k, one in enumerate(call.read)}


def _by_vmap(call: TorchCall, parameter: int, tangents: Tensor) -> FloatArray:
    import torch

    fixed = _detached(call)
    primal = fixed[parameter].detach()

    def loss(one: Tensor) -> Tensor:
        return call.loss_at({**fixed, parameter: one})

    def derivative(tangent: Tensor) -> Tensor:
        found: Tensor = torch.func.jvp(loss, (primal,), (tangent,))[1]
        return found

    with torch.set_grad_enabled(call.keeps_graph):
        found = torch.func.vmap(derivative, randomness="same")(tangents)
    return np.asarray(found.detach().double().cpu().numpy())


def _by_dual(call: TorchCall, parameter: int, tangent: Tensor) -> float:
    import torch
    from torch.autograd import forward_ad

    fixed = _detached(call)
    with torch.set_grad_enabled(call.keeps_graph), forward_ad.dual_level():
        dual = forward_ad.make_dual(fixed[parameter].detach(), tangent)  # type: ignore[no-untyped-call]
        loss = call.loss_at({**fixed, parameter: dual})
        found = forward_ad.unpack_dual(loss).tangent  # type: ignore[no-untyped-call]
    return 0.0 if found is None else float(found.detach())


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
    found = _by_dual(call, parameter, tangent)
    noise = 1e3 * float(np.finfo(start.dtype).eps) * abs(losses[0]) / step
    return bool(abs(slope - found) <= 1e-2 * max(abs(slope), abs(found)) + noise)
