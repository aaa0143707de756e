"""Sums of a gradient's errors over boxes of entries: what is measured, and how well."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcheck.noise import Noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.sweep.sums import EnoughError, Part, Sight, within

# Boxes


def part(error: float = 0.0, bound: float = 1.0, **box: Any) -> Part:
    return Part(0, tuple(box.values()) or (slice(0, 5), slice(2, 4)), error, bound)


def test_a_part_is_wrong_where_its_errors_exceed_the_bound() -> None:
    assert not part(1.0, 1.0).is_wrong
    assert not part(-1.0, 1.0).is_wrong
    assert part(1.01, 1.0).is_wrong
    assert part(-1.01, 1.0).is_wrong
    assert not part(5.0, math.inf).is_wrong


def test_a_box_has_a_shape_and_two_halves_along_each_axis() -> None:
    one = part()
    assert (one.shape, one.size) == ((5, 2), 10)
    assert one.halves(0) == ((slice(0, 3), slice(2, 4)), (slice(3, 5), slice(2, 4)))
    assert one.halves(1) == ((slice(0, 5), slice(2, 3)), (slice(0, 5), slice(3, 4)))
    assert part(a=slice(3, 6)).halves(0) == ((slice(3, 5),), (slice(5, 6),))


def test_what_lies_in_a_box_is_a_view() -> None:
    array = np.arange(12.0).reshape(3, 4)
    seen = within(array, (slice(1, 3), slice(0, 2)))
    assert seen.tolist() == [[4.0, 5.0], [8.0, 9.0]]
    seen[...] = 0.0
    assert array[1:, :2].sum() == 0.0
    scalar = np.array(7.0)
    within(scalar, ())[...] = 8.0
    assert scalar == 8.0


# Sums along a direction


def line(x: Any, y: Any) -> float:
    return float(np.sum(3.0 * x) + np.sum(y))


def sight(
    claims: dict[str, Any], *, loss: Any = line, level: float = 1e-300, limit: int | None = None
) -> Sight:
    """A look at a loss of two parameters of ones, of which the gradient is claimed."""

    def target(x: Any, y: Any) -> Any:
        return loss(x, y), {name: np.asarray(one, dtype=float) for name, one in claims.items()}

    inputs = {"x": np.ones(4), "y": np.ones((2, 3))}
    problem = numpy_problem(target, inputs, ["x", "y"])
    rounding = {name: np.zeros(np.shape(one)) for name, one in claims.items()}
    problem = replace(problem, analytic_rounding=rounding)
    noise = Noise(level, problem.facts.value, np.dtype(float), 1.0)
    found = Sight(problem, noise, limit)
    found.turn(np.random.default_rng(0), ())
    return found


RIGHT = {"x": np.full(4, 3.0), "y": np.ones((2, 3))}


def spoiled(name: str, place: int, by: float) -> dict[str, Any]:
    claims = {key: one.copy() for key, one in RIGHT.items()}
    claims[name].flat[place] += by
    return claims


def boxes(found: Sight) -> dict[int, Any]:
    return dict(found.wholes())


def test_wholes_are_all_entries_of_each_parameter_with_a_claim() -> None:
    found = sight(RIGHT)
    assert found.wholes() == [(0, (slice(0, 4),)), (1, (slice(0, 2), slice(0, 3)))]
    without = replace(found.problem, analytic={"y": RIGHT["y"]})
    assert Sight(without, found.noise, None).numbers == [1]


def test_errors_add_up_along_the_direction() -> None:
    found = sight(spoiled("x", 2, 0.5))
    total, bound = found.sum_of_all()
    assert abs(total) > bound
    step = abs(total) / 0.5
    assert 0.5 <= step <= 2.0  # each entry moves by about itself
    inside, most = found.measure([(0, (slice(2, 3),))])
    assert inside == pytest.approx(total, abs=1e-6)
    assert most < 1e-6
    outside, most = found.measure([(0, (slice(0, 2),)), (1, boxes(found)[1])])
    assert abs(outside) <= most < 1e-6


def test_the_second_sum_of_all_takes_four_evaluations() -> None:
    found = sight(RIGHT)
    found.sum_of_all()
    before = found.spent
    assert before == 4  # two steps are enough for a line
    total, bound = found.sum_of_all()
    assert found.spent == before + 4
    assert abs(total) <= bound < 1e-6


def test_what_is_excluded_does_not_move() -> None:
    found = sight(spoiled("y", 5, 0.5))
    wrong = Part(1, (slice(1, 2), slice(2, 3)), 1.0, 0.0)
    found.turn(np.random.default_rng(1), [wrong])
    total, bound = found.sum_of_all()
    assert abs(total) <= bound
    assert found.smallest(1, wrong.box) == 0.0
    found.turn(np.random.default_rng(1), ())
    total, bound = found.sum_of_all()
    assert abs(total) > bound


@pytest.mark.parametrize("claim", [math.nan, math.inf])
def test_claims_that_are_no_numbers_do_not_move(claim: float) -> None:
    claims = spoiled("x", 1, 0.0)
    claims["x"][1] = claim
    total, bound = sight(claims).sum_of_all()
    assert abs(total) <= bound < 1e-6


def test_the_smallest_difference_that_counts_is_a_millionth_of_the_claim() -> None:
    found = sight(RIGHT)
    moved = found.smallest(0, (slice(1, 2),)) / 1e-6
    assert 0.5 * 3 <= moved <= 2 * 3.0


def test_a_resolution_is_the_bound_in_a_typical_entry_of_each_parameter() -> None:
    found = sight(RIGHT, level=1e-9)
    _, bound = found.sum_of_all()
    assert set(found.resolution) == {"x", "y"}
    # entries move by between a half and twice their size of 1, and have slopes of 3 and 1
    assert bound / 6.0 <= found.resolution["x"] <= bound / 1.5
    assert bound / 2.0 <= found.resolution["y"] <= bound / 0.5
    nothing = sight({"x": RIGHT["x"], "y": np.zeros((2, 3))}, loss=lambda x, y: 3.0 * np.sum(x))
    nothing.sum_of_all()
    assert nothing.resolution["y"] == math.inf


# Bounds


def fake(losses: Any, *, noise: float = 0.0, rounding: float = 0.0, limit: Any = None) -> Sight:
    """A look at one entry of size 1, whose losses at four places come from a list."""
    claimed = np.array([1.0])
    parameter = SimpleNamespace(name="x", value=np.ones(1), dtype=np.dtype(float))

    class Evaluator:
        count = 7
        exhausted = False

        def moved(self, blocks: Any, distances: Any) -> Any:
            self.count += len(distances)
            self.distances = list(distances)
            return np.asarray(losses(np.array(distances) * float(blocks[0].steps[0])))

    problem: Any = SimpleNamespace(
        parameters=[parameter],
        analytic={"x": claimed},
        analytic_rounding={"x": np.full(1, rounding)},
        evaluator=Evaluator(),
        facts=SimpleNamespace(value=1.0),
    )
    found = Sight(problem, Noise(noise, 1.0, np.dtype(float)), limit)
    found.turn(np.random.default_rng(0), ())
    return found


WHOLE = [(0, (slice(0, 1),))]
H = 2.0**-17
"""The distance where none was found yet."""


def test_a_sum_is_measured_at_two_distances_on_both_sides() -> None:
    found = fake(lambda t: 1.0 + t)
    error, bound = found.measure(WHOLE)
    evaluator: Any = found.problem.evaluator
    assert evaluator.distances == [H, -H, 4 * H, -4 * H]
    assert found.spent == 4
    assert abs(error) <= 1e-9
    assert bound == pytest.approx(0.0, abs=1e-9)


def test_slopes_that_differ_leave_half_of_their_difference_in_doubt() -> None:
    found = fake(lambda t: 1.0 + t + 1e6 * t**3)
    step = abs(float(found._steps[0][0]))
    error, bound = found.measure(WHOLE)
    bend = 1e6 * (step * H) ** 2 * step
    assert abs(error) == pytest.approx(bend, rel=1e-3)
    assert bound == pytest.approx(0.5 * 15 * bend, rel=1e-3)


def test_within_noise_they_do_not_differ() -> None:
    apart = 1e-9 / H  # of the slopes, where the far one is exact
    for noise, doubt in ((1.05, 0.0), (0.95, 0.5 * apart)):
        level = noise * apart / (4 * (1 + 1 / 4)) * H
        found = fake(
            lambda t: 1.0 + t + np.where(np.abs(t) < 2 * H, np.sign(t) * 1e-9, 0.0), noise=level
        )
        _, bound = found.measure(WHOLE)
        assert bound == pytest.approx(4 * level / H + doubt, rel=1e-3)


def test_four_deviations_of_the_rounding_of_the_claim_are_in_the_bound() -> None:
    found = fake(lambda t: 1.0 + t, rounding=1e-3)
    step = abs(float(found._steps[0][0]))
    assert found.measure(WHOLE)[1] == pytest.approx(4 * 1e-3 * step, rel=1e-3)


def test_off_the_domain_nothing_is_known() -> None:
    assert fake(lambda t: np.where(t > 3 * H * 0.5, np.nan, 1.0)).measure(WHOLE) == (0.0, math.inf)


@pytest.mark.parametrize(("limit", "allowed"), [(3, False), (4, True), (None, True)])
def test_no_more_is_evaluated_than_is_allowed(limit: Any, allowed: bool) -> None:
    found = fake(lambda t: 1.0 + t, limit=limit)
    evaluator: Any = found.problem.evaluator
    if allowed:
        found.measure(WHOLE)
        assert evaluator.count == 11
    else:
        with pytest.raises(EnoughError):
            found.measure(WHOLE)
        assert evaluator.count == 7


def test_where_the_evaluations_are_spent_it_ends() -> None:
    found = fake(lambda t: 1.0 + t)
    evaluator: Any = found.problem.evaluator
    evaluator.exhausted = True
    with pytest.raises(EnoughError):
        found.measure(WHOLE)


def test_the_first_look_may_take_sixteen() -> None:
    with pytest.raises(EnoughError):
        sight(RIGHT, limit=15).sum_of_all()
    assert sight(RIGHT, limit=16).sum_of_all()[1] < 1e-6


def test_at_a_kink_a_claim_between_the_slopes_is_no_error() -> None:
    def bent(x: Any, y: Any) -> float:
        return float(np.sum(np.abs(x - 1.0)) + np.sum(y))

    claims = {"x": np.array([0.5, -0.5, 0.25, 0.0]), "y": np.ones((2, 3))}
    total, bound = sight(claims, loss=bent).sum_of_all()
    assert abs(total) <= bound < 1e-3
    steep = {"x": np.array([9.0, 0.0, 0.0, 0.0]), "y": np.ones((2, 3))}
    total, bound = sight(steep, loss=bent).sum_of_all()
    assert abs(total) > bound


def test_a_resolution_at_a_kink_is_no_better_than_the_gap_between_its_slopes() -> None:
    def bent(x: Any, y: Any) -> float:
        return float(np.sum(np.abs(x - 1.0)) + np.sum(y))

    found = sight(RIGHT, loss=bent)
    _, bound = found.sum_of_all()
    assert found.kink is not None
    low, high = found.kink
    steps = np.abs(found._steps[0])
    assert high - low == pytest.approx(2 * steps.sum(), rel=1e-6)
    typical = np.linalg.norm(3.0 * steps) / math.sqrt(4)
    assert found.resolution["x"] == pytest.approx((bound + high - low) / typical, rel=1e-6)


def test_nothing_is_known_of_a_loss_without_a_slope() -> None:
    found = fake(lambda t: np.where(t == 0.0, 1.0, np.nan))
    assert found.sum_of_all() == (0.0, math.inf)
    assert found.resolution == {"x": math.inf}


@pytest.mark.parametrize("settles", [True, False])
def test_slopes_that_do_not_settle_leave_three_times_their_difference_in_doubt(
    settles: bool,
) -> None:
    found = fake(lambda t: 1.0 + 1e6 * t * (t * t if settles else np.abs(t)), noise=1e-17)
    found.sum_of_all()
    step, h = abs(float(found._steps[0][0])), found._distance
    assert h is not None
    apart = 1e6 * (15 * h * h * step**3 if settles else 3 * h * step**2)
    assert found.measure(WHOLE)[1] == pytest.approx((0.5 if settles else 3.0) * apart, rel=1e-3)


def test_distances_are_no_longer_than_allowed() -> None:
    found = fake(lambda t: 1.0 + t, noise=1e-3)
    found.longest = 2.0**-9
    found.sum_of_all()
    found.measure(WHOLE)
    evaluator: Any = found.problem.evaluator
    assert max(evaluator.distances) == 2.0**-9


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_noise_is_that_of_the_larger_loss(sign: float) -> None:
    def loss(t: Any) -> Any:  # 1 and -10 on both sides, and the same slope from four times as far
        return sign * (5.5 * np.sign(t) * times(t) - 4.5 * (times(t) == 1))

    level = 10 * 2.0**-53
    found = fake(loss, noise=level)
    assert found.measure(WHOLE)[1] == pytest.approx(4 * 8 * level / H, rel=1e-3)


def times(t: Any) -> Any:
    """How many times the shortest distance."""
    return np.round(np.abs(t) / np.abs(t).min())


def test_what_was_spent_before_counts() -> None:
    found = fake(lambda t: 1.0 + t, limit=7)
    found.measure(WHOLE)
    with pytest.raises(EnoughError):
        found.measure(WHOLE)
    assert found.spent == 4
