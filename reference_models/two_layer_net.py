"""A two-layer ReLU network with softmax loss, its parameters in a dictionary of the object.

Source: the class ``TwoLayerNet`` of the first assignment of Stanford's course CS231n, as its many
public solutions write it. The published class is right.

The regulariser comes in two conventions, and editions of the assignment differ in it:
``reg * sum(W**2)`` with gradient ``2 * reg * W``, and ``reg / 2 * sum(W**2)`` with gradient
``reg * W``. Each is right by itself. The mistakes below take the loss from one and the gradient
from the other, forget the gradient, or regularise the biases in the gradient alone. With ``reg``
near 0 and zero biases, as training starts in public, none of them shows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.case import Case, correct, faulty
from gradcheck.report import Story
from reference_models.data import Floats, Labels

Gradients = dict[str, Floats]

SOURCE = "Class TwoLayerNet, assignment 1 of Stanford's CS231n, as public solutions write it."


def forward(X: Floats, W1: Floats, b1: Floats, W2: Floats, b2: Floats) -> tuple[Floats, Floats]:
    """Return the hidden layer ``A (N, H)`` and the scores ``(N, C)``."""
    Z = X @ W1 + b1
    A = np.maximum(0, Z)
    scores = A @ W2 + b2
    return A, scores


def softmax_loss(scores: Floats, y: Labels) -> tuple[float, Floats]:
    """Return the mean cross-entropy and its gradient by the scores ``(N, C)``.

    The scores are shifted by their row maximum in place.
    """
    n = len(y)
    scores -= np.max(scores, axis=1, keepdims=True)
    exponentials = np.exp(scores)
    P = exponentials / np.sum(exponentials, axis=1, keepdims=True)
    loss = -np.mean(np.log(P[np.arange(n), y]))

    dscores = P.copy()
    dscores[np.arange(n), y] -= 1
    return loss, dscores / n


def data_term(
    W1: Floats, b1: Floats, W2: Floats, b2: Floats, X: Floats, y: Labels
) -> tuple[float, Gradients]:
    """Return the loss without regulariser, and its gradients."""
    A, scores = forward(X, W1, b1, W2, b2)
    loss, dscores = softmax_loss(scores, y)

    dA = dscores @ W2.T
    dA[A <= 0] = 0
    grads = {
        "W1": X.T @ dA,
        "b1": np.sum(dA, axis=0),
        "W2": A.T @ dscores,
        "b2": np.sum(dscores, axis=0),
    }
    return loss, grads


def unscaled(
    W1: Floats, b1: Floats, W2: Floats, b2: Floats, X: Floats, y: Labels, reg: float
) -> tuple[float, Gradients]:
    """``reg * sum(W**2)`` with gradient ``2 * reg * W``: the published convention."""
    loss, grads = data_term(W1, b1, W2, b2, X, y)
    loss += reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
    grads["W1"] += 2 * reg * W1
    grads["W2"] += 2 * reg * W2
    return loss, grads


def scaled(
    W1: Floats, b1: Floats, W2: Floats, b2: Floats, X: Floats, y: Labels, reg: float
) -> tuple[float, Gradients]:
    """``reg / 2 * sum(W**2)`` with gradient ``reg * W``: the other convention."""
    loss, grads = data_term(W1, b1, W2, b2, X, y)
    loss += 0.5 * reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
    grads["W1"] += reg * W1
    grads["W2"] += reg * W2
    return loss, grads


def half_loss_double_grad(
    W1: Floats, b1: Floats, W2: Floats, b2: Floats, X: Floats, y: Labels, reg: float
) -> tuple[float, Gradients]:
    """Wrong: the loss of ``scaled`` with the gradient of ``unscaled``."""
    loss, grads = data_term(W1, b1, W2, b2, X, y)
    loss += 0.5 * reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
    grads["W1"] += 2 * reg * W1
    grads["W2"] += 2 * reg * W2
    return loss, grads


def full_loss_single_grad(
    W1: Floats, b1: Floats, W2: Floats, b2: Floats, X: Floats, y: Labels, reg: float
) -> tuple[float, Gradients]:
    """Wrong: the loss of ``unscaled`` with the gradient of ``scaled``."""
    loss, grads = data_term(W1, b1, W2, b2, X, y)
    loss += reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
    grads["W1"] += reg * W1
    grads["W2"] += reg * W2
    return loss, grads


def reg_missing(
    W1: Floats, b1: Floats, W2: Floats, b2: Floats, X: Floats, y: Labels, reg: float
) -> tuple[float, Gradients]:
    """Wrong: regularises the loss and forgets the gradient."""
    loss, grads = data_term(W1, b1, W2, b2, X, y)
    loss += reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
    return loss, grads


def reg_on_biases(
    W1: Floats, b1: Floats, W2: Floats, b2: Floats, X: Floats, y: Labels, reg: float
) -> tuple[float, Gradients]:
    """Wrong: the gradient regularises the biases, the loss does not."""
    loss, grads = data_term(W1, b1, W2, b2, X, y)
    loss += reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
    grads["W1"] += 2 * reg * W1
    grads["b1"] += 2 * reg * b1
    grads["W2"] += 2 * reg * W2
    grads["b2"] += 2 * reg * b2
    return loss, grads


class TwoLayerNet:
    """The published class: ``params`` holds W1 (D, H), b1 (H,), W2 (H, C) and b2 (C,)."""

    def __init__(
        self,
        n_inputs: int,
        n_hidden: int,
        n_classes: int,
        std: float = 1e-4,
        generator: np.random.RandomState | None = None,
    ) -> None:
        generator = generator or np.random.RandomState(0)
        self.params: Gradients = {
            "W1": std * generator.randn(n_inputs, n_hidden),
            "b1": np.zeros(n_hidden),
            "W2": std * generator.randn(n_hidden, n_classes),
            "b2": np.zeros(n_classes),
        }

    def loss(self, X: Floats, y: Labels | None = None, reg: float = 0.0) -> Any:
        """Return the scores ``(N, C)`` without ``y``, else the loss and its gradients."""
        W1, W2 = self.params["W1"], self.params["W2"]
        A, scores = forward(X, **self.params)
        if y is None:
            return scores
        loss, dscores = softmax_loss(scores, y)
        loss += reg * (np.sum(W1 * W1) + np.sum(W2 * W2))

        grads = {"W2": A.T @ dscores + 2 * reg * W2, "b2": np.sum(dscores, axis=0)}
        dA = dscores @ W2.T
        dA[A == 0] = 0  # what the ReLU has cut off is exactly 0: as good a mask as A <= 0
        grads["W1"] = X.T @ dA + 2 * reg * W1
        grads["b1"] = np.sum(dA, axis=0)
        return loss, grads

    def train(
        self,
        X: Floats,
        y: Labels,
        *,
        learning_rate: float = 1e-3,
        learning_rate_decay: float = 0.95,
        reg: float = 5e-6,
        iterations: int = 100,
        batch_size: int = 200,
        generator: np.random.RandomState | None = None,
    ) -> list[float]:
        """Descend on minibatches drawn with replacement; return the loss of each batch."""
        generator = generator or np.random.RandomState(0)
        iterations_per_epoch = max(len(y) // batch_size, 1)
        losses = []
        for iteration in range(1, iterations + 1):
            batch = generator.choice(len(y), batch_size)
            loss, grads = self.loss(X[batch], y[batch], reg)
            losses.append(float(loss))
            for name, grad in grads.items():
                self.params[name] -= learning_rate * grad
            if iteration % iterations_per_epoch == 0:
                learning_rate *= learning_rate_decay
        return losses

    def predict(self, X: Floats) -> Labels:
        """Return the class of the highest score for each row of ``X``."""
        return np.argmax(self.loss(X), axis=1)


def torch_unscaled(W1: Any, b1: Any, W2: Any, b2: Any, X: Any, y: Any, reg: float) -> Any:
    """The loss with ``reg * sum(W**2)`` in PyTorch: forward pass only."""
    from torch.nn.functional import cross_entropy

    scores = (X @ W1 + b1).relu() @ W2 + b2
    return cross_entropy(scores, y) + reg * (W1.square().sum() + W2.square().sum())


def torch_scaled(W1: Any, b1: Any, W2: Any, b2: Any, X: Any, y: Any, reg: float) -> Any:
    """The loss with ``reg / 2 * sum(W**2)`` in PyTorch."""
    return torch_unscaled(W1, b1, W2, b2, X, y, reg / 2)


def torch_bound(X: Any, y: Any, reg: float, params: dict[str, Any]) -> Any:
    """The loss of the bound method in PyTorch, which gets the object's parameters as ``params``."""
    return torch_unscaled(**params, X=X, y=y, reg=reg)


def toy_data() -> dict[str, Any]:
    """Return the assignment's toy data: ``X (5, 4)``, large, and labels of three classes."""
    return {"X": 10 * np.random.RandomState(1).randn(5, 4), "y": np.array([0, 1, 2, 2, 1])}


def toy_net(*, std: float = 0.1, bias_std: float = 0.0) -> TwoLayerNet:
    """Return the assignment's toy network: 4 inputs, 10 hidden units, 3 classes."""
    net = TwoLayerNet(4, 10, 3, std=std, generator=np.random.RandomState(0))
    generator = np.random.RandomState(2)
    net.params["b1"] += bias_std * generator.randn(10)
    net.params["b2"] += bias_std * generator.randn(3)
    return net


def generic_point() -> dict[str, Any]:
    """Return parameters and data at which every mistake shows."""
    return {**toy_net(bias_std=0.1).params, **toy_data(), "reg": 0.1}


def published_scale_point() -> dict[str, Any]:
    """Return the class's own starting point: weights of 1e-4, zero biases."""
    return {**toy_net(std=1e-4).params, **toy_data(), "reg": 0.1}


def bound_method_inputs() -> dict[str, Any]:
    """Return the arguments of the bound method; its parameters live in the object."""
    return {**toy_data(), "reg": 0.1}


NET = toy_net(bias_std=0.1)  # its bound method ``loss`` is checked

CASES = (
    Case(
        "two_layer_net.unscaled",
        unscaled,
        generic_point,
        torch=torch_unscaled,
        expect=correct(),
        source=SOURCE,
        note="The published convention: reg * sum(W**2) with gradient 2 * reg * W.",
    ),
    Case(
        "two_layer_net.scaled",
        scaled,
        generic_point,
        torch=torch_scaled,
        expect=correct(),
        source=SOURCE,
        note="The other convention: reg / 2 * sum(W**2) with gradient reg * W.",
    ),
    Case(
        "two_layer_net.half_loss_double_grad",
        half_loss_double_grad,
        generic_point,
        torch=torch_scaled,
        expect=faulty("reg_scale", "W1", "W2"),
        source=SOURCE,
        note="The regulariser's gradient is twice what its loss says.",
    ),
    Case(
        "two_layer_net.full_loss_single_grad",
        full_loss_single_grad,
        generic_point,
        torch=torch_unscaled,
        expect=faulty("reg_scale", "W1", "W2"),
        source=SOURCE,
        note="The regulariser's gradient is half of what its loss says.",
    ),
    Case(
        "two_layer_net.reg_missing",
        reg_missing,
        generic_point,
        torch=torch_unscaled,
        expect=faulty("reg_missing", "W1", "W2"),
        source=SOURCE,
        note="The loss is regularised, the gradient is not.",
    ),
    Case(
        "two_layer_net.reg_on_biases",
        reg_on_biases,
        generic_point,
        torch=torch_unscaled,
        expect=faulty("reg_extra", "b1", "b2"),
        source=SOURCE,
        note="The gradient regularises the biases, the loss does not; zero biases would hide it.",
    ),
    Case(
        "two_layer_net.published_scale",
        unscaled,
        published_scale_point,
        torch=torch_unscaled,
        expect=correct(),
        source=SOURCE,
        note="At weights of 1e-4 the usual step of 1e-5 crosses kinks: right, and looks wrong.",
    ),
    Case(
        "two_layer_net.bound_method",
        NET.loss,
        bound_method_inputs,
        params=NET.params,
        torch=torch_bound,
        expect=correct(),
        source=SOURCE,
        note="The published class itself: a bound method whose parameters live in self.params.",
    ),
)

STORIES = (
    Story(
        title="Two conventions for one regulariser",
        text=(
            "Some editions of the assignment add reg * sum(W**2) to the loss, others half of it, "
            "and public solutions mix the loss of one with the gradient of the other. The "
            "penalty's gradient is then twice or half of what the loss says, which at the "
            "published reg of 5e-6 nobody sees. Training works all the same, with another strength "
            "of the penalty than the one written down. The check fails W1 and W2, passes the "
            "biases, and says by which factor the penalty is off."
        ),
        check="two_layer_net.half_loss_double_grad",
    ),
    Story(
        title="A right gradient that looks wrong",
        text=(
            "The class starts from weights of 1e-4 and zero biases. The step of 1e-5 that gradient "
            "checks commonly use is then long enough to switch hidden units on and off, and "
            "central differences are off by 10% or more. The gradient is right. The check notices "
            "the kinks, takes shorter steps, and passes it."
        ),
        check="two_layer_net.published_scale",
    ),
)
