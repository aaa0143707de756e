"""Modules with many entries of their weights moved at once: losses are those of plain calls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.moved_losses import drawn, losses_in_turn, moved_losses

F64 = torch.float64


X = drawn(5, 4, seed=9)


PICTURES = drawn(2, 3, 6, 6, seed=8)


def of_module(module, *inputs):
    """A loss of a module's weights, with these as they are drawn at first."""
    torch.manual_seed(3)
    net = module().double().requires_grad_(False)
    names, weights = zip(*net.named_parameters(), strict=True)

    def loss(*given):
        found = torch.func.functional_call(net, dict(zip(names, given, strict=True)), inputs)
        return (found[0] if isinstance(found, tuple) else found).cos().sum()

    return loss, tuple(one.clone() for one in weights)


class Cells(nn.Module):
    """A loop over an LSTM's cell, and one over another kind of cell, of the same inputs."""

    def __init__(self):
        super().__init__()
        self.cell, self.other = nn.LSTMCell(4, 3), nn.GRUCell(4, 2)

    def forward(self, x):
        state, other = (torch.zeros(1, 3, dtype=F64), torch.ones(1, 3, dtype=F64)), None
        for row in x:
            state = self.cell(row[None], state)
            other = self.other(row[None], other)
        return torch.cat([*state, other], 1)


def packed(module):
    """A recurrent module given sequences of several lengths."""

    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = module()

        def forward(self, x):
            sequences = nn.utils.rnn.pack_sequence([x, x[:3], x[:1]])
            return self.net(sequences)[1]

    return Packed


MODULES = {
    "cells": (Cells, X),
    "LSTM": (lambda: nn.LSTM(4, 3, num_layers=2, bidirectional=True), X),
    "GRU": (lambda: nn.GRU(4, 3), X),
    "RNN": (lambda: nn.RNN(4, 3, batch_first=True), drawn(2, 5, 4, seed=12)),
    "LSTM of batches": (lambda: nn.LSTM(4, 3, batch_first=True), drawn(2, 5, 4, seed=12)),
    "sequences of several lengths": (packed(lambda: nn.GRU(4, 3)), X),
    "transformer": (
        lambda: nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True),
        X[None],
    ),
    "attention of several heads": (lambda: nn.MultiheadAttention(4, 2), X, X, X),
    "convolutions and batch norm": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.Conv2d(4, 2, 2), nn.GroupNorm(2, 2)
        ).eval(),
        PICTURES,
    ),
    "mixed": (
        lambda: nn.Sequential(
            nn.Linear(4, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 6), nn.ELU(), nn.Linear(6, 2)
        ),
        X,
    ),
}


def with_this_torch(names):
    """Older versions have another kernel of attention, which is left to calls one by one."""
    known = hasattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu")
    skip = pytest.mark.skipif(not known, reason="needs the kernel of attention of torch 2.3")
    return [
        pytest.param(
            name, marks=[skip] if "attention that" in name or name == "transformer" else []
        )
        for name in names
    ]


@pytest.mark.parametrize("name", with_this_torch(MODULES))
def test_losses_of_a_module_together_are_those_of_plain_calls(name):
    assert_as_in_plain_calls(name, *of_module(*MODULES[name]))


def assert_as_in_plain_calls(name, loss, tensors):
    for number in range(len(tensors)):
        together, alone, _ = moved_losses(loss, tensors, number)
        in_turn = losses_in_turn(loss, tensors, number)
        rounding = 1e-4 if name == "other precisions" else 1e-11
        np.testing.assert_allclose(together, alone, rtol=rounding, atol=rounding)
        np.testing.assert_allclose(in_turn, alone, rtol=rounding, atol=rounding)
