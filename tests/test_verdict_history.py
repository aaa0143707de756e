"""Which losses count as ones that remember, where they are evaluated before, and what it leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from closed_problems import closed_problem, noise_of

from gradcheck.history import FromAfar, approximate, from_afar, notice_of, remembers, settled

X = np.array([4.0, -2.0, 0.0])


def problem_of(**options: Any) -> Any:
    return closed_problem(lambda x: 1.5, None, **{"x": X, **options})


# What counts as one


@pytest.mark.parametrize(("drift", "so"), [(63.0, False), (64.0, False), (65.0, True)])
@pytest.mark.parametrize(("dtype", "half"), [(np.float64, 2.0**-53), (np.float32, 2.0**-24)])
def test_a_drift_beyond_sixty_four_roundings_of_the_loss_is_none(
    dtype: Any, half: float, drift: float, so: bool
) -> None:
    problem, _ = problem_of()
    problem = replace(problem, facts=replace(problem.facts, dtype=np.dtype(dtype)))
    noise = replace(noise_of(0.0), drift=drift * half)
    assert remembers(problem, noise) is so


def test_a_loss_that_is_drawn_has_no_memory() -> None:
    problem, _ = problem_of(spread=1e-12)
    assert not remembers(problem, replace(noise_of(0.0), drift=1.0))


@pytest.mark.parametrize(("n", "so"), [(1 << 14, True), ((1 << 14) + 1, False)])
def test_large_problems_are_not_asked(n: int, so: bool) -> None:
    problem, _ = problem_of(x=np.zeros(n))
    assert remembers(problem, replace(noise_of(0.0), drift=1.0)) is so


# Where it is evaluated before


@pytest.mark.parametrize(
    ("value", "lengths"),
    [
        (X, [0.4, 0.2, 0.1 * np.sqrt(20 / 3)]),
        (np.zeros((2, 2)), np.full((2, 2), 0.1)),
        (np.array(-3.0), 0.3),
    ],
    ids=["mixed", "zeros", "a number"],
)
def test_first_every_entry_is_a_tenth_of_itself_away(value: Any, lengths: Any) -> None:
    value, seen = value.copy(), []
    start = value.copy()
    function = FromAfar(lambda: seen.append(value.copy()) or len(seen), [value])
    assert function() == 2
    np.testing.assert_allclose(np.abs(seen[0] - start), lengths)
    assert (seen[1] == start).all()
    assert function() == 4
    assert (seen[2] == seen[0]).all()


def test_to_either_side() -> None:
    values, seen = [np.ones(50), np.ones(50)], []
    FromAfar(lambda: seen.append([one.copy() for one in values]), values)()
    for one in seen[0]:
        np.testing.assert_allclose(sorted(set(one)), [0.9, 1.1])


@pytest.mark.parametrize("error", [ValueError, FloatingPointError, MemoryError, KeyboardInterrupt])
def test_off_the_domain_it_is_called_at_the_point_alone(error: Any) -> None:
    value, seen = X.copy(), []

    def function() -> float:
        seen.append(value.copy())
        if len(seen) == 1:
            raise error
        return 3.0

    if error in (MemoryError, KeyboardInterrupt):
        with pytest.raises(error):
            FromAfar(function, [value])()
        assert len(seen) == 1
    else:
        assert FromAfar(function, [value])() == 3.0
    assert (value == X).all()


def test_every_evaluation_of_the_problem_counts_for_two_from_then_on() -> None:
    problem, looks = closed_problem(lambda x: 2.0 * x[0], None, x=X, value=5.0)
    found = from_afar(problem)
    assert found.facts.value == 8.0
    assert found.evaluator.count == 2
    assert found.evaluator.along([np.array([1.0, 0.0, 0.0])], [0.5]).tolist() == [9.0]
    assert found.evaluator.count == 4
    assert [one["x"][0] == 4.0 for one in looks.losses] == [False, True, False, False]
    # from the point itself it starts as far away as from any other
    assert abs(looks.losses[2]["x"][0] - 4.5) == pytest.approx(0.4)


def test_what_is_said_of_it() -> None:
    found = notice_of(0.0123)
    assert found.key == "loss_remembers"
    assert "changes by 0.01 with what was evaluated before" in found.message


# What that leaves


def test_a_gradient_is_as_good_as_the_tolerance_over_the_scales() -> None:
    problem, _ = closed_problem(lambda x, y: 0.0, None, x=[4.0, 0.0], y=[1.0])
    found = approximate({"x": np.array([0.5, 1.0])}, problem.parameters, 1e-3)
    assert list(found) == ["x"]
    np.testing.assert_allclose(found["x"], [0.5 + 0.064 / 4, 1.0 + 0.064 / 4])


@pytest.mark.parametrize(
    ("values", "value"),
    [
        ([5.0, 5.0, 5.0], 5.0),
        ([5.0, 5.009, 5.0], 5.0),
        ([5.0, 4.991, 5.0], 5.0),
        ([5.0, 5.005, 4.996], 5.0),
        ([5.0, 5.007, 4.996], None),
        ([5.0, 5.0, 5.011], None),
        ([5.0, 5.011, 5.0], None),
        ([5.011, 5.0, 5.0], None),
    ],
)
def test_three_evaluations_have_to_be_a_hundred_times_closer(
    values: list[float], value: float | None
) -> None:
    left = list(values)
    assert settled(lambda: left.pop(0), 1.0) == value
    assert not left


def test_a_spread_of_nothing_is_no_spread() -> None:
    assert settled(lambda: 2.0, 0.0) == 2.0
