"""Saturated tanh and sigmoids: derivatives from the value lose digits, those from the argument not.

``1 - tanh(z)**2`` has a relative error of 4e-5 at 13 and of 1e-2 at 16, and so has autograd's,
while ``1 / cosh(z)**2`` is exact.
"""

from __future__ import annotations

import numpy as np
import pytest

import gradcheck
from gradcheck.tracing import trace
from gradcheck.tracing.saturated import NEAR, exact_where_saturated

expit = pytest.importorskip("scipy.special").expit
pytest.importorskip("torch")


def tanh_by_argument(z, c, factor=1.0):
    return np.sum(c * np.tanh(z)), factor * c / np.cosh(z) ** 2


def tanh_by_value(z, c, factor=1.0):
    y = np.tanh(z)
    return np.sum(c * y), factor * c * (1 - y * y)


def sigmoid_by_argument(z, c, factor=1.0):
    return np.sum(c * expit(2 * z)), factor * 2 * c * expit(2 * z) * expit(-2 * z)


def sigmoid_by_value(z, c, factor=1.0):
    p = expit(2 * z)
    return np.sum(c * p), factor * 2 * c * p * (1 - p)


WAYS = [tanh_by_argument, tanh_by_value, sigmoid_by_argument, sigmoid_by_value]


def drawn(middle, seed=0):
    draw = np.random.default_rng(seed)
    return middle + 0.5 * draw.normal(size=12), draw.normal(size=12)


@pytest.mark.parametrize("target", WAYS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("middle", [9, 13, 14, 16, 17])
def test_both_ways_of_computing_a_derivative_pass(target, middle):
    for seed in (0, 1):
        assert gradcheck.check(target, drawn(middle, seed), wrt=[0]).verdict == "pass"


@pytest.mark.parametrize("target", WAYS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("middle", [9, 13, 16])
def test_a_hundredth_too_much_fails(target, middle):
    assert gradcheck.check(target, (*drawn(middle), 1.01), wrt=[0]).verdict == "fail"


def test_the_other_sign_does_not_pass_where_a_derivative_from_the_value_is_zero():
    wrong = gradcheck.check(tanh_by_argument, (*drawn(20), -1.0), wrt=[0])
    assert wrong.verdict != "pass"


def layered(W, X, c, factor=1.0):
    """A saturated unit beside one that is not."""
    z = X @ W
    loss = np.sum(np.tanh(z) @ c)
    return loss, {"W": factor * X.T @ (c / np.cosh(z) ** 2)}


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "pass"), (1.0 + 1e-4, "fail")])
def test_units_that_are_saturated_do_not_hide_the_others(factor, verdict):
    draw = np.random.default_rng(3)
    W = draw.normal(size=(3, 2)) * 0.1
    W[:, 1] += 5.0
    inputs = {"W": W, "X": 0.5 + np.abs(draw.normal(size=(6, 3))), "c": draw.normal(size=2)}
    check = gradcheck.check(layered, inputs | {"factor": factor}, wrt="W")
    assert check.verdict == verdict


def traced(target, z, c):
    return trace(target, (z, c), {}, {"z": z}, loss_of=lambda result: result[0])


@pytest.mark.parametrize("target", [tanh_by_value, sigmoid_by_value], ids=lambda f: f.__name__)
def test_derivatives_from_the_argument_are_exact(target):
    z, c = drawn(14)
    z[:6] *= -1
    mpmath = pytest.importorskip("mpmath")
    found = exact_where_saturated(traced(target, z, c))["z"]
    times = 1.0 if target is tanh_by_value else 0.5
    truth = [times * float(mpmath.sech(mpmath.mpf(float(one))) ** 2) for one in z]
    np.testing.assert_allclose(found, c * truth, rtol=1e-13)


def test_nothing_is_computed_again_where_none_is_saturated():
    z = np.array([0.5, np.arctanh(1 - 3 * NEAR)])
    assert exact_where_saturated(traced(tanh_by_value, z, np.ones(2))) == {}
    z[1] = np.arctanh(1 - 0.3 * NEAR)
    assert set(exact_where_saturated(traced(tanh_by_value, z, np.ones(2)))) == {"z"}
