"""A gradient function that takes other arguments than the loss: how it is called all the same."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gradcheck.calling.calls import bind_inputs
from gradcheck.errors import UsageError
from gradcheck.targets.scout import scouted

_CACHE = re.compile(r"cache|memory|saved|state|tape|intermediate|stored|forward", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class GradientCall:
    """A gradient function, called with the arguments of the target.

    Attributes:
        target: the loss.
        gradient: the user's gradient function.
        names: the target's arguments that it takes, by keyword; None: all of them, by position.
        returned: its arguments that are what the target returned beside the loss.
        after: it reads what the target left behind, and is called after it.
    """

    target: Callable[..., Any]
    gradient: Callable[..., Any]
    names: tuple[str, ...] | None
    returned: tuple[str, ...] = ()
    after: bool = False

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        """The user's own function, whose source tells what it returns."""
        return self.gradient

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the gradient function returns for the target's arguments."""
        bound = inspect.signature(self.target).bind(*args, **kwargs)
        given: Mapping[str, Any] = bound.arguments
        further: dict[str, Any] = {}
        if self.returned or self.after:
            beside = _beside(self.target(*args, **kwargs))
            parts = (beside,) if len(self.returned) == 1 else beside
            further = dict(zip(self.returned, parts, strict=False))
            if len(self.returned) == 1 and len(beside) == 1:
                further = {self.returned[0]: beside[0]}
        if self.names is None:
            return self.gradient(*given.values())
        return self.gradient(
            **{name: given[name] for name in self.names if name in given}, **further
        )


def fitted(target: Callable[..., Any], gradient: Callable[..., Any], inputs: Any) -> Any:
    """Return ``gradient`` as a function of the target's arguments.

    It may take the same arguments, some of them by name, as many under other names, those and what
    the target returns beside the loss (a cache), or none, after the target was called.

    Raises:
        UsageError: it can be called in none of these ways.
    """
    try:
        wanted = inspect.signature(gradient)
        names = list(inspect.signature(target).parameters)
    except (TypeError, ValueError):
        return gradient
    bound = bind_inputs(target, inputs)
    given = [name for name, _ in bound.items()]
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    takes = [one.name for one in wanted.parameters.values() if one.kind in kinds]
    required = [
        one.name
        for one in wanted.parameters.values()
        if one.kind in kinds and one.default is one.empty
    ]
    missing = [name for name in required if name not in given]
    known = tuple(name for name in takes if name in given)
    cached = bool(missing) and all(map(is_cache, missing))
    if cached and _returns(target, inputs, len(missing)):
        return GradientCall(target, gradient, known, tuple(missing))
    if _binds(wanted, *bound.args, **bound.kwargs):
        return gradient
    if not missing:
        return GradientCall(target, gradient, known, after=not known)
    if _binds(wanted, *(None for _ in given)):
        return GradientCall(target, gradient, None)
    if _returns(target, inputs, len(missing)):
        return GradientCall(target, gradient, known, tuple(missing))
    raise UsageError(
        f"grad= (--grad) {_name(gradient)}{wanted} cannot be called as {_name(target)}"
        f"({', '.join(names)}) is: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} "
        "neither an input nor returned beside the loss; give a function of the same arguments, or "
        "for the backward pass of a layer, backward(cotangent, cache), use vjp= (--vjp)"
    )


def is_cache(name: str) -> bool:
    """Whether an argument of this name is what a loss hands on to its backward pass."""
    return bool(_CACHE.search(name))


def _binds(signature: inspect.Signature, *args: Any, **kwargs: Any) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _returns(target: Callable[..., Any], inputs: Any, count: int) -> bool:
    """Whether the target returns something beside the loss for so many arguments."""
    beside = _beside(scouted(target, bind_inputs(target, inputs)))
    return len(beside) == count or (count == 1 and bool(beside))


def _beside(result: Any) -> tuple[Any, ...]:
    return tuple(result[1:]) if isinstance(result, tuple | list) else ()


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", type(function).__name__)
