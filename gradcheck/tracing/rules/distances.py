"""Distances between points, from ``scipy.spatial.distance``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck.tracing.errors import UnsupportedError
from gradcheck.tracing.operation import Context, Rule


def _root(torch: Any, squares: Any) -> Any:
    """Return the square root; its derivative is 0 where a point meets itself."""
    apart = squares > 0
    return torch.where(apart, torch.where(apart, squares, 1.0).sqrt(), squares * 0.0)


def _cosine(torch: Any, x: Any, y: Any) -> Any:
    product = (x * y).sum(-1)
    return 1.0 - product / ((x * x).sum(-1) * (y * y).sum(-1)).sqrt()


def _correlation(torch: Any, x: Any, y: Any) -> Any:
    return _cosine(torch, x - x.mean(-1, keepdim=True), y - y.mean(-1, keepdim=True))


_METRICS: dict[str, Callable[..., Any]] = {
    "euclidean": lambda torch, x, y: _root(torch, (x - y).square().sum(-1)),
    "sqeuclidean": lambda torch, x, y: (x - y).square().sum(-1),
    "cityblock": lambda torch, x, y: (x - y).abs().sum(-1),
    "chebyshev": lambda torch, x, y: (x - y).abs().amax(-1),
    "canberra": lambda torch, x, y: ((x - y).abs() / (x.abs() + y.abs())).sum(-1),
    "braycurtis": lambda torch, x, y: (x - y).abs().sum(-1) / (x + y).abs().sum(-1),
    "cosine": _cosine,
    "correlation": _correlation,
}


def _between(context: Context, first: Any, second: Any, metric: Any, settings: Any) -> Any:
    """Return the distances of points whose coordinates are along the last axis."""
    if metric == "minkowski":
        p = float(settings.get("p", 2))
        if set(settings) - {"p"} or p <= 1:
            raise UnsupportedError("w= and p= of 1 or less are not covered")
        sizes = (first - second).abs()
        total = sizes.pow(p).sum(-1)
        apart = total > 0
        return context.torch.where(
            apart, context.torch.where(apart, total, 1.0).pow(1 / p), total * 0.0
        )
    rule = _METRICS.get(metric) if isinstance(metric, str) else None
    if rule is None or settings:
        raise UnsupportedError(f"metric={metric!r} with {sorted(settings)} is not covered")
    return rule(context.torch, first, second)


def _cdist(
    context: Context, XA: Any, XB: Any, metric: Any = "euclidean", *, out: Any = None, **kw: Any
) -> Any:
    first, second = (context.tensor(points, context.dtype) for points in (XA, XB))
    return _between(context, first[:, None], second[None], metric, kw)


def _pdist(
    context: Context, X: Any, metric: Any = "euclidean", *, out: Any = None, **kw: Any
) -> Any:
    points = context.tensor(X, context.dtype)
    rows, columns = (context.torch.from_numpy(i) for i in np.triu_indices(points.shape[0], 1))
    return _between(context, points[rows], points[columns], metric, kw)


def _squareform(context: Context, X: Any, force: Any = None, checks: Any = None) -> Any:
    tensor = context.tensor(X, context.dtype)
    n = context.value.shape[0] if tensor.ndim == 1 else tensor.shape[0]
    rows, columns = (context.torch.from_numpy(i) for i in np.triu_indices(n, 1))
    if tensor.ndim == 2:
        return tensor[rows, columns]
    square = context.torch.zeros((n, n), dtype=tensor.dtype)
    square = square.index_put((rows, columns), tensor)
    return square + square.mT


def scipy_rules() -> dict[Any, Rule]:
    """Return the rules of ``scipy.spatial.distance``; imports it."""
    from scipy.spatial import distance

    return {distance.cdist: _cdist, distance.pdist: _pdist, distance.squareform: _squareform}
