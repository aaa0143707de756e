"""The right variants of the reference models, annotated for mechanical mutation.

The models carry no marks of their own; the annotations of ``networks`` are given here, by the text
of the line they belong to.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.mutation import Annotated


@dataclass(frozen=True)
class Reference:
    """One case of a family: the functions its lines are in, forward labels, backward notes."""

    family: str
    case: str
    function: str
    within: tuple[str, ...]
    labels: Mapping[str, str]
    notes: Mapping[str, str]


_SCORES_W = {"scores": "scores = X @ W + b"}

REFERENCES = (
    Reference(
        "spiral_softmax",
        "mean_early",
        "mean_early",
        ("mean_loss", "propagate", "mean_early"),
        {**_SCORES_W, "mean": "data_loss = np.mean(", "reg": "return data_loss + 0.5 * reg"},
        {
            "dscores = softmax_residual(probabilities, y) / len(X)": "avg=mean",
            "dW = X.T @ dscores + reg * W": "out=scores reg=reg",
            "db = np.sum(dscores, axis=0, keepdims=True)": "out=scores",
        },
    ),
    Reference(
        "spiral_softmax",
        "mean_late",
        "mean_late",
        ("mean_loss", "mean_late"),
        {**_SCORES_W, "mean": "data_loss = np.mean(", "reg": "return data_loss + 0.5 * reg"},
        {
            "dW = X.T @ dscores": "data=scores",
            "db = np.sum(dscores, axis=0, keepdims=True)": "out=scores",
            "dW /= len(X)": "avg=mean",
            "db /= len(X)": "avg=mean",
            "dW += reg * W": "reg=reg",
        },
    ),
    Reference(
        "spiral_relu_net",
        "published",
        "published",
        ("forward", "published"),
        {
            "z1": "pre_activation = X @ W + b",
            "relu": "hidden = np.maximum(0, pre_activation)",
            "z2": "scores = hidden @ W2 + b2",
            "mean": "data_loss = np.mean(",
        },
        {
            "dscores = softmax_residual(probabilities, y) / len(X)": "avg=mean",
            "dhidden = dscores @ W2.T": "of=z2",
            "dhidden[hidden <= 0] = 0": "mask=relu",
        },
    ),
    Reference(
        "mnist_relu_net",
        "corrected",
        "corrected",
        ("relu", "softmax_gradient", "regularised", "forward", "backward", "corrected"),
        {
            "relu": "x[x < 0] = 0",
            "z1": "Z1 = X @ W1 + b1",
            "z2": "Z2 = A1 @ W2 + b2",
            "mean": "loss = np.mean(",
            "reg": "loss = loss + 0.5 * reg",
        },
        {
            "probabilities /= len(y)": "avg=mean",
            "dscores[A2 <= 0] = 0": "mask=relu",
            "dhidden[A1 <= 0] = 0": "mask=relu",
            "dhidden = dscores @ W2.T": "of=z2",
            "dW2 = A1.T @ dscores + reg * W2": "out=z2 reg=reg",
            "db2 = np.sum(dscores, axis=0, keepdims=True) + reg * b2": "out=z2 reg=reg",
            "dW1 = X.T @ dhidden + reg * W1": "out=z1 reg=reg",
            "db1 = np.sum(dhidden, axis=0, keepdims=True) + reg * b1": "out=z1 reg=reg",
        },
    ),
    Reference(
        "tanh_logistic_net",
        "naive",
        "naive",
        ("forward", "backward", "naive"),
        {
            "g": "G = X @ U.T + b",
            "tanh": "hidden = np.tanh(G)",
            "z": "z = hidden @ W + c",
            "output": "y = 1 / (1 + np.exp(-z))",
            "mean": "loss = np.mean(losses)",
        },
        {
            "dG = np.outer(dz, W) * (1 - hidden**2)": "of=z act=tanh",
            "dz = (y - t) / len(t)": "of=output avg=mean act=output extra=y*(1-y)",
        },
    ),
    Reference(
        "tanh_logistic_net",
        "stable",
        "stable",
        ("forward", "backward", "stable"),
        {
            "tanh": "hidden = np.tanh(G)",
            "z": "z = hidden @ W + c",
            "mean": "loss = np.mean(losses)",
        },
        {
            "dG = np.outer(dz, W) * (1 - hidden**2)": "of=z act=tanh",
            "dz = (y - t) / len(t)": "avg=mean",
        },
    ),
    Reference(
        "two_layer_net",
        "unscaled",
        "unscaled",
        ("forward", "softmax_loss", "data_term", "unscaled"),
        {
            "z1": "Z = X @ W1 + b1",
            "relu": "A = np.maximum(0, Z)",
            "z2": "scores = A @ W2 + b2",
            "prob": "P = exponentials /",
            "mean": "loss = -np.mean(",
            "reg": "loss += reg * (",
        },
        {
            "dscores[np.arange(n), y] -= 1": "term=prob",
            "dA = dscores @ W2.T": "of=z2",
            "dA[A <= 0] = 0": "mask=relu",
            '"W1": X.T @ dA,': "data=z1",
            '"b1": np.sum(dA, axis=0),': "out=z1",
            '"W2": A.T @ dscores,': "data=z2",
            '"b2": np.sum(dscores, axis=0),': "out=z2",
            'grads["W1"] += 2 * reg * W1': "reg=reg",
            'grads["W2"] += 2 * reg * W2': "reg=reg",
        },
    ),
    Reference(
        "random_relu_regression",
        "published",
        "published",
        ("forward", "backward", "published"),
        {
            "h": "h = x @ w1",
            "relu": "r = np.maximum(h, 0)",
            "yhat": "yhat = r @ w2",
            "residual": "residual = yhat - y",
        },
        {
            "dr = dyhat @ w2.T": "of=yhat",
            "dh[h < 0] = 0": "mask=relu",
            "dyhat = 2 * residual": "of=residual",
        },
    ),
    Reference(
        "softmax_columns",
        "vectorised",
        "vectorised",
        ("vectorised",),
        {
            "f": "f = W @ X",
            "nll": "losses = np.log(totals) - f[y",
            "mean": "loss = np.mean(losses) + 0.5",
        },
        {
            "df[y, np.arange(n)] -= 1": "term=nll",
            'return loss, {"W": df @ X.T / n + reg * W}': "reg=mean avg=mean",
        },
    ),
)


def annotated() -> Iterator[tuple[str, Annotated, dict[str, Any], tuple[str, ...]]]:
    """Yield function, annotated module, inputs and parameter names of every reference."""
    for reference in REFERENCES:
        module = importlib.import_module(f"reference_models.{reference.family}")
        name = f"{reference.family}.{reference.case}"
        case = next(case for case in module.CASES if case.name == name)
        inputs = dict(case.inputs() if callable(case.inputs) else case.inputs)
        file = str(module.__file__)
        _, gradients = case.target(**_copies(inputs))
        yield reference.function, _annotated(reference, file), inputs, tuple(gradients)


def _copies(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.copy() if hasattr(v, "copy") else v for k, v in inputs.items()}


def _annotated(reference: Reference, file: str) -> Annotated:
    source = Path(file).read_text()
    tree = ast.parse(source)
    lines = source.splitlines()
    spans = {
        node.name: range(node.lineno, (node.end_lineno or node.lineno) + 1)
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }

    def find(text: str) -> int:
        for function in reference.within:
            for number in spans[function]:
                if lines[number - 1].strip().startswith(text):
                    return number
        raise LookupError(f"{file}: no line {text!r} in {', '.join(reference.within)}")

    notes = {
        find(text): dict(pair.split("=", 1) for pair in note.split())
        for text, note in reference.notes.items()
    }
    labels = {label: (file, find(text)) for label, text in reference.labels.items()}
    return Annotated(file, tree, notes, labels)
