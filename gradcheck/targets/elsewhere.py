"""Parameters that a target reads by name from its object or its module, found by its gradient.

``self.weights`` of a network, or the ``Wxh`` at the top of a script: nobody hands them in, but
what the target returns as gradients has their structure, or calls them by name.
"""

from __future__ import annotations

import dis
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from types import CodeType
from typing import Any

import numpy as np

from gradcheck.calling.calls import BoundInputs
from gradcheck.calling.choose import explained_by_inputs
from gradcheck.calling.named import Elsewhere, is_float_tree
from gradcheck.calling.returned_names import meant, returned_names
from gradcheck.calling.returns import NOT_GIVEN, gradient_keys, split_result
from gradcheck.calling.tree import leaves
from gradcheck.errors import TargetError
from gradcheck.targets.scout import scouted

_WEIGHTS = re.compile(
    r"w|W|weights?|theta|thetas|coefs?_?|beta|phi|params|parameters", re.IGNORECASE
)


def named_elsewhere(target: Callable[..., Any], names: Sequence[Any]) -> Elsewhere | None:
    """Return those of ``names`` that the target reads from its object or its module."""
    around = _around(target)
    found = [name for name in names if isinstance(name, str) and name in around]
    return Elsewhere(around.home, found) if found else None


def found_elsewhere(
    target: Callable[..., Any], gradient: Callable[..., Any] | None, bound: BoundInputs
) -> Elsewhere | None:
    """Return what the gradient is of, if that is no input but read from elsewhere, else None.

    Calls the target once, and only where it reads float arrays from its object or its module.

    Raises:
        Exception: whatever the target raises.
    """
    around = _around(target)
    if not around:
        return None
    grads = _gradients(target, gradient, bound, around)
    if grads is NOT_GIVEN or grads is None or explained_by_inputs(bound, grads):
        return None
    return explained_elsewhere(target, gradient, grads)


def explained_elsewhere(
    target: Callable[..., Any], gradient: Callable[..., Any] | None, grads: Any
) -> Elsewhere | None:
    """Return what the target reads by name and ``grads`` are the gradients of, or None."""
    around = _around(target)
    hints = returned_names(gradient or target)
    names = _by_key(grads, around) or _by_parts(grads, around, hints, own=gradient is not None)
    return Elsewhere(around.home, names) if names else None


def _gradients(
    target: Callable[..., Any],
    gradient: Callable[..., Any] | None,
    bound: BoundInputs,
    around: Elsewhere,
) -> Any:
    result = scouted(gradient or target, bound, around)
    if gradient is not None:
        return result
    try:
        return split_result(result, gradient_elsewhere=False)[1]
    except TargetError:
        # The call that is judged says what is wrong with it.
        return NOT_GIVEN


def _around(target: Callable[..., Any]) -> Elsewhere:
    """The float arrays, and trees of them, that the target may read by name."""
    function = inspect.unwrap(getattr(target, "__func__", target))
    owner = getattr(target, "__self__", None if inspect.isroutine(target) else target)
    home: MutableMapping[str, Any] = getattr(function, "__globals__", {})
    names: list[str] = []
    if owner is not None and not inspect.ismodule(owner) and not isinstance(owner, type):
        home = getattr(owner, "__dict__", {})
        names = list(home)
    elif isinstance(code := getattr(function, "__code__", None), CodeType):
        names = list(dict.fromkeys(_global_names(code, home, set())))
    return Elsewhere(home, [name for name in names if name in home and is_float_tree(home[name])])


def _global_names(code: CodeType, home: Mapping[str, Any], seen: set[CodeType]) -> Iterator[str]:
    """Names that the code, and functions of the same module that it calls, look up in ``home``."""
    if code in seen:
        return
    seen.add(code)
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME") and instruction.argval in home:
            yield instruction.argval
            called = getattr(home[instruction.argval], "__code__", None)
            if isinstance(called, CodeType):
                yield from _global_names(called, home, seen)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _global_names(inner, home, seen)


def _shapes(tree: Any) -> list[tuple[int, ...]]:
    return [tuple(np.shape(leaf.value)) for leaf in leaves(tree, "x")]


def _by_key(grads: Any, around: Mapping[str, Any]) -> list[str]:
    """The names that the gradient's keys mean, if any."""
    if not isinstance(grads, Mapping):
        return []
    names = [name for name in around if any(key in grads for key in gradient_keys(name))]
    return (
        names
        or [
            name
            for name, value in around.items()
            if isinstance(value, Mapping) and set(value) == set(grads)
        ][:1]
    )


def _by_parts(
    grads: Any, around: Mapping[str, Any], hints: Sequence[str], *, own: bool
) -> list[str]:
    """One name for each gradient, in their order: what the code calls it, else by structure.

    What follows the last gradient (a state, a cache) is left over. ``own``: the gradients come from
    a function of their own, whose ``return`` holds no loss.
    """
    parts = list(grads) if isinstance(grads, tuple | list) else [grads]
    hints = list(hints if own else hints[1:])
    hints = hints if len(hints) == len(parts) else [""] * len(parts)
    names: list[str] = []
    called = 0
    for part, hint in zip(parts, hints, strict=True):
        left = [name for name in around if name not in names]
        by_name = meant(hint, left)
        name = by_name or _of_structure(part, {key: around[key] for key in left})
        if name is None:
            break
        called += by_name is not None or bool(_WEIGHTS.fullmatch(name))
        names.append(name)
    rest = [_shapes(part) for part in parts[len(names) :]]
    unused = [_shapes(around[name]) for name in around if name not in names]
    # One shape alone may be that of data, unless it is called a weight; a gradient in the middle
    # that belongs to nothing says that this is not what was returned.
    if (len(names) < 2 and not called) or any(shapes in unused for shapes in rest):
        return []
    return names


def _of_structure(part: Any, around: Mapping[str, Any]) -> str | None:
    wanted = _shapes(part)
    found = [name for name, value in around.items() if _shapes(value) == wanted]
    return found[0] if len(found) == 1 else None
