"""Functions that make arrays of given numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.tracing.errors import UnsupportedError
from gradcheck.tracing.operation import Context, Rule


def _full(context: Context, shape: Any, fill_value: Any, *_: Any, **__: Any) -> Any:
    return context.tensor(fill_value, context.dtype).expand(context.value.shape).clone()


def linspace(
    context: Context, start: Any, stop: Any, num: int = 50, endpoint: bool = True,
    retstep: bool = False, dtype: Any = None, axis: int = 0, **_: Any,
) -> Any:  # fmt: skip
    """Evenly spaced numbers between two."""
    if retstep or axis != 0:
        raise UnsupportedError("retstep and axis are not covered")
    first, last = context.tensor(start, context.dtype), context.tensor(stop, context.dtype)
    first, last = context.torch.broadcast_tensors(first, last)
    share = context.torch.arange(num, dtype=context.dtype) / max(num - bool(endpoint), 1)
    share = share.reshape([num] + [1] * first.ndim)
    return first + share * (last - first)


def _logspace(
    context: Context, start: Any, stop: Any, num: int = 50, endpoint: bool = True,
    base: Any = 10.0, dtype: Any = None, axis: int = 0,
) -> Any:  # fmt: skip
    exponents = linspace(context, start, stop, num, endpoint, axis=axis)
    return context.torch.pow(context.tensor(base, context.dtype), exponents)


def _geomspace(
    context: Context, start: Any, stop: Any, num: int = 50, endpoint: bool = True,
    dtype: Any = None, axis: int = 0,
) -> Any:  # fmt: skip
    first, last = context.tensor(start, context.dtype), context.tensor(stop, context.dtype)
    if bool((first <= 0).any()) or bool((last <= 0).any()):
        raise UnsupportedError("ends that are not positive are not covered")
    return linspace(context, first.log(), last.log(), num, endpoint, axis=axis).exp()


def _arange(context: Context, start: Any, stop: Any = None, step: Any = 1, **_: Any) -> Any:
    if stop is None:
        start, stop = 0.0, start
    first, last = context.tensor(start, context.dtype), context.tensor(stop, context.dtype)
    counting = context.torch.arange(context.value.shape[0], dtype=context.dtype)
    # how many numbers there are has no derivative, whatever the end depends on
    return first + counting * context.tensor(step, context.dtype) + 0.0 * last


def _bincount(context: Context, x: Any, weights: Any, *_: Any, **__: Any) -> Any:
    shares = context.tensor(weights, context.dtype)
    places = context.torch.from_numpy(np.array(x, dtype=np.int64))
    return context.torch.zeros(context.value.shape, dtype=context.dtype).index_add(
        0, places, shares
    )


FUNCTIONS: dict[Any, Rule] = {
    np.arange: _arange,
    np.bincount: _bincount,
    np.full: _full,
    np.full_like: _full,
    np.linspace: linspace,
    np.logspace: _logspace,
    np.geomspace: _geomspace,
}
