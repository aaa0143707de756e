"""A linear softmax classifier on three spiral arms.

Published in the neural-network case study of Stanford's course CS231n, "Convolutional Neural
Networks for Visual Recognition", whose printed losses ``PUBLISHED_LOSSES`` are reproduced here to
all six decimals. The published gradient, ``mean_early``, is right. Its softmax does not subtract
the row maximum (``unshifted``), which is right too until a score exceeds about 710.

Shapes: examples ``X (N, D)``, classes ``y (N,)``, weights ``W (D, K)``, biases ``b (1, K)``.
Every loss here is called as ``loss(X, y, W, b, reg)`` and returns ``(loss, {"W": dW, "b": db})``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.case import Case, correct, erroneous, faulty
from gradcheck.report import Story, TrainingTrace
from reference_models.data import Floats, Labels, spiral
from reference_models.softmax import (
    accuracy,
    negative_log_likelihoods,
    softmax_residual,
    softmax_rows,
)

LossAndGradient = tuple[float, dict[str, Floats]]

SOURCE = "Stanford CS231n, neural-network case study: linear classifier on the spiral"

PUBLISHED_LOSSES = dict(
    zip(
        range(0, 200, 10),
        (
            *(1.096956, 0.917265, 0.851503, 0.822336, 0.807586),
            *(0.799448, 0.794681, 0.791764, 0.789920, 0.788726),
            *(0.787938, 0.787409, 0.787049, 0.786803, 0.786633),
            *(0.786514, 0.786431, 0.786373, 0.786331, 0.786302),
        ),
        strict=True,
    )
)
"""Training loss by iteration, before that iteration's update."""


def mean_loss(X: Floats, y: Labels, W: Floats, b: Floats, reg: float) -> tuple[float, Floats]:
    """Return the mean loss with its regulariser, and the probabilities ``(N, K)``."""
    scores = X @ W + b
    probabilities = softmax_rows(scores)
    data_loss = np.mean(negative_log_likelihoods(probabilities, y))
    return data_loss + 0.5 * reg * np.sum(W * W), probabilities


def propagate(dscores: Floats, X: Floats, W: Floats, reg: float) -> dict[str, Floats]:
    """Return the gradient of the parameters from that of the scores, ``dscores (N, K)``."""
    dW = X.T @ dscores + reg * W
    db = np.sum(dscores, axis=0, keepdims=True)
    return {"W": dW, "b": db}


def mean_early(X: Floats, y: Labels, W: Floats, b: Floats, reg: float) -> LossAndGradient:
    """Mean loss; the score gradient is divided by N before it is propagated."""
    loss, probabilities = mean_loss(X, y, W, b, reg)
    dscores = softmax_residual(probabilities, y) / len(X)
    return loss, propagate(dscores, X, W, reg)


def mean_late(X: Floats, y: Labels, W: Floats, b: Floats, reg: float) -> LossAndGradient:
    """Mean loss; the gradients are divided by N at the end, and the regulariser added then."""
    loss, probabilities = mean_loss(X, y, W, b, reg)
    dscores = softmax_residual(probabilities, y)
    dW = X.T @ dscores
    db = np.sum(dscores, axis=0, keepdims=True)
    dW /= len(X)
    db /= len(X)
    dW += reg * W
    return loss, {"W": dW, "b": db}


def summed(X: Floats, y: Labels, W: Floats, b: Floats, reg: float) -> LossAndGradient:
    """Summed loss: there is nothing to divide by."""
    scores = X @ W + b
    probabilities = softmax_rows(scores)
    data_loss = np.sum(negative_log_likelihoods(probabilities, y))
    loss = data_loss + 0.5 * reg * np.sum(W * W)
    return loss, propagate(softmax_residual(probabilities, y), X, W, reg)


def undivided(X: Floats, y: Labels, W: Floats, b: Floats, reg: float) -> LossAndGradient:
    """Wrong: the mean loss with the data term of the summed loss's gradient."""
    loss, probabilities = mean_loss(X, y, W, b, reg)
    dscores = softmax_residual(probabilities, y)
    return loss, propagate(dscores, X, W, reg)


def aliased(X: Floats, y: Labels, W: Floats, b: Floats, reg: float) -> LossAndGradient:
    """Mean loss; the score gradient overwrites the array that holds the probabilities."""
    loss, probabilities = mean_loss(X, y, W, b, reg)
    dscores = probabilities
    dscores[np.arange(len(y)), y] -= 1
    dscores /= len(X)
    return loss, propagate(dscores, X, W, reg)


def unshifted(X: Floats, y: Labels, W: Floats, b: Floats, reg: float) -> LossAndGradient:
    """Mean loss with the published softmax, which overflows at scores above about 710."""
    scores = X @ W + b
    exponentials = np.exp(scores)
    probabilities = exponentials / np.sum(exponentials, axis=1, keepdims=True)
    data_loss = np.mean(negative_log_likelihoods(probabilities, y))
    loss = data_loss + 0.5 * reg * np.sum(W * W)
    dscores = softmax_residual(probabilities, y) / len(X)
    return loss, propagate(dscores, X, W, reg)


def torch_mean(X: Any, y: Any, W: Any, b: Any, reg: float) -> Any:
    """Mean loss in PyTorch, forward only."""
    return _torch_loss(X, y, W, b, reg, reduction="mean")


def torch_sum(X: Any, y: Any, W: Any, b: Any, reg: float) -> Any:
    """Summed loss in PyTorch, forward only."""
    return _torch_loss(X, y, W, b, reg, reduction="sum")


def _torch_loss(X: Any, y: Any, W: Any, b: Any, reg: float, *, reduction: str) -> Any:
    from torch.nn.functional import cross_entropy

    return cross_entropy(X @ W + b, y, reduction=reduction) + reg / 2 * W.square().sum()


def training_start() -> tuple[Floats, Labels, Floats, Floats, np.random.RandomState]:
    """Return the published start ``(X, y, W, b, generator)``.

    The spiral is drawn first from seed 0. The published weights are the *fourth* draw that follows
    it: the author had evidently run that line four times. ``generator`` is left just behind it.
    """
    generator = np.random.RandomState(0)
    X, y = spiral(generator)
    for _ in range(4):
        W = 0.01 * generator.randn(2, 3)
    return X, y, W, np.zeros((1, 3)), generator


def train(
    *, n_iterations: int = 200, step: float = 1.0, reg: float = 1e-3
) -> tuple[list[float], float]:
    """Return the losses before each update of gradient descent, and the final accuracy."""
    X, y, W, b, _ = training_start()
    losses = []
    for _ in range(n_iterations):
        loss, gradient = mean_early(X, y, W, b, reg)
        losses.append(float(loss))
        W -= step * gradient["W"]
        b -= step * gradient["b"]
    return losses, accuracy(X @ W + b, y)


def training_traces() -> tuple[TrainingTrace, ...]:
    """Return the reproduced training curve beside the published one."""
    losses, _ = train()
    return (
        TrainingTrace(
            family="spiral_softmax",
            title="Linear softmax classifier on the spiral",
            reproduced=tuple((step, losses[step]) for step in PUBLISHED_LOSSES),
            published=tuple(PUBLISHED_LOSSES.items()),
        ),
    )


def generic_inputs() -> dict[str, Any]:
    """Return the full spiral with weights and biases that are neither tiny nor zero."""
    generator = np.random.default_rng(1)
    X, y = spiral()
    W = 0.5 * generator.normal(size=(2, 3))
    b = 0.3 * generator.normal(size=(1, 3))
    return {"X": X, "y": y, "W": W, "b": b, "reg": 0.1}


def overflowing_inputs() -> dict[str, Any]:
    """Return weights at which some score exceeds 710, the logarithm of the largest float64."""
    inputs = generic_inputs()
    return {**inputs, "W": 4000 * inputs["W"]}


CASES = (
    Case(
        "spiral_softmax.mean_early",
        mean_early,
        generic_inputs,
        torch=torch_mean,
        expect=correct(),
        source=SOURCE,
    ),
    Case(
        "spiral_softmax.mean_late",
        mean_late,
        generic_inputs,
        torch=torch_mean,
        expect=correct(),
        source=SOURCE,
        note="Divides by N after the propagation instead of before it: the same gradient.",
    ),
    Case(
        "spiral_softmax.sum",
        summed,
        generic_inputs,
        torch=torch_sum,
        expect=correct(),
        source=SOURCE,
        note="The loss is the sum over the examples, so that nothing is divided.",
    ),
    Case(
        "spiral_softmax.undivided",
        undivided,
        generic_inputs,
        torch=torch_mean,
        expect=faulty("batch_not_divided", "W", "b"),
        source=SOURCE,
        note="The loss is a mean over 300 examples; its gradient is never divided by 300.",
    ),
    Case(
        "spiral_softmax.aliased",
        aliased,
        generic_inputs,
        torch=torch_mean,
        expect=correct(),
        source=SOURCE,
        note="The score gradient overwrites the probabilities, which nothing reads any more.",
    ),
    Case(
        "spiral_softmax.unshifted",
        unshifted,
        generic_inputs,
        torch=torch_mean,
        expect=correct(),
        source=SOURCE,
        note="The published softmax: the row maximum is not subtracted. Right for small scores.",
    ),
    Case(
        "spiral_softmax.unshifted_overflow",
        unshifted,
        overflowing_inputs,
        torch=torch_mean,
        expect=erroneous("non_finite_loss"),
        source=SOURCE,
        note="exp overflows at scores above about 710: the loss is nan.",
    ),
)

STORIES = (
    Story(
        title="A gradient 300 times too long",
        text=(
            "The classifier's loss is a mean over 300 examples. Whoever derives the gradient of "
            "one example and adds these up gets the gradient of the sum, and has to divide by "
            "300. Without the division the regulariser still comes out right, so that the result "
            "is not simply a multiple of the true gradient. The check takes the two terms apart: "
            "the data term is too large by exactly the number of rows of X."
        ),
        check="spiral_softmax.undivided",
    ),
    Story(
        title="The softmax that works until it does not",
        text=(
            "The published classifier exponentiates the scores as they are. At the scores of this "
            "exercise that is right, and the check passes it. Above a score of about 710 the "
            "exponential overflows and the loss becomes nan. The check then reports a loss that "
            "is not finite, and does not blame the gradient. Subtracting the row's maximum from "
            "the scores changes no probability and removes the overflow."
        ),
        check="spiral_softmax.unshifted_overflow",
    ),
)
