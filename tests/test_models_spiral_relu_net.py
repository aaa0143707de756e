"""The two-layer ReLU network on the spiral, against its published trace and its twin."""

import numpy as np
import pytest
from twin_gradient import assert_as_declared

from reference_models import spiral_relu_net as model


@pytest.fixture(scope="module")
def training():
    return model.train()


def test_training_reproduces_the_published_trace_to_six_decimals(training):
    losses, _ = training

    first = [step for step in model.PUBLISHED_LOSSES if step <= 6000]
    assert len(first) == 7
    for step in first:
        assert f"{losses[step]:.6f}" == f"{model.PUBLISHED_LOSSES[step]:.6f}"


def test_late_training_stays_near_the_published_trace(training):
    losses, _ = training

    late = [step for step in model.PUBLISHED_LOSSES if step > 6000]
    assert len(late) == 3
    for step in late:
        assert losses[step] == pytest.approx(model.PUBLISHED_LOSSES[step], rel=0, abs=5e-6)


def test_trained_network_classifies_98_percent(training):
    _, accuracy = training

    assert f"{accuracy:.2f}" == "0.98"


@pytest.mark.parametrize("case", model.CASES, ids=lambda case: case.name)
def test_the_gradient_is_wrong_just_where_declared(case):
    assert_as_declared(case)


def test_every_hidden_unit_sits_on_its_kink_at_the_initial_point():
    inputs = model.training_start()

    pre_activation = inputs["X"] @ inputs["W"] + inputs["b"]

    assert np.flatnonzero((pre_activation == 0).all(axis=1)).tolist() == [0, 100, 200]


def test_the_generic_point_has_no_kink():
    inputs = model.generic_inputs()
    inputs["X"] = inputs["X"][inputs["X"].any(axis=1)]

    assert np.abs(inputs["X"] @ inputs["W"] + inputs["b"]).min() > 1e-4


def test_at_the_initial_point_the_kinks_cancel_and_those_beside_it_spoil_a_usual_step():
    inputs = model.training_start()

    left, analytic, right = one_sided_slopes(inputs, step=1e-8)
    np.testing.assert_allclose(left, analytic, rtol=0, atol=1e-7)
    np.testing.assert_allclose(right, analytic, rtol=0, atol=1e-7)

    left, analytic, right = one_sided_slopes(inputs, step=1e-5)
    relative_error = np.abs((left + right) / 2 - analytic) / np.abs(analytic)
    assert 0.2 < relative_error.max() < 0.3


def test_at_a_kink_the_analytic_gradient_is_the_left_derivative():
    left, analytic, right = one_sided_slopes(model.kink_inputs(), step=1e-8)

    np.testing.assert_allclose(analytic, left, rtol=0, atol=1e-6)
    assert np.abs(right - left).min() > 1e-3


def test_at_a_kink_a_central_difference_is_off_by_up_to_a_fifth():
    left, analytic, right = one_sided_slopes(model.kink_inputs(), step=1e-8)

    error = np.abs((left + right) / 2 - analytic).max() / np.abs(analytic).max()
    assert 0.1 < error < 0.25


def one_sided_slopes(inputs, *, step):
    """Left difference quotient, analytic value and right difference quotient by each ``b``."""
    loss, gradient = model.published(**inputs)
    left, right = [], []
    for unit in range(inputs["b"].size):
        shift = step * (np.arange(inputs["b"].size) == unit)
        left.append((loss - model.forward(**{**inputs, "b": inputs["b"] - shift})[0]) / step)
        right.append((model.forward(**{**inputs, "b": inputs["b"] + shift})[0] - loss) / step)
    return np.array(left), gradient["b"].ravel(), np.array(right)
