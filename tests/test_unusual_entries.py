"""Parameters of no entries, and entries that hold no number: what can be checked is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gradcheck

F64 = torch.float64


def leaf(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator, dtype=F64).requires_grad_()


def keys(check):
    return [notice.key for notice in check.warnings]


def test_an_empty_tensor_among_the_parameters_is_named_and_left_out():
    check = gradcheck.check(lambda x, y: torch.cat([x, y]), (leaf(3), leaf(0)))
    assert check.verdict == "pass"
    assert list(check.parameters) == ["x"]
    assert "empty_parameter" in keys(check)


def test_a_wrong_gradient_beside_an_empty_tensor_fails():
    check = gradcheck.check(lambda x, y: torch.cat([x * x.detach(), y]), (leaf(3), leaf(0)))
    assert check.verdict == "fail"


@pytest.mark.parametrize(
    ("target", "inputs"),
    [
        (torch.add, (leaf(0), leaf(0))),
        (lambda x: (float(x.sum()), np.ones(0)), (np.zeros(0),)),
    ],
    ids=["torch", "numpy"],
)
def test_nothing_but_empty_parameters_is_inconclusive(target, inputs):
    """Nothing was wrong, and nothing was checked."""
    check = gradcheck.check(target, inputs)
    assert check.verdict == "inconclusive"
    assert [found.cause for found in check.diagnoses] == ["empty_parameter"]
    assert "nothing to check in" in check.diagnoses[0].message


MASKED = np.array([1.0, -np.inf, 2.0, 0.5])


def masked_mean(x):
    """Expected position under a softmax in which one logit is masked, with its gradient."""
    weights = np.exp(x - x.max())
    weights /= weights.sum()
    mean = weights @ np.arange(4.0)
    return mean, weights * (np.arange(4.0) - mean)


@pytest.mark.parametrize("autograd", [True, False])
def test_the_finite_logits_of_a_masked_softmax_are_checked(autograd):
    check = gradcheck.check(masked_mean, MASKED, autograd=autograd)
    assert check.verdict == "pass"
    assert check.parameters["x"].checked == 3
    assert "non_finite_entries" in keys(check)


def test_a_wrong_gradient_of_the_finite_logits_fails():
    def wrong(x):
        mean, gradient = masked_mean(x)
        return mean, gradient * np.array([1.0, 1.0, 1.0, 1.01])

    assert gradcheck.check(wrong, MASKED).verdict == "fail"


def test_a_slope_claimed_at_a_masked_logit_is_not_passed_over():
    def wrong(x):
        mean, gradient = masked_mean(x)
        return mean, gradient + np.array([0.0, 1.0, 0.0, 0.0])

    check = gradcheck.check(wrong, MASKED)
    assert check.verdict != "pass"
    assert "non_finite_entries" not in keys(check)


def test_a_parameter_without_any_number_is_inconclusive():
    def loss(x, y):
        return (y**2).sum() + np.nansum(x), {"x": np.zeros(2), "y": 2 * y}

    inputs = {"x": np.array([np.nan, np.nan]), "y": np.ones(2)}
    check = gradcheck.check(loss, inputs, autograd=False)
    assert check.parameters["x"].verdict == "inconclusive"
    assert check.parameters["y"].verdict == "pass"


def test_torch_sums_that_skip_nan_are_checked_at_the_numbers():
    x = torch.tensor([1.0, torch.nan, 2.0], dtype=F64, requires_grad=True)
    check = gradcheck.check(torch.nansum, (x,))
    assert check.verdict == "pass"
    assert "non_finite_entries" in keys(check)
