"""Running sums at many single-entry changes at once: equal changes share what is behind them.

Every loss here is evaluated with entries of the parameter moved far, together and one at a time.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from gradcheck.torch_target import tangents
from gradcheck.torch_target.problem import torch_problem
from gradcheck.torch_target.varied import onward
from gradcheck.torch_target.varied.carrier import carrier, varied_of
from gradcheck.torch_target.varied.onward import Onward
from gradcheck.torch_target.varied.tensor import Tally, Varied
from tests.moved_losses import drawn, moved_losses

LINE, OTHER = drawn(60), drawn(60, seed=1)

ONWARD = {
    "a function of each": lambda v: v.cumsum(0).sin(),
    "what stays": lambda v: (OTHER - v.cumsum(-1) * 2 + drawn(1)) / OTHER,
    "itself": lambda v: (lambda c: c * c.exp() - c.relu())(v.cumsum(0)),
    "a loss of each": lambda v: functional.huber_loss(v.cumsum(0), OTHER, reduction="none"),
    "of a function": lambda v: v.exp().cumsum(0).log(),
}
WRITTEN = {
    "neighbours": lambda v: v.cumsum(0)[1:] - v.cumsum(0)[:-1] ** 2,
    "from either end": lambda v: v.cumsum(0) * v.flip(0).cumsum(0),
    "rows": lambda v: v.view(6, 10).cumsum(1).cumsum(0).sin(),
    "of all that changes": lambda v: (drawn(5, 60) @ v).cumsum(0),
    "twice": lambda v: v.cumsum(0).cumsum(0),
    "a matrix": lambda v: v.cumsum(0) * drawn(3, 60),
    "of another type": lambda v: v.cumsum(0, dtype=torch.float32).double(),
}
TOTALS = {
    "a sum": lambda c: c.sum(),
    "a mean along it": lambda c: c.mean(0) * c.sum(-1),
    "one that is kept": lambda c: c.sum(0, keepdim=True).exp(),
    "a loss": lambda c: functional.mse_loss(c, OTHER),
    "part of it": lambda c: c[20:].sum() * c[3],
}


@pytest.mark.parametrize("name", [*ONWARD, *WRITTEN])
def test_losses_together_are_those_of_plain_calls(name):
    step = {**ONWARD, **WRITTEN}[name]
    together, alone, _ = moved_losses(lambda v: step(v).sum(), [LINE], 0)
    rtol = 1e-5 if name == "of another type" else 1e-11
    np.testing.assert_allclose(together, alone, rtol=rtol)


@pytest.mark.parametrize("name", TOTALS)
def test_totals_are_those_of_plain_calls(name):
    together, alone, _ = moved_losses(lambda v: TOTALS[name](v.cumsum(0).cos()).sum(), [LINE], 0)
    np.testing.assert_allclose(together, alone, rtol=1e-11)


def stepped(step, count=24):
    """Return what a function of a vector gives for steps of one size up and down."""
    at = torch.arange(count) * 7 % len(LINE)
    moved = LINE[at] + torch.tensor([0.5, -0.5]).repeat(count // 2)
    with torch.no_grad():
        return varied_of(step(carrier(Varied(LINE, moved, {0: at}, Tally(count)))))


@pytest.mark.parametrize("name", ["a function of each", "what stays", "itself", "a loss of each"])
def test_steps_of_one_size_are_computed_once_up_and_once_down(name):
    found = stepped(ONWARD[name])
    assert isinstance(found, Onward)
    # A few are neither, by a rounding.
    assert 2 <= len(found.tails) <= 6
    assert found.values.shape == (24, 60)


def test_unequal_changes_are_told_apart():
    assert len(stepped(ONWARD["of a function"]).tails) == 24


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_not_known_of_running_sums_is_written_out(name):
    assert type(stepped(WRITTEN[name])) is Varied


def test_running_sums_are_not_written_out_that_take_too_much_memory():
    at = torch.tensor([50, 55, 59])
    one = Varied(LINE, LINE[at] + 0.5, {0: at}, Tally(3, limit=3 * 60 * 8 - 1))
    with torch.no_grad():
        sums = carrier(one).cumsum(0)
        assert varied_of(sums.sin().sum()) is not None
        with pytest.raises(RuntimeError, match="memory"):
            sums[1:] * 2


def test_numbers_of_less_precision_are_as_sharp_as_those_of_a_plain_call():
    together, alone, _ = moved_losses(lambda v: v.cumsum(0).sin().mean(), [LINE.float()], 0)
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-6)


def test_tangents_are_carried_so_too(monkeypatch):
    monkeypatch.setattr(tangents, "LEAST", 1)
    counts, total = [], onward._total

    def noted(function, one, *args):
        counts.append(len(one.tails))
        return total(function, one, *args)

    monkeypatch.setattr(onward, "_total", noted)
    given = (LINE.clone().requires_grad_(),)
    problem = torch_problem(lambda v: v.cumsum(0).sin().mean(), given)
    found = problem.forward_gradient.entries(0, np.arange(60))
    np.testing.assert_allclose(found, problem.forward_gradient(0, np.eye(60)), rtol=1e-12)
    assert set(counts) == {1}
    problem.cleanup()
