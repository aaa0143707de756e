"""Gaussian processes of scikit-learn: marginal likelihoods by the kernels' hyperparameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.library_cases.contract import LibraryCase, Objective, generator

_Kernel = Callable[[Any], Any]


def _kernels() -> Any:
    from sklearn.gaussian_process import kernels

    return kernels


def _rough_matern(kernels: Any) -> Any:
    return kernels.Matern(0.9, nu=1.4)


def _data() -> tuple[np.ndarray, np.ndarray]:
    rng = generator(7)
    X = rng.uniform(0.2, 2.5, size=(12, 2))
    return X, np.sin(X[:, 0]) + 0.3 * X[:, 1] + 0.2 * rng.normal(size=12)


def _regression(make: _Kernel) -> Objective:
    from sklearn.gaussian_process import GaussianProcessRegressor

    k = _kernels()
    X, y = _data()
    kernel = make(k) + k.WhiteKernel(0.3, "fixed")
    model = GaussianProcessRegressor(kernel, optimizer=None).fit(X, y)
    likelihood = partial(model.log_marginal_likelihood, eval_gradient=True)
    return _negative(likelihood, model.kernel_.theta)


def _classification() -> Objective:
    from sklearn.gaussian_process import GaussianProcessClassifier

    k = _kernels()
    X, y = _data()
    kernel = 1.3 * k.RBF([0.8, 1.7])
    model = GaussianProcessClassifier(kernel, optimizer=None).fit(X, y > np.median(y))
    binary = model.base_estimator_

    def likelihood(theta: np.ndarray) -> tuple[float, np.ndarray]:
        binary.max_iter_predict = 100
        return binary.log_marginal_likelihood(theta, eval_gradient=True)  # type: ignore[no-any-return]

    return _negative(likelihood, binary.kernel_.theta)


def _rough_matern_repaired() -> Objective:
    """Return the likelihood under ``Matern(0.9, nu=1.4)`` with its gradient derived anew."""
    from scipy.spatial.distance import cdist
    from scipy.special import gamma, kv

    shipped = _regression(_rough_matern)
    X, y = _data()
    distances = cdist(X, X)
    order = 1.4

    def gradient(theta: np.ndarray) -> np.ndarray:
        scaled = np.sqrt(2 * order) * distances / np.exp(theta[0])
        np.fill_diagonal(scaled, 1.0)  # put right below; the Bessel function has a pole at 0
        factor = 2 ** (1 - order) / gamma(order)
        K = factor * scaled**order * kv(order, scaled)
        slope = factor * scaled ** (order + 1) * kv(order - 1, scaled)
        np.fill_diagonal(K, 1.0 + 0.3 + 1e-10)  # with the white kernel and the default jitter
        np.fill_diagonal(slope, 0.0)
        inverse = np.linalg.inv(K)
        weights = inverse @ y
        return np.array([-0.5 * np.sum((np.outer(weights, weights) - inverse) * slope)])

    return Objective(shipped.loss, gradient, shipped.point)


def _negative(likelihood: Callable[[np.ndarray], Any], theta: np.ndarray) -> Objective:
    return Objective(
        lambda t: -likelihood(np.array(t))[0],
        lambda t: -np.asarray(likelihood(np.array(t))[1]),
        np.array(theta, dtype=float),
    )


_MAKERS: dict[str, _Kernel] = {
    "RBF": lambda k: k.RBF(0.9),
    "RBF, a length for each feature": lambda k: k.RBF([0.7, 1.8]),
    "Matern(1/2)": lambda k: k.Matern(0.9, nu=0.5),
    "Matern(3/2), a length for each feature": lambda k: k.Matern([0.9, 1.6], nu=1.5),
    "Matern(5/2)": lambda k: k.Matern(0.9, nu=2.5),
    "Matern(infinite)": lambda k: k.Matern(0.9, nu=np.inf),
    "RationalQuadratic": lambda k: k.RationalQuadratic(0.8, 1.6),
    "ExpSineSquared": lambda k: k.ExpSineSquared(2.5, 6.0),
    "DotProduct": lambda k: k.DotProduct(0.7),
    "ConstantKernel": lambda k: k.ConstantKernel(1.4) * k.RBF(1.1),
    "WhiteKernel": lambda k: k.RBF(1.1) + k.WhiteKernel(0.2),
    "Sum": lambda k: k.RBF(0.6) + k.RationalQuadratic(1.4, 0.9),
    "Product": lambda k: k.DotProduct(0.7) * k.Matern(1.3, nu=2.5),
    "Exponentiation": lambda k: k.RationalQuadratic(0.8, 1.6) ** 2.5,
}

CASES = (
    *(
        LibraryCase(f"sklearn.gaussian_process, {name}", partial(_regression, make))
        for name, make in _MAKERS.items()
    ),
    LibraryCase("sklearn.GaussianProcessClassifier", _classification),
    LibraryCase(
        "sklearn.gaussian_process, Matern(7/5)",
        partial(_regression, _rough_matern),
        "for an order without a closed form the gradient is a one-sided difference with step "
        "1e-10, good to six digits",
        _rough_matern_repaired,
    ),
    LibraryCase(
        "sklearn.gaussian_process, PairwiseKernel",
        partial(_regression, lambda k: k.PairwiseKernel(0.7, metric="rbf")),
    ),
)
