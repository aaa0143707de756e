"""The tensors that a target is called with to be evaluated many times at once.

To the target they are ordinary tensors, of the shape of one evaluation's; each of torch's functions
that is given one is evaluated for all evaluations.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.operations import (
    evaluated,
    evaluated_elsewhere,
    evaluated_whole,
)
from gradcheck.torch_target.varied.tensor import NoRuleError, RefusedError, Varied

if TYPE_CHECKING:
    from torch import Tensor


WRITING = frozenset(
    f"__{name}__"
    for name in (
        *("setitem", "iadd", "isub", "imul", "idiv", "itruediv", "ifloordiv", "imod", "ipow"),
        *("imatmul", "iand", "ior", "ixor", "ilshift", "irshift"),
    )
)
"""Python's operators that write into their first operand."""


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

    def viewed(value: Any) -> None:
        if isinstance(value, Carrier):
            value.has_views = True

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
            self.has_views = False

        @classmethod
        def __torch_function__(
            cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            with torch._C.DisableTorchFunctionSubclass():
                try:
                    return function(*args, **(kwargs or {}))
                except NoRuleError:
                    given = (list(args), dict(kwargs or {}))
                    if _writes(function, given[1]):
                        raise RefusedError(f"{function} writes into a tensor") from None
                    found, shared = evaluated_whole(function, *tree_map(bare, given))
                    result = tree_map(dressed, found)
                    if shared:
                        tree_map(viewed, (given, result))
                    return result

        @classmethod
        def __torch_dispatch__(  # type: ignore[override]
            cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            # Of the basic operations the arguments are tensors and lists of them, named or not.
            bases = [bare(one) for one in args]
            named = {key: bare(value) for key, value in (kwargs or {}).items()}
            if function._schema.is_mutable:
                return written(function, args[0], bases, named)
            found = evaluated(function, bases, named)
            if isinstance(found, tuple):
                return tuple(dressed(one) for one in found)
            result = dressed(found)
            if any(one.alias_info is not None for one in function._schema.returns):
                tree_map(viewed, (result, list(args)))
            return result

    def written(function: Any, target: Any, args: Any, kwargs: Any) -> Any:
        """Give a tensor of which nothing else is a view the values that are written into it."""
        found = None
        if isinstance(target, Carrier) and not target.has_views:
            found = evaluated_elsewhere(function, args, kwargs)
        before = getattr(target, "varied", None)
        if found is None or before is None or not _alike(found.base, before.base):
            # Inside a function of torch, it may be a tensor of that function's own.
            raise NoRuleError(f"{function} writes into a tensor")
        target.varied = found
        return target

    return Carrier


def _writes(function: Any, kwargs: Mapping[str, Any]) -> bool:
    """Whether a function of torch writes into a tensor that it is given, by its name."""
    name = getattr(function, "__name__", "")
    in_place = name in WRITING or (name.endswith("_") and not name.endswith("__"))
    return in_place or kwargs.get("out") is not None or bool(kwargs.get("inplace"))


def _alike(one: Tensor, two: Tensor) -> bool:
    return one.shape == two.shape and one.dtype == two.dtype


def carrier(varied: Varied) -> Any:
    """Return a tensor that stands for a varied one."""
    return _carrier_type()(varied)


def varied_of(tensor: Any) -> Varied | None:
    """Return what a carrier stands for; None for any other tensor."""
    found = getattr(tensor, "varied", None)
    return found if isinstance(found, Varied) else None
