"""What is looked at beside a point: how far away it lies, and what is seen there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from closed_problems import closed_problem

from gradcheck.verdict.beside import Beside, look_beside

X = np.array([4.0, -2.0, 0.0])
SCALES = np.array([4.0, np.sqrt(10.0), np.sqrt(10.0)])


def squares(x: Any) -> Any:
    return np.sum(x * x)


def twice(x: Any) -> Any:
    return {"x": 2 * x}


def looked(problem: Any, direction: Any, *, seed: int = 0, radius: float = 0.5, step: float = 0.25):
    return look_beside(problem, np.random.default_rng(seed), direction, radius, step)


def test_slopes_are_taken_to_either_side_of_the_point_that_is_drawn() -> None:
    problem, looks = closed_problem(squares, twice, x=X)
    found = looked(problem, [np.array([1.0, 0.0, 0.0])])
    assert found is not None
    (at,) = (one["x"] for one in looks.gradients)
    down, here, up = (one["x"] for one in looks.losses)
    assert (here == at).all()
    (sign,) = np.sign(up - here)[:1]
    np.testing.assert_allclose(up - here, [0.125 * sign, 0, 0], atol=1e-15)
    np.testing.assert_allclose(here - down, up - here, atol=1e-15)
    # the slopes of a square over a step are those in its middle
    assert found.before == pytest.approx(2 * sign * at[0] - 0.125)
    assert found.after == pytest.approx(2 * sign * at[0] + 0.125)
    assert found.slope == pytest.approx(2 * sign * at[0])
    np.testing.assert_allclose(found.products, [2 * sign * at[0], 0, 0])
    assert found.claimed == pytest.approx(found.slope)
    assert found.gradient["x"].tolist() == (2 * at).tolist()
    assert problem.parameters[0].value.tolist() == X.tolist()
    assert problem.evaluator.count == 4


def test_the_gradient_may_be_asked_for_halfway_as_well() -> None:
    problem, looks = closed_problem(squares, twice, x=X)
    one = looked(problem, [np.ones(3)])
    assert one is not None
    assert one.nearer is None
    generator = np.random.default_rng(0)
    two = look_beside(problem, generator, [np.ones(3)], 0.5, 0.25, part=0.5)
    assert two is not None
    assert two.nearer is not None
    alone, near, far = (one["x"] for one in looks.gradients)
    assert far.tolist() == alone.tolist()
    np.testing.assert_allclose(near - X, 0.5 * (far - X), atol=1e-15)
    assert two.nearer["x"].tolist() == (2 * near).tolist()
    assert two.gradient["x"].tolist() == (2 * far).tolist()
    assert (looks.losses[4]["x"] == far).all()
    assert problem.evaluator.count == 4 + 5
    assert problem.parameters[0].value.tolist() == X.tolist()


@pytest.mark.parametrize(("budget", "gradients"), [(1, 0), (2, 2), (4, 2), (5, 2)])
def test_halfway_costs_one_more(budget: int, gradients: int) -> None:
    problem, looks = closed_problem(squares, twice, budget=budget, x=X)
    generator = np.random.default_rng(0)
    found = look_beside(problem, generator, [np.ones(3)], 0.5, 0.25, part=0.5)
    assert (found is not None) == (budget == 5)
    assert len(looks.gradients) == gradients


def test_a_direction_has_the_sign_of_each_entry_drawn() -> None:
    problem, looks = closed_problem(
        lambda x: np.sum(x), lambda x: {"x": np.ones(200)}, x=np.zeros(200)
    )
    found = looked(problem, [np.full(200, 3.0)])
    assert found is not None
    assert set(found.products) == {-3.0, 3.0}
    moved = looks.losses[2]["x"] - looks.losses[1]["x"]
    np.testing.assert_allclose(moved, 0.125 * found.products, atol=1e-12)


def test_points_fill_a_box_of_the_radius_and_every_other_a_narrower_part_of_it() -> None:
    values = np.tile(X, 500)
    problem, looks = closed_problem(squares, twice, x=values)
    generator = np.random.default_rng(3)
    for _ in range(60):
        assert look_beside(problem, generator, [np.ones(1500)], 1e-3, 0.25) is not None
    parts = [(one["x"] - values) / (1e-3 * np.tile(SCALES, 500)) for one in looks.gradients]
    assert all(np.abs(one).max() <= 1.0 + 1e-9 for one in parts)
    # of even parts a tenth lies within a tenth; shrunk by up to an order of magnitude, more does
    inner = np.array([np.mean(np.abs(one) < 0.1) for one in parts])
    even, narrow = inner[inner < 0.25], inner[inner >= 0.25]
    assert min(even.size, narrow.size) > 15
    assert even.mean() == pytest.approx(0.1, abs=0.005)
    assert narrow.mean() == pytest.approx(0.9 / np.log(10), abs=0.01)
    plain = [one for one, share in zip(parts, inner, strict=True) if share < 0.25]
    assert all(one.min() < -0.99 and one.max() > 0.99 for one in plain)
    assert np.mean([one < 0 for one in parts]) == pytest.approx(0.5, abs=0.01)


def test_every_parameter_moves_and_one_without_a_gradient_makes_no_product() -> None:
    problem, looks = closed_problem(
        lambda x, y: np.sum(x) + 5 * np.sum(y), lambda x, y: {"y": 5 + 0 * y}, x=X, y=[1.0, 2.0]
    )
    found = looked(problem, [np.ones(3), np.array([1.0, 0.0])])
    assert found is not None
    assert np.abs(found.products).tolist() == [5.0, 0.0]
    assert (looks.gradients[0]["x"] != X).all()
    assert (looks.gradients[0]["y"] != [1.0, 2.0]).all()


def test_each_parameter_has_a_direction() -> None:
    problem, _ = closed_problem(lambda x, y: 0.0, lambda x, y: {"x": 0 * x}, x=X, y=X)
    with pytest.raises(ValueError, match="zip"):
        looked(problem, [np.ones(3)])


def raising(x: Any) -> Any:
    raise ValueError("off the domain")


def off_the_point(value: float) -> Any:
    """Squares that are something else a step up from a point beside this one."""
    calls = []

    def loss(x: Any) -> Any:
        calls.append(x)
        return value if len(calls) == 4 else squares(x)

    return loss


@pytest.mark.parametrize(
    ("loss", "gradient"),
    [
        (squares, raising),
        (squares, lambda x: {}),
        (squares, lambda x: {"x": 2 * x, "y": x}),
        (off_the_point(np.nan), twice),
        (off_the_point(np.inf), twice),
    ],
    ids=["raises", "no gradient", "another one", "nan", "inf"],
)
def test_where_there_is_no_slope_nothing_is_found(loss: Any, gradient: Any) -> None:
    problem, _ = closed_problem(loss, gradient, {"x": 2 * X}, x=X)
    assert looked(problem, [np.ones(3)]) is None
    assert problem.parameters[0].value.tolist() == X.tolist()


@pytest.mark.parametrize(
    ("budget", "gradients", "losses"), [(0, 0, 0), (1, 1, 0), (3, 1, 0), (4, 1, 3)]
)
def test_a_budget_is_not_exceeded(budget: int, gradients: int, losses: int) -> None:
    problem, looks = closed_problem(squares, twice, budget=budget, x=X)
    assert (looked(problem, [np.ones(3)]) is not None) == (losses == 3)
    assert (len(looks.gradients), len(looks.losses)) == (gradients, losses)
    assert problem.evaluator.count == gradients + losses


def test_without_a_gradient_of_other_points_nothing_is_spent() -> None:
    problem, looks = closed_problem(squares, twice, x=X)
    assert looked(replace(problem, gradient_at=None), [np.ones(3)]) is None
    assert not looks.losses
    assert problem.evaluator.count == 0


def test_a_buffer_that_the_target_writes_to_again_is_copied() -> None:
    buffer = np.zeros(3)

    def gradient(x: Any) -> Any:
        np.multiply(x, 2, out=buffer)
        return {"x": buffer}

    problem, _ = closed_problem(squares, gradient, x=X)
    one, two = (looked(problem, [np.ones(3)], seed=seed) for seed in (1, 2))
    assert one is not None
    assert two is not None
    assert (one.gradient["x"] != two.gradient["x"]).all()


# What is made of the slopes


@pytest.mark.parametrize(
    ("before", "after", "kink"),
    [
        (1.0, 3.0, False),
        (3.0, 1.0, False),
        (1.0, 3.01, True),
        (3.01, 1.0, True),
        (-1.0, 1.5, True),
        (np.nan, 1.0, True),
    ],
)
def test_slopes_that_differ_by_twice_what_is_allowed_make_a_kink(
    before: float, after: float, kink: bool
) -> None:
    assert Beside({}, before, after, np.zeros(2)).has_kink(1.0) is kink


@pytest.mark.parametrize(
    ("claimed", "wrong"), [(2.0, False), (3.0, False), (1.0, False), (3.01, True), (0.99, True)]
)
def test_a_claim_is_wrong_that_lies_farther_from_the_slope_between_than_allowed(
    claimed: float, wrong: bool
) -> None:
    found = Beside({}, 1.5, 2.5, np.array([claimed - 7.0, 7.0]))
    assert found.slope == 2.0
    assert found.claimed == pytest.approx(claimed)
    assert found.is_wrong(1.0) is wrong
