"""Losses whose squares are beyond the range of floats, or below it."""

import numpy as np
import pytest

import gradcheck
from gradcheck.noise import table_levels


@pytest.mark.parametrize("autograd", [True, False])
@pytest.mark.parametrize("size", [400.0, 600.0, 700.0])
@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "pass"), (1.001, "fail")])
def test_a_finite_loss_of_any_size_is_judged(size, factor, verdict, autograd):
    def loss(x):
        return np.sum(np.exp(x)), {"x": factor * np.exp(x)}

    start = {"x": np.array([size, size - 2.0, size - 5.0])}
    assert gradcheck.check(loss, start, autograd=autograd).verdict == verdict


@pytest.mark.parametrize("exponent", [-600, -300, 600, 900])
def test_noise_scales_with_the_losses_whatever_their_size(exponent):
    losses = np.random.default_rng(0).normal(size=8)
    scaled = table_levels(np.ldexp(losses, exponent).tolist())
    assert scaled.tolist() == np.ldexp(table_levels(losses.tolist()), exponent).tolist()
