"""What the values of difference tables say of noise: grains, steps, staircases and jumps."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradcheck.noise import (
    Noise,
    _grain,
    _is_rough,
    _of_steps,
    half_ulp,
    is_flat,
    loss_noise,
    table_levels,
    table_noise,
)
from gradcheck.numpy_target.problem import numpy_problem

DOUBLE = np.dtype(float)
ULP = 2.0**-53
"""Half a unit in the last place of 1, the loss at the point."""
SHOWN = math.sqrt(4.0**7 * math.factorial(7) ** 2 / math.factorial(14))
"""What a table shows of values that lie above and below a line in turn, by so much."""
SIGNS = np.tile((1.0, -1.0), 4)
K = np.arange(1.0, 9.0)
OUTSIDE = np.full(8, np.nan)


class Given:
    """Gives one table after the other; three slopes; and else a loss along the line."""

    def __init__(self, tables: Any, slopes: Any, loss: Any) -> None:
        self.tables, self.slopes, self.loss = list(tables), slopes, loss
        self.spacings: list[float] = []
        self.asked: list[float] = []

    def along(self, direction: Any, distances: Any) -> Any:
        self.direction = direction
        if distances == [0.0]:  # the point itself, looked at again
            return np.ones(1)
        if len(distances) == 8:
            self.spacings.append(distances[0])
            return self.tables.pop(0)
        self.asked += distances
        if len(distances) == 3:
            return self.slopes
        return np.array([self.loss(t) for t in distances])


def seen(
    *tables: Any, slopes: Any = (math.nan,) * 3, loss: Any = None, size: int = 4, **options: Any
) -> tuple[Noise, Given]:
    """Read these tables, all of which are asked for; by default, no slope is known anywhere."""
    problem = numpy_problem(lambda x: (1.0, np.zeros_like(x)), options.pop("x", np.ones(size)))
    evaluator: Any = Given(tables, np.array(slopes), loss)
    problem = replace(problem, evaluator=evaluator)
    noise = loss_noise(problem, np.random.default_rng(0), **options)
    assert evaluator.tables == []
    return noise, evaluator


def shaken(level: float) -> Any:
    return 1.0 + level * SIGNS


PLAIN = 1.0 + 2.0**-40 * K
"""A line of floats: it shows nothing."""
BENT = 1.0 + np.sin(K / 4)
"""Roundoff is not what it shows, nor are all its orders alike."""


# A staircase, met within a step


def stairs(t: float) -> float:
    return 1.0 + 1e-6 * (t > 1.3e-5)


@pytest.mark.parametrize(("last", "stepped"), [(0.099, True), (0.101, False)])
def test_a_tenth_of_the_third_tables_noise_may_lie_within_a_step(
    last: float, stepped: bool
) -> None:
    levels = 1e-8 * np.array([3, 2, 1, 0.2, 0.2, last])
    noise, given = seen(*map(shaken, levels), loss=stairs)
    if stepped:
        assert noise.level == pytest.approx(SHOWN * 3e-8, rel=1e-6)  # the largest that was seen
        assert given.asked[0] == pytest.approx(8 * given.spacings[2])
        assert len(given.asked) == 1 + 32
    else:
        assert noise.level == pytest.approx(SHOWN * last * 1e-8, rel=1e-6)
        assert given.asked == []


def test_what_is_no_staircase_has_the_noise_of_the_last_table() -> None:
    levels = 1e-8 * np.array([3, 2, 1, 0.05, 0.05, 0.05])
    noise, given = seen(*map(shaken, levels), loss=lambda t: 1.0)
    assert noise.level == pytest.approx(SHOWN * 0.05e-8, rel=1e-6)
    assert len(given.asked) == 2


def test_tables_in_floats_are_no_staircase() -> None:
    noise, given = seen(*map(shaken, (3e-8, 2e-8, 1e-8)), PLAIN, exact=True)
    assert noise.level <= 64 * ULP
    assert given.asked == []


# Jumps


def jumping(*levels: float, last: Any = PLAIN) -> tuple[Noise, Given]:
    """Tables of this noise and then none; flat but for a jump, which accounts for the first."""
    first = shaken(levels[0])
    ends = (1.0, first[3], first[7])
    height = first[7] - 1.0
    return seen(*map(shaken, levels), last, slopes=ends, loss=lambda t: 1.0 + height * (t > 1.1e-3))


def test_the_least_noise_of_the_wider_tables_is_that_of_many_jumps() -> None:
    noise, given = jumping(3e-8, 2e-8, 1e-8)
    assert noise.jumps is not None
    assert noise.level == pytest.approx(SHOWN * 1e-8, rel=1e-6)
    assert len(given.asked) == 3 + 32


def test_jumps_are_looked_for_over_the_length_of_the_last_table() -> None:
    _, given = jumping(3e-8, 2e-8, 1e-8)
    length = 8 * given.spacings[0]
    assert given.asked[:3] == pytest.approx(
        [one + 8 * given.spacings[3] for one in (0.0, length / 2, length)], rel=1e-12
    )


def test_two_tables_are_enough_where_the_first_is_rough_all_over() -> None:
    noise, given = jumping(3e-8)
    assert noise.jumps is not None
    noise, given = seen(BENT, PLAIN)
    assert (noise.jumps, given.asked) == (None, [])


def test_one_table_that_is_rough_with_roundoff_is_enough() -> None:
    _, given = seen(1.0 + 2 * ULP * np.array([3, 1, 4, 1, 5, 9, 2, 6]))
    assert given.asked == []


def test_a_last_table_that_is_noisy_lies_between_no_jumps() -> None:
    _, given = seen(*map(shaken, (3e-8, 2e-8, 1e-8, 1e-8)))
    assert given.asked == []


@pytest.mark.parametrize(("cubic", "rough"), [(28, True), (29, False)])
def test_a_rough_table_has_a_tenth_of_its_noise_in_each_order_from_the_third_to_the_sixth(
    cubic: int, rough: bool
) -> None:
    # a cubic is seen in no order beyond the third, of which it makes the largest
    table = np.array([3, -12, 4, 9, -6, -2, 11, -5]) + cubic * K**3
    levels = table_levels(table.tolist())[2:6]
    assert levels.min() == pytest.approx(0.1 * levels[0], rel=0.03)
    assert _is_rough(table) is rough
    # parabolas are seen in none of these
    assert _is_rough(table + 1e3 * K**2) is rough


def test_the_last_order_has_no_say_in_that() -> None:
    table = np.array([2.0, 2, 2, 3, 3, 2, 2, 2])
    assert table_levels(table.tolist())[6] == 0.0
    assert _is_rough(table)


# Which tables settle it


def test_the_last_three_tables_settle_it() -> None:
    _, given = seen(*map(shaken, 1e-6 * np.array([1, 0.2, 0.15, 0.12, 0.12])))
    assert given.spacings == pytest.approx([5e-4, 5e-5, 5e-6, 5e-7, 5e-11])


def test_no_spacing_is_finer_than_floats_resolve() -> None:
    _, given = seen(*[OUTSIDE] * 5, *map(shaken, [1e-6] * 4))
    assert given.spacings[-1] == pytest.approx(64 * 2.0**-52, rel=1e-9)


def test_where_tables_settle_at_finer_ones_still_no_other_follows() -> None:
    # they begin at a ten thousandth: the last is of 1e-14, and that of 64 units is wider
    _, given = seen(*[OUTSIDE] * 8, *map(shaken, [1e-6] * 3), size=100)
    assert given.spacings[-3:] == pytest.approx([1e-12, 1e-13, 1e-14])
    _, given = seen(*[OUTSIDE] * 8, *map(shaken, [1e-6] * 4), size=49)
    assert given.spacings[-2:] == pytest.approx([1e-13 / 7, 64 * 2.0**-52], rel=1e-9)


# Steps and grains of the values


STEPS = np.array([0, 0, 1, 2, 3, 4, 5, 6.0])
"""Its differences of higher orders are those of its one corner."""


def test_the_rounding_to_steps_that_a_noisy_table_shows_is_noise() -> None:
    noise, _ = seen(*[shaken(4.6e-11)] * 3, 1.0 + 1e-9 * STEPS)
    assert noise.level == pytest.approx(1e-9 / math.sqrt(12), rel=1e-6)
    # of a wider table it is none
    noise, _ = seen(1.0 + 1e-9 * STEPS, *[shaken(3e-11)] * 3)
    assert noise.level == pytest.approx(SHOWN * 3e-11, rel=1e-5)


def test_the_top_of_a_parabola_has_equal_neighbours_and_no_steps() -> None:
    noise, _ = seen(1.0 + 2.0**-10 * (K - 4.5) ** 2)
    assert noise.level <= 64 * ULP


def test_steps_are_those_between_neighbours_that_differ() -> None:
    assert _of_steps(np.array([1.0, 1.0, 4.0, 2.0, 2.0])) == 2.0 / math.sqrt(12)
    assert _of_steps(np.array([1.0, 2.0, 4.0])) == 0.0


def test_the_grain_is_half_of_the_power_of_two_that_divides_all_values() -> None:
    assert _grain(np.array([1.5, 0.0, -0.25, 3.0])) == 0.125
    assert _grain(np.array([-1.0, 96.0, -32.0])) == 0.5
    assert _grain(np.array([0.0, 3 * 2.0**-60, 1.0])) == 2.0**-61


def test_most_neighbours_of_a_flat_table_are_equal() -> None:
    assert [is_flat(np.repeat([1.0, *range(2, 9)], [n, *[1] * 7])[:8]) for n in (4, 5)] == [
        False,
        True,
    ]
    assert [is_flat(np.array(values)) for values in ([1.0, 1, 1, 2, 3], [1.0, 1, 1, 1, 3])] == [
        False,
        True,
    ]


# Directions and units


def test_exact_directions_move_zeros_by_a_power_of_two_about_the_typical_entry() -> None:
    _, given = seen(PLAIN, x=np.concatenate([[1.0], np.zeros(500)]), exact=True)
    (direction,) = given.direction
    assert set(direction[1:].tolist()) == {0.5, 1.0}


def test_what_is_not_finite_has_no_unit_in_the_last_place() -> None:
    assert half_ulp(np.array([np.inf, -np.inf, np.nan]), DOUBLE).tolist() == [0.0] * 3


def test_noise_stays_up_to_twice_the_loss_whatever_binade_that_is_in() -> None:
    assert Noise(10 * ULP, 1.5, DOUBLE).at(np.array([2.5])).tolist() == [10 * ULP]


def test_a_table_shows_the_largest_of_its_orders_from_the_fifth_on() -> None:
    levels = table_levels(STEPS.tolist())
    assert table_noise(STEPS.tolist()) == levels[4:].max() < levels[3]
