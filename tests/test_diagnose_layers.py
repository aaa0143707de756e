"""What is said of every simple mistake in layers, averages and long loops, operation by operation.

As in ``test_diagnose_alterations``: the answers are kept in ``gold/alterations_*.txt``.
"""

import numpy as np
import pytest
from test_diagnose_alterations import assert_told

generator = np.random.default_rng(6)
X, Y = generator.normal(size=(6, 4)), generator.normal(size=(6, 3))
BAGS = np.array([[0, 2, 2], [1, 4, 0], [3, 1, 4], [2, 3, 0]])


def pooled(W):
    A = np.where(X @ W > 0, X @ W, 0.2 * (X @ W))
    P = A.reshape(3, 2, 5).max(axis=1)
    return np.sum(np.log(1 + P**2)) + 0.3 * np.sum(W[1:] ** 2)


def standardised(W, g):
    Z = X @ W
    m = Z.mean(axis=0)
    s = np.sqrt(np.mean((Z - m) ** 2, axis=0) + 0.01)
    return np.mean(np.sin((Z - m) / s * g) * Y)


def averaged(E, w):
    rows = E[BAGS].mean(axis=1)
    score = rows @ w
    return np.mean(np.logaddexp(0, score)) + 0.1 * (w @ w)


def stepped(c, A):
    u, total = c * 1.0, 0.0
    for k in range(5):
        u = np.tanh(A @ u)
        total = total + np.sum(u * k)
    return total


PARAMETERS = {
    pooled: {"W": (4, 5)},
    standardised: {"W": (4, 3), "g": (3,)},
    averaged: {"E": (5, 4), "w": (4,)},
    stepped: {"c": (3,), "A": (3, 3)},
}
PARAMETERS = {
    loss: {name: generator.normal(size=shape) for name, shape in shapes.items()}
    for loss, shapes in PARAMETERS.items()
}


@pytest.mark.parametrize("loss", PARAMETERS, ids=lambda loss: loss.__name__)
def test_what_is_said_of_each_mistake(loss):
    assert_told(loss, PARAMETERS[loss])
