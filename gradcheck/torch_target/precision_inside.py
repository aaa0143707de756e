"""The precision that a torch target computes in inside, which may be lower than its parameters'."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.torch_target.call import TorchCall
from gradcheck.torch_target.outputs import numpy_dtype

if TYPE_CHECKING:
    from torch import Tensor

SMALL_INTEGER = 256
"""Largest number up to which every integer is exact in any precision."""


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


def lowest_in_backward(pull: Callable[[], Any]) -> np.dtype[Any]:
    """Return the lowest precision in which ``pull`` computes, every operation of it watched.

    Results that are small integers, as a mask in float32, are exact in any precision and do not
    count.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    seen = np.dtype(np.float64)

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return compiles()

        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            nonlocal seen
            result = function(*args, **(kwargs or {}))
            for one in tree_leaves(result):
                if isinstance(one, torch.Tensor):
                    dtype = numpy_dtype(one.dtype)
                    if dtype.itemsize < seen.itemsize and not _exact(one):
                        seen = dtype
            return result

    with Watch():  # type: ignore[no-untyped-call]
        pull()
    return seen


def _exact(tensor: Tensor) -> bool:
    if tensor.is_complex() or tensor.is_sparse or tensor.numel() == 0:
        return tensor.numel() == 0
    return bool(((tensor == tensor.round()) & (tensor.abs() <= SMALL_INTEGER)).all())


def compiles() -> bool:
    """Whether torch's compiler is loaded, and has to be told to keep out of a dispatch mode.

    Telling it so would load it, which takes seconds; code that is compiled has loaded it already.
    """
    return "torch._dynamo" in sys.modules
