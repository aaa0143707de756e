"""Derivatives of special functions, as SciPy computes them by formulas of their own."""

from __future__ import annotations

from functools import partial
from importlib import import_module

import numpy as np

from benchmarks.library_cases.contract import LibraryCase, Objective, elementwise

_POSITIVE = np.array([0.3, 0.9, 1.7, 2.6, 4.1, 7.3])
_UNIT = np.array([-0.85, -0.4, -0.05, 0.3, 0.62, 0.91])


def _bessel(value: str, derivative: str, order: float, times: int) -> Objective:
    """Return derivative number ``times`` of a Bessel function as the derivative of the last."""
    special = import_module("scipy.special")
    derived = getattr(special, derivative)
    if times > 1:
        lower = partial(derived, order, n=times - 1)
    else:
        lower = partial(getattr(special, value), order)
    return elementwise(lower, partial(derived, order, n=times), _POSITIVE)


def _spherical(name: str) -> Objective:
    function = getattr(import_module("scipy.special"), name)
    return elementwise(
        lambda z: function(3, z), lambda z: function(3, z, derivative=True), _POSITIVE
    )


def _airy(value: int) -> Objective:
    from scipy.special import airy

    points = [-4.2, -1.3, -0.2, 0.6, 1.9]
    return elementwise(lambda z: airy(z)[value], lambda z: airy(z)[value + 1], points)


def _airy_integral(value: int) -> Objective:
    from scipy.special import airy, itairy

    points = [0.2, 0.9, 1.8, 3.1]
    return elementwise(lambda z: itairy(z)[value], lambda z: airy(z)[2 * value], points)


def _airy_integral_repaired(value: int) -> Objective:
    """Return the integral by quadrature in 30 digits."""
    shipped = _airy_integral(value)

    def integrals(z: np.ndarray) -> np.ndarray:
        import mpmath

        function = mpmath.airybi if value else mpmath.airyai
        with mpmath.workdps(30):
            return np.array([float(mpmath.quad(function, [0, mpmath.mpf(x)])) for x in z.tolist()])

    from scipy.special import airy

    return elementwise(integrals, lambda z: airy(z)[2 * value], shipped.point)


def _polygamma(order: int) -> Objective:
    from scipy.special import gammaln, polygamma

    lower = partial(polygamma, order - 1) if order else gammaln
    return elementwise(lower, partial(polygamma, order), _POSITIVE)


def _kelvin(value: str) -> Objective:
    special = import_module("scipy.special")
    return elementwise(getattr(special, value), getattr(special, f"{value}p"), _POSITIVE)


def _cylinder(name: str, *points: float) -> Objective:
    function = getattr(import_module("scipy.special"), name)
    return elementwise(lambda z: function(1.5, z)[0], lambda z: function(1.5, z)[1], points)


def _mathieu(name: str) -> Objective:
    """Return a Mathieu function of an angle in degrees; the library derives by radians."""
    function = getattr(import_module("scipy.special"), name)
    degrees = np.array([11.0, 37.0, 52.0, 81.0, 124.0])
    return elementwise(
        lambda z: function(3, 0.7, z)[0],
        lambda z: function(3, 0.7, z)[1] * np.pi / 180,
        degrees,
    )


def _spheroidal(name: str, *points: float) -> Objective:
    function = getattr(import_module("scipy.special"), name)
    return elementwise(
        lambda z: function(1, 3, 0.8, z)[0], lambda z: function(1, 3, 0.8, z)[1], points
    )


def _legendre(name: str, *orders: int) -> Objective:
    function = getattr(import_module("scipy.special"), name)

    def derivative(number: int, z: np.ndarray) -> np.ndarray:
        return np.asarray(function(*orders, z, diff_n=1)[number])

    points = np.arccos(_UNIT) if name == "sph_legendre_p" else _UNIT
    return elementwise(partial(derivative, 0), partial(derivative, 1), points)


def _case(name: str, make: object, *arguments: object) -> LibraryCase:
    return LibraryCase(f"scipy.special.{name}", partial(make, *arguments))  # type: ignore[operator]


CASES = (
    _case("jvp", _bessel, "jv", "jvp", 2.3, 1),
    _case("yvp", _bessel, "yv", "yvp", 1.4, 1),
    _case("ivp", _bessel, "iv", "ivp", 0.6, 1),
    _case("kvp", _bessel, "kv", "kvp", 1.8, 1),
    _case("jvp (second derivative)", _bessel, "jv", "jvp", 2.3, 2),
    _case("kvp (third derivative)", _bessel, "kv", "kvp", 0.7, 3),
    *(_case(f"spherical_{kind}n", _spherical, f"spherical_{kind}n") for kind in "jyik"),
    _case("airy Ai'", _airy, 0),
    _case("airy Bi'", _airy, 2),
    *(
        LibraryCase(
            f"scipy.special.itairy {name}",
            partial(_airy_integral, value),
            "the integral is a series cut off at a relative 1e-5, so that what it returns is not "
            "the integral of the Airy function to more digits than that",
            partial(_airy_integral_repaired, value),
        )
        for value, name in enumerate(("Ai", "Bi"))
    ),
    *(_case(f"polygamma({order})", _polygamma, order) for order in range(4)),
    *(_case(f"{name}p", _kelvin, name) for name in ("ber", "bei", "ker", "kei")),
    _case("pbdv", _cylinder, "pbdv", -1.1, -0.3, 0.4, 1.2, 2.2),
    _case("pbvv", _cylinder, "pbvv", 0.4, 0.9, 1.2, 2.2),
    _case("mathieu_cem", _mathieu, "mathieu_cem"),
    _case("mathieu_sem", _mathieu, "mathieu_sem"),
    _case("pro_ang1", _spheroidal, "pro_ang1", 0.15, 0.4, 0.75),
    _case("pro_rad1", _spheroidal, "pro_rad1", 1.2, 1.6, 2.3),
    _case("obl_ang1", _spheroidal, "obl_ang1", 0.15, 0.4, 0.75),
    _case("obl_rad1", _spheroidal, "obl_rad1", 0.2, 0.9, 1.6),
    _case("legendre_p", _legendre, "legendre_p", 4),
    _case("assoc_legendre_p", _legendre, "assoc_legendre_p", 4, 2),
    _case("sph_legendre_p", _legendre, "sph_legendre_p", 4, 2),
)
