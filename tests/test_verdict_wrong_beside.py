"""Where a gradient is held against the loss beside a kink, by how much, and at how many points."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from closed_problems import closed_problem, noise_of

from gradcheck.verdict.wrong_beside import WrongBeside, diagnosis_of, wrong_beside

RADIUS = 2.0**-13
"""How far the points lie, in units of the scales."""
SHORTEST, LONGEST = 2.0**-12, 2.0**-7
"""Steps of the slopes there, in units of that distance."""


def found_of(problem: Any, level: float = 0.0, tolerances: Any = None, **accepted: Any) -> Any:
    """What is wrong at points beside; ``accepted`` marks entries by parameter."""
    marks = {name: np.broadcast_to(one, np.shape(one)) for name, one in accepted.items()}
    tolerances = dict.fromkeys(accepted, 0.001) | (tolerances or {})
    return wrong_beside(problem, noise_of(level), marks, tolerances)


def line(slopes: Any, claims: Any, *, x: Any = None, **options: Any) -> Any:
    """A linear loss, with the same claim everywhere."""
    slopes, claims = np.asarray(slopes, dtype=float), np.asarray(claims, dtype=float)
    x = np.zeros(slopes.shape) if x is None else x
    return closed_problem(
        lambda x: np.sum(slopes * x), lambda x: {"x": claims.copy()}, x=x, **options
    )


# How much is wrong


@pytest.mark.parametrize(
    ("slopes", "claims", "tolerance", "wrong"),
    [
        # the claim's norm along the direction is 2, whatever the signs are
        ([1.0, 1, 1, 1], [1.0, 1, 1, 1 + 1.9e-3], 1e-3, False),
        ([1.0, 1, 1, 1], [1.0, 1, 1, 1 + 2.1e-3], 1e-3, True),
        ([1.0, 1, 1, 1], [1.0, 1, 1, 1 - 1.9e-3], 1e-3, False),
        ([1.0, 1, 1, 1], [1.0, 1, 1, 1 - 2.1e-3], 1e-3, True),
        # of nothing claimed the loss's own slope is the measure
        ([3.0], [0.0], 1.01, False),
        ([-3.0], [0.0], 0.99, True),
        ([0.0], [3.0], 1.01, False),
        ([0.0], [-3.0], 0.99, True),
    ],
)
def test_the_tolerance_is_a_part_of_the_larger_slope(
    slopes: Any, claims: Any, tolerance: float, wrong: bool
) -> None:
    problem, _ = line(slopes, claims)
    found = found_of(problem, tolerances={"x": tolerance}, x=np.ones(len(slopes), dtype=bool))
    assert bool(found) is wrong


@pytest.mark.parametrize(("part", "wrong"), [(0.9, False), (1.1, True)])
@pytest.mark.parametrize("relative", [1e-9, 1.0])
def test_noise_may_make_eight_of_its_deviations_over_the_step(
    relative: float, part: float, wrong: bool
) -> None:
    # little noise is seen over the shortest step, and much over the longest
    step = SHORTEST if relative < 1e-3 else LONGEST
    level = relative * RADIUS * step / 8.0
    problem, _ = line([1.0], [1.0 + part * relative])
    assert bool(found_of(problem, level, {"x": 0.0}, x=np.ones(1, dtype=bool))) is wrong


def test_of_several_parameters_the_largest_tolerance_counts_together() -> None:
    def loss(x: Any, y: Any) -> Any:
        return x[0] + y[0]

    def gradient(x: Any, y: Any) -> Any:
        return {"x": np.array([1.01]), "y": np.ones(1)}

    marks = {"x": np.ones(1, dtype=bool), "y": np.ones(1, dtype=bool)}
    zeros = {"x": np.zeros(1), "y": np.zeros(1)}
    for name, wrong in (("x", ["x"]), ("y", [])):
        problem, _ = closed_problem(loss, gradient, **zeros)
        tolerances = {"x": 1e-3, "y": 1e-3} if name == "x" else {"x": 1e-3, "y": 0.5}
        found = found_of(problem, 0.0, tolerances, **marks)
        assert [one.name for one in found] == wrong


# Where it is looked at


def test_points_lie_within_an_eight_thousandth_of_the_scales() -> None:
    x = np.tile([0.0, 4.0], 20)
    problem, looks = line(np.ones(40), np.zeros(40), x=x)
    assert found_of(problem, x=np.ones(40, dtype=bool))
    parts = [np.abs(one["x"] - x) / 4.0 for one in looks.gradients]
    assert 0.98 * RADIUS < max(one.max() for one in parts) <= RADIUS * (1 + 1e-9)


@pytest.mark.parametrize(
    ("level", "step"),
    [
        (0.0, SHORTEST),
        (0.9 * SHORTEST, SHORTEST),
        (1.5 * SHORTEST, 1.5 * SHORTEST),
        (2.0**-9, 2.0**-9),
        (0.9 * LONGEST, 0.9 * LONGEST),
        (1.1 * LONGEST, LONGEST),
        (np.inf, LONGEST),
    ],
)
def test_steps_are_as_long_as_noise_asks_for(level: float, step: float) -> None:
    # of the slopes of what is accepted, over the scales, it may hide a hundred-thousandth
    def loss(x: Any, y: Any, z: Any) -> Any:
        return 3 * x[0] + 1e6 * y[0] + 0.5 * z[0]

    def gradient(x: Any, y: Any, z: Any) -> Any:
        return {"x": np.array([3.0, 0.0]), "y": np.array([1e6]), "z": np.array([0.5])}

    noise = min(level, 1e6) * RADIUS * 1e-5 * 12.0 / 8.0
    problem, looks = closed_problem(loss, gradient, x=[4.0, 0.0], y=[0.0], z=[0.0])
    accepted = {"x": np.array([True, False]), "z": np.array([True])}
    assert found_of(problem, noise, **accepted) == ()
    down, here, up = (one["x"] for one in looks.losses[:3])
    np.testing.assert_allclose(np.abs(up - here), [4.0 * RADIUS * step, 0.0], rtol=1e-5)
    np.testing.assert_allclose(np.abs(here - down), [4.0 * RADIUS * step, 0.0], rtol=1e-5)
    assert looks.losses[2]["y"] == looks.losses[1]["y"]


def test_of_a_claim_of_nothing_they_are_the_longest() -> None:
    problem, looks = line([0.0], [0.0])
    assert found_of(problem, 1e-300, x=np.ones(1, dtype=bool)) == ()
    moved = looks.losses[2]["x"] - looks.losses[1]["x"]
    assert np.abs(moved[0]) == pytest.approx(LONGEST * RADIUS)


# How many points


class ByTurns:
    """A loss of slope 1 whose gradient is right (r) or wrong (w) by turns, and wrong in the end.

    It cannot be computed (n) or sits on a kink (k) elsewhere.
    """

    def __init__(self, turns: str) -> None:
        self.turns, self.calls, self.evaluations = turns, 0, 0

    @property
    def turn(self) -> str:
        """What is here."""
        return "w" if self.calls > len(self.turns) else self.turns[self.calls - 1]

    def gradient(self, x: Any) -> Any:
        """The slope, or ten times the number of the point where it is wrong."""
        self.calls += 1
        self.evaluations = 0
        if self.turn == "n":
            raise ValueError("off the domain")
        return {"x": np.array([10.0 * self.calls if self.turn == "w" else 1.0])}

    def loss(self, x: Any) -> Any:
        """The line; in the middle of a kink it is higher."""
        self.evaluations += 1
        return x[0] + (self.turn == "k" and self.evaluations == 2)


@pytest.mark.parametrize(
    ("turns", "wrong"),
    [
        ("ww", True),
        ("rr", False),
        ("wrw", True),
        ("rww", True),
        ("wrr", False),
        ("rwr", False),
        ("knkww", True),
        ("nnnnnnww", True),
        ("kkkkkkww", True),
        ("wnnnnnnw", True),
        ("rnnnkkkw", False),
        ("nnnnnnnw", False),
        ("nnnnnnnn", False),
    ],
)
def test_two_points_of_up_to_eight_that_agree_settle_it(turns: str, wrong: bool) -> None:
    target = ByTurns(turns)
    problem, _ = closed_problem(target.loss, target.gradient, {"x": np.ones(1)}, x=np.zeros(1))
    found = found_of(problem, x=np.ones(1, dtype=bool))
    # what is wrong takes two more, to tell in which parameter
    assert target.calls == len(turns) + 2 * wrong
    assert [one.name for one in found] == ["x"] * wrong
    if wrong:
        assert abs(found[0].slope) == pytest.approx(1.0)
        assert abs(found[0].claimed) == 10.0 * (len(turns) + 1)
        assert found[0].claimed / found[0].slope > 0


# Whether it is looked at


@pytest.mark.parametrize(("n", "looked"), [(1 << 20, True), ((1 << 20) + 1, False)])
def test_large_problems_are_left_alone(n: int, looked: bool) -> None:
    problem, looks = line(np.ones(n), np.zeros(n))
    assert bool(found_of(problem, x=np.ones(n, dtype=bool))) is looked
    assert bool(looks.gradients) is looked


def test_nothing_is_looked_at_without_kinks_or_a_gradient_elsewhere() -> None:
    problem, looks = line([1.0], [0.0])
    assert found_of(problem) == ()
    assert found_of(problem, elsewhere=np.ones(1, dtype=bool)) == ()
    alone = replace(problem, gradient_at=None)
    assert found_of(alone, x=np.ones(1, dtype=bool)) == ()
    assert not looks.losses


def test_entries_that_are_not_accepted_do_not_move_and_are_not_named() -> None:
    problem, _ = line([1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0])
    marks = np.array([[False, True], [False, True]])
    problem_of_two_axes, _ = line([[1.0, 2.0], [4.0, 8.0]], np.zeros((2, 2)))
    assert found_of(problem, x=marks.reshape(-1)) == ()
    (found,) = found_of(problem_of_two_axes, x=marks)
    assert found.entries.tolist() == [1, 3]


@pytest.mark.parametrize("wrong", ["x", "y"])
def test_a_parameter_is_named_that_is_wrong_by_itself(wrong: str) -> None:
    def gradient(x: Any, y: Any) -> Any:
        return {"x": np.ones(1), "y": np.ones(1)} | {wrong: np.full(1, 3.0)}

    problem, _ = closed_problem(lambda x, y: x[0] + y[0], gradient, x=np.zeros(1), y=np.zeros(1))
    marks = {name: np.ones(1, dtype=bool) for name in "xy"}
    assert [one.name for one in found_of(problem, **marks)] == [wrong]


def test_what_is_said_of_it() -> None:
    found = diagnosis_of(WrongBeside("w", np.arange(3), 0.123456, -2.0))
    assert (found.cause, found.parameter, found.confidence) == ("kink", "w", "exact")
    assert found.message.startswith("3 entries of w sit on kinks of the loss")
    assert "moves them the loss has the slope 0.1235, and the gradient claims -2." in found.message
    assert found.evidence == {"slope": 0.123456, "claimed": -2.0}
    assert "--jitter" in found.remedy
    alone = diagnosis_of(WrongBeside("w", np.arange(1), 0.5, 1.0))
    assert alone.message.startswith("1 entry of w sits on a kink of the loss")
    assert "moves it the loss has the slope 0.5" in alone.message
