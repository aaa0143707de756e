"""Kinks at the point hide what random directions see; right beside it nothing is hidden."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import needs_torch

import gradcheck
from gradcheck.calling.quiet import quiet
from gradcheck.noise import loss_noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.sweep.localize import localise

D, H = 20, 40
P = D * H + 2 * H


@pytest.fixture(autouse=True)
def few_are_swept(monkeypatch):
    """Random directions speak for most entries of problems of this size already."""
    monkeypatch.setattr("gradcheck.sweep.selection.FULL_SWEEP", 100)
    monkeypatch.setattr("gradcheck.sweep.selection.FULL_TOGETHER", 100)
    monkeypatch.setattr("gradcheck.sweep.selection.FEW", 5)


def padded_net(damage=lambda grads: None, *, at_zero=0.0, dtype=np.float64):
    """A rectifier net with rows of zeros and biases of 0: each bias sits on a kink."""
    draw = np.random.default_rng(114)
    X, y = draw.normal(size=(32, D)).astype(dtype), draw.normal(size=32).astype(dtype)
    X[::4] = 0
    inputs = {
        "W1": 0.1 * draw.normal(size=(D, H)),
        "b1": np.zeros(H),
        "W2": 0.1 * draw.normal(size=(H, 1)),
    }

    def loss(W1, b1, W2):
        z = X @ W1 + b1
        hidden = np.maximum(z, 0)
        d = ((hidden @ W2)[:, 0] - y) / len(y)
        dz = d[:, None] @ W2.T * ((z > 0) + at_zero * (z == 0)).astype(dtype)
        grads = {"W1": X.T @ dz, "b1": dz.sum(0), "W2": hidden.T @ d[:, None]}
        damage(grads)
        return 0.5 * len(y) * np.sum(d**2), grads

    return loss, {name: one.astype(dtype) for name, one in inputs.items()}


def lasso(factor=1.0, *, at_zero=0.0, size=1000):
    """An L1 penalty of which most weights are exactly 0; its gradient counted ``factor`` times."""
    draw = np.random.default_rng(112)
    A, y, w = draw.normal(size=(20, size)), draw.normal(size=20), np.zeros(size)
    w[draw.choice(size, 20, replace=False)] = draw.normal(size=20)

    def loss(w):
        residual = A @ w - y
        slope = factor * (np.sign(w) + at_zero * (w == 0))
        return 0.5 * np.mean(residual**2) + 0.01 * np.abs(w).sum(), {
            "w": A.T @ residual / len(y) + 0.01 * slope
        }

    return loss, {"w": w}


def times(name, where, factor):
    def damage(grads):
        grads[name][where] *= factor

    return damage


def checked(loss, inputs, **options):
    return gradcheck.check(loss, inputs, autograd=False, **options)


def search(loss, inputs, seed=0):
    problem, generator = numpy_problem(loss, inputs), np.random.default_rng(seed)
    with quiet():
        return localise(problem, loss_noise(problem, generator), generator)


# What is wrong is found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("factor", [1.2, 1.5, 3.0])
def test_one_wrong_bias_among_kinks_fails_alone(factor, seed):
    report = checked(*padded_net(times("b1", 17, factor)), seed=seed)
    assert report.verdict == "fail"
    assert {one.name: str(one.verdict) for one in report.parameter_results} == {
        "W1": "pass",
        "b1": "fail",
        "W2": "pass",
    }
    central = report.parameter_results[1].comparisons["analytic~central"]
    assert central.failing_entries == 1
    assert central.worst[0].index == (17,)
    assert [one.cause for one in report.diagnoses] == ["kink"]
    assert "beside the point" in report.diagnoses[0].message


@pytest.mark.parametrize("where", [slice(None), slice(None, None, 4)], ids=["all", "every fourth"])
@pytest.mark.parametrize("factor", [-1.0, 3.0])
def test_many_wrong_biases_among_kinks_fail(where, factor):
    report = checked(*padded_net(times("b1", where, factor)))
    assert report.verdict == "fail"
    assert report.parameter_results[1].verdict == "fail"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("factor", [0.0, 1.003, 1.03, 2.0])
def test_a_penalty_counted_otherwise_fails_where_most_weights_are_zero(factor, seed):
    assert checked(*lasso(factor, size=20_000), seed=seed).verdict == "fail"


def test_an_entry_off_the_kinks_is_found_by_itself():
    report = checked(*padded_net(times("W1", (3, 5), 1.5)))
    assert report.parameter_results[0].comparisons["analytic~central"].failing_entries == 1
    assert report.parameter_results[1].verdict == "pass"


@needs_torch
@pytest.mark.parametrize(("factor", "wanted"), [(1.0, "pass"), (1.03, "fail")])
def test_the_backward_of_a_torch_function_among_kinks(factor, wanted):
    import torch

    class Size(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.abs()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return factor * g * torch.sign(x)

    w = torch.zeros(600, dtype=torch.float64)
    w[::50] = torch.linspace(0.5, 2.0, 12, dtype=torch.float64)
    target = torch.linspace(-1.0, 1.0, 600, dtype=torch.float64)

    def loss(w):
        return Size.apply(w).sum() + ((w - target) ** 2).sum()

    assert gradcheck.check(loss, {"w": w.requires_grad_()}, audit=False).verdict == wanted


@pytest.mark.parametrize(("shared", "wanted"), [(True, "pass"), (False, "fail")])
def test_all_of_a_maximum_for_each_of_its_equals_fails(shared, wanted):
    draw = np.random.default_rng(150)
    x, t = draw.integers(0, 4, (60, 4)).astype(float), draw.normal(size=60)

    def loss(x):
        m = x.max(axis=1)
        mask = (x == m[:, None]).astype(float)
        if shared:
            mask /= mask.sum(axis=1)[:, None]
        return 0.5 * np.sum((m - t) ** 2), {"x": mask * (m - t)[:, None]}

    # right beside the point there are no equals: there both are right
    assert search(loss, {"x": x}).beside
    assert checked(loss, {"x": x}).verdict == wanted


# What is right passes, by any convention at the kinks


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("at_zero", [0.0, 0.5, 1.0])
def test_any_convention_at_the_kinks_passes(at_zero, seed):
    report = checked(*padded_net(at_zero=at_zero), seed=seed)
    assert report.verdict == "pass"
    [located] = [one.message for one in report.warnings if one.key == "located"]
    assert "beside" in located
    assert "Found: 0 wrong entries" in located
    assert checked(*lasso(at_zero=at_zero), seed=seed).verdict == "pass"


def test_a_right_gradient_in_single_precision_passes():
    assert checked(*padded_net(dtype=np.float32)).verdict == "pass"


# What it costs, and what it promises


@pytest.mark.parametrize("seed", range(4))
def test_the_search_beside_stays_within_its_bound(seed):
    right = search(*padded_net(), seed)
    assert right.beside
    assert right.found_nothing
    one = search(*padded_net(times("b1", 17, 1.5)), seed)
    assert one.entries == (("b1", 17),)
    assert one.evaluations <= 40 + 6 * math.log2(P)
    assert search(*lasso(), seed).evaluations <= 40


@pytest.mark.parametrize("seed", range(4))
def test_some_entries_at_kinks_are_looked_at_where_all_is_right_beside(seed):
    loss, inputs = padded_net()
    found = search(loss, inputs, seed)
    assert found.found_nothing
    assert {name for name, _ in found.suspects} == {"b1"}
    assert 3 <= len(found.suspects) <= 12
    assert found.evaluations <= 40
    loss, inputs = lasso()
    found = search(loss, inputs, seed)
    assert 6 < len(found.suspects) <= 12
    assert not inputs["w"][[index for _, index in found.suspects]].any()


def test_a_smooth_loss_is_searched_at_the_point_itself():
    def loss(w):
        return 0.5 * np.sum(w**2), {"w": w}

    found = search(loss, {"w": np.linspace(0.5, 1.5, 500)})
    assert not found.beside
    assert found.evaluations <= 16


def test_a_resolution_that_kinks_take_away_is_not_promised():
    def loss(w):
        return np.sum(np.abs(w)), {"w": np.zeros(500)}

    # The gradient is the same all around: it may be kept from this point.
    found = search(loss, {"w": np.zeros(500)})
    assert found.hidden
    assert found.resolution["w"] > 1.0
    assert search(*lasso()).resolution["w"] < 1e-5


def test_kinks_that_hide_what_was_left_out_leave_it_open():
    slope = np.random.default_rng(1).uniform(0.2, 0.4, 500)

    def loss(w):
        return np.sum(np.abs(w)) + slope @ w, {"w": slope}

    report = checked(loss, {"w": np.zeros(500)})
    assert report.verdict == "inconclusive"
    assert [one.cause for one in report.diagnoses] == ["kink"]
    assert "--entries all" in report.diagnoses[0].remedy
    assert checked(loss, {"w": np.zeros(500)}, entries="all").verdict != "inconclusive"


# A number of entries, without group testing


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [(lasso(), "pass"), (lasso(1.03), "fail"), (padded_net(at_zero=1.0), "pass")],
    ids=["right", "wrong", "net"],
)
def test_directions_beside_speak_for_entries_that_were_not_drawn(loss, wanted):
    report = checked(*loss, entries=10)
    assert report.verdict == wanted
    if wanted == "fail":
        assert "Right beside the point" in report.diagnoses[0].message
