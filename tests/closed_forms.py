"""Losses whose gradients are known in closed form, with points to check them at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ClosedForm:
    """``loss(x)`` with its gradient; ``draw(generator)`` gives a point."""

    name: str
    loss: Callable[[Array], float]
    gradient: Callable[[Array], Array]
    draw: Callable[[np.random.Generator], Array]

    def target(self, *, factor: float = 1.0) -> Callable[[Array], tuple[float, Array]]:
        """The loss with its gradient, times ``factor`` (1 is right)."""
        return lambda x: (self.loss(x), factor * self.gradient(x))


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def log_sum_exp(x: Array) -> float:
    largest = x.max()
    return float(largest + np.log(np.sum(np.exp(x - largest))))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max())
    return e / e.sum()


def normal(generator: np.random.Generator) -> Array:
    return generator.normal(size=5)


def positive(generator: np.random.Generator) -> Array:
    return generator.uniform(0.2, 3.0, size=5)


def wide(generator: np.random.Generator) -> Array:
    return generator.normal(size=5) * 10.0 ** generator.integers(-6, 7)


HILBERT = 1 / (np.arange(1, 6)[:, None] + np.arange(5)[None, :])


def rosenbrock(x: Array) -> float:
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def rosenbrock_gradient(x: Array) -> Array:
    g = np.zeros_like(x)
    inner = x[1:] - x[:-1] ** 2
    g[:-1] = -400 * x[:-1] * inner - 2 * (1 - x[:-1])
    g[1:] += 200 * inner
    return g


SMOOTH = (
    ClosedForm("sum of squares", lambda x: float(x @ x), lambda x: 2 * x, wide),
    ClosedForm("cubes", lambda x: float(np.sum(x**3)), lambda x: 3 * x**2, wide),
    ClosedForm("sines", lambda x: float(np.sum(np.sin(x))), np.cos, normal),
    ClosedForm("exponentials", lambda x: float(np.sum(np.exp(x))), np.exp, normal),
    ClosedForm("logarithms", lambda x: float(np.sum(np.log(x))), lambda x: 1 / x, positive),
    ClosedForm("roots", lambda x: float(np.sum(np.sqrt(x))), lambda x: 0.5 / np.sqrt(x), positive),
    ClosedForm("reciprocals", lambda x: float(np.sum(1 / x)), lambda x: -1 / x**2, positive),
    ClosedForm("log-sum-exp", log_sum_exp, softmax, normal),
    ClosedForm(
        "sigmoids",
        lambda x: float(np.sum(sigmoid(x))),
        lambda x: sigmoid(x) * sigmoid(-x),
        lambda generator: 4 * generator.normal(size=5),
    ),
    ClosedForm(
        "hyperbolic tangents",
        lambda x: float(np.sum(np.tanh(x))),
        lambda x: 1 / np.cosh(x) ** 2,
        normal,
    ),
    ClosedForm(
        "Gaussian bump",
        lambda x: float(np.exp(-0.5 * x @ x)),
        lambda x: -x * np.exp(-0.5 * x @ x),
        normal,
    ),
    ClosedForm(
        "Hilbert quadratic",
        lambda x: float(0.5 * x @ HILBERT @ x),
        lambda x: 0.5 * (HILBERT + HILBERT.T) @ x,
        normal,
    ),
    ClosedForm("Rosenbrock", rosenbrock, rosenbrock_gradient, normal),
    ClosedForm(
        "fast oscillation",
        lambda x: float(np.sum(np.sin(1e3 * x))),
        lambda x: 1e3 * np.cos(1e3 * x),
        normal,
    ),
    ClosedForm(
        "oscillation under a slope",
        lambda x: float(np.sum(x + 1e-3 * np.sin(3e2 * x))),
        lambda x: 1 + 0.3 * np.cos(3e2 * x),
        normal,
    ),
    ClosedForm(
        "offset",
        lambda x: float(1e8 + np.sum(np.sin(x))),
        np.cos,
        normal,
    ),
    ClosedForm(
        "product",
        lambda x: float(np.prod(x)),
        lambda x: np.array([np.prod(np.delete(x, i)) for i in range(x.size)]),
        normal,
    ),
    ClosedForm("high power", lambda x: float(np.sum(x**20)), lambda x: 20 * x**19, positive),
    ClosedForm(
        "mixed sizes",
        lambda x: float(np.sum(np.sin(x * MIXED))),
        lambda x: MIXED * np.cos(x * MIXED),
        lambda generator: generator.normal(size=5) / MIXED,
    ),
    ClosedForm(
        "mixed gradients",
        lambda x: float(np.sum(MIXED * np.sin(x))),
        lambda x: MIXED * np.cos(x),
        normal,
    ),
)

MIXED = np.array([1e-6, 1e-3, 1.0, 1e3, 1e6])
