"""``log(1 - p + eps)`` near p = 1: a staircase that narrow difference tables lie between."""

import numpy as np
import pytest

import gradcheck


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cross_entropy(eps, factor=1.0):
    def loss(W, X, Y):
        P = sigmoid(X @ W)
        value = -np.mean(Y * np.log(P + eps) + (1 - Y) * np.log(1 - P + eps))
        outer = (-Y / (P + eps) + factor * (1 - Y) / (1 - P + eps)) * P * (1 - P) / Y.size
        return value, {"W": X.T @ outer}

    return loss


def draw(seed, dtype):
    generator = np.random.default_rng(seed)
    return {
        "W": generator.normal(size=(20, 4)) * 2,
        "X": generator.normal(size=(50, 20)).astype(dtype),
        "Y": generator.integers(0, 2, (50, 4)).astype(dtype),
    }


@pytest.mark.parametrize("autograd", [True, False])
@pytest.mark.parametrize(
    ("seed", "dtype"), [(2, "float64"), (3, "float32"), (5, "float32"), (7, "float32")]
)
def test_a_right_cross_entropy_with_an_epsilon_passes(seed, dtype, autograd):
    inputs = draw(seed, dtype)
    assert gradcheck.check(cross_entropy(1e-7), inputs, "W", autograd=autograd).verdict == "pass"


@pytest.mark.parametrize("autograd", [True, False])
def test_a_wrong_one_fails(autograd):
    wrong = cross_entropy(1e-7, factor=1.001)
    assert gradcheck.check(wrong, draw(2, "float64"), "W", autograd=autograd).verdict == "fail"


def test_a_fast_smooth_oscillation_is_no_staircase():
    speed, size = 1e9, 3e-12

    def loss(x):
        value = np.sum(np.sin(x)) + size * np.sum(np.sin(speed * x))
        return value, {"x": np.cos(x) + size * speed * np.cos(speed * x)}

    check = gradcheck.check(loss, {"x": np.array([0.7])}, autograd=False)
    assert check.verdict != "fail"


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "pass"), (1.0001, "fail")])
def test_a_pole_a_millionth_beside_the_point_is_no_staircase(factor, verdict):
    c = np.array([1.13507558, 0.89596329])

    def loss(x):
        return np.sum(c / (x - 1.0)), {"x": -factor * c / (x - 1.0) ** 2}

    for autograd in (True, False):
        check = gradcheck.check(loss, {"x": np.array([1.000001, 0.9999985])}, autograd=autograd)
        assert check.verdict == verdict
