"""Stacks of matrices, transforms, distances and groups at many changes at once: those that change.

Every loss here is evaluated with entries of each parameter moved far, together and one at a time.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.moved_losses import drawn, moved_losses

F64 = torch.float64
EYE = 4 * torch.eye(3, dtype=F64)
STACK = drawn(5, 3, 3)
RIGHT, VECTORS = drawn(5, 3, 2, seed=1), drawn(5, 3, seed=2)
SIGNAL = drawn(2, 8, seed=3)
ROWS = drawn(6, 3, seed=4)
PICTURES = drawn(2, 3, 4, 4, seed=5)
GOALS = drawn(2, 7, seed=6).sigmoid()
LABELS = torch.tensor([[1, 2], [3, 1]])


def recognised(w):
    scores = (drawn(6, 2, 4, seed=7) @ w).log_softmax(2)
    return functional.ctc_loss(scores, LABELS, torch.tensor([6, 5]), torch.tensor([2, 1]))


def groups(w, a, b):
    h = functional.conv2d(PICTURES, w, padding=1)
    return functional.group_norm(h, 2, a, b).tanh().square().sum()


def steps(w):
    h, found = PICTURES[0, 0], []
    for _ in range(3):
        h = (h @ w).tanh()
        found.append(h)
    every = torch.stack(found)
    return every[-1].sum() * every.transpose(0, 1)[:, 0].prod() + torch.stack(found, 1).exp().sum()


def transformed(w):
    filtered = torch.fft.irfft(torch.fft.rfft(SIGNAL)[:, None] * torch.fft.rfft(w), n=8)
    return filtered.tanh().square().sum() + torch.fft.fft2(w).abs().sum()


LOSSES = {
    "systems": (lambda a: torch.linalg.solve(a + EYE, RIGHT).square().sum(), STACK),
    "systems of vectors": (lambda a, b: torch.linalg.solve(a + EYE, b).sum(), STACK, VECTORS),
    "a system": (lambda a: torch.linalg.solve(a + EYE, RIGHT[0]).square().sum(), STACK[0]),
    "one of several": (lambda a: torch.linalg.solve(a + EYE, RIGHT).sum(), STACK[0]),
    "inverses": (lambda a: (torch.linalg.inv(a + EYE) @ a).tanh().sum(), STACK),
    "determinants": (lambda a: (a + EYE).logdet().sum() * torch.linalg.det(a).sum(), STACK),
    "Cholesky": (
        lambda a: torch.linalg.cholesky(a @ a.mT + EYE).diagonal(0, 1, 2).log().sum(),
        STACK,
    ),
    "eigenvalues": (lambda a: torch.linalg.eigvalsh(a @ a.mT).sqrt().sum(), STACK),
    "triangles": (
        lambda a, b: torch.linalg.solve_triangular(a + EYE, b, upper=True).square().sum(),
        STACK,
        RIGHT,
    ),
    "transforms": (transformed, drawn(3, 8)),
    "distances to centres": (lambda x, c: torch.cdist(x, c).min(1).values.sum(), ROWS, drawn(4, 3)),
    "many distances": (lambda c: torch.cdist(drawn(30, 3), c).exp().sum(), drawn(4, 3, seed=1)),
    "distances of another order": (lambda x: torch.cdist(ROWS, x, p=1).exp().sum(), drawn(4, 3)),
    "groups": (groups, drawn(4, 3, 3, 3), drawn(4), drawn(4, seed=1)),
    "sequences": (recognised, drawn(4, 4)),
    "targets": (
        lambda w, v: functional.binary_cross_entropy_with_logits((SIGNAL @ w).tanh() @ v, GOALS),
        drawn(8, 5),
        drawn(5, 7),
    ),
    "steps": (steps, drawn(4, 4)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_together_are_those_of_plain_calls(name):
    loss, *tensors = LOSSES[name]
    for number in range(len(tensors)):
        together, alone, _ = moved_losses(loss, tensors, number, most=12)
        np.testing.assert_allclose(together, alone, rtol=1e-10, atol=1e-10)


def test_only_the_system_that_changes_is_solved():
    _, _, tally = moved_losses(
        lambda a: torch.linalg.solve(a, RIGHT.repeat(20, 1, 1)).sum(), [STACK.repeat(20, 1, 1)], 0
    )
    assert tally.made / tally.rows < 8 * 100 * 3


def test_only_the_system_of_a_vector_that_changes_is_solved():
    right = VECTORS.repeat(20, 1)
    _, _, tally = moved_losses(
        lambda a: torch.linalg.solve(a, right).sum(), [STACK.repeat(20, 1, 1)], 0
    )
    assert tally.made / tally.rows < 8 * 100 * 3


def test_only_the_row_that_changes_is_held_against_others():
    centres, places = drawn(50, 3), drawn(40, 3, seed=1)
    _, _, tally = moved_losses(lambda c: torch.cdist(places, c).exp().sum(), [centres], 0)
    assert tally.made / tally.rows < 8 * 40 * 5


def test_a_matrix_without_an_inverse_is_told_in_any_evaluation():
    with pytest.raises(RuntimeError, match="singular"):
        moved_losses(lambda a: torch.linalg.solve(a * 0, RIGHT).sum(), [STACK], 0)


def test_of_steps_that_are_put_together_those_alone_that_are_used_are_copied():
    w = drawn(4, 4)

    def loss(w, count):
        found = [(PICTURES[0, 0] @ w @ w).tanh()] * 2
        return torch.stack(found * count)[-1].sum()

    (_, _, few), (_, _, many) = (moved_losses(lambda w, n=n: loss(w, n), [w], 0) for n in (1, 50))
    assert few.made == many.made
