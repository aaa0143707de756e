"""Targets that keep a tensor between calls: right ones pass, and find their own tensors again."""

from __future__ import annotations

from collections import deque

import pytest
import torch
from torch import nn

import gradcheck

F64 = torch.float64


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def matrix():
    """One whose leading singular vector is reached in a few steps."""
    return torch.diag(torch.tensor([4.0, 0.5, 0.2], dtype=F64)) + 0.1 * draw(3, 3)


def leading(A, start):
    """The leading left singular vector, so well that it does not depend on the start."""
    with torch.no_grad():
        for _ in range(12):
            start = A @ (A.T @ start)
            start = start / start.norm()
    return start


def closure_over_dict():
    kept = {"u": torch.ones(3, dtype=F64)}

    def largest(A):
        u = leading(A, kept["u"])
        kept["u"] = u.clone()
        return u @ A @ A.T @ u

    return largest, lambda: kept["u"]


def closure_over_variable():
    u = torch.ones(3, dtype=F64)

    def largest(A):
        nonlocal u
        u = leading(A, u)
        return u @ A @ A.T @ u

    return largest, lambda: u


def closure_over_list():
    past = [torch.ones(3, dtype=F64)]

    def largest(A):
        past.append(leading(A, past[-1]))
        return past[-1] @ A @ A.T @ past[-1]

    return largest, lambda: past[-1]


def closure_over_deque():
    past = deque([torch.ones(3, dtype=F64)], maxlen=1)

    def largest(A):
        past.append(leading(A, past[-1]))
        return past[-1] @ A @ A.T @ past[-1]

    return largest, lambda: past[-1]


def default_value():
    def largest(A, kept={"u": torch.ones(3, dtype=F64)}):  # noqa: B006, B008
        kept["u"] = leading(A, kept["u"])
        return kept["u"] @ A @ A.T @ kept["u"]

    return largest, lambda: largest.__defaults__[0]["u"]


def bound_method():
    class Largest:
        def __init__(self):
            self.u = torch.ones(3, dtype=F64)

        def __call__(self, A):
            self.u = leading(A, self.u)
            return self.u @ A @ A.T @ self.u

    kept = Largest()
    return kept.__call__, lambda: kept.u


def with_slots():
    class Kept:
        __slots__ = ("u",)

    kept = Kept()
    kept.u = torch.ones(3, dtype=F64)

    def largest(A):
        u = leading(A, kept.u)
        kept.u = u.clone()
        return u @ A @ A.T @ u

    return largest, lambda: kept.u


GLOBAL = torch.ones(3, dtype=F64)


def module_global():
    def largest(A):
        global GLOBAL
        GLOBAL = leading(A, GLOBAL)
        return GLOBAL @ A @ A.T @ GLOBAL

    return largest, lambda: GLOBAL


SEEN = [
    *(closure_over_dict, closure_over_variable, closure_over_list, closure_over_deque),
    *(default_value, bound_method, module_global),
]


@pytest.mark.parametrize("made", SEEN, ids=lambda one: one.__name__)
def test_a_vector_kept_as_the_next_start_is_no_mistake_and_is_put_back(made):
    target, kept = made()
    before, values = kept(), kept().clone()
    report = gradcheck.check(target, (matrix().requires_grad_(),))
    assert report.verdict == "pass"
    assert kept() is before
    assert torch.equal(before, values)


def test_what_is_kept_where_nothing_looks_can_be_computed_with():
    target, kept = with_slots()
    A = matrix().requires_grad_()
    assert gradcheck.check(target, (A,)).verdict == "pass"
    norm = float(torch.linalg.matrix_norm(A.detach(), 2))
    assert float(target(A.detach())) == pytest.approx(norm**2)
    assert type(kept()) is torch.Tensor


class Normalised(nn.Module):
    """A spectral norm whose vector is assigned to the buffer."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(matrix())
        self.register_buffer("u", torch.ones(3, dtype=F64))

    def forward(self, x):
        self.u = leading(self.w, self.u).clone()
        return torch.tanh(x @ (self.w / (self.w.T @ self.u).norm())).sum()


def test_a_buffer_that_is_assigned_to_is_put_back():
    module = Normalised()
    assert gradcheck.check(module, (draw(2, 3),)).verdict == "pass"
    assert torch.equal(module.u, torch.ones(3, dtype=F64))


class Recurrent(nn.Module):
    """Starts each call from the state in which the last one ended."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.state = nn.RNNCell(3, 4).double(), None

    def forward(self, x):
        state = torch.zeros(2, 4, dtype=F64) if self.state is None else self.state
        for step in x:
            state = self.cell(step, state)
        self.state = state.detach()
        return state.pow(2).sum()


def test_each_evaluation_starts_from_the_state_before_the_check():
    report = gradcheck.check(Recurrent(), (draw(3, 2, 3),))
    assert report.verdict == "pass"
    assert "nondeterministic" not in [one.key for one in report.warnings]


def test_a_mistake_beside_a_state_is_found():
    target = Recurrent()

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return 1.01 * g

    def loss(x):
        return Scaled.apply(target(x))

    assert gradcheck.check(loss, (draw(3, 2, 3).requires_grad_(),)).verdict == "fail"


def test_a_table_that_is_made_once_stays_where_it_is():
    made = []
    tables = {}

    def loss(w):
        if "mask" not in tables:
            made.append(1)
            tables["mask"] = torch.tril(torch.ones(4, 4, dtype=F64))
        return ((tables["mask"] @ w) ** 2).sum()

    assert gradcheck.check(loss, (draw(4).requires_grad_(),)).verdict == "pass"
    assert len(made) < 10


def test_numbers_are_counted_on():
    count = {"calls": 0}

    def loss(w):
        count["calls"] += 1
        return (w**3).sum()

    gradcheck.check(loss, (draw(4).requires_grad_(),))
    assert count["calls"] > 5
