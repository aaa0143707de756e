"""Whole tensors of many evaluations that are computed when they are needed, a few at a time."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch
from torch.nn import functional

import gradcheck
from gradcheck.torch_target.varied import turns
from gradcheck.torch_target.varied.carrier import carrier, varied_of
from gradcheck.torch_target.varied.pending import Pending
from gradcheck.torch_target.varied.tensor import RefusedError, Tally, Varied, unravelled
from tests.moved_losses import drawn, losses_in_turn, moved_losses

X, W, V = drawn(5, 4, seed=9), drawn(6, 6, seed=1), drawn(6, 3, seed=2)
LABELS = torch.tensor([0, 2, 1, 1, 0])
TARGETS = drawn(5, 3, seed=3).sigmoid()


def moved(tally):
    """Return a weight of which each evaluation changes an entry."""
    weight, flat = drawn(4, 6), torch.arange(tally.rows) % 24
    places = dict(enumerate(unravelled(flat, weight.shape)))
    return carrier(Varied(weight, weight.reshape(-1)[flat] + 0.1, places, tally))


def waiting(rows=24, *, keeps=False):
    tally = Tally(rows)
    tally.defers, tally.keeps = True, keeps
    return tally


def losses(result):
    return varied_of(result).loosened().values


def assert_as_in_plain_calls(loss, tensors):
    _, alone, _ = moved_losses(loss, tensors, 0)
    in_turn = losses_in_turn(loss, tensors, 0)
    np.testing.assert_allclose(in_turn, alone, rtol=1e-12, atol=1e-13)


NEEDED_AGAIN = {
    "by a product with itself": lambda h: h * h.tanh() * h,
    "by a sum with what is made of it": lambda h: h.exp() + h.relu() - h,
    "after a function of it": lambda h: h.tanh().square() * h.sigmoid() + h,
    "as another view": lambda h: h.reshape(3, 10).exp().sum() * (h.T @ h).tanh().sum() + h,
    "from both sides": lambda h: 2.0 - (1.0 - h) * (3.0 * h + h * 0.5),
    "with a scalar first": lambda h: torch.mul(torch.tensor(2.0, dtype=h.dtype), h.tanh()) / h,
}


@pytest.mark.parametrize("function", NEEDED_AGAIN.values(), ids=NEEDED_AGAIN)
def test_nothing_is_overwritten_that_is_needed_again(function):
    assert_as_in_plain_calls(lambda w: function((X @ w).tanh() @ W).sum(), (drawn(4, 6),))


LOSSES = {
    "three layers": lambda h: functional.cross_entropy((h @ W).tanh() @ V, LABELS),
    "a residual": lambda h: functional.cross_entropy((h + (h @ W).tanh()) @ V, LABELS),
    "normalised": lambda h: functional.gelu(functional.layer_norm(h @ W, (6,))).square().mean(),
    "logits": lambda h: functional.binary_cross_entropy_with_logits(h @ V, TARGETS),
    "weighted logits": lambda h: functional.binary_cross_entropy_with_logits(
        *(h @ V, TARGETS, TARGETS + 1.0), pos_weight=TARGETS[0] + 2.0, reduction="sum"
    ),
    "a matrix before": lambda h: (X.T @ (h @ W).tanh()).logsumexp(0).sum(),
    "summed in between": lambda h: ((h @ W).tanh().sum(0, keepdim=True) @ V).square().mean(1)[0],
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_losses_are_those_of_plain_calls(loss):
    assert_as_in_plain_calls(lambda w, b: loss((X @ w + b).tanh()), (drawn(4, 6), drawn(6)))


def test_of_what_lies_between_nothing_is_kept_nor_counted():
    def loss(w):
        h = (X @ w).tanh()
        for _ in range(3):
            h = (h @ W).tanh()
        return functional.cross_entropy(h @ V, LABELS)

    tally, whole = waiting(), Tally(24)
    losses(loss(moved(tally)))
    losses(loss(moved(whole)))
    hidden = 5 * 6 * 8 * 24
    assert tally.largest < hidden <= whole.largest
    assert not tally.repeats


def test_it_takes_a_few_evaluations_through_all_of_it_at_a_time():
    sizes = []

    class Seen(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            found = function(*args, **(kwargs or {}))
            if "tanh" in function._schema.name:
                sizes.append(found.numel())
            return found

    with mock.patch.object(turns, "IN_CACHE", 10 * 5 * 6 * 8):
        given = ((X @ moved(waiting())).tanh() @ W).tanh().sum()
        with Seen():
            losses(given)
    assert sizes == [10 * 30, 10 * 30, 4 * 30]


def test_of_many_steps_whose_values_are_needed_together_fewer_evaluations_are():
    def loss(w):
        states = [((X @ w).tanh() @ W).tanh()]
        for _ in range(20):
            states.append((states[-1] @ W).tanh())
        return torch.stack([one.square().sum() for one in states]).exp().sum()

    sizes = []
    original = turns._Program

    def program(order, kept, rows, size):
        sizes.append(size)
        return original(order, kept, rows, size)

    with mock.patch.object(turns, "_Program", program):
        losses(loss(moved(waiting())))
        with mock.patch.object(turns, "AT_MOST", 50_000):
            losses(loss(moved(waiting())))
    assert max(sizes) == 24
    assert 1 <= min(sizes) <= 4


def test_tensors_of_inference_mode_are_read_as_well():
    with torch.inference_mode():
        matrix = W * 1.0

    def loss(w):
        return (((X @ w).tanh() @ W).tanh() @ matrix + matrix[0]).sum()

    assert_as_in_plain_calls(loss, (drawn(4, 6),))


def computed_in_between(w):
    h = ((X @ w).tanh() @ W).tanh()
    first = h.square().sort(0)[0]
    return first.sum() + h.exp().sum()


def test_what_is_needed_once_more_is_computed_twice_at_most_and_then_kept():
    tally = waiting()
    losses(computed_in_between(moved(tally)))
    assert tally.repeats
    tally = waiting(keeps=True)
    losses(computed_in_between(moved(tally)))
    assert not tally.repeats
    assert_as_in_plain_calls(computed_in_between, (drawn(4, 6),))


def stepwise(w):
    """A state that is read whole after each step, and goes on from there."""
    h, seen = ((X @ w).tanh() @ W).tanh(), 0.0
    for _ in range(12):
        h = (h @ W).tanh()
        seen = seen + (h + 1.0).sort(0)[0].sum()
    return seen + h.sum()


def test_a_state_that_goes_on_is_not_computed_from_the_start_at_every_step():
    for keeps, most in ((False, 2), (True, 1)):
        calls = []
        original = turns._Program

        def program(order, *args, calls=calls, original=original):
            calls.append(len(order))
            return original(order, *args)

        with mock.patch.object(turns, "_Program", program):
            losses(stepwise(moved(waiting(keeps=keeps))))
        # A product and a function at each step, a sum and what adds it up.
        assert sum(calls) <= most * (4 + 12 * 6)


def written_in_the_meantime(w):
    shift, total = torch.zeros(5, 6, dtype=torch.float64), 0.0
    for k in range(3):
        total = total + (((X @ w).tanh() @ W).tanh() + shift).square().sum()
        shift[k] = 1.0
    return total


def test_a_tensor_that_is_written_to_in_the_meantime_is_noticed():
    with pytest.raises(RefusedError, match="written to"):
        losses(written_in_the_meantime(moved(waiting())))


def test_a_target_that_writes_to_its_tensors_is_still_evaluated_in_parts():
    calls = []

    def loss(w):
        calls.append(w)
        return written_in_the_meantime(w)

    check = gradcheck.check(
        loss, (drawn(4, 6).requires_grad_(),), entries="all", oracles=("central",)
    )
    assert check.verdict == "pass"
    assert check.evaluations > len(calls) + 30


def test_a_thousand_steps_are_no_deeper_than_one():
    def loss(w):
        h = ((X @ w).tanh() @ W).tanh()
        for _ in range(1500):
            h = h * 0.999
        return h.sum()

    given = loss(moved(waiting()))
    assert isinstance(varied_of(given), Pending)
    expected = 0.999**1500 * losses(((X @ moved(Tally(24))).tanh() @ W).tanh().sum())
    torch.testing.assert_close(losses(given), expected, rtol=1e-10, atol=1e-12)
