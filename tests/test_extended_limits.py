"""When a loss in extended precision is believed, what it may take, and what it adds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gradcheck
from gradcheck.calling.quiet import quiet
from gradcheck.noise import Noise, loss_noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.oracles.estimate import smooth_estimate
from gradcheck.oracles.extended import Extended, _merged, in_extended_precision, refine

LONGER = np.finfo(np.longdouble).eps < 0.1 * np.finfo(np.float64).eps
needs_digits = pytest.mark.skipif(not LONGER, reason="numpy.longdouble is float64 here")
W = np.random.default_rng(1).normal(size=4)
NAN, INF = float("nan"), float("inf")


def sines(W, factor=1.0):
    return np.sum(np.sin(W)), factor * np.cos(W)


def extended_of(loss=sines, *, level=None, budget=None, x=W, **changes):
    problem = replace(numpy_problem(loss, {"W": x.copy()}, "W"), **changes)
    generator = np.random.default_rng(0)
    with quiet():
        noise = loss_noise(problem, generator)
        noise = noise if level is None else replace(noise, level=level)
        if budget is not None:
            problem.evaluator.budget = problem.evaluator.count + budget
        before = problem.evaluator.count
        found = in_extended_precision(problem, noise, generator)
    return problem, found, problem.evaluator.count - before


def test_an_entry_takes_eight_evaluations_and_all_together_twenty_seconds():
    noise = Noise(1e-19, 0.0, np.dtype(float))
    for seconds, entries in ((1.0, 2), (0.01, 250), (0.0, 2_500_000), (1e-9, 2_500_000), (40.0, 0)):
        assert Extended(None, noise, seconds).affordable == entries


@needs_digits
@pytest.mark.parametrize(("share", "believed"), [(0.9, True), (1.1, False), (-1.1, False)])
@pytest.mark.parametrize("level", [1e-16, 1e-10])
def test_its_value_must_be_that_of_float64_but_for_noise(share, believed, level):
    value = float(np.sum(np.sin(W)))
    allowed = 64 * level + 1e-10 * abs(value)

    def loss(W):
        extra = 0.0 if W.dtype == np.float64 else np.longdouble(share * allowed)
        return np.sum(np.sin(W)) + extra, np.cos(W)

    assert (extended_of(loss, level=level)[1] is not None) is believed


@needs_digits
def test_what_its_proof_takes_is_counted_once():
    problem, found, spent = extended_of()
    assert found is not None
    assert 1 + 8 <= spent <= 2 + 8  # the value at the point, and a table
    assert found.problem.evaluator.count == 0
    assert found.problem.facts.value == 0.0
    assert found.problem.facts.offset == problem.facts.value
    assert found.noise.loss == 0.0
    assert found.seconds >= 0.0


@needs_digits
def test_a_second_value_is_taken_beside_the_point():
    problem = numpy_problem(lambda W: (W @ W, 2 * W), {"W": np.arange(1.0, 101.0)}, "W")
    seen = []

    def loss(values):
        seen.append(values[0].copy())
        return problem.extended_loss(values)

    generator = np.random.default_rng(0)
    with quiet():
        noise = loss_noise(problem, generator)
        assert in_extended_precision(replace(problem, extended_loss=loss), noise, generator)
    at, beside = seen[0], seen[1] / seen[0] - 1
    assert (at == np.arange(1.0, 101.0)).all()
    assert beside.dtype == np.longdouble
    assert 0.9 * 2.0**-20 < beside.max() <= 2.0**-20
    assert -0.9 * 2.0**-20 > beside.min() >= -(2.0**-20)


@needs_digits
def test_limits_that_are_left_are_its_own():
    problem, found, _ = extended_of(budget=30)
    assert found is not None
    # One was spent on the loss that it is compared with.
    assert found.problem.evaluator.budget == 29
    endless = extended_of()[1]
    assert endless.problem.evaluator.budget is None
    problem.evaluator.finishes = True
    assert extended_of(budget=30)[1].problem.evaluator.deadline is None


@pytest.mark.parametrize(
    "changes", [{"extended_loss": None}, {"spread": 1e-3}, {"dtype": np.dtype(np.float32)}]
)
def test_where_there_is_none_or_noise_of_another_kind_it_is_not_tried(changes):
    problem = numpy_problem(sines, {"W": W.copy()}, "W")
    generator = np.random.default_rng(0)
    with quiet():
        noise = loss_noise(problem, generator)
        if "spread" in changes:
            problem = replace(problem, facts=replace(problem.facts, spread=1e-3))
        elif "dtype" in changes:
            noise = replace(noise, dtype=changes["dtype"])
        else:
            problem = replace(problem, extended_loss=None)
        before = problem.evaluator.count
        assert in_extended_precision(problem, noise, generator) is None
    assert problem.evaluator.count == before


def test_parameters_of_lower_precision_are_left_to_it():
    parameters = numpy_problem(sines, {"W": W.copy()}, "W").parameters
    low = tuple(replace(one, value=one.value.astype(np.float32)) for one in parameters)
    _, found, spent = extended_of(parameters=low)
    assert (found, spent) == (None, 0)


def test_a_target_that_raises_there_is_left_to_float64():
    def loss(W):
        if W.dtype != np.float64:
            raise TypeError("no such numbers")
        return np.sum(np.sin(W)), np.cos(W)

    _, found, spent = extended_of(loss)
    assert (found, spent) == (None, 0)


# What it adds


@needs_digits
def test_chosen_entries_are_refined_and_counted_and_the_others_stay():
    problem, extended, _ = extended_of()
    coarse = {"W": smooth_estimate("central", np.cos(W), np.full(4, 1e-3))}
    before = problem.evaluator.count
    generator = np.random.default_rng(0)
    with quiet():
        fine = refine(problem, extended, generator, coarse, {"W": np.array([1, 3])})["W"]
    assert (fine.uncertainty[[0, 2]] == 1e-3).all()
    assert (fine.uncertainty[[1, 3]] < 1e-7).all()
    assert (np.abs(fine.value - np.cos(W)) <= fine.uncertainty).all()
    assert problem.evaluator.count - before == extended.problem.evaluator.count > 0
    with quiet():
        same = refine(problem, extended, generator, coarse, {"W": np.array([], dtype=np.intp)})
    assert same["W"] is coarse["W"]


def merged(old, new):
    one, two = (
        smooth_estimate("central", np.array([value]), np.array([error]))
        for value, error in (old, new)
    )
    found = _merged(one, two)
    return float(found.value[0]), float(found.uncertainty[0])


@pytest.mark.parametrize(
    ("old", "new", "taken"),
    [
        ((1.0, 1e-3), (1.0001, 1e-9), True),
        ((1.0, 1e-9), (1.0, 1e-9), False),
        ((1.0, 1e-9), (1.0, 1e-8), False),
        ((1.0, NAN), (2.0, 1e-9), True),
        ((1.0, INF), (2.0, 1e-9), True),
        ((1.0, 1e-3), (NAN, 1e-9), False),
        ((1.0, 1e-3), (1.0, NAN), False),
        ((NAN, NAN), (2.0, 1e-9), True),
        # as far apart as twice what both leave open, and a little farther
        ((1.0, 1e-3), (1.0 + 2.9e-3, 5e-4), True),
        ((1.0, 1e-3), (1.0 + 3.1e-3, 5e-4), False),
        ((1.0, 1e-3), (1.0 - 3.1e-3, 5e-4), False),
    ],
)
def test_the_more_certain_value_is_taken_unless_the_two_contradict_each_other(old, new, taken):
    np.testing.assert_array_equal(merged(old, new), new if taken else old)


def test_values_of_a_kink_do_not_contradict_a_slope():
    value, error = np.array([1.0, 5.0]), np.full(2, 1e-6)
    coarse = replace(
        smooth_estimate("central", value, error),
        kinks=np.array([True, False]),
        lower=np.array([0.0, 5.0]),
        upper=np.array([2.0, 5.0]),
    )
    fine = smooth_estimate("central", np.array([1.5, 5.0]), np.full(2, 1e-9))
    found = _merged(coarse, fine)
    assert found.value.tolist() == [1.5, 5.0]
    assert found.kinks.tolist() == [False, False]
    assert (found.lower.tolist(), found.upper.tolist()) == ([1.5, 5.0], [1.5, 5.0])
    back = _merged(fine, replace(coarse, uncertainty=np.full(2, 1e-12)))
    assert back.kinks.tolist() == [True, False]
    assert back.upper.tolist() == [2.0, 5.0]


@needs_digits
def test_a_loss_rounded_to_float64_at_last_is_refused_whatever_its_tables_show():
    generator = np.random.default_rng(0)
    for seed in range(60):
        draw = np.random.default_rng(seed)
        X, x = draw.normal(size=(10, 40)) / np.sqrt(40), draw.normal(size=40)

        def loss(W, X=X):
            hidden = np.tanh(X @ W)
            return float(hidden @ hidden), X.T @ (2 * hidden * (1 - hidden**2))

        problem = numpy_problem(loss, {"W": x}, "W")
        with quiet():
            noise = loss_noise(problem, generator)
            assert in_extended_precision(problem, noise, generator) is None


@needs_digits
def test_coarse_entries_of_a_smooth_loss_are_not_contradicted_by_digits_that_are_not_there():
    draw = np.random.default_rng(0)
    X = draw.normal(size=(100, 1000)) / np.sqrt(1000)

    def loss(w):
        hidden = np.tanh(X @ w)
        return float(hidden @ hidden), {"w": X.T @ (2 * hidden * (1 - hidden**2))}

    report = gradcheck.check(loss, {"w": draw.normal(size=1000)}, oracles=("central",))
    assert report.verdict == "pass"
    assert report.evaluations < 2.1 * 1000


@needs_digits
def test_a_loss_of_few_digits_at_its_point_is_not_taken_for_one_that_is_rounded():
    x = np.array([0.5, -1.0, 0.25, 2.0])
    assert extended_of(lambda W: (np.sum(W**2), 2 * W), x=x)[1] is not None
    assert extended_of(lambda W: (float(np.sum(W**2)), 2 * W), x=x)[1] is None
