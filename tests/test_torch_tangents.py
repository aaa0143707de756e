"""Forward mode at many entries at once: the derivatives are those along single directions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from gradcheck.torch_target import tangents as module
from gradcheck.torch_target.problem import torch_problem
from gradcheck.torch_target.varied import linear
from tests.moved_losses import drawn

F64 = torch.float64
X = drawn(7, 4, seed=9)
PICTURES = drawn(2, 1, 6, 6, seed=8)
LABELS = torch.tensor([0, 2, 1, 1, 0, 2, 2])
KERNEL = drawn(3, 1, 2, 2, seed=7)


def layers(w, b, v):
    h = functional.layer_norm(functional.linear(X, w, b), (6,))
    return functional.cross_entropy(functional.gelu(h) @ v, LABELS)


def attention(q, k):
    scores = (X @ q) @ (X @ k).T
    return (scores.softmax(1) @ X).square().sum()


LOSSES = {
    "layers": (layers, drawn(6, 4), drawn(6), drawn(6, 3)),
    "attention": (attention, drawn(4, 4), drawn(4, 4, seed=1)),
    "neighbours": (lambda v: ((v[1:] - v[:-1] ** 2) ** 2).mean(), drawn(60)),
    "pictures": (
        lambda w: functional.conv2d(functional.conv2d(PICTURES, w, padding=1).tanh(), w.mT).sum(),
        drawn(1, 1, 3, 3),
    ),
    "pixels": (lambda x: functional.conv2d(x[None, None], KERNEL).exp().sum(), drawn(7, 7)),
    "copies": (lambda w: (X @ w).to(F64, copy=True).square().clone().sum(), drawn(4, 3)),
    "no tangent": (lambda w: (w * 0).sum() + X.sum(), drawn(4, 3)),
}


@pytest.fixture
def every_entry(monkeypatch):
    """Have also a few entries computed together."""
    monkeypatch.setattr(module, "LEAST", 1)


def along_directions(problem, number):
    shape = problem.parameters[number].value.shape
    size = int(np.prod(shape))
    return problem.forward_gradient(number, np.eye(size).reshape(size, *shape))


@pytest.mark.usefixtures("every_entry")
@pytest.mark.parametrize("name", LOSSES)
def test_the_derivatives_are_those_along_single_directions(name):
    loss, *tensors = LOSSES[name]
    problem = torch_problem(loss, tuple(one.clone().requires_grad_() for one in tensors))
    for number, tensor in enumerate(tensors):
        found = problem.forward_gradient.entries(number, np.arange(tensor.numel()))
        expected = along_directions(problem, number)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    problem.cleanup()


@pytest.mark.usefixtures("every_entry")
def test_more_entries_than_a_first_batch_are_all_computed(monkeypatch):
    monkeypatch.setattr(module, "FIRST", 4)
    problem = torch_problem(lambda v: v.exp().sum(), (drawn(50).requires_grad_(),))
    some = np.array([1, 2, 4, 7, 30, 31, 48, 49])
    found = problem.forward_gradient.entries(0, some)
    np.testing.assert_allclose(found, drawn(50).exp().numpy()[some], rtol=1e-14)
    problem.cleanup()


@pytest.mark.usefixtures("every_entry")
def test_a_rule_that_gives_something_else_is_noticed(monkeypatch):
    problem = torch_problem(lambda w: (X @ w).tanh().sum(), (drawn(4, 3).requires_grad_(),))
    assert len(problem.forward_gradient.entries(0, np.arange(12))) == 12
    right = linear._right_product

    def wrong(*args):
        found = right(*args)
        return found.new(found.base, found.values * (1 + 1e-9), found.places)

    monkeypatch.setattr(linear, "_right_product", wrong)
    assert len(problem.forward_gradient.entries(0, np.arange(12))) == 0
    problem.cleanup()


@pytest.mark.usefixtures("every_entry")
@pytest.mark.parametrize(
    ("target", "inputs"),
    [
        pytest.param(lambda z: (z * z).real.sum(), torch.complex(drawn(3), drawn(3)), id="complex"),
        pytest.param(lambda x: x.logdet(), drawn(4, 4) @ drawn(4, 4).T, id="whole"),
    ],
)
def test_what_cannot_be_computed_so_gets_directions(target, inputs):
    problem = torch_problem(target, (inputs.clone().requires_grad_(),))
    assert len(problem.forward_gradient.entries(0, np.arange(3))) == 0
    assert np.isfinite(along_directions(problem, 0)).all()
    problem.cleanup()


def test_a_few_entries_get_directions():
    problem = torch_problem(lambda v: v.exp().sum(), (drawn(50).requires_grad_(),))
    assert len(problem.forward_gradient.entries(0, np.arange(50))) == 0
    problem.cleanup()
