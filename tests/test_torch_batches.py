"""Changes of a torch target evaluated together come to the verdict of plain calls."""

from __future__ import annotations

import pytest
import torch
from torch_squares import Affine, Square, WrongSquare, leaf

import gradcheck
from gradcheck.torch_target.varied.carrier import varied_of


def counted(target, inputs, **options):
    """Return the check and how often the target was called by parts, by vmap, and singly."""
    calls = {"parts": 0, "vmap": 0, "single": 0}

    def counting(*args, **kwargs):
        tensors = (*args, *kwargs.values())
        parts = any(varied_of(one) is not None for one in tensors)
        vmap = any(torch._C._functorch.is_batchedtensor(one) for one in tensors)
        calls["parts" if parts else "vmap" if vmap else "single"] += 1
        return target(*args, **kwargs)

    return gradcheck.check(counting, inputs, oracles=("central",), **options), calls


def test_perturbations_are_evaluated_together_with_the_same_verdict():
    check, calls = counted(lambda w: (w.sin() * w.sum()).sum(), (leaf(200),))
    assert check.verdict == "pass"
    assert check.evaluations >= 400
    assert calls["single"] < 60


def test_a_wrong_entry_is_found_in_a_batch():
    class WrongAt(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x.sin()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            wrong = torch.ones_like(g)
            wrong[17] = 1.001
            return g * ctx.saved_tensors[0].cos() * wrong

    check, calls = counted(lambda w: WrongAt.apply(w).sum(), (leaf(60),))
    assert calls["parts"] > 0
    assert calls["single"] < 60
    comparison = check.parameters["argument_0"].comparisons["analytic~central"]
    assert comparison.failing_entries == 1
    assert comparison.worst[0].index == (17,)


def test_what_vmap_refuses_is_evaluated_singly():
    def loss(w):
        total = w.square().sum()
        return total if total.item() > 0 else -total

    check, calls = counted(loss, (leaf(40),))
    assert check.verdict == "pass"
    assert calls["single"] > 80


def test_a_batch_that_means_something_else_is_noticed():
    def loss(w):
        # What no target should do: tell a batch from a tensor, and compute something else.
        alone = type(w) is torch.Tensor and not torch._C._functorch.is_batchedtensor(w)
        raw = w.detach() if alone else w.detach() * 1.01
        return (w * raw).sum() * 0 + (raw**2).sum() + (w - w.detach()).sum()

    check, _ = counted(loss, (leaf(40),))
    assert check.verdict == "fail"
    _, calls = counted(loss, (leaf(40),))
    assert calls["single"] > 80


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("function", "verdict"), [(Square, "pass"), (WrongSquare, "fail")])
def test_the_same_on_a_cuda_device(function, verdict):
    net = Affine(function).cuda()
    check = gradcheck.check(net, (leaf(6, 4).detach().cuda(),))
    assert check.verdict == verdict
