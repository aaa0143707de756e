"""A constant factor of one operation that is left out is named where it stands."""

import numpy as np
import pytest
from conftest import needs_torch

import gradcheck

pytestmark = needs_torch


def attention(Wq, Wk, X, Y, masked, slope):
    Q, K = X @ Wq, X @ Wk
    scores = Q @ K.T / np.sqrt(K.shape[1])
    if masked:
        scores = np.where(np.tril(np.ones(scores.shape, bool)), scores, -1e9)
    A = np.exp(scores - scores.max(-1, keepdims=True))
    A = A / A.sum(-1, keepdims=True)
    off = A @ X - Y
    dA = 2 * off @ X.T
    dS = A * (dA - (dA * A).sum(-1, keepdims=True)) * slope
    return np.sum(off**2), {"Wq": X.T @ dS @ K, "Wk": X.T @ dS.T @ Q}


def inputs(**more):
    draw = np.random.default_rng(16)
    shapes = {"Wq": (6, 4), "Wk": (6, 4), "X": (5, 6), "Y": (5, 6)}
    return {name: draw.normal(size=shape) for name, shape in shapes.items()} | more


@pytest.mark.parametrize("masked", [True, False])
def test_a_scale_before_a_mask_is_no_missing_mask(masked):
    wrt = ["Wq", "Wk"]
    assert gradcheck.check(attention, inputs(masked=masked, slope=0.5), wrt).verdict == "pass"
    (found,) = gradcheck.check(attention, inputs(masked=masked, slope=1.0), wrt).diagnoses
    assert (found.cause, found.confidence) == ("scale", "exact")
    assert "np.sqrt(K.shape[1])" in found.location.source


def test_a_mask_that_matters_is_missed_with_its_scale():
    def loss(W, X, Y):
        hidden = np.maximum(X @ W / 4, 0)
        off = hidden - Y
        return np.sum(off**2), {"W": X.T @ (2 * off)}

    draw = np.random.default_rng(0)
    point = {name: draw.normal(size=shape) for name, shape in (("W", (3, 2)), ("X", (9, 3)))}
    (found,) = gradcheck.check(loss, {**point, "Y": draw.normal(size=(9, 2))}, "W").diagnoses
    assert found.cause == "activation_mask_missing"
