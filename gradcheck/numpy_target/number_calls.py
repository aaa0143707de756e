"""A target's loss at parameters of another kind of number: complex ones, or longer floats."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.calling.calls import BoundInputs
from gradcheck.calling.choose import Chosen
from gradcheck.calling.tree import Leaf, leaves, map_leaves
from gradcheck.errors import UsageError
from gradcheck.numpy_target.first_call import Functions
from gradcheck.numpy_target.working_call import Working

ComplexLoss = Callable[[Sequence[NDArray[np.complex128]]], complex]
ExtendedLoss = Callable[[Sequence[NDArray[np.longdouble]]], np.longdouble]
Scalar = Callable[[Any], Any]


def complex_closure(
    working: Working, functions: Functions, chosen: Chosen, live: Any
) -> ComplexLoss:
    """Return the loss as a function of one complex array for each parameter."""
    raw = _raw_closure(working, functions, chosen, live, complex)

    def complex_loss(values: Sequence[NDArray[np.complex128]]) -> complex:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            return complex(raw(values))

    return complex_loss


def extended_closure(
    working: Working, functions: Functions, chosen: Chosen, live: Any
) -> ExtendedLoss:
    """Return the loss as a function of one array of ``numpy.longdouble`` for each parameter."""
    raw = _raw_closure(working, functions, chosen, live, np.longdouble)

    def extended_loss(values: Sequence[NDArray[np.longdouble]]) -> np.longdouble:
        return np.longdouble(raw(values))

    return extended_loss


def _raw_closure(
    working: Working, functions: Functions, chosen: Chosen, live: Any, scalar: Scalar
) -> Callable[[Sequence[NDArray[Any]]], Any]:
    """Return the loss, in whatever dtype it has, at parameters of any dtype.

    ``scalar`` makes a parameter that is a plain number of an array's element.
    """
    call = working.call

    def raw(values: Sequence[NDArray[Any]]) -> Any:
        replacement = {
            id(leaf.value): values[k].copy() for k, leaf in enumerate(chosen.leaves) if leaf.live
        }
        counter = iter(range(1_000_000_000))

        def substitute(leaf: Any) -> Any:
            position = next(counter)
            if position not in working.positions:
                return leaf
            value = values[working.positions[position]]
            return scalar(value[()]) if position in call.scalars else value.copy()

        args, kwargs = map_leaves(substitute, (call.inputs.args, dict(call.inputs.kwargs)))
        inputs = BoundInputs(args, kwargs, call.inputs.names)
        with substituted(live, replacement):
            result = replace(call, inputs=inputs, scalars={})()
        return np.asarray(functions.loss_of(result)).reshape(())[()]

    return raw


@contextmanager
def substituted(live: Any, replacement: Mapping[int, Any]) -> Iterator[None]:
    """Put other arrays into the containers of a live tree, and the old ones back at the end.

    Raises:
        UsageError: an array stands in a container that cannot be changed.
    """
    places: list[tuple[Any, Any, Any]] = []
    if live is not None:
        for leaf in leaves(live, "params"):
            if id(leaf.value) in replacement:
                if not leaf.keys:
                    raise UsageError("a bare array in params= cannot be replaced; put it in a dict")
                places.append((_container(live, leaf), leaf.keys[-1], leaf.value))
    try:
        for container, key, value in places:
            _put(container, key, replacement[id(value)])
        yield
    finally:
        for container, key, value in places:
            _put(container, key, value)


def _container(tree: Any, leaf: Leaf) -> Any:
    for key in leaf.keys[:-1]:
        tree = tree[key] if isinstance(tree, dict | list | tuple) else getattr(tree, key)
    return tree


def _put(container: Any, key: Any, value: Any) -> None:
    if isinstance(container, dict | list):
        container[key] = value
    elif isinstance(container, tuple):
        raise UsageError("parameters in a tuple cannot be replaced; keep them in a list or a dict")
    else:
        object.__setattr__(container, key, value)
