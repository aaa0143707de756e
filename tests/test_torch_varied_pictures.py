"""Convolutions, pooling, resizing at many changes at once: of the channels only what changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.moved_losses import drawn, moved_losses

PICTURES = drawn(2, 3, 6, 6, seed=8)
LINES = drawn(3, 4, 9, seed=7)


def depthwise(w, v, u):
    h = functional.conv2d(PICTURES, w, padding=1, groups=3).tanh()
    return functional.conv2d(functional.conv2d(h, v), u, groups=4, stride=2).exp().mean()


def lines(w, b, v):
    h = functional.gelu(functional.conv1d(LINES, w, b, padding=2))
    return functional.conv1d(h, v, dilation=2).square().sum()


def down_and_up(w, v, u):
    h = functional.conv2d(PICTURES, w, padding=1).relu()
    low = functional.conv2d(functional.avg_pool2d(h, 2), v, padding=1).tanh()
    high = functional.interpolate(low, scale_factor=2, mode="nearest")
    wide = functional.interpolate(low, size=(6, 6), mode="bilinear")
    return functional.conv2d(torch.cat([h, high, wide], 1), u).square().mean()


LOSSES = {
    "depthwise": (
        depthwise,
        (drawn(3, 1, 3, 3), drawn(4, 3, 1, 1), drawn(8, 1, 2, 2)),
    ),
    "of lines": (lines, (drawn(6, 4, 5), drawn(6), drawn(2, 6, 2))),
    "down and up": (down_and_up, (drawn(4, 3, 3, 3), drawn(2, 4, 3, 3), drawn(3, 8, 1, 1))),
    "groups of several channels": (
        lambda w: functional.conv1d(LINES, w, groups=2, stride=2).sin().sum(),
        (drawn(6, 2, 3),),
    ),
    "of a picture that is moved": (
        lambda x: (
            functional.conv2d(
                functional.pad(x, (1, 1, 1, 1), mode="reflect"), drawn(2, 3, 3, 3, seed=1)
            )
            .cos()
            .sum()
        ),
        (PICTURES,),
    ),
    "of a large picture that is moved": (
        lambda x: (
            functional.conv2d(x, drawn(1, 3, 3, 3, seed=1), drawn(1), padding=1, stride=2).cos()
            * functional.conv2d(x[:, 1:], drawn(1, 2, 3, 2, seed=2), dilation=(1, 2))[:, :, 9:, 8:]
        ).sum(),
        (drawn(2, 3, 22, 20),),
    ),
    "of neighbours in a line": (
        lambda x: (
            functional.conv1d(x[:, :, 1:] - x[:, :, :-1], drawn(4, 1, 3), groups=2).square().sum()
        ),
        (drawn(1, 2, 80),),
    ),
    "in steps": (
        lambda w, v: (
            functional.conv2d(
                functional.conv2d(PICTURES, w, stride=2, padding=(2, 1), dilation=(1, 2)).tanh(), v
            )
            .square()
            .sum()
        ),
        (drawn(4, 3, 2, 3), drawn(2, 4, 1, 1)),
    ),
    "in space": (
        lambda w, v: (
            functional.conv3d(
                functional.conv3d(PICTURES[:, None], w, padding=(1, 1, 0)).sin(),
                v,
                stride=(1, 2, 1),
            )
            .exp()
            .mean()
        ),
        (drawn(2, 1, 2, 3, 3), drawn(3, 2, 2, 1, 2)),
    ),
    "filters of which several numbers change": (
        lambda w: functional.conv2d(PICTURES, w * w.mean((2, 3), keepdim=True)).exp().sum(),
        (drawn(2, 3, 2, 2),),
    ),
    "numbers for each channel": (
        lambda w, v: (
            functional.conv2d(functional.conv2d(PICTURES, w).relu(), v)[:, 1:]
            .mean((2, 3))
            .cos()
            .prod()
        ),
        (drawn(4, 3, 3, 3), drawn(3, 4, 1, 1)),
    ),
    "every other number for each channel": (
        lambda w: (
            functional.conv2d(
                functional.conv2d(PICTURES, w).relu(), drawn(3, 4, 1, 1), stride=2, padding=1
            )
            .exp()
            .sum()
        ),
        (drawn(4, 3, 3, 3),),
    ),
    "several channels for each": (
        lambda w: (
            functional.conv2d(functional.conv2d(PICTURES, w).relu(), drawn(8, 1, 2, 2), groups=4)
            .exp()
            .sum()
        ),
        (drawn(4, 3, 3, 3),),
    ),
    "to one channel, and to three": (
        lambda w: (
            functional.conv2d(functional.conv2d(PICTURES, w).tanh(), drawn(1, 4, 2, 2)).exp().sum()
            * functional.conv2d(
                functional.conv2d(PICTURES, w).tanh(), drawn(3, 4, 2, 2), stride=2, padding=1
            )
            .cos()
            .mean()
        ),
        (drawn(4, 3, 3, 3),),
    ),
    "shuffled": (
        lambda w: functional.pixel_shuffle(functional.conv2d(PICTURES, w), 2)[..., 1:].tan().sum(),
        (drawn(4, 3, 3, 3) / 10,),
    ),
    "without batches": (
        lambda x: (
            functional.max_pool2d(x[0], 2).square().sum()
            + functional.avg_pool2d(x[:, 1], 3, 1).sum(0).prod()
        ),
        (PICTURES,),
    ),
    "pooled lines": (
        lambda w: (
            functional.max_pool1d(functional.conv1d(LINES, w), 2).square().sum()
            + functional.adaptive_avg_pool1d(functional.conv1d(LINES, w), 2).prod()
        ),
        (drawn(2, 4, 2),),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_together_are_those_of_plain_calls(name):
    loss, tensors = LOSSES[name]
    for number in range(len(tensors)):
        together, alone, _ = moved_losses(loss, tensors, number)
        np.testing.assert_allclose(together, alone, rtol=1e-11, atol=1e-11)


def test_of_a_depthwise_convolution_one_channel_is_computed():
    pictures, filters = drawn(2, 16, 8, 8), drawn(16, 1, 3, 3)

    def loss(w):
        return functional.conv2d(pictures, w, padding=1, groups=16).square().sum()

    assert moved_losses(loss, (filters,), 0)[2].largest <= 40 * 2 * 8 * 8 * 8


def test_of_a_filter_one_number_is_multiplied():
    pictures, filters = drawn(2, 64, 5, 5), drawn(4, 64, 3, 3)

    def loss(w):
        return functional.conv2d(pictures, w).sin().sum()

    together, alone, tally = moved_losses(loss, (filters,), 0)
    np.testing.assert_allclose(together, alone, rtol=1e-11)
    # A filter has more numbers than its channel of the result.
    assert tally.largest / tally.rows == 2 * 3 * 3 * 8


def test_of_a_channel_that_goes_to_all_no_pictures_are_written_out_where_they_are_added_up():
    filters, wide = drawn(3, 3, 3, 3), drawn(50, 3, 1, 1)

    def loss(w):
        h = functional.conv2d(functional.conv2d(PICTURES, w).relu(), wide)
        return h.mean((2, 3)).square().sum()

    together, alone, tally = moved_losses(loss, (filters,), 0)
    np.testing.assert_allclose(together, alone, rtol=1e-11)
    assert tally.largest / tally.rows == 2 * 50 * 8
