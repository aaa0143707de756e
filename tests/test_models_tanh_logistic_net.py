"""tanh_logistic_net: the printed losses come out again, and saturation does what is said of it."""

import numpy as np
import pytest

from reference_models import tanh_logistic_net as model


def scores(point):
    _, z = model.forward(point["X"], point["U"], point["b"], point["W"], point["c"])
    return z


def test_training_prints_the_published_losses():
    losses, _ = model.train()
    printed = tuple(float(f"{loss:.2f}") for loss in losses[::50])
    assert printed == model.PUBLISHED_LOSSES


def test_training_separates_the_rings():
    _, point = model.train()
    assert np.mean((scores(point) > 0) == point["t"]) > 0.99


def test_the_trace_shows_the_reproduced_loss_at_every_published_step():
    (trace,) = model.training_traces()
    reproduced = dict(trace.reproduced)
    assert len(trace.published) == 20
    for step, loss in trace.published:
        assert round(reproduced[step], 2) == loss


def test_the_rings_lie_where_they_should():
    X, t = model.rings(np.random.RandomState(0))
    radius = np.hypot(*X.T)
    assert X.shape == (500, 2)
    assert t.sum() == 250
    assert radius[t == 1].max() <= 2.5
    assert radius[t == 0].min() >= 3.5
    assert radius.max() <= 5


def test_the_published_output_bias_is_a_python_int():
    assert type(model.published_start()["c"]) is int
    assert type(model.integer_bias_point()["c"]) is int
    assert model.generic_point()["c"] != 0


def test_the_gradient_comes_first_where_it_is_said_to():
    grads, loss = model.grads_first(**model.generic_point())
    expected_loss, expected_grads = model.naive(**model.generic_point())
    assert loss == expected_loss
    assert grads.keys() == expected_grads.keys()


def test_naive_and_stable_agree_at_moderate_scores():
    point = model.generic_point()
    assert abs(scores(point)).max() < 10
    assert model.naive(**point)[0] == pytest.approx(model.stable(**point)[0], rel=1e-14)


@pytest.mark.parametrize("z", [37.0, -710.0])
def test_the_naive_loss_is_not_finite_where_y_rounds_to_0_or_1(z):
    point = {**model.generic_point(), "W": np.zeros(3), "c": z}
    with np.errstate(all="ignore"):
        assert not np.isfinite(model.naive(**point)[0])
    assert np.isfinite(model.stable(**point)[0])


def test_the_naive_loss_is_a_staircase_before_that():
    point = {**model.generic_point(), "W": np.zeros(3)}
    stairs = {model.naive(**{**point, "c": 36.0 + i * 1e-3})[0] for i in range(100)}
    smooth = {model.stable(**{**point, "c": 36.0 + i * 1e-3})[0] for i in range(100)}
    assert len(smooth) == 100
    assert len(stairs) < 5


def test_the_saturated_point_reaches_scores_of_almost_800_on_both_sides():
    point = model.saturated_point()
    z = scores(point)
    assert z.min() < -790
    assert z.max() > 790
    with np.errstate(all="ignore"):
        assert not np.isfinite(model.naive(**point)[0])
    loss, grads = model.stable(**point)
    assert np.isfinite(loss)
    assert all(np.all(np.isfinite(grad)) for grad in grads.values())


def test_logaddexp_takes_no_complex_step():
    point = model.generic_point()
    with pytest.raises(TypeError):
        model.stable(**{**point, "b": point["b"] + 1e-20j})
