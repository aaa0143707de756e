"""Elementwise functions: NumPy's and SciPy's ufuncs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck.tracing.operation import Context, Rule

SAME_NAME = (
    "add subtract multiply negative positive exp exp2 expm1 log log2 log10 log1p sqrt "
    "square reciprocal sin cos tan arcsin arccos arctan arctan2 sinh cosh tanh "
    "arcsinh arccosh arctanh logaddexp logaddexp2 hypot deg2rad rad2deg copysign "
    "float_power"
).split()
"""Ufuncs that torch has under the same name, with the same meaning."""

ZERO_DERIVATIVE = ("sign floor ceil trunc rint floor_divide spacing").split()
"""Piecewise constant ufuncs: their results count as constants."""


def elementwise(function: Callable[..., Any]) -> Rule:
    """Return the rule that converts all operands to the dtype of the result first."""

    def rule(context: Context, *operands: Any) -> Any:
        dtype = context.dtype
        return function(context, *[context.tensor(operand, dtype) for operand in operands])

    return rule


def _same(name: str) -> Rule:
    return elementwise(lambda context, *operands: getattr(context.torch, name)(*operands))


def _divide(context: Context, a: Any, b: Any) -> Any:
    return context.torch.div(a, b)


def power(context: Context, base: Any, exponent: Any) -> Any:
    """Return the power; a plain number as exponent has no derivative at base 0 to worry about."""
    if isinstance(exponent, int | float | np.integer | np.floating):
        return context.torch.pow(context.tensor(base, context.dtype), float(exponent))
    return context.torch.pow(
        context.tensor(base, context.dtype), context.tensor(exponent, context.dtype)
    )


def pick(context: Context, a: Any, b: Any, first: Any, tied: Any) -> Any:
    """Return ``a`` where ``first``, else ``b``; at ties the derivative may go either way.

    By itself it goes to the constant operand (a rectifier's derivative at 0 is 0), or half
    to each of two operands that both vary.
    """
    choices: dict[str, Any] = {}
    weight = first.to(a.dtype)
    if bool(tied.any()):
        varying = a.requires_grad and b.requires_grad
        towards_a = context.torch.where(tied, 1.0, weight)
        towards_b = context.torch.where(tied, 0.0, weight)
        half = context.torch.where(tied, 0.5, weight)
        low, high = (towards_b, towards_a) if a.requires_grad else (towards_a, towards_b)
        choices = {"low": low, "high": high, "half": half}
        weight = half if varying else low
    context.checked = False
    # written with one weight, so that both operands' shares change together
    return b + (a - b) * context.weight(weight, choices)


def _maximum(context: Context, a: Any, b: Any) -> Any:
    return pick(context, a, b, (a > b) | a.isnan(), a == b)


def _minimum(context: Context, a: Any, b: Any) -> Any:
    return pick(context, a, b, (a < b) | a.isnan(), a == b)


def _fmax(context: Context, a: Any, b: Any) -> Any:
    return pick(context, a, b, (a > b) | b.isnan(), a == b)


def _fmin(context: Context, a: Any, b: Any) -> Any:
    return pick(context, a, b, (a < b) | b.isnan(), a == b)


def absolute(context: Context, a: Any) -> Any:
    """Return the absolute value; at 0 the derivative is 0 by itself."""
    slope = a.sign()
    tied = a == 0
    choices = {}
    if bool(tied.any()):
        where = context.torch.where
        choices = {"low": where(tied, -1.0, slope), "high": where(tied, 1.0, slope)}
    context.checked = False
    return a * context.weight(slope, choices)


def _cbrt(context: Context, a: Any) -> Any:
    return a.sign() * a.abs().pow(1 / 3)


def _remainder(context: Context, a: Any, b: Any) -> Any:
    return a - b * context.torch.floor(a / b).detach()


def _fmod(context: Context, a: Any, b: Any) -> Any:
    return a - b * context.torch.trunc(a / b).detach()


def _sinc(context: Context, a: Any) -> Any:
    return context.torch.sinc(a)


def _nan_to_num(
    context: Context, x: Any, copy: Any = None, nan: Any = 0.0, posinf: Any = None,
    neginf: Any = None,
) -> Any:  # fmt: skip
    return context.torch.nan_to_num(context.tensor(x), nan, posinf, neginf)


def clip(
    context: Context, a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None,
    max: Any = None, **_: Any,
) -> Any:  # fmt: skip
    """Return ``minimum(maximum(a, a_min), a_max)``; at a bound the derivative may go either way."""
    low = a_min if a_min is not None and a_min is not np._NoValue else min
    high = a_max if a_max is not None and a_max is not np._NoValue else max
    result = context.tensor(a, context.dtype)
    if low is not None and low is not np._NoValue:
        result = _maximum(context, result, context.tensor(low, context.dtype))
    if high is not None and high is not np._NoValue:
        result = _minimum(context, result, context.tensor(high, context.dtype))
    return result


def _heaviside(context: Context, x: Any, middle: Any) -> Any:
    torch = context.torch
    sides = torch.where(x.isnan(), x, (x > 0).to(x.dtype)).detach()
    # the last branch is never taken: it says that the derivative by x is 0
    return torch.where(x == 0, middle, torch.where(torch.ones_like(x, dtype=bool), sides, x))


def _ldexp(context: Context, a: Any, exponent: Any) -> Any:
    return a * context.torch.exp2(exponent)


UFUNCS: dict[Any, Rule] = {getattr(np, name): _same(name) for name in SAME_NAME}
UFUNCS |= {
    np.divide: elementwise(_divide),
    np.power: power,
    np.maximum: elementwise(_maximum),
    np.minimum: elementwise(_minimum),
    np.fmax: elementwise(_fmax),
    np.fmin: elementwise(_fmin),
    np.absolute: elementwise(absolute),
    np.fabs: elementwise(absolute),
    np.cbrt: elementwise(_cbrt),
    np.remainder: elementwise(_remainder),
    np.fmod: elementwise(_fmod),
    np.degrees: elementwise(lambda context, a: a * (180.0 / math.pi)),
    np.radians: elementwise(lambda context, a: a * (math.pi / 180.0)),
    np.conjugate: elementwise(lambda context, a: a.clone()),
    np.ldexp: elementwise(_ldexp),
    np.heaviside: elementwise(_heaviside),
}

CONSTANT_UFUNCS = frozenset(getattr(np, name) for name in ZERO_DERIVATIVE)

FUNCTIONS: dict[Any, Rule] = {
    np.clip: clip,
    np.nan_to_num: _nan_to_num,
    np.sinc: elementwise(_sinc),
}
