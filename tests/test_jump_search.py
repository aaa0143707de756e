"""What tells a loss that jumps from one that bends, and how far its slope between jumps is seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcheck.jumps import Jumps, find_jumps

SPACING = 0.125
LENGTH = 8 * SPACING
TINY = 1e-18


@dataclass
class Line:
    """Evaluates a loss along a direction, and remembers where."""

    loss: Any
    asked: list[float] = field(default_factory=list)

    def along(self, direction: Any, distances: Any) -> Any:
        self.asked += list(distances)
        return np.array([self.loss(t) for t in distances], dtype=float)


def searched(loss: Any, *, short: float = 1e-3, level: float = TINY) -> tuple[Any, list[float]]:
    """What is found of a loss along a line, and where it was evaluated."""
    line = Line(loss)
    problem = SimpleNamespace(evaluator=line, facts=SimpleNamespace(value=float(loss(0.0))))
    losses = np.array([loss(SPACING * k) for k in range(1, 9)], dtype=float)
    problem_as_any: Any = problem
    found = find_jumps(problem_as_any, [np.ones(1)], (SPACING, losses), short, level)
    return found, line.asked


def stepped(height: float, smooth: Any = lambda t: 0.0, at: float = 0.3) -> Any:
    return lambda t: smooth(t) + height * (t > at)


def test_between_two_jumps_a_saw_has_its_own_slope_and_across_them_that_of_the_whole() -> None:
    found, _ = searched(lambda t: 2.0 * t - 0.1 * np.floor(t / 0.1 + 0.05), level=1e-15)
    assert found.between == pytest.approx(2.0)
    assert found.across == pytest.approx(1.0)
    assert found.level == 1e-15
    assert [one.tolist() for one in found.direction] == [[1.0]]


@pytest.mark.parametrize(
    "loss",
    [
        lambda t: 5.0,
        lambda t: 3.0 * t,
        lambda t: 3.0 * t + 40.0 * t * t,
        lambda t: t**3 - t,
        np.exp,
        lambda t: np.sin(3.0 * t),
    ],
    ids=["constant", "line", "parabola", "cubic", "exponential", "sine"],
)
def test_what_is_smooth_does_not_jump(loss: Any) -> None:
    found, asked = searched(loss, short=1e-4, level=1e-15)
    assert found is None
    assert len(asked) == 3


def test_a_bend_of_the_slope_explains_four_times_as_much() -> None:
    # a cubic: its slopes 0, 3/4 and 3 bend by 3/2
    assert searched(stepped(6.1, lambda t: t**3), short=1e-6)[0] is not None
    found, asked = searched(stepped(5.9, lambda t: t**3), short=1e-6)
    assert found is None
    assert len(asked) == 3


def test_noise_over_a_short_length_explains_what_it_makes_of_the_whole() -> None:
    # eight deviations, at the end and in slopes that are taken over a tenth of the length
    explained = 8.0 * 1e-6 * (1.0 + 10.0)
    assert searched(stepped(1.02 * explained), short=0.1, level=1e-6)[0] is not None
    found, asked = searched(stepped(0.98 * explained), short=0.1, level=1e-6)
    assert found is None
    assert len(asked) == 3


def test_what_goes_on_within_any_length_is_a_jump() -> None:
    found, asked = searched(stepped(1.0), short=1e-6)
    assert found is not None
    assert len(asked) == 3 + 32
    halves = asked[3:]
    assert halves[0] == LENGTH / 2
    assert halves[1:3] == [LENGTH / 4, 3 * LENGTH / 8]
    assert halves[-1] == pytest.approx(0.3, abs=2e-9)


@pytest.mark.parametrize("at", [0.05, 0.3, 0.49, 0.7, 0.95])
def test_a_jump_is_found_wherever_it_is(at: float) -> None:
    found, asked = searched(stepped(1.0, lambda t: 0.5 * t, at), short=1e-6)
    assert found is not None
    assert asked[-1] == pytest.approx(at, abs=2e-9)


def test_a_steep_rise_is_no_jump() -> None:
    # from 0 to 1 within a hundredth: no slope of the three shows it, and 2**-27 is short enough
    found, asked = searched(lambda t: np.clip((t - 0.3) / 0.01, 0.0, 1.0), short=1e-6, level=1e-7)
    assert found is None
    assert len(asked) == 3 + 27


@pytest.mark.parametrize(("deviations", "is_jump"), [(8.125, True), (8.0, False), (7.9, False)])
def test_each_jump_is_more_than_eight_deviations(deviations: float, is_jump: bool) -> None:
    places = np.concatenate([np.linspace(0.15, 0.45, 20), np.linspace(0.65, 0.95, 20)])
    level = 2.0**-20

    def loss(t: float) -> float:
        return deviations * level * float((t > places).sum())

    assert (searched(loss, short=0.1, level=level)[0] is not None) is is_jump


# The length of the short steps


def first_steps(loss: Any, **options: float) -> list[float]:
    asked = searched(loss, **options)[1][:3]
    return [t - place for t, place in zip(asked, (0.0, LENGTH / 2, LENGTH), strict=True)]


def test_slopes_are_taken_as_near_as_noise_allows_at_both_ends_and_in_the_middle() -> None:
    # to a hundredth of the slope across: 8 * 1e-9 / 0.01
    assert first_steps(lambda t: t, short=1e-3, level=1e-9) == pytest.approx([8e-7] * 3)
    assert first_steps(lambda t: -4 * t, short=1e-3, level=1e-9) == pytest.approx([2e-7] * 3)


def test_they_are_no_longer_than_those_of_the_tables() -> None:
    assert first_steps(lambda t: t, short=1e-3, level=1e-5) == pytest.approx([1e-3] * 3)
    assert first_steps(lambda t: 7.0, short=1e-3, level=1e-9) == pytest.approx([1e-3] * 3)


def test_they_are_no_shorter_than_parameters_resolve() -> None:
    steps = first_steps(lambda t: t, short=1e-3, level=1e-18)
    assert steps == pytest.approx([1e-11] * 3, rel=1e-4)


def test_slopes_off_the_domain_tell_nothing() -> None:
    found, asked = searched(lambda t: 1.0 * (t > 0.3) if t <= LENGTH else np.nan, short=1e-6)
    assert found is None
    assert len(asked) == 3


# Whose slope it is


def slope_is_between(gradient: dict[str, Any], across: float = 3.0) -> bool:
    direction = [np.array([1.0, 2.0]), np.array([[0.5]])]
    jumps = Jumps(direction, 1.0, across, 1e-12)
    return jumps.lies_between(gradient, ("u", "v"))


@pytest.mark.parametrize("across", [3.0, -1.0])
@pytest.mark.parametrize(
    ("slope", "expected"), [(1.0, True), (1.19, True), (0.81, True), (1.21, False), (0.79, False)]
)
def test_a_gradient_within_a_tenth_of_their_difference_has_the_slope_between(
    slope: float, expected: bool, across: float
) -> None:
    gradient = {"u": np.array([0.3, 0.1]), "v": np.array([[2.0 * (slope - 0.5)]])}
    assert slope_is_between(gradient, across) is expected


def test_a_tenth_of_it_is_within() -> None:
    assert slope_is_between({"u": np.array([2.0, 0.0]), "v": np.zeros((1, 1))}, across=11.0)


def test_a_gradient_that_misses_a_parameter_has_no_slope() -> None:
    assert not slope_is_between({"u": np.array([1.0, 0.0])})
    assert slope_is_between({"u": np.array([1.0, 0.0]), "v": np.zeros((1, 1))})
