"""What tells steps from oscillations and poles: how high they are over ever shorter lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_jump_search import Line, searched

from gradcheck.jumps import is_staircase

LENGTH = 0.5


def followed(loss: Any, level: float = 1e-18) -> tuple[bool, list[float]]:
    """Whether a loss is a staircase, and where it was evaluated."""
    line = Line(loss)
    facts: Any = type("Facts", (), {"value": float(loss(0.0))})
    problem: Any = type("Problem", (), {"evaluator": line, "facts": facts})
    return is_staircase(problem, [np.ones(1)], LENGTH, level), line.asked


def step(t: float) -> float:
    return 5.0 + 1.0 * (t > 0.1)


def test_a_step_is_as_high_over_any_length() -> None:
    found, asked = followed(step)
    assert found
    assert len(asked) == 1 + 32
    assert asked[:4] == [0.5, 0.25, 0.125, 0.0625]
    assert asked[-1] == pytest.approx(0.1, abs=1e-9)


@pytest.mark.parametrize(
    ("power", "expected"), [(0.12, True), (0.13, False), (-0.12, True), (-0.13, False)]
)
def test_over_the_last_eight_halvings_it_stays_within_a_factor_of_two(
    power: float, expected: bool
) -> None:
    def loss(t: float) -> float:
        return 0.0 if t == 0.0 else t**power

    found, asked = followed(loss)
    assert found is expected
    assert len(asked) == 1 + 32


def test_it_is_more_than_eight_deviations_of_noise() -> None:
    # the slope over the whole length explains half of the step in the first half of it
    assert followed(step, 0.0624)[0]
    assert followed(step, 0.0625) == (False, [0.5, 0.25])


@pytest.mark.parametrize("slope", [3.0, -3.0])
def test_a_line_leaves_nothing_to_follow(slope: float) -> None:
    assert followed(lambda t: 5.0 + slope * t) == (False, [0.5, 0.25])


def test_an_oscillation_is_resolved() -> None:
    found, asked = followed(lambda t: 1.0 + np.sin(1e3 * t), 1e-6)
    assert not found
    assert 10 < len(asked) < 32


def test_beyond_the_domain_there_is_no_staircase() -> None:
    assert followed(lambda t: 1.0 if t < 0.4 else np.nan) == (False, [0.5])


# The height of a jump


def test_a_jump_is_what_the_slope_in_the_middle_leaves_over_the_shortest_length() -> None:
    def loss(t: float) -> float:  # slopes of 3, 1 and 7, and a jump at 0.3
        smooth = 3.0 * t if t < 0.45 else 1.35 + (t - 0.45) if t < 0.95 else 1.85 + 7 * (t - 0.95)
        return smooth + 100.0 * (t > 0.3)

    found, _ = searched(loss, short=1e-6)
    assert found.between == pytest.approx(3.0)
    assert found.height == pytest.approx(100.0 + (3.0 - 1.0) * 2.0**-32, abs=5e-11)


def test_of_two_equal_jumps_the_nearer_is_followed() -> None:
    found, asked = searched(lambda t: 1.0 * (t > 0.3) + 1.0 * (t > 0.7), short=1e-6)
    assert found is not None
    assert asked[-1] == pytest.approx(0.3, abs=2e-9)
