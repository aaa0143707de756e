"""Second derivatives of a torch target: the backward pass of its backward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import TargetError
from gradcheck.torch_target.call import TorchCall
from gradcheck.torch_target.outputs import as_array

FloatArray = NDArray[np.float64]


def double_backward(
    call: TorchCall, names: Sequence[str]
) -> Callable[[Mapping[str, FloatArray]], Mapping[str, FloatArray]] | None:
    """Return the Hessian times a direction by parameter name; None for complex parameters.

    Raises:
        TargetError: from the function returned: a backward pass cannot be differentiated.
    """
    import torch

    if any(one.is_complex() for one in call.read):
        return None

    def product(direction: Mapping[str, FloatArray]) -> Mapping[str, FloatArray]:
        along = [
            torch.from_numpy(np.ascontiguousarray(direction[name])).to(one.device, one.dtype)
            for name, one in zip(names, call.read, strict=True)
        ]
        with torch.enable_grad(), call.preserved(), call.inside():
            loss = call.reduced(call.run())
            try:
                first = torch.autograd.grad(
                    loss, call.read, create_graph=True, materialize_grads=True
                )
                slope = sum((one * v).sum() for one, v in zip(first, along, strict=True))
                second = [torch.zeros_like(one) for one in call.read]
                if isinstance(slope, torch.Tensor) and slope.requires_grad:
                    found = torch.autograd.grad(slope, call.read, materialize_grads=True)
                    second = list(found)
            except RuntimeError as error:
                raise TargetError(
                    "second_order_impossible",
                    f"the backward pass cannot be differentiated: {str(error).splitlines()[0]}",
                ) from error
        return {
            name: as_array(one).astype(np.float64) for name, one in zip(names, second, strict=True)
        }

    return product
