"""Operations along dimensions, and of everything, at many changes at once: the rows that change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.moved_losses import drawn, moved_losses

X = drawn(7, 12, seed=3)
LINE = drawn(90)
VECTOR = drawn(12, seed=4)
ENDS = torch.tensor([0, 2, 2, 1, 4])
STARTS = torch.tensor([1, 0, 5, 6, 6])
ROWS = torch.randint(0, 7, (7, 12), generator=torch.Generator().manual_seed(1))
BAGS = torch.randint(0, 7, (5, 3), generator=torch.Generator().manual_seed(2))


def graph(w):
    z = X @ w
    gone = torch.zeros_like(z).index_add(0, ENDS, z[STARTS])
    where = ENDS[:, None].expand(-1, z.shape[1])
    return (torch.zeros_like(z).scatter_add(0, where, z[STARTS]) * gone).tanh().sum()


LOSSES = {
    "running sums": (lambda x: (x.cumsum(1).cos() + x.sigmoid().cumprod(0)).sum(), X),
    "sorted rows": (lambda x: (x.sort(1).values * VECTOR).sum(), X),
    "extremes of rows": (
        lambda x: (x.amax(1) * x.min(1).values + x.amin((0, 1))).sum() + x.max(0)[0].prod(),
        X,
    ),
    "products of rows": (lambda x: x.prod(1).sum() + x.prod(0, keepdim=True).cos().sum(), X),
    "logarithms of sums": (
        lambda x: x.logsumexp(1).prod() + x.logsumexp((0, 1)) * x.logsumexp(0, keepdim=True).mean(),
        X,
    ),
    "largest and smallest": (lambda v: v.max() * v.amin() + v.amax() + v.min() ** 2, LINE),
    "largest along a line": (lambda v: v.max(0).values * v.min(0)[0] + v.median(), LINE),
    "largest of neighbours": (lambda v: (v[1:] * v[:-1]).max() + v.logsumexp(0), LINE),
    "lengths": (
        lambda x: x.norm() * x.norm(dim=1).prod() + x.abs().sum() + torch.linalg.norm(x[0], 1),
        X,
    ),
    "rows of unit length": (lambda x: (functional.normalize(x, dim=1) * VECTOR).sum(0).norm(), X),
    "spread": (
        lambda x: x.std() * x.var() + x.var(1).prod() + x.std(0, correction=0).cos().sum(),
        X,
    ),
    "spread of neighbours": (lambda v: (v[1:] - v[:-1]).std() * v.mean(), LINE),
    "vectors and a matrix": (lambda x: (X[:, 0] @ x).tanh() @ VECTOR + VECTOR @ x.T @ X[:, 1], X),
    "a bilinear form": (
        lambda w: functional.bilinear(X[:, :4], X[:, 4:7], w).tanh().sum(),
        drawn(3, 4, 3),
    ),
    "bags": (
        lambda w: (
            functional.embedding_bag(BAGS, w, mode="mean").tanh().sum()
            + functional.embedding_bag(BAGS, w, mode="max").cos().sum()
        ),
        X,
    ),
    "sums over a graph": (graph, drawn(12, 3)),
    "losses": (
        lambda x: (
            functional.mse_loss(x, X.sin()) * functional.huber_loss(x, X.cos(), delta=0.3)
            + functional.smooth_l1_loss(x, X.cos(), reduction="sum")
            + functional.binary_cross_entropy(x.sigmoid(), X.sigmoid())
            + functional.binary_cross_entropy_with_logits(x[1:] - x[:-1], X[1:].sigmoid())
        ),
        X,
    ),
    "gathered rows": (lambda x: (x.gather(0, ROWS) * x).sin().sum() + x.gather(1, ROWS).prod(), X),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_together_are_those_of_plain_calls(name):
    loss, tensor = LOSSES[name]
    together, alone, _ = moved_losses(loss, (tensor,), 0)
    np.testing.assert_allclose(together, alone, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["sorted rows", "rows of unit length"])
def test_a_row_is_computed(name):
    loss, tensor = LOSSES[name]
    assert moved_losses(loss, (tensor,), 0)[2].largest <= 40 * 12 * 8


def test_the_spread_of_entries_far_from_zero_is_as_sharp_as_that_of_a_plain_call():
    v = drawn(400) + 1e6
    together, alone, _ = moved_losses(lambda v: v.var() + v.std(), (v,), 0)
    np.testing.assert_allclose(together, alone, rtol=1e-12)
