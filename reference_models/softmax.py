"""The softmax classifier's last layer, as several families share it: one example a row."""

from __future__ import annotations

import numpy as np

from reference_models.data import Floats, Labels


def softmax_rows(scores: Floats) -> Floats:
    """Return the class probabilities ``(N, K)`` of the scores ``(N, K)``; each row sums to 1.

    Subtracting the row's maximum changes no probability and keeps ``exp`` from overflowing.
    """
    shifted = scores - np.max(scores, axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return exponentials / np.sum(exponentials, axis=1, keepdims=True)


def negative_log_likelihoods(probabilities: Floats, y: Labels) -> Floats:
    """Return the loss of each example, ``-log P[i, y_i]``, shape ``(N,)``."""
    right_class = probabilities[np.arange(len(y)), y]
    return -np.log(right_class)


def softmax_residual(probabilities: Floats, y: Labels) -> Floats:
    """Return ``P - 1[y]``, shape ``(N, K)``: the gradient of the *summed* loss by the scores."""
    residual = probabilities.copy()
    residual[np.arange(len(y)), y] -= 1
    return residual


def accuracy(scores: Floats, y: Labels) -> float:
    """Return the share of rows whose largest score is that of the right class."""
    return float(np.mean(np.argmax(scores, axis=1) == y))
