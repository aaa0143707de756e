"""Which entries have their noise averaged out, over how many points, and when it is given up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradcheck.noise import Noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.oracles.averaged import averaged
from gradcheck.oracles.estimate import Estimate, smooth_estimate

AT = 2.0
"""Value of each entry, and so its scale."""
LEVEL = 1e-6
INF = float("inf")


class Line:
    """Losses with noise along single entries; remembers how far each was moved, round by round."""

    def __init__(self, loss: Any, limit: int | None = None) -> None:
        self.loss, self.limit = loss, limit
        self.draw = np.random.default_rng(7)
        self.rounds: list[tuple[int, Any]] = []

    @property
    def exhausted(self) -> bool:
        return self.limit is not None and len(self.rounds) >= self.limit

    def entries(self, number: int, indices: Any, values: Any) -> Any:
        assert number == 0
        (entry,) = set(indices.tolist())
        moves = values - AT
        self.rounds.append((entry, moves))
        return self.loss(moves) + LEVEL * self.draw.normal(size=moves.size)


def refined(
    loss: Any,
    wanted: dict[int, float],
    *,
    known: float = 3.0,
    error: float = 1.0,
    limit: int | None = None,
    estimate: Estimate | None = None,
) -> tuple[Estimate, list[tuple[int, Any]]]:
    """Refine entries of which little is known; return the estimate, and what was evaluated."""
    line = Line(loss, limit)
    x = np.full((2, 3), AT)
    problem = numpy_problem(lambda x: (100.0, np.full((2, 3), 3.0)), x)
    problem = replace(problem, evaluator=line)
    if estimate is None:
        estimate = smooth_estimate("central", np.full((2, 3), known), np.full((2, 3), error))
    noise = Noise(LEVEL, 7.0, np.dtype(float))
    generator = np.random.default_rng(0)
    return averaged(problem, noise, generator, 0, estimate, wanted), line.rounds


def slope(moves: Any) -> Any:
    return 7.0 + 3.0 * moves


def kink(moves: Any) -> Any:
    return 7.0 + np.abs(moves)


def test_one_point_is_drawn_in_each_of_32_intervals_on_either_side() -> None:
    _, rounds = refined(slope, {1: INF})
    ((entry, moves),) = rounds
    assert entry == 1
    up, down = moves[:32], -moves[32:]
    np.testing.assert_allclose(up, down, rtol=1e-12)
    places = up / (0.25 * AT) * 32
    assert np.floor(places).tolist() == list(range(32))
    assert len({round(float(place % 1), 6) for place in places}) == 32


def test_it_ends_once_an_entry_is_known_well_enough() -> None:
    found, rounds = refined(slope, {1: INF, 4: INF})
    assert [entry for entry, _ in rounds] == [1, 4]
    steps = found.steps.reshape(-1)
    assert np.flatnonzero(np.isfinite(steps)).tolist() == [1, 4]
    assert steps[[1, 4]].tolist() == [0.25 * AT] * 2
    error = found.uncertainty.reshape(-1)
    assert (error[[1, 4]] < 1e-4).all()
    assert (np.abs(found.value.reshape(-1) - 3.0)[[1, 4]] < error[[1, 4]]).all()
    assert (error[[0, 2, 3, 5]] == 1.0).all()
    # just as much as is wanted is enough
    _, again = refined(slope, {1: float(error[1])})
    assert len(again) == 1
    _, again = refined(slope, {1: 0.999 * float(error[1])})
    assert len(again) > 1


def test_else_other_lengths_are_tried_and_then_more_points_where_the_best_fit_came_from() -> None:
    found, rounds = refined(slope, {2: 0.0})
    assert len(rounds) == 4 + 12
    lengths = [float(np.abs(moves).max()) / AT for _, moves in rounds]
    for length, reach in zip(lengths, (0.25, 0.5, 0.125, 0.0625), strict=False):
        assert 31 / 32 * reach < length <= reach
    # noise is averaged best over the longest line
    assert all(31 / 32 * 0.5 < length <= 0.5 for length in lengths[4:])
    few = refined(slope, {2: INF})[0].uncertainty[0, 2]
    assert found.uncertainty[0, 2] < 0.3 * few
    assert found.steps[0, 2] == 0.5 * AT


def test_fits_at_all_lengths_so_far_may_be_the_best() -> None:
    # a bend that no polynomial follows lies beyond an eighth
    found, rounds = refined(lambda t: slope(t) + np.maximum(np.abs(t) - 0.2 * AT, 0.0), {2: 1e-3})
    assert len(rounds) == 3
    assert found.steps[0, 2] == 0.125 * AT
    assert abs(found.value[0, 2] - 3.0) <= found.uncertainty[0, 2] <= 1e-3


def test_what_is_known_better_already_is_left_as_it_is() -> None:
    found, rounds = refined(slope, {2: 0.0}, error=1e-9)
    assert len(rounds) == 4
    assert (found.uncertainty == 1e-9).all()
    assert np.isnan(found.steps).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_fit_must_agree_with_what_is_known(sign: float) -> None:
    value = float(refined(slope, {2: INF})[0].value[0, 2])
    error = float(refined(slope, {2: INF})[0].uncertainty[0, 2])
    inside, outside = (value + sign * (1.0 + times * error) for times in (0.9, 1.1))
    assert refined(slope, {2: INF}, known=inside)[0].uncertainty[0, 2] == error
    assert refined(slope, {2: INF}, known=outside)[0].uncertainty[0, 2] != error


def test_three_entries_are_looked_at_in_vain() -> None:
    wanted = dict.fromkeys(range(6), INF)
    found, rounds = refined(kink, wanted)
    assert [entry for entry, _ in rounds] == [0] * 4 + [1] * 4 + [2] * 4
    assert (found.uncertainty == 1.0).all()
    # those that help do not count, whichever come between
    estimate = smooth_estimate("central", np.full((2, 3), 3.0), np.array([[0, 1, 0], [1, 0, 1.0]]))
    found, rounds = refined(slope, wanted, estimate=estimate)
    assert sorted({entry for entry, _ in rounds}) == [0, 1, 2, 3, 4]
    assert (found.uncertainty.reshape(-1) < 1e-3)[:5].all()


def test_off_the_domain_and_without_evaluations_nothing_is_claimed() -> None:
    found, rounds = refined(lambda t: np.where(t > 0.4, np.nan, slope(t)), {0: INF, 1: INF})
    assert len(rounds) == 2
    assert (found.uncertainty == 1.0).all()
    _, rounds = refined(slope, {0: INF, 1: INF, 2: INF}, limit=2)
    assert [entry for entry, _ in rounds] == [0, 1]
    # a fit that was found before the line leaves the domain counts
    found, rounds = refined(lambda t: np.where(np.abs(t) > 0.6, np.nan, slope(t)), {1: 0.0})
    assert len(rounds) == 2
    assert found.steps[0, 1] == 0.25 * AT


def test_kinks_keep_their_sides_and_other_entries_have_one_slope() -> None:
    value, error = np.full((2, 3), 3.0), np.ones((2, 3))
    marks = np.zeros((2, 3), dtype=bool)
    marks[0, 0] = True
    kinked = replace(
        smooth_estimate("central", value, error),
        kinks=marks,
        lower=value - marks,
        upper=value + marks,
    )
    found, _ = refined(slope, {1: INF}, estimate=kinked)
    assert (found.lower[0, 0], found.upper[0, 0]) == (2.0, 4.0)
    assert found.lower[0, 1] == found.upper[0, 1] == found.value[0, 1] != 3.0
    assert (kinked.value == 3.0).all()
