"""Sums, means, extremes and what else reduces or accumulates along axes."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from gradcheck.tracing.errors import UnsupportedError
from gradcheck.tracing.operation import Context, Rule


def _flag(value: Any) -> bool:
    return value is not np._NoValue and bool(value)


def _given(value: Any) -> bool:
    return value is not None and value is not np._NoValue


def _axes(tensor: Any, axis: Any) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(tensor.ndim))
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    return tuple(int(a) % tensor.ndim for a in axes)


def _masked(context: Context, tensor: Any, where: Any, other: float) -> Any:
    if where is True or not _given(where):
        return tensor
    return context.torch.where(context.torch.as_tensor(np.array(where)), tensor, other)


def total(
    context: Context, a: Any, axis: Any = None, dtype: Any = None, out: Any = None,
    keepdims: Any = False, initial: Any = None, where: Any = True,
) -> Any:  # fmt: skip
    """Sum over axes, in the dtype of the result."""
    tensor = _masked(context, context.tensor(a, context.dtype), where, 0.0)
    axes = _axes(tensor, axis)
    result = tensor.sum(axes, keepdim=_flag(keepdims)) if axes else tensor.clone()
    return result + initial if _given(initial) else result


def _count(context: Context, tensor: Any, axes: tuple[int, ...], where: Any, keep: bool) -> Any:
    if where is True or not _given(where):
        return int(np.prod([tensor.shape[axis] for axis in axes], dtype=int))
    mask = np.broadcast_to(np.array(where), tuple(tensor.shape))
    return context.torch.as_tensor(mask.sum(axis=axes, keepdims=keep))


def mean(
    context: Context, a: Any, axis: Any = None, dtype: Any = None, out: Any = None,
    keepdims: Any = False, where: Any = True,
) -> Any:  # fmt: skip
    """Mean over axes."""
    tensor = context.tensor(a, context.dtype)
    axes = _axes(tensor, axis)
    if not axes:
        return tensor.clone()
    keep = _flag(keepdims)
    count = _count(context, tensor, axes, where, keep)
    return _masked(context, tensor, where, 0.0).sum(axes, keepdim=keep) / count


def average(
    context: Context, a: Any, axis: Any = None, weights: Any = None, returned: bool = False,
    *, keepdims: Any = False,
) -> Any:  # fmt: skip
    """Weighted mean over an axis or over all."""
    dtype = context.dtype_of(context.value[0] if returned else context.value)
    tensor = context.tensor(a, dtype)
    if weights is None:
        axes = _axes(tensor, axis)
        result = tensor.mean(axes, keepdim=_flag(keepdims))
        return (result, None) if returned else result
    factor = context.tensor(weights, dtype)
    if factor.ndim != tensor.ndim:
        shape = [1] * tensor.ndim
        shape[axis] = -1
        factor = factor.reshape(shape)
    factor = factor.expand(tensor.shape)
    axes = _axes(tensor, axis)
    keep = _flag(keepdims)
    weight = factor.sum(axes, keepdim=keep)
    result = (tensor * factor).sum(axes, keepdim=keep) / weight
    return (result, weight) if returned else result


def variance(
    context: Context, a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0,
    keepdims: Any = False, *, where: Any = True, mean: Any = None, correction: Any = None,
) -> Any:  # fmt: skip
    """Variance over axes."""
    tensor = context.tensor(a, context.dtype)
    axes = _axes(tensor, axis)
    keep = _flag(keepdims)
    freedom = correction if _given(correction) else ddof
    count = _count(context, tensor, axes, where, keep=True)
    if _given(mean):
        middle = context.tensor(mean, context.dtype)
    else:
        middle = _masked(context, tensor, where, 0.0).sum(axes, keepdim=True) / count
    squares = _masked(context, (tensor - middle) ** 2, where, 0.0)
    if not isinstance(count, int) and not keep:
        count = count.reshape(context.value.shape)
    return squares.sum(axes, keepdim=keep) / (count - freedom)


@functools.wraps(variance)
def deviation(context: Context, *args: Any, **kwargs: Any) -> Any:
    """Standard deviation over axes; where all elements are alike, its derivative is 0."""
    torch = context.torch
    squared = variance(context, *args, **kwargs)
    none = squared == 0
    return torch.where(none, squared, torch.where(none, 1.0, squared).sqrt())


def product(
    context: Context, a: Any, axis: Any = None, dtype: Any = None, out: Any = None,
    keepdims: Any = False, initial: Any = None, where: Any = True,
) -> Any:  # fmt: skip
    """Product over axes."""
    tensor = _masked(context, context.tensor(a, context.dtype), where, 1.0)
    for one in sorted(_axes(tensor, axis), reverse=True):
        tensor = tensor.prod(one, keepdim=_flag(keepdims))
    return tensor * initial if _given(initial) else tensor


def _extreme_weights(context: Context, flat: Any, extreme: Any) -> Any:
    """Return the weights of the elements of each row (last axis) in its extreme value."""
    hit = flat == extreme.unsqueeze(-1)
    first = (hit & (hit.cumsum(-1) == 1)).to(flat.dtype)
    number = hit.sum(-1, keepdim=True)
    choices = {}
    if bool((number > 1).any()):
        turned = hit.flip(-1)
        last = (turned & (turned.cumsum(-1) == 1)).flip(-1).to(flat.dtype)
        choices = {"low": first, "high": last, "half": hit.to(flat.dtype) / number.clamp(min=1)}
    return context.weight(first, choices)


def extreme(
    context: Context, a: Any, axis: Any = None, out: Any = None, keepdims: Any = False,
    initial: Any = None, where: Any = True,
) -> Any:  # fmt: skip
    """Maximum or minimum over axes; among equals the derivative goes to the first by itself."""
    tensor = context.tensor(a, context.dtype)
    axes = _axes(tensor, axis)
    rest = [axis for axis in range(tensor.ndim) if axis not in axes]
    moved = _masked(context, tensor, where, float("nan")).permute([*rest, *axes])
    shape = [tensor.shape[axis] for axis in rest]
    flat = moved.reshape([*shape, -1])
    found = context.tensor(context.value).reshape(shape)
    weights = _extreme_weights(context, flat.detach(), found)
    context.checked = False
    # an element that does not win may be infinite, and infinity times 0 is nan
    chosen = context.torch.where(flat.isfinite(), flat, 0.0) * weights
    return chosen.sum(-1).reshape(context.value.shape)


def _spread(context: Context, a: Any, axis: Any = None, out: Any = None,
            keepdims: Any = False) -> Any:  # fmt: skip
    tensor = context.tensor(a, context.dtype)
    axes = _axes(tensor, axis)
    keep = _flag(keepdims)
    return tensor.amax(axes, keepdim=keep) - tensor.amin(axes, keepdim=keep)


def _flat_without_axis(tensor: Any, axis: Any) -> tuple[Any, int]:
    return (tensor.flatten(), 0) if axis is None else (tensor, axis)


def running_total(
    context: Context, a: Any, axis: Any = None, dtype: Any = None, out: Any = None
) -> Any:
    """Running sum along an axis, or over all elements."""
    tensor, axis = _flat_without_axis(context.tensor(a, context.dtype), axis)
    return tensor.cumsum(axis)


def running_product(
    context: Context, a: Any, axis: Any = None, dtype: Any = None, out: Any = None
) -> Any:
    """Running product along an axis, or over all elements."""
    tensor, axis = _flat_without_axis(context.tensor(a, context.dtype), axis)
    return tensor.cumprod(axis)


def differences(
    context: Context, a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None
) -> Any:
    """Differences of neighbours along an axis."""
    tensor = context.tensor(a, context.dtype)
    ends: list[Any] = []
    for end in (prepend, append):
        if not _given(end):
            ends.append(None)
            continue
        piece = context.tensor(end, context.dtype)
        if piece.ndim == 0:
            shape = list(tensor.shape)
            shape[axis] = 1
            piece = piece.expand(shape)
        ends.append(piece)
    return context.torch.diff(tensor, n, axis, ends[0], ends[1])


def sort(context: Context, a: Any, axis: Any = -1, kind: Any = None, order: Any = None,
         *, stable: Any = None) -> Any:  # fmt: skip
    """Sorted copy; the derivative follows the elements to their places."""
    tensor, axis = _flat_without_axis(context.tensor(a, context.dtype), axis)
    places = context.torch.argsort(tensor.detach(), dim=axis, stable=True)
    return tensor.gather(axis, places)


def _quantile_positions(
    context: Context, tensor: Any, share: Any, axis: Any, method: str, keepdims: Any
) -> Any:
    if method not in ("linear", "lower", "higher", "nearest", "midpoint"):
        raise UnsupportedError(f"method {method!r} is not covered")
    if isinstance(axis, tuple | list):
        raise UnsupportedError("several axes are not covered")
    return context.torch.quantile(
        tensor, context.tensor(share, tensor.dtype), axis, _flag(keepdims), interpolation=method
    )


def quantile(
    context: Context, a: Any, q: Any, axis: Any = None, out: Any = None,
    overwrite_input: Any = None, method: str = "linear", keepdims: Any = False, **_: Any,
) -> Any:  # fmt: skip
    """Quantile along an axis."""
    tensor = context.tensor(a, context.dtype)
    return _quantile_positions(context, tensor, q, axis, method, keepdims)


def percentile(
    context: Context, a: Any, q: Any, axis: Any = None, out: Any = None,
    overwrite_input: Any = None, method: str = "linear", keepdims: Any = False, **_: Any,
) -> Any:  # fmt: skip
    """Percentile along an axis."""
    share = context.tensor(q, context.dtype) / 100
    return quantile(context, a, share, axis, method=method, keepdims=keepdims)


def median(
    context: Context, a: Any, axis: Any = None, out: Any = None, overwrite_input: Any = None,
    keepdims: Any = False,
) -> Any:  # fmt: skip
    """Median along an axis."""
    return quantile(context, a, 0.5, axis, keepdims=keepdims)


def trapezoid(context: Context, y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """Integral by the trapezoidal rule."""
    heights = context.tensor(y, context.dtype).movedim(axis, -1)
    widths = context.tensor(dx, context.dtype)
    if x is not None:
        points = context.tensor(x, context.dtype)
        widths = points.diff() if points.ndim == 1 else points.movedim(axis, -1).diff()
    return (widths * (heights[..., 1:] + heights[..., :-1]) / 2).sum(-1)


FUNCTIONS: dict[Any, Rule] = {
    np.sum: total,
    np.mean: mean,
    np.average: average,
    np.var: variance,
    np.std: deviation,
    np.prod: product,
    np.max: extreme,
    np.min: extreme,
    np.amax: extreme,
    np.amin: extreme,
    np.ptp: _spread,
    np.cumsum: running_total,
    np.cumprod: running_product,
    np.diff: differences,
    np.sort: sort,
    np.median: median,
    np.quantile: quantile,
    np.percentile: percentile,
    getattr(np, "trapezoid", None) or getattr(np, "trapz"): trapezoid,  # noqa: B009  (NumPy 1)
}


def _without_nan(rule: Rule, other: float | None) -> Rule:
    """Return the rule of ``nansum`` and its like from the rule of ``sum``."""

    @functools.wraps(rule)
    def wrapped(context: Context, a: Any, *args: Any, **kwargs: Any) -> Any:
        tensor = context.tensor(a, context.dtype)
        if other is not None:
            return rule(context, context.torch.where(tensor.isnan(), other, tensor), *args,
                        **kwargs)  # fmt: skip
        present = ~tensor.isnan().numpy()
        filled = context.torch.where(tensor.isnan(), 0.0, tensor)
        return rule(context, filled, *args, where=present, **kwargs)

    return wrapped


FUNCTIONS |= {
    np.nansum: _without_nan(total, 0.0),
    np.nanprod: _without_nan(product, 1.0),
    np.nanmean: _without_nan(mean, None),
    np.nanvar: _without_nan(variance, None),
    np.nanstd: _without_nan(deviation, None),
    np.nanmax: _without_nan(extreme, float("-inf")),
    np.nanmin: _without_nan(extreme, float("inf")),
}

REDUCE: dict[Any, Rule] = {
    np.add: total,
    np.multiply: product,
    np.maximum: extreme,
    np.minimum: extreme,
}
"""``ufunc.reduce``: the same rules, with the first axis by default."""

ACCUMULATE: dict[Any, Rule] = {np.add: running_total, np.multiply: running_product}
