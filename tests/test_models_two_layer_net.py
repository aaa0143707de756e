"""two_layer_net: the class computes the published scores, trains and predicts."""

import numpy as np
import pytest

from reference_models import two_layer_net as model
from reference_models.data import digits

PUBLISHED_SCORES = [
    [-0.81233741, -1.27654624, -0.70335995],
    [-0.17129677, -1.18803311, -0.47310444],
    [-0.51590475, -1.01354314, -0.8504215],
    [-0.15419291, -0.48629638, -0.52901952],
    [-0.00618733, -0.12435261, -0.15226949],
]
PUBLISHED_LOSS = 1.30378789133


def test_the_toy_network_has_the_scores_that_the_assignment_prints():
    scores = model.toy_net().loss(model.toy_data()["X"])
    assert scores == pytest.approx(np.array(PUBLISHED_SCORES), abs=5e-9)


def test_the_printed_loss_belongs_to_one_strength_in_each_convention():
    net, data = model.toy_net(), model.toy_data()
    assert net.loss(**data, reg=0.05)[0] == pytest.approx(PUBLISHED_LOSS, abs=1e-11)
    assert model.unscaled(**net.params, **data, reg=0.05)[0] == pytest.approx(
        PUBLISHED_LOSS, abs=1e-11
    )
    assert model.scaled(**net.params, **data, reg=0.1)[0] == pytest.approx(
        PUBLISHED_LOSS, abs=1e-11
    )


def test_without_labels_loss_returns_scores_and_leaves_them_unshifted():
    net, data = model.toy_net(bias_std=0.1), model.toy_data()
    scores = net.loss(data["X"])
    assert scores.shape == (5, 3)
    assert not np.all(scores.max(axis=1) == 0)


def test_the_mask_a_is_zero_gives_the_gradient_of_the_mask_a_below_zero():
    net, data = model.toy_net(bias_std=0.1), model.toy_data()
    loss, grads = net.loss(**data, reg=0.1)
    expected_loss, expected = model.unscaled(**model.generic_point())
    assert loss == pytest.approx(expected_loss, rel=1e-15)
    A, _ = model.forward(data["X"], **net.params)
    assert 0 < np.mean(A == 0) < 1
    for name, grad in grads.items():
        assert grad == pytest.approx(expected[name], rel=1e-14, abs=1e-15)


def test_the_wrong_regularisers_look_right_where_training_starts():
    point = {**model.published_scale_point(), "reg": 0.0}
    _, expected = model.unscaled(**point)
    for mistaken in (model.half_loss_double_grad, model.reg_missing, model.reg_on_biases):
        _, grads = mistaken(**point)
        for name, grad in grads.items():
            assert np.array_equal(grad, expected[name])


def test_a_common_step_makes_the_right_gradient_look_wrong_at_the_published_scale():
    point = model.published_scale_point()
    _, grads = model.unscaled(**point)
    step = 1e-5
    W1 = point["W1"]
    numeric = np.zeros_like(W1)
    for index in np.ndindex(W1.shape):
        moved = W1.copy()
        moved[index] += step
        higher, _ = model.unscaled(**{**point, "W1": moved})
        moved[index] -= 2 * step
        lower, _ = model.unscaled(**{**point, "W1": moved})
        numeric[index] = (higher - lower) / (2 * step)
    assert abs(numeric - grads["W1"]).max() > 0.1 * abs(grads["W1"]).max()


def test_training_fits_the_toy_data():
    net, data = model.toy_net(), model.toy_data()
    losses = net.train(**data, learning_rate=0.1)
    assert len(losses) == 100
    assert losses[0] > 1.2
    assert losses[-1] < 0.03
    assert np.array_equal(net.predict(data["X"]), data["y"])


def test_training_with_the_published_settings_moves_and_repeats():
    data = model.toy_data()
    first, second = model.toy_net(), model.toy_net()
    assert first.train(**data) == second.train(**data)
    assert not np.array_equal(first.params["W1"], model.toy_net().params["W1"])


def test_training_learns_digits_and_the_rate_decays_once_an_epoch():
    X, y = digits()
    net = model.TwoLayerNet(64, 30, 10, std=0.1)
    losses = net.train(X[:1400], y[:1400], learning_rate=0.5, iterations=300)
    assert losses[-1] < 0.5 * losses[0]
    assert np.mean(net.predict(X[1400:]) == y[1400:]) > 0.85
    frozen = model.TwoLayerNet(64, 30, 10, std=0.1)
    frozen.train(X[:1400], y[:1400], learning_rate=0.5, learning_rate_decay=0.0, iterations=300)
    seven = model.TwoLayerNet(64, 30, 10, std=0.1)
    seven.train(X[:1400], y[:1400], learning_rate=0.5, iterations=7)
    # 1400 examples in batches of 200: the first epoch ends after seven steps.
    assert np.array_equal(frozen.params["W1"], seven.params["W1"])
