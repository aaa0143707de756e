"""What is not computed again, nor copied, when many single-entry changes are evaluated at once."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from gradcheck.torch_target.varied.carrier import carrier, varied_of
from gradcheck.torch_target.varied.tensor import Tally, Varied, unravelled
from tests.moved_losses import drawn, moved_losses

F64 = torch.float64


X = drawn(5, 4, seed=9)


PICTURES = drawn(2, 3, 6, 6, seed=8)


LABELS = torch.tensor([0, 2, 1, 1, 0])


MEANS, VARIANCES = drawn(3, seed=4), drawn(3, seed=6).square() + 0.5


def test_only_what_changes_is_computed():
    width = 50

    def loss(w, b, v):
        return functional.cross_entropy(functional.linear(X, w, b).tanh() @ v, LABELS)

    tensors = (drawn(width, 4), drawn(width), drawn(width, 3))
    for number in range(3):
        _, _, tally = moved_losses(loss, tensors, number)
        # A column of the hidden layer and the outputs, several times; not the layer, or a weight.
        assert tally.made / tally.rows < 8 * (6 * 5 + 8 * 15)

    def two_hidden_layers(w, v):
        return ((X @ w).tanh() @ v).relu().sum()

    whole = 5 * width * 8
    _, _, last = moved_losses(two_hidden_layers, (drawn(4, width), drawn(width, width)), 1)
    assert last.made / last.rows < whole


def test_a_convolution_computes_one_channel_again():
    weight = drawn(32, 3, 3, 3)
    _, _, tally = moved_losses(
        lambda w: functional.max_pool2d(functional.conv2d(PICTURES, w).relu(), 2).sum(),
        (weight,),
        0,
    )
    assert tally.made / tally.rows < 2 * 4 * (16 + 8 + 8) * 8 + 27 * 8


def test_of_a_large_table_or_of_weights_used_again_no_copies_are_made():
    table = drawn(100, 6)
    _, _, tally = moved_losses(lambda w: functional.embedding(LABELS, w).tanh().sum(), (table,), 0)
    assert tally.made / tally.rows < 100 * 8

    def again(w):
        h = X[:1, :1].expand(1, 100)
        for _ in range(3):
            h = (h @ w).tanh()
        return h.sum()

    _, _, tally = moved_losses(again, (drawn(100, 100) / 10,), 0)
    assert tally.made / tally.rows < 20 * 100 * 8


def test_of_a_stack_only_the_matrix_that_changes_is_multiplied():
    heads = drawn(8, 5, 4)
    _, _, tally = moved_losses(
        lambda w: (heads @ w).softmax(-1).square().sum(), (drawn(8, 4, 5, seed=1),), 0
    )
    assert tally.made / tally.rows < 8 * 5 * 5 * 8


def test_no_copies_of_a_large_parameter_are_made():
    weight = drawn(100, 4)
    places = dict(enumerate(unravelled(torch.arange(10), weight.shape)))
    varied = Varied(weight, drawn(10), places, Tally(10, limit=20_000))
    with torch.no_grad():
        assert varied_of((carrier(varied) @ X.T).sum()) is not None
        with pytest.raises(RuntimeError, match="memory"):
            carrier(varied).flatten().cumsum(0)
