"""How many directions are looked at more closely, and how far a sum of many entries may reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_kinks_gathered import NOISE, contradictions, kinks, problem_of

from gradcheck.verdict.joint_kinks import contradicted_together


def above_zero(x: Any) -> float:
    """Zero, or the largest: each entry alone has the slopes 0 and 1 there."""
    return float(max(0.0, x.max()))


@pytest.mark.parametrize(("claim", "wrong"), [(0.53, False), (0.545, True)])
def test_a_sum_of_many_has_to_be_farther_than_slopes_that_were_not_drawn(
    claim: float, wrong: bool
) -> None:
    # of eighteen points two lie where all is below zero: slopes of mean 8/9, and twice their
    # deviation by the root of four entries beyond is 2.146
    found, _ = contradictions(above_zero, [claim] * 4, (0.0, 1.0))
    assert [one.entries["x"].tolist() for one in found] == [[0, 1, 2, 3]] * wrong


def test_of_two_entries_every_slope_is_drawn() -> None:
    assert contradictions(above_zero, [0.58, 0.58], (0.0, 1.0))[0] == ()
    (found,) = contradictions(above_zero, [0.62, 0.62], (0.0, 1.0))[0]
    assert (found.lower, found.upper, found.claimed) == pytest.approx((0.0, 1.0, 1.24))


def test_six_directions_are_looked_at_more_closely() -> None:
    signs = np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])

    def opposed(x: Any) -> float:
        return float(signs @ np.maximum(x, 0.0))

    # all that is positive is claimed: along nine pairs that are opposed the claim is beyond
    problem = problem_of(opposed, {"x": np.maximum(signs, 0.0)})
    found = contradicted_together(
        problem,
        NOISE,
        np.random.default_rng(0),
        differences={"x": kinks(np.minimum(signs, 0.0), np.maximum(signs, 0.0))},
        accepted={"x": np.ones(6, dtype=bool)},
    )
    assert found == ()
    moves = np.array([one[0] for one in problem.evaluator.moves])
    farther = np.isclose(np.abs(moves).max(axis=1), 8e-6)
    pairs = farther & (np.count_nonzero(moves, axis=1) == 2)
    assert int(pairs.sum()) == 2 * 6


def test_of_many_entries_every_neighbouring_pair_may_be_drawn() -> None:
    pairs = set()
    for seed in range(40):
        problem = problem_of(lambda x: float(np.abs(x).sum()), {"x": np.zeros(7)})
        contradicted_together(
            problem,
            NOISE,
            np.random.default_rng(seed),
            differences={"x": kinks([-1.0] * 7, [1.0] * 7)},
            accepted={"x": np.ones(7, dtype=bool)},
        )
        moves = [np.flatnonzero(one[0]) for one in problem.evaluator.moves]
        assert len(moves) == 2 * (8 * 2 + 3)
        neighbours = [tuple(at.tolist()) for at in moves[:16:4]]
        assert len(set(neighbours)) == 4
        assert all(j == i + 1 for i, j in neighbours)
        pairs.update(neighbours)
    assert pairs == {(i, i + 1) for i in range(6)}


def test_all_are_moved_alike_and_twice_each_its_own_way() -> None:
    problem = problem_of(lambda x: float(np.abs(x).sum()), {"x": np.zeros(30)})
    contradicted_together(
        problem,
        NOISE,
        np.random.default_rng(0),
        differences={"x": kinks([-1.0] * 30, [1.0] * 30)},
        accepted={"x": np.ones(30, dtype=bool)},
    )
    every = [one[0] for one in problem.evaluator.moves if one[0].all()]
    assert [len(set(np.sign(one))) for one in every[::2]] == [1, 2, 2]
