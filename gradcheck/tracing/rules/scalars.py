"""Numbers: ``math`` and the builtins that compute with floats."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np

from gradcheck.tracing.operation import Context, Rule
from gradcheck.tracing.rules.elementwise import UFUNCS, absolute, elementwise


def _log(context: Context, x: Any, base: Any = None) -> Any:
    result = context.tensor(x, context.dtype).log()
    return result if base is None else result / context.tensor(base, context.dtype).log()


def _as_float(context: Context, x: Any = 0.0) -> Any:
    return context.tensor(x, context.dtype).reshape(np.shape(context.value)).clone()


def _fsum(context: Context, items: Any) -> Any:
    return context.torch.stack([context.tensor(i, context.dtype) for i in items]).sum()


def _fmean(context: Context, data: Any) -> Any:
    return context.torch.stack([context.tensor(i, context.dtype) for i in data]).mean()


def _prod(context: Context, items: Any, *, start: Any = 1) -> Any:
    stacked = context.torch.stack([context.tensor(i, context.dtype) for i in items])
    return stacked.prod() * context.tensor(start, context.dtype)


def _dist(context: Context, p: Any, q: Any) -> Any:
    return context.torch.linalg.vector_norm(context.tensor(p) - context.tensor(q))


def _hypot(context: Context, *sides: Any) -> Any:
    stacked = context.torch.stack([context.tensor(side, context.dtype) for side in sides])
    return context.torch.linalg.vector_norm(stacked)


_UFUNC_TWINS = {
    "exp": np.exp, "expm1": np.expm1, "log1p": np.log1p, "log2": np.log2, "log10": np.log10,
    "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin,
    "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2, "sinh": np.sinh, "cosh": np.cosh,
    "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "pow": np.power, "fabs": np.absolute, "fmod": np.fmod, "degrees": np.degrees,
    "radians": np.radians, "copysign": np.copysign,
}  # fmt: skip

FUNCTIONS: dict[Any, Rule] = {getattr(math, n): UFUNCS[u] for n, u in _UFUNC_TWINS.items()}
FUNCTIONS |= {
    math.log: _log,
    math.fsum: _fsum,
    statistics.fmean: _fmean,
    statistics.mean: _fmean,
    math.prod: _prod,
    math.dist: _dist,
    math.hypot: _hypot,
    math.erf: elementwise(lambda context, x: context.torch.erf(x)),
    math.erfc: elementwise(lambda context, x: context.torch.erfc(x)),
    math.lgamma: elementwise(lambda context, x: context.torch.lgamma(x)),
    math.gamma: elementwise(lambda context, x: context.torch.lgamma(x).exp()),
    float: _as_float,
    np.float64: _as_float,
    np.float32: _as_float,
    np.float16: _as_float,
    abs: elementwise(absolute),
    pow: UFUNCS[np.power],
}
if hasattr(math, "exp2"):
    FUNCTIONS[math.exp2] = UFUNCS[np.exp2]
if hasattr(math, "cbrt"):
    FUNCTIONS[math.cbrt] = UFUNCS[np.cbrt]
