"""Functions that move, repeat and join elements without computing anything.

Most need no rule of their own: run on an array of positions, the NumPy function itself
tells where each element of its result comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck.tracing.errors import UnsupportedError
from gradcheck.tracing.operation import Context, Rule


def reshaped(context: Context, a: Any, *_: Any, **__: Any) -> Any:
    """Elements in the same order, in the result's shape."""
    return context.tensor(a).reshape(context.value.shape)


def copied(context: Context, a: Any, *_: Any, **__: Any) -> Any:
    """A copy in the result's dtype; nested lists are stacked."""
    return context.tensor(a, context.dtype).reshape(np.shape(context.value)).clone()


def transposed(context: Context, a: Any, axes: Any = None) -> Any:
    """Axes in another order."""
    tensor = context.tensor(a)
    order = range(tensor.ndim)[::-1] if axes is None else np.ravel(axes).tolist()
    return tensor.permute(*order)


def _swapped(context: Context, a: Any, axis1: int, axis2: int) -> Any:
    return context.tensor(a).swapaxes(axis1, axis2)


def _moved(context: Context, a: Any, source: Any, destination: Any) -> Any:
    return context.tensor(a).movedim(source, destination)


def _pieces(context: Context, arrays: Any) -> list[Any]:
    return [context.tensor(piece, context.dtype) for piece in arrays]


def concatenated(context: Context, arrays: Any, axis: Any = 0, out: Any = None, **_: Any) -> Any:
    """Arrays joined along an axis."""
    pieces = _pieces(context, arrays)
    if axis is None:
        return context.torch.cat([piece.flatten() for piece in pieces])
    return context.torch.cat(pieces, axis)


def stacked(context: Context, arrays: Any, axis: int = 0, out: Any = None, **_: Any) -> Any:
    """Arrays joined along a new axis."""
    return context.torch.stack(_pieces(context, arrays), axis)


def chosen(context: Context, condition: Any, x: Any, y: Any) -> Any:
    """Elements of one array or of the other."""
    mask = context.tensor(condition).detach().to(context.torch.bool)
    return context.torch.where(
        mask, context.tensor(x, context.dtype), context.tensor(y, context.dtype)
    )


def broadcast(context: Context, a: Any, *_: Any, **__: Any) -> Any:
    """An array repeated along new or unit axes."""
    return context.tensor(a).expand(context.value.shape)


class _Numbering:
    """Arrays of positions in place of data, and the data themselves one after the other."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.flat: list[Any] = []
        self._next = 1

    def __call__(self, data: Any) -> Any:
        torch = self._context.torch
        if isinstance(data, list | tuple):
            return type(data)([self(item) for item in data])
        if not isinstance(data, torch.Tensor | np.ndarray | float | int | np.generic):
            raise UnsupportedError(f"cannot follow the elements of {type(data).__name__}")
        tensor = self._context.tensor(data)
        numbers = np.arange(self._next, self._next + tensor.numel()).reshape(tensor.shape)
        self._next += tensor.numel()
        self.flat.append(tensor.flatten())
        return numbers


def gathered(context: Context, value: Any, numbers: Any, flat: list[Any]) -> Any:
    """Return the elements with these numbers; number 0 stands for a constant of the result."""
    torch = context.torch
    if isinstance(numbers, list | tuple):
        pairs = zip(value, numbers, strict=True)
        return [gathered(context, v, n, flat) for v, n in pairs]
    dtype = context.dtype_of(value)
    data = torch.cat([piece.to(dtype) for piece in flat])
    places = np.asarray(numbers)
    picked = data.index_select(0, torch.from_numpy(np.maximum(places - 1, 0).ravel()))
    picked = picked.reshape(places.shape)
    if (places == 0).any():
        fill = context.tensor(value)
        picked = torch.where(torch.from_numpy(np.array(places == 0)), fill, picked)
    return picked


def following(
    function: Callable[..., Any], data: tuple[int, ...] = (0,), *, every: bool = False
) -> Rule:
    """Return the rule of a function whose positional arguments ``data`` hold the elements."""

    def rule(context: Context, *args: Any, **kwargs: Any) -> Any:
        numbering = _Numbering(context)
        kwargs.pop("out", None)
        new = [
            numbering(argument) if every or place in data else argument
            for place, argument in enumerate(args)
        ]
        numbers = function(*new, **kwargs)
        return gathered(context, context.value, numbers, numbering.flat)

    return rule


def _padded(context: Context, array: Any, pad_width: Any, mode: Any = "constant",
            **kwargs: Any) -> Any:  # fmt: skip
    if mode == "constant":
        kwargs = {}
    elif mode not in ("edge", "reflect", "symmetric", "wrap") or kwargs:
        raise UnsupportedError(f"mode {mode!r} with {sorted(kwargs)} is not covered")
    return following(np.pad)(context, array, pad_width, mode, **kwargs)


def _selected(context: Context, conditions: Any, choices: Any, default: Any = 0) -> Any:
    numbering = _Numbering(context)
    numbers = np.select(conditions, numbering(list(choices)), numbering(default))
    return gathered(context, context.value, numbers, numbering.flat)


FUNCTIONS: dict[Any, Rule] = {
    np.reshape: lambda c, a, *args, **kw: _any_order(np.reshape, c, a, *args, **kw),
    np.ravel: lambda c, a, *args, **kw: _any_order(np.ravel, c, a, *args, **kw),
    np.squeeze: reshaped,
    np.expand_dims: reshaped,
    np.atleast_1d: lambda c, *a: reshaped(c, *a) if len(a) == 1 else _each(c, a),
    np.atleast_2d: lambda c, *a: reshaped(c, *a) if len(a) == 1 else _each(c, a),
    np.atleast_3d: following(np.atleast_3d),
    np.transpose: transposed,
    np.swapaxes: _swapped,
    np.moveaxis: _moved,
    np.concatenate: concatenated,
    np.stack: stacked,
    np.where: chosen,
    np.broadcast_to: broadcast,
    np.array: copied,
    np.asarray: copied,
    np.asanyarray: copied,
    np.ascontiguousarray: copied,
    np.asfortranarray: copied,
    np.copy: copied,
    np.require: copied,
    np.pad: _padded,
    np.select: _selected,
}


def _any_order(
    function: Callable[..., Any], context: Context, a: Any, *args: Any, **kw: Any
) -> Any:
    order = kw.get("order", "C")
    if order == "C" and not (args and isinstance(args[-1], str)):
        return reshaped(context, a)
    if order in ("A", "K") or (args and args[-1] in ("A", "K")):
        raise UnsupportedError("order 'A' and 'K' are not covered")
    return following(function)(context, a, *args, **kw)


def _each(context: Context, arrays: Any) -> Any:
    pairs = zip(arrays, context.value, strict=True)
    return [context.tensor(array).reshape(value.shape) for array, value in pairs]


_FIRST = (
    "rollaxis flip fliplr flipud rot90 roll repeat tile take take_along_axis diagonal "
    "diag diagflat tril triu resize delete split array_split hsplit vsplit dsplit "
    "matrix_transpose permute_dims unstack trim_zeros hstack vstack dstack column_stack block"
).split()

FUNCTIONS |= {getattr(np, n): following(getattr(np, n)) for n in _FIRST if hasattr(np, n)}
FUNCTIONS |= {
    np.append: following(np.append, (0, 1)),
    np.insert: following(np.insert, (0, 2)),
    np.compress: following(np.compress, (1,)),
    np.extract: following(np.extract, (1,)),
    np.choose: following(np.choose, (1,)),
    np.broadcast_arrays: following(np.broadcast_arrays, every=True),
    np.meshgrid: following(np.meshgrid, every=True),
    np.lib.stride_tricks.sliding_window_view: following(np.lib.stride_tricks.sliding_window_view),
}
