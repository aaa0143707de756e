"""A linear softmax classifier written with loops; the examples are the columns of ``X``.

Source: the loss function of a student solution to Stanford's CS231n softmax exercise, of the
years in which the exercise stored one example a column.

The published loops are right, and slow; ``vectorised`` gives the same numbers. Two mistakes go
with the form. ``indicator_missing`` forgets to subtract 1 at the right class. ``inplace_bug``
centres each example in place: a column of ``X`` is a view, so that the caller's data change.
``wrong_twin`` turns the tables: the gradient is right, and the PyTorch loss it is compared with is
another one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.case import Case, correct, faulty
from gradcheck.report import Expectation, Story, Verdict
from reference_models.data import Floats, Labels

Gradients = dict[str, Floats]

SOURCE = "A student solution of the CS231n softmax exercise, loops and examples in columns."


def example_loss(W: Floats, x: Floats, label: int) -> tuple[float, Floats]:
    """Return the cross-entropy of one example ``x (D,)``, and its probabilities ``(C,)``."""
    f = W @ x
    f = f - np.max(f)
    exponentials = np.exp(f)
    total = np.sum(exponentials)
    loss = -f[label] + np.log(total)
    return loss, exponentials / total


def loops(W: Floats, X: Floats, y: Labels, reg: float) -> tuple[float, Gradients]:
    """Mean cross-entropy of the columns of ``X (D, N)`` for ``W (C, D)``, with a penalty."""
    n_classes, n = len(W), X.shape[1]
    loss = 0.0
    dW = np.zeros_like(W)
    for i in range(n):
        x = X[:, i]
        loss_i, p = example_loss(W, x, y[i])
        loss += loss_i
        for j in range(n_classes):
            dW[j] += (p[j] - (j == y[i])) * x
    loss = loss / n + 0.5 * reg * np.sum(W * W)
    return loss, {"W": dW / n + reg * W}


def vectorised(W: Floats, X: Floats, y: Labels, reg: float) -> tuple[float, Gradients]:
    """The same loss and gradient for all columns at once."""
    n = X.shape[1]
    f = W @ X
    f = f - np.max(f, axis=0)
    exponentials = np.exp(f)
    totals = np.sum(exponentials, axis=0)
    losses = np.log(totals) - f[y, np.arange(n)]
    loss = np.mean(losses) + 0.5 * reg * np.sum(W * W)

    df = exponentials / totals
    df[y, np.arange(n)] -= 1
    return loss, {"W": df @ X.T / n + reg * W}


def indicator_missing(W: Floats, X: Floats, y: Labels, reg: float) -> tuple[float, Gradients]:
    """Wrong: the 1 is not subtracted from the probability of the right class."""
    n_classes, n = len(W), X.shape[1]
    loss = 0.0
    dW = np.zeros_like(W)
    for i in range(n):
        x = X[:, i]
        loss_i, p = example_loss(W, x, y[i])
        loss += loss_i
        for j in range(n_classes):
            dW[j] += p[j] * x
    loss = loss / n + 0.5 * reg * np.sum(W * W)
    return loss, {"W": dW / n + reg * W}


def inplace_bug(W: Floats, X: Floats, y: Labels, reg: float) -> tuple[float, Gradients]:
    """Wrong in what it leaves behind: ``x`` is a view, and centring it changes ``X``."""
    n_classes, n = len(W), X.shape[1]
    loss = 0.0
    dW = np.zeros_like(W)
    for i in range(n):
        x = X[:, i]
        x -= np.mean(x)
        loss_i, p = example_loss(W, x, y[i])
        loss += loss_i
        for j in range(n_classes):
            dW[j] += (p[j] - (j == y[i])) * x
    loss = loss / n + 0.5 * reg * np.sum(W * W)
    return loss, {"W": dW / n + reg * W}


def torch_loss(W: Any, X: Any, y: Any, reg: float) -> Any:
    """The same loss in PyTorch: forward pass only."""
    from torch.nn.functional import cross_entropy

    return cross_entropy((W @ X).T, y) + reg / 2 * W.square().sum()


def torch_loss_centred(W: Any, X: Any, y: Any, reg: float) -> Any:
    """The loss of ``inplace_bug`` in PyTorch, on a centred copy of the data."""
    return torch_loss(W, X - X.mean(dim=0), y, reg)


def torch_loss_double_penalty(W: Any, X: Any, y: Any, reg: float) -> Any:
    """Wrong on purpose: the penalty is ``reg * sum(W**2)``, twice that of the NumPy loss."""
    return torch_loss(W, X, y, 2 * reg)


def generic_point() -> dict[str, Any]:
    """Return 7 examples of 4 inputs and 5 classes, of which class 3 does not occur."""
    generator = np.random.default_rng(0)
    return {
        "W": 0.5 * generator.standard_normal((5, 4)),
        "X": generator.standard_normal((4, 7)),
        "y": np.array([2, 0, 4, 1, 0, 2, 0]),
        "reg": 0.1,
    }


def dyadic_point() -> dict[str, Any]:
    """Return the generic point with ``X`` in multiples of 1/64.

    The mean over four such inputs is exact, and that of the centred ones exactly 0: a second call
    of ``inplace_bug`` repeats the value to the last bit, and no comparison of values can find it.
    """
    point = generic_point()
    return {**point, "X": np.round(64 * point["X"]) / 64}


CASES = (
    Case(
        "softmax_columns.loops",
        loops,
        generic_point,
        torch=torch_loss,
        expect=correct(),
        source=SOURCE,
    ),
    Case(
        "softmax_columns.vectorised",
        vectorised,
        generic_point,
        torch=torch_loss,
        expect=correct(),
        source=SOURCE,
        note="Equal to the loops.",
    ),
    Case(
        "softmax_columns.indicator_missing",
        indicator_missing,
        generic_point,
        torch=torch_loss,
        expect=faulty("term_missing", "W"),
        source=SOURCE,
        note="Wrong in the rows of the classes that occur; class 3 does not, and its row is right.",
    ),
    Case(
        "softmax_columns.inplace_bug",
        inplace_bug,
        dyadic_point,
        torch=torch_loss_centred,
        expect=correct(),
        source=SOURCE,
        note=(
            "The gradient is right for what is computed, but X is centred in place: passes with "
            "the warning mutates_input."
        ),
    ),
    Case(
        "softmax_columns.wrong_twin",
        vectorised,
        generic_point,
        torch=torch_loss_double_penalty,
        expect=Expectation(Verdict.INCONCLUSIVE, "wrong_twin"),
        source=SOURCE,
        note=(
            "The gradient agrees with central differences; the PyTorch twin computes another "
            "loss, with twice the penalty."
        ),
    ),
)

STORIES = (
    Story(
        title="The forgotten 1",
        text=(
            "The score gradient of softmax is the probability minus 1 at the right class. "
            "Without the 1 every class is pushed down and none is pulled up, yet the loss is "
            "computed correctly and looks plausible. "
            "The check fails W in the rows of the classes that occur in the data; the row of the "
            "class that does not is right. "
            "The missing term is the one through the score of the right class."
        ),
        check="softmax_columns.indicator_missing",
    ),
    Story(
        title="A loss that rewrites its data",
        text=(
            "A column of a NumPy array is a view, and centring it in place centres the caller's "
            "data. "
            "A second call returns the same value, because centred data stay as they are; "
            "everything else that uses the data is affected. "
            "The gradient is right for the loss computed, and passes. "
            "The check compares every input before and after the call, data too, and warns that "
            "X was changed."
        ),
        check="softmax_columns.inplace_bug",
    ),
    Story(
        title="When the reference is wrong",
        text=(
            "Here the PyTorch twin adds twice the penalty that the NumPy loss adds. "
            "The analytic gradient and central differences agree, and autograd differs from both. "
            "The check calls that inconclusive and blames the twin, not the gradient: a loss "
            "cannot be refuted by the derivative of another one."
        ),
        check="softmax_columns.wrong_twin",
    ),
)
