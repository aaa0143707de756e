"""Slight errors of gradients whose loss is the end of an iteration of the user's own."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck.report import Check, Verdict


def equilibrium(stops: float, seed: int, change: Any = None, **options: Any) -> Check:
    """Check the squared length of ``x = tanh(A x + b)``, by the implicit function theorem."""
    draw = np.random.default_rng(seed)
    A, b = 0.25 * draw.normal(size=(6, 6)), draw.normal(size=6)

    def loss(A: Any, b: Any) -> Any:
        x = np.zeros(6)
        while True:
            before, x = x, np.tanh(A @ x + b)
            if np.abs(x - before).max() < stops:
                break
        slope = 1 - x * x
        adjoint = np.linalg.solve(np.eye(6) - (slope[:, None] * A).T, 2 * x)
        gradient = np.outer(slope * adjoint, x)
        if change is not None:
            change(gradient)
        return x @ x, gradient

    return gradcheck.check(loss, {"A": A, "b": b}, wrt="A", autograd=False, **options)


@pytest.mark.parametrize(("stops", "seed"), [(1e-8, 1), (1e-9, 1), (1e-10, 2)])
def test_what_a_fixed_point_leaves_is_no_mistake(stops: float, seed: int) -> None:
    check = equilibrium(stops, seed)
    assert check.verdict is Verdict.PASS
    assert 1e-8 < check.parameters["A"].resolution < 1.001e-4


def test_the_resolution_says_what_the_tolerance_hides() -> None:
    coarse, fine = (equilibrium(stops, 1).parameters["A"].resolution for stops in (1e-8, 1e-14))
    assert coarse > 1e-6 > fine


def test_a_coarse_tolerance_leaves_entries_open_and_says_so() -> None:
    check = equilibrium(1e-6, 1)
    assert check.verdict is Verdict.INCONCLUSIVE
    (diagnosis,) = check.diagnoses
    assert diagnosis.cause == "precision_limited"
    assert "An iteration inside stops at a tolerance" in diagnosis.message
    assert 1e-8 < diagnosis.evidence["jump"] < 1e-6


def times(factor: float, at: Any = slice(None)) -> Any:
    def change(gradient: Any) -> None:
        gradient[at] *= factor

    return change


@pytest.mark.parametrize("change", [times(1.0001), times(1.0002, (2, 3)), times(-1.0, (0, 0))])
def test_a_mistake_beside_it_is_one(change: Any) -> None:
    assert equilibrium(1e-9, 1, change).verdict is Verdict.FAIL


def by_entry(change: float, slope: float = 0.0) -> Check:
    """Check a sum over entries, each by its branch: their number is no number of rounds."""

    def loss(x: Any) -> Any:
        total = 0.0
        for one in x:
            if one > 0.7:
                total = total + slope * (one - 0.7)
            total = total + one**3
        return total, change * (3 * x**2 + slope * (x > 0.7))

    return gradcheck.check(loss, np.linspace(0.5, 1.0, 12), autograd=False)


@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_branches_that_do_not_jump_explain_nothing(slope: float) -> None:
    assert by_entry(1.0, slope).verdict is Verdict.PASS
    assert by_entry(1 + 2e-5, slope).verdict is Verdict.FAIL


def test_a_debugger_or_a_measurement_of_coverage_goes_on() -> None:
    def theirs(*_: Any) -> None:
        return None

    before = sys.gettrace()
    sys.settrace(theirs)
    try:
        check = equilibrium(1e-8, 1)
        kept = sys.gettrace()
    finally:
        sys.settrace(before)
    assert check.verdict is Verdict.PASS
    assert kept is theirs


def test_limits_leave_it_as_it_was() -> None:
    without = equilibrium(1e-8, 1).evaluations
    assert equilibrium(1e-8, 1, budget=without // 3).verdict is not Verdict.PASS
