"""Linear regression of ``y = x^2`` on polynomial features, in PyTorch and in NumPy.

Published in a tutorial on linear regression in PyTorch; its printed numbers are
``PUBLISHED_RAW`` and ``PUBLISHED_NORMALISED``. Both gradients are right. On the raw features the
training diverges all the same: the step 0.01 is too long for a loss whose curvature reaches 413.6
(gradient descent needs less than 2/413.6 = 0.0048). On standardised features it converges; the
published numbers there come from a step of 0.03, although the text prints 0.02.

Shapes: ``x (5,)`` and ``y (5, 1)`` are integers. With ``y (5,)`` the difference from the
prediction ``(5, 1)`` would broadcast to ``(5, 5)``. Raw: ``w (3, 1)``; standardised: ``w (2, 1)``,
``b (1,)``. The PyTorch functions return the loss, whose backward pass is on trial; the NumPy ones
return ``(loss, gradient by parameter name)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.case import Case, correct, erroneous
from gradcheck.report import Story, TrainingTrace
from reference_models.data import Floats, Labels

LossAndGradient = tuple[float, dict[str, Floats]]

SOURCE = "a tutorial on linear regression with polynomial features in PyTorch"

RAW_STEP = 0.01
NORMALISED_STEP = 0.03

PUBLISHED_RAW = {
    0: (25.45, (0.57, 0.81, 1.898)),
    10: (2.10415e11, (5529.58, 22452.4, 97326.1)),
    20: (1.78208e21, (5.0884e8, 2.0662e9, 8.9568e9)),
}
"""By iteration: the loss before the update and ``w`` after it, in float32."""

PUBLISHED_NORMALISED = {0: 0.257558, 10: 0.0799487, 20: 0.0283290}
"""Loss by iteration, before the update, in float32."""

PUBLISHED_NORMALISED_W = (0.49954653, 0.5004535)
"""``w`` after iteration 0."""


def raw(x: Any, y: Any, w: Any) -> Any:
    """Return the mean squared error on the features ``[1, x, x^2]``, in PyTorch."""
    import torch

    features = torch.stack([torch.ones_like(x), x, x**2], dim=1).to(w.dtype)
    residual = features @ w - y
    return residual.square().mean()


def normalised(x: Any, y: Any, w: Any, b: Any) -> Any:
    """Return the mean squared error on standardised ``[x, x^2]`` and targets, in PyTorch."""
    import torch

    features = torch.stack([x, x**2], dim=1).to(w.dtype)
    features = (features - features.mean(dim=0)) / features.std(dim=0)
    target = y.to(w.dtype)
    target = (target - target.mean(dim=0)) / target.std(dim=0)
    residual = features @ w + b - target
    return residual.square().mean()


def raw_numpy(x: Labels, y: Labels, w: Floats) -> LossAndGradient:
    """Return the loss of ``raw`` with its gradient."""
    features = np.column_stack([np.ones(len(x)), x, x**2])
    residual = features @ w - y
    loss = np.mean(residual * residual)
    dw = 2 / len(x) * features.T @ residual
    return loss, {"w": dw}


def normalised_numpy(x: Labels, y: Labels, w: Floats, b: Floats) -> LossAndGradient:
    """Return the loss of ``normalised`` with its gradient."""
    features = standardise(np.column_stack([x, x**2]))
    prediction = features @ w + b
    residual = prediction - standardise(y)
    loss = np.mean(residual * residual)
    dw = 2 / len(x) * features.T @ residual
    db = 2 / len(x) * np.sum(residual, axis=0)
    return loss, {"w": dw, "b": db}


def standardise(columns: Floats | Labels) -> Floats:
    """Return each column less its mean, over its *unbiased* standard deviation."""
    return (columns - columns.mean(axis=0)) / columns.std(axis=0, ddof=1)


def data() -> dict[str, Labels]:
    """Return ``x = 1..5`` and ``y = x^2`` as a column, both of integers."""
    x = np.arange(1, 6)
    return {"x": x, "y": x.reshape(5, 1) ** 2}


def raw_start() -> dict[str, Floats]:
    """Return the published starting point of ``raw``."""
    return {"w": np.full((3, 1), 0.5)}


def normalised_start() -> dict[str, Floats]:
    """Return the published starting point of ``normalised``."""
    return {"w": np.full((2, 1), 0.5), "b": np.full(1, 0.5)}


@dataclass(frozen=True)
class Training:
    """By iteration: the loss before the update and the parameters after it."""

    losses: tuple[float, ...]
    parameters: tuple[dict[str, Floats], ...]


def train(
    target: Callable[..., LossAndGradient],
    start: dict[str, Floats],
    *,
    step: float,
    n_iterations: int = 21,
) -> Training:
    """Descend the gradient that ``target(x, y, **parameters)`` returns beside its loss."""
    losses, history = [], []
    parameters = start
    for _ in range(n_iterations):
        loss, gradient = target(**data(), **parameters)
        losses.append(float(loss))
        parameters = {name: value - step * gradient[name] for name, value in parameters.items()}
        history.append(parameters)
    return Training(tuple(losses), tuple(history))


def training_traces() -> tuple[TrainingTrace, ...]:
    """Return both reproduced training curves beside the published ones."""
    diverging = train(raw_numpy, raw_start(), step=RAW_STEP)
    converging = train(normalised_numpy, normalised_start(), step=NORMALISED_STEP)
    return (
        TrainingTrace(
            family="quadratic_regression",
            title="Raw features: the step 0.01 is too long",
            reproduced=tuple(enumerate(diverging.losses)),
            published=tuple((step, loss) for step, (loss, _) in PUBLISHED_RAW.items()),
            log_scale=True,
        ),
        TrainingTrace(
            family="quadratic_regression",
            title="Standardised features",
            reproduced=tuple(enumerate(converging.losses)),
            published=tuple(PUBLISHED_NORMALISED.items()),
            log_scale=True,
        ),
    )


def generic_raw() -> dict[str, Any]:
    """Return weights away from the optimum ``(0, 0, 1)`` in every direction."""
    return {**data(), "w": np.array([[0.7], [-0.4], [0.3]])}


def generic_normalised() -> dict[str, Any]:
    """Return weights and a bias away from the optimum in every direction."""
    return {**data(), "w": np.array([[0.7], [-0.4]]), "b": np.array([0.3])}


def integer_weights() -> dict[str, Any]:
    """Return weights of an integer type, to which no small step can be added."""
    return {**data(), "w": np.array([[1], [-1], [2]])}


def raw_tensors() -> dict[str, Any]:
    """Return ``generic_raw`` as tensors."""
    return as_tensors(generic_raw())


def normalised_tensors() -> dict[str, Any]:
    """Return ``generic_normalised`` as tensors."""
    return as_tensors(generic_normalised())


def as_tensors(arrays: dict[str, Any]) -> dict[str, Any]:
    """Return copies as tensors, of which those of a floating-point type require a gradient."""
    import torch

    return {
        name: torch.tensor(array, requires_grad=array.dtype.kind == "f")
        for name, array in arrays.items()
    }


CASES = (
    Case(
        "quadratic_regression.raw",
        raw,
        raw_tensors,
        wrt=["w"],
        expect=correct(),
        learning_rate=RAW_STEP,
        source=SOURCE,
        note="The gradient is right; the published training diverges because its step is too long.",
    ),
    Case(
        "quadratic_regression.normalised",
        normalised,
        normalised_tensors,
        wrt=["w", "b"],
        expect=correct(),
        learning_rate=NORMALISED_STEP,
        source=SOURCE,
        note="The published numbers come from a step of 0.03; the text beside them prints 0.02.",
    ),
    Case(
        "quadratic_regression.raw_numpy",
        raw_numpy,
        generic_raw,
        torch=raw,
        expect=correct(),
        source=SOURCE,
    ),
    Case(
        "quadratic_regression.normalised_numpy",
        normalised_numpy,
        generic_normalised,
        torch=normalised,
        expect=correct(),
        source=SOURCE,
    ),
    Case(
        "quadratic_regression.int_params",
        raw_numpy,
        integer_weights,
        torch=raw,
        expect=erroneous("integer_parameter"),
        source=SOURCE,
        note="A step added to an entry of an integer array is lost without a word.",
    ),
)

STORIES = (
    Story(
        title="Training that explodes with a right gradient",
        text=(
            "The published regression on raw features reaches a loss of 10^21 within 20 "
            "iterations, and the tutorial goes on to standardise the features. The check passes "
            "the gradient: nothing is wrong with it. It also finds that the curvature of the loss "
            "reaches 413.6, so that any step above 2/413.6 = 0.0048 overshoots further each time, "
            "while the published step is 0.01. With standardised features the limit is 0.63."
        ),
        check="quadratic_regression.raw",
    ),
)
