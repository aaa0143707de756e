"""A point beside this one, with the target's gradient there, for as long as it is looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradcheck.noise import Noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.sweep.off_kinks import FARTHEST, NEAREST, off_kinks, radii

RADIUS = 2.0**-10


def sizes(w):
    return np.sum(np.abs(w)), {"w": np.sign(w)}


def made(loss=sizes, **inputs):
    problem = numpy_problem(loss, inputs or {"w": np.array([0.0, 2.0, -3.0, 0.0])})
    return problem, Noise(1e-16, problem.facts.value, np.dtype(float))


def look(problem, noise, radius=RADIUS, seed=0):
    """The problem there, the values there, and those afterwards."""
    with off_kinks(problem, noise, np.random.default_rng(seed), radius) as there:
        values = [one.value.copy() for one in problem.parameters]
    return there, values


def test_no_entry_stays_where_it_was_and_all_are_put_back():
    problem, noise = made()
    start = problem.parameters[0].value.copy()
    for seed in range(20):
        _, (moved,) = look(problem, noise, seed=seed)
        off = np.abs(moved - start) / problem.parameters[0].scales / RADIUS
        assert 0.3 < off.min() <= off.max() < 1.5
        assert problem.parameters[0].value.tobytes() == start.tobytes()


def test_loss_and_gradient_are_those_of_that_point():
    problem, noise = made()
    count = problem.evaluator.count
    (there, noise_there), (moved,) = look(problem, noise)
    assert problem.evaluator.count == count + 2
    np.testing.assert_array_equal(there.analytic["w"], np.sign(moved))
    assert there.facts.value == noise_there.loss == np.abs(moved).sum()
    assert (there.analytic_rounding["w"] >= np.finfo(float).eps).all()
    assert problem.analytic["w"][0] == 0.0


def test_what_is_put_back_is_put_back_after_an_error_too():
    problem, noise = made()
    start = problem.parameters[0].value.copy()
    with (
        pytest.raises(ZeroDivisionError),
        off_kinks(problem, noise, np.random.default_rng(0), RADIUS),
    ):
        raise ZeroDivisionError
    assert problem.parameters[0].value.tobytes() == start.tobytes()


def test_a_gradient_that_is_kept_from_this_point_tells_nothing():
    kept = np.array([0.0, 1.0])
    problem, noise = made(lambda w: (np.sum(np.abs(w)), {"w": kept}), w=np.array([0.0, 1.0]))
    assert look(problem, noise)[0] is None


@pytest.mark.parametrize("raises", [True, False])
def test_a_point_outside_the_domain_tells_nothing(raises):
    def root(w):
        if raises and (w < 0).any():
            raise ValueError("negative")
        return np.sum(np.sqrt(w)), {"w": 0.5 / np.sqrt(w)}

    problem, noise = made(root, w=np.array([1.0] + [1e-9] * 40))
    with np.errstate(all="ignore"):
        assert look(problem, noise)[0] is None
        assert look(problem, noise, 1e-12)[0] is not None


def test_an_interrupt_ends_the_check_and_not_the_process():
    calls = []

    def loss(w):
        calls.append(1)
        return sizes(w)

    problem, noise = made(loss)

    def interrupted():
        raise KeyboardInterrupt

    problem = replace(problem, gradient_at=interrupted)
    problem.evaluator.finishes = True
    before = len(calls)
    assert look(problem, noise)[0] is None
    assert problem.evaluator.interrupted is not None
    assert len(calls) == before


def test_limits_are_kept():
    problem, noise = made()
    problem.evaluator.budget = problem.evaluator.count
    assert look(problem, noise)[0] is None
    assert problem.evaluator.exhausted


def test_points_come_nearer_and_there_are_none_without_a_gradient_elsewhere():
    problem, noise = made()
    first, second, third = radii(problem, noise)
    assert NEAREST <= first <= FARTHEST
    assert first / second == second / third == 16.0
    assert radii(problem, replace(noise, level=1e-3))[0] == FARTHEST
    assert radii(replace(problem, gradient_at=None), noise) == ()
