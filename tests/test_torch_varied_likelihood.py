"""Losses of labels at many single-entry changes at once: what they take of the scores is computed.

Every loss here is evaluated with entries of each parameter moved far, together and one at a time.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from gradcheck.torch_target import tangents
from gradcheck.torch_target.problem import torch_problem
from gradcheck.torch_target.varied import differences, likelihood
from gradcheck.torch_target.varied.carrier import carrier, varied_of
from gradcheck.torch_target.varied.differences import Difference
from gradcheck.torch_target.varied.likelihood import Shares
from gradcheck.torch_target.varied.tensor import Tally, Varied
from tests.moved_losses import drawn, moved_losses

X = drawn(6, 4, seed=3)
LABELS = torch.tensor([2, 0, 1, 1, 2, 0])
SHARES = drawn(3, seed=5).abs()
W, SCORES = drawn(4, 3), drawn(6, 3, seed=1)
MASKED = torch.tensor([[False, True, False]] * 6)


def taken(scores, **options):
    return functional.cross_entropy(scores, LABELS, **options)


LOSSES = {
    "of columns": (lambda w: taken(X @ w), W),
    "of entries": (lambda x: taken(x * 2), SCORES),
    "of all": (lambda w: taken((X @ w).tanh() @ drawn(3, 3)), W),
    "of rows": (lambda a: taken(a @ a[:3].T), X),
    "a sum": (lambda w: taken(X @ w, reduction="sum"), W),
    "weights": (lambda w: taken(X @ w, weight=SHARES), W),
    "one that is not counted": (lambda w: taken(X @ w, ignore_index=1, weight=SHARES), W),
    "rows that are not counted": (lambda x: taken(x, ignore_index=1), SCORES),
    "each": (lambda w: taken(X @ w, reduction="none").square().sum(), W),
    "smoothed": (lambda w: taken(X @ w, label_smoothing=0.1), W),
    "shares as labels": (lambda w: functional.cross_entropy(X @ w, SCORES.softmax(1)), W),
    "along rows": (lambda x: (x.log_softmax(0) * SCORES).sum().sin(), SCORES),
    "of a stack": (lambda x: (x.view(2, 3, 3).log_softmax(1).exp() * SCORES[:3]).norm(), SCORES),
    "less than the mean": (lambda x: (x - x.mean(1, keepdim=True)).square().sum(), SCORES),
    "taken from a smaller one": (lambda x: (x[:, :1] - x).exp().sum(), SCORES),
    "twice as much": (lambda x: torch.sub(x, x.amax(1, keepdim=True), alpha=2).sin().sum(), SCORES),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_together_are_those_of_plain_calls(name):
    loss, tensor = LOSSES[name]
    together, alone, _ = moved_losses(loss, [tensor], 0)
    np.testing.assert_allclose(together, alone, rtol=1e-12)


MANY = {
    "of many scores": (lambda h: taken(h), 1),
    "smoothed": (lambda h: taken(h, label_smoothing=0.2), 1),
    "far apart": (lambda h: taken(400 * h), 1),
    "without one": (lambda h: taken(h.index_fill(1, torch.tensor([4]), -torch.inf)), 1),
    "along rows of few": (lambda h: h.log_softmax(0).T[:, :3].square().sum(), 0),
    "each": (lambda h: h.log_softmax(1).T[LABELS].exp().prod(), 1),
}


@pytest.mark.parametrize("name", MANY)
def test_of_many_scores_that_all_change_single_ones_are_had_alone(name, monkeypatch):
    made = []

    def noted(*args):
        made.append(Shares(*args))
        return made[-1]

    monkeypatch.setattr(likelihood, "Shares", noted)
    step, count = MANY[name]
    first, last = drawn(4, 9, seed=6), drawn(9, 9, seed=7)

    def loss(w):
        return step((X @ w).tanh() @ last)

    together, alone, _ = moved_losses(loss, [first], 0)
    np.testing.assert_allclose(together, alone, rtol=1e-11)
    assert len(made) == count


@pytest.mark.parametrize("factor", [1e3, 1e-3])
@pytest.mark.parametrize("move", [1.0, -1.0])
def test_scores_far_apart_lose_nothing(factor, move):
    def loss(x):
        return taken(x * factor * move) + taken((x * factor * move).T[:2].T, ignore_index=2)

    together, alone, _ = moved_losses(loss, [SCORES], 0)
    np.testing.assert_allclose(together, alone, rtol=1e-13)


def test_scores_of_less_precision_are_as_sharp_as_those_of_a_plain_call():
    together, alone, _ = moved_losses(lambda x: taken(60 * x), [SCORES.float()], 0)
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_scores_that_are_infinite_are_computed_as_a_whole():
    def loss(x):
        shares = x.masked_fill(MASKED, -torch.inf).log_softmax(1)
        return functional.nll_loss(shares, LABELS, ignore_index=1)

    together, alone, _ = moved_losses(loss, [SCORES], 0)
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    assert np.isfinite(alone).all()


def test_a_loss_that_is_infinite_is_told_in_each_evaluation():
    hidden = torch.where(torch.arange(6)[:, None] == 0, -torch.inf, torch.zeros(6, 3))

    def loss(x):
        return functional.nll_loss((x - x.abs().sqrt()).minimum(hidden), LABELS)

    together, alone, _ = moved_losses(loss, [SCORES], 0)
    np.testing.assert_array_equal(together, alone)


def test_of_many_scores_the_labels_alone_are_computed():
    rows, many = drawn(40, 5), torch.arange(40)
    columns = drawn(5, 40, seed=1)
    _, _, tally = moved_losses(lambda b: functional.cross_entropy(rows @ b, many), [columns], 0)
    assert tally.largest / tally.rows <= 40 * 8
    _, _, tally = moved_losses(lambda a: functional.cross_entropy(a @ columns, many), [rows], 0)
    assert tally.largest / tally.rows <= 40 * 8


@pytest.mark.parametrize("name", ["of columns", "of rows", "less than the mean", "of a stack"])
def test_tangents_are_carried_so_too(name, monkeypatch):
    monkeypatch.setattr(tangents, "LEAST", 1)
    made = []

    def noted(*args):
        made.append(Difference(*args))
        return made[-1]

    monkeypatch.setattr(differences, "Difference", noted)
    loss, tensor = LOSSES[name]
    problem = torch_problem(loss, (tensor.clone().requires_grad_(),))
    size = tensor.numel()
    found = problem.forward_gradient.entries(0, np.arange(size))
    expected = problem.forward_gradient(0, np.eye(size).reshape(size, *tensor.shape))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
    assert made or name == "of rows"
    problem.cleanup()


def test_logarithms_are_not_written_out_that_take_too_much_memory():
    at = torch.arange(3)
    scores = Varied(SCORES, SCORES[:, at].T + 1, {1: at}, Tally(3, limit=6 * 3 * 3 * 8 - 1))
    with torch.no_grad():
        shares = carrier(scores).log_softmax(1)
        assert varied_of(functional.nll_loss(shares, LABELS)) is not None
        with pytest.raises(RuntimeError, match="memory"):
            shares.exp().tanh()
    enough = Varied(SCORES, scores.values, {1: at}, Tally(3, limit=6 * 3 * 3 * 8))
    with torch.no_grad():
        assert varied_of(carrier(enough).log_softmax(1).exp()).values.shape == (3, 6, 3)
