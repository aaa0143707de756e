"""Log barriers whose slacks are 1e-8: the loss ends there, and jitters by what rounds its slacks.

A table of differences has to begin within the slack. One that is a thousand times narrower moves
the parameters by less than a unit in their last place: its points lie on no line.
"""

from __future__ import annotations

import numpy as np
import pytest

import gradcheck
from gradcheck.noise import FINEST, loss_noise
from gradcheck.numpy_target.problem import numpy_problem

WEIGHT = 1e-6


def barrier(x, A, b, c, factor=1.0):
    slack = b - A @ x
    return c @ x - WEIGHT * np.sum(np.log(slack)), c + factor * WEIGHT * A.T @ (1 / slack)


def inputs(seed, closest=1e-8):
    draw = np.random.default_rng(seed)
    A, x = draw.normal(size=(12, 4)), draw.normal(size=4)
    slack = np.ones(12)
    slack[:4] = [1e-6, 3e-7, 1e-6, closest]
    return x, A, A @ x + slack, draw.normal(size=4)


@pytest.mark.parametrize("autograd", [False, True])
@pytest.mark.parametrize("seed", [136, 3, 5])
def test_a_right_gradient_passes_and_a_wrong_one_fails(seed, autograd):
    right = gradcheck.check(barrier, inputs(seed), wrt=[0], autograd=autograd)
    assert right.verdict == "pass"
    wrong = gradcheck.check(barrier, (*inputs(seed), 1.01), wrt=[0], autograd=autograd)
    assert wrong.verdict == "fail"


def test_the_noise_is_that_of_the_closest_slack():
    for seed in (136, 3, 5):
        problem = numpy_problem(barrier, inputs(seed), [0])
        level = loss_noise(problem, np.random.default_rng(0)).level
        x, A, b, _ = inputs(seed)
        rounded = np.spacing(np.abs(b) + np.abs(A) @ np.abs(x)) / (b - A @ x)
        assert 0.03 < level / (WEIGHT * np.linalg.norm(rounded)) < 3.0


def test_no_table_is_made_of_moves_of_a_few_units_in_the_last_place():
    problem = numpy_problem(barrier, inputs(136), [0])
    spacings, along = [], problem.evaluator.along

    def watched(direction, lengths):
        spacings.append(min(one for one in lengths if one > 0.0) if any(lengths) else 1.0)
        return along(direction, lengths)

    problem.evaluator.along = watched
    loss_noise(problem, np.random.default_rng(0))
    assert FINEST <= min(spacings) < 1e-10
