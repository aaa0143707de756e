"""Whole checks of torch targets, whose entries are moved together or one at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import gradcheck
from gradcheck.torch_target.varied.carrier import varied_of
from tests.moved_losses import drawn

F64 = torch.float64


X = drawn(5, 4, seed=9)


LABELS = torch.tensor([0, 2, 1, 1, 0])


class Cube(torch.autograd.Function):
    """A function with a backward of its own."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):
        return 3 * g * ctx.saved_tensors[0] ** 2


class WrongCube(Cube):
    """A backward without the factor."""

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0] ** 2


def dropped_out(function):
    return lambda w: functional.dropout(function.apply(X @ w), 0.5).sum()


def normalised_with_running_statistics(function):
    norm = nn.BatchNorm1d(6, dtype=F64)
    return lambda w: (function.apply(norm(X @ w)) * drawn(5, 6, seed=4)).sum()


def normalised_with_fixed_statistics(function):
    norm = nn.BatchNorm1d(6, dtype=F64).eval()
    return lambda w: function.apply(norm(X @ w)).sum()


def overwriting(function):
    def loss(w):
        h = function.apply(X @ w).clone()
        h[0] = 1.0
        h.mul_(2.0)
        return h.sum()

    return loss


def branching(function):
    def loss(w):
        h = function.apply(X @ w).sum()
        return h if h > -1e9 else -h

    return loss


def through_numpy(function):
    def loss(w):
        scale = 1.0 + 0.0 * float(np.sum(w.detach().numpy()))
        return (function.apply(X @ w) * scale).sum()

    return loss


def in_layers(function):
    net = nn.Sequential(nn.Linear(4, 7), nn.GELU(), nn.Linear(7, 3)).double()
    return lambda w: function.apply(net(X * w.sum(0)[:4])).square().mean()


WAYS = {
    dropped_out: "parts",
    normalised_with_fixed_statistics: "parts",
    in_layers: "parts",
    normalised_with_running_statistics: "single",
    overwriting: "single",
    branching: "single",
    through_numpy: "single",
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(("function", "verdict"), [(Cube, "pass"), (WrongCube, "fail")])
def test_a_check_comes_to_its_verdict_however_it_is_evaluated(way, function, verdict):
    torch.manual_seed(5)
    loss = way(function)
    calls = {"parts": 0, "single": 0}

    def counting(w):
        calls["single" if varied_of(w) is None else "parts"] += 1
        return loss(w)

    check = gradcheck.check(
        counting, (drawn(4, 6).requires_grad_(),), entries="all", oracles=("central",)
    )
    assert check.parameters["w"].verdict == check.verdict == verdict
    if WAYS[way] == "parts":
        assert calls["single"] < 60
    else:
        assert calls["parts"] <= 1  # on trial


def test_the_weights_of_a_module_that_a_closure_holds_are_moved_so():
    torch.manual_seed(5)
    net = nn.Sequential(nn.Linear(4, 30), nn.ReLU(inplace=True), nn.Linear(30, 3)).double()
    calls = []

    def loss(x):
        calls.append(x)
        return functional.cross_entropy(net(x), LABELS)

    check = gradcheck.check(loss, (X,), entries="all", oracles=("central",))
    assert check.verdict == "pass"
    assert check.evaluations > 480
    assert len(calls) < 120


def test_a_target_that_raises_far_from_the_point_is_checked_all_the_same():
    torch.manual_seed(0)
    x = torch.rand(5, 2, dtype=torch.float64).mul(0.8).add(0.1).requires_grad_(True)
    target = torch.rand(5, 2, dtype=torch.float64).round().requires_grad_(True)
    check = gradcheck.check(torch.nn.functional.binary_cross_entropy, (x, target))
    assert check.verdict == "pass"


def scaled_at(where, factor):
    """The identity, with the cotangent of some entries multiplied by a factor."""

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            found = g.clone()
            found[where] *= factor
            return found

    return Scaled.apply


@pytest.mark.parametrize(("wrong", "verdict"), [([], "pass"), ([250], "fail")])
def test_entries_whose_slope_almost_vanishes_are_looked_at_together(wrong, verdict):
    v = drawn(5000, seed=3).requires_grad_()
    scale = scaled_at(wrong, 1.05)
    calls = []

    def loss(v):
        calls.append(v)
        x = scale(v)
        return (x.sin() * x.exp()).sum() + 1e5

    check = gradcheck.check(loss, (v,), entries="all", oracles=("central",), seed=1)
    assert check.verdict == verdict
    assert check.evaluations > 2 * 5000 + 500
    assert len(calls) < 70
