"""softmax_columns: loops and vectorised form agree; the mistakes show where they are said to."""

import numpy as np
import pytest

from reference_models import softmax_columns as model


def test_loops_and_vectorised_form_are_equal():
    point = model.generic_point()
    loss, grads = model.loops(**point)
    vectorised_loss, vectorised = model.vectorised(**point)
    assert loss == pytest.approx(vectorised_loss, rel=1e-12)
    assert grads["W"] == pytest.approx(vectorised["W"], rel=1e-12, abs=1e-14)


def test_large_scores_do_not_overflow():
    point = model.generic_point()
    point["W"] *= 1e4
    assert np.isfinite(model.loops(**point)[0])
    assert model.loops(**point)[0] == pytest.approx(model.vectorised(**point)[0], rel=1e-12)


def test_the_missing_indicator_spoils_the_rows_of_the_classes_that_occur():
    point = model.generic_point()
    _, wrong = model.indicator_missing(**point)
    _, right = model.loops(**point)
    spoiled = {row for row in range(5) if not np.allclose(wrong["W"][row], right["W"][row])}
    assert spoiled == set(point["y"].tolist()) == {0, 1, 2, 4}


def test_centring_in_place_changes_the_data_and_not_the_next_value():
    point = model.dyadic_point()
    X = point["X"].copy()
    first, grads = model.inplace_bug(**point)
    assert not np.array_equal(point["X"], X)
    assert np.array_equal(point["X"], X - X.mean(axis=0))
    again, same_grads = model.inplace_bug(**point)
    assert again == first
    assert np.array_equal(grads["W"], same_grads["W"])


def test_the_gradient_of_the_in_place_form_is_that_of_centred_data():
    point = model.dyadic_point()
    centred = {**point, "X": point["X"] - point["X"].mean(axis=0)}
    loss, grads = model.loops(**centred)
    bug_loss, bug_grads = model.inplace_bug(**point)
    assert bug_loss == loss
    assert np.array_equal(bug_grads["W"], grads["W"])


@pytest.mark.parametrize("target", [model.loops, model.vectorised])
def test_a_complex_step_goes_through(target):
    point = model.generic_point()
    _, grads = target(**point)
    h = 1e-30
    for index in np.ndindex(point["W"].shape):
        W = point["W"].astype(complex)
        W[index] += 1j * h
        loss, _ = target(**{**point, "W": W})
        assert loss.imag / h == pytest.approx(grads["W"][index], rel=1e-12, abs=1e-15)
