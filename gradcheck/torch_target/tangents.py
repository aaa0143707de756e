"""Forward mode at many single entries at once, of which each computes only what its tangent meets.

The tangent of one entry is zero nearly everywhere, as a change of it is: it is carried through the
target as such a change is (see ``varied``), of a tensor of zeros. Together the derivatives have to
be what one plain tangent of all these entries gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.torch_target.call import TorchCall
from gradcheck.torch_target.parts import AT_LEAST, CACHED, LARGEST, keep_freed_memory
from gradcheck.torch_target.varied.carrier import carrier, varied_of
from gradcheck.torch_target.varied.tensor import Tally, Varied, unravelled

if TYPE_CHECKING:
    from torch import Tensor

FloatArray = NDArray[np.float64]

LEAST = 200
"""Entries below which whole tangents are as fast."""
FIRST = 32
"""Entries that show how much memory one takes."""
MEMORY = 32 * 2**20
"""Bytes of the copies that may be made of a tensor."""
CLOSE = 1e4
"""Roundings by which they may differ from one plain tangent."""


class EntryTangents:
    """The derivatives of a torch target's loss at single entries, many at a time."""

    def __init__(self, call: TorchCall) -> None:
        self._call = call
        self._rows = FIRST

    def __call__(self, parameter: int, indices: NDArray[np.intp]) -> FloatArray:
        """Return the derivatives at entries (flat, C order); of none if it cannot be done so."""
        call = self._call
        refused = call.keeps_graph or call.changed or call.read[parameter].is_complex()
        if refused or len(indices) < LEAST:
            return np.empty(0)
        weights = np.random.default_rng(0).uniform(-1.0, 1.0, len(indices))
        try:
            found = self._in_batches(parameter, indices)
            alone = self._of_all(parameter, indices, weights)
        except Exception:
            # Whatever it is, whole tangents meet it too if it is the target's own.
            return np.empty(0)
        low = np.finfo(call.reduction.dtype if call.reduction else np.float64).eps
        with np.errstate(all="ignore"):
            size = float(np.abs(weights * found).sum())
            close = abs(float(weights @ found) - alone) <= CLOSE * low * size
        return found if close else np.empty(0)

    def _of_all(self, parameter: int, indices: NDArray[np.intp], weights: FloatArray) -> float:
        """Return the derivative along one plain tangent, with these weights at the entries."""
        import torch

        read = self._call.read[parameter]
        direction = np.zeros(read.numel())
        direction[indices] = weights
        given = torch.from_numpy(direction).reshape(read.shape)
        return plain_derivative(self._call, parameter, given.to(read.device, read.dtype))

    def _in_batches(self, parameter: int, indices: NDArray[np.intp]) -> FloatArray:
        keep_freed_memory()
        found = []
        while indices.size:
            tally = Tally(min(self._rows, len(indices)), MEMORY)
            tally.of_tangents = True
            found.append(self._together(parameter, indices[: tally.rows], tally))
            indices = indices[tally.rows :]
            largest = tally.largest // tally.rows + 1
            fitting = max(CACHED // largest, AT_LEAST)
            # Other parameters are about as wide; one that is wider gets fewer at the next turn.
            self._rows = min(LARGEST, fitting if indices.size else min(fitting, 4 * tally.rows))
        return np.concatenate(found)

    def _together(self, parameter: int, indices: NDArray[np.intp], tally: Tally) -> FloatArray:
        import torch
        from torch.autograd import forward_ad

        zeros = torch.zeros_like(self._call.read[parameter].detach())
        flat = torch.from_numpy(np.ascontiguousarray(indices)).to(zeros.device)
        places = dict(enumerate(unravelled(flat, zeros.shape)))
        ones = torch.ones(len(indices), dtype=zeros.dtype, device=zeros.device)
        try:
            with torch.no_grad(), forward_ad.dual_level():
                given = carrier(Varied(zeros, ones, places, tally))
                found = _tangent_of_loss(self._call, parameter, given)
                varied = varied_of(found)
                if varied is None:
                    return np.full(len(indices), 0.0 if found is None else float(found))
                return np.array(varied.loosened().values.double().cpu().numpy())
        finally:
            tally.over = True


def plain_derivative(call: TorchCall, parameter: int, tangent: Tensor) -> float:
    """Return the derivative of the loss along one tangent, by dual tensors."""
    import torch
    from torch.autograd import forward_ad

    with torch.set_grad_enabled(call.keeps_graph), forward_ad.dual_level():
        found = _tangent_of_loss(call, parameter, tangent)
        return 0.0 if found is None else float(found.detach())


def _tangent_of_loss(call: TorchCall, parameter: int, tangent: Tensor) -> Tensor | None:
    from torch.autograd import forward_ad

    fixed = at_the_point(call)
    dual = forward_ad.make_dual(fixed[parameter].detach(), tangent)  # type: ignore[no-untyped-call]
    loss = call.loss_at({**fixed, parameter: dual})
    found: Any = forward_ad.unpack_dual(loss).tangent  # type: ignore[no-untyped-call]
    return found  # type: ignore[no-any-return]


def at_the_point(call: TorchCall) -> dict[int, Tensor]:
    """Return the parameters by number, without a graph unless the target needs one."""
    if call.keeps_graph:
        return dict(enumerate(call.read))
    return {k: one.detach() for k, one in enumerate(call.read)}
