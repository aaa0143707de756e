"""Sums of one scalar function over an array: oscillating, steep, ill-conditioned, near a pole.

The truth is the derivative of the exact function by mpmath at sixty digits, at the floating-point
values that the target is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import special

from benchmarks.cases.changes import family
from benchmarks.cases.contract import PowerCase, Target, Truth

DIGITS = 60


def by_mpmath(function: Callable[..., Any]) -> Callable[[dict[str, Any]], Truth]:
    """Return the truth of ``sum(c * f(x))`` in ``x`` by mpmath, ``f`` given in mpmath's terms."""

    def truth(inputs: dict[str, Any]) -> Truth:
        import mpmath

        with mpmath.workdps(DIGITS):
            x, c = inputs["x"], inputs["c"]
            slopes = [
                float(mpmath.mpf(float(k)) * mpmath.diff(lambda t: function(mpmath, t), float(v)))
                for k, v in zip(c.ravel(), x.ravel(), strict=True)
            ]
            loss = mpmath.fsum(
                mpmath.mpf(float(k)) * function(mpmath, mpmath.mpf(float(v)))
                for k, v in zip(c.ravel(), x.ravel(), strict=True)
            )
        exact = np.array(slopes).reshape(x.shape)
        return Truth({"x": (exact, exact)}, float(loss))

    return truth


def weighted(function: Callable[..., Any], slope: Callable[..., Any]) -> Callable[[str], Target]:
    """Return the maker of ``sum(c * f(x))``."""

    def make(_bug: str = "") -> Target:
        def target(x: Any, c: Any) -> tuple[Any, dict[str, Any]]:
            return np.sum(c * function(x)), {"x": c * slope(x)}

        return target

    return make


def at(*values: float) -> Callable[[], dict[str, Any]]:
    """Return a factory of the given points with weights near 1."""

    def inputs() -> dict[str, Any]:
        x = np.array(values)
        return {"x": x, "c": 1.0 + 0.25 * np.cos(np.arange(x.size) + 1.0)}

    return inputs


FUNCTIONS: dict[str, tuple[Any, Any, Any, tuple[float, ...]]] = {
    "sine_1e6": (
        lambda x: np.sin(1e6 * x),
        lambda x: 1e6 * np.cos(1e6 * x),
        lambda m, t: m.sin(10**6 * t),
        (0.3, 0.7000001, 1.1),
    ),
    "sine_1e3": (
        lambda x: np.sin(1e3 * x),
        lambda x: 1e3 * np.cos(1e3 * x),
        lambda m, t: m.sin(10**3 * t),
        (0.3, -0.7, 1.9, 12.0),
    ),
    "exp_50": (
        lambda x: np.exp(50 * x),
        lambda x: 50 * np.exp(50 * x),
        lambda m, t: m.exp(50 * t),
        (0.5, 0.55, 0.47),
    ),
    "power_20": (
        lambda x: x**20,
        lambda x: 20 * x**19,
        lambda _m, t: t**20,
        (1.3, 1.1, -1.2, 1.25),
    ),
    "pole_1e-2": (
        lambda x: 1 / (x - 1),
        lambda x: -1 / (x - 1) ** 2,
        lambda _m, t: 1 / (t - 1),
        (1.01, 0.992, 1.013),
    ),
    "pole_1e-4": (
        lambda x: 1 / (x - 1),
        lambda x: -1 / (x - 1) ** 2,
        lambda _m, t: 1 / (t - 1),
        (1.0001, 0.99992),
    ),
    "pole_1e-6": (
        lambda x: 1 / (x - 1),
        lambda x: -1 / (x - 1) ** 2,
        lambda _m, t: 1 / (t - 1),
        (1.000001, 0.9999985),
    ),
    "runge": (
        lambda x: 1 / (1 + 25 * x * x),
        lambda x: -50 * x / (1 + 25 * x * x) ** 2,
        lambda _m, t: 1 / (1 + 25 * t * t),
        (0.1, -0.2, 0.9, 0.15),
    ),
    "log_at_1e-8": (
        np.log,
        lambda x: 1 / x,
        lambda m, t: m.log(t),
        (1e-8, 3e-8, 2e-8),
    ),
    "log_near_0_beside_1": (
        np.log,
        lambda x: 1 / x,
        lambda m, t: m.log(t),
        (1e-6, 1.0, 2.0),
    ),
    "sqrt_at_1e-10": (
        np.sqrt,
        lambda x: 0.5 / np.sqrt(x),
        lambda m, t: m.sqrt(t),
        (1e-10, 4e-10, 2e-10),
    ),
    "sqrt_near_0_beside_1": (
        np.sqrt,
        lambda x: 0.5 / np.sqrt(x),
        lambda m, t: m.sqrt(t),
        (1e-8, 1.0, 3.0),
    ),
    "entropy": (
        lambda x: x * np.log(x),
        lambda x: np.log(x) + 1,
        lambda m, t: t * m.log(t),
        (1e-5, 0.2, 0.7),
    ),
    "arcsine_near_1": (
        np.arcsin,
        lambda x: 1 / np.sqrt((1 - x) * (1 + x)),
        lambda m, t: m.asin(t),
        (0.999999, -0.99999, 0.5),
    ),
    "arctanh_near_1": (
        np.arctanh,
        lambda x: 1 / ((1 - x) * (1 + x)),
        lambda m, t: m.atanh(t),
        (0.9999, -0.999, 0.5),
    ),
    "steep_tanh": (
        lambda x: np.tanh(1000 * x),
        lambda x: 1000 / np.cosh(1000 * x) ** 2,
        lambda m, t: m.tanh(1000 * t),
        (0.0003, -0.0011, 0.0007),
    ),
    "x_sin_1_over_x": (
        lambda x: x * np.sin(1 / x),
        lambda x: np.sin(1 / x) - np.cos(1 / x) / x,
        lambda m, t: t * m.sin(1 / t),
        (0.011, 0.02, -0.013),
    ),
    "narrow_bump": (
        lambda x: np.exp(-(((x - 1) / 1e-3) ** 2)),
        lambda x: -2e6 * (x - 1) * np.exp(-(((x - 1) / 1e-3) ** 2)),
        lambda m, t: m.exp(-(((t - 1) * 1000) ** 2)),
        (1.0005, 0.9992, 1.0012),
    ),
    "gamma_function": (
        special.gamma,
        lambda x: special.gamma(x) * special.digamma(x),
        lambda m, t: m.gamma(t),
        (0.3, 4.5, -0.6),
    ),
    "error_function": (
        special.erf,
        lambda x: 2 / np.sqrt(np.pi) * np.exp(-x * x),
        lambda m, t: m.erf(t),
        (0.1, -1.2, 2.0),
    ),
    "bessel": (
        special.j0,
        lambda x: -special.j1(x),
        lambda m, t: m.besselj(0, t),
        (1.0, 7.0, 20.0),
    ),
    "softplus_far": (
        lambda x: np.logaddexp(0, x),
        special.expit,
        lambda m, t: m.log(1 + m.exp(t)),
        (-30.0, 30.0, 2.0, -5.0),
    ),
    "gaussian_tail": (
        lambda x: -special.log_ndtr(x),
        lambda x: -np.exp(-0.5 * x * x - 0.5 * np.log(2 * np.pi) - special.log_ndtr(x)),
        lambda m, t: -m.log(m.ncdf(t)),
        (-9.0, -3.0, 1.0),
    ),
    "cubic_root": (
        np.cbrt,
        lambda x: 1 / (3 * np.cbrt(x) ** 2),
        lambda m, t: m.sign(t) * m.cbrt(abs(t)),
        (0.001, 0.8, -0.02),
    ),
    "chirp": (
        lambda x: np.cos(x**4),
        lambda x: -4 * x**3 * np.sin(x**4),
        lambda m, t: m.cos(t**4),
        (3.0, 5.0, 4.2),
    ),
    "iterated_logistic_map": (
        lambda x: _logistic_map(x)[0],
        lambda x: _logistic_map(x)[1],
        lambda _m, t: _logistic_map_exact(t),
        (0.2, 0.37, 0.61),
    ),
}


def _logistic_map(x: Any) -> tuple[Any, Any]:
    """Ten steps of the chaotic map ``x <- 3.9 x (1 - x)``, with the derivative carried along."""
    slope = np.ones_like(x)
    for _ in range(10):
        slope = slope * 3.9 * (1 - 2 * x)
        x = 3.9 * x * (1 - x)
    return x, slope


def _logistic_map_exact(t: Any) -> Any:
    import mpmath

    rate = mpmath.mpf(3.9)
    for _ in range(10):
        t = rate * t * (1 - t)
    return t


TOLERATED = {"sine_1e6": 2e-3, "iterated_logistic_map": 1e-8}
"""Absolute errors of the right float64 formulas that their conditioning makes unavoidable."""

SETS = (
    {"sign": "x", "median_entry_1e-3": "x"},
    {"factor_1.0001": "x", "swapped_entries": "x"},
    {"largest_entry_1e-3": "x", "factor_2": "x"},
    {"median_entry_2e-4": "x", "zero": "x"},
    {"small_entry_1e-3": "x", "speckled_3e-4": "x"},
)


def cases() -> Iterator[PowerCase]:
    """Yield the hard scalar functions."""
    for k, (name, (function, slope, exact, points)) in enumerate(FUNCTIONS.items()):
        yield from family(
            name,
            "hard functions",
            weighted(function, slope),
            at(*points),
            wrt=("x",),
            truth=by_mpmath(exact),
            changes=SETS[k % len(SETS)],
            floor=TOLERATED.get(name, 0.0),
        )
