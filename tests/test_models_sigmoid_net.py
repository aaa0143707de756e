"""sigmoid_net: the loop and the vectorised form agree, and the published cost cannot be trained."""

import numpy as np
import pytest

from reference_models import sigmoid_net as model
from reference_models.data import digits

LAYERS = [64, 25, 10]


@pytest.fixture(scope="module")
def problem():
    X, y = digits()
    return model.initial_theta(LAYERS, np.random.default_rng(0)), X, y


@pytest.mark.parametrize("layers", [(6, 5, 4), (5, 4), (5, 6, 4, 3)])
def test_loop_and_vectorised_form_are_equal(layers):
    point = model.generic_point(layers)
    loop_cost, loop = model.corrected_loop(**point)
    cost, vectorised = model.corrected_vectorised(**point)
    assert cost == pytest.approx(loop_cost, rel=1e-12)
    for a, b, weights in zip(loop, vectorised, point["theta"], strict=True):
        assert a.shape == weights.shape
        assert a == pytest.approx(b, rel=1e-12, abs=1e-14)


def test_the_exercise_has_10285_parameters():
    point = model.generic_point((400, 25, 10), m=20)
    assert model.roll(point["theta"]).size == 10285
    loop_cost, _ = model.corrected_loop(**point)
    assert model.corrected_vectorised(**point)[0] == pytest.approx(loop_cost, rel=1e-12)


def test_rolling_goes_row_by_row_and_back():
    theta = model.generic_point()["theta"]
    vector = model.roll(theta)
    assert vector[1] == theta[0][0, 1]
    for before, after in zip(theta, model.unroll(vector, (6, 5, 4)), strict=True):
        assert np.array_equal(before, after)


def test_label_10_stands_for_the_digit_0_in_the_original_labelling():
    digit = np.array([0, 1, 9])
    original = np.where(digit == 0, 10, digit)
    T = model.one_hot(original, 10, first_label=1)
    assert T.argmax(axis=1).tolist() == [9, 0, 8]
    assert model.one_hot(digit, 10).argmax(axis=1).tolist() == [0, 1, 9]
    point = model.generic_point()
    counted_from_0 = model.predict(point["theta"], point["X"])
    counted_from_1 = model.predict(point["theta"], point["X"], first_label=1)
    assert np.array_equal(counted_from_1, counted_from_0 + 1)


def test_the_published_initialiser_draws_positive_weights_only():
    wanted = model.roll(model.initial_theta(LAYERS, np.random.default_rng(0)))
    published = model.roll(model.initial_theta_published(LAYERS, np.random.default_rng(0)))
    assert -0.12 <= wanted.min() < -0.11
    assert 0.11 < wanted.max() < 0.12
    assert 0 <= published.min() < 0.01
    assert 0.11 < published.max() < 0.12


def test_conjugate_gradients_learn_the_digits(problem):
    theta, X, y = problem
    assert model.corrected_vectorised(theta, X, y, 1.0)[0] > 6
    result = model.train(model.corrected_vectorised, theta, X, y, lam=1.0, iterations=50)
    trained = model.unroll(result.x, LAYERS)
    assert result.fun < 0.7
    assert np.mean(model.predict(trained, X) == y) > 0.97


def test_twenty_iterations_get_most_of_the_way(problem):
    theta, X, y = problem
    result = model.train(model.corrected_vectorised, theta, X, y, lam=1.0, iterations=20)
    assert result.fun < 1
    assert np.mean(model.predict(model.unroll(result.x, LAYERS), X) == y) > 0.93


def test_the_published_cost_stops_the_optimiser_at_once(problem):
    theta, X, y = problem
    net = model.StoredWeightsNet(theta)
    J = net.cost_function(theta, X, y, 1.0)[0]
    result = model.train(net.cost_function, theta, X, y, lam=1.0, iterations=50)
    assert not result.success
    assert "precision loss" in result.message
    assert result.nit == 0
    assert result.fun == J
    assert np.array_equal(result.x, model.roll(theta))


def test_the_published_cost_depends_on_theta_through_the_penalty_alone():
    point = model.generic_point()
    net = model.StoredWeightsNet(point["theta"])
    moved = [weights + 0.3 for weights in point["theta"]]
    J_here, grads = net.cost_function(**point)
    J_there, _ = net.cost_function(**{**point, "theta": moved})
    penalty = sum(np.sum(w[:, 1:] ** 2) for w in point["theta"])
    moved_penalty = sum(np.sum(w[:, 1:] ** 2) for w in moved)
    m = len(point["y"])
    assert J_there - J_here == pytest.approx((moved_penalty - penalty) / (2 * m), rel=1e-12)
    # the gradient it returns is the right one of the cost it should have computed
    _, expected = model.corrected_vectorised(**point)
    assert all(np.array_equal(a, b) for a, b in zip(grads, expected, strict=True))


def test_the_stored_weights_are_a_copy():
    theta = model.generic_point()["theta"]
    net = model.StoredWeightsNet(theta)
    assert not any(np.shares_memory(a, b) for a, b in zip(theta, net.stored, strict=True))


def test_regularised_biases_are_off_in_column_0_alone():
    point = model.generic_point()
    _, wrong = model.bias_regularised(**point)
    _, right = model.corrected_vectorised(**point)
    for a, b, weights in zip(wrong, right, point["theta"], strict=True):
        assert np.array_equal(a[:, 1:], b[:, 1:])
        assert a[:, 0] - b[:, 0] == pytest.approx(weights[:, 0] / len(point["y"]), rel=1e-12)
