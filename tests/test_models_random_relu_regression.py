"""random_relu_regression: published size, published training, and two mistakes of pure scale."""

import numpy as np

from reference_models import random_relu_regression as model


def test_training_brings_the_loss_from_3e7_below_1e_3():
    losses = model.train()
    assert len(losses) == 501
    assert 2e7 < losses[0] < 4e7
    assert losses[-1] < 1e-3


def test_the_loss_does_not_always_fall_at_first():
    losses = model.train(steps=20)
    assert np.any(np.diff(losses) > 0)


def test_there_are_101000_parameters():
    point = model.published_point()
    assert point["w1"].size + point["w2"].size == 101_000
    assert point["x"].shape == (64, 1000)
    assert point["y"].shape == (64, 10)


def test_the_mistakes_are_exact_factors():
    point = model.published_point()
    loss, right = model.published(**point)
    mean, undivided = model.mean_loss_sum_grad(**point)
    same, flipped = model.residual_sign(**point)
    assert mean == loss / 64
    assert same == loss
    for name, grad in right.items():
        assert np.array_equal(undivided[name], grad)
        assert np.array_equal(flipped[name], -grad)
