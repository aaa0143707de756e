"""The linear softmax classifier on the spiral, against its published trace and its twin."""

import numpy as np
import pytest
from twin_gradient import assert_as_declared, loss_and_gradient, wrong_parameters

from reference_models import spiral_softmax as model
from reference_models.data import spiral
from reference_models.softmax import softmax_residual, softmax_rows

CHECKABLE = [case for case in model.CASES if case.expect.verdict != "error"]


def test_the_spiral_is_three_arms_of_a_hundred_points_that_start_at_zero():
    X, y = spiral()

    assert X.shape == (300, 2)
    assert y.dtype == np.uint8
    assert np.bincount(y).tolist() == [100, 100, 100]
    assert np.flatnonzero(~X.any(axis=1)).tolist() == [0, 100, 200]


def test_score_gradient_of_the_worked_example():
    residual = softmax_residual(np.array([[0.2, 0.3, 0.5]]), np.array([1]))

    np.testing.assert_allclose(residual, [[0.2, -0.7, 0.5]], rtol=0, atol=1e-16)


def test_softmax_stays_finite_where_exp_would_overflow():
    probabilities = softmax_rows(np.array([[1000.0, 1000.0, -1000.0]]))

    np.testing.assert_array_equal(probabilities, [[0.5, 0.5, 0.0]])


def test_tiny_weights_start_near_the_log_of_three():
    X, y, W, b, _ = model.training_start()

    loss, _ = model.mean_early(X, y, W, b, 1e-3)

    assert loss == pytest.approx(np.log(3), abs=0.01)


def test_training_reproduces_the_published_trace_to_six_decimals():
    losses, accuracy = model.train()

    assert len(model.PUBLISHED_LOSSES) == 20
    reproduced = {step: f"{losses[step]:.6f}" for step in model.PUBLISHED_LOSSES}
    assert reproduced == {step: f"{loss:.6f}" for step, loss in model.PUBLISHED_LOSSES.items()}
    assert f"{accuracy:.2f}" == "0.49"


def test_the_training_trace_holds_reproduced_and_published_points():
    (trace,) = model.training_traces()

    assert dict(trace.published) == model.PUBLISHED_LOSSES
    assert [step for step, _ in trace.reproduced] == [step for step, _ in trace.published]


@pytest.mark.parametrize("case", CHECKABLE, ids=lambda case: case.name)
def test_the_gradient_is_wrong_just_where_declared(case):
    assert_as_declared(case)


def test_dividing_early_and_late_agree_to_roundoff():
    inputs = model.generic_inputs()

    early_loss, early = model.mean_early(**inputs)
    late_loss, late = model.mean_late(**inputs)

    assert early_loss == late_loss
    assert wrong_parameters(late, early, rtol=1e-13) == set()


def test_undivided_is_off_by_the_number_of_examples_in_the_data_term_alone():
    inputs = model.generic_inputs()

    _, true = model.mean_early(**inputs)
    _, undivided = model.undivided(**inputs)

    regulariser = inputs["reg"] * inputs["W"]
    np.testing.assert_allclose(
        undivided["W"] - regulariser, 300 * (true["W"] - regulariser), rtol=1e-12
    )
    np.testing.assert_allclose(undivided["b"], 300 * true["b"], rtol=1e-12)


def test_the_unshifted_softmax_overflows_where_the_shifted_loss_is_finite():
    (case,) = [case for case in model.CASES if case.name == "spiral_softmax.unshifted_overflow"]
    inputs = case.inputs()

    with np.errstate(all="ignore"):
        loss, _ = case.target(**inputs)
    twin_loss, _ = loss_and_gradient(case.torch, inputs, ["W", "b"])

    assert not np.isfinite(loss)
    assert np.isfinite(twin_loss)


def test_the_unshifted_softmax_is_nan_where_every_score_is_near_minus_a_thousand():
    inputs = model.generic_inputs()
    inputs["b"] = inputs["b"] - 1000

    with np.errstate(all="ignore"):
        loss, _ = model.unshifted(**inputs)

    assert np.isnan(loss)
    assert np.isfinite(model.mean_early(**inputs)[0])
