"""Activations that torch does not call functions of each entry, at many single-entry changes.

Every loss here is evaluated with entries of each parameter moved far, together and one at a time.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from gradcheck.torch_target import tangents
from gradcheck.torch_target.problem import torch_problem
from tests.moved_losses import drawn, moved_losses

X, WEIGHTS, LAST = drawn(5, 4, seed=3), drawn(4, 6), drawn(6, 3, seed=1)
SLOPES, PICTURES = drawn(6, seed=2), drawn(2, 3, 5, 5, seed=4)

LOSSES = {
    "a slope": (lambda w, a: functional.prelu(X @ w, a).cos().sum(), WEIGHTS, drawn(1)),
    "slopes": (lambda w, a: (functional.prelu(X @ w, a) @ LAST).cos().sum(), WEIGHTS, SLOPES),
    "slopes of channels": (
        lambda w, a: functional.prelu(functional.conv2d(PICTURES, w), a).exp().mean(),
        drawn(4, 3, 2, 2),
        drawn(4),
    ),
    "behind a layer": (lambda w: functional.prelu((X @ w) @ LAST, SLOPES[:3]).sin().sum(), WEIGHTS),
    "in pieces": (lambda w: (functional.hardswish(3 * X @ w) @ LAST).square().sum(), WEIGHTS),
    "logarithms of shares": (lambda w: (functional.logsigmoid(X @ w) @ LAST).cos().sum(), WEIGHTS),
    "gates of columns": (lambda w: (functional.glu(X @ w, 1) @ LAST[:3]).cos().sum(), WEIGHTS),
    "gates of rows": (lambda w: functional.glu(w, 0).exp().sum(), WEIGHTS),
    "gates of all that changes": (
        lambda w: functional.glu((X @ w).tanh() @ drawn(6, 4)).sin().sum(),
        WEIGHTS,
    ),
    "gates of channels": (
        lambda w: functional.glu(functional.conv2d(PICTURES, w), 1).cos().sum(),
        drawn(4, 3, 2, 2),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_together_are_those_of_plain_calls(name):
    loss, *tensors = LOSSES[name]
    for number in range(len(tensors)):
        together, alone, _ = moved_losses(loss, tensors, number)
        np.testing.assert_allclose(together, alone, rtol=1e-11)


@pytest.mark.parametrize("name", ["slopes", "in pieces", "logarithms of shares"])
def test_a_column_is_computed(name):
    loss, *tensors = LOSSES[name]
    # The last product has three columns.
    assert moved_losses(loss, tensors, 0)[2].largest <= 40 * 5 * 3 * 8


@pytest.mark.parametrize("name", ["slopes", "in pieces", "logarithms of shares"])
def test_tangents_are_carried_so_too(name, monkeypatch):
    monkeypatch.setattr(tangents, "LEAST", 1)
    loss, *tensors = LOSSES[name]
    problem = torch_problem(loss, tuple(one.clone().requires_grad_() for one in tensors))
    found = problem.forward_gradient.entries(0, np.arange(24))
    expected = problem.forward_gradient(0, np.eye(24).reshape(24, 4, 6))
    np.testing.assert_allclose(found, expected, rtol=1e-11)
    problem.cleanup()


def test_a_gate_whose_halves_change_together_is_told_from_one_of_which_one_does():
    def loss(w):
        both = torch.cat([w, w.flip(1)], 1)
        return functional.glu(both.tanh(), 1).exp().sum()

    together, alone, _ = moved_losses(loss, [WEIGHTS], 0)
    np.testing.assert_allclose(together, alone, rtol=1e-11)
