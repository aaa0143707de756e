"""Targets that mean something else for many changes at once are refused, not guessed at."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from gradcheck.torch_target.varied.carrier import carrier
from gradcheck.torch_target.varied.tensor import Tally, Varied, unravelled
from tests.moved_losses import drawn, moved_losses

F64 = torch.float64


X = drawn(5, 4, seed=9)


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


def written_into_what_stays(w):
    h = X @ X.T
    h += (X @ w).sum()
    return h.square().sum()


def overwritten(w):
    h = X @ w
    h[0] = 0.0
    return h.sum()


def added_to(w):
    total = torch.zeros(3, dtype=F64)
    for row in range(5):
        total += X[row] @ w
    return total.square().sum()


def written_through_a_view(w):
    h = torch.zeros(5, 3, dtype=F64)
    h[:2].copy_((X @ w)[:2])
    return h.sum()


def drawn_by_value(w):
    return torch.bernoulli((X @ w).sigmoid()).sum() + w.sum()


def branched(w):
    return w.sum() if w.sum() > 0 else 2 * w.sum()


def written_beside_a_view(w):
    h = X @ w
    same = h.detach()
    h.mul_(2.0)
    return same.sum()


def a_view_written_into(w):
    h = X @ w
    h.view(-1).add_(1.0)
    return h.sum()


def a_part_written_into(w):
    h = X @ w
    first, _ = h.split([2, 3])
    first.mul_(3.0)
    return h.sum()


REFUSED = {
    "read by its strides": lambda w: w.T.as_strided((2, 2), (1, 2)).sum(),
    "written beside a view": written_beside_a_view,
    "a view written into": a_view_written_into,
    "a part written into": a_part_written_into,
    "another type": lambda w: (X @ w).bool().add_(X @ w).sum(),
    "a number in Python": lambda w: w.sum() * float(w[0, 0]),
    "a branch": branched,
    "NumPy": lambda w: w.sum() * w.detach().numpy().sum(),
    "an array": lambda w: w.sum() * float(np.asarray(w.detach()).sum()),
    "a list": lambda w: w.sum() * w.detach().tolist()[0][0],
    "written into": overwritten,
    "added to": added_to,
    "written into what stays": written_into_what_stays,
    "written through a view": written_through_a_view,
    "an output": lambda w: torch.mul(w, 2, out=torch.empty(4, 3, dtype=F64)).sum(),
    "drawn by value": drawn_by_value,
    "attention that drops out": lambda w: functional.scaled_dot_product_attention(
        *(X[None, None] @ w,) * 3, dropout_p=0.5
    ).sum(),
    "a shape by value": lambda w: w[w > 0].sum(),
}


@pytest.mark.parametrize("name", with_this_torch(REFUSED))
def test_what_cannot_be_told_for_many_is_refused(name):
    places = dict(enumerate(unravelled(torch.arange(12), (4, 3))))
    varied = Varied(drawn(4, 3), drawn(12), places, Tally(12))
    with torch.no_grad(), pytest.raises((RuntimeError, TypeError)):
        REFUSED[name](carrier(varied))


def test_what_is_rounded_to_lower_precision_is_computed_whole():
    _, _, tally = moved_losses(lambda w: w.to(torch.bfloat16).sum().double(), (drawn(30, 20),), 0)
    assert tally.made / tally.rows > 30 * 20 * 2
