"""A network of sigmoid layers whose matrices carry the biases as column 0.

Source: exercise 4 of the Coursera course "Machine Learning" (backpropagation on handwritten
digits, 400-25-10), in a public translation to Python. Layer l maps ``[1; a_l]`` by
``theta_l (s_{l+1}, s_l + 1)`` and a sigmoid; the cost is the cross-entropy of every output unit.

The published translation is wrong in its cost function: it receives ``theta`` from the optimiser,
but its forward pass reads the weights that the object has stored. The optimiser moves ``theta``
and the data term stays where it is; the author printed 15.44123 after every iteration and asked
why. ``bias_regularised`` is the other well-known mistake of this exercise.

The published initialiser is off as well, harmlessly: see ``initial_theta_published``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from gradcheck.case import Case, correct, faulty
from gradcheck.report import Story
from reference_models.data import Floats, Labels

Cost = Callable[[list[Floats], Floats, Labels, float], tuple[float, list[Floats]]]

SOURCE = 'Exercise 4 of the Coursera course "Machine Learning", translated to Python.'


def initial_theta(
    layers: Sequence[int], generator: np.random.Generator, epsilon: float = 0.12
) -> list[Floats]:
    """Return weights drawn from [-epsilon, epsilon), one matrix (s_{l+1}, s_l + 1) a layer."""
    return [
        generator.random((n_out, n_in + 1)) * 2 * epsilon - epsilon
        for n_in, n_out in pairwise(layers)
    ]


def initial_theta_published(
    layers: Sequence[int], generator: np.random.Generator, epsilon: float = 0.12
) -> list[Floats]:
    """Return weights as the published expression draws them: from [0, epsilon) only.

    ``rand() * (2 * epsilon - epsilon)`` has one pair of parentheses too many.
    """
    return [
        generator.random((n_out, n_in + 1)) * (2 * epsilon - epsilon)
        for n_in, n_out in pairwise(layers)
    ]


def one_hot(y: Labels, n_classes: int, *, first_label: int = 0) -> Floats:
    """Return targets ``(m, n_classes)``.

    The original exercise counts from 1, with label 10 for the digit 0: ``first_label=1``.
    """
    return np.eye(n_classes)[y - first_label]


def sigmoid(z: Floats) -> Floats:
    """Return 1 / (1 + e^-z)."""
    return 1 / (1 + np.exp(-z))


def with_bias(A: Floats) -> Floats:
    """Return ``A (m, s)`` with a column of ones before it."""
    ones = np.ones((len(A), 1))
    return np.concatenate([ones, A], axis=1)


def forward(theta: list[Floats], X: Floats) -> tuple[list[Floats], Floats]:
    """Return the inputs ``[1, a_l]`` of every layer, and the outputs ``(m, K)``."""
    inputs = []
    a = X
    for weights in theta:
        inputs.append(with_bias(a))
        z = inputs[-1] @ weights.T
        a = sigmoid(z)
    return inputs, a


def cost(theta: list[Floats], output: Floats, T: Floats, lam: float) -> float:
    """Return J: cross-entropy of every output, averaged over examples, plus the penalty."""
    m = len(T)
    cross_entropy = -T * np.log(output) - (1 - T) * np.log(1 - output)
    J = np.sum(cross_entropy) / m
    for weights in theta:
        J = J + lam / (2 * m) * np.sum(weights[:, 1:] ** 2)
    return J


def backward(theta: list[Floats], inputs: list[Floats], output: Floats, T: Floats) -> list[Floats]:
    """Return the gradients of the data term, one a layer."""
    m = len(T)
    grads = []
    delta = output - T
    for weights, a in zip(reversed(theta), reversed(inputs), strict=True):
        grads.append(delta.T @ a / m)
        delta = ((delta @ weights) * a * (1 - a))[:, 1:]
    return grads[::-1]


def without_bias(weights: Floats) -> Floats:
    """Return a copy of ``weights`` whose column 0 is zero: what the penalty sees."""
    penalised = weights.copy()
    penalised[:, 0] = 0
    return penalised


def corrected_vectorised(
    theta: list[Floats], X: Floats, y: Labels, lam: float
) -> tuple[float, list[Floats]]:
    """Return J and its gradients, all examples at once; ``y`` counts from 0."""
    T = one_hot(y, len(theta[-1]))
    inputs, output = forward(theta, X)
    J = cost(theta, output, T, lam)

    grads = backward(theta, inputs, output, T)
    return J, [dw + lam / len(y) * without_bias(w) for dw, w in zip(grads, theta, strict=True)]


def corrected_loop(
    theta: list[Floats], X: Floats, y: Labels, lam: float
) -> tuple[float, list[Floats]]:
    """Return J and its gradients, one example at a time, as the exercise spells it out."""
    m = len(y)
    T = one_hot(y, len(theta[-1]))
    J = 0.0
    grads = [lam / m * without_bias(weights) for weights in theta]
    for weights in theta:
        J += lam / (2 * m) * np.sum(weights[:, 1:] ** 2)
    for x, t in zip(X, T, strict=True):
        a = [np.concatenate([[1.0], x])]
        for weights in theta:
            output = sigmoid(weights @ a[-1])
            a.append(np.concatenate([[1.0], output]))
        J += np.sum(-t * np.log(output) - (1 - t) * np.log(1 - output)) / m

        delta = output - t
        for layer in reversed(range(len(theta))):
            grads[layer] = grads[layer] + np.outer(delta, a[layer]) / m
            derivative = a[layer] * (1 - a[layer])
            delta = ((theta[layer].T @ delta) * derivative)[1:]
    return J, grads


def bias_regularised(
    theta: list[Floats], X: Floats, y: Labels, lam: float
) -> tuple[float, list[Floats]]:
    """Wrong: the gradient of the penalty includes the biases, the penalty does not."""
    T = one_hot(y, len(theta[-1]))
    inputs, output = forward(theta, X)
    J = cost(theta, output, T, lam)

    grads = backward(theta, inputs, output, T)
    return J, [dw + lam / len(y) * w for dw, w in zip(grads, theta, strict=True)]


class StoredWeightsNet:
    """The published class: it keeps weights of its own beside those that the optimiser moves."""

    def __init__(self, theta: list[Floats]) -> None:
        self.stored = [weights.copy() for weights in theta]

    def cost_function(
        self, theta: list[Floats], X: Floats, y: Labels, lam: float
    ) -> tuple[float, list[Floats]]:
        """Wrong: the forward pass reads the stored weights, and J ignores ``theta``."""
        T = one_hot(y, len(theta[-1]))
        inputs, output = forward(self.stored, X)
        J = cost(theta, output, T, lam)

        grads = backward(theta, inputs, output, T)
        return J, [dw + lam / len(y) * without_bias(w) for dw, w in zip(grads, theta, strict=True)]

    def torch_cost(self, theta: list[Any], X: Any, y: Any, lam: float) -> Any:
        """The published cost in PyTorch, its data term as deaf to ``theta`` as the original's."""
        import torch

        stored = [torch.from_numpy(weights) for weights in self.stored]
        return torch_data_term(stored, X, y) + torch_penalty(theta, len(y), lam)


def torch_data_term(theta: list[Any], X: Any, y: Any) -> Any:
    """The cross-entropy of every output in PyTorch, averaged over the examples."""
    from torch.nn.functional import binary_cross_entropy_with_logits, linear, one_hot

    a = X
    for weights in theta[:-1]:
        a = linear(a, weights[:, 1:], weights[:, 0]).sigmoid()
    scores = linear(a, theta[-1][:, 1:], theta[-1][:, 0])
    T = one_hot(y, len(theta[-1])).to(scores.dtype)
    return binary_cross_entropy_with_logits(scores, T, reduction="sum") / len(y)


def torch_penalty(theta: list[Any], m: int, lam: float) -> Any:
    """The penalty on all weights but the biases, in PyTorch."""
    return lam / (2 * m) * sum(weights[:, 1:].square().sum() for weights in theta)


def torch_cost(theta: list[Any], X: Any, y: Any, lam: float) -> Any:
    """The cost in PyTorch: forward pass only."""
    return torch_data_term(theta, X, y) + torch_penalty(theta, len(y), lam)


def roll(theta: list[Floats]) -> Floats:
    """Return all weights in one vector: theta_1 row by row, then theta_2, and so on."""
    return np.concatenate([weights.ravel() for weights in theta])


def unroll(vector: Floats, layers: Sequence[int]) -> list[Floats]:
    """Return the matrices whose ``roll`` is ``vector``."""
    theta = []
    start = 0
    for n_in, n_out in pairwise(layers):
        size = n_out * (n_in + 1)
        theta.append(vector[start : start + size].reshape(n_out, n_in + 1))
        start += size
    return theta


def train(
    cost_function: Cost, theta: list[Floats], X: Floats, y: Labels, *, lam: float, iterations: int
) -> Any:
    """Minimise by SciPy's conjugate gradients; return its ``OptimizeResult``, ``x`` rolled."""
    from scipy.optimize import minimize

    layers = [weights.shape[1] - 1 for weights in theta] + [len(theta[-1])]

    def rolled_cost(vector: Floats) -> tuple[float, Floats]:
        J, grads = cost_function(unroll(vector, layers), X, y, lam)
        return float(J), roll(grads)

    options = {"maxiter": iterations}
    return minimize(rolled_cost, roll(theta), jac=True, method="CG", options=options)


def predict(theta: list[Floats], X: Floats, *, first_label: int = 0) -> Labels:
    """Return the label of the strongest output for each row of ``X``."""
    _, output = forward(theta, X)
    return np.argmax(output, axis=1) + first_label


def generic_point(layers: Sequence[int] = (6, 5, 4), m: int = 7) -> dict[str, Any]:
    """Return weights and data of the given size at which every mistake shows.

    The exercise's own size, 10,285 parameters, is ``layers=(400, 25, 10)``.
    """
    generator = np.random.default_rng(0)
    return {
        "theta": [
            0.5 * generator.standard_normal((n_out, n_in + 1)) for n_in, n_out in pairwise(layers)
        ],
        "X": generator.random((m, layers[0])),
        "y": np.arange(m) % layers[-1],
        "lam": 1.0,
    }


STORED = StoredWeightsNet(generic_point()["theta"])
"""The published object: at the point checked its stored weights equal ``theta``."""

THETAS = ("theta[0]", "theta[1]")

CASES = (
    Case(
        "sigmoid_net.published",
        STORED.cost_function,
        generic_point,
        wrt=("theta",),
        torch=STORED.torch_cost,
        expect=faulty("loss_ignores_parameter", *THETAS),
        source=SOURCE,
        note=(
            "The forward pass reads the stored weights: only the penalty of J depends on theta, "
            "and an optimiser that trusts the gradient stops at once."
        ),
    ),
    Case(
        "sigmoid_net.corrected_loop",
        corrected_loop,
        generic_point,
        wrt=("theta",),
        torch=torch_cost,
        expect=correct(),
        source=SOURCE,
        note="One example at a time.",
    ),
    Case(
        "sigmoid_net.corrected_vectorised",
        corrected_vectorised,
        generic_point,
        wrt=("theta",),
        torch=torch_cost,
        expect=correct(),
        source=SOURCE,
        note="All examples at once; equal to the loop.",
    ),
    Case(
        "sigmoid_net.bias_regularised",
        bias_regularised,
        generic_point,
        wrt=("theta",),
        torch=torch_cost,
        expect=faulty("reg_extra", *THETAS),
        source=SOURCE,
        note="Column 0 is regularised in the gradient but not in the cost.",
    ),
)

STORIES = (
    Story(
        title="An optimiser that did not move",
        text=(
            "The cost function receives theta, but its forward pass reads the weights stored in "
            "the object, a separate copy. "
            "However the optimiser moves theta, the data term stays the same: the author printed "
            "15.44123 after every iteration. "
            "Compared at one point with a textbook formula, the gradient even looks right. "
            "The check shows that the loss depends on theta through the penalty alone, so that "
            "the line search finds no step that does what the gradient promises."
        ),
        check="sigmoid_net.published",
    ),
    Story(
        title="Regularised biases",
        text=(
            "The exercise leaves column 0 of every matrix, the biases, out of the penalty. "
            "Many solutions remember that in the cost and forget it in the gradient. "
            "With biases near zero the difference is tiny, and training hides it. "
            "The check finds that column 0 of both matrices, and nothing else, is off by lambda/m "
            "times the parameter."
        ),
        check="sigmoid_net.bias_regularised",
    ),
)
