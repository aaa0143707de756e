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
    near = np.abs(moves).max(axis=1)
    assert set(near[near < 5e-6]) == {1e-6}
    assert near.max() < 8e-6 * (4 * 16 + 1)


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
        assert {len(at) for at in moves[:32]} == {2}
        assert all(len(set(np.abs(one[0]))) == 2 for one in problem.evaluator.moves[:32])
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
    assert all(len(set(np.abs(one))) == 1 for one in every)


def test_by_the_signs_of_the_claim_all_move_as_far() -> None:
    problem = problem_of(lambda x: float(np.abs(x).sum()), {"x": [0.5, -0.5, 0.0]})
    contradicted_together(
        problem,
        NOISE,
        np.random.default_rng(0),
        differences={"x": kinks([-1.0] * 3, [1.0] * 3)},
        accepted={"x": np.ones(3, dtype=bool)},
    )
    # after three pairs, alike and against each other, and all alike
    alike, by_claim = (problem.evaluator.moves[k][0] for k in (12, 14))
    assert (by_claim / alike).tolist() == [1.0, -1.0, 1.0]


def test_the_farthest_beyond_come_first() -> None:
    # the loss has no slope along any pair, and six pairs are looked at closely
    claim = [1 / 32, 1.0, 0.5, 0.25, 1 / 16, 0.125]
    found, _ = contradictions(lambda x: 0.0, claim, (0.0, 1.0))
    pairs = [one.entries["x"].tolist() for one in found]
    assert pairs == [[1, 2], [1, 3], [1, 5], [1, 4], [0, 1]]
    assert [one.claimed for one in found] == [1.0 + claim[k] for k in (2, 3, 5, 4, 0)]


def test_what_is_wrong_as_a_pair_rests_where_all_others_are_moved() -> None:
    def loss(x: Any) -> float:
        return float(max(x[0], x[1]) + np.maximum(x[2:], 0.0).sum())

    problem = problem_of(loss, {"x": [1.0, 1.0, 0.5, 0.5]})
    (found,) = contradicted_together(
        problem,
        NOISE,
        np.random.default_rng(0),
        differences={"x": kinks([0.0] * 4, [1.0] * 4)},
        accepted={"x": np.ones(4, dtype=bool)},
    )
    assert found.entries["x"].tolist() == [0, 1]
    # all alike, and drawn twice, before the slopes of the pair are told
    groups = np.array([one[0] for one in problem.evaluator.moves[-8:-2]])
    assert not groups[:, :2].any()
    assert groups[:, 2:].all()


def test_a_half_of_three_is_a_pair() -> None:
    # of three that are tied any two are too steep, of the other threes none; halves meet the first
    problem = problem_of(
        lambda x: x.reshape(8, 3).max(axis=1).sum(), {"x": [0.65] * 3 + [1 / 3] * 21}
    )
    (found,) = contradicted_together(
        problem,
        NOISE,
        np.random.default_rng(0),
        differences={"x": kinks([0.0] * 24, [1.0] * 24)},
        accepted={"x": np.ones(24, dtype=bool)},
    )
    assert found.entries["x"].tolist() == [0, 1]
    # the other half is one entry, and a pair has no halves to look at
    moves = [np.flatnonzero(one[0]).tolist() for one in problem.evaluator.moves]
    assert {tuple(at) for at in moves if len(at) == 1} == {(2,)}


def test_what_changes_with_the_distance_is_no_slope_of_the_point() -> None:
    # along the tie the slope changes by 200,000 times the distance, 3.2 at the nearer points
    def loss(x: Any) -> float:
        return float(abs(x[0] - x[1]) + 2.5e4 * (x[0] + x[1]) ** 2)

    (found,) = contradictions(loss, [1.0, 0.6], (-1.0, 1.0))[0]
    assert (found.lower, found.upper) == pytest.approx((-0.1, 0.1), rel=1e-3)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_slopes_nearby_beyond_on_either_side_leave_it_open(side: float) -> None:
    # where the two are equal there is no slope along them; beside that one of 2, over some way
    def loss(x: Any) -> float:
        return side * float(min(abs(x[0] - x[1]), max(x[0] + x[1], 0.0)))

    assert contradictions(loss, [0.3, 0.3], (0.0, 1.0))[0] == ()
    assert len(contradictions(lambda x: 0.0, [0.3, 0.3], (0.0, 1.0))[0]) == 1


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize(("chosen", "wrong"), [(0.79, True), (0.81, False)])
def test_what_operations_choose_may_be_a_tenth_of_the_kink_away(
    chosen: float, wrong: bool, side: float
) -> None:
    choices = iter([{"x": np.array([side * chosen, 0.0])}])
    claim = [side, 0.0]
    found, _ = contradictions(lambda x: abs(x[0] - x[1]), claim, (-1.0, 1.0), choices=choices)
    assert len(found) == wrong
