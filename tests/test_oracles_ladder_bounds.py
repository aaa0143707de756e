"""Bounds of a slope near kinks, bends of the curvature and slow powers, in closed form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from test_ladder_readings import NAN, H, hidden, read

from gradcheck.oracles.ladder import Reading, _follows


def level_of(reading: Reading) -> float:
    return math.log(reading.step / H, 4)


# Signs of a kink at larger steps


def bent(at: float) -> Any:
    """A parabola with a kink at so many steps."""
    return lambda z: 2 * z + z * z + max(z - at * H, 0.0)


def test_a_kink_within_three_steps_adds_six_tenths_of_the_gap() -> None:
    near = read(bent(20), range(4))
    assert near.value == pytest.approx(2.0, abs=1e-12)
    assert near.uncertainty == pytest.approx(0.6 * 2 * H, rel=1e-6)
    far = read(bent(100), range(5))
    assert far.value == pytest.approx(2.0, abs=1e-12)
    assert far.uncertainty < 1e-3 * H


def test_noise_at_the_smallest_step_leads_to_a_longer_one_and_its_gap() -> None:
    # noise hides as much as the gap of the first step, but a fourth of that at the next
    noise = 0.5 * H * H
    reading = read(bent(20), range(4), noise=noise)
    assert reading.value == pytest.approx(2.0, abs=1e-12)
    options = {
        # the first two together; the second alone
        0: (16 / 15 + 1 / 60) * hidden(noise, H) + 0.6 * 2 * H,
        1: hidden(noise, 4 * H) + 0.75 * hidden(noise, H) + 0.6 * 8 * H,
    }
    assert reading.uncertainty == pytest.approx(min(options.values()), rel=1e-6)
    assert reading.step == H * 4 ** min(options, key=options.__getitem__)


def test_a_gap_that_comes_from_the_point_itself_is_that_of_the_step() -> None:
    # the loss at the point is another one: all gaps come from there
    def loss(z: float) -> float:
        return 3 * z + (0.0 if z == 0 else 1e-3)

    reading = read(loss, range(4), noise=1e-9)
    assert not reading.kink
    assert reading.value == pytest.approx(3.0, abs=1e-9)
    # that of the longest step, and no larger one of a smaller step, which comes from there too
    assert reading.uncertainty == pytest.approx(0.6 * 2 * 1e-3 / (64 * H), rel=1e-2)
    assert level_of(reading) == 3


# Errors that grow like the step


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_where_two_parabolas_meet_what_is_left_is_of_first_order(sign: float) -> None:
    reading = read(lambda z: 3 * z + sign * z * abs(z), range(3))
    assert reading.value == pytest.approx(3.0 + sign * 0.8 * H, rel=1e-12)
    assert reading.uncertainty == pytest.approx(1.2 * H, rel=1e-6)
    two = read(lambda z: 3 * z + sign * z * abs(z), range(2))
    assert two.uncertainty == pytest.approx(0.32 * H, rel=1e-6)


@pytest.mark.parametrize(("power", "slow"), [(1.45, True), (1.55, False)])
def test_what_grows_with_the_power_of_three_halves_is_slow(power: float, slow: bool) -> None:
    # z |z|**power has the slopes step**power
    reading = read(lambda z: 3 * z + z * abs(z) ** power, range(3))
    here, there, beyond = ((step * H) ** power for step in (1, 4, 16))
    near, far = here + (here - there) / 15, there + (there - beyond) / 15
    value = near if slow else near + (near - far) / 255
    bound = abs(value - here) + (there - here) / 3 if slow else 0.1 * abs(value - far)
    assert reading.value == pytest.approx(3.0 + value, rel=1e-12)
    assert reading.uncertainty == pytest.approx(bound, rel=1e-6)


# Kinks that noise hides at the smallest step


@pytest.mark.parametrize(("share", "kink"), [(0.95, False), (1.05, True)])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_gap_that_begins_beyond_the_smallest_step_is_a_kink_where_noise_might_hide_it(
    share: float, kink: bool, side: float
) -> None:
    gap = (4 - 1.01) / 4
    noise = share * 0.1 * gap * H / 4
    reading = read(lambda z: max(side * z - 1.01 * H, 0.0), (0, 1, 2), noise=noise)
    assert reading.kink is kink


def test_three_steps_tell_of_a_kink_and_no_more() -> None:
    def loss(z: float) -> float:  # a kink that something else outweighs at the fourth step
        return abs(z) + 1e3 * max(abs(z) - 17 * H, 0.0)

    assert read(loss, range(4)).kink
    assert read(loss, (0, 2, 3)).kink is False


# One side that has hardly a slope


@pytest.mark.parametrize(("power", "bounded"), [(0.045, True), (0.03, False)])
def test_a_side_whose_slope_hardly_settles_has_none(power: float, bounded: bool) -> None:
    # its changes shrink by 4**-power from step to step: by less than 0.95, or by more
    reading = read(lambda z: 3 * z + z ** (1 + power) if z >= 0 else NAN, range(5))
    assert math.isfinite(reading.uncertainty) is bounded
    if bounded:
        assert abs(reading.value - 3.0) <= reading.uncertainty
    else:
        assert reading.value == pytest.approx(3.0 + H**power)  # that of the smallest step


def test_changes_of_a_side_that_noise_hides_are_taken_for_those_of_a_smooth_one() -> None:
    noise = 0.2 * H * H
    reading = read(lambda z: 3 * z + 2 * z * z if z >= 0 else NAN, range(3), noise=noise)
    # a third of the change from 2 H to 8 H
    assert reading.value == pytest.approx(3.0, rel=1e-12)
    assert reading.uncertainty == pytest.approx(1.5 * 2 * H + 4 * 2 * hidden(noise, H), rel=1e-6)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_of_two_sides_that_reach_as_far_the_upper_one_counts(side: float) -> None:
    def loss(z: float) -> float:
        step = round(math.log(abs(z) / H, 4)) if z else 0
        inside = (step % 2 == 0) == (z > 0) or z == 0
        return (3 * z if z > 0 else 5 * z) if inside else NAN

    reading = read(loss, range(6))  # three steps on either side, none on both
    assert reading.value == pytest.approx(3.0)
    longer = read(loss, range(7))
    assert longer.value == pytest.approx(3.0)
    lower = read(loss, range(1, 6))  # two above, three below
    assert lower.value == pytest.approx(5.0)


def test_three_steps_on_a_side_are_needed() -> None:
    def loss(z: float) -> float:
        return 3 * z if z >= 0 else NAN

    two = read(loss, range(2))
    assert math.isnan(two.value)
    assert not two.edge
    assert read(loss, range(3)).value == pytest.approx(3.0)
    none = read(lambda z: 0.0 if z == 0 else NAN, range(3))
    assert none.edge
    assert math.isnan(none.value)


# A limit that smaller steps come nearer to


@pytest.mark.parametrize(("limit", "follows"), [(2.6, False), (2.4, True), (-2.4, True)])
def test_smaller_steps_may_miss_a_limit_by_its_error_and_twice_their_noise(
    limit: float, follows: bool
) -> None:
    still, noise = np.array([0.0, 0.0]), np.array([1.0, 1.0])
    assert _follows(still, noise, limit, 0.5) is follows
