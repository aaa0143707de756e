"""From a NumPy target to a problem: what a check needs to know before the first difference."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.errors import TargetError, UsageError
from gradcheck.numpy_target.problem import numpy_problem

W, B, X = np.ones((3, 2)), np.full(2, 0.5), np.arange(15.0).reshape(5, 3)


def layer(W, b, X):
    h = X @ W + b
    return 0.5 * np.sum(h * h), {"W": X.T @ h, "b": h.sum(axis=0)}


def test_parameters_have_names_paths_values_and_the_claimed_gradient():
    problem = numpy_problem(layer, {"W": W, "b": B, "X": X})
    assert [(p.name, p.path) for p in problem.parameters] == [("W", "W"), ("b", "b")]
    np.testing.assert_array_equal(problem.analytic["b"], layer(W, B, X)[1]["b"])
    assert problem.facts.value == layer(W, B, X)[0]
    assert problem.facts.spread == 0.0
    assert problem.size == 8


def test_the_user_s_arrays_are_not_the_ones_that_are_perturbed():
    problem = numpy_problem(layer, {"W": W, "b": B, "X": X})
    assert not any(np.shares_memory(p.value, W) for p in problem.parameters)


def test_perturbing_a_parameter_changes_the_loss_and_the_gradient():
    problem = numpy_problem(layer, {"W": W, "b": B, "X": X})
    problem.parameters[1].value[0] += 1.0
    moved = B + np.array([1.0, 0.0])
    assert problem.evaluator.current() == layer(W, moved, X)[0]
    np.testing.assert_array_equal(problem.gradient_at()["b"], layer(W, moved, X)[1]["b"])


def test_the_gradient_may_come_from_a_function_of_its_own():
    problem = numpy_problem(
        lambda W, b, X: layer(W, b, X)[0],
        {"W": W, "b": B, "X": X},
        ["W", "b"],
        grad=lambda W, b, X: layer(W, b, X)[1],
    )
    np.testing.assert_array_equal(problem.analytic["W"], layer(W, B, X)[1]["W"])


def test_what_is_not_under_check_is_known_by_name():
    def loss(W, X, y, reg):
        return float(np.sum(W)), np.ones_like(W)

    labels = np.arange(5)
    problem = numpy_problem(loss, {"W": W, "X": X, "y": labels, "reg": 0.1}, "W")
    assert problem.surroundings.scalars == {"reg": 0.1}
    np.testing.assert_array_equal(problem.surroundings.data["X"], X)
    np.testing.assert_array_equal(problem.surroundings.integers["y"], labels)


def test_low_precision_inputs_are_evaluated_in_double_where_the_target_follows():
    problem = numpy_problem(
        layer, {k: v.astype(np.float32) for k, v in {"W": W, "b": B, "X": X}.items()}
    )
    assert {p.value.dtype.name for p in problem.parameters} == {"float64"}
    assert {p.dtype.name for p in problem.parameters} == {"float32"}
    assert problem.gradient_dtypes["W"] == np.float32


def test_inputs_to_trace_are_the_very_objects_that_the_target_is_handed():
    problem = numpy_problem(layer, {"W": W, "b": B, "X": X})
    args, kwargs, parameters = problem.trace_request.prepare()
    assert args == ()
    assert kwargs["W"] is parameters["W"]
    problem.trace_request.restore()


def test_the_loss_at_complex_parameters_is_analytic():
    problem = numpy_problem(layer, {"W": W, "b": B, "X": X})
    values = [p.value.astype(complex) for p in problem.parameters]
    values[1][0] += 1e-30j
    slope = problem.complex_loss(values).imag / 1e-30
    assert slope == pytest.approx(layer(W, B, X)[1]["b"][0])


def constant(value):
    return lambda W: (value, np.zeros_like(W))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_cannot_be_checked(value):
    with pytest.raises(TargetError, match="loss is") as caught:
        numpy_problem(constant(value), W)
    assert caught.value.cause == "non_finite_loss"


@pytest.mark.parametrize("grads", [None, "nothing"])
def test_a_target_without_gradient_is_told_how_to_give_it(grads):
    with pytest.raises(TargetError, match="grad=") as caught:
        numpy_problem((lambda W: (1.0, None)) if grads is None else (lambda W: 1.0), W)
    assert caught.value.cause == "missing_gradient"


@pytest.mark.parametrize("dtype", [int, np.int32, bool, np.uint8])
def test_an_integer_array_cannot_be_a_parameter(dtype):
    with pytest.raises(TargetError, match="astype") as caught:
        numpy_problem(lambda w: (1.0, np.zeros(3)), {"w": np.ones(3, dtype=dtype)}, "w")
    assert (caught.value.cause, caught.value.parameter) == ("integer_parameter", "w")


def test_of_parameters_without_entries_the_others_are_checked():
    empty = np.zeros(0)
    problem = numpy_problem(lambda w, e: (w.sum(), np.ones(3), empty), (np.ones(3), empty))
    assert [one.name for one in problem.parameters] == ["w"]
    assert [notice.key for notice in problem.notices] == ["empty_parameter"]
    with pytest.raises(TargetError, match="nothing to check in e"):
        numpy_problem(lambda e: (1.0, empty), (empty,))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.ones(3, dtype=complex), "real floats"),
        (np.ma.masked_array(np.ones(3), mask=[0, 1, 0]), "masked"),
        ("text", "str"),
        (True, "bool"),
    ],
    ids=["complex", "masked", "text", "bool"],
)
def test_what_cannot_be_perturbed_is_refused_with_what_to_write(value, words):
    with pytest.raises(UsageError, match=words):
        numpy_problem(lambda w: (1.0, np.zeros(3)), {"w": value}, "w")


@pytest.mark.parametrize("change", [5e-15, 1e-3])
def test_a_jitter_in_the_last_digits_is_no_randomness(change):
    calls = 0

    def loss(W):
        nonlocal calls
        calls += 1
        return 1.0 + change * (calls % 3), np.zeros_like(W)

    problem = numpy_problem(loss, W)
    keys = [notice.key for notice in problem.notices]
    assert keys == ([] if change < 1e-10 else ["nondeterministic"])
    assert (problem.facts.spread > 0) is (change > 1e-10)


def test_a_gradient_that_differs_from_call_to_call_is_averaged_with_its_error():
    generator = np.random.default_rng(0)

    def loss(W):
        return 1.0, np.ones_like(W) + 1e-2 * generator.normal(size=W.shape)

    problem = numpy_problem(loss, W)
    assert [notice.key for notice in problem.notices] == ["nondeterministic"]
    assert problem.gradient_at is None
    error = np.abs(problem.analytic["W"] - 1)
    assert (error <= problem.analytic_rounding["W"]).all()
    assert (problem.analytic_rounding["W"] < 0.1).all()
