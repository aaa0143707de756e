"""The digit network with a ReLU on its scores: which gradients are wrong, and how it learns."""

import numpy as np
import pytest
from twin_gradient import assert_as_declared, loss_and_gradient

from reference_models import mnist_relu_net as model
from reference_models.data import digits, digits_784

CHECKABLE = [case for case in model.CASES if case.expect.verdict != "error"]


def test_the_digits_are_scaled_to_the_unit_interval():
    X, y = digits()

    assert X.shape == (1797, 64)
    assert (X.min(), X.max()) == (0, 1)
    assert set(y) == set(range(10))


def test_the_enlarged_digits_keep_their_corners_and_their_range():
    X, y = digits()
    enlarged, labels = digits_784()

    assert enlarged.shape == (1797, 784)
    assert (enlarged.min(), enlarged.max()) == (0, 1)
    corners = np.ix_(range(1797), [0, -1], [0, -1])
    np.testing.assert_allclose(
        enlarged.reshape(-1, 28, 28)[corners], X.reshape(-1, 8, 8)[corners], atol=1e-12
    )
    np.testing.assert_array_equal(labels, y)


@pytest.mark.parametrize("case", CHECKABLE, ids=lambda case: case.name)
def test_the_gradient_is_wrong_just_where_declared(case):
    assert_as_declared(case)


def test_the_published_gradient_is_right_where_every_score_is_positive():
    inputs = model.generic_inputs()
    inputs["b2"] = inputs["b2"] + 10

    _, published = model.published(**inputs)
    _, true = loss_and_gradient(model.torch_loss, inputs, list(published))

    for name, gradient in published.items():
        np.testing.assert_allclose(gradient, true[name], rtol=1e-9, atol=1e-12)


def test_the_forgotten_return_leaves_no_gradient():
    inputs = model.generic_inputs()

    loss, gradient = model.no_return(**inputs)

    assert gradient is None
    assert loss == model.published(**inputs)[0]


def test_initial_parameters_have_the_spread_of_the_fan_out():
    drawn = model.initial_parameters(np.random.default_rng(0), n_pixels=784, n_hidden=100)

    assert drawn["W1"].std() == pytest.approx(1 / np.sqrt(100), rel=0.02)
    assert drawn["W2"].std() == pytest.approx(1 / np.sqrt(10), rel=0.05)
    assert drawn["b1"].std() == pytest.approx(1 / np.sqrt(100), rel=0.2)


def test_after_a_short_training_only_the_right_gradient_of_the_published_loss_has_lost():
    published, without, corrected = (
        model.train(target, seed=0, n_steps=3000)
        for target in (model.published, model.no_output_relu, model.corrected)
    )

    assert published.accuracy > 0.95
    assert without.accuracy > 0.95
    assert corrected.accuracy < 0.93


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 3, 5])
@pytest.mark.parametrize(
    ("target", "lowest", "highest"),
    [
        (model.published, 0.95, 0.99),
        (model.no_output_relu, 0.95, 0.995),
        (model.corrected, 0.4, 0.93),
    ],
)
def test_held_out_accuracy_after_the_full_training(target, lowest, highest, seed):
    assert lowest <= model.train(target, seed=seed).accuracy <= highest


@pytest.mark.slow
def test_the_loss_curve_does_not_reveal_the_wrong_gradient():
    published = model.train(model.published, seed=1)
    without = model.train(model.no_output_relu, seed=1)

    assert np.mean(published.losses[:100]) > 1
    assert np.mean(published.losses[-500:]) < 0.06
    assert np.mean(published.losses[-500:]) < 1.2 * np.mean(without.losses[-500:])
