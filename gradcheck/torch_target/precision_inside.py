"""The precision that a torch target computes in inside, which may be lower than its parameters'."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.torch_target.call import TorchCall
from gradcheck.torch_target.outputs import numpy_dtype


def lowest_precision(call: TorchCall) -> np.dtype[Any]:
    """Return the lowest precision that an operation on the parameters gives; bfloat16 as float16.

    As under ``torch.autocast``, or after a cast: the loss then has the noise of that precision,
    whatever its dtype, in steps that short tables of differences do not see.
    """
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._pytree import tree_leaves

    seen = np.dtype(np.float64)
    # Also what was detached from the graph depends on the parameters.
    followed: dict[int, Any] = {}

    def depends(one: Any) -> bool:
        return isinstance(one, torch.Tensor) and (one.requires_grad or id(one) in followed)

    class Watch(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            nonlocal seen
            result = function(*args, **(kwargs or {}))
            if any(map(depends, tree_leaves((args, kwargs)))):
                tensors = [one for one in tree_leaves(result) if isinstance(one, torch.Tensor)]
                followed.update({id(one): one for one in tensors})
                real = [one.dtype for one in tensors if one.is_floating_point() or one.is_complex()]
                seen = min([seen, *map(numpy_dtype, real)], key=lambda dtype: dtype.itemsize)
            return result

    with torch.enable_grad(), call.preserved(), Watch():
        call.run()
    return seen
