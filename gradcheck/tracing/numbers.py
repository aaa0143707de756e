"""Python numbers under check: each gets an object of its own, by which it is recognised."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck.calling.tree import leaves, map_leaves
from gradcheck.errors import UsageError


def _argument_names(target: Callable[..., Any], count: int) -> list[str]:
    try:
        known = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        known = []
    return [
        known[i].name
        if i < len(known) and known[i].kind is not inspect.Parameter.VAR_POSITIONAL
        else f"argument_{i}"
        for i in range(count)
    ]


def with_own_numbers(
    target: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    scalars: Mapping[str, str],
) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, float]]:
    """Return the arguments with the numbers at the given paths made new objects, and these.

    A number is recognised by the identity of its object, which a constant of equal value
    elsewhere in the code might share. The containers around them are copied, the arrays are not.

    Raises:
        UsageError: a path leads to no number.
    """
    names_by_path = {path: name for name, path in scalars.items()}
    found: dict[str, float] = {}

    def renewed(value: Any, label: str) -> Any:
        paths = iter([leaf.path for leaf in leaves(value, label)])

        def renew(leaf: Any) -> Any:
            name = names_by_path.get(next(paths))
            if name is None:
                return leaf
            if not isinstance(leaf, int | float | np.number):
                raise UsageError(f"{scalars[name]} is {type(leaf).__name__}, not a number")
            found[name] = float(np.float64(leaf))
            return found[name]

        return map_leaves(renew, value)

    labels = _argument_names(target, len(args))
    new_args = tuple(renewed(value, label) for value, label in zip(args, labels, strict=True))
    new_kwargs = {label: renewed(value, label) for label, value in kwargs.items()}
    missing = sorted(set(scalars) - set(found))
    if missing:
        raise UsageError(f"no number at {', '.join(scalars[name] for name in missing)}")
    return new_args, new_kwargs, found
