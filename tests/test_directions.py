"""A gradient of any size against the loss along random directions."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcheck.noise import loss_noise
from gradcheck.numpy_target.problem import Limits, numpy_problem
from gradcheck.oracles.directions import DirectionResult, check_directions
from gradcheck.oracles.drawn_steps import draw_steps
from gradcheck.problem import Problem


def tanh_layer(W, b, *, w_error=0.0, b_error=0.0):
    """A smooth loss of two parameters whose gradients may be made wrong by a factor."""
    hidden = np.tanh(W @ np.linspace(-1, 1, W.shape[1]) + b)
    delta = 2 * hidden * (1 - hidden**2)
    grads = {
        "W": (1 + w_error) * np.outer(delta, np.linspace(-1, 1, W.shape[1])),
        "b": (1 + b_error) * delta,
    }
    return float(hidden @ hidden), grads


def make(dtype=np.float64, limits=None, **errors: float) -> Problem:
    generator = np.random.default_rng(3)
    inputs = {
        "W": generator.normal(size=(12, 9)).astype(dtype),
        "b": generator.normal(size=12).astype(dtype),
    }
    return numpy_problem(lambda W, b: tanh_layer(W, b, **errors), inputs, limits=limits)


def directions(problem: Problem, **options: object) -> tuple[DirectionResult, ...]:
    generator = np.random.default_rng(0)
    return check_directions(problem, loss_noise(problem, generator), generator, **options)


def test_a_right_gradient_agrees_and_its_taylor_residual_falls_with_the_square() -> None:
    for found in directions(make()):
        assert found.agree is True
        assert abs(found.claimed - found.numeric) <= found.uncertainty <= 1e-6 * found.size
        assert found.order == pytest.approx(2, abs=0.1)


def test_a_wrong_gradient_disagrees_and_its_taylor_residual_falls_with_the_step() -> None:
    for found in directions(make(w_error=0.01)):
        assert found.agree is False
        assert found.order == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("error", "agrees"), [(1e-5, False), (1e-13, True)])
def test_how_small_an_error_is_seen(error: float, agrees: bool) -> None:
    assert [found.agree for found in directions(make(w_error=error))] == [agrees] * 3


def test_one_parameter_alone_is_tested_without_the_others() -> None:
    problem = make(b_error=0.5)
    by_name = {x.parameter: x.agree for x in directions(problem, parameters=["W", "b"], n=1)}
    assert by_name == {"W": True, "b": False}


def test_a_claim_other_than_the_analytic_gradient_can_be_tested() -> None:
    problem = make()
    claimed = {name: 1.1 * gradient for name, gradient in problem.analytic.items()}
    assert all(found.agree is False for found in directions(problem, claimed=claimed))
    only_b = {"b": problem.analytic["b"]}
    assert all(found.agree is True for found in directions(problem, claimed=only_b))


def test_a_direction_costs_six_evaluations_and_the_parameters_come_back_bit_for_bit() -> None:
    problem = make()
    before = [parameter.value.copy() for parameter in problem.parameters]
    generator = np.random.default_rng(0)
    noise = loss_noise(problem, generator)
    count = problem.evaluator.count
    check_directions(problem, noise, generator, n=5)
    assert problem.evaluator.count - count <= 5 * 6
    for parameter, value in zip(problem.parameters, before, strict=True):
        assert np.array_equal(parameter.value, value)


def test_a_low_precision_gradient_is_given_its_rounding() -> None:
    assert all(found.agree is True for found in directions(make(np.float32)))
    assert all(found.agree is False for found in directions(make(np.float32, w_error=0.01)))


def test_a_loss_computed_in_low_precision_is_resolved_as_far_as_its_noise_allows() -> None:
    def loss(x):
        low = x.astype(np.float32)
        return np.float32(np.sum(low**2)), 2 * x

    found = directions(numpy_problem(loss, {"x": np.linspace(0.5, 2, 30)}))
    assert all(one.agree is not False for one in found)
    assert all(1e-8 < one.uncertainty / one.size < 1e-2 for one in found)


def absolute(x: NDArray[np.float64]):
    return float(np.abs(x).sum()), np.sign(x)


def test_next_to_kinks_the_steps_shrink_until_they_agree() -> None:
    x = np.linspace(-1, 1, 400)  # kinks of all entries, the nearest 0.0025 away
    assert all(found.agree is True for found in directions(numpy_problem(absolute, {"x": x})))


def test_on_a_kink_nothing_is_claimed() -> None:
    found = directions(numpy_problem(absolute, {"x": np.array([0.0, 1.0, -2.0])}))
    assert [one.agree for one in found] == [None] * 3


def test_steps_that_never_agree_are_inconclusive() -> None:
    def jagged(x):
        return float(np.sum(np.abs(np.sin(1e11 * x)) / 1e11)), np.full_like(x, 0.3)

    found = directions(numpy_problem(jagged, {"x": np.linspace(1, 2, 5)}))
    assert all(one.agree is not True for one in found)


def test_an_exhausted_budget_leaves_the_question_open() -> None:
    problem = make(limits=Limits(budget=30))
    found = directions(problem, n=6)
    assert problem.evaluator.count <= 30
    assert problem.evaluator.exhausted
    assert found[0].agree is True
    assert found[-1].agree is None


def test_entries_that_are_not_numbers_do_not_hide_the_others() -> None:
    def loss(x):
        gradient = 2 * x
        gradient[1] = np.nan
        return float(x @ x), gradient

    found = directions(numpy_problem(loss, {"x": np.arange(1.0, 5.0)}))
    assert [one.agree for one in found] == [True] * 3


def test_results_are_plain_data() -> None:
    for found in directions(make(), n=1):
        assert set(json.loads(json.dumps(found.to_plain(), allow_nan=False))) == {
            "parameter", "claimed", "numeric", "uncertainty", "agree", "steps", "residuals",
            "order",
        }  # fmt: skip


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e30])
def test_steps_are_as_long_as_the_entries_and_exact_to_add(scale: float) -> None:
    value = scale * np.random.default_rng(1).normal(size=1000)
    steps = draw_steps(value, np.random.default_rng(2)).astype(np.float64)
    typical = np.sqrt(np.mean(value**2))
    length = np.abs(steps) / np.maximum(np.abs(value), typical)
    assert 0.3 < length.min() <= length.max() < 1.5
    assert 0.4 < np.mean(steps > 0) < 0.6
    assert len(set(np.abs(steps[np.abs(value) < typical]).tolist())) > 300
    h = 2.0**-20
    moved = value + h * steps
    assert np.mean(moved - value == h * steps) > 0.99


def test_an_all_zero_parameter_moves_by_one() -> None:
    steps = draw_steps(np.zeros((3, 4)), np.random.default_rng(0))
    assert 0.5 <= np.abs(steps).min() <= np.abs(steps).max() <= 1


def test_arrays_that_are_not_contiguous_move_too() -> None:
    base = np.random.default_rng(4).normal(size=(6, 8))

    def loss(x):
        return float(np.sum(x**3)), 3 * x**2

    for x in (base.T, base[::2], base[0, 0], np.float64(0.7)):
        problem = numpy_problem(loss, {"x": x}, ["x"])
        assert all(found.agree is True for found in directions(problem))
