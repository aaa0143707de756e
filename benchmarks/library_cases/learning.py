"""What scikit-learn ships: losses, linear models, networks, embeddings."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.library_cases.contract import LibraryCase, Objective, elementwise, generator

_Pair = Callable[[np.ndarray], tuple[Any, Any]]


def _from_pair(both: _Pair, point: np.ndarray) -> Objective:
    """Return the objective of a function that gives value and gradient together."""
    return Objective(lambda x: both(x)[0], lambda x: both(x)[1], point)


def _loss_function(name: str, **options: Any) -> Objective:
    """Return one of the losses that linear models and gradient boosting share."""
    loss = getattr(import_module("sklearn._loss.loss"), name)(**options)
    rng = generator()
    n = 12
    classes = 3 if "Multinomial" in name else 2
    weight = rng.uniform(0.5, 2, size=n)
    y = {
        "classes": rng.integers(classes, size=n).astype(float),
        "counts": rng.poisson(2.0, size=n).astype(float),
        "positive": rng.gamma(2.0, size=n),
        "real": rng.normal(size=n),
    }[_outcomes(name)]
    raw = rng.normal(size=(n, 3) if classes == 3 else n)
    if name.endswith("Identity"):
        raw = np.abs(raw) + 0.3

    def value(z: np.ndarray) -> float:
        return float(np.sum(loss.loss(y, z, sample_weight=weight)))

    return Objective(value, lambda z: loss.gradient(y, z, sample_weight=weight), raw)


def _outcomes(name: str) -> str:
    if name in ("HalfBinomialLoss", "HalfMultinomialLoss", "ExponentialLoss"):
        return "classes"
    if name in ("HalfGammaLoss", "HalfTweedieLoss", "HalfTweedieLossIdentity"):
        return "positive"
    return "counts" if name == "HalfPoissonLoss" else "real"


def _linear_model(name: str, *, penalty: float, **options: Any) -> Objective:
    """Return the penalised loss of a linear model with an intercept."""
    from sklearn.linear_model._linear_loss import LinearModelLoss

    loss = getattr(import_module("sklearn._loss.loss"), name)(**options)
    model = LinearModelLoss(base_loss=loss, fit_intercept=True)
    rng = generator(1)
    X = rng.normal(size=(15, 4))
    several = name == "HalfMultinomialLoss"
    if several or name == "HalfBinomialLoss":
        y = rng.integers(3 if several else 2, size=15).astype(float)
    else:
        y = rng.gamma(2.0, size=15) + 0.1
    coefficients = np.asfortranarray(rng.normal(size=(3, 5) if several else 5)) / 2
    weight = rng.uniform(0.5, 2, size=15)
    return _from_pair(
        lambda c: model.loss_gradient(
            np.asfortranarray(c), X, y, sample_weight=weight, l2_reg_strength=penalty
        ),
        coefficients,
    )


def _huber_regression() -> Objective:
    from sklearn.linear_model._huber import _huber_loss_and_gradient

    rng = generator(2)
    X, y = rng.normal(size=(20, 3)), 3 * rng.normal(size=20)
    weight = rng.uniform(0.5, 2, size=20)
    return _from_pair(
        lambda w: _huber_loss_and_gradient(w, X, y, 1.35, 0.1, weight),
        np.array([0.4, -0.8, 0.3, 0.2, 1.1]),
    )


def _stochastic_loss(name: str, *arguments: float) -> Objective:
    """Return one of the losses of the stochastic gradient solver, at its own Python entry."""
    loss = getattr(import_module("sklearn.linear_model._sgd_fast"), name)(*arguments)
    targets = np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])

    def each(function: Callable[[float, float], float]) -> Callable[[np.ndarray], np.ndarray]:
        return lambda z: np.array(
            [function(p, t) for p, t in zip(z.tolist(), targets, strict=True)]
        )

    points = [-1.7, -0.4, 0.3, 0.8, 1.6, 2.4]
    return elementwise(each(loss.py_loss), each(loss.py_dloss), points)


def _network(kind: str, activation: str, *, outputs: int = 1, **options: Any) -> Objective:
    """Return the loss of a multilayer perceptron as its L-BFGS solver sees it."""
    from sklearn.neural_network._multilayer_perceptron import _pack

    rng = generator(3)
    X = rng.normal(size=(10, 4))
    classes = rng.integers(3, size=10)
    y = classes if kind == "MLPClassifier" else rng.gamma(2.0, size=(10, outputs))
    model = getattr(import_module("sklearn.neural_network"), kind)(
        hidden_layer_sizes=(5, 4),
        activation=activation,
        alpha=0.1,
        solver="lbfgs",
        max_iter=2,
        random_state=0,
        **options,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two steps do not converge, nor need they
        model.fit(X, y.ravel() if outputs == 1 else y)
    targets = np.eye(3)[classes] if kind == "MLPClassifier" else y
    units = [4, 5, 4, targets.shape[1]]

    def both(packed: np.ndarray) -> tuple[float, np.ndarray]:
        activations = [X, *(np.empty((10, n)) for n in units[1:])]
        deltas = [np.empty_like(layer) for layer in activations[1:]]
        weights = [np.empty((a, b)) for a, b in pairwise(units)]
        biases = [np.empty(b) for b in units[1:]]
        loss, gradient = model._loss_grad_lbfgs(
            np.array(packed), X, targets, None, activations, deltas, weights, biases
        )
        return loss, gradient

    return _from_pair(both, np.array(_pack(model.coefs_, model.intercepts_)))


def _neighbourhood_components() -> Objective:
    from sklearn.neighbors import NeighborhoodComponentsAnalysis

    model = NeighborhoodComponentsAnalysis()
    model.n_iter_ = 0
    rng = generator(4)
    X, y = rng.normal(size=(14, 4)), rng.integers(3, size=14)
    same = (y[:, None] == y[None]).astype(float)
    return _from_pair(lambda t: model._loss_grad_lbfgs(t, X, same, -1.0), rng.normal(size=8) / 2)


def _joint_probabilities(n: int) -> np.ndarray:
    from scipy.spatial.distance import pdist

    affinities = np.exp(-pdist(generator(5).normal(size=(n, 3)), "sqeuclidean"))
    return np.asarray(affinities / (2 * affinities.sum()))


def _embedding(degrees: float) -> Objective:
    from sklearn.manifold._t_sne import _kl_divergence

    P = _joint_probabilities(9)
    point = generator(6).normal(size=18)
    return _from_pair(lambda x: _kl_divergence(np.array(x), P, degrees, 9, 2), point)


def _embedding_repaired(degrees: float) -> Objective:
    """Return the same loss with the gradient derived anew."""
    shipped = _embedding(degrees)
    P = _joint_probabilities(9)

    def gradient(x: np.ndarray) -> np.ndarray:
        from scipy.spatial.distance import squareform

        y = x.reshape(9, 2)
        gaps = y[:, None] - y[None]
        slope = 1 / (1 + np.sum(gaps**2, axis=-1) / degrees)
        tails = slope ** ((degrees + 1) / 2)
        np.fill_diagonal(tails, 0.0)
        pull = (squareform(P) - tails / tails.sum()) * slope
        return (2 * (degrees + 1) / degrees * np.sum(pull[..., None] * gaps, axis=1)).ravel()

    return Objective(shipped.loss, gradient, shipped.point)


def _network_repaired() -> Objective:
    """Return the same gradient with the loss summed over the two outputs, as it assumes."""
    shipped = _network("MLPRegressor", "tanh", outputs=2)
    units = [(4, 5), (5, 4), (4, 2)]

    def penalty(x: np.ndarray) -> float:
        weights = x[: sum(a * b for a, b in units)]
        return float(0.05 * weights @ weights / 10)

    def loss(x: np.ndarray) -> float:
        return float(2 * (shipped.loss(x) - penalty(x)) + penalty(x))

    return Objective(loss, shipped.gradient, shipped.point)


def _contrast(name: str, **options: float) -> Objective:
    """Return a contrast function of FastICA, which gives itself and its derivative."""
    function = getattr(import_module("sklearn.decomposition._fastica"), name)

    def each(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # one column: the mean over the row that the derivative is handed out as is the value
        value, derivative = function(np.array(z)[:, None], options)
        return value[:, 0], derivative

    return elementwise(
        lambda z: each(z)[0], lambda z: each(z)[1], [-1.6, -0.7, -0.1, 0.4, 1.1, 2.3]
    )


def _case(name: str, make: Any, *arguments: Any, **options: Any) -> LibraryCase:
    return LibraryCase(f"sklearn.{name}", partial(make, *arguments, **options))


CASES = (
    _case("HalfSquaredError", _loss_function, "HalfSquaredError"),
    _case("AbsoluteError", _loss_function, "AbsoluteError"),
    _case("PinballLoss", _loss_function, "PinballLoss", quantile=0.3),
    _case("HuberLoss", _loss_function, "HuberLoss", quantile=0.7, delta=0.8),
    _case("HalfPoissonLoss", _loss_function, "HalfPoissonLoss"),
    _case("HalfGammaLoss", _loss_function, "HalfGammaLoss"),
    *(
        _case(f"HalfTweedieLoss({power})", _loss_function, "HalfTweedieLoss", power=power)
        for power in (0, 1, 1.5, 2, 3)
    ),
    *(
        _case(
            f"HalfTweedieLossIdentity({power})",
            _loss_function,
            "HalfTweedieLossIdentity",
            power=power,
        )
        for power in (0, 1, 1.5, 2, 3)
    ),
    _case("HalfBinomialLoss", _loss_function, "HalfBinomialLoss"),
    _case("HalfMultinomialLoss", _loss_function, "HalfMultinomialLoss", n_classes=3),
    _case("ExponentialLoss", _loss_function, "ExponentialLoss"),
    _case("linear model, squared", _linear_model, "HalfSquaredError", penalty=0.2),
    _case("linear model, binomial", _linear_model, "HalfBinomialLoss", penalty=0.2),
    _case("linear model, multinomial", _linear_model, "HalfMultinomialLoss", penalty=0.2),
    _case("linear model, Poisson", _linear_model, "HalfPoissonLoss", penalty=0.0),
    _case("linear model, gamma", _linear_model, "HalfGammaLoss", penalty=0.5),
    _case("linear model, Tweedie", _linear_model, "HalfTweedieLoss", penalty=0.1, power=1.7),
    _case("HuberRegressor", _huber_regression),
    _case("SGD, Hinge", _stochastic_loss, "Hinge", 1.0),
    _case("SGD, SquaredHinge", _stochastic_loss, "SquaredHinge", 1.0),
    _case("SGD, ModifiedHuber", _stochastic_loss, "ModifiedHuber"),
    _case("SGD, EpsilonInsensitive", _stochastic_loss, "EpsilonInsensitive", 0.1),
    _case("SGD, SquaredEpsilonInsensitive", _stochastic_loss, "SquaredEpsilonInsensitive", 0.1),
    *(
        _case(f"MLPClassifier, {name}", _network, "MLPClassifier", name)
        for name in ("identity", "logistic", "tanh", "relu")
    ),
    _case("MLPRegressor, tanh", _network, "MLPRegressor", "tanh"),
    LibraryCase(
        "sklearn.MLPRegressor, two outputs",
        partial(_network, "MLPRegressor", "tanh", outputs=2),
        "the squared loss is averaged over the outputs, its gradient is that of their sum: twice "
        "as long for two outputs, while the penalty's gradient is that of the penalty",
        _network_repaired,
    ),
    _case("MLPRegressor, Poisson", _network, "MLPRegressor", "relu", loss="poisson"),
    _case("NeighborhoodComponentsAnalysis", _neighbourhood_components),
    _case("TSNE in two dimensions", _embedding, 1.0),
    LibraryCase(
        "sklearn.TSNE in three dimensions",
        partial(_embedding, 2.0),
        "three dimensions mean two degrees of freedom; the gradient then takes the factor "
        "1 / (1 + d / 2) to the power 3/2, where the derivative has the power 1",
        partial(_embedding_repaired, 2.0),
    ),
    _case("FastICA, logcosh", _contrast, "_logcosh", alpha=1.4),
    _case("FastICA, exp", _contrast, "_exp"),
    _case("FastICA, cube", _contrast, "_cube"),
)
