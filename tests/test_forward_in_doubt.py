"""Of a parameter that is swept, forward mode takes a sample and what the sweep leaves in doubt."""

from __future__ import annotations

import math

import pytest
import torch

import gradcheck
from gradcheck.oracles import forward_mode


def forward_of(check):
    """Return what forward mode computed of the only parameter."""
    return check.parameters["w"].comparisons["analytic~forward"]


def weights(*shape):
    return torch.linspace(-1.0, 1.0, math.prod(shape), dtype=torch.float64).reshape(shape)


def test_a_parameter_that_agrees_as_a_whole_gets_32_tangents_of_its_own():
    check = gradcheck.check(lambda w: w.sin().sum(), {"w": weights(40, 30)})
    assert check.verdict == "pass"
    assert forward_of(check).checked == 32
    assert check.parameters["w"].comparisons["analytic~central"].checked == 1200


def test_what_central_differences_cannot_resolve_is_computed_too():
    scales = torch.ones(40, 30, dtype=torch.float64)
    scales[3, 5] = 1e-13  # its part of the loss is lost beside the others

    def loss(w):
        return (scales * w.exp()).sum()

    check = gradcheck.check(loss, {"w": weights(40, 30)})
    assert check.verdict == "pass"
    (entry,) = (one for one in forward_of(check).worst if one.index == (3, 5))
    assert entry.reference == pytest.approx(1e-13 * float(weights(40, 30)[3, 5].exp()), rel=1e-12)


def test_a_wrong_entry_is_computed_with_all_the_others():
    class Off(torch.autograd.Function):
        @staticmethod
        def forward(w):
            return w.clone()

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, cotangent):
            wrong = cotangent.clone()
            wrong[3, 7] *= 1.01
            return wrong

        @staticmethod
        def jvp(ctx, tangent):
            return tangent.clone()

    check = gradcheck.check(lambda w: Off.apply(w).sin().sum(), {"w": weights(40, 30)})
    assert check.verdict == "fail"
    assert forward_of(check).checked == 1200
    assert forward_of(check).worst[0].index == (3, 7)


def test_entries_that_stop_tangents_as_they_stop_cotangents_are_still_seen():
    def loss(w):
        stopped = torch.cat([w.ravel()[:3].detach(), w.ravel()[3:]])
        return (stopped**2).sum()

    check = gradcheck.check(loss, {"w": weights(40, 30) + 3.0})
    assert check.verdict == "fail"
    assert "forward_refused" in {warning.key for warning in check.warnings}


def test_with_a_budget_forward_mode_covers_what_the_sweep_may_not_reach():
    check = gradcheck.check(lambda w: w.sin().sum(), {"w": weights(40, 30)}, budget=400)
    assert forward_of(check).checked == 1200


def test_in_single_precision_nothing_stays_open_of_a_large_parameter(monkeypatch):
    monkeypatch.setattr(forward_mode, "FULL", 50)
    monkeypatch.setattr(forward_mode, "LARGEST", 60)
    monkeypatch.setattr(forward_mode, "SAMPLE", 5)
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(6, 10, generator=draw)

    def loss(w):  # its noise hides half of the gradients of a few thousandths
        return ((features @ w).tanh() ** 2).mean() + 3.0

    check = gradcheck.check(loss, {"w": 0.1 * torch.randn(10, 8, generator=draw)})
    assert check.verdict == "pass"
    assert 5 < forward_of(check).checked <= 80


@pytest.mark.parametrize("budget", [400, 1200])
def test_the_map_leaves_out_right_entries_without_an_error_to_show(budget):
    inputs = {"w": weights(100, 60)}
    check = gradcheck.check(lambda w: w.sin().sum(), inputs, budget=budget, pictures=True)
    (cells,) = check.parameters["w"].grids["slices"]
    rows = zip(cells["state"], cells["relative_error"], strict=True)
    shown = [error for state, row in rows for p, error in zip(state, row, strict=True) if p == "p"]
    assert shown
    assert "nan" not in shown
