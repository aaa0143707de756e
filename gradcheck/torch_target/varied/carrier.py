"""The tensors that a target is called with to be evaluated many times at once.

To the target they are ordinary tensors, of the shape of one evaluation's; each of torch's functions
that is given one is evaluated for all evaluations.
"""

from __future__ import annotations

import functools
from typing import Any

from gradcheck.torch_target.varied.operations import evaluated, evaluated_whole
from gradcheck.torch_target.varied.tensor import NoRuleError, Varied


@functools.cache
def _carrier_type() -> Any:
    import torch
    from torch.utils._pytree import tree_map

    def bare(value: Any) -> Any:
        if isinstance(value, Carrier):
            return value.varied
        return [bare(one) for one in value] if isinstance(value, list) else value

    def dressed(value: Any) -> Any:
        return Carrier(value) if isinstance(value, Varied) else value

    class Carrier(torch.Tensor):
        """A tensor without memory that stands for a ``Varied``."""

        @staticmethod
        def __new__(cls: Any, varied: Varied) -> Any:
            base = varied.base
            return torch.Tensor._make_wrapper_subclass(
                cls, base.size(), strides=base.stride(), dtype=base.dtype, device=base.device
            )

        def __init__(self, varied: Varied) -> None:
            self.varied = varied

        @classmethod
        def __torch_function__(
            cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            with torch._C.DisableTorchFunctionSubclass():
                try:
                    return function(*args, **(kwargs or {}))
                except NoRuleError:
                    args, kwargs = tree_map(bare, (list(args), dict(kwargs or {})))
                    return tree_map(dressed, evaluated_whole(function, args, kwargs))

        @classmethod
        def __torch_dispatch__(  # type: ignore[override]
            cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            # Of the basic operations the arguments are tensors and lists of them, named or not.
            named = {key: bare(value) for key, value in (kwargs or {}).items()}
            found = evaluated(function, [bare(one) for one in args], named)
            if isinstance(found, tuple):
                return tuple(dressed(one) for one in found)
            return dressed(found)

    return Carrier


def carrier(varied: Varied) -> Any:
    """Return a tensor that stands for a varied one."""
    return _carrier_type()(varied)


def varied_of(tensor: Any) -> Varied | None:
    """Return what a carrier stands for; None for any other tensor."""
    found = getattr(tensor, "varied", None)
    return found if isinstance(found, Varied) else None
