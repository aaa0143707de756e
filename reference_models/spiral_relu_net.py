"""A two-layer ReLU network on three spiral arms.

Published in the neural-network case study of Stanford's course CS231n, right behind the linear
classifier (see ``spiral_softmax``); its printed losses ``PUBLISHED_LOSSES`` are reproduced here.
The published gradient is right. Its starting point is a trap for a numerical check, though: the
first point of each arm is ``(0, 0)`` and all biases start at zero, so that every hidden unit sits
exactly on the kink of its ReLU there. The slopes of these three points, one of each class, cancel
at the start, so that the loss has a gradient; but with weights of 0.01 the points next to them have
a hundred pre-activations within 1e-5 of zero, across whose kinks an ordinary step reaches.

Shapes: examples ``X (N, D)``, classes ``y (N,)``, ``W (D, H)``, ``b (1, H)``, ``W2 (H, K)``,
``b2 (1, K)``; the biases may be ``(H,)`` and ``(K,)`` as well. Every loss here is called as
``loss(X, y, W, b, W2, b2, reg)`` and returns ``(loss, gradient by parameter name)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.case import Case, correct, faulty
from gradcheck.report import Story, TrainingTrace
from reference_models import spiral_softmax
from reference_models.data import Floats, Labels, spiral
from reference_models.softmax import (
    accuracy,
    negative_log_likelihoods,
    softmax_residual,
    softmax_rows,
)

LossAndGradient = tuple[float, dict[str, Floats]]

SOURCE = "Stanford CS231n, neural-network case study: two-layer network on the spiral"

PUBLISHED_LOSSES = dict(
    zip(
        range(0, 10000, 1000),
        (
            *(1.098744, 0.294946, 0.259301, 0.248310, 0.246170),
            *(0.245649, 0.245491, 0.245400, 0.245335, 0.245292),
        ),
        strict=True,
    )
)
"""Training loss by iteration, before that iteration's update."""


def forward(
    X: Floats, y: Labels, W: Floats, b: Floats, W2: Floats, b2: Floats, reg: float
) -> tuple[float, Floats, Floats]:
    """Return the loss, the hidden units ``(N, H)`` and the probabilities ``(N, K)``."""
    pre_activation = X @ W + b
    hidden = np.maximum(0, pre_activation)
    scores = hidden @ W2 + b2
    probabilities = softmax_rows(scores)
    data_loss = np.mean(negative_log_likelihoods(probabilities, y))
    penalty = 0.5 * reg * np.sum(W * W)
    penalty2 = 0.5 * reg * np.sum(W2 * W2)
    return data_loss + penalty + penalty2, hidden, probabilities


def linear_gradient(
    inputs: Floats, doutputs: Floats, weights: Floats, bias: Floats, reg: float
) -> tuple[Floats, Floats]:
    """Return the gradient by weights and bias of ``outputs = inputs @ weights + bias``.

    That by the weights includes their regulariser; that by the bias takes the bias's shape.
    """
    dweights = inputs.T @ doutputs + reg * weights
    dbias = np.sum(doutputs, axis=0).reshape(bias.shape)
    return dweights, dbias


def published(
    X: Floats, y: Labels, W: Floats, b: Floats, W2: Floats, b2: Floats, reg: float
) -> LossAndGradient:
    """Return the loss with the published gradient, which is right."""
    loss, hidden, probabilities = forward(X, y, W, b, W2, b2, reg)
    dscores = softmax_residual(probabilities, y) / len(X)
    dW2, db2 = linear_gradient(hidden, dscores, W2, b2, reg)
    dhidden = dscores @ W2.T
    dhidden[hidden <= 0] = 0
    dW, db = linear_gradient(X, dhidden, W, b, reg)
    return loss, {"W": dW, "b": db, "W2": dW2, "b2": db2}


def mask_missing(
    X: Floats, y: Labels, W: Floats, b: Floats, W2: Floats, b2: Floats, reg: float
) -> LossAndGradient:
    """Wrong: the gradient passes through the hidden units that are off."""
    loss, hidden, probabilities = forward(X, y, W, b, W2, b2, reg)
    dscores = softmax_residual(probabilities, y) / len(X)
    dW2, db2 = linear_gradient(hidden, dscores, W2, b2, reg)
    dhidden = dscores @ W2.T
    dW, db = linear_gradient(X, dhidden, W, b, reg)
    return loss, {"W": dW, "b": db, "W2": dW2, "b2": db2}


def reg_missing_w2(
    X: Floats, y: Labels, W: Floats, b: Floats, W2: Floats, b2: Floats, reg: float
) -> LossAndGradient:
    """Wrong: the regulariser is differentiated by ``W`` and not by ``W2``."""
    loss, hidden, probabilities = forward(X, y, W, b, W2, b2, reg)
    dscores = softmax_residual(probabilities, y) / len(X)
    dW2, db2 = linear_gradient(hidden, dscores, W2, b2, reg=0)
    dhidden = dscores @ W2.T
    dhidden[hidden <= 0] = 0
    dW, db = linear_gradient(X, dhidden, W, b, reg)
    return loss, {"W": dW, "b": db, "W2": dW2, "b2": db2}


def torch_loss(X: Any, y: Any, W: Any, b: Any, W2: Any, b2: Any, reg: float) -> Any:
    """Return the loss in PyTorch, forward only. ``relu`` has derivative 0 at 0, as the mask."""
    from torch.nn.functional import cross_entropy, relu

    scores = relu(X @ W + b) @ W2 + b2
    return cross_entropy(scores, y) + reg / 2 * (W.square().sum() + W2.square().sum())


def training_start() -> dict[str, Any]:
    """Return the published starting point; its generator goes on from the linear classifier's."""
    X, y, *_, generator = spiral_softmax.training_start()
    W = 0.01 * generator.randn(2, 100)
    W2 = 0.01 * generator.randn(100, 3)
    b, b2 = np.zeros((1, 100)), np.zeros((1, 3))
    return {"X": X, "y": y, "W": W, "b": b, "W2": W2, "b2": b2, "reg": 1e-3}


def train(*, n_iterations: int = 10000, step: float = 1.0) -> tuple[list[float], float]:
    """Return the losses before each update of gradient descent, and the final accuracy."""
    inputs = training_start()
    losses = []
    for _ in range(n_iterations):
        loss, gradient = published(**inputs)
        losses.append(float(loss))
        for name, slope in gradient.items():
            inputs[name] -= step * slope
    _, _, probabilities = forward(**inputs)
    return losses, accuracy(probabilities, inputs["y"])


def training_traces() -> tuple[TrainingTrace, ...]:
    """Return the reproduced training curve beside the published one."""
    losses, _ = train(n_iterations=max(PUBLISHED_LOSSES) + 1)
    return (
        TrainingTrace(
            family="spiral_relu_net",
            title="Two-layer ReLU network on the spiral",
            reproduced=tuple((step, losses[step]) for step in PUBLISHED_LOSSES),
            published=tuple(PUBLISHED_LOSSES.items()),
        ),
    )


def generic_inputs() -> dict[str, Any]:
    """Return 60 points of the spiral, 11 hidden units, and no zero among the parameters."""
    generator = np.random.default_rng(2)
    X, y = spiral(n_per_class=20)
    return {
        "X": X,
        "y": y,
        "W": generator.normal(size=(2, 11)),
        "b": 0.3 * generator.normal(size=(1, 11)),
        "W2": 0.5 * generator.normal(size=(11, 3)),
        "b2": 0.3 * generator.normal(size=(1, 3)),
        "reg": 0.1,
    }


def flat_bias_inputs() -> dict[str, Any]:
    """Return the same point with biases of shapes ``(H,)`` and ``(K,)``."""
    inputs = generic_inputs()
    return {**inputs, "b": inputs["b"].ravel(), "b2": inputs["b2"].ravel()}


def kink_inputs() -> dict[str, Any]:
    """Return zero biases ``b`` and zero rows of ``X`` whose labels are not balanced.

    At a zero row the pre-activations equal ``b``, so that all of them are exactly 0. The three
    rows that the spiral has, one of each class, may cancel in the gradient; these do not.
    """
    inputs = generic_inputs()
    return {
        **inputs,
        "X": np.concatenate([inputs["X"], np.zeros((7, 2))]),
        "y": np.concatenate([inputs["y"], np.array([0, 0, 0, 0, 0, 1, 2], dtype=np.uint8)]),
        "b": np.zeros((1, 11)),
    }


CASES = (
    Case(
        "spiral_relu_net.published",
        published,
        generic_inputs,
        torch=torch_loss,
        expect=correct(),
        source=SOURCE,
    ),
    Case(
        "spiral_relu_net.mask_missing",
        mask_missing,
        generic_inputs,
        torch=torch_loss,
        expect=faulty("activation_mask_missing", "W", "b"),
        source=SOURCE,
        note="The gradient passes through hidden units that are off, as if there were no ReLU.",
    ),
    Case(
        "spiral_relu_net.reg_missing_w2",
        reg_missing_w2,
        generic_inputs,
        torch=torch_loss,
        expect=faulty("reg_missing", "W2"),
        source=SOURCE,
        note="The regulariser of W2 is in the loss and not in the gradient.",
    ),
    Case(
        "spiral_relu_net.bias_broadcast",
        published,
        flat_bias_inputs,
        torch=torch_loss,
        expect=correct(),
        source=SOURCE,
        note="The biases are vectors that NumPy broadcasts over the examples.",
    ),
    Case(
        "spiral_relu_net.initial_point",
        published,
        training_start,
        torch=torch_loss,
        expect=correct(),
        source=SOURCE,
        note="All hidden units sit on or very near their kinks at the examples around (0, 0).",
    ),
    Case(
        "spiral_relu_net.at_kink",
        published,
        kink_inputs,
        torch=torch_loss,
        expect=correct(),
        source=SOURCE,
        note="Where the loss has a kink in b, the mask `hidden <= 0` gives its left derivative.",
    ),
)

STORIES = (
    Story(
        title="A right gradient that a plain numerical check rejects",
        text=(
            "The published network starts with zero biases and tiny weights, and the spiral's arms "
            "start at (0, 0). Around that point all hidden units are on the corner of their ReLU "
            "or within 1e-5 of one. A central difference with the usual step of 1e-5 reaches "
            "across these corners and differs from the gradient of the biases by up to a quarter, "
            "although that gradient is right. The check notices that its steps disagree, goes "
            "below the corners, and passes the gradient."
        ),
        check="spiral_relu_net.initial_point",
    ),
)
