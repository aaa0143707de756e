"""Losses that differ a little from call to call, or are rounded: what is said of them."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch

import gradcheck
from gradcheck.noise import loss_noise
from gradcheck.numpy_target.problem import numpy_problem


def shaken(size):
    """A torch loss of about 1.6 whose value differs by so much between two calls."""
    turns = itertools.cycle((0.0, size, -size))

    def loss(w):
        return (w**2).sum() + next(turns)

    return loss, (torch.tensor([0.5, 1.0, -0.6], dtype=torch.float64, requires_grad=True),)


def keys(check):
    return [one.key for one in check.warnings]


@pytest.mark.parametrize("size", [2.2e-16, 1e-15])
def test_a_torch_loss_that_adds_in_another_order_is_no_random_one(size):
    check = gradcheck.check(*shaken(size))
    assert check.verdict == "pass"
    assert "nondeterministic" not in keys(check)


@pytest.mark.parametrize(
    ("size", "said"), [(1e-13, "rounds otherwise each time"), (1e-6, "generator of its own")]
)
def test_one_that_differs_by_more_is_one_for_the_reason_that_fits(size, said):
    (notice,) = [
        one for one in gradcheck.check(*shaken(size)).warnings if one.key == "nondeterministic"
    ]
    assert said in notice.message
    assert ("generator of its own" in notice.message) is (said == "generator of its own")


@pytest.mark.parametrize("digits", [3, 4, 5])
def test_a_loss_rounded_to_some_decimals_jitters_by_what_that_rounds(digits):
    draw = np.random.default_rng(0)
    w, x, y = draw.normal(size=5), draw.normal(size=(15, 5)), draw.normal(size=15)

    def loss(w):
        e = x @ w - y
        return round(float(np.mean(e * e)), digits), {"w": 2 * x.T @ e / 15}

    noise = loss_noise(numpy_problem(loss, {"w": w}), np.random.default_rng(0))
    step = 10.0**-digits
    assert 0.25 * step < noise.level < step
    check = gradcheck.check(loss, {"w": w})
    assert check.verdict != "fail"
    for one in check.diagnoses:
        (said,) = re.findall(r"jitters by ([\d.e-]+)", one.message)
        assert 0.25 * step < float(said.rstrip(",")) < step
