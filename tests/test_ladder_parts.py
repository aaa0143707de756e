"""Of which slopes of a ladder what is read: agreement, smoothness, windows, limits of a side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_ladder_readings import NAN, H, read

from gradcheck.oracles import ladder
from gradcheck.oracles.ladder import (
    Rung,
    _best_window,
    _extrapolate_side,
    _follows,
    _is_smooth,
    _shrinking,
    _Slopes,
    _slow_remainder,
    _smallest_agree,
    _truncation,
    read_ladder,
)


def slopes(central: Any, noise: Any = 0.0, steps: Any = None, gap: Any = 0.0) -> _Slopes:
    """Slopes by rising step, each four times the last; half of a gap lies on either side."""
    central = np.asarray(central, dtype=float)
    steps = 4.0 ** np.arange(len(central)) if steps is None else np.asarray(steps, dtype=float)
    gap = np.broadcast_to(np.asarray(gap, dtype=float), central.shape)
    noise = np.broadcast_to(np.asarray(noise, dtype=float), central.shape)
    return _Slopes(steps, central, central + gap / 2, central - gap / 2, noise)


# Agreement


@pytest.mark.parametrize(("apart", "agree"), [(2.9, True), (3.1, False), (-3.1, False)])
def test_the_two_smallest_steps_agree_within_the_noise_of_both(apart: float, agree: bool) -> None:
    assert _smallest_agree(slopes([0.0, apart, 50.0], noise=[1.0, 2.0, 7.0])) is agree


@pytest.mark.parametrize(("apart", "agree"), [(0.9, True), (1.1, False)])
def test_and_within_a_billionth_of_the_smallest_steps_slope(apart: float, agree: bool) -> None:
    assert _smallest_agree(slopes([1e9, 1e9 + apart, 1e12])) is agree


# Smoothness


@pytest.mark.parametrize(("bend", "smooth"), [(5.3, True), (5.4, False)])
def test_noise_may_bend_a_slope_by_what_it_hides_on_both_sides(bend: float, smooth: bool) -> None:
    # of steps 1 and 2: twice the noise over the step, and a fourth of the larger bend
    one = slopes([0, 0], noise=[1.0, 2.0], steps=[1.0, 2.0], gap=[0.0, 2 * bend])
    assert _is_smooth(one).tolist() == [smooth]


def test_bends_of_neighbours_differ_by_a_fourth_of_the_larger() -> None:
    steps = np.array([1.0, 4.0, 16.0, 64.0])
    bends = np.array([1.0, 13.2, 10.0, 13.4])
    one = slopes(np.zeros(4), steps=steps, gap=bends * steps)
    assert _is_smooth(one).tolist() == [False, True, False]


# Windows


def test_no_more_than_five_steps_are_extrapolated_together(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    neville = ladder.neville

    def counted(steps: Any, values: Any) -> Any:
        sizes.append(len(steps))
        return neville(steps, values)

    monkeypatch.setattr(ladder, "neville", counted)
    read(lambda z: 3 * z, range(7))
    assert max(sizes) == 5


def test_a_line_without_noise_is_limited_by_noise_rather_than_truncation() -> None:
    assert read(lambda z: 3 * z, (0, 1)).noise_limited


def test_the_smallest_step_alone_is_no_window() -> None:
    # that the longest agrees with it says nothing
    value, uncertainty, _, _ = _best_window(slopes([3.0, 5.0, 3.0]))
    assert abs(value - 3.0) <= uncertainty
    assert uncertainty > 0.5


def test_where_slopes_cannot_be_compared_that_of_the_smallest_step_has_no_bound() -> None:
    assert _best_window(slopes([3.0, NAN], steps=[0.5, 2.0])) == (3.0, float("inf"), 0.5, True)


def test_a_single_step_is_off_by_half_as_much_again_as_it_differs_from_the_smaller_one() -> None:
    one = slopes([3.0, 5.0, 5.5], noise=[0.4, 0.1, 0.1])
    unused: Any = None
    assert _truncation(one, 1, 1, 5.0, unused) == pytest.approx(1.5 * 2.0 + 0.75 * 0.4)
    assert _truncation(one, 2, 2, 5.5, unused) == pytest.approx(1.5 * 0.5 + 0.75 * 0.1)


def test_what_grows_like_the_step_is_seen_at_the_nearest_three() -> None:
    steps = 4.0 ** np.arange(6)
    # from the third step on the slopes grow like the step; before, not at all
    central = np.array([4.0, 4.0, 4.0, 16.0, 64.0, 256.0])
    one = slopes(central, steps=steps)
    assert _slow_remainder(one, 2, 1.0) == pytest.approx(3.0 + 12.0 / 3.0)
    assert _slow_remainder(one, 3, 1.0) == pytest.approx(15.0 + 48.0 / 3.0)
    assert _slow_remainder(one, 4, 1.0) == pytest.approx(63.0 + 192.0 / 3.0)
    assert _slow_remainder(one, 0, 1.0) == 0.0
    assert _slow_remainder(slopes([1.0, 2.0]), 0, 1.0) == 0.0
    assert _slow_remainder(slopes(steps[:4] ** 2), 0, 7.0) == 0.0


# Kinks


def test_a_gap_that_three_of_four_steps_show_is_a_kink() -> None:
    noise = H / (4 * 2.0)  # half of what would show at the smallest
    assert read(lambda z: max(z, 0.0), range(4), noise=noise).kink


@pytest.mark.parametrize(("power", "kink"), [(0.26, True), (0.24, False)])
def test_a_gap_grows_by_less_than_three_fourths_of_the_powers_of_the_step(
    power: float, kink: bool
) -> None:
    assert read(lambda z: abs(z) ** power if z else 0.0, (0, 1, 2)).kink is kink


# The limit of a side


def test_changes_shrink_as_they_did_from_the_step_before() -> None:
    # changes of 1, 2 and 6; the last is said to have shrunk as the one before
    assert _shrinking(np.array([0.0, 1, 3, 9]), np.zeros(4)) == [1 / 2, 1 / 3, 1 / 3]
    assert _shrinking(np.array([0.0, 1, 11, 111]), np.zeros(4)) == [1 / 4] * 3
    assert _shrinking(np.array([0.0, 1, 1]), np.zeros(3)) == [1.0, 1.0]
    assert _shrinking(np.array([0.0, 1]), np.zeros(2)) == [1 / 4]


@pytest.mark.parametrize(("change", "ratio"), [(3.1, 0.31), (2.9, 0.4)])
def test_changes_within_four_times_the_noise_of_both_shrink_as_the_next(
    change: float, ratio: float
) -> None:
    changes = np.array([change, 10.0, 25.0, 30.0])
    noise = np.array([0.5, 0.25, 1.0, 2.0, 0.0])
    found = _shrinking(np.concatenate([[0.0], np.cumsum(changes)]), noise)
    assert found == pytest.approx([ratio, 0.4, 25 / 30, 25 / 30])


def test_hidden_changes_shrink_to_three_fourths_at_least() -> None:
    found = _shrinking(np.array([0.0, 0.1, 9.1, 19.1]), np.array([1.0, 0, 0, 0]))
    assert found == pytest.approx([0.75, 0.9, 0.9])
    # and those of the largest steps as a smooth side's
    assert _shrinking(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0])) == [1 / 4, 1 / 4]


def test_a_limit_is_that_of_the_change_with_its_own_ratio() -> None:
    # changes of 1, 2 and 12: the second shrinks by a fourth and leaves two thirds
    found = _extrapolate_side(np.array([0.0, 1, 3, 15]), np.zeros(4))
    assert found == pytest.approx((1 / 3, 1.0))


@pytest.mark.parametrize(
    ("noise", "follows"), [([0.0, 0.0, 0.0], False), ([0.0, 9.7, 0.0], False), ([0, 9.8, 0], True)]
)
def test_each_of_the_smaller_steps_comes_near_the_limit(noise: Any, follows: bool) -> None:
    # the second, 20 off, no longer moves; its noise counts twice
    assert _follows(np.array([0.0, 20.0, 20.0]), np.array(noise), 0.0, 0.5) is follows


# Few steps


def test_what_two_sides_leave_open_is_neither_a_kink_nor_consistent() -> None:
    one = read(lambda z: 3 * z if abs(z) < 2 * H else NAN, (0, 1, 2))
    assert (one.kink, one.consistent, one.noise_limited, one.edge) == (False,) * 4
    none = read(lambda z: 0.0 if z == 0 else NAN, range(3))
    assert (none.kink, none.consistent, none.noise_limited, none.edge) == (False,) * 3 + (True,)


@pytest.mark.parametrize("up", [True, False])
def test_a_side_has_its_own_steps(up: bool) -> None:
    def rung(step: float) -> Rung:
        if up:
            return Rung(step, 3 * step, 2 * step, NAN)
        return Rung(3 * step, step, NAN, -2 * step)

    found = read_ladder({float(k): rung(H * 4.0**k) for k in range(3)}, 0.0, 0.0)
    assert (found.value, found.uncertainty, found.step) == (2.0, 0.0, H)
