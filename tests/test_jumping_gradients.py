"""A gradient that is another one at every move by a rounding, at its point alone or all around."""

from __future__ import annotations

import numpy as np
import pytest

import gradcheck


def steps_on_a_grid(factor):
    """Residuals that are 0 to the last bit, and a gradient that takes their sign."""
    draw = np.random.default_rng(98)
    X = np.round(draw.normal(size=(40, 4)) * 8) / 8
    y = np.round(draw.normal(size=40))

    def loss(w):
        residual = X @ w - y
        slope = np.sign(residual) if factor is None else factor * np.tanh(residual)
        return np.sum(np.log(np.cosh(residual))), {"w": X.T @ slope}

    return loss, {"w": np.round(draw.normal(size=4) * 4) / 4}


@pytest.mark.parametrize("oracles", [None, ("central",)])
@pytest.mark.parametrize(("factor", "verdict"), [(None, "fail"), (1.0, "pass"), (1.001, "fail")])
def test_a_gradient_that_jumps_at_the_point_alone_is_not_rounded_by_its_jump(
    factor, verdict, oracles
):
    loss, inputs = steps_on_a_grid(factor)
    assert gradcheck.check(loss, inputs, oracles=oracles).verdict == verdict


def test_a_gradient_that_jumps_all_around_is_not_known_better_than_that():
    def loss(x):
        return 0.5 * np.sum(x**2), {"x": x * (1 + 0.1 * np.sin(1e17 * x))}

    x = np.array([1.1, 2.3, -3.7])
    report = gradcheck.check(loss, {"x": x}, oracles=("central",))
    assert report.verdict == "inconclusive"
    assert report.diagnoses[0].cause == "precision_limited"
