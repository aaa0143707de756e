"""What the search for a cause takes in a long loop, and what it finds there."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import needs_torch

import gradcheck
from gradcheck.diagnose import limits, passes
from gradcheck.diagnose.limits import (
    EACH,
    EACH_WRITTEN,
    MOST_LOOKED_AT,
    MOST_MOVED,
    MOST_OPERATIONS,
    limits_for,
)
from gradcheck.diagnose.written import WrittenTrace
from gradcheck.tracing.graph import NumpyTrace

START = {"p": np.array([1.1, 0.9, 0.8, 0.7])}
H = 0.05


def slope(z, p):
    a, b, c, d = p
    return np.array([a * z[0] - b * z[0] * z[1], -c * z[1] + d * z[0] * z[1]])


def by_state(z, p):
    a, b, c, d = p
    return np.array([[a - b * z[1], -b * z[0]], [d * z[1], -c + d * z[0]]])


def by_parameters(z):
    x, y = z
    return np.array([[x, -x * y, 0.0 * x, 0.0 * x], [0.0 * x, 0.0 * x, -y, x * y]])


def runge_kutta(p, steps=10, last_stage=1.0, residual=2.0):
    """Predators and prey with forward sensitivities, both by four stages a step."""
    z, S = np.array([1.0, 0.8]), np.zeros((2, 4), dtype=p.dtype)
    loss, gradient = 0.0, 0.0 * p
    for k in range(steps):
        k1, s1 = slope(z, p), by_state(z, p) @ S + by_parameters(z)
        z2 = z + H / 2 * k1
        k2, s2 = slope(z2, p), by_state(z2, p) @ (S + H / 2 * s1) + by_parameters(z2)
        z3 = z + H / 2 * k2
        k3, s3 = slope(z3, p), by_state(z3, p) @ (S + H / 2 * s2) + by_parameters(z3)
        z4 = z + H * k3
        k4, s4 = slope(z4, p), by_state(z4, p) @ (S + last_stage * H * s3) + by_parameters(z4)
        z = z + H / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        S = S + H / 6 * (s1 + 2 * s2 + 2 * s3 + s4)
        error = z - np.array([1.0 + 0.5 * np.sin(0.1 * k), 1.0 + 0.5 * np.cos(0.1 * k)])
        loss = loss + np.sum(error * error) / steps
        gradient = gradient + residual * S.T @ error / steps
    return loss, {"p": gradient}


def line_of(text):
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(k for k, line in enumerate(lines, 1) if line.strip().startswith(text))


def first(check):
    assert check.verdict == "fail"
    return check.diagnoses[0]


@pytest.mark.parametrize("n", [1_000, 8_000, 30_000, 100_000, 1_000_000])
def test_passes_times_operations_are_bounded(n):
    plain = limits_for(4, 1, n, n)
    assert plain.passes * EACH * n <= MOST_MOVED
    quick = limits_for(4, 1, n, n, n_written=3 * n)
    assert quick.passes * EACH_WRITTEN * 3 * n <= MOST_MOVED
    assert (quick.passes == 0) == (n > MOST_OPERATIONS)
    assert quick.singly == (n <= MOST_LOOKED_AT)


def test_large_arrays_in_few_operations_are_still_passed_a_few_times():
    assert limits_for(10_000_000, 1, 50_000_000, 30).passes == limits.FEWEST_PASSES


@needs_torch
def test_altered_passes_of_a_long_loop_go_over_numbers_not_through_the_graph(monkeypatch):
    moved, altered = [], []
    factored, through = WrittenTrace._factored, NumpyTrace._altered

    def counted(trace, change):
        moved.append(trace.n_numbers)
        return factored(trace, change)

    def counted_through(trace, alterations):
        altered.append(len(alterations))
        return through(trace, alterations)

    monkeypatch.setattr(WrittenTrace, "_factored", counted)
    monkeypatch.setattr(NumpyTrace, "_altered", counted_through)
    sizes = []
    for steps in (5, 10):
        moved.clear()
        assert first(gradcheck.check(partial(runge_kutta, steps=steps, residual=1.0), START))
        sizes.append(moved[0])
        assert len(moved) <= limits.MORE_WRITTEN * limits.DEFAULT_PASSES
    assert sizes[1] <= 2.1 * sizes[0]
    assert not any(altered)


@needs_torch
def test_of_too_many_operations_only_what_needs_no_pass_is_said(monkeypatch):
    monkeypatch.setattr(limits, "MOST_OPERATIONS", 300)
    monkeypatch.setattr(passes, "MOST_OPERATIONS", 300)
    monkeypatch.setattr(NumpyTrace, "_altered", lambda *_: pytest.fail("a pass was made"))
    found = gradcheck.check(partial(runge_kutta, steps=5, last_stage=0.5), START)
    assert first(found).cause == "unexplained"
    (told,) = (w for w in found.warnings if w.key == "search_cut_short")
    assert "no altered backward passes were made" in told.message


@needs_torch
def test_of_many_operations_whole_loops_are_still_altered(monkeypatch):
    monkeypatch.setattr(limits, "MOST_LOOKED_AT", 300)
    found = first(gradcheck.check(partial(runge_kutta, steps=5, residual=1.0), START))
    assert found.cause == "scale"
    lost = gradcheck.check(lambda p: misdirected(p, steps=5), START)
    assert first(lost).cause == "unexplained"
    (told,) = (w for w in lost.warnings if w.key == "search_cut_short")
    assert "single operation" in told.message


def misdirected(p, steps):
    loss, gradients = runge_kutta(p, steps=steps)
    return loss, {"p": gradients["p"][::-1] * np.array([1.0, 2.0, 3.0, 5.0])}


@pytest.mark.slow
@needs_torch
@pytest.mark.parametrize("steps", [10, 30, 100])
def test_a_stage_of_half_the_weight_in_a_hundred_steps_is_named(steps):
    found = first(gradcheck.check(partial(runge_kutta, steps=steps, last_stage=0.5), START))
    assert (found.cause, found.confidence) == ("scale", "exact")
    assert line_of("z4 = z + H * k3") in {found.location.line, *(o.line for o in found.also)}


@pytest.mark.slow
@needs_torch
def test_a_forgotten_two_in_a_hundred_steps_is_named():
    found = first(gradcheck.check(partial(runge_kutta, steps=100, residual=1.0), START))
    assert (found.cause, found.confidence) == ("scale", "exact")
    assert line_of("loss = loss + np.sum") in {found.location.line, *(o.line for o in found.also)}


def solved(p, product=True):
    """The same by SciPy's adaptive solver, with sensitivities in one system with the state."""
    from scipy.integrate import solve_ivp

    times = np.linspace(0.0, 8.0, 9)

    def system(_, w, p):
        z, S = w[:2], w[2:].reshape(2, 4)
        F = by_parameters(z)
        if not product:
            F[1, 3] = z[1]
        return np.concatenate([slope(z, p), (by_state(z, p) @ S + F).ravel()])

    state = np.array([1.0, 0.8])
    precisely = {"t_eval": times, "args": (p,), "rtol": 1e-6, "atol": 1e-10}
    forward = solve_ivp(lambda _, z, p: slope(z, p), (0.0, 8.0), state, **precisely)
    error = forward.y - np.stack([1.0 + 0.5 * np.sin(times), 1.0 + 0.5 * np.cos(times)])
    both = solve_ivp(system, (0.0, 8.0), np.concatenate([state, np.zeros(8)]), **precisely)
    by_p = np.einsum("it,ijt->j", 2 * error, both.y[2:].reshape(2, 4, -1))
    return np.sum(error * error), {"p": by_p}


@pytest.mark.slow
@needs_torch
def test_a_factor_left_out_of_the_sensitivities_of_an_adaptive_solver_is_named():
    found = first(gradcheck.check(partial(solved, product=False), START))
    assert found.cause == "factor_missing"
    assert found.location.line == line_of("return np.array([a * z[0] - b")
