"""A float32 target evaluated in float64, whatever it reads besides its inputs.

Data in a closure or a global, constants and tensors made on the way are of single precision, and
most operations refuse to mix them with float64. Every torch function is handed them as float64.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

CHANGES = frozenset(
    {"__setitem__", "__set__", "__delitem__"}
    | {f"__i{name}__" for name in ("add", "sub", "mul", "div", "truediv", "floordiv", "mod", "pow")}
)
"""Functions that change their first argument, besides those whose names end in one underscore."""


class CannotWidenError(Exception):
    """The target changes a tensor of its own in single precision, of which it would be a copy."""


def widening() -> AbstractContextManager[Any]:
    """Return a context in which torch functions see, and make, float64 in the place of float32.

    Only what they get and give is exchanged: no tensor of the user's is changed. Inside,
    ``CannotWidenError`` is raised where a float32 tensor would be.
    """
    import torch
    from torch.utils.weak import WeakIdKeyDictionary

    goals = {torch.float32: torch.float64, torch.complex64: torch.complex128}
    known: Any = WeakIdKeyDictionary()

    def wide(one: Any) -> Any:
        version, found = known.get(one, (-1, None))
        if found is None or version != one._version:
            found = one.to(goals[one.dtype])
            # What is computed of others lives no longer than a call; and a graph is not to be kept.
            if type(one) is torch.Tensor and one.is_leaf and not one.requires_grad:
                known[one] = one._version, found
        return found

    def replaced(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return wide(value) if value.dtype in goals else value
        if isinstance(value, torch.dtype):
            return goals.get(value, value)
        if type(value) in (tuple, list):
            return type(value)(replaced(one) for one in value)
        if type(value) is dict:
            return {key: replaced(one) for key, one in value.items()}
        return value

    def made(result: Any) -> Any:
        """What a function makes of no tensor: zeros, random numbers, a tensor of a list."""
        if not isinstance(result, torch.Tensor) or result.dtype not in goals:
            return result
        if result.is_leaf:
            return wide(result.detach()).requires_grad_(result.requires_grad)
        return wide(result)

    class Widen(torch.overrides.TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            name = getattr(function, "__name__", "")
            changed = [*(args[:1] if _changes(name) else ()), (kwargs or {}).get("out")]
            if any(isinstance(one, torch.Tensor) and one.dtype in goals for one in changed):
                raise CannotWidenError(name)
            if name == "float" and args:
                return replaced(args[0]).double()
            result = function(*replaced(args), **replaced(kwargs or {}))
            return made(result)

    return Widen()


def _changes(name: str) -> bool:
    return name in CHANGES or (name.endswith("_") and not name.endswith("__"))
