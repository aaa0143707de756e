"""How far rounding may have moved a gradient: what moving the point by a rounding shows."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.noise import Noise
from gradcheck.problem import Parameter
from gradcheck.verdict.rounding import (
    cancellation_floor,
    grain,
    is_mere_rounding,
    is_single_precision,
    rounding_error,
)

DOUBLE, SINGLE = np.dtype(float), np.dtype(np.float32)
UNIT = 1e-6
"""A rounding unit large enough that its effect is seen exactly."""
X = np.array([2.0, -3.0, 0.5])
SILENT = Noise(0.0, 1.0, DOUBLE, 0.0)


def parameter(value, name="x"):
    value = np.asarray(value, dtype=float)
    return Parameter(name, name, value, value.dtype)


def bounds(gradient, value=X, noise=SILENT, **options):
    one = parameter(np.array(value, dtype=float))
    before = one.value.copy()
    found = rounding_error(
        lambda: {"x": gradient(one.value)},
        [one],
        np.random.default_rng(0),
        UNIT,
        noise,
        **options,
    )["x"]
    np.testing.assert_array_equal(one.value, before)
    return found


def own(values):
    """Eight units of each entry and two of the typical one: the least that rounding may do."""
    return UNIT * (8 * np.abs(values) + 2 * np.sqrt(np.mean(np.square(values))))


def test_a_gradient_that_does_not_move_has_its_own_rounding_alone():
    np.testing.assert_allclose(bounds(lambda x: np.array([4.0, -1.0, 0.0])), own([4.0, -1.0, 0.0]))


def test_a_change_over_one_unit_counts_eight_times():
    # from one unit to two on either side, each entry by its own size
    np.testing.assert_allclose(
        bounds(lambda x: 5.0 * x), 8 * 5.0 * UNIT * np.abs(X) + own(5.0 * X), rtol=1e-5
    )


def test_of_both_sides_the_smaller_change_counts():
    def bent(x):  # steep on the side away from zero alone
        out = np.abs(x) - np.abs(X)
        return 1.0 + np.where(out > 0, 100.0 * out, 1.0 * out)

    np.testing.assert_allclose(
        bounds(bent), 8 * 1.0 * UNIT * np.abs(X) + own(np.ones(3)), rtol=1e-4
    )


def test_against_a_gradient_that_is_known_one_move_is_enough():
    calls = []

    def gradient(x):
        calls.append(x.copy())
        return 5.0 * x

    found = bounds(gradient, base={"x": 5.0 * X})
    np.testing.assert_allclose(found, 8 * 5.0 * UNIT * np.abs(X) + own(5.0 * X), rtol=1e-5)
    assert len(calls) == 1
    np.testing.assert_allclose(np.abs(calls[0] - X), UNIT * np.abs(X), rtol=1e-6)
    calls.clear()
    bounds(gradient)
    assert len(calls) == 5
    moves = [np.abs(one - X) / (UNIT * np.abs(X)) for one in calls]
    for move, units in zip(moves, (0, 1, 2, 1, 2), strict=True):
        np.testing.assert_allclose(move, units, atol=1e-6)


@pytest.mark.parametrize("side", [1.0, -1.0, 0.0])
def test_a_side_that_cannot_be_evaluated_says_nothing(side):
    def gradient(x):
        away = (np.abs(x) - np.abs(X))[0]
        if away * side > 0 or (side == 0.0 and away != 0.0):
            raise ValueError("outside")
        return 5.0 * x

    seen = 8 * 5.0 * UNIT * np.abs(X) if side else 0.0
    np.testing.assert_allclose(bounds(gradient), seen + own(5.0 * X), rtol=1e-5)


def test_a_change_that_is_no_number_counts_as_none():
    def gradient(x):
        found = 5.0 * x
        found[1] = 1.0 if x[1] == X[1] else np.nan
        return found

    found = bounds(gradient)
    value = 5.0 * X
    value[1] = 1.0
    np.testing.assert_allclose(found[1], own(value)[1], rtol=1e-5)


def test_parameters_without_a_gradient_are_left_out():
    both = [parameter(X.copy()), parameter(X.copy(), "y")]
    found = rounding_error(
        lambda: {"y": both[1].value * 1.0}, both, np.random.default_rng(0), UNIT, SILENT
    )
    assert list(found) == ["y"]


# Terms that cancel


def floor_of(gradient, noise, value=X):
    gradient = np.asarray(gradient, dtype=float)
    return cancellation_floor(parameter(value), gradient, noise)(slice(0, gradient.size))


def test_terms_that_cancel_leave_four_times_the_noise_over_the_scale():
    noise = Noise(1e-17, 1.0, DOUBLE)
    scale = np.maximum(np.abs(X), np.sqrt(np.mean(X**2)))
    np.testing.assert_allclose(floor_of(np.ones(3), noise), 4e-17 / scale)
    # where the slope is steep, as far as ten losses reach, but no less than the entry itself
    np.testing.assert_allclose(floor_of([1e3, 1e3, 1e3], noise, [1e-3, 1.0, 1.0])[0], 4e-17 / 1e-2)
    np.testing.assert_allclose(floor_of([1e9, 1e3, 1e3], noise, [0.5, 1.0, 1.0])[0], 4e-17 / 0.5)


@pytest.mark.parametrize("loss", [1.0, -1.0, 8.0])
def test_noise_beyond_plain_roundoff_is_magnified_in_a_derivative(loss):
    ulp = abs(loss) * 2.0**-53
    plain, coarse = (Noise(k * ulp, loss, DOUBLE) for k in (63.9, 64.1))
    assert grain(plain) == 0.0
    assert grain(coarse) == pytest.approx(1024 * 64.1 * 2.0**-53)
    single = Noise(64.1 * ulp, loss, SINGLE)
    assert grain(single) == 0.0
    # near zero it is measured against how much the loss varies
    assert grain(Noise(1e-6, 0.0, DOUBLE, 2.0)) == pytest.approx(1024 * 0.5e-6)
    assert grain(Noise(1e-6, 0.0, DOUBLE, 0.0)) == 0.0


def test_the_grain_is_a_part_of_each_entry():
    noise = Noise(1e-9, 1.0, DOUBLE)
    rough = floor_of([0.0, 3.0, -3.0], noise, np.ones(3))
    np.testing.assert_allclose(rough - 4e-9, [0.0, 3 * 1024e-9, 3 * 1024e-9], atol=1e-15)


# What a gradient of zero is


@pytest.mark.parametrize(("times", "mere"), [(1.9, True), (2.1, False)])
def test_a_gradient_within_twice_its_rounding_is_mere_rounding(times, mere):
    rounding = np.array([1.0, -1.0, 1.0, 1.0]) ** 2
    gradient = times * np.array([1.0, -1.0, 1.0, -1.0])
    assert is_mere_rounding(gradient, rounding, lambda at: np.zeros(4)) is mere


def test_what_was_added_for_cancelling_terms_is_no_measurement():
    gradient, rounding = np.full(4, 1.0), np.full(4, 3.0)
    assert is_mere_rounding(gradient, rounding, lambda at: np.full(4, 2.4))
    assert not is_mere_rounding(gradient, rounding, lambda at: np.full(4, 2.6))
    assert not is_mere_rounding(gradient, rounding, lambda at: np.full(4, 9.0))
    endless = np.array([3.0, np.inf, 3.0, 3.0])
    assert is_mere_rounding(gradient, endless, lambda at: np.zeros(4))


def test_single_precision_takes_three_entries_and_noise_to_tell():
    three = np.array([1.1, 2.3, -0.7]).astype(np.float32).astype(float)
    noisy = Noise(1.1e-9, 1.0, DOUBLE)
    assert is_single_precision(three, noisy)
    assert not is_single_precision(three, Noise(0.9e-9, 1.0, DOUBLE))
    assert not is_single_precision(three, Noise(1.1e-9, 0.0, DOUBLE, 2.0))
    assert is_single_precision(three, Noise(1.1e-9, 0.0, DOUBLE, 1.0))
    assert not is_single_precision(three[:2], noisy)
    assert not is_single_precision(np.append(three[:2], [0.0, 0.0]), noisy)
    assert is_single_precision(np.append(three, 0.0), noisy)
    assert not is_single_precision(np.append(three, 0.1), noisy)
