"""Rounding of a torch target's own gradient: no mistake, and none hidden behind it."""

from __future__ import annotations

import pytest
import torch

import gradcheck

F64 = torch.float64


class Scaled(torch.autograd.Function):
    """The identity, with a cotangent multiplied by a wrong factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, cotangent):
        return ctx.factor * cotangent, None


def weighted_spread(x, weights):
    """A float64 parameter beside weights in single precision, in which the arithmetic is done."""
    return torch.cov(x, aweights=weights, correction=0)


def leaf(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=F64).requires_grad_()


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "pass"), (1.01, "fail")])
def test_data_in_single_precision_round_the_gradient_of_a_double_parameter(factor, verdict):
    weights = torch.tensor([0.2598, 0.3666, 0.71], dtype=torch.float32)
    check = gradcheck.check(
        lambda x: weighted_spread(Scaled.apply(x, factor), weights), (leaf(2, 3),)
    )
    assert check.verdict == verdict


def normalised(x):
    """Layer normalisation of single numbers: zero whatever they are, but for its bias."""
    return torch.nn.functional.layer_norm(x[:, None], (1,), bias=torch.ones(1, dtype=F64))


def test_the_residue_of_terms_that_cancel_is_no_gradient():
    for seed in range(10):
        check = gradcheck.check(normalised, (leaf(4, seed=seed),))
        assert check.verdict == "pass", seed


class Slight(torch.autograd.Function):
    """A constant, with a small definite gradient that it does not have."""

    @staticmethod
    def forward(ctx, x):
        return 3.0 + 0.0 * x

    @staticmethod
    def backward(ctx, cotangent):
        return 1e-12 * cotangent


def test_a_small_definite_gradient_where_there_is_none_does_not_pass():
    assert gradcheck.check(lambda x: Slight.apply(x), (leaf(4),)).verdict != "pass"


def test_a_path_cut_off_in_half_precision_is_not_passed_on_the_word_of_forward_mode():
    """A detached path stops tangents as it does cotangents: central differences are believed."""

    def loss(x):
        return (2 * x - x.detach()).to(torch.bfloat16)

    x = torch.tensor([1.5, -7.25], dtype=F64, requires_grad=True)
    assert gradcheck.check(loss, (x,)).verdict != "pass"
    assert gradcheck.check(lambda x: (2 * x - x).to(torch.bfloat16), (x,)).verdict == "pass"


class _Underflows(torch.autograd.Function):
    """``size * sum(x**2)``, with a backward pass that rounds its gradient to the dtype of ``x``."""

    @staticmethod
    def forward(ctx, x, size, factor):
        ctx.save_for_backward(x)
        ctx.size = size * factor
        return size * (x * x).float().sum()

    @staticmethod
    def backward(ctx, cotangent):
        (x,) = ctx.saved_tensors
        return (cotangent * 2 * ctx.size * x.float()).to(x.dtype), None, None


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "inconclusive"), (5.0, "fail")])
@pytest.mark.parametrize("size", [1e-7, 3e-8])
def test_half_a_unit_of_the_smallest_float16_is_no_mistake_and_several_are(size, factor, verdict):
    x = torch.linspace(0.5, 2.0, 6).to(torch.float16).requires_grad_()
    report = gradcheck.check(lambda x: _Underflows.apply(x, size, factor), (x,))
    assert report.verdict == verdict
    if verdict == "inconclusive":
        assert report.diagnoses[0].cause == "precision_limited"
