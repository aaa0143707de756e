"""Which steps an entry in doubt is looked at with, and how far it climbs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from gradcheck.noise import Noise
from gradcheck.oracles.climb import ORDINARY, THOROUGH, climb
from gradcheck.oracles.first_pass import FirstPass

NAN = float("nan")
H = 2.0**-13
"""Step of the first pass."""


class OneEntry:
    """Evaluates a loss of one number, and remembers where."""

    def __init__(self, loss, limit=None):
        self.loss, self.limit, self.asked = loss, limit, []

    @property
    def exhausted(self):
        return self.limit is not None and len(self.asked) >= self.limit

    def entries(self, number, indices, values):
        assert number == 3
        assert set(indices.tolist()) == {5}
        self.asked += values.tolist()
        return np.array([self.loss(float(x)) for x in values])


def climbed(loss, claim, *, at=0.0, noise=1e-18, h=H, effort=ORDINARY, limit=None, **changes):
    """Let one entry climb; return its reading, the steps taken (in order) and all points asked."""
    evaluator = OneEntry(loss, limit)
    noise = Noise(noise, loss(at), np.dtype(float))
    one = {
        "rounding": np.zeros(1),
        "noise": np.array([noise.level]),
        "scales": np.ones(1),
        "typical": abs(claim),
    }
    first = FirstPass(
        *(3, np.array([5]), np.array([at]), np.array([h]), np.array([h])),
        *(np.array([loss(at + h)]), np.array([loss(at - h)]), np.array([claim])),
        **(one | changes),
    )
    problem = SimpleNamespace(evaluator=evaluator)
    (reading,) = climb(problem, noise, first, np.array([0]), effort).values()
    steps = [x - at for x in evaluator.asked if x > at]
    return reading, steps, evaluator.asked


def levels(steps, h=H):
    return [float(np.log(step / h) / np.log(4)) for step in steps]


def line(x):
    return 1.0 + 3.0 * x


def noisy(level):
    """A straight line that jitters by so much."""
    return lambda x: line(x) + level * np.sin(1e15 * x)


# When it ends


def test_two_steps_more_settle_a_straight_line_both_sides_of_each():
    reading, steps, asked = climbed(line, 3.0)
    assert steps == [H / 4, 4 * H]
    assert sorted(asked) == [-4 * H, -H / 4, H / 4, 4 * H]
    assert reading.value == pytest.approx(3.0)


def test_a_claim_that_is_clearly_wrong_is_settled_as_soon():
    assert climbed(line, 2.0)[1] == [H / 4, 4 * H]
    assert climbed(line, -3.0)[1] == [H / 4, 4 * H]
    assert len(climbed(lambda x: 1.0 - 3.0 * x, -2.0)[2]) == 4  # and nothing is measured besides


def uncertainty_per_noise():
    """What two steps more leave, in units of the noise."""
    return climbed(noisy(1e-11), 3.0, noise=1e-11)[0].uncertainty / 1e-11


@pytest.mark.parametrize(
    ("effort", "typical", "wanted"),
    [
        (ORDINARY, 3.0, 1e-5 * 3.0),
        (ORDINARY, 3e5, 1e-5 * 3e2),  # an entry small beside the others need not be as fine
        (THOROUGH, 3.0, 3e-7 * 3.0),
        (THOROUGH, 3e9, 3e-7 * 3e1),
    ],
)
def test_longer_steps_are_taken_until_the_value_is_fine(effort, typical, wanted):
    limit = wanted / uncertainty_per_noise()
    options = {"effort": effort, "typical": typical}
    fine, steps, _ = climbed(noisy(0.98 * limit), 3.0, noise=0.98 * limit, **options)
    assert levels(steps) == [-1, 1]
    finer, more, _ = climbed(noisy(1.02 * limit), 3.0, noise=1.02 * limit, **options)
    assert levels(more)[:4] == [-1, 1, 1.5, 2]  # the way up goes by halves of a ratio
    assert finer.uncertainty < 0.5 * fine.uncertainty


@pytest.mark.parametrize("scale", [1.0, 64.0])
def test_no_step_on_the_way_up_is_longer_than_a_fifth_of_the_scale(scale):
    options = {"noise": 1e-6 * scale, "scales": np.array([scale])}
    _, within, _ = climbed(noisy(1e-6 * scale), 3.0, h=scale * 2.0**-7, **options)
    assert max(within) == 0.125 * scale
    _, beyond, _ = climbed(noisy(1e-6 * scale), 3.0, h=scale * 2.0**-6, **options)
    assert max(beyond) == 0.0625 * scale


def test_a_difference_just_beyond_what_is_allowed_is_looked_at_closer():
    noise = 1e-11
    reading, near, _ = climbed(noisy(noise), 3.0, noise=noise)

    def goes_on(times, rounding=0.0):
        claim = reading.value + times * reading.uncertainty
        blur = np.array([rounding * reading.uncertainty])
        return len(climbed(noisy(noise), claim, noise=noise, rounding=blur)[1]) > 2

    assert [goes_on(times) for times in (0.9, 1.1, 9.9, 10.1)] == [False, True, True, False]
    assert [goes_on(times, 4.0) for times in (4.9, 5.1, 49, 51)] == [False, True, True, False]
    assert len(near) == 2


def test_an_error_of_a_hundred_times_what_is_allowed_needs_no_fine_value():
    coarse = 1e-9
    reading, *_ = climbed(noisy(coarse), 2.0, noise=coarse)
    for times, looked in ((98, 4), (-98, 4), (102, 2), (-102, 2)):
        claim = reading.value + times * reading.uncertainty
        assert len(climbed(noisy(coarse), claim, noise=coarse)[1]) == looked


def test_an_evaluation_limit_ends_the_climb():
    _, steps, _ = climbed(noisy(1e-9), 3.0, noise=1e-9, limit=4)
    assert levels(steps) == [-1, 1]


# The way down


def bend(x):
    return max(x, 0.2 * x)


def test_a_kink_is_followed_down_sixteen_steps_at_most():
    reading, steps, _ = climbed(bend, 0.6, noise=0.0)
    assert reading.kink
    assert levels(steps) == [-1, 1, *range(-2, -17, -1)]


def test_steps_end_where_they_are_nothing_beside_the_scale():
    _, steps, _ = climbed(bend, 0.6, noise=0.0, h=2.0**-41)
    assert min(steps) <= 1e-15 < 4 * min(steps)


def noise_that_leaves(share, level):
    """Noise that hides as much of a slope at one of the levels: four times it, over the step."""
    return share * H * 4.0**level / 4


@pytest.mark.parametrize(("share", "lowest"), [(0.97e-3, -3), (1.03e-3, -2)])
def test_a_kink_is_followed_down_while_noise_leaves_a_thousandth_of_it(share, lowest):
    noise = noise_that_leaves(share, -3)
    _, steps, _ = climbed(bend, 0.6, noise=noise, typical=1.0)
    assert min(levels(steps)) == lowest


@pytest.mark.parametrize(("share", "lowest"), [(0.097, -9), (0.15, -8)])
def test_what_does_not_agree_is_followed_down_until_noise_leaves_a_tenth_of_it(share, lowest):
    # A root: each slope is twice that of the step before, 1 / sqrt(step).
    slope = (H * 4.0**-8) ** -0.5
    noise = noise_that_leaves(share * slope, -9)
    _, steps, _ = climbed(lambda x: np.copysign(np.sqrt(abs(x)), x), 1.0, noise=noise)
    assert min(levels(steps)) == lowest


def test_where_noise_is_not_what_is_left_steps_shrink_each_once():
    _, steps, _ = climbed(line, 3.0, noise=1e-9)
    assert levels(steps) == [-1, 1, -2, -3]


# The edge of the domain


def inside(reach):
    return lambda x: 1.0 + 3.0 * x if abs(x) <= reach else NAN


def test_beyond_the_edge_of_the_domain_steps_shrink_two_ratios_at_a_time():
    reading, steps, _ = climbed(inside(1e-9), 3.0)
    assert levels(steps)[:6] == [-1, 1, -3, -2, -5, -4]
    assert min(steps) <= 1e-9
    assert abs(reading.value - 3.0) <= reading.uncertainty


def test_a_single_step_within_the_domain_gets_a_smaller_one():
    reading, steps, _ = climbed(inside(H / 4), 3.0)
    assert levels(steps)[:3] == [-1, 1, -2]
    assert abs(reading.value - 3.0) <= reading.uncertainty < 1e-3


@pytest.mark.parametrize(("share", "count"), [(2.9, 3), (3.1, 2)])
def test_nor_does_it_where_noise_would_hide_the_slope(share, count):
    _, steps, _ = climbed(inside(H / 4), 3.0, noise=noise_that_leaves(share, -2))
    assert len(steps) == count


@pytest.mark.parametrize("reach", [0.0, 1e-9])
def test_there_is_no_way_down_where_noise_would_hide_the_slope(reach):
    _, steps, _ = climbed(inside(reach), 3.0, noise=1e-6)
    reached = 2 * 4 * 1e-6 / (2 * min(steps))
    assert reached <= 3.0 < 16 * reached


def test_one_side_alone_is_followed_down():
    def half(x):
        return 3.0 * x + x * x if x >= 0 else NAN

    reading, steps, _ = climbed(half, 3.0)
    assert min(levels(steps)) < -1
    assert abs(reading.value - 3.0) <= reading.uncertainty


# A loss in steps


def test_a_loss_that_does_not_change_is_looked_at_over_much_longer_steps():
    reading, steps, _ = climbed(lambda x: 1.0, 1.0)
    assert levels(steps)[:4] == [-1, 1, 3, 5]
    assert max(steps) <= 0.2 < 16 * max(steps)
    assert reading.value == 0.0


def test_a_claim_of_zero_there_is_believed_at_once():
    assert climbed(lambda x: 1.0, 0.0, typical=1.0)[1] == [H / 4, 4 * H]


def stairs(width):
    return lambda x: 1.0 + 3.0 * width * np.floor(x / width + 0.5)


@pytest.mark.parametrize("width", [20, 40])
def test_the_noise_of_a_staircase_is_measured_beyond_its_steps(width):
    # No change up to four times the first step: 64 times it shows one. Noise is looked for four
    # times as far, at eight points on either side, and one longer step taken in view of it.
    reading, _, asked = climbed(stairs(width * H), 3.0)
    assert levels([abs(x) for x in asked[:6:2]]) == [-1, 1, 3]
    reach = 4 * 64 * H
    table = [side * reach * k / 8 for side in (1, -1) for k in range(1, 9)]
    assert asked[6:] == [*table, reach, -reach]
    assert abs(reading.value - 3.0) <= reading.uncertainty


def test_no_change_at_the_smallest_step_alone_is_enough():
    # none over a fourth of the first step; beyond, a slope that comes no nearer to the claim
    def loss(x):
        return 1.0 + 3.0 * (x if abs(x) > H / 2 else 0.0)

    _, _, asked = climbed(loss, 0.1)
    assert measured(asked, 0.0) == pytest.approx(16 * H)


@pytest.mark.parametrize("width", [1.5, 3, 6, 20, 40, 200])
@pytest.mark.parametrize(("factor", "wrong"), [(1.0, False), (10.0, True), (-10.0, True)])
def test_a_grain_makes_no_right_claim_wrong_and_hides_no_gross_error(width, factor, wrong):
    reading, _, _ = climbed(stairs(width * H), 3.0 * factor)
    assert (abs(reading.value - 3.0 * factor) > reading.uncertainty) == wrong


def test_entries_tiny_beside_the_length_assumed_are_looked_at_within_themselves():
    at = 1e-9
    _, steps, _ = climbed(lambda x: 1.0 + 3.0 * x, 3.0, at=at, scales=np.ones(1))
    assert min(steps) == pytest.approx(1e-4 * at / 4, rel=1)
    assert min(steps) < 1e-4 * at
    _, plain, _ = climbed(lambda x: 1.0 + 3.0 * x, 3.0, at=1e-3, scales=np.ones(1))
    assert min(plain) == pytest.approx(H / 4)


# Noise that was found too small


def measured(asked, at):
    """How far the first table of eight equally spaced points reaches; None where there is none."""
    for k in range(len(asked) - 7):
        away = np.array(asked[k : k + 8]) - at
        if away[0] > 0 and np.allclose(away, away[0] * np.arange(1, 9), rtol=1e-6):
            return float(away[-1])
    return None


TINY = 1e-9
"""An entry so small beside its length that steps within itself are tried too."""


def shaken(level, found, claim):
    """A straight line that jitters by ``level``, with noise of ``found`` known."""
    one, _, asked = climbed(
        lambda x: line(x) + level * np.sin(1e22 * x), claim, at=TINY, noise=found
    )
    return abs(one.value - claim) > one.uncertainty, len(asked), measured(asked, TINY)


def test_noise_is_measured_anew_where_longer_steps_settle_on_the_claim():
    wrong, _, reach = shaken(1e-14, 1e-14 / 50, 3.0)
    assert not wrong
    assert reach == pytest.approx(H / 4)  # the shortest step from which on slopes agree with it


def test_it_is_measured_beyond_the_longest_step_where_slopes_come_nearer_but_do_not_settle():
    wrong, _, reach = shaken(1e-14, 1e-14 / 50, 3.3)
    assert wrong
    assert reach == pytest.approx(16 * H)


def test_a_wrong_claim_that_no_step_comes_nearer_to_stays_wrong():
    assert shaken(1e-15, 1e-15 / 8, 3.3) == (True, 24, None)
    assert shaken(1e-16, 1e-16 / 8, 3.003) == (True, 8, None)


def test_slopes_that_differ_by_no_more_than_noise_are_no_sign_of_a_grain():
    assert shaken(1e-15, 1e-15 / 2, 3.003) == (True, 8, None)


def test_an_oscillation_is_no_noise_where_the_shortest_steps_agree():
    def loss(x):  # slope 4 within a hundred thousandth, 3 from afar
        return 1.0 + 3.0 * x + 1e-5 * np.sin(x / 1e-5)

    reading, _, asked = climbed(loss, 3.0, at=TINY)
    assert (len(asked), measured(asked, TINY)) == (10, None)
    assert abs(reading.value - 4.0) <= reading.uncertainty < 1e-3
