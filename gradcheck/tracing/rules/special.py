"""Special functions of SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from gradcheck.tracing.errors import UnsupportedError
from gradcheck.tracing.operation import Context, Rule
from gradcheck.tracing.rules.elementwise import elementwise

_SAME_NAME = {
    "expit": "expit", "logit": "logit", "erf": "erf", "erfc": "erfc", "erfinv": "erfinv",
    "erfcx": "erfcx", "gammaln": "gammaln", "loggamma": "gammaln", "digamma": "digamma",
    "psi": "digamma", "xlogy": "xlogy", "xlog1py": "xlog1py", "ndtr": "ndtr", "ndtri": "ndtri",
    "log_ndtr": "log_ndtr", "log1p": "log1p", "expm1": "expm1", "exp2": "exp2", "i0": "i0",
    "i0e": "i0e", "i1": "i1", "i1e": "i1e",
}  # fmt: skip


def _axes(axis: Any, tensor: Any) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(tensor.ndim))
    return tuple(axis) if isinstance(axis, tuple | list) else (axis,)


def logsumexp(context: Context, a: Any, axis: Any = None, b: Any = None, keepdims: bool = False,
              return_sign: bool = False) -> Any:  # fmt: skip
    """Logarithm of a sum of exponentials."""
    if return_sign:
        raise UnsupportedError("return_sign=True is not covered")
    tensor = context.tensor(a, context.dtype)
    axes = _axes(axis, tensor)
    if b is None:
        return context.torch.logsumexp(tensor, axes, keepdim=keepdims)
    factors = context.tensor(b, context.dtype)
    tensor, factors = context.torch.broadcast_tensors(tensor, factors)
    top = tensor.detach().amax(axes, keepdim=True)
    total = (factors * (tensor - top).exp()).sum(axes, keepdim=True).log() + top
    return total if keepdims else total.reshape(context.value.shape)


def _flat_softmax(context: Context, x: Any, axis: Any, logarithm: bool) -> Any:
    tensor = context.tensor(x, context.dtype)
    axes = _axes(axis, tensor)
    result = tensor - context.torch.logsumexp(tensor, axes, keepdim=True)
    return result if logarithm else result.exp()


def _log_expit(context: Context, x: Any) -> Any:
    return context.torch.nn.functional.logsigmoid(x)


def _entr(context: Context, x: Any) -> Any:
    return context.torch.special.entr(x)


def _rel_entr(context: Context, x: Any, y: Any) -> Any:
    torch = context.torch
    none = x == 0  # there 0 * log(0 / y) has the derivative 0 by y, and an infinite one by x
    return torch.where(none, -torch.special.entr(x), x * (torch.where(none, 1.0, x) / y).log())


def _kl_div(context: Context, x: Any, y: Any) -> Any:
    return _rel_entr(context, x, y) - x + y


def _huber(context: Context, delta: Any, r: Any) -> Any:
    size = r.abs()
    return context.torch.where(size <= delta, r * r / 2, delta * (size - delta / 2))


def _gamma(context: Context, x: Any) -> Any:
    if bool((x <= 0).any()):
        raise UnsupportedError("arguments below 0 are not covered")
    return x.lgamma().exp()


def _betaln(context: Context, a: Any, b: Any) -> Any:
    return a.lgamma() + b.lgamma() - (a + b).lgamma()


def _beta(context: Context, a: Any, b: Any) -> Any:
    return _betaln(context, a, b).exp()


def _softplus(context: Context, x: Any) -> Any:
    return context.torch.logaddexp(x, context.torch.zeros_like(x))


def _cosine_minus_one(context: Context, x: Any) -> Any:
    return -2 * (x / 2).sin() ** 2


def _exprel(context: Context, x: Any) -> Any:
    small = x.abs() < 1e-6
    safe = context.torch.where(small, 1.0, x)
    return context.torch.where(small, 1 + x / 2, safe.expm1() / safe)


def _boxcox(context: Context, x: Any, exponent: Any) -> Any:
    if bool((exponent == 0).any()):
        raise UnsupportedError("exponent 0 is not covered")
    return (x**exponent - 1) / exponent


def _linearised(value: Any, slope: Any, x: Any) -> Any:
    """Return ``value``, with the derivative ``slope`` by ``x`` that torch does not know itself."""
    return value.detach() + slope.detach() * (x - x.detach())


def _bessel_zero(context: Context, x: Any) -> Any:
    special = context.torch.special
    return _linearised(special.bessel_j0(x), -special.bessel_j1(x), x)


def _bessel_one(context: Context, x: Any) -> Any:
    torch = context.torch
    value = torch.special.bessel_j1(x)
    rest = torch.where(x == 0, 0.5, value / torch.where(x == 0, 1.0, x))
    return _linearised(value, torch.special.bessel_j0(x) - rest, x)


def _of_second(name: str) -> Callable[..., Any]:
    """Return a function of two variables whose derivative torch knows by the second alone."""

    def function(context: Context, first: Any, second: Any) -> Any:
        if first.requires_grad:
            raise UnsupportedError("its derivative by the first argument is not known")
        return getattr(context.torch.special, name)(first, second)

    return function


def _zeta(context: Context, x: Any, q: Any = None, out: Any = None) -> Any:
    offset = context.tensor(1.0 if q is None else q, context.dtype)
    return _of_second("zeta")(context, context.tensor(x, context.dtype), offset)


def _same(name: str) -> Rule:
    def function(context: Context, *operands: Any) -> Any:
        special = getattr(context.torch.special, name)
        return special(*operands)

    return elementwise(function)


def scipy_rules() -> tuple[dict[Any, Rule], dict[Any, Rule]]:
    """Return the rules of the ufuncs and of the functions of ``scipy.special``; imports it."""
    from scipy import special

    ufuncs = {getattr(special, name): _same(twin) for name, twin in _SAME_NAME.items()}
    further: dict[str, Callable[..., Any]] = {
        "log_expit": _log_expit, "entr": _entr, "rel_entr": _rel_entr, "kl_div": _kl_div,
        "huber": _huber, "gamma": _gamma, "betaln": _betaln, "beta": _beta, "exprel": _exprel,
        "softplus": _softplus, "cosm1": _cosine_minus_one, "boxcox": _boxcox,
        "j0": _bessel_zero, "j1": _bessel_one,
        "gammainc": _of_second("gammainc"), "gammaincc": _of_second("gammaincc"),
        "cbrt": lambda context, x: x.sign() * x.abs().pow(1 / 3),
        "exp10": lambda context, x: (x * math.log(10)).exp(),
        "radian": lambda context, d, m, s: (d + (m + s / 60) / 60) * (math.pi / 180),
    }  # fmt: skip
    ufuncs |= {
        getattr(special, name): elementwise(function)
        for name, function in further.items()
        if hasattr(special, name)
    }
    functions: dict[Any, Callable[..., Any]] = {
        special.zeta: _zeta,
        special.logsumexp: logsumexp,
        special.softmax: lambda c, x, axis=None: _flat_softmax(c, x, axis, logarithm=False),
        special.log_softmax: lambda c, x, axis=None: _flat_softmax(c, x, axis, logarithm=True),
    }
    return ufuncs, functions
