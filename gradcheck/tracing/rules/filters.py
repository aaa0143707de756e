"""SciPy's filters and transforms: linear in the signal, whatever they compute inside.

What a linear function does to each unit vector is its matrix; the function itself tells.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck.tracing.errors import UnsupportedError
from gradcheck.tracing.operation import Context, Rule

LONGEST = 2048
"""Length of a signal up to which its filter's matrix is made: 32 MiB of float64."""

_ALONG_LAST = {
    "scipy.fft": "dct idct dst idst",
    "scipy.signal": "savgol_filter detrend hilbert sosfilt sosfiltfilt filtfilt resample decimate "
    "resample_poly",
    "scipy.ndimage": "gaussian_filter1d convolve1d correlate1d uniform_filter1d",
}
_SIGNALS = ("x", "input", "data")
_OTHERS = ("zi", "output", "out", "plan")


def _linear(function: Callable[..., Any]) -> Rule:
    """Return the rule of a function that is linear in its signal, along the argument ``axis``."""
    signature = inspect.signature(function)
    signal = next(name for name in _SIGNALS if name in signature.parameters)

    def rule(context: Context, *args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        tensor = context.tensor(given[signal])
        _refuse(context, {k: v for k, v in given.items() if k != signal}, tensor)
        axis = int(given["axis"])
        unit = np.eye(tensor.shape[axis], dtype=str(tensor.dtype)[6:])
        bound.arguments.update({signal: unit, "axis": -1})
        matrix = context.torch.from_numpy(np.array(function(*bound.args, **bound.kwargs)))
        moved = tensor.movedim(axis, -1)
        return (moved.to(matrix.dtype) @ matrix).movedim(-1, axis)

    return rule


def _refuse(context: Context, settings: dict[str, Any], tensor: Any) -> None:
    for name, value in settings.items():
        if isinstance(value, context.torch.Tensor):
            raise UnsupportedError(f"its derivative with respect to {name} is not known")
        if name in _OTHERS and value is not None:
            raise UnsupportedError(f"{name}= is not covered")
    if max(tensor.shape) > LONGEST:
        raise UnsupportedError(f"signals of more than {LONGEST} samples are not covered")


def _lfilter(context: Context, b: Any, a: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """Return ``y`` with ``sum_k a[k] y[n-k] = sum_k b[k] x[n-k]``, as one triangular system."""
    if zi is not None:
        raise UnsupportedError("zi= is not covered")
    signal = context.tensor(x, context.dtype).movedim(axis, 0)
    n = signal.shape[0]
    if n > LONGEST:
        raise UnsupportedError(f"signals of more than {LONGEST} samples are not covered")
    forward, backward = (_banded(context, context.tensor(c, context.dtype), n) for c in (b, a))
    columns = forward @ signal.reshape(n, -1)
    result = context.torch.linalg.solve_triangular(backward, columns, upper=False)
    return result.reshape(signal.shape).movedim(0, axis)


def _banded(context: Context, coefficients: Any, n: int) -> Any:
    """Return the lower triangular matrix that has the coefficients down its diagonals."""
    lag = np.arange(n)[:, None] - np.arange(n)
    kept = (lag >= 0) & (lag < coefficients.numel())
    places = context.torch.from_numpy(np.where(kept, lag, 0))
    mask = context.torch.from_numpy(kept).to(coefficients.dtype)
    return coefficients.flatten()[places] * mask


def _convolution(*, turned: bool, late: bool = False) -> Rule:
    """Return the rule of SciPy's convolution in any number of dimensions, or its correlation.

    The middle part of an odd number of elements too many begins one later with ``late``.
    """

    def rule(context: Context, in1: Any, in2: Any, *more: Any, **settings: Any) -> Any:
        axes = settings.get("axes")
        if axes is not None or any(
            value in ("wrap", "symm") for value in (*more, *settings.values())
        ):
            raise UnsupportedError("axes= and boundary= are not covered")
        first, second = (context.tensor(part, context.dtype) for part in (in1, in2))
        if not 1 <= first.ndim <= 3:
            raise UnsupportedError("signals of more than three dimensions are not covered")
        dimensions = tuple(range(first.ndim))
        kernel = second if turned else second.flip(dimensions)
        convolve = getattr(context.torch.nn.functional, f"conv{first.ndim}d")
        padding = tuple(length - 1 for length in second.shape)
        full = convolve(first[None, None], kernel[None, None], padding=padding)[0, 0]
        wanted = context.value.shape
        starts = [(have - want + late) // 2 for have, want in zip(full.shape, wanted, strict=True)]
        return full[tuple(slice(s, s + want) for s, want in zip(starts, wanted, strict=True))]

    return rule


def scipy_rules(name: str) -> dict[Any, Rule]:
    """Return the rules of one of SciPy's modules; imports it."""
    module = importlib.import_module(name)
    rules = {getattr(module, f): _linear(getattr(module, f)) for f in _ALONG_LAST[name].split()}
    if name == "scipy.signal":
        rules[module.lfilter] = _lfilter
        for function in (module.convolve, module.fftconvolve, module.convolve2d):
            rules[function] = _convolution(turned=False)
        rules[module.correlate] = _convolution(turned=True)
        rules[module.correlate2d] = _convolution(turned=True, late=True)
    return rules


MODULES = tuple(_ALONG_LAST)
