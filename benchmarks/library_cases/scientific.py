"""SciPy's and NumPy's test functions, interpolants, polynomials and distributions."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.library_cases.contract import (
    LibraryCase,
    Objective,
    elementwise,
    generator,
    weights,
)

_INSIDE = (0.41, 0.77, 1.23, 1.94, 2.71)


def _rosen() -> Objective:
    from scipy.optimize import rosen, rosen_der

    return Objective(rosen, rosen_der, np.array([-1.2, 1.0, 0.7, -0.4, 1.9]))


def _rosen_hessian_product() -> Objective:
    from scipy.optimize import rosen_der, rosen_hess_prod

    point = np.array([-1.2, 1.0, 0.7, -0.4, 1.9])
    v = weights(point.size)
    return Objective(lambda x: rosen_der(x) @ v, lambda x: rosen_hess_prod(x, v), point)


def _rosen_hessian() -> Objective:
    from scipy.optimize import rosen_der, rosen_hess

    point = np.array([0.3, -0.8, 1.4, 1.1])
    v = weights(point.size)
    return Objective(lambda x: rosen_der(x) @ v, lambda x: rosen_hess(x) @ v, point)


def _robust_loss(name: str, derivative: int) -> Objective:
    """Return a loss of ``least_squares``, which fills a table of value and two derivatives."""
    from scipy.optimize._lsq.least_squares import IMPLEMENTED_LOSSES

    def row(number: int, z: np.ndarray) -> np.ndarray:
        table = np.empty((3, z.size))
        IMPLEMENTED_LOSSES[name](z, table, False)
        return table[number]

    return elementwise(
        partial(row, derivative - 1), partial(row, derivative), [0.02, 0.4, 0.97, 1.2, 3.0, 40.0]
    )


def _matrix_exponential() -> Objective:
    from scipy.linalg import expm, expm_frechet

    A, cotangent = generator().normal(size=(2, 4, 4)) / 2

    def gradient(a: np.ndarray) -> np.ndarray:
        return np.asarray(expm_frechet(a.T, cotangent, compute_expm=False))

    return Objective(lambda a: np.sum(cotangent * expm(a)), gradient, A)


def _interpolant(name: str) -> Objective:
    x = np.linspace(0, 3, 9) + 0.1 * np.sin(np.arange(9))
    curve = getattr(import_module("scipy.interpolate"), name)(x, generator().normal(size=9))
    return elementwise(curve, curve.derivative(), _INSIDE)


def _interpolating_polynomial(name: str) -> Objective:
    curve = getattr(import_module("scipy.interpolate"), name)(
        [0.0, 0.4, 1.1, 1.7, 2.5], [0.3, -1.0, 0.8, 1.9, 0.2]
    )
    return elementwise(curve, lambda z: curve.derivative(z, 1), [0.21, 0.77, 1.43, 2.1])


def _spline() -> Objective:
    from scipy.interpolate import make_interp_spline

    curve = make_interp_spline(np.linspace(0, 3, 9), generator().normal(size=9), k=4)
    return elementwise(curve, curve.derivative(), _INSIDE)


def _smoothing_spline() -> Objective:
    from scipy.interpolate import UnivariateSpline

    curve = UnivariateSpline(np.linspace(0, 3, 12), generator().normal(size=12), s=0.5)
    return elementwise(curve, curve.derivative(), _INSIDE)


def _surface() -> Objective:
    from scipy.interpolate import RectBivariateSpline

    values = generator().normal(size=(7, 8))
    surface = RectBivariateSpline(np.arange(7.0), np.arange(8.0), values)
    w = weights(4)
    point = np.array([[0.4, 5.1], [2.7, 3.3], [4.2, 6.6], [5.6, 1.9]])

    def gradient(p: np.ndarray) -> np.ndarray:
        x, y = p.T
        return np.stack([w * surface.ev(x, y, dx=1), w * surface.ev(x, y, dy=1)], axis=1)

    return Objective(lambda p: w @ surface.ev(p[:, 0], p[:, 1]), gradient, point)


_PREFIXES = {
    "polynomial": "poly",
    "chebyshev": "cheb",
    "legendre": "leg",
    "laguerre": "lag",
    "hermite": "herm",
    "hermite_e": "herme",
}


def _polynomial(basis: str) -> Objective:
    module = import_module(f"numpy.polynomial.{basis}")
    prefix = _PREFIXES[basis]
    evaluate, derive = getattr(module, f"{prefix}val"), getattr(module, f"{prefix}der")
    coefficients = np.array([0.4, -1.1, 0.8, 0.3, -0.2])
    return elementwise(
        lambda z: evaluate(z, coefficients),
        lambda z: evaluate(z, derive(coefficients)),
        [-0.85, -0.4, -0.05, 0.3, 0.62, 0.91],
    )


_DISTRIBUTIONS: dict[str, tuple[float, ...]] = {
    "norm": (),
    "logistic": (),
    "gamma": (2.3,),
    "beta": (2.1, 3.2),
    "t": (4.5,),
    "f": (5.0, 7.0),
    "weibull_min": (1.7,),
    "gumbel_r": (),
    "genextreme": (0.2,),
    "lognorm": (0.6,),
    "pareto": (2.2,),
    "cauchy": (),
    "invgauss": (0.8,),
    "skewnorm": (1.5,),
    "vonmises": (1.4,),
    "nakagami": (1.6,),
    "triang": (0.4,),
    "rice": (0.9,),
    "burr12": (2.0, 1.5),
    "exponnorm": (1.2,),
}


def _distribution(name: str) -> Objective:
    """Return a distribution function and its density, which the library writes apart."""
    frozen = getattr(import_module("scipy.stats"), name)(*_DISTRIBUTIONS[name])
    points = frozen.ppf([0.08, 0.27, 0.52, 0.71, 0.9])
    return elementwise(frozen.cdf, frozen.pdf, points)


def _case(name: str, make: Any, *arguments: Any) -> LibraryCase:
    return LibraryCase(name, partial(make, *arguments))


CASES = (
    _case("scipy.optimize.rosen_der", _rosen),
    _case("scipy.optimize.rosen_hess", _rosen_hessian),
    _case("scipy.optimize.rosen_hess_prod", _rosen_hessian_product),
    *(
        _case(f"scipy.optimize.least_squares {name}, derivative {n}", _robust_loss, name, n)
        for name in ("huber", "soft_l1", "cauchy", "arctan")
        for n in (1, 2)
    ),
    _case("scipy.linalg.expm_frechet", _matrix_exponential),
    *(
        _case(f"scipy.interpolate.{name}", _interpolant, name)
        for name in ("CubicSpline", "PchipInterpolator", "Akima1DInterpolator")
    ),
    *(
        _case(f"scipy.interpolate.{name}", _interpolating_polynomial, name)
        for name in ("KroghInterpolator", "BarycentricInterpolator")
    ),
    _case("scipy.interpolate.make_interp_spline", _spline),
    _case("scipy.interpolate.UnivariateSpline", _smoothing_spline),
    _case("scipy.interpolate.RectBivariateSpline", _surface),
    *(_case(f"numpy.polynomial.{basis}", _polynomial, basis) for basis in _PREFIXES),
    *(_case(f"scipy.stats.{name}", _distribution, name) for name in _DISTRIBUTIONS),
)
