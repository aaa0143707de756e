"""Blocks of positions at many single-entry changes at once: a block is what is computed again.

Every loss here is evaluated with entries of each parameter moved far, together and one at a time.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from gradcheck.torch_target import tangents
from gradcheck.torch_target.problem import torch_problem
from gradcheck.torch_target.varied.blocks import Blocks, viewed
from gradcheck.torch_target.varied.scattered import changed, scattered
from gradcheck.torch_target.varied.tensor import Tally, Varied, WastefulError
from tests.moved_losses import drawn, moved_losses

PICTURES, FILTERS = drawn(2, 3, 4, 4, seed=5), drawn(6, 3, 3, 3)
DEEP = drawn(2, 6, 2, 2, seed=2)


def grouped(w):
    """Three groups of two channels, of two pictures of 4 by 4."""
    return functional.group_norm(functional.conv2d(PICTURES, w, padding=1), 3)


STEPS = {
    "each entry": lambda h: (h.tanh() * 2 + 1).flatten(),
    "what stays": lambda h: h * drawn(6, 1, 1, seed=3) + drawn(2, 6, 4, 4, seed=4),
    "its own size": lambda h: h * h.sigmoid(),
    "a layer": lambda h: functional.linear(h.relu().flatten(1), drawn(5, 96), drawn(5)).tanh(),
    "a product": lambda h: h.flatten(1) @ drawn(96, 5),
    "a convolution": lambda h: functional.conv2d(h.relu(), DEEP, drawn(2), padding=1).tanh(),
    "sums": lambda h: h.exp().flatten(1).sum() * h.square().mean(),
    "another shape": lambda h: h.relu().view(2, 3, 32)[:, 1].unsqueeze(0).clone(),
}
WRITTEN = {
    "along it": lambda h: h.flatten(1).softmax(1),
    "sums along a dimension": lambda h: h.flatten(1).sum(1).exp(),
    "from the left": lambda h: drawn(3, 2) @ h.flatten(1),
    "rows in blocks": lambda h: h.reshape(12, 16) @ drawn(16, 2),
    "a wider tensor": lambda h: h.flatten(1) + drawn(3, 1, 96),
    "a weight that changes": lambda h: h.flatten(1) @ h.flatten(1).T,
    "groups of channels": lambda h: functional.conv2d(h, drawn(4, 3, 2, 2), groups=2),
    "a transposed convolution": lambda h: functional.conv_transpose2d(h, drawn(6, 2, 2, 2)),
    "another type": lambda h: h.to(torch.float32).double().flatten(),
    "pooled": lambda h: functional.max_pool2d(h, 2),
}


@pytest.mark.parametrize("name", [*STEPS, *WRITTEN])
def test_losses_together_are_those_of_plain_calls(name):
    step = {**STEPS, **WRITTEN}[name]
    together, alone, _ = moved_losses(lambda w: step(grouped(w)).sin().sum(), [FILTERS], 0, most=9)
    rtol = 1e-5 if name == "another type" else 1e-11
    np.testing.assert_allclose(together, alone, rtol=rtol)


@pytest.mark.parametrize("name", ["each entry", "what stays", "a layer", "a product", "sums"])
def test_only_the_block_is_computed(name):
    _, _, tally = moved_losses(lambda w: STEPS[name](grouped(w)).sum(), [FILTERS], 0)
    assert tally.largest / tally.rows == 2 * 2 * 16 * 8


def test_a_block_of_one_position_and_one_of_all_are_no_blocks():
    at = torch.tensor([0, 1, 1])
    one = Varied(drawn(2, 3), drawn(3, 3, seed=1), {0: at}, Tally(3))
    assert isinstance(viewed(one, (6,)), Blocks)
    assert viewed(viewed(one, (6,)), (2, 3)).places == {0: at}
    assert not isinstance(viewed(one, (2, 3, 1)), Blocks)
    single = Varied(drawn(1, 3), drawn(3, 3), {0: at * 0}, Tally(3))
    assert not isinstance(viewed(single, (3,)), Blocks)


def test_blocks_of_two_dimensions_are_told_apart():
    h = drawn(2, 3, 4, 5, seed=7)

    def loss(x):
        blocks = (x.unsqueeze(3) * h).tanh().reshape(2, 60)
        return (blocks @ drawn(60, 4)).cos().sum()

    together, alone, _ = moved_losses(loss, [drawn(2, 3, 4)], 0)
    np.testing.assert_allclose(together, alone, rtol=1e-11)


@pytest.mark.parametrize("name", ["a layer", "a convolution"])
def test_tangents_are_carried_so_too(name, monkeypatch):
    monkeypatch.setattr(tangents, "LEAST", 1)
    given = (FILTERS.clone().requires_grad_(),)
    problem = torch_problem(lambda w: STEPS[name](grouped(w)).sin().sum(), given)
    found = problem.forward_gradient.entries(0, np.arange(162))
    expected = problem.forward_gradient(0, np.eye(162).reshape(162, 6, 3, 3, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    problem.cleanup()


@pytest.mark.parametrize("count", [4, 64])
def test_a_block_of_few_entries_is_left_to_what_computes_single_ones(count):
    tally, at = Tally(3), torch.tensor([0, 1, 3])
    tally.sparing = True
    one = viewed(Varied(drawn(count, 2, 3), drawn(3, 2, 3), {0: at}, tally), (2 * count, 3))
    assert isinstance(one, Blocks)
    few = scattered(one)
    assert changed(one) == few.places.shape[1] == 6
    if count == 64:
        with pytest.raises(WastefulError):
            _ = one.values
        tally.sparing = False
    np.testing.assert_array_equal(one.values, few.loosened().values)


def test_blocks_of_few_entries_are_moved_entry_by_entry_and_multiplied_as_blocks():
    heads, last = drawn(6, 40, 2), drawn(80, 3)

    def loss(w):
        h = (heads * w).tanh().reshape(6, 80)
        return (h.T.roll(1, 0).cos().sum() + (h @ last).sin().sum()) * h.flip(1).sum()

    together, alone, tally = moved_losses(loss, [drawn(40, 1)], 0)
    np.testing.assert_allclose(together, alone, rtol=1e-11)
    assert tally.largest / tally.rows <= 6 * 3 * 16
