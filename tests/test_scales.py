"""Scale: sizes of gradients, parameters and losses over many orders, zeros and saturation."""

from __future__ import annotations

import numpy as np
import pytest

import gradcheck
from gradcheck import Verdict

GENERATOR = np.random.default_rng(0)
X5 = GENERATOR.normal(size=5)


def verdicts(loss, gradient, x, wrong):
    """The verdicts on the right gradient and on ``wrong`` (a function of the right one)."""
    good = gradcheck.check(lambda x: (loss(x), gradient(x)), x, autograd=False)
    bad = gradcheck.check(lambda x: (loss(x), wrong(gradient(x))), x, autograd=False)
    return good.verdict, bad.verdict


RIGHT_AND_WRONG = (Verdict.PASS, Verdict.FAIL)


@pytest.mark.parametrize("size", [10.0**k for k in range(-12, 13, 3)])
def test_gradients_of_any_size(size):
    found = verdicts(
        lambda x: size * np.sum(np.exp(x)),
        lambda x: size * np.exp(x),
        X5,
        lambda g: g * (1 + 1e-4),
    )
    assert found == RIGHT_AND_WRONG


@pytest.mark.parametrize("size", [10.0**k for k in range(-9, 10, 3)])
def test_parameters_of_any_size(size):
    found = verdicts(
        lambda x: np.sum(np.sin(x / size)),
        lambda x: np.cos(x / size) / size,
        size * X5,
        lambda g: g * (1 + 1e-4),
    )
    assert found == RIGHT_AND_WRONG


SIZES = 10.0 ** np.arange(-9, 10, 3)


def change(position, factor):
    def changed(gradient):
        gradient = gradient.copy()
        gradient[position] *= factor
        return gradient

    return changed


@pytest.mark.parametrize("factor", [1.3, -1.0])
@pytest.mark.parametrize("position", [0, 1, 2, 4, 5, 6])
def test_parameters_of_mixed_sizes_in_one_array(position, factor):
    found = verdicts(
        lambda x: np.sum(np.sin(x / SIZES)),
        lambda x: np.cos(x / SIZES) / SIZES,
        0.7 * SIZES,
        change(position, factor),
    )
    assert found == RIGHT_AND_WRONG


@pytest.mark.parametrize("position", range(7))
def test_mixed_sizes_of_which_the_small_are_below_the_loss_s_last_digit(position):
    found = verdicts(
        lambda x: np.sum(SIZES * np.sin(x / SIZES)),
        lambda x: np.cos(x / SIZES),
        0.7 * SIZES,
        change(position, 1.01),
    )
    assert found[0] is not Verdict.FAIL
    assert found[1] is not Verdict.PASS


@pytest.mark.parametrize("seed", range(5))
def test_a_zeroed_entry_does_not_pass_for_want_of_a_length(seed):
    sizes = 10.0 ** np.array([-6, -3, 0, 3, 6])
    x = np.random.default_rng(seed).normal(size=5) / sizes
    gradient = sizes * np.cos(x * sizes)
    for position in range(5):
        claimed = change(position, 0.0)(gradient)
        found = gradcheck.check(
            lambda x, claimed=claimed: (np.sum(np.sin(x * sizes)), claimed), x, autograd=False
        )
        assert found.verdict is not Verdict.PASS


@pytest.mark.parametrize("loss", [0.0, 1e-15, 1e-12, 1e-9])
def test_a_loss_near_zero_by_cancellation_has_a_gradient_like_any_other(loss):
    x = np.array([0.1 + loss, 0.2, -0.3])
    found = verdicts(lambda x: np.sum(x), np.ones_like, x, lambda g: g * (1 + 1e-5))
    assert found == RIGHT_AND_WRONG


@pytest.mark.parametrize("position", [2, 3, 4])
def test_gradients_of_mixed_sizes_in_one_array_from_the_rms_down_to_a_thousandth(position):
    weights = np.array([1e-12, 1e-6, 1e-2, 0.1, 1.0])
    found = verdicts(
        lambda x: np.sum(weights * np.sin(x)),
        lambda x: weights * np.cos(x),
        X5,
        change(position, 1.001),
    )
    assert found == RIGHT_AND_WRONG


@pytest.mark.parametrize("offset", [1e8, -1e8, 1e4])
def test_a_large_constant_in_the_loss(offset):
    found = verdicts(lambda x: offset + np.sum(np.sin(x)), np.cos, X5, lambda g: g * 1.01)
    assert found == RIGHT_AND_WRONG


# True zeros


def test_one_entry_with_a_true_zero():
    x = np.array([0.0, 1.0, 2.0])
    found = verdicts(
        lambda x: np.sum(np.cos(x)), lambda x: -np.sin(x), x, lambda g: g + np.array([1e-2, 0, 0])
    )
    assert found == RIGHT_AND_WRONG


@pytest.mark.parametrize(("gradient", "expected"), [(0.0, Verdict.PASS), (1e-3, Verdict.FAIL)])
def test_a_parameter_that_the_loss_ignores(gradient, expected):
    def loss(params):
        a = params["a"]
        return np.sum(a**2), {"a": 2 * a, "b": np.full(3, gradient)}

    params = {"a": X5, "b": GENERATOR.normal(size=3)}
    result = gradcheck.check(loss, {"params": params}, autograd=False)
    assert result.parameters["a"].verdict is Verdict.PASS
    assert result.parameters["b"].verdict is expected


A = GENERATOR.normal(size=(8, 3))
NOISE = GENERATOR.normal(size=8)
SOLUTION = np.array([1.0, -2.0, 0.5])


@pytest.mark.parametrize(
    ("target", "x"),
    [
        (A @ SOLUTION, SOLUTION),
        (NOISE, np.linalg.lstsq(A, NOISE, rcond=None)[0]),
        (1e3 * NOISE, np.linalg.lstsq(A, 1e3 * NOISE, rcond=None)[0]),
    ],
    ids=["perfect fit", "least squares", "large least squares"],
)
def test_at_an_optimum_a_gradient_of_zero_passes_and_another_fails(target, x):
    found = verdicts(
        lambda x: 0.5 * np.sum((A @ x - target) ** 2),
        lambda x: A.T @ (A @ x - target),
        x,
        lambda g: g + 1e-3 * np.max(np.abs(target)),
    )
    assert found == RIGHT_AND_WRONG


def test_a_perfect_fit_with_a_loss_of_exactly_zero():
    integers = np.array([[1.0, 0.0], [0.0, 2.0]])
    x = np.array([1.0, 2.0])
    found = verdicts(
        lambda x: 0.5 * np.sum((integers @ x - integers @ np.array([1.0, 2.0])) ** 2),
        lambda x: integers.T @ (integers @ x - integers @ np.array([1.0, 2.0])),
        x,
        lambda g: g + 1e-3,
    )
    assert found == RIGHT_AND_WRONG


def test_an_all_zero_gradient_at_a_degenerate_point_passes_with_a_warning():
    def loss(W1, W2):
        h = np.tanh(A @ W1)
        return 0.5 * np.sum((h @ W2) ** 2), {
            "W1": A.T @ (np.outer(h @ W2, W2) * (1 - h**2)),
            "W2": h.T @ (h @ W2),
        }

    result = gradcheck.check(
        loss, {"W1": GENERATOR.normal(size=(3, 2)), "W2": np.zeros(2)}, autograd=False
    )
    assert "vacuous_point" in [notice.key for notice in result.warnings]


def test_a_living_gradient_is_not_vacuous():
    result = gradcheck.check(lambda x: (x @ x, 2 * x), X5, autograd=False)
    assert result.warnings == ()


# Saturation


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize(
    "x",
    [
        [0.3, 40.0, -40.0, 800.0, -800.0, 1.0],
        [40.0, 50.0, 60.0],
        [-40.0, -50.0, -60.0],
        [800.0, -800.0],
    ],
    ids=["some", "high", "low", "overflow"],
)
def test_saturated_sigmoids(x):
    found = verdicts(
        lambda x: np.sum(sigmoid(x)),
        lambda x: sigmoid(x) * (1 - sigmoid(x)),
        np.array(x),
        lambda g: g + 1e-3,
    )
    assert found == RIGHT_AND_WRONG


@pytest.mark.parametrize("gap", [10.0, 40.0, 800.0])
def test_a_saturated_softmax(gap):
    def loss(W, X, y, scale):
        s = X @ W
        s = s - s.max(axis=1, keepdims=True)
        e = np.exp(s)
        p = e / e.sum(axis=1, keepdims=True)
        rows = np.arange(len(y))
        d = p.copy()
        d[rows, y] -= 1
        losses = np.log(e.sum(axis=1)) - s[rows, y]
        return losses.mean(), {"W": scale * X.T @ d / len(y)}

    generator = np.random.default_rng(1)
    X = generator.normal(size=(6, 4))
    W = generator.normal(size=(4, 3))
    W *= gap / np.abs(X @ W).max()
    inputs = {"W": W, "X": X, "y": generator.integers(3, size=6)}
    good = gradcheck.check(loss, inputs | {"scale": 1.0}, "W", autograd=False)
    bad = gradcheck.check(loss, inputs | {"scale": 1.01}, "W", autograd=False)
    assert (good.verdict, bad.verdict) == RIGHT_AND_WRONG
