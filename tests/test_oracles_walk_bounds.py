"""What counts as agreement along a direction: of slopes, of a claim, and of residuals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from test_direction_walks import levels, walk_along

from gradcheck.noise import Noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.oracles.directions import _agrees, _order, _taylor, check_directions
from gradcheck.oracles.drawn_steps import Projection
from gradcheck.oracles.walk import _comes_together

INF, NAN = float("inf"), float("nan")


# Three slopes, by rising step


def together(near: float, far: float = 32.0, *, noise: float = 0.0, sign: float = 1.0) -> bool:
    slopes = [5.0, 5.0 + sign * near, 5.0 + sign * (near + far)]
    return _comes_together(slopes, [1.0, 4.0, 16.0], noise)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_differences_of_slopes_fall_by_eight_at_least_and_by_32_at_most(
    noise: float, sign: float
) -> None:
    for near, expected in (
        *((0.999 - 2 * noise, False), (1.001 - 2 * noise, True)),
        *((2.0, True), (3.999 + 2 * noise, True), (4.001 + 2 * noise, False)),
        *(((1.0, True), (4.0, True)) if noise == 0.0 else ()),
    ):
        assert together(near, noise=noise, sign=sign) is expected


@pytest.mark.parametrize("size", [1.0, -1.0])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_bends_grow_like_the_step_to_a_tenth(noise: float, size: float) -> None:
    allowed = 0.1 + 4 * noise
    for off, expected in ((0.999, True), (1.001, False), (-0.999, True), (-1.001, False)):
        bends = [size * (1.0 + off * allowed), size * 4.0, NAN]
        assert _comes_together([5.0, 7.0, 39.0], bends, noise) is expected


def test_two_slopes_do_not_tell() -> None:
    assert _comes_together([5.0, 7.0, 39.0], [0.0, 0.0, 0.0], 0.0)
    assert not _comes_together([5.0, 7.0], [0.0, 0.0], 0.0)


def slope_of(near: float, noise: float) -> Any:
    """The slope from two steps of 1 and 4 that differ by so much, in noise of so much."""
    walk = walk_along(lambda t: 3 * t + near * t * (abs(t) > 2), noise=noise, base=1.0)
    walk.look([0, 1])
    return walk.best()


@pytest.mark.parametrize(("share", "calm"), [(0.999, True), (1.001, False)])
def test_two_slopes_agree_within_the_noise_of_both(share: float, calm: bool) -> None:
    noise = 1e-3
    apart = share * (4 * noise + noise)
    found = slope_of(apart, noise)
    assert (found.settled, found.noise_limited) == (calm, calm)
    assert found.bound == pytest.approx(4 * noise if calm else 4 * noise + 3 * apart)
    assert (found.value, found.distance) == (3.0, 1.0)


def test_a_walk_ends_where_a_longer_step_brings_the_bound_down_no_more() -> None:
    def bent(t: float) -> float:
        return 1 + 3 * t + 1e3 * max(abs(t) - 2.0**-12, 0.0) * t

    walk = walk_along(bent, noise=1e-12)
    found = walk.go(0.0)
    assert levels(walk) == [0, 1, 2, 3]
    assert found.distance == 2.0**-15
    assert found.bound == pytest.approx(4 * 1e-12 / 2.0**-15)


def test_one_step_is_no_walk() -> None:
    walk = walk_along(lambda t: abs(t))
    walk.look([0])
    assert walk.kink() is None
    assert math.isinf(walk.best().bound)
    assert math.isnan(walk.best().value)


def test_steps_of_which_one_side_is_off_the_domain_say_nothing() -> None:
    walk = walk_along(lambda t: NAN if 0.0 < t < 0.1 else 2 * t, base=2.0**-6)
    walk.look([0, 1, 2, 3])
    found = walk.best()
    assert (found.value, found.distance, found.settled) == (2.0, 2.0**-2, True)


def test_without_losses_the_noise_is_that_of_the_loss_at_the_point() -> None:
    walk = walk_along(lambda t: 2.0**-10 if t == 0.0 else NAN, noise=2.0**-60)
    walk.look([0, 1])
    assert walk.level_noise == 2.0**-60


def stepwise(*slopes: float) -> Any:
    """A loss whose slope is one of these from one step to the next, each four times as long."""
    return lambda t: t * slopes[round(math.log(abs(t), 4))] if t else 0.0


@pytest.mark.parametrize("beyond", [100.0, -100.0])
def test_a_slope_that_does_not_settle_is_doubted_by_those_of_the_next_two_steps(
    beyond: float,
) -> None:
    walk = walk_along(stepwise(0.0, 1.0, 0.5, beyond), base=1.0)
    walk.look([0, 1, 2, 3])
    found = walk.best()
    assert (found.value, found.bound, found.settled) == (0.0, pytest.approx(3.0), False)


def test_longer_steps_that_agree_contradict_a_shorter_one() -> None:
    walk = walk_along(stepwise(2.0, 4.0, 4.0, 4.0), base=1.0)
    walk.look([0, 1, 2, 3])
    found = walk.best()
    assert (found.value, found.bound, found.distance) == (2.0, pytest.approx(6.0), 1.0)


def test_two_steps_show_a_kink_and_one_does_not() -> None:
    walk = walk_along(abs, base=1.0)
    walk.look([0])
    assert walk.kink() is None
    walk.look([1])
    assert walk.kink() == pytest.approx((-1.0, 1.0))


# A claim against a slope


def claim(dot: float, slope: float, allowed: float, size: float = 1.0) -> bool | None:
    return _agrees(Projection(dot, size, 0.0), slope, allowed)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_claim_is_wrong_beyond_what_is_allowed_and_a_millionth(sign: float) -> None:
    for off, allowed, expected in (
        *((1.01e-6, 1e-7, False), (0.99e-6, 1e-7, None), (0.99e-7, 1e-7, True)),
        *((1.01e-5, 1e-5, False), (0.99e-5, 1e-5, True), (0.99e-3, 0.99e-3 + 1e-9, True)),
        *((0.5e-3, 1.01e-3, None), (1.0, INF, None), (1.0, NAN, None)),
    ):
        slope = sign * 0.25  # the size, not this, is what counts
        assert claim(slope + off, slope, allowed) is expected
        assert claim(slope - off, slope, allowed) is expected


def test_the_larger_of_slope_and_size_is_what_it_is_measured_against() -> None:
    assert claim(-4.0, -4.0 + 3e-6, 1e-7) is None
    assert claim(-4.0, -4.0 + 3e-6, 1e-7, size=0.0) is None
    assert claim(1e-9, 0.0, 1e-10, size=1e-4) is False
    assert claim(4.0, 4.0, 3e-3) is True


def test_what_is_allowed_is_not_wrong() -> None:
    assert claim(1.25, 1.0, 0.25) is None
    assert claim(1.25, 1.0, 0.125) is False
    assert claim(1.25, 1.25, 1.25e-3, size=1.25) is True


@pytest.mark.parametrize(("bent", "gap"), [(0.0, 0.0), (2.0, 4.0)])
def test_the_slopes_of_a_kink_along_a_direction_are_so_far_apart(bent: float, gap: float) -> None:
    # the slope from 3 - 2 to 3 + 2, in units of how far the entry moves
    problem = numpy_problem(
        lambda x: (3 * x[0] + bent * abs(x[0] - 1.0), np.array([3.0])), np.ones(1)
    )
    noise = Noise(1e-16, problem.facts.value, np.dtype(float))
    (found,) = check_directions(problem, noise, np.random.default_rng(0), n=1)
    step = abs(found.claimed) / 3
    assert found.gap == pytest.approx(gap * step, abs=1e-6)
    assert found.agree is (None if gap else True)


# Residuals


def residuals(base: float, levels_: Any, loss: Any = lambda t: 3 * t + t * t) -> Any:
    """Steps and residuals of a claim of 3 after a walk over these levels; and what they took."""
    walk = walk_along(loss, base=base)
    walk.look(levels_)
    before = len(walk.problem.evaluator.asked)
    steps, found = _taylor(walk, Projection(3.0, 3.0, 0.0))
    return steps, found, walk.problem.evaluator.asked[before:]


def test_residuals_are_looked_at_over_four_steps_upwards() -> None:
    h = 2.0**-20
    steps, found, asked = residuals(h, [0, 1])
    assert steps == (h, 4 * h, 16 * h, 64 * h)
    assert found == pytest.approx([step * step for step in steps], abs=1e-20)
    assert asked == [16 * h, 64 * h]
    steps, _, asked = residuals(h, [0, 1, -1])
    assert (steps, asked) == ((h / 4, h, 4 * h, 16 * h), [16 * h])
    assert residuals(h, [0, 1, 2, 3])[2] == []
    assert len(residuals(h, range(6))[0]) == 6


def test_no_residual_is_looked_at_beyond_the_longest_distance_or_off_the_domain() -> None:
    steps, _, asked = residuals(2.0**-7, [0, 1])
    assert (steps, asked) == ((2.0**-7, 2.0**-5, 2.0**-3), [2.0**-3])
    assert residuals(2.0**-5, [0, 1])[2] == []
    h = 2.0**-20
    steps, found, _ = residuals(h, [0, 1], lambda t: 3 * t if t < 20 * h else NAN)
    assert (steps, found) == ((h, 4 * h, 16 * h), (0.0, 0.0, 0.0))


def test_the_order_is_of_two_residuals_above_noise() -> None:
    steps = (1.0, 4.0, 16.0, 64.0)
    assert _order(steps, (1.0, 16.0, 1.0, 1.0), 0.0, 0.0) == pytest.approx(2.0)
    assert _order(steps, (1.0, 4.0, 1.0, 1.0), 0.0, 0.0) == pytest.approx(1.0)
    # the first is noise: twice what four deviations are
    assert _order(steps, (7.9, 100.0, 1600.0, 0.0), 1.0, 0.0) == pytest.approx(2.0)
    assert _order(steps, (8.1, 8.1, 1600.0, 0.0), 1.0, 0.0) == pytest.approx(0.0)
    # as the rounding of the claim makes, over the step
    assert _order(steps, (1.9, 7.9, 100.0, 400.0), 0.0, 1.0) == pytest.approx(1.0)
    assert _order(steps, (2.1, 8.1 * 2.1, 0.0, 0.0), 0.0, 1.0) == pytest.approx(
        math.log(8.1) / math.log(4)
    )
    assert _order(steps, (0.0, 0.0, 0.0, 1.0), 0.0, 0.0) is None
