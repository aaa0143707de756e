"""Walks along one direction: which steps, which slope, how sure; and what is projected on it."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gradcheck.noise import Noise, loss_noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.oracles.directions import DirectionResult, check_directions
from gradcheck.oracles.drawn_steps import draw_steps, project
from gradcheck.oracles.walk import Walk, first_distance

NAN, INF = float("nan"), float("inf")
DOUBLE = np.dtype(float)


class Line:
    """A loss along a line; remembers the distances it was asked for."""

    def __init__(self, loss, limit=None):
        self.loss, self.limit, self.asked = loss, limit, []

    @property
    def exhausted(self):
        return self.limit is not None and len(self.asked) >= self.limit

    def moved(self, blocks, distances):
        self.asked += distances
        return np.array([self.loss(t) for t in distances], dtype=float)


def walk_along(loss, *, noise=0.0, base=2.0**-17, limit=None):
    problem = SimpleNamespace(evaluator=Line(loss, limit))
    return Walk(problem, Noise(noise, float(loss(0.0)), DOUBLE), (), base)


def levels(walk):
    """Levels of the steps in the order in which they were taken; each on both sides."""
    asked = walk.problem.evaluator.asked
    assert [-t for t in asked[::2]] == asked[1::2]
    return [math.log(t / walk.base, 4) for t in asked[::2]]


# Walks


def test_a_straight_line_is_followed_to_longer_steps_until_its_slope_is_known_as_wanted():
    def slope(goal):
        walk = walk_along(lambda t: 1 + 3 * t, noise=1e-12)
        return walk.go(goal), levels(walk)

    bound = 4 * 1e-12 / 2.0**-17
    for goal, steps in ((1.01, 2), (0.99, 3), (0.251, 3), (0.249, 4)):
        found, taken = slope(goal * bound)
        assert taken == list(range(steps))
        # the bound is that of the second longest step
        assert found.distance == 2.0**-17 * 4 ** (steps - 2)
        assert found.bound == pytest.approx(4 * 1e-12 / found.distance)
        assert found.value == pytest.approx(3.0, abs=found.bound)
        assert (found.settled, found.noise_limited) == (True, True)


@pytest.mark.parametrize(
    ("base", "longest"), [(2.0**-13, 2.0**-3), (2.0**-12, 2.0**-4), (2.0**-20, 2.0**-6)]
)
def test_no_step_is_longer_than_an_eighth_and_six_are_added_at_most(base, longest):
    walk = walk_along(lambda t: 1 + 3 * t, noise=1e-3, base=base)
    walk.go(0.0)
    assert max(walk.problem.evaluator.asked) == longest
    assert len(walk.problem.evaluator.asked) <= 2 * (2 + 6)


def test_a_cubic_is_followed_down_to_where_three_slopes_come_together():
    h = 2.0**-6
    walk = walk_along(lambda t: 1 + t + 5 * t**3, base=h)
    found = walk.go(0.0)
    assert levels(walk) == [0, 1, -1]
    assert found.distance == h / 4
    assert found.value == pytest.approx(1 + 5 * (h / 4) ** 2, rel=1e-12)
    # a quarter of what the next slope differs by: with the square of the step, four times it
    assert found.bound == pytest.approx(0.25 * 15 * 5 * (h / 4) ** 2, rel=1e-9)
    assert abs(found.value - 1.0) <= found.bound
    assert (found.settled, found.noise_limited) == (True, False)


def test_two_slopes_that_differ_leave_three_times_their_spread():
    walk = walk_along(lambda t: 1 + t + 5 * t**3, base=2.0**-6, limit=4)
    found = walk.go(0.0)
    assert levels(walk) == [0, 1]
    assert found.bound == pytest.approx(3 * 15 * 5 * 2.0**-12, rel=1e-9)
    assert not found.settled


@pytest.mark.parametrize(
    ("loss", "settled"),
    [
        (lambda t: t + t**3, True),
        (lambda t: t + 40 * t**2 + t**3, True),
        (lambda t: t + t * abs(t), False),  # differences fall with the step, not its square
        (lambda t: t + t**5, False),
        (lambda t: t + t**3 + abs(t), False),  # a bend that does not shrink
        (lambda t: t + t**3 + 0.02 * abs(t) ** 1.5, False),
    ],
)
def test_slopes_that_do_not_come_together_as_those_of_a_smooth_loss_are_not_settled(loss, settled):
    walk = walk_along(loss, base=0.25)
    walk.look([-1, 0, 1])
    assert walk.best().settled is settled


def test_what_does_not_settle_is_followed_down_until_noise_is_as_large():
    walk = walk_along(lambda t: t + 3 * t * abs(t), noise=1e-8, base=2.0**-8)
    found = walk.go(0.0)
    assert levels(walk)[:3] == [0, 1, -1]
    assert abs(found.value - 1.0) <= found.bound
    shortest = min(map(abs, walk.problem.evaluator.asked))
    assert 4 * 1e-8 / (shortest / 4) >= found.bound or found.settled


def test_long_steps_do_not_contradict_short_ones():
    def loss(t):
        return 3 * t + 1e-4 * math.sin(t / 1e-4)  # slope 4 at once, 3 from afar

    walk = walk_along(loss, base=1e-6)
    walk.look([0, 1, 5, 6, 7])
    found = walk.best()
    assert abs(found.value - 4.0) <= found.bound
    afar = walk_along(loss, base=1e-6)
    afar.look([5, 6, 7])
    assert abs(afar.best().value - 3.0) <= 0.1


def test_steps_outside_the_domain_say_nothing():
    walk = walk_along(lambda t: 2 * t if abs(t) < 1e-4 else NAN, base=2.0**-20)
    walk.look([0, 1, 2, 3, 4, 5])
    found = walk.best()
    assert found.value == pytest.approx(2.0)
    assert found.distance <= 1e-4
    one = walk_along(lambda t: 2 * t if abs(t) < 1e-4 else NAN, base=2.0**-14)
    one.look([0, 1])
    assert math.isnan(one.best().value)
    assert one.best().bound == INF
    assert not one.best().settled
    assert not one.best().noise_limited


def test_the_noise_is_that_of_the_losses_at_the_two_shortest_steps():
    walk = walk_along(lambda t: 1.0 if abs(t) < 0.2 else 1e6, noise=2.0**-52, base=0.01)
    walk.look([0, 1, 3])
    assert walk.level_noise == 2.0**-52
    near = walk_along(lambda t: 1.0 if abs(t) < 0.02 else 1024.5, noise=2.0**-52, base=0.01)
    near.look([0, 1, 3])
    assert near.level_noise == 1024 * 2.0**-52


@pytest.mark.parametrize("loss", [lambda t: max(t, 0.25 * t), lambda t: -max(-t, -0.25 * t)])
def test_a_kink_at_the_point_has_two_slopes_in_order(loss):
    walk = walk_along(loss, base=2.0**-20)
    walk.look([0])
    assert walk.kink() is None
    walk.look([1, 2, 3])
    low, high = walk.kink()
    assert low == pytest.approx(0.25, abs=1e-6)
    assert high == pytest.approx(1.0, abs=1e-6)
    assert low <= 0.25
    assert high >= 1.0
    smooth = walk_along(lambda t: t + t * t, base=2.0**-20)
    smooth.look([0, 1, 2, 3])
    assert smooth.kink() is None


# The first distance


def distance(noise, size, loss=1.0, dtype=float):
    parameters = [
        SimpleNamespace(value=np.zeros(2)),
        SimpleNamespace(value=np.zeros(2, dtype=dtype)),
    ]
    return first_distance(SimpleNamespace(parameters=parameters), Noise(noise, loss, DOUBLE), size)


def test_the_first_distance_balances_noise_and_a_third_derivative_of_ordinary_size():
    assert distance(1e-16, 1.0) == 2.0 ** round(math.log2(math.cbrt(3e-16)))
    assert distance(1e-16, 1e4) == 2.0 ** round(math.log2(math.cbrt(3e-20)))
    assert distance(1e-16, 0.0, -1e4) == 2.0 ** round(math.log2(math.cbrt(3e-20)))
    assert distance(1e-16, 0.0, 0.0) == 2.0**-17


def test_the_first_distance_has_bounds():
    assert distance(1.0, 1.0) == 2.0**-7
    assert distance(1e-60, 1.0) == 2.0**-36
    assert distance(1e-60, 1.0, dtype=np.float32) == 2.0**-13  # its own rounding, a thousandfold
    assert distance(1e-60, 1.0, dtype=np.float16) == 2.0**-7


# Directions


def test_lengths_lie_between_a_half_and_one_of_the_power_of_two_nearest_to_the_entry():
    for typical, power in ((1.0, 1.0), (1.41, 1.0), (1.42, 2.0), (2.82, 2.0), (2.83, 4.0)):
        for value in (np.full(20_000, typical), np.full(20_000, -typical)):
            steps = draw_steps(value, np.random.default_rng(0))
            parts = np.abs(steps.astype(float)) / power * 1024
            assert set(np.unique(parts)) == set(range(512, 1024))
            assert abs(np.mean(np.sign(steps))) < 0.03


def test_entries_smaller_than_the_typical_one_move_as_that_does():
    value = np.array([0.0, 1e-9, 8.0, 0.0, 1e9])
    typical = math.sqrt((64.0 + 1e18 + 1e-18) / 3)  # of those that are not zero
    steps = np.abs(draw_steps(value, np.random.default_rng(0)).astype(float))
    power = 2.0 ** round(math.log2(typical))
    assert (steps[:4] >= 0.5 * power).all()
    assert (steps[:4] < power).all()
    assert steps[4] < 2.0**30


@pytest.mark.parametrize("special", [INF, -INF, NAN])
def test_entries_that_are_not_finite_do_not_move_and_the_others_do(special):
    value = np.array([special, 1.41, 0.0, 1.42, 300.0])
    steps = np.abs(draw_steps(value, np.random.default_rng(0)).astype(float))
    assert steps[0] == 0.0
    for step, power in zip(steps[1:], (1.0, 1.0, 2.0, 256.0), strict=True):
        assert 0.5 * power <= step < power


@pytest.mark.parametrize(
    ("size", "dtype"), [(1.0, "f4"), (1e24, "f4"), (1e26, "f8"), (1e-24, "f4"), (1e-26, "f8")]
)
def test_half_the_bytes_suffice_but_for_extreme_sizes(size, dtype):
    assert draw_steps(np.full(3, size), np.random.default_rng(0)).dtype == np.dtype(dtype)


@pytest.mark.parametrize("size", [1e301, 1e-301])
def test_extreme_sizes_move_as_well(size):
    steps = np.abs(draw_steps(np.full(50, size), np.random.default_rng(0))) / size
    assert (steps >= 0.3).all()
    assert (steps < 1.5).all()


def test_the_order_of_memory_makes_no_difference():
    value = np.random.default_rng(0).normal(size=(150, 120))
    one = draw_steps(value, np.random.default_rng(1))
    other = draw_steps(np.asfortranarray(value), np.random.default_rng(1))
    np.testing.assert_array_equal(one, other)
    assert (one != 0).all()


def test_the_typical_entry_is_of_all_not_of_the_first_ones():
    value = np.concatenate([np.zeros(70_000), np.full(70_000, 64.0)])
    steps = np.abs(draw_steps(value, np.random.default_rng(1)).astype(float))
    assert steps.min() == 32.0
    assert steps.max() == 64.0 * 1023 / 1024


# Projections


def test_a_projection_sums_products_and_their_roundings():
    claimed = [np.array([1.0, -2.0]), np.array([[3.0], [0.5]])]
    rounding = [np.array([1e-9, 0.0]), np.array([[2e-9], [0.0]])]
    steps = [np.array([4.0, 1.0], dtype=np.float32), np.array([[-1.0], [2.0]])]
    found = project(claimed, rounding, steps)
    assert found.dot == 4.0 - 2.0 - 3.0 + 1.0
    assert found.size == math.sqrt(16.0 + 4.0 + 9.0 + 1.0)
    blur = 4 * math.sqrt((4e-9) ** 2 + (2e-9) ** 2)
    assert found.rounding == pytest.approx(blur + 16 * 2.0**-52 * found.size, rel=1e-12)
    exact = project(claimed, [np.zeros(2), np.zeros((2, 1))], steps)
    assert exact.rounding == pytest.approx(16 * 2.0**-52 * found.size, rel=1e-12)


def test_a_projection_of_many_entries_is_that_of_all():
    draw = np.random.default_rng(0)
    a, v = draw.normal(size=(2, 500, 300))
    error = np.full(a.shape, 1e-3)
    for one in (a, np.asfortranarray(a)):
        found = project([one], [error], [v.astype(np.float32)])
        wide = v.astype(np.float32).astype(float)
        assert found.dot == pytest.approx(np.sum(a * wide), abs=1e-9)
        assert found.size == pytest.approx(np.linalg.norm(a * wide))
        assert found.rounding == pytest.approx(4e-3 * np.linalg.norm(wide), rel=1e-6)


@pytest.mark.parametrize("special", [INF, NAN])
def test_what_does_not_move_is_not_seen(special):
    found = project([np.array([special, 2.0])], [np.zeros(2)], [np.array([0.0, 3.0])])
    assert (found.dot, found.size) == (6.0, 6.0)
    assert not math.isfinite(project([np.array([special])], [np.zeros(1)], [np.ones(1)]).dot)


def test_nothing_to_project_is_zero():
    found = project([np.zeros((0, 3))], [np.zeros((0, 3))], [np.zeros((0, 3))])
    assert (found.dot, found.size, found.rounding) == (0.0, 0.0, 0.0)


# Verdicts along a direction


def one_entry(loss, slope, x=1.0, *, level=None, rounding=None, **options):
    """One random direction of a loss of one number; the direction is a stretch of that line."""
    problem = numpy_problem(lambda x: (loss(x[0]), slope(x)), np.array([x]), ["x"])
    if rounding is not None:
        problem = replace(problem, analytic_rounding={"x": np.array([rounding])})
    generator = np.random.default_rng(0)
    noise = loss_noise(problem, generator)
    if level is not None:
        noise = replace(noise, level=level)
    (found,) = check_directions(problem, noise, generator, n=1, **options)
    return found


@pytest.mark.parametrize(
    ("factor", "agree"),
    [
        (1.0, True),
        (1 + 1.1e-6, False),
        (1 - 1.1e-6, False),
        (1 + 0.9e-6, None),
        (1 - 0.9e-6, None),
        (-1.0, False),
        (1e3, False),
    ],
)
def test_a_difference_of_a_millionth_is_wrong_and_one_of_less_is_left_open(factor, agree):
    found = one_entry(lambda x: 3 * x, lambda x: np.full(1, 3.0 * factor))
    assert found.uncertainty < 1e-8 * found.size
    assert found.agree is agree


def test_agreement_counts_where_it_is_known_to_a_thousandth():
    seen = set()
    for level in np.geomspace(1e-6, 1e-3, 150):
        found = one_entry(lambda x: 3 * x, lambda x: np.full(1, 3.0), level=level)
        assert found.agree is (True if found.uncertainty <= 1e-3 * found.size else None)
        seen.add((found.agree, round(math.log10(found.uncertainty / found.size), 1)))
    assert (True, -3.0) in seen or (True, -3.1) in seen
    assert (None, -3.0) in seen or (None, -2.9) in seen


def test_the_claim_s_own_rounding_is_allowed_for():
    loss, slope = (lambda x: 3 * x), (lambda x: np.full(1, 3.0 * (1 + 1e-5)))
    assert one_entry(loss, slope).agree is False
    blurred = one_entry(loss, slope, rounding=1e-5)
    assert blurred.agree is True
    step = abs(blurred.claimed / 3.0)
    assert blurred.uncertainty == pytest.approx(4 * 1e-5 * step, rel=1e-3)


def test_the_residuals_of_a_square_are_the_square_of_the_steps():
    found = one_entry(lambda x: x * x, lambda x: 2 * x, x=1.0)
    step = found.claimed / 2.0  # twice x, times the step
    for h, residual in zip(found.steps, found.residuals, strict=True):
        # lost in noise at the shortest steps
        assert residual == pytest.approx((h * step) ** 2, abs=1e-15)
    assert found.order == pytest.approx(2.0, abs=1e-3)
    assert found.size == abs(found.claimed)


@pytest.mark.parametrize("rounding", [0.0, 1e-5])
def test_the_order_is_that_of_the_two_shortest_steps_whose_residuals_are_no_noise(rounding):
    orders = set()
    for level in np.geomspace(1e-13, 1e-1, 49):
        found = one_entry(
            lambda x: x * x + 0.3 * abs(x - 1) ** 3,
            lambda x: 2 * x,
            level=level,
            rounding=rounding,
        )
        blur = 4 * rounding * abs(found.claimed / 2.0) + 16 * 2.0**-52 * found.size
        clear = [
            (h, r)
            for h, r in zip(found.steps, found.residuals, strict=True)
            if r > 2 * (4 * level + h * blur)
        ]
        if len(clear) < 2:
            assert found.order is None
        else:
            (h1, r1), (h2, r2) = clear[:2]
            assert found.order == pytest.approx(math.log(r2 / r1) / math.log(h2 / h1))
        orders.add(found.order is None)
    assert orders == {True, False}


def test_a_direction_names_the_parameter_that_moves_and_starts_where_the_last_one_came_to():
    def loss(u, v):
        return np.sum(u**2) + np.sum(v**3), {"u": 2 * u, "v": 3 * v**2}

    problem = numpy_problem(loss, {"u": np.ones(3), "v": np.ones(2)})
    generator = np.random.default_rng(0)
    noise = loss_noise(problem, generator)
    found = check_directions(problem, noise, generator, n=2, parameters=["v"])
    assert [one.parameter for one in found] == ["v", "v"]
    both = check_directions(problem, noise, generator, n=2, parameters=["u", "v"])
    assert [one.parameter for one in both] == ["u", "u", "v", "v"]
    together = check_directions(problem, noise, generator, n=2)
    assert [one.parameter for one in together] == ["", ""]
    assert len(check_directions(problem, noise, generator)) == 3
    assert check_directions(problem, noise, generator, parameters=[]) == ()
    assert check_directions(problem, noise, generator, claimed={}) == ()


def test_numbers_that_json_lacks_are_written_as_words():
    found = DirectionResult("W", INF, -INF, NAN, None, (0.5, INF), (1.0, NAN), None, 1.0)
    assert found.to_plain() == {
        "parameter": "W",
        "claimed": "inf",
        "numeric": "-inf",
        "uncertainty": "nan",
        "agree": None,
        "steps": [0.5, "inf"],
        "residuals": [1.0, "nan"],
        "order": None,
    }
    assert replace(found, order=2.0).to_plain()["order"] == 2.0
