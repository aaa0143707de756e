"""A loss whose solver starts where it last ended: no false alarm, and mistakes are found."""

from __future__ import annotations

import numpy as np
import pytest

import gradcheck

MODES = pytest.mark.parametrize("autograd", [True, False], ids=["traced", "differences"])


def fixed_point(tolerance, seed=90, *, wrong=1.0, warm=True, size=12):
    """``c @ x`` of the fixed point ``x = tanh(A x + b)``, with the implicit gradient."""
    draw = np.random.default_rng(seed)
    A, c = 0.2 * draw.normal(size=(size, size)), draw.normal(size=size)
    kept = {"x": np.zeros(size)}

    def loss(b):
        x = kept["x"] if warm else np.zeros(size)
        for _ in range(2000):
            following = np.tanh(A @ x + b)
            moved = np.max(np.abs(following - x))
            x = following
            if moved < tolerance:
                break
        kept["x"] = x.copy()
        slope = 1 - x * x
        adjoint = np.linalg.solve((np.eye(size) - slope[:, None] * A).T, c)
        return c @ x, {"b": wrong * slope * adjoint}

    return loss, {"b": 0.5 * draw.normal(size=size)}


def verdict(*args, autograd=None, **options):
    loss, inputs = fixed_point(*args, **options)
    before = inputs["b"].copy()
    report = gradcheck.check(loss, inputs, autograd=autograd)
    assert np.array_equal(inputs["b"], before)
    return report


@MODES
@pytest.mark.parametrize("seed", [90, 93, 97])
@pytest.mark.parametrize("tolerance", [1e-10, 1e-12])
def test_a_warm_start_is_no_false_alarm(tolerance, seed, autograd):
    report = verdict(tolerance, seed, autograd=autograd)
    assert report.verdict == "pass"
    assert max(one.resolution for one in report.parameters.values()) < 1e-5


@pytest.mark.parametrize("seed", range(90, 98))
def test_nor_is_one_of_low_tolerance(seed):
    assert verdict(1e-8, seed, autograd=False).verdict != "fail"


@MODES
@pytest.mark.parametrize("wrong", [1.001, -1.0])
@pytest.mark.parametrize("tolerance", [1e-8, 1e-10])
def test_a_mistake_is_one_all_the_same(tolerance, wrong, autograd):
    assert verdict(tolerance, wrong=wrong, autograd=autograd).verdict == "fail"


def test_what_is_done_about_it_is_said():
    keys = [one.key for one in verdict(1e-8, autograd=False).warnings]
    assert "loss_remembers" in keys
    assert "nondeterministic" not in keys


def test_a_cold_start_does_not_remember():
    keys = [one.key for one in verdict(1e-12, warm=False, autograd=False).warnings]
    assert "loss_remembers" not in keys


def test_a_loss_that_draws_at_random_is_still_one():
    generator = np.random.default_rng(0)

    def loss(w):
        noise = 1e-3 * generator.normal()
        return np.sum(w**2) + noise, {"w": 2 * w}

    report = gradcheck.check(loss, {"w": np.array([1.0, 2.0])}, autograd=False)
    keys = [one.key for one in report.warnings]
    assert "nondeterministic" in keys
    assert "loss_remembers" not in keys


def test_a_loss_that_counts_its_calls_is_still_random():
    calls = [0]

    def loss(w):
        calls[0] += 1
        return np.sum(w**2) + 1e-3 * calls[0], {"w": 2 * w}

    report = gradcheck.check(loss, {"w": np.array([1.0, 2.0])}, autograd=False)
    assert "loss_remembers" not in [one.key for one in report.warnings]
    assert report.verdict != "fail"


def test_a_solver_that_leaves_its_domain_afar_starts_where_it_ended():
    loss, inputs = fixed_point(1e-10)
    around = inputs["b"].copy()

    def guarded(b):
        if np.abs(b - around).max() > 0.01:
            raise ValueError("off the domain")
        return loss(b)

    assert gradcheck.check(guarded, inputs, autograd=False).verdict in {"pass", "inconclusive"}
