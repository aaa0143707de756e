"""What statsmodels ships: families and links, robust norms, penalties, copulas."""

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
    negated,
    weights,
)

_PROBABILITIES = [0.03, 0.21, 0.48, 0.66, 0.87, 0.98]
_POSITIVE = [0.2, 0.7, 1.3, 2.4, 5.1]
_REAL = [-2.3, -0.9, -0.2, 0.35, 1.4, 2.2]


def _design(rows: int = 25, columns: int = 3) -> tuple[np.ndarray, np.random.Generator]:
    rng = generator(11)
    X = np.column_stack([np.ones(rows), rng.normal(size=(rows, columns - 1))])
    return X, rng


def _family(name: str, link: str | None, **options: Any) -> Objective:
    """Return the negative log-likelihood of a generalised linear model at scale 1."""
    import statsmodels.api as sm

    families = sm.families
    if link is not None:
        options["link"] = getattr(families.links, link)()
    family = getattr(families, name)(**options)
    X, rng = _design()
    if name == "Binomial":
        y = rng.integers(2, size=25).astype(float)
    elif name in ("Poisson", "NegativeBinomial", "Tweedie"):
        y = rng.poisson(2.0, size=25).astype(float)
    else:
        y = rng.gamma(2.0, size=25) + 0.1
    beta = np.array([1.2, 0.15, -0.1]) if name != "Binomial" else np.array([0.3, -0.6, 0.4])
    model = sm.GLM(y, X, family=family)
    return negated(
        Objective(partial(model.loglike, scale=1.0), partial(model.score, scale=1.0), beta)
    )


def _link(name: str, *arguments: float, inverse: bool, second: bool = False) -> Objective:
    """Return a link or its inverse, or the first derivative of one as the function."""
    links = import_module("statsmodels.genmod.families.links")
    link = getattr(links, name)(*arguments)
    points = _REAL if inverse else _PROBABILITIES
    if name in ("Power", "InversePower", "InverseSquared", "Sqrt"):
        points = _POSITIVE
    if name == "NegativeBinomial":
        points = [-value for value in _POSITIVE] if inverse else _POSITIVE
    if name == "LogC" and inverse:
        points = [-value for value in _POSITIVE]
    if inverse:
        functions = (link.inverse, link.inverse_deriv, link.inverse_deriv2)
    else:
        functions = (link, link.deriv, link.deriv2)
    return elementwise(functions[second], functions[1 + second], points)


def _variance(name: str, *arguments: float) -> Objective:
    functions = import_module("statsmodels.genmod.families.varfuncs")
    variance = getattr(functions, name)(*arguments)
    points = _PROBABILITIES if name == "Binomial" else _POSITIVE
    return elementwise(variance, variance.deriv, points)


def _norm(name: str, derivative: int) -> Objective:
    """Return a robust norm, or its derivative as the function."""
    norm = getattr(import_module("statsmodels.robust.norms"), name)()
    points = [-9.3, -4.4, -2.1, -1.1, -0.4, 0.2, 0.9, 1.7, 3.3, 6.2, 12.0]
    functions = (norm.rho, norm.psi, norm.psi_deriv)
    return elementwise(functions[derivative - 1], functions[derivative], points)


def _penalty(name: str, derivative: int, **options: float) -> Objective:
    penalties = import_module("statsmodels.base._penalties")
    penalty = getattr(penalties, name)(weights=np.array([0.8, 1.1, 1.4, 0.6, 0.9]), **options)
    point = np.array([-2.4, -0.3, 0.04, 0.8, 1.9])
    if derivative == 1:
        return Objective(lambda x: np.sum(penalty.func(x)), penalty.deriv, point)
    return Objective(lambda x: np.sum(penalty.deriv(x)), penalty.deriv2, point)


def _copula(name: str, pair: str, theta: float) -> Objective:
    """Return a generator of an Archimedean copula, or a derivative of it or of its inverse."""
    transform = getattr(import_module("statsmodels.distributions.copula.transforms"), name)()
    function, derivative = pair.split()
    points = _POSITIVE if "inverse" in pair else _PROBABILITIES
    return elementwise(
        lambda t: getattr(transform, function)(t, theta),
        lambda t: getattr(transform, derivative)(t, theta),
        points,
    )


def _frank_repaired() -> Objective:
    shipped = _copula("TransfFrank", "evaluate deriv", 2.3)
    return Objective(shipped.loss, lambda t: -shipped.gradient(t), shipped.point)


def _gumbel_repaired() -> Objective:
    """Return the second derivative in real numbers."""
    transform_loss = _copula("TransfGumbel", "deriv deriv2", 1.8)
    theta = 1.8

    def second(t: np.ndarray) -> np.ndarray:
        log = -np.log(t)
        return np.asarray(theta * log ** (theta - 2) * (theta - 1 + log) / t**2)

    return Objective(
        transform_loss.loss,
        lambda t: weights(t.size) * second(t),
        transform_loss.point,
    )


def _case(name: str, make: Any, *arguments: Any, **options: Any) -> LibraryCase:
    return LibraryCase(f"statsmodels.{name}", partial(make, *arguments, **options))


_FAMILIES: tuple[tuple[str, str | None], ...] = (
    ("Gaussian", None),
    ("Gaussian", "Log"),
    ("Binomial", None),
    ("Binomial", "Probit"),
    ("Binomial", "Cauchy"),
    ("Binomial", "CLogLog"),
    ("Binomial", "LogLog"),
    ("Poisson", None),
    ("Poisson", "Sqrt"),
    ("Poisson", "Identity"),
    ("Gamma", None),
    ("Gamma", "Log"),
    ("Gamma", "Identity"),
    ("InverseGaussian", None),
    ("InverseGaussian", "Log"),
)
_LINKS: tuple[tuple[Any, ...], ...] = (
    ("Logit",),
    ("Power", 1.7),
    ("InversePower",),
    ("Sqrt",),
    ("InverseSquared",),
    ("Log",),
    ("LogC",),
    ("Probit",),
    ("Cauchy",),
    ("CLogLog",),
    ("LogLog",),
    ("NegativeBinomial", 0.8),
)
_NORMS = (
    *("LeastSquares", "HuberT", "RamsayE", "AndrewWave", "TrimmedMean", "Hampel"),
    *("TukeyBiweight", "TukeyQuartic"),
)
_PENALTIES: tuple[tuple[str, dict[str, float]], ...] = (
    ("L2", {}),
    ("L2Univariate", {}),
    ("PseudoHuber", {"dlt": 0.7}),
    ("SCAD", {"tau": 0.5}),
    ("SCADSmoothed", {"tau": 0.5}),
)
_COPULAS: tuple[tuple[str, float, tuple[str, ...]], ...] = (
    (
        "TransfFrank",
        2.3,
        (
            *("deriv deriv2", "deriv2_inverse deriv3_inverse"),
            "deriv3_inverse deriv4_inverse",
        ),
    ),
    (
        "TransfClayton",
        1.6,
        (
            *("evaluate deriv", "deriv deriv2", "inverse deriv_inverse"),
            *("deriv_inverse deriv2_inverse", "deriv2_inverse deriv3_inverse"),
            "deriv3_inverse deriv4_inverse",
        ),
    ),
    (
        "TransfGumbel",
        1.8,
        (
            *("evaluate deriv", "deriv2_inverse deriv3_inverse"),
            "deriv3_inverse deriv4_inverse",
        ),
    ),
    ("TransfGumbel", 2.0, ("deriv deriv2",)),
)

CASES = (
    *(
        _case(f"GLM {family}, {link or 'its own link'}", _family, family, link)
        for family, link in _FAMILIES
    ),
    _case("GLM NegativeBinomial", _family, "NegativeBinomial", None, alpha=0.7),
    *(_case(f"links.{link[0]}", _link, *link, inverse=False) for link in _LINKS),
    *(_case(f"links.{link[0]}.deriv", _link, *link, inverse=False, second=True) for link in _LINKS),
    *(_case(f"links.{link[0]}.inverse", _link, *link, inverse=True) for link in _LINKS),
    *(
        _case(f"links.{link[0]}.inverse_deriv", _link, *link, inverse=True, second=True)
        for link in _LINKS
    ),
    _case("varfuncs.Power", _variance, "Power", 1.6),
    _case("varfuncs.Binomial", _variance, "Binomial"),
    _case("varfuncs.NegativeBinomial", _variance, "NegativeBinomial", 0.8),
    *(_case(f"norms.{name}, derivative {n}", _norm, name, n) for name in _NORMS for n in (1, 2)),
    *(
        _case(f"penalties.{name}, derivative {n}", _penalty, name, n, **options)
        for name, options in _PENALTIES
        for n in (1, 2)
    ),
    *(
        _case(f"copula {name}({theta}), {pair}", _copula, name, pair, theta)
        for name, theta, pairs in _COPULAS
        for pair in pairs
    ),
    LibraryCase(
        "statsmodels.copula TransfFrank(2.3), evaluate deriv",
        partial(_copula, "TransfFrank", "evaluate deriv", 2.3),
        "the first derivative of Frank's generator has the wrong sign",
        _frank_repaired,
    ),
    LibraryCase(
        "statsmodels.copula TransfGumbel(1.8), deriv deriv2",
        partial(_copula, "TransfGumbel", "deriv deriv2", 1.8),
        "the second derivative of Gumbel's generator takes (-1) to a power that need not be "
        "whole: complex numbers",
        _gumbel_repaired,
    ),
)
