"""Least squares at its optimum, with features of many sizes, in double precision.

The gradient is what rounding leaves of terms up to 1e7, and moves of the parameters by a rounding
change no bit of the residuals, so that they do not show it.
"""

from __future__ import annotations

import numpy as np
import pytest

import gradcheck

SIZES = np.array([1, 10, 100, 1e3, 1, 1, 1e-2, 1e-3])


def least_squares(w, X, y, weight=0.0, factor=1.0, offset=0.0):
    r = X @ w - y
    loss = 0.5 * (r @ r) + 0.5 * weight * (w @ w)
    return loss, X.T @ r + factor * weight * w + offset


def at_the_optimum(seed, weight=0.0):
    draw = np.random.default_rng(seed)
    X, y = draw.normal(size=(5000, 8)) * SIZES, 1e4 * draw.normal(size=5000)
    augmented = np.vstack([X, np.sqrt(weight) * np.eye(8)])
    w = np.linalg.lstsq(augmented, np.concatenate([y, np.zeros(8)]), rcond=None)[0]
    return {"w": w, "X": X, "y": y, "weight": weight}


@pytest.mark.parametrize("seed", [1, 3, 4])
@pytest.mark.parametrize("autograd", [False, True])
def test_rounding_of_terms_that_cancel_is_no_mistake(seed, autograd):
    check = gradcheck.check(least_squares, at_the_optimum(seed), wrt="w", autograd=autograd)
    assert check.verdict != "fail"


@pytest.mark.parametrize("autograd", [False, True])
def test_a_millionth_of_the_terms_too_much_fails(autograd):
    inputs = at_the_optimum(3)
    terms = np.abs(inputs["X"]).T @ np.abs(inputs["y"])
    wrong = inputs | {"offset": 1e-6 * terms}
    check = gradcheck.check(least_squares, wrong, wrt="w", autograd=autograd)
    assert check.verdict == "fail"


@pytest.mark.parametrize("autograd", [False, True])
def test_a_penalty_counted_a_little_too_often_fails(autograd):
    wrong = at_the_optimum(3, weight=1.0) | {"factor": 1.001}
    check = gradcheck.check(least_squares, wrong, wrt="w", autograd=autograd)
    assert check.verdict == "fail"
