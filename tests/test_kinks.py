"""Kinks: any slope between the two sides is right at one, the side's own slope beside one."""

from __future__ import annotations

import numpy as np
import pytest

import gradcheck
from gradcheck import Verdict

DISTANCES = [10.0**-exponent for exponent in range(1, 10)]
SIDES = [1.0, -1.0]


def verdict(target, inputs, wrt=None):
    return gradcheck.check(target, inputs, wrt, autograd=False).verdict


def bent(at, scale, slope_at_kink):
    """A loss with slopes 0 and 1 (in units of ``scale``) left and right of ``at``."""

    def loss(x):
        z = (x - at) / scale
        slope = np.where(z > 0, 1.0, np.where(z < 0, 0.0, slope_at_kink))
        return np.sum(np.maximum(z, 0) + (x / scale) ** 2), (slope + 2 * x / scale) / scale

    return loss


@pytest.mark.parametrize("at", [0.0, 0.7, -1.3, 1e3, 1e-5])
@pytest.mark.parametrize("slope", [0.0, 0.25, 0.5, 1.0])
def test_at_a_kink_every_slope_between_the_two_sides_passes(at, slope):
    x = np.array([at, 0.3, -2.0])
    result = gradcheck.check(bent(at, 1.0, slope), x, autograd=False)
    assert result.verdict is Verdict.PASS
    # The mean of both sides may agree with the central difference itself: nothing looks closer.
    assert result.parameters["x"].kinks == 1 or slope == 0.5


@pytest.mark.parametrize("at", [0.0, 0.7, -1.3])
@pytest.mark.parametrize("slope", [1.01, -0.01, 2.0, -1.0])
def test_at_a_kink_a_slope_outside_both_sides_does_not_pass(at, slope):
    result = gradcheck.check(bent(at, 1.0, slope), np.array([at, 0.3]), autograd=False)
    assert result.verdict in (Verdict.INCONCLUSIVE, Verdict.FAIL)
    assert result.diagnoses[0].cause == "kink"


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("distance", DISTANCES)
def test_beside_a_kink_the_slope_of_that_side_passes_and_the_other_fails(distance, side, scale):
    x = np.array([0.8 * scale])
    loss = bent(x - side * distance * scale, scale, 0.5)
    assert verdict(loss, x) is Verdict.PASS

    def other_side(x):
        value, gradient = loss(x)
        return value, gradient - side / scale

    assert verdict(other_side, x) is Verdict.FAIL


def relu_layer(W, b, X, flipped=False):
    """Rectified units under a sine; ``flipped`` takes the other side for the first of them."""
    z = X @ W + b
    mask = (z > 0).astype(float)
    h = z * mask
    if flipped:
        mask[0, 0] = 1 - mask[0, 0]
    d = np.cos(h) * mask
    return np.sum(np.sin(h)), {"W": X.T @ d, "b": d.sum(axis=0)}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("distance", DISTANCES)
def test_beside_a_unit_s_kink_the_right_mask_passes_and_the_flipped_one_fails(distance, side):
    generator = np.random.default_rng(3)
    W, X, b = generator.normal(size=(4, 3)), generator.normal(size=(6, 4)), np.zeros(3)
    b[0] = side * distance - (X @ W)[0, 0]
    inputs = {"W": W, "b": b, "X": X}
    assert verdict(relu_layer, inputs) is Verdict.PASS
    flipped = gradcheck.check(relu_layer, inputs | {"flipped": True}, autograd=False)
    assert flipped.verdict is Verdict.FAIL
    assert (flipped.parameters["b"].verdict) is Verdict.FAIL


def lasso(w, X, y, sign_of_zero=0.0):
    r = X @ w - y
    sign = np.where(w == 0, sign_of_zero, np.sign(w))
    return 0.5 * r @ r + np.abs(w).sum(), X.T @ r + sign


@pytest.mark.parametrize("w", [[0.5, 0.0, -1.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
@pytest.mark.parametrize(
    ("sign", "passes"), [(0.0, True), (1.0, True), (-1.0, True), (1.5, False), (-3.0, False)]
)
def test_a_lasso_s_zero_weights_are_kinks(w, sign, passes):
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(10, 4)), generator.normal(size=10)
    inputs = {"w": np.array(w), "X": X, "y": y, "sign_of_zero": sign}
    assert (verdict(lasso, inputs, "w") is Verdict.PASS) is passes


@pytest.mark.parametrize(("slope", "passes"), [(0.5, True), (0.6, False)])
def test_a_smooth_loss_has_no_kinks(slope, passes):
    result = gradcheck.check(
        lambda x: (np.sum(np.sqrt(x)), slope / np.sqrt(x)), np.array([1e-10, 1.0]), autograd=False
    )
    assert (result.verdict is Verdict.PASS) is passes
    assert result.parameters["x"].kinks == 0


# Edges of the domain


@pytest.mark.parametrize(
    ("loss", "slope", "x0"),
    [
        *((np.log, lambda x: 1 / x, x0) for x0 in (1e-12, 1e-9, 1e-6, 1e-3)),
        *((np.sqrt, lambda x: 0.5 / np.sqrt(x), x0) for x0 in (1e-12, 1e-9, 1e-6, 1e-3)),
    ],
)
def test_near_the_edge_of_the_domain_the_inside_decides(loss, slope, x0):
    x = np.array([x0, 1.0, 2.0])
    assert verdict(lambda x: (np.sum(loss(x)), slope(x)), x) is Verdict.PASS
    wrong = np.array([1.1, 1.0, 1.0])
    assert verdict(lambda x: (np.sum(loss(x)), wrong * slope(x)), x) is Verdict.FAIL


@pytest.mark.parametrize(("slope", "expected"), [(3.0, Verdict.PASS), (4.0, Verdict.FAIL)])
@pytest.mark.parametrize("power", [1.5, 2.0, 3.0])
def test_on_the_edge_of_the_domain_one_side_decides(power, slope, expected):
    def loss(x):
        inside = np.where(x < 0, np.nan, x)
        g = power * np.maximum(x, 0) ** (power - 1) + np.where(x == 0, slope, 3.0)
        return np.sum(np.abs(inside) ** power + 3 * inside), g

    assert verdict(loss, np.array([0.0, 1.0, 2.0])) is expected


def test_a_loss_that_raises_on_one_side_is_judged_by_the_other():
    def loss(x, scale):
        if x[0] > 1:
            raise ValueError("outside")
        return np.sum(x * x), scale * 2 * x

    x = np.array([1.0, 2.0])
    assert verdict(loss, {"x": x, "scale": 1.0}, "x") is Verdict.PASS
    assert verdict(loss, {"x": x, "scale": 1.01}, "x") is Verdict.FAIL


def test_a_loss_defined_at_a_single_point_is_inconclusive():
    def loss(x):
        return (float(np.sum(x)) if x[0] == 0.0 else np.nan), np.ones(2)

    result = gradcheck.check(loss, np.array([0.0, 1.0]), autograd=False)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.diagnoses[0].cause == "domain_edge"
