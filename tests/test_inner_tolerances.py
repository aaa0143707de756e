"""Gradients that are off by what an iteration inside leaves which stops at a tolerance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck.report import Check, Verdict


def poisson(stops: float, factor: float = 1.0) -> tuple[Any, dict[str, Any]]:
    """A control of the heat equation's steady state, by Jacobi sweeps until they change little."""
    n = 8
    step = 1.0 / (n + 1)

    def solve(source: Any) -> Any:
        u = np.zeros((n + 2, n + 2))
        while True:
            before = u[1:-1, 1:-1].copy()
            sides = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
            u[1:-1, 1:-1] = 0.25 * (sides + step**2 * source)
            if np.max(np.abs(u[1:-1, 1:-1] - before)) < stops:
                return u[1:-1, 1:-1]

    def loss(s: Any) -> Any:
        e = solve(s.reshape(n, n)) - 0.05
        return 0.5 * np.sum(e**2), {"s": factor * solve(e).ravel()}

    return loss, {"s": 1 + 0.5 * np.sin(np.arange(n * n))}


def fixed_point(stops: float, **options: Any) -> Check:
    rng = np.random.default_rng(90)
    A, c = 0.2 * rng.normal(size=(12, 12)), rng.normal(size=12)

    def loss(b: Any) -> Any:
        x = np.zeros(12)
        while True:
            before, x = x, np.tanh(A @ x + b)
            if np.max(np.abs(x - before)) < stops:
                break
        slope = 1 - x * x
        system = np.eye(12) - slope[:, None] * A
        return c @ x, {"b": slope * np.linalg.solve(system.T, c)}

    return gradcheck.check(loss, {"b": 0.5 * rng.normal(size=12)}, **options)


def test_what_sweeps_leave_is_not_said_to_be_single_precision() -> None:
    check = gradcheck.check(*poisson(1e-11), autograd=False)
    assert check.verdict is Verdict.FAIL
    (diagnosis,) = check.diagnoses
    assert diagnosis.cause == "unexplained"
    assert "An iteration inside that stops at a tolerance" in diagnosis.message
    # It is that: to the last digits, the same gradient is right.
    assert gradcheck.check(*poisson(1e-16), autograd=False).verdict is Verdict.PASS


def test_what_is_proposed_accepts_it_and_no_mistake() -> None:
    (diagnosis,) = fixed_point(1e-4).diagnoses
    assert diagnosis.remedy is not None
    assert "may be accepted with --rtol 1e-3" in diagnosis.remedy
    assert fixed_point(1e-4, rtol=1e-3).verdict is Verdict.PASS
    assert gradcheck.check(*poisson(1e-11, 1.001), autograd=False, rtol=1e-5).verdict is (
        Verdict.FAIL
    )


TIMES = np.linspace(0, 4, 15)


def sensitivities(rtol: float, factor: float = 1.0) -> tuple[Any, dict[str, Any]]:
    """A damped spring by SciPy's solver, its gradient by the sensitivities that it carries along.

    The loss has the derivative of the steps, too, which adapt to the parameters.
    """
    integrate = pytest.importorskip("scipy.integrate")

    def loss(p: Any) -> Any:
        k, m = p

        def slopes(_: float, z: Any) -> list[float]:
            x, v, xk, vk, xm, vm = z
            return [v, -k * x - m * v, vk, -x - k * xk - m * vk, vm, -v - k * xm - m * vm]

        start, atol = [1.0, 0, 0, 0, 0, 0], 1e-2 * rtol
        z = integrate.solve_ivp(slopes, (0, 4), start, t_eval=TIMES, rtol=rtol, atol=atol).y
        e = z[0] - np.exp(-0.5 * TIMES)
        return e @ e, {"p": factor * np.array([2 * e @ z[2], 2 * e @ z[4]])}

    return loss, {"p": np.array([2.0, 0.4])}


@pytest.mark.parametrize("autograd", [True, False])
def test_what_a_solver_of_scipy_leaves_is_no_mistake(autograd: bool) -> None:
    check = gradcheck.check(*sensitivities(1e-6), autograd=autograd)
    assert check.verdict is Verdict.INCONCLUSIVE
    (diagnosis,) = check.diagnoses
    assert diagnosis.cause == "precision_limited"
    assert "scipy.integrate.solve_ivp runs inside and stops at a tolerance" in diagnosis.message
    assert diagnosis.remedy is not None
    assert "may be accepted with --rtol 1e-5" in diagnosis.remedy


@pytest.mark.parametrize("factor", [-1.0, 0.999])
def test_a_mistake_beside_it_is(factor: float) -> None:
    check = gradcheck.check(*sensitivities(1e-6, factor), autograd=False)
    assert check.verdict is Verdict.FAIL
    assert check.diagnoses[0].cause != "precision_limited"


def test_a_slight_mistake_where_no_solver_runs_is_one() -> None:
    def loss(x: Any) -> Any:
        return np.sum(x**3), {"x": 3 * x**2 * (1 + 1e-5)}

    assert gradcheck.check(loss, {"x": np.linspace(0.5, 2.0, 12)}).verdict is Verdict.FAIL


@pytest.mark.parametrize("size", [1e-3, 1e-1])
def test_a_larger_error_is_no_tolerance(size: float) -> None:
    spoilt = 1 + size * np.random.default_rng(3).normal(size=12)

    def loss(x: Any) -> Any:
        return np.sum(x**3), {"x": 3 * x**2 * spoilt}

    (diagnosis,) = gradcheck.check(loss, {"x": np.linspace(0.5, 2.0, 12)}).diagnoses
    assert diagnosis.cause == "unexplained"
    assert "tolerance" not in diagnosis.message
