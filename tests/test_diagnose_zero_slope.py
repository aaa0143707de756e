"""A true gradient of zero: nothing reads the parameter, or steps do, or it is at an optimum."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gradcheck

F64 = torch.float64


def drawn(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape)).requires_grad_()


def straight_through(steps):
    class Estimator(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return steps(x)

        @staticmethod
        def backward(ctx, g):
            return g

    return Estimator.apply


def of_bucket(x):
    return torch.bucketize(x.detach(), torch.tensor([-2.5, 0.0, 2.5], dtype=F64)).to(F64)


STEPS = {
    "sign": torch.sign,
    "floor": torch.floor,
    "comparison": lambda x: (x > 0).to(x.dtype),
    "table": of_bucket,
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_a_straight_through_estimator_is_called_one(steps):
    estimate = straight_through(steps)
    check = gradcheck.check(lambda x: torch.tanh(2 * estimate(x)).sum(), (drawn(5),))
    assert check.verdict == "fail"
    (found,) = check.diagnoses
    assert found.cause == "loss_ignores_parameter"
    assert "flat in x" in found.message
    assert "straight-through" in found.message


@pytest.mark.parametrize("seed", range(3))
def test_one_made_by_detaching_too_with_entries_close_to_a_step(seed):
    def loss(x):
        return torch.tanh(2 * (x + (torch.sign(x) - x).detach())).sum()

    (found,) = gradcheck.check(loss, (drawn(5, seed=seed),)).diagnoses
    assert "straight-through" in found.message


def test_one_beside_a_regulariser():
    estimate = straight_through(torch.sign)

    def loss(x, lam=0.1):
        return torch.tanh(2 * estimate(x)).sum() + lam * (x**2).sum()

    (found,) = gradcheck.check(loss, (drawn(5),)).diagnoses
    assert found.cause == "loss_ignores_parameter"
    assert "but for the regulariser" in found.message


def test_numpy_code_alike():
    def loss(w):
        return np.tanh(np.sign(w)).sum(), {"w": 1 - np.tanh(w) ** 2}

    (found,) = gradcheck.check(loss, {"w": np.random.default_rng(0).normal(size=5)}).diagnoses
    assert "straight-through" in found.message


def test_a_parameter_that_nothing_reads_is_no_estimator():
    kept = np.ones(4)

    def loss(w):
        return float(kept @ kept), {"w": 2 * w}

    (found,) = gradcheck.check(loss, {"w": np.ones(4)}).diagnoses
    assert found.cause == "loss_ignores_parameter"
    assert "does not change with w at all" in found.message


@pytest.mark.parametrize("reg", [None, 0.1])
@pytest.mark.parametrize("start", [0.0, 5.0])
def test_at_the_optimum_of_the_data_nothing_is_said_to_be_ignored(start, reg):
    draw = np.random.default_rng(9)
    X, y = draw.normal(size=(30, 4)), draw.normal(size=30)
    best = np.linalg.lstsq(X, y, rcond=None)[0]

    def loss(w, reg=0.0):
        e = X @ w - y
        return start + e @ e + reg * (w @ w), {"w": 2 * X.T @ (e + 0.01) + 2 * reg * w}

    inputs = {"w": best} if reg is None else {"w": best, "reg": reg}
    check = gradcheck.check(loss, inputs)
    assert check.verdict == "fail"
    assert "loss_ignores_parameter" not in [one.cause for one in check.diagnoses]


def test_a_trace_of_flat_operations_alone_has_tangents_of_zero():
    from gradcheck.diagnose.torch_trace import trace_torch

    x = drawn(3)
    trace = trace_torch(lambda x: torch.sign(x).sum(), (x,), {}, {"x": x})
    (along,) = trace.tangents([{"x": np.ones(3)}])
    assert not any(part.any() for part in along.values())
