"""Tables of a loss along a line: where they begin, when they end, and what noise they show."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from gradcheck.noise import Noise, half_ulp, loss_noise, table_levels, table_noise
from gradcheck.numpy_target.problem import numpy_problem

DOUBLE = np.dtype(float)
ULP = 2.0**-53
"""Half a unit in the last place of 1."""


class Along:
    """A loss along a line; remembers the spacing of each table and the direction."""

    def __init__(self, loss, at):
        self.loss, self.at, self.spacings, self.direction = loss, at, [], None

    def along(self, direction, distances):
        self.direction = direction
        if distances == [0.0]:  # the point itself, looked at again
            return np.array([self.at])
        if len(distances) == 8:
            spaced = np.array(distances) / distances[0]
            np.testing.assert_allclose(spaced, np.arange(1, 9), rtol=1e-12)
            self.spacings.append(distances[0])
        return np.array([self.loss(t) for t in distances], dtype=float)


def tables(loss, *, x=None, exact=False, facts=None, at=1.0):
    """Return the noise, and the spacings of the tables in units of the first."""
    x = np.array([1.0, -2.0, 0.0, 3.0]) if x is None else x
    problem = numpy_problem(lambda x: (at, np.zeros_like(x)), x)
    evaluator = Along(loss, at)
    facts = replace(problem.facts, **(facts or {}))
    problem = replace(problem, evaluator=evaluator, facts=facts)
    noise = loss_noise(problem, np.random.default_rng(0), exact=exact)
    return noise, evaluator


def shaken(level):
    """A line whose values lie above and below it in turn: a table then shows 2.18 times that.

    The k-th differences are ``2**k`` times the level; of orders 5 to 7 the last weighs most.
    """
    signs = itertools.cycle((1.0, -1.0))
    return lambda t: 1.0 + t + level * next(signs)


SHOWN = math.sqrt(4.0**7 * math.factorial(7) ** 2 / math.factorial(14))


def near(spacings, expected):
    np.testing.assert_allclose(spacings, 1e-3 / math.sqrt(4) * np.array(expected), rtol=1e-9)


def test_one_table_is_enough_where_it_shows_plain_roundoff():
    noise, seen = tables(lambda t: 1.0 + t)
    near(seen.spacings, [1])
    assert noise.measured
    assert ULP <= noise.level <= 64 * ULP
    assert (noise.loss, noise.dtype, noise.variation) == (1.0, DOUBLE, 0.0)


@pytest.mark.parametrize(("share", "count"), [(0.9, 1), (1.1, 4)])
def test_up_to_sixty_four_half_units_are_plain_roundoff(share, count):
    level = share * 64 * 2 * ULP / SHOWN  # of values beyond 1, whose units are twice as large
    loss = shaken(level)
    noise, seen = tables(lambda t: loss(t) + 1.0)
    assert len(seen.spacings) == count
    assert noise.level == pytest.approx(SHOWN * level, rel=0.05)


def test_noise_that_stays_three_times_is_looked_at_far_narrower_once():
    noise, seen = tables(shaken(1e-6))
    near(seen.spacings, [1, 0.1, 0.01, 1e-6])
    assert noise.level == pytest.approx(SHOWN * 1e-6)


@pytest.mark.parametrize(("ratio", "count"), [(0.35, 4), (0.25, 12)])
def test_noise_stays_while_it_shrinks_by_no_more_than_to_a_third(ratio, count):
    signs = itertools.cycle((1.0, -1.0))
    calls = itertools.count()
    noise, seen = tables(lambda t: 1.0 + 1e-3 * ratio ** (next(calls) // 8) * next(signs))
    assert len(seen.spacings) == count
    assert noise.level == pytest.approx(SHOWN * 1e-3 * ratio ** (count - 1), rel=1e-3)


def test_curvature_shrinks_with_the_spacing_until_plain_roundoff_is_left():
    noise, seen = tables(lambda t: 1.0 + math.sin(300 * t))
    assert len(seen.spacings) > 1
    np.testing.assert_allclose(np.array(seen.spacings[1:]) / seen.spacings[:-1], 0.1)
    assert noise.level <= 64 * ULP * 2


def test_an_oscillation_is_resolved_in_the_end():
    noise, seen = tables(lambda t: 1.0 + 1e-6 * math.sin(1e6 * t))
    assert len(seen.spacings) >= 5
    assert noise.level <= 1e-13


def test_twelve_tables_are_made_at_most():
    noise, seen = tables(lambda t: 1.0 + abs(t - 1e-30) ** 0.01)
    assert len(seen.spacings) <= 12
    assert noise.measured
    nowhere, seen = tables(lambda t: math.nan)
    near(seen.spacings, 10.0 ** -np.arange(12))
    assert not nowhere.measured
    assert nowhere.level == ULP


def test_tables_outside_the_domain_are_narrowed():
    noise, seen = tables(lambda t: 1.0 + t if t < 1e-5 else math.nan)
    near(seen.spacings, [1, 0.1, 0.01, 0.001])
    assert noise.measured


def test_a_table_within_one_step_is_widened_thirtyfold_until_it_shows_some():
    def stairs(width):
        return lambda t: 1.0 + width * math.floor(t / width)

    noise, seen = tables(stairs(0.0211))
    near(seen.spacings, [1, 30])
    assert 2e-3 <= noise.level <= 4e-2
    flat, seen = tables(lambda t: 1.0)
    near(seen.spacings, [1, 30])  # the next would be wider than a twentieth
    assert not flat.measured
    assert flat.level == ULP


def test_a_staircase_that_is_met_on_the_way_down_keeps_the_noise_seen_before():
    def loss(t):  # smooth from afar, in steps close by
        return 1.0 + 1e-6 * math.floor(math.sin(310.7 * t) / 1e-6)

    noise, seen = tables(loss)
    assert 1e-7 <= noise.level <= 1e-6
    assert noise.measured
    assert len(seen.spacings) < 12


def test_values_of_a_coarse_grain_are_no_less_noisy_than_half_of_it():
    grain = 2.0**-48
    noise, _ = tables(lambda t: 1.0 + grain * round((t + t * t) / grain))
    assert noise.level >= grain / 2
    coarse, _ = tables(lambda t: 1.0 + 2.0**-30 * round(t / 2.0**-30))
    # as far as plain roundoff or a table has shown one: a line of coarse numbers is a line
    assert coarse.level <= 2.0**-30


@pytest.mark.parametrize(("spread", "quantile"), [(1e-3, 4.0), (1e-3, 2.5), (1e-30, 4.0)])
def test_a_loss_that_differs_from_call_to_call_has_the_noise_of_its_spread(spread, quantile):
    noise, seen = tables(lambda t: 1.0, facts={"spread": spread, "quantile": quantile})
    assert seen.spacings == []
    assert noise.level == max(ULP, spread * quantile / (math.sqrt(2) * 4))
    assert noise.measured


def test_a_direction_moves_each_entry_by_a_half_to_all_of_itself_or_of_the_typical_one():
    x = np.array([1.0, -2.0, 0.0, 3.0] * 500)
    _, seen = tables(lambda t: 1.0 + t, x=x)
    (direction,) = seen.direction
    size = np.where(x == 0, math.sqrt((1 + 4 + 9) / 3), np.abs(x))
    share = np.abs(direction) / size
    assert 0.5 <= share.min() < 0.51
    assert 0.99 < share.max() <= 1.0
    assert 0.4 < np.mean(direction > 0) < 0.6
    np.testing.assert_allclose(seen.spacings, [1e-3 / math.sqrt(2000)])


def test_exact_tables_lie_on_powers_of_two_towards_zero():
    x = np.array([1.0, -2.0, 0.0, 3.0, -0.3])
    noise, seen = tables(lambda t: 1.0 + t, x=x, exact=True)
    (direction,) = seen.direction
    assert (np.frexp(np.abs(direction))[0] == 0.5).all()
    assert (direction[x != 0] * x[x != 0] < 0).all()
    assert direction[2] > 0
    assert np.frexp(seen.spacings[0])[0] == 0.5
    assert seen.spacings[0] == pytest.approx(1e-3 / math.sqrt(5), rel=0.5)
    assert noise.level <= 64 * ULP


def test_large_values_of_a_table_have_more_roundoff():
    noise, seen = tables(lambda t: 1e6 + 1e6 * 10 * ULP * math.sin(1e9 * t), at=1.0)
    near(seen.spacings, [1])
    assert noise.level > 1e5 * ULP


# Differences of longer numbers


def shaken_alone(level, about=0.0):
    signs = itertools.cycle((1.0, -1.0))
    return lambda t: about + level * next(signs)


@pytest.mark.parametrize(("share", "count"), [(0.95, 1), (1.05, 4)])
def test_of_longer_numbers_sixty_four_of_their_half_units_are_plain(share, count):
    offset = 8.0
    unit = 0.5 * float(np.spacing(np.longdouble(offset)))
    facts = {"value": 0.0, "offset": offset}
    level = share * 64 * unit / SHOWN
    noise, seen = tables(shaken_alone(level), exact=True, facts=facts, at=0.0)
    assert len(seen.spacings) == count
    assert noise.level == pytest.approx(SHOWN * level)


@pytest.mark.parametrize(("share", "count"), [(0.95, 1), (1.05, 4)])
def test_and_four_of_those_that_their_differences_are_rounded_to(share, count):
    facts = {"value": 0.0, "offset": 0.0, "dtype": np.dtype(np.float32)}
    level = share * 4 * 2.0**-24 / SHOWN
    _, seen = tables(shaken_alone(level, 1.5), exact=True, facts=facts, at=0.0)
    assert len(seen.spacings) == count


# Jumps


def saw(width, *, slope=2.0):
    """Rises by ``slope``, and falls back by a width at each of its multiples."""
    return lambda t: 1.0 + slope * t - width * math.floor(t / width)


def test_between_two_of_many_jumps_the_jumps_are_the_noise():
    # within a table of 5e-4 they show, within the next, of a tenth, there is none
    noise, seen = tables(saw(8e-4))
    near(seen.spacings, [1, 0.1])
    assert noise.jumps is not None
    assert noise.jumps.between == pytest.approx(2.0, rel=1e-3)
    assert noise.jumps.across == pytest.approx(1.0)
    first = [saw(8e-4)(5e-4 * k) for k in range(1, 9)]
    assert noise.level == pytest.approx(table_noise(first))


def test_where_one_table_is_enough_there_are_none():
    noise, seen = tables(saw(8e-3))
    near(seen.spacings, [1])
    assert noise.jumps is None


def test_with_tables_in_floats_none_are_looked_for():
    assert tables(saw(8e-4), exact=True)[0].jumps is None


def test_a_bend_that_narrower_tables_resolve_is_no_jump():
    noise, seen = tables(lambda t: 1.0 + math.sin(300 * t))
    assert len(seen.spacings) > 1
    assert noise.jumps is None


def test_a_loss_that_is_another_one_afterwards_is_as_noisy_as_that():
    problem = numpy_problem(lambda x: (1.0, np.zeros_like(x)), np.ones(4))

    class Later(Along):
        def along(self, direction, distances):
            found = super().along(direction, distances)
            return found + 1e-6 if distances == [0.0] else found

    for at, drift, least in ((1.0, 1e-6, 1e-6), (math.inf, 0.0, ULP)):
        evaluator = Later(lambda t: 1.0 + t, at)
        noise = loss_noise(replace(problem, evaluator=evaluator), np.random.default_rng(0))
        assert noise.drift == pytest.approx(drift)
        assert least * 0.999 <= noise.level <= max(1.001 * least, 64 * ULP)


# Parts


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_a_polynomial_vanishes_in_the_differences_beyond_its_order(order):
    levels = table_levels((np.arange(8.0) ** order).tolist())
    assert (levels[:order] > 0.1).all()
    np.testing.assert_allclose(levels[order:], 0.0, atol=1e-10)
    assert table_noise((np.arange(8.0) ** order).tolist()) < 1e-10


def test_noise_grows_with_the_loss_by_as_many_units_as_it_was_found_to_have():
    one = Noise(10 * ULP, 1.0, DOUBLE)
    assert one.at(np.array([2.5])).tolist() == [10 * 2 * ULP]
    assert Noise(2.5 * ULP, 1.0, DOUBLE).at(np.array([2.5])).tolist() == [2.5 * 2 * ULP]
    negative = Noise(10 * ULP, -1.0, DOUBLE)
    assert negative.at(np.array([-2.5, 2.5])).tolist() == [10 * 2 * ULP] * 2
    capped = Noise(1000 * ULP, 1.0, DOUBLE)
    assert capped.at(np.array([64.5])).tolist() == [64 * 64 * ULP]
    assert capped.at(np.array([3.0])).tolist() == [1000 * ULP]
    of_nothing = Noise(1e-30, 0.0, DOUBLE)
    assert of_nothing.at(np.array([0.0, 2.5])).tolist() == [1e-30, 2 * ULP]
    assert Noise(1e-30, 0.0, np.dtype(np.float32)).at(np.array([2.5])).tolist() == [2.0**-23]
    assert one.at(np.array([2.0, 2.0001])).tolist() == [10 * ULP, 20 * ULP]


def test_half_a_unit_of_a_negative_number_is_that_of_its_size():
    assert half_ulp(np.array([-1.0, 0.0, 4.0]), DOUBLE).tolist() == [ULP, 2.0**-1075, 4 * ULP]
