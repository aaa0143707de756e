"""One hidden layer of three tanh units with a logistic output, told to separate two rings.

Source: a widely copied blog tutorial that writes a network from scratch in NumPy and trains it by
full-batch gradient descent. Its printed losses (two decimals, every 50th of 1000 steps) come out
again here, from NumPy's legacy generator with seed 0.

The published gradient is right. Three habits of the published code are worth knowing:

* the function returns ``(grads, loss)``, gradient first;
* the output bias starts as the Python int ``0``, to which no small step can be added in place;
* the loss takes ``log(1 - y)`` of a rounded ``y``. From z = 20 on it is a staircase, and beyond
  z = 36.8, where ``y`` rounds to 1, it is not finite. ``stable`` says the same with log-sum-exp.

``sigmoid_derivative_extra`` is the classic mistake: with cross-entropy the factor ``y (1 - y)``
cancels, and ``y - t`` is already the derivative by the score.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.case import Case, correct, erroneous, faulty
from gradcheck.report import Story, TrainingTrace
from reference_models.data import Floats

Gradients = dict[str, Any]

SOURCE = "A from-scratch NumPy tutorial: two rings, one hidden layer of three tanh units."

PUBLISHED_LOSSES = (
    *(0.75, 0.43, 0.35, 0.16, 0.11, 0.09, 0.07, 0.06, 0.06, 0.05),
    *(0.05, 0.05, 0.04, 0.04, 0.04, 0.04, 0.04, 0.04, 0.04, 0.03),
)
"""The losses at steps 0, 50, ..., 950, as printed with two decimals."""


def rings(
    generator: np.random.RandomState, n: int = 500, radius: float = 5.0
) -> tuple[Floats, Floats]:
    """Return points ``X (n, 2)`` of a disc (``t`` 1) within a ring (``t`` 0), and ``t (n,)``."""
    bounds = [(0.0, 0.5 * radius)] * (n // 2) + [(0.7 * radius, radius)] * (n - n // 2)
    X = np.empty((n, 2))
    for i, (nearest, farthest) in enumerate(bounds):
        r = generator.uniform(nearest, farthest)
        angle = generator.uniform(0, 2 * np.pi)
        X[i] = r * np.sin(angle), r * np.cos(angle)
    t = np.concatenate([np.ones(n // 2), np.zeros(n - n // 2)])
    return X, t


def forward(X: Floats, U: Floats, b: Floats, W: Floats, c: float) -> tuple[Floats, Floats]:
    """Return the hidden layer ``(n, 3)`` and the scores ``z (n,)``."""
    G = X @ U.T + b
    hidden = np.tanh(G)
    z = hidden @ W + c
    return hidden, z


def backward(dz: Floats, X: Floats, hidden: Floats, W: Floats) -> Gradients:
    """Return the gradients of U (3, 2), b (3,), W (3,) and c from ``dz (n,)``."""
    dG = np.outer(dz, W) * (1 - hidden**2)
    return {"U": dG.T @ X, "b": dG.sum(axis=0), "W": hidden.T @ dz, "c": dz.sum()}


def naive(
    X: Floats, t: Floats, U: Floats, b: Floats, W: Floats, c: float
) -> tuple[float, Gradients]:
    """Cross-entropy in terms of the probability ``y``: right for moderate scores."""
    hidden, z = forward(X, U, b, W, c)
    y = 1 / (1 + np.exp(-z))
    losses = -t * np.log(y) - (1 - t) * np.log(1 - y)
    loss = np.mean(losses)

    dz = (y - t) / len(t)
    return loss, backward(dz, X, hidden, W)


def grads_first(
    X: Floats, t: Floats, U: Floats, b: Floats, W: Floats, c: float
) -> tuple[Gradients, float]:
    """Return what ``naive`` returns, gradient first: the published order."""
    loss, grads = naive(X, t, U, b, W, c)
    return grads, loss


def stable(
    X: Floats, t: Floats, U: Floats, b: Floats, W: Floats, c: float
) -> tuple[float, Gradients]:
    """Cross-entropy in terms of the score ``z``: right for every score.

    ``logaddexp`` takes no complex numbers, so that a complex step is not to be had.
    """
    hidden, z = forward(X, U, b, W, c)
    minus_log_y = np.logaddexp(0, -z)
    minus_log_1_minus_y = np.logaddexp(0, z)
    losses = t * minus_log_y + (1 - t) * minus_log_1_minus_y
    loss = np.mean(losses)

    y = np.exp(-minus_log_y)
    dz = (y - t) / len(t)
    return loss, backward(dz, X, hidden, W)


def sigmoid_derivative_extra(
    X: Floats, t: Floats, U: Floats, b: Floats, W: Floats, c: float
) -> tuple[float, Gradients]:
    """Wrong: multiplies by the sigmoid's derivative, which cross-entropy has cancelled already."""
    hidden, z = forward(X, U, b, W, c)
    y = 1 / (1 + np.exp(-z))
    losses = -t * np.log(y) - (1 - t) * np.log(1 - y)
    loss = np.mean(losses)

    dz = (y - t) * y * (1 - y) / len(t)
    return loss, backward(dz, X, hidden, W)


def torch_loss(X: Any, t: Any, U: Any, b: Any, W: Any, c: Any) -> Any:
    """The same loss in PyTorch: forward pass only."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    z = (X @ U.T + b).tanh() @ W + c
    return binary_cross_entropy_with_logits(z, t)


def published_start() -> dict[str, Any]:
    """Return the rings and the published initial parameters; ``c`` is a Python int."""
    generator = np.random.RandomState(0)
    X, t = rings(generator)
    return {
        "X": X,
        "t": t,
        "U": generator.randn(3, 2),
        "b": np.zeros(3),
        "W": generator.randn(3),
        "c": 0,
    }


def train(*, steps: int = 1000, step_size: float = 1.0) -> tuple[list[float], dict[str, Any]]:
    """Train as published; return the loss before each step, and the data with the parameters."""
    point = published_start()
    losses = []
    for _ in range(steps):
        grads, loss = grads_first(**point)
        losses.append(float(loss))
        for name, grad in grads.items():
            point[name] = point[name] - step_size * grad
    return losses, point


def training_traces() -> tuple[TrainingTrace, ...]:
    """Train as published and return the curve beside the printed losses."""
    losses, _ = train()
    return (
        TrainingTrace(
            family="tanh_logistic_net",
            title="Two rings: 1000 steps of gradient descent, step 1",
            reproduced=tuple(enumerate(losses))[::10],
            published=tuple((50 * row, loss) for row, loss in enumerate(PUBLISHED_LOSSES)),
        ),
    )


def generic_point() -> dict[str, Any]:
    """Return the rings and parameters at which every mistake shows: no bias is zero."""
    generator = np.random.RandomState(1)
    X, t = rings(generator)
    return {
        "X": X,
        "t": t,
        "U": 0.5 * generator.randn(3, 2),
        "b": 0.5 * generator.randn(3),
        "W": generator.randn(3),
        "c": 0.3,
    }


def integer_bias_point() -> dict[str, Any]:
    """Return the generic point with the output bias the Python int 0, as published."""
    return {**generic_point(), "c": 0}


def saturated_point() -> dict[str, Any]:
    """Return a point whose scores run from -799 to 799."""
    point = generic_point()
    return {
        **point,
        "U": 2 * point["U"],
        "b": 2 * point["b"],
        "W": np.array([400.0, 250.0, -150.0]),
        "c": 0.5,
    }


CASES = (
    Case(
        "tanh_logistic_net.naive",
        naive,
        generic_point,
        torch=torch_loss,
        expect=correct(),
        source=SOURCE,
        note="Scores stay below 10 in magnitude, where log(1 - y) is still accurate.",
    ),
    Case(
        "tanh_logistic_net.naive_saturated",
        naive,
        saturated_point,
        torch=torch_loss,
        expect=erroneous("non_finite_loss"),
        source=SOURCE,
        note="Scores up to 799: y rounds to 1 or 0, and log(1 - y) or log(y) is not finite.",
    ),
    Case(
        "tanh_logistic_net.stable",
        stable,
        generic_point,
        torch=torch_loss,
        expect=correct(),
        source=SOURCE,
        note="logaddexp takes no complex numbers: the complex step is not available.",
    ),
    Case(
        "tanh_logistic_net.stable_saturated",
        stable,
        saturated_point,
        torch=torch_loss,
        expect=correct(),
        source=SOURCE,
        note="The same scores up to 799, with log-sum-exp: finite, and the gradient is right.",
    ),
    Case(
        "tanh_logistic_net.sigmoid_derivative_extra",
        sigmoid_derivative_extra,
        generic_point,
        torch=torch_loss,
        expect=faulty("extra_activation_derivative", "U", "b", "W", "c"),
        source=SOURCE,
        note="y (1 - y) is applied on top of y - t.",
    ),
    Case(
        "tanh_logistic_net.grads_first",
        grads_first,
        integer_bias_point,
        torch=torch_loss,
        expect=correct(),
        source=SOURCE,
        note="Returns (grads, loss), and the output bias c is the Python int 0, as published.",
    ),
)

STORIES = (
    Story(
        title="A derivative applied twice",
        text=(
            "Tutorials on logistic outputs often multiply the output error by y (1 - y), the "
            "derivative of the sigmoid. "
            "With squared error that is right; with cross-entropy the factor has already "
            "cancelled, and y - t is the whole derivative by the score. "
            "Training still goes downhill, only slowly wherever the network is sure of itself. "
            "The check fails all four parameters and finds that one more sigmoid derivative "
            "explains the gradient exactly."
        ),
        check="tanh_logistic_net.sigmoid_derivative_extra",
    ),
    Story(
        title="A loss that overflows before its gradient does",
        text=(
            "The published loss computes y first and then takes log(y) and log(1 - y). "
            "Beyond a score of about 36.8 y rounds to 1 and the loss is not finite, while the "
            "gradient y - t is still right. "
            "The check reports a non-finite loss, not a wrong gradient. "
            "Written with log-sum-exp, the same loss passes at scores of 800."
        ),
        check="tanh_logistic_net.naive_saturated",
    ),
)
