"""What a ladder of steps reads from losses of known shape, with the bounds that follow."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradcheck.oracles.ladder import Rung, neville, read_ladder

NAN = float("nan")
H = 2.0**-12


def read(loss, levels=(0, 1, 2, 3), *, h=H, noise=0.0):
    rungs = {}
    for level in levels:
        step = h * 4.0**level
        rungs[level] = Rung(step, step, float(loss(step)), float(loss(-step)))
    return read_ladder(rungs, float(loss(0.0)), noise)


def hidden(noise, step):
    """What four standard deviations of noise hide of a slope."""
    return 4 * noise / step


# Slopes


def test_two_steps_of_a_line_leave_noise_of_both():
    reading = read(lambda z: 3 * z, (0, 1), noise=1e-9)
    assert reading.value == 3.0
    assert reading.step == 4 * H
    assert reading.uncertainty == pytest.approx(hidden(1e-9, 4 * H) + 0.75 * hidden(1e-9, H))
    assert reading.consistent
    assert not reading.kink
    assert (reading.lower, reading.upper) == (3.0, 3.0)
    assert not reading.noise_limited  # the smaller step's noise may hide a truncation


def test_two_steps_of_a_cubic_are_extrapolated():
    reading = read(lambda z: 3 * z + 5 * z**3, (0, 1))
    assert reading.value == pytest.approx(3.0, rel=1e-14)
    assert reading.step == H
    # a tenth of what the longer step is off by: five of its squares
    assert reading.uncertainty == pytest.approx(0.1 * 5 * (4 * H) ** 2, rel=1e-6)
    assert not reading.consistent
    assert not reading.noise_limited


def test_two_steps_that_lie_close_are_off_by_what_the_shorter_one_is():
    reading = read(lambda z: 3 * z + 5 * z**3, (0, 0.5))
    assert reading.value == pytest.approx(3.0, rel=1e-14)
    assert reading.uncertainty == pytest.approx(5 * H**2, rel=1e-6)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_more_steps_cancel_higher_powers(order):
    def loss(z):
        return 2 * z + sum(z ** (2 * k + 1) for k in range(1, order + 1))

    reading = read(loss, range(order + 1), h=2.0**-9)
    assert abs(reading.value - 2.0) <= max(reading.uncertainty, 1e-14)
    assert reading.uncertainty <= 2e-2 ** (2 * (order - 1))


def test_the_order_of_levels_makes_no_difference():
    def loss(z):
        return math.sin(3 * z)

    one, other = read(loss, (0, 1, 2, 1.5)), read(loss, (1.5, 2, 1, 0))
    assert (one.value, one.uncertainty) == (other.value, other.uncertainty)
    assert one.value == pytest.approx(3.0, rel=1e-14)


def test_steps_that_differ_up_and_down_are_taken_as_they_are():
    rungs = {k: Rung(H * 4.0**k, 3 * H * 4.0**k, 7 * H * 4.0**k, -21 * H * 4.0**k) for k in (0, 1)}
    reading = read_ladder(rungs, 0.0, 1e-12)
    assert reading.value == 7.0
    assert reading.step == 2 * 4 * H
    assert reading.uncertainty == pytest.approx(hidden(1e-12, 8 * H) + 0.75 * hidden(1e-12, 2 * H))


def test_weights_of_an_extrapolation_are_those_of_richardson():
    value, weights = neville(np.array([1.0, 4.0]), np.array([1.0, 16.0]))
    np.testing.assert_allclose(weights, [16 / 15, -1 / 15])
    assert value == pytest.approx(0.0, abs=1e-14)
    alone, weight = neville(np.array([0.3]), np.array([5.0]))
    assert (alone, weight.tolist()) == (5.0, [1.0])


@pytest.mark.parametrize(("off", "consistent"), [(0.9, True), (1.1, False)])
def test_slopes_are_consistent_within_a_billionth_where_there_is_no_noise(off, consistent):
    reading = read(lambda z: 3 * z * (1 + off * 1e-9 * (abs(z) > 2 * H)), (0, 1))
    assert reading.consistent is consistent


# Kinks


def bend(left, right, curvature=0.0):
    return lambda z: (right if z > 0 else left) * z + curvature * z * z


@pytest.mark.parametrize(("left", "right"), [(-1.0, 1.0), (1.0, 0.25), (0.0, 3.0), (2.0, -1.0)])
@pytest.mark.parametrize("levels", [(0, 1, 2), (0, 1, 1.5, 2, 2.5), (-2, -1, 0, 1)])
def test_the_slopes_of_both_sides_of_a_kink_are_found_behind_curvature(left, right, levels):
    reading = read(bend(left, right, 2.0), levels)
    smallest = H * 4.0 ** min(levels)
    assert reading.kink
    assert reading.lower == pytest.approx(min(left, right), abs=1e-9)
    assert reading.upper == pytest.approx(max(left, right), abs=1e-9)
    # half as much again as what the curvature adds to the slope over the smallest step
    assert reading.uncertainty == pytest.approx(1.5 * 2.0 * smallest, rel=1e-6)


def test_noise_counts_four_times_in_the_slope_of_a_side():
    reading = read(bend(0.0, 1.0), (0, 1, 2), noise=1e-9)
    assert reading.kink
    # of the longest step that another can be compared with
    assert reading.uncertainty == pytest.approx(4 * hidden(1e-9, 4 * H))


@pytest.mark.parametrize(("times", "kink"), [(5.1, True), (4.9, False)])
def test_a_gap_shows_from_five_times_what_noise_hides(times, kink):
    noise = 1.0 * H / (4 * times)
    assert read(bend(0.0, 1.0), (0, 1), noise=noise).kink is kink
    assert read(bend(1.0, 0.0), (0, 1), noise=noise).kink is kink


def test_a_gap_that_noise_hides_at_the_smallest_steps_shows_at_larger_ones():
    noise = 1.0 * H / (4 * 2.0)  # half of the gap at the smallest
    assert read(bend(0.0, 1.0), (0, 1, 2), noise=noise).kink
    assert not read(bend(0.0, 1.0), (0, 1), noise=noise).kink
    # a bend of its own that begins beyond steps which would show one
    late = read(lambda z: max(z - 2 * H, 0.0), (0, 1, 2), noise=1e-3 * H)
    assert not late.kink


@pytest.mark.parametrize(("power", "kink"), [(1.3, True), (1.4, False), (2.0, False)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_gap_of_a_kink_hardly_shrinks_with_the_step(power, kink, sign):
    assert read(lambda z: sign * abs(z) ** power, (0, 1, 2)).kink is kink


@pytest.mark.parametrize(("power", "kink"), [(0.3, True), (0.2, False), (0.0, False)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_gap_that_grows_as_fast_as_the_step_shrinks_is_the_point_s_own(power, kink, sign):
    # a jump to another value at the point, or a cusp that comes near to one
    assert read(lambda z: sign * abs(z) ** power if z else 0.0, (0, 1, 2)).kink is kink


def test_only_the_smallest_steps_tell_of_a_kink():
    def loss(z):
        return abs(z) + 1e4 * z * z

    assert read(loss, (0, 1, 2, 3, 4), h=2.0**-20).kink
    assert not read(loss, (0, 1, 2), h=2.0**-10).kink


# One side


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_slope_of_one_side_is_extrapolated_and_bounded(side):
    def loss(z):
        return 3 * z + 2 * z * z if side * z >= 0 else NAN

    reading = read(loss, (0, 1, 2))
    assert reading.value == pytest.approx(3.0, abs=1e-9)
    assert reading.uncertainty == pytest.approx(1.5 * 2.0 * H, rel=1e-6)
    assert (reading.step, reading.kink, reading.edge) == (H, False, False)
    assert (reading.consistent, reading.noise_limited) == (True, True)
    noisy = read(lambda z: 3 * z if side * z >= 0 else NAN, (0, 1, 2), noise=1e-9)
    assert noisy.uncertainty == pytest.approx(4 * 2 * hidden(1e-9, 4 * H))


@pytest.mark.parametrize("power", [1.5, 1.7])
def test_a_side_that_behaves_like_a_fractional_power_has_a_wider_bound(power):
    reading = read(lambda z: 3 * z + z**power if z >= 0 else NAN, range(5))
    assert abs(reading.value - 3.0) <= reading.uncertainty
    smooth = read(lambda z: 3 * z + z**2 if z >= 0 else NAN, range(5))
    assert reading.uncertainty > 4 * smooth.uncertainty


def test_changes_of_a_side_are_not_believed_to_shrink_faster_than_those_of_a_smooth_one():
    reading = read(lambda z: 3 * z + z**3 if z >= 0 else NAN, (0, 1, 2))
    # sixteenfold, the slopes; as if it were fourfold, a third of their change is left
    change = 15 * H**2
    assert reading.value == pytest.approx(3.0 + H**2 - change / 3, rel=1e-14)
    assert reading.uncertainty == pytest.approx(1.5 * change / 3, rel=1e-6)


def test_larger_steps_that_agree_count_where_the_smallest_still_moves_to_them():
    reading = read(lambda z: 3 * z + (z == H) * H / 8 if z >= 0 else NAN, range(4))
    assert (reading.value, reading.uncertainty) == (3.0, 0.0)


def test_where_noise_hides_how_a_side_shrinks_it_does_as_at_larger_steps():
    # the changes of a fractional power of 3/2 double from step to step, the first below the noise
    first = np.sqrt(H)
    noise = 1.01 * first / 5 * H / 8
    reading = read(lambda z: 3 * z + z**1.5 if z >= 0 else NAN, range(5), noise=noise)
    assert reading.value == pytest.approx(3.0, abs=1e-9)
    assert reading.uncertainty == pytest.approx(1.5 * first + 4 * 2 * hidden(noise, H))


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_one_step_within_on_the_other_side_makes_no_difference(side):
    def loss(z):
        return 3 * z + 2 * z * z if side * z >= -1.5 * H else NAN

    reading = read(loss, (0, 1, 2))
    assert reading.value == pytest.approx(3.0, abs=1e-9)


def test_two_steps_within_on_both_sides_are_enough():
    reading = read(lambda z: 3 * z if abs(z) < 5 * H else NAN, (0, 1, 2, 3))
    assert reading.value == 3.0
    assert reading.uncertainty == 0.0
    assert reading.step <= 4 * H
    one = read(lambda z: 3 * z if abs(z) < 2 * H else NAN, (0, 1, 2))
    assert one.value == 3.0
    assert math.isnan(one.uncertainty)
    assert one.step == H


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_single_step_within_on_both_sides_counts_unless_one_side_has_another(side):
    def loss(z):
        return 3 * z if -5 * H < side * z < 2 * H else NAN

    reading = read(loss, (0, 1, 2))
    assert math.isnan(reading.value)
    assert (reading.edge, reading.consistent) == (False, False)


# Kinks beside the point


@pytest.mark.parametrize("at", [1.5, 3.0, 6.0, 20.0, 60.0])
@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("noise", [0.0, 1e-12, 1e-9])
def test_the_slope_beside_a_kink_is_that_of_the_point_s_own_side(at, side, noise):
    def loss(z):
        return 2 * z + z * z + max(side * z - at * H, 0.0)

    reading = read(loss, range(-2, 4), noise=noise)
    assert not reading.kink
    assert abs(reading.value - 2.0) <= reading.uncertainty + 1e-12
    assert reading.uncertainty <= max(1e-3, 30 * hidden(noise, H))


@pytest.mark.parametrize("at", [0.1, 0.3, 0.9])
def test_a_kink_nearer_than_all_steps_is_covered_by_the_bound(at):
    def loss(z):
        return 2 * z + max(z - at * H, 0.0)

    reading = read(loss, (0, 1, 2, 3))
    assert reading.kink or abs(reading.value - 2.0) <= reading.uncertainty
