"""Products of vectors and matrices, convolutions, and interpolation along a line."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.tracing.errors import UnsupportedError
from gradcheck.tracing.operation import Context, Rule


def both(context: Context, a: Any, b: Any) -> tuple[Any, Any]:
    """Return two operands as tensors of the dtype of the result."""
    return context.tensor(a, context.dtype), context.tensor(b, context.dtype)


def matmul(context: Context, a: Any, b: Any) -> Any:
    """Matrix product over the last two axes."""
    first, second = both(context, a, b)
    if context.operation.name != "setitem":
        context.operation.factors = (first.detach(), second.detach())
    return context.torch.matmul(first, second)


def dot(context: Context, a: Any, b: Any, out: Any = None) -> Any:
    """Product of the last axis with the one before the last."""
    first, second = both(context, a, b)
    if first.ndim == 0 or second.ndim == 0:
        return first * second
    if first.ndim <= 2 and second.ndim <= 2:
        return matmul(context, first, second)
    # the axis before the last, and of a vector the only one: counted from the end, -1
    return context.torch.tensordot(first, second, ([first.ndim - 1], [second.ndim - 2]))


def _inner(context: Context, a: Any, b: Any) -> Any:
    first, second = both(context, a, b)
    if first.ndim == 0 or second.ndim == 0:
        return first * second
    return context.torch.tensordot(first, second, ([first.ndim - 1], [second.ndim - 1]))


def outer(context: Context, a: Any, b: Any, out: Any = None) -> Any:
    """Products of all pairs of elements."""
    first, second = both(context, a, b)
    return first.flatten()[:, None] * second.flatten()


def _tensordot(context: Context, a: Any, b: Any, axes: Any = 2) -> Any:
    first, second = both(context, a, b)
    if isinstance(axes, int):
        return context.torch.tensordot(first, second, axes)
    sides = [[side] if isinstance(side, int) else list(side) for side in axes]
    return context.torch.tensordot(first, second, sides)


def _einsum(context: Context, *operands: Any, out: Any = None, **_: Any) -> Any:
    torch = context.torch
    if isinstance(operands[0], str):
        equation, terms = operands[0], operands[1:]
    else:
        equation, terms = _equation(operands), _sublist_terms(operands)
    tensors = [context.tensor(term, context.dtype) for term in terms]
    return torch.einsum(equation.replace(" ", ""), *tensors)


def _sublist_terms(operands: Any) -> Any:
    return operands[: len(operands) // 2 * 2 : 2]


def _equation(operands: Any) -> str:
    def letters(axes: Any) -> str:
        return "".join("..." if axis is Ellipsis else chr(ord("a") + axis) for axis in axes)

    pairs = len(operands) // 2
    inputs = ",".join(letters(operands[2 * i + 1]) for i in range(pairs))
    return f"{inputs}->{letters(operands[-1])}" if len(operands) % 2 else inputs


def _trace(context: Context, a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1,
           dtype: Any = None, out: Any = None) -> Any:  # fmt: skip
    return context.tensor(a, context.dtype).diagonal(offset, axis1, axis2).sum(-1)


def _kron(context: Context, a: Any, b: Any) -> Any:
    return context.torch.kron(*both(context, a, b))


def _cross(context: Context, a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1,
           axis: Any = None) -> Any:  # fmt: skip
    if (axisa, axisb, axisc) != (-1, -1, -1):
        raise UnsupportedError("axisa, axisb, axisc are not covered")
    first, second = context.torch.broadcast_tensors(*both(context, a, b))
    axis = -1 if axis is None else axis
    if first.shape[axis] != 3:
        raise UnsupportedError("vectors of length 2 are not covered")
    return context.torch.linalg.cross(first, second, dim=axis)


def _convolve(context: Context, a: Any, v: Any, mode: str = "full") -> Any:
    first, second = both(context, a, v)
    full = _full_convolution(context, first, second)
    return _part(full, first, second, mode, late=False)


def _correlate(context: Context, a: Any, v: Any, mode: str = "valid") -> Any:
    first, second = both(context, a, v)
    full = _full_convolution(context, first, second.flip(0))
    # NumPy turns the result round where the second operand is the longer one
    return _part(full, first, second, mode, late=second.shape[0] > first.shape[0])


def _full_convolution(context: Context, a: Any, v: Any) -> Any:
    long, short = (v, a) if v.shape[0] > a.shape[0] else (a, v)
    padding = short.shape[0] - 1
    padded = context.torch.nn.functional.pad(long, (padding, padding))
    return padded.unfold(0, short.shape[0], 1) @ short.flip(0)


def _part(full: Any, a: Any, v: Any, mode: str, *, late: bool) -> Any:
    """Return the part of a full convolution that the mode asks for."""
    if mode == "full":
        return full
    shorter, longer = sorted((a.shape[0], v.shape[0]))
    size = longer if mode == "same" else longer - shorter + 1
    start = (full.shape[0] - size) // 2
    if late:
        start = full.shape[0] - size - start
    return full[start : start + size]


def _interp(context: Context, x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None,
            period: Any = None) -> Any:  # fmt: skip
    if period is not None or left is not None or right is not None:
        raise UnsupportedError("left, right and period are not covered")
    at, points = both(context, x, xp)
    values = context.tensor(fp, context.dtype)
    torch = context.torch
    upper = torch.searchsorted(points.detach(), at.detach(), right=True)
    upper = upper.clamp(1, points.shape[0] - 1)
    lower = upper - 1
    inside = torch.minimum(torch.maximum(at, points[0]), points[-1])
    share = (inside - points[lower]) / (points[upper] - points[lower])
    return values[lower] + share * (values[upper] - values[lower])


FUNCTIONS: dict[Any, Rule] = {
    np.dot: dot,
    np.inner: _inner,
    np.outer: outer,
    np.tensordot: _tensordot,
    np.einsum: _einsum,
    np.trace: _trace,
    np.kron: _kron,
    np.cross: _cross,
    np.convolve: _convolve,
    np.correlate: _correlate,
    np.interp: _interp,
}

UFUNCS: dict[Any, Rule] = {np.matmul: matmul}
if hasattr(np, "vecdot"):
    UFUNCS[np.vecdot] = lambda c, a, b: (c.tensor(a, c.dtype) * c.tensor(b, c.dtype)).sum(-1)
