"""A valid slope at a kink, of code that is wrong right beside it: a mistake all the same."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import needs_torch

import gradcheck

MODES = pytest.mark.parametrize("autograd", [True, False], ids=["traced", "differences"])


def verdict(loss, w, autograd, **options):
    return gradcheck.check(loss, {"w": np.array(w)}, autograd=autograd, **options)


def perceptron(factor, examples=20, features=4, seed=309):
    draw = np.random.default_rng(seed)
    X, y = draw.normal(size=(examples, features)), np.sign(draw.normal(size=examples))

    def loss(w):
        margin = y * (X @ w)
        return np.mean(np.maximum(0, -margin)), {"w": -factor * X.T @ (y * (margin <= 0)) / len(y)}

    return loss, np.zeros(features)


@MODES
@pytest.mark.parametrize(("factor", "wanted"), [(1, "pass"), (-1, "fail"), (1.0002, "fail")])
@pytest.mark.parametrize(("examples", "seed"), [(20, 309), (10, 3), (200, 6)])
def test_a_perceptron_where_every_margin_is_zero(examples, seed, factor, wanted, autograd):
    loss, w = perceptron(factor, examples, seed=seed)
    report = verdict(loss, w, autograd)
    assert report.verdict == wanted
    if wanted == "fail" and not autograd:
        assert report.diagnoses[0].cause == "kink"
        assert "beside the point" in report.diagnoses[0].message


@MODES
@pytest.mark.parametrize(
    ("slope", "wanted"),
    [(np.sign, "pass"), (lambda e: e, "fail"), (lambda e: -np.sign(e), "fail")],
    ids=["sign", "residual", "minus sign"],
)
@pytest.mark.parametrize("zeros", [1, 3, 12])
def test_absolute_deviations_with_residuals_of_zero(zeros, slope, wanted, autograd):
    draw = np.random.default_rng(2)
    X = np.round(draw.normal(size=(40, 3)) * 4) / 4
    w = np.array([0.5, -1.0, 0.25])
    y = np.round(X @ w + draw.normal(size=40) * 0.3, 1)
    y[:zeros] = (X @ w)[:zeros]

    def loss(w):
        residual = X @ w - y
        return np.mean(np.abs(residual)), {"w": X.T @ slope(residual) / len(y)}

    assert verdict(loss, w, autograd).verdict == wanted


@pytest.mark.parametrize("at_kink", [0.0, 0.3, 1.0])
def test_any_convention_at_the_kink_is_right_where_the_code_is_right_beside_it(at_kink):
    def loss(w):
        return np.sum(np.maximum(w, 0)), {"w": np.where(w == 0, at_kink, w > 0)}

    assert verdict(loss, np.zeros(5), autograd=False).verdict == "pass"


def leaky(w):
    positive, negative = np.maximum(w, 0), np.maximum(-w, 0)
    return np.sum(positive - 0.1 * negative), {"w": 1.0 * (w > 0) + 0.1 * (w < 0)}


def test_a_value_outside_the_slopes_stays_open_where_the_code_is_right_beside_it():
    report = verdict(leaky, np.zeros(3), autograd=False)
    assert report.verdict == "inconclusive"
    assert report.diagnoses[0].cause == "kink"


@needs_torch
def test_it_is_right_where_autograd_says_that_the_convention_gives_it():
    assert verdict(leaky, np.zeros(3), autograd=True).verdict == "pass"


def test_a_value_outside_is_wrong_where_the_code_is_wrong_beside_it_though_nothing_is_traced():
    def loss(w):
        return np.sum(np.abs(w)), {"w": 3.0 * np.where(w < 0, -1.0, 1.0)}

    assert verdict(loss, np.zeros(3), autograd=False).verdict == "fail"


def test_a_parameter_that_is_right_beside_the_point_does_not_fail_with_another():
    def loss(w, v):
        return (
            np.sum(np.abs(w)) + np.sum(np.maximum(v, 0)),
            {"w": 0.5 * np.sign(w), "v": 1.0 * (v > 0)},
        )

    report = gradcheck.check(loss, {"w": np.zeros(3), "v": np.zeros(2)}, autograd=False)
    assert report.parameters["w"].verdict == "fail"
    assert report.parameters["v"].verdict == "pass"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_in_lower_precision_its_rounding_is_no_mistake(dtype):
    draw = np.random.default_rng(0)
    X = draw.normal(size=(30, 4)).astype(dtype)

    def loss(w):
        return np.mean(np.abs(X @ w)), {"w": X.T @ np.sign(X @ w) / np.float32(30)}

    assert verdict(loss, np.zeros(4, dtype=dtype), autograd=False).verdict == "pass"


def test_a_gradient_that_cannot_be_computed_beside_the_point_is_judged_at_the_point_alone():
    def loss(w):
        if np.any(w != 0) and np.all(w != 0):
            raise FloatingPointError("off the domain")
        return np.sum(np.abs(w)), {"w": np.zeros(2)}

    w = np.zeros(2)
    assert verdict(loss, w, autograd=False).verdict == "pass"
    assert not w.any()
