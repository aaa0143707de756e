"""Losses of neighbouring entries, and of entries picked here and there, at many changes at once.

An entry changes a few of what is computed of it: these alone are computed, and the loss is the
same.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

import gradcheck
from tests.moved_losses import drawn, moved_losses

LINE = drawn(90)
PICTURE = drawn(12, 11, seed=1)
GRAPH = torch.randint(0, 30, (2, 70), generator=torch.Generator().manual_seed(2))
PICKED = torch.randint(0, 90, (100,), generator=torch.Generator().manual_seed(3))
MASK = drawn(12, 11, seed=4) > 0


def valley(v):
    return (100 * (v[1:] - v[:-1] ** 2) ** 2 + (1 - v[:-1]) ** 2).mean()


def total_variation(x):
    down, right = x[1:, :-1] - x[:-1, :-1], x[:-1, 1:] - x[:-1, :-1]
    return (down**2 + right**2 + 1e-3).sqrt().sum()


def heat(u):
    for _ in range(2):
        wide, high = functional.pad(u, (1, 1)), functional.pad(u, (0, 0, 1, 1), value=2)
        u = u + 0.1 * (wide[:, 2:] + wide[:, :-2] + high[2:] + high[:-2] - 4 * u)
    return u.pow(3).sum()


LOSSES = {
    "each entry and the next": (valley, LINE),
    "total variation": (total_variation, PICTURE),
    "second differences": (lambda v: torch.diff(v, n=2).square().sum(), LINE),
    "differences of columns": (lambda x: x.diff(dim=1).abs().sum() + x.diff(dim=0).prod(), PICTURE),
    "periodic": (
        lambda x: (4 * x - x.roll(1, 0) - x.roll(-1, 0) - x.roll((1, 2), (1, 0))).tanh().mean(),
        PICTURE,
    ),
    "steps of a heat equation": (heat, drawn(20, 30)),
    "windows": (lambda v: (v.unfold(0, 5, 1) * LINE[:5]).sum(1).tanh().square().sum(), LINE),
    "many windows": (lambda v: v.unfold(0, 10, 1).cos().sum(1).prod(), drawn(150)),
    "entries that are picked": (lambda v: (v[PICKED] * drawn(100)).tanh().sum(), LINE),
    "along a dimension": (
        lambda x: x.gather(1, PICKED.reshape(10, 10) % 11).exp().sum() + x.flip(0).tril()[3].prod(),
        PICTURE,
    ),
    "in pairs": (lambda x: (x[GRAPH[0] % 12, GRAPH[1] % 11] * x[GRAPH[1] % 12, 0]).sum(), PICTURE),
    "by a mask": (lambda x: (x[MASK] * x.masked_select(MASK).sin()).sum(), PICTURE),
    "joined": (
        lambda v: (
            torch.cat([v, v.sin(), LINE]) * torch.stack([v, LINE, v.flip(0)]).flatten()
        ).sum(),
        LINE,
    ),
    "several reshapes": (
        lambda v: sum(
            (one.flatten() * two.T.flatten()).sin().sum()
            for one, two in zip(
                (v[2:] * v[:-2]).reshape(2, 11, 4).permute(2, 0, 1).chunk(2),
                v[2:].reshape(4, 22).split(2),
                strict=True,
            )
        ),
        LINE,
    ),
    "parts of sums": (
        lambda x: (x[1:] - x[:-1]).sum(0).exp().sum() + (x[:, 1:] * x[:, :-1]).mean(1).prod(),
        PICTURE,
    ),
    "sums that stay": (
        lambda x: (x[1:] - x[:-1]).square().sum((0, 1), keepdim=True).sqrt().mean(),
        PICTURE,
    ),
    "broadcast": (lambda v: ((v[1:] - v[:-1])[:, None] * drawn(2, seed=5)).sin().sum(), LINE),
    "a place that no evaluation moves": (lambda v: v[:0].sum() + v[3:4].sin().sum(), LINE),
    "expanded": (
        lambda v: ((v[1:] - v[:-1])[:, None].expand(-1, 3) * drawn(3)).cos().sum(),
        LINE,
    ),
    "comparisons": (lambda v: torch.where(v[1:] > v[:-1], v[1:], v[:-1] ** 3).sum(), LINE),
    "single precision": (
        lambda v: (v[1:] - v[:-1]).float().square().double().sum() + (v.float() * 2.0)[:3].prod(),
        LINE,
    ),
    "a function of the whole": (
        lambda v: (v[1:] - v[:-1]).sort().values.cumsum(0).cos().sum(),
        LINE,
    ),
    "a product behind": (
        lambda v: ((v[1:] - v[:-1]).reshape(1, -1) @ drawn(89, 4)).exp().sum(),
        LINE,
    ),
    "changed in place": (lambda v: (v[1:] - v[:-1]).mul_(3).add_(v[1:]).cos_().sum(), LINE),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_together_are_those_of_plain_calls(name):
    loss, tensor = LOSSES[name]
    together, alone, _ = moved_losses(loss, (tensor,), 0)
    rounding = 1e-5 if name == "single precision" else 1e-11
    np.testing.assert_allclose(together, alone, rtol=rounding, atol=rounding)


@pytest.mark.parametrize(
    "name",
    ["each entry and the next", "total variation", "periodic", "entries that are picked"],
)
def test_a_few_entries_are_computed(name):
    loss, tensor = LOSSES[name]
    rows = 40
    assert moved_losses(loss, (tensor,), 0)[2].largest < rows * tensor.numel() * 8 / 4


class Valley(torch.autograd.Function):
    """A sum of neighbouring entries; ``factor`` scales the derivative by each entry's next one."""

    factor = 1.0

    @classmethod
    def forward(cls, ctx, v):
        ctx.save_for_backward(v)
        return valley(v)

    @classmethod
    def backward(cls, ctx, g):
        (v,) = ctx.saved_tensors
        apart = 200 * (v[1:] - v[:-1] ** 2)
        found = torch.zeros_like(v)
        found[1:] += cls.factor * apart
        found[:-1] += -2 * apart * v[:-1] - 2 * (1 - v[:-1])
        return g * found / (len(v) - 1)


class WrongValley(Valley):
    """One with a derivative that is 1% too large."""

    factor = 1.01


@pytest.mark.parametrize(("function", "verdict"), [(Valley, "pass"), (WrongValley, "fail")])
def test_a_sum_of_neighbouring_entries_gets_the_verdict_it_deserves(function, verdict):
    calls = []

    def loss(v):
        calls.append(v)
        return function.apply(v)

    v = drawn(400).requires_grad_()
    check = gradcheck.check(loss, (v,), entries="all", oracles=("central",), seed=1)
    assert check.verdict == verdict
    assert check.evaluations > 800
    assert len(calls) < 100
