"""Whether a torch target of higher precision computes in half precision inside."""

from __future__ import annotations

from typing import Any

from gradcheck.torch_target.call import TorchCall


def computes_in_half(call: TorchCall) -> bool:
    """Return whether an operation on the parameters gives float16 or bfloat16.

    As under ``torch.autocast``, or after a cast: the loss then has the noise of half precision,
    whatever its dtype, in steps that short tables of differences do not see.
    """
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._pytree import tree_leaves

    half = (torch.float16, torch.bfloat16)
    seen = False
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
                seen = seen or any(one.dtype in half for one in tensors)
            return result

    with torch.enable_grad(), call.preserved(), Watch():
        call.run()
    return seen
