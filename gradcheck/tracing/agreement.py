"""Whether a rule computed in torch what NumPy computed, up to rounding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

_SUMS = frozenset(
    "add subtract sum mean average var std cumsum diff ediff1d trace trapezoid ptp nansum nanmean "
    "add.reduce add.accumulate add.reduceat add.at subtract.at bincount fsum fmean".split()
)
_PRODUCTS = frozenset(
    "matmul dot einsum tensordot inner vdot vecdot convolve correlate cross multi_dot "
    "matrix_power average".split()
)
"""Operations that add up terms, which may cancel: each term is as large as the operands (a sum) or
as their product."""

_ROUNDINGS = 8.0
"""Units in the last place, per term, by which two orders of adding them up may lie apart."""


def close(torch: Any, data: Any, exact: Any, name: str, operands: Sequence[Any]) -> bool:
    """Return whether ``data`` is ``exact`` up to the rounding of operation ``name``.

    Both are tensors of one dtype and shape; ``operands`` are tensors or arrays. What is left where
    large terms cancel is judged by the size of the terms, anything else by its own.
    """
    precision = exact.real.dtype if exact.is_complex() else exact.dtype
    tolerance = {torch.float64: 1e-7, torch.float32: 1e-3, torch.float16: 1e-1}[precision]
    if not exact.numel():
        return True
    apart, largest = float((data - exact).abs().max()), float(exact.abs().max())
    if apart <= tolerance * largest:  # false for nan: then look entry by entry
        return math.isfinite(largest)
    finite = torch.where(torch.isfinite(exact), exact, torch.zeros_like(exact))
    left = _cancelled(name, operands) * float(torch.finfo(precision).eps)
    agree: bool = torch.allclose(
        data,
        exact,
        rtol=tolerance,
        atol=tolerance * float(finite.abs().max()) + left + 1e-300,
        equal_nan=True,
    )
    return agree


def _cancelled(name: str, operands: Sequence[Any]) -> float:
    """Return the size of all terms of a sum together, times the roundings of each; else 0."""
    if name not in _SUMS and name not in _PRODUCTS:
        return 0.0
    arrays = [np.asarray(part.detach() if hasattr(part, "detach") else part) for part in operands]
    sizes = [_largest(array) for array in arrays if array.dtype.kind in "iufc" and array.size]
    if not sizes:
        return 0.0
    term = math.prod(sizes) if name in _PRODUCTS else max(sizes)
    return _ROUNDINGS * term * max(array.size for array in arrays)


def _largest(array: Any) -> float:
    finite = np.abs(array[np.isfinite(array)])
    return float(finite.max()) if finite.size else 0.0
