"""A length that a parameter is divided by hands on a multiple of it, and is no regulariser."""

import numpy as np
import pytest
from conftest import needs_torch

import gradcheck

pytestmark = needs_torch


@pytest.mark.parametrize("power", [1, 2])
def test_the_length_of_a_unit_vector_that_is_taken_for_constant_is_named(power):
    def loss(q, A, y):
        n = np.linalg.norm(q)
        u = q / n
        off = (A @ u) ** power - y
        g = A.T @ (2 * off * power * (A @ u) ** (power - 1))
        return off @ off, {"q": g / n}  # without what g does along u

    draw = np.random.default_rng(55)
    point = {"q": draw.normal(size=4), "A": draw.normal(size=(9, 4)), "y": draw.normal(size=9)}
    (found,) = gradcheck.check(loss, point, "q").diagnoses
    assert (found.cause, found.confidence) == ("path_detached", "exact")
    assert "`norm`" in found.message


@pytest.mark.parametrize("penalty", ["square", "through a mean", "of a slice"])
def test_a_regulariser_that_is_left_out_is_still_one(penalty):
    def loss(W, X, y):
        off = X @ W - y
        term = {"square": np.sum(W * W), "through a mean": W.size * np.mean(W**2)}
        value = off @ off + 0.3 * (np.sum(W[1:] ** 2) if penalty == "of a slice" else term[penalty])
        return value, {"W": 2 * X.T @ off}

    draw = np.random.default_rng(1)
    point = {"W": draw.normal(size=5), "X": draw.normal(size=(9, 5)), "y": draw.normal(size=9)}
    assert gradcheck.check(loss, point, "W").diagnoses[0].cause == "reg_missing"
