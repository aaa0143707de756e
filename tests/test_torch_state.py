"""Torch targets that draw, keep or change something: nothing of the user's is changed."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch_squares import F64, leaf

import gradcheck


def verdicts(check):
    return {name: str(result.verdict) for name, result in check.parameters.items()}


def test_dropout_and_batch_norm_are_checked_in_training_mode_and_left_as_they_were():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(), nn.Linear(6, 1)).double()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    check = gradcheck.check(net, (leaf(7, 4),))
    assert check.verdict == "pass"
    assert not [n for n in check.warnings if n.key == "nondeterministic"]
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(state[0], torch.get_rng_state())
    assert state[1] == random.getstate()
    assert np.array_equal(state[2], np.random.get_state()[1])
    assert net.training


def test_the_inputs_are_unchanged_bit_for_bit_also_after_an_exception():
    x = leaf(4)
    x.grad = torch.ones(4, dtype=F64)
    before, grad = x.detach().clone(), x.grad

    def raises(x):
        raise ZeroDivisionError("mine")

    gradcheck.check(lambda x: x.square().sum(), (x,))
    with pytest.raises(ZeroDivisionError, match="mine"):
        gradcheck.check(raises, (x,))
    assert torch.equal(before, x.detach())
    assert x.grad is grad
    assert torch.equal(grad, torch.ones(4, dtype=F64))


def test_a_closure_is_put_back_after_an_exception():
    w = leaf(4, dtype=torch.float32)
    data = w.data

    def raises(x):
        raise ZeroDivisionError(str(w.sum()))

    with pytest.raises(ZeroDivisionError):
        gradcheck.check(raises, (torch.ones(4),), params=[w])
    assert w.dtype is torch.float32
    assert w.data.data_ptr() == data.data_ptr()


def test_a_target_that_changes_its_input_is_told_and_judged():
    def loss(w, x):
        x.mul_(2)
        return (w * x).sum()

    check = gradcheck.check(loss, {"w": leaf(3), "x": leaf(3, seed=1).detach()})
    assert check.verdict == "pass"
    assert "mutates_input" in [n.key for n in check.warnings]


def test_a_loss_with_a_derivative_of_the_model_inside_is_checked():
    def loss(w, x):
        x = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad((w * x**3).sum(), x, create_graph=True)
        return slope.square().sum()

    check = gradcheck.check(loss, {"w": leaf(3), "x": leaf(3, seed=1).detach()})
    assert check.verdict == "pass"


def test_tied_weights_are_one_parameter():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Linear(3, 3, bias=False, dtype=F64)
            self.decode = nn.Linear(3, 3, bias=False, dtype=F64)
            self.decode.weight = self.encode.weight

        def forward(self, x):
            return self.decode(self.encode(x).tanh())

    check = gradcheck.check(Tied(), (leaf(4, 3).detach(),))
    assert verdicts(check) == {"encode.weight": "pass"}


def test_a_recurrent_module_is_checked():
    torch.manual_seed(0)
    check = gradcheck.check(nn.LSTM(2, 3, dtype=F64), (leaf(4, 1, 2).detach(),))
    assert check.verdict == "pass"


def test_a_detached_path_fails():
    check = gradcheck.check(lambda w: (w * w.detach()).sum(), (leaf(4),))
    assert check.verdict == "fail"
    assert check.oracles == ("central",)  # forward mode is blind to it, and is not believed


def test_a_tensor_that_the_loss_does_not_use_passes_with_a_notice():
    check = gradcheck.check(lambda w, b: w.square().sum(), {"w": leaf(2), "b": leaf(2)})
    assert check.verdict != "fail"
    assert "gradient_none" in [n.key for n in check.warnings]
