"""Torch's recurrent modules keep a list of their weights, which has to stay in step with these."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gradcheck

X = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "pass"), (1.01, "fail")])
def test_the_weights_of_a_recurrent_module_given_from_outside_are_checked(kind, factor, verdict):
    torch.manual_seed(0)
    net = kind(3, 2).double().requires_grad_(False)
    names, given = zip(*net.named_parameters(), strict=True)
    weights = tuple(one.detach().clone().requires_grad_() for one in given)

    def scaled(one):
        # The value of one, with a gradient multiplied by the factor.
        return factor * one - ((factor - 1) * one).detach()

    def loss(*tensors):
        own = dict(zip(names, map(scaled, tensors), strict=True))
        return torch.func.functional_call(net, own, (X,))[0].sin().sum()

    assert gradcheck.check(loss, weights, seed=1, oracles=("central",)).verdict == verdict
