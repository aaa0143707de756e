"""The gradient by PyTorch autograd of a twin: the same loss, written in torch."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.calling.tree import map_leaves
from gradcheck.errors import UsageError


def resolve_twin(twin: Callable[..., Any] | str) -> Callable[..., Any]:
    """Import a twin given as ``"package.module:function"``.

    Raises:
        UsageError: there is no such module or function.
    """
    if not isinstance(twin, str):
        return twin
    module_name, _, attribute = twin.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"the torch twin {twin!r} cannot be imported: {error}") from None
    if not callable(found):
        raise UsageError(f"the torch twin {twin!r} is not a function")
    function: Callable[..., Any] = found
    return function


def evaluate_twin(
    twin: Callable[..., Any] | str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    names: Mapping[int, str],
    live: Any,
    live_names: Mapping[int, str],
) -> tuple[float, dict[str, NDArray[np.float64]]]:
    """Return the twin's loss and gradient by parameter name.

    ``names`` maps the position of a leaf among ``(args, kwargs)`` to its parameter;
    ``live_names`` maps the identity of a live array to its parameter.
    """
    import torch

    parameters: dict[str, Any] = {}

    def tensor(value: Any, name: str | None) -> Any:
        if name is not None:
            made = torch.tensor(np.asarray(value, dtype=np.float64), requires_grad=True)
            parameters[name] = made
            return made
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            return torch.tensor(np.ascontiguousarray(value, dtype=np.float64))
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
            return torch.tensor(np.ascontiguousarray(value, dtype=np.int64))
        if isinstance(value, np.ndarray) and value.dtype.kind == "b":
            return torch.tensor(np.ascontiguousarray(value))
        return value

    counter = itertools.count()
    args, kwargs = map_leaves(lambda leaf: tensor(leaf, names.get(next(counter))), (args, kwargs))
    if live is not None:
        kwargs = dict(kwargs)
        kwargs["params"] = map_leaves(lambda x: tensor(x, live_names.get(id(x))), live)
    loss = resolve_twin(twin)(*args, **kwargs)
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    gradients = {
        name: np.zeros(tuple(value.shape)) if grad is None else grad.detach().numpy().copy()
        for (name, value), grad in zip(parameters.items(), found, strict=True)
    }
    return float(loss.detach()), gradients
