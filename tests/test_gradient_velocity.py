"""A gradient function that returns a buffer with a share of the last gradient in it."""

from __future__ import annotations

import numpy as np
import pytest

import gradcheck

draw = np.random.default_rng(6)
W, X = draw.normal(size=4), draw.normal(size=(10, 4))


def with_buffer(share, amount=1.0, start=0.0, size=4):
    velocity = np.full(size, start)

    def loss(w):
        h = np.tanh(X[:, :size] @ w)
        velocity[:] = share * velocity + amount * (X[:, :size].T @ (1 - h * h))
        return h.sum(), {"w": velocity}

    return loss


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_velocity_is_no_gradient(share, size):
    check = gradcheck.check(with_buffer(share, size=size), {"w": W[:size]})
    assert check.verdict == "fail"
    found = check.diagnoses[0]
    assert found.cause == "accumulates"
    assert f"each is {share} times the one before and the same amount more" in found.message


def test_nor_is_a_running_average_though_it_ends_at_the_gradient():
    check = gradcheck.check(with_buffer(0.9, amount=0.1), {"w": W})
    assert check.verdict == "fail"
    assert check.diagnoses[0].cause == "accumulates"


def test_one_that_was_called_before_is_found_as_well():
    loss = with_buffer(0.9)
    for _ in range(7):
        loss(W)
    assert gradcheck.check(loss, {"w": W}).diagnoses[0].cause == "accumulates"


def test_an_iteration_that_goes_on_is_none():
    kept = np.ones(4)

    def loss(w):
        kept[:] = 0.3 * kept + 0.7 * 2 * w
        return w @ w, {"w": kept}

    causes = [one.cause for one in gradcheck.check(loss, {"w": W}).diagnoses]
    assert "accumulates" not in causes


def test_a_gradient_that_is_random_is_open_for_that_reason():
    generator = np.random.default_rng(0)

    def loss(w):
        return w @ w, {"w": 2 * w + 0.1 * generator.normal(size=4)}

    check = gradcheck.check(loss, {"w": W})
    assert check.verdict == "inconclusive"
    (found,) = check.diagnoses
    assert "differs from call to call" in found.message
    assert "rounding" not in found.message
