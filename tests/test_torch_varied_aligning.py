"""Sequences without alignment at many single-entry changes at once: all are summed together.

Every loss here is evaluated with entries of the parameter moved far, together and one at a time.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from gradcheck.torch_target.varied import aligning
from tests.moved_losses import drawn, moved_losses

SOUNDS = drawn(9, 3, 4, seed=3)
WEIGHTS, SCORES = drawn(4, 5, seed=1), drawn(9, 3, 5)
LABELS = torch.tensor([[1, 1, 3], [2, 4, 2], [3, 0, 0]])
STEPS, COUNTS = torch.tensor([9, 7, 5]), torch.tensor([3, 2, 1])


def aligned(scores, labels=LABELS, steps=STEPS, counts=COUNTS, **options):
    options = {"reduction": "none", **options}
    return functional.ctc_loss(scores, labels, steps, counts, **options)


def of(loss):
    return lambda w: loss((SOUNDS @ w).log_softmax(2)).sin().sum()


LOSSES = {
    "sequences of their own lengths": (of(aligned), WEIGHTS),
    "scores that all change": (
        lambda w: aligned(((SOUNDS @ w).tanh() @ drawn(5, 5)).log_softmax(2)).sum(),
        WEIGHTS,
    ),
    "single scores": (lambda x: aligned(x.log_softmax(2)).square().sum(), SCORES),
    "scores that are no logarithms of shares": (lambda x: aligned(x).sum(), SCORES),
    "one vector of labels": (of(lambda x: aligned(x, torch.tensor([1, 1, 3, 2, 4, 3]))), WEIGHTS),
    "lists of lengths": (of(lambda x: aligned(x, steps=[9, 7, 5], counts=[3, 2, 1])), WEIGHTS),
    "another blank": (of(lambda x: aligned(x, LABELS.clamp(max=3), blank=4)), WEIGHTS),
    "no label": (of(lambda x: aligned(x, counts=torch.tensor([2, 0, 1]))), WEIGHTS),
    "no labels at all": (of(lambda x: aligned(x, counts=torch.tensor([0, 0, 0]))), WEIGHTS),
    "a mean": (of(lambda x: aligned(x, reduction="mean")), WEIGHTS),
    "pictures first": (
        lambda w: aligned(
            (SOUNDS.transpose(0, 1) @ w).log_softmax(-1).transpose(0, 1), reduction="sum"
        ),
        WEIGHTS,
    ),
    "one sequence": (
        lambda w: functional.ctc_loss((SOUNDS[:, 0] @ w).log_softmax(1), LABELS[0], [9], [3]),
        WEIGHTS,
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_together_are_those_of_plain_calls(name):
    loss, tensor = LOSSES[name]
    together, alone, _ = moved_losses(loss, [tensor], 0, most=12)
    np.testing.assert_allclose(together, alone, rtol=1e-12)


@pytest.fixture
def ways(monkeypatch):
    """Note whether shares were close enough to be summed."""
    noted, by_shares = [], aligning._by_shares

    def asked(*args):
        found = by_shares(*args)
        noted.append(found is not None)
        return found

    monkeypatch.setattr(aligning, "_by_shares", asked)
    return noted


def test_shares_are_summed(ways):
    moved_losses(LOSSES["sequences of their own lengths"][0], [WEIGHTS], 0, most=12)
    assert ways == [True]


@pytest.mark.parametrize("factor", [20.0, 1e3])
def test_alignments_of_almost_no_share_are_not_lost(factor, ways):
    def loss(w):
        return aligned((factor * (SOUNDS @ w)).log_softmax(2)).sum()

    together, alone, _ = moved_losses(loss, [WEIGHTS], 0, most=12)
    np.testing.assert_allclose(together, alone, rtol=1e-13)
    assert ways == [factor < 100]


def test_long_sequences_are_as_sharp(ways):
    sounds, labels = drawn(120, 1, 4), torch.arange(30)[None] % 4 + 1

    def loss(w):
        return aligned((sounds @ w).log_softmax(2), labels, [120], [30]).sum()

    together, alone, _ = moved_losses(loss, [WEIGHTS], 0, most=12)
    np.testing.assert_allclose(together, alone, rtol=1e-13)
    assert ways == [True]


def test_what_cannot_be_aligned_has_an_infinite_loss(ways):
    def loss(w):
        return aligned((SOUNDS @ w).log_softmax(2), steps=torch.tensor([3, 7, 5])).sum()

    together, alone, _ = moved_losses(loss, [WEIGHTS], 0, most=12)
    np.testing.assert_array_equal(together, alone)
    assert np.isinf(alone).all()
    assert ways == [False]


def test_sums_of_less_precision_are_torchs_own(ways):
    together, alone, _ = moved_losses(of(aligned), [WEIGHTS], 0, most=12)
    sounds = SOUNDS.float()
    less, _, _ = moved_losses(
        lambda w: aligned((sounds @ w).log_softmax(2)).sin().sum(), [WEIGHTS.float()], 0, most=12
    )
    np.testing.assert_allclose(less, alone, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    assert ways == [True, False]
