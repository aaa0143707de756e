"""Two weight matrices with a ReLU between them, fitted to random numbers by squared error.

Source: the first example of PyTorch's tutorial "Learning PyTorch with Examples", in its NumPy
form: 64 examples, 1000 inputs, 100 hidden units, 10 outputs, everything standard normal, no biases.

The published gradient is right. The model is here for its scale: 101,000 parameters and a loss
near 3e7, summed over examples and outputs. The two mistakes are what readers make of it: the loss
turned into a mean with the gradient left a sum, and the residual taken the wrong way round.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.case import Case, correct, faulty
from gradcheck.report import Story
from reference_models.data import Floats

Gradients = dict[str, Floats]

SOURCE = 'PyTorch\'s tutorial "Learning PyTorch with Examples": the network in NumPy.'


def forward(x: Floats, w1: Floats, w2: Floats) -> tuple[Floats, Floats, Floats]:
    """Return ``h`` and ``r = max(h, 0)``, both (N, H), and the predictions (N, D_out)."""
    h = x @ w1
    r = np.maximum(h, 0)
    yhat = r @ w2
    return h, r, yhat


def backward(dyhat: Floats, x: Floats, h: Floats, r: Floats, w2: Floats) -> Gradients:
    """Return the gradients of w1 (D_in, H) and w2 (H, D_out) from ``dyhat (N, D_out)``."""
    dr = dyhat @ w2.T
    dh = dr.copy()
    dh[h < 0] = 0
    return {"w1": x.T @ dh, "w2": r.T @ dyhat}


def published(x: Floats, y: Floats, w1: Floats, w2: Floats) -> tuple[float, Gradients]:
    """Squared error, summed over examples and outputs."""
    h, r, yhat = forward(x, w1, w2)
    residual = yhat - y
    loss = np.sum(residual**2)

    dyhat = 2 * residual
    return loss, backward(dyhat, x, h, r, w2)


def mean_loss_sum_grad(x: Floats, y: Floats, w1: Floats, w2: Floats) -> tuple[float, Gradients]:
    """Wrong: the loss is averaged over the examples, the gradient is not."""
    h, r, yhat = forward(x, w1, w2)
    residual = yhat - y
    loss = np.sum(residual**2) / len(x)

    dyhat = 2 * residual
    return loss, backward(dyhat, x, h, r, w2)


def residual_sign(x: Floats, y: Floats, w1: Floats, w2: Floats) -> tuple[float, Gradients]:
    """Wrong: the residual is taken the other way round, which the loss does not notice."""
    h, r, yhat = forward(x, w1, w2)
    residual = y - yhat
    loss = np.sum(residual**2)

    dyhat = 2 * residual
    return loss, backward(dyhat, x, h, r, w2)


def torch_sum(x: Any, y: Any, w1: Any, w2: Any) -> Any:
    """The summed squared error in PyTorch: forward pass only, the ReLU as the tutorial's clamp."""
    return ((x @ w1).clamp(min=0) @ w2 - y).square().sum()


def torch_mean(x: Any, y: Any, w1: Any, w2: Any) -> Any:
    """The squared error summed over outputs and averaged over examples, in PyTorch."""
    return torch_sum(x, y, w1, w2) / x.shape[0]


def published_point() -> dict[str, Any]:
    """Return data and initial weights of the published size, all standard normal."""
    n, d_in, n_hidden, d_out = 64, 1000, 100, 10
    generator = np.random.default_rng(0)
    return {
        "x": generator.standard_normal((n, d_in)),
        "y": generator.standard_normal((n, d_out)),
        "w1": generator.standard_normal((d_in, n_hidden)),
        "w2": generator.standard_normal((n_hidden, d_out)),
    }


def train(*, steps: int = 500, step_size: float = 1e-6) -> list[float]:
    """Train as published; return the loss before each step and after the last one."""
    point = published_point()
    losses = []
    for _ in range(steps):
        loss, grads = published(**point)
        losses.append(float(loss))
        for name, grad in grads.items():
            point[name] -= step_size * grad
    losses.append(float(published(**point)[0]))
    return losses


CASES = (
    Case(
        "random_relu_regression.published",
        published,
        published_point,
        torch=torch_sum,
        expect=correct(),
        source=SOURCE,
        note="101,000 parameters and a loss near 3e7: the standing test of scale.",
    ),
    Case(
        "random_relu_regression.mean_loss_sum_grad",
        mean_loss_sum_grad,
        published_point,
        torch=torch_mean,
        expect=faulty("batch_not_divided", "w1", "w2"),
        source=SOURCE,
        note="The loss is averaged over 64 examples, the gradient is not: 64 times too long.",
    ),
    Case(
        "random_relu_regression.residual_sign",
        residual_sign,
        published_point,
        torch=torch_sum,
        expect=faulty("sign", "w1", "w2"),
        source=SOURCE,
        note="The residual is y - yhat; the gradient wants yhat - y.",
    ),
)

STORIES = (
    Story(
        title="A mean in the loss, a sum in the gradient",
        text=(
            "The published loss is a sum, and its step of 1e-6 is chosen for it. "
            "Readers turn the loss into a mean over the 64 examples and leave the gradient alone. "
            "The direction is right and only the length is wrong, so that a smaller step hides "
            "the mistake for good. "
            "The check fails both matrices and finds the factor 64, the number of examples."
        ),
        check="random_relu_regression.mean_loss_sum_grad",
    ),
    Story(
        title="The residual the other way round",
        text=(
            "Squared error does not care whether the residual is yhat - y or y - yhat; its "
            "gradient does. "
            "With the second form and no minus sign, every step climbs. "
            "The check finds that each entry of the gradient is the negative of the right one."
        ),
        check="random_relu_regression.residual_sign",
    ),
)
