"""Which entries at kinks are moved together, how far, and along which directions."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcheck.noise import Noise
from gradcheck.oracles.estimate import smooth_estimate
from gradcheck.oracles.kinked import kinked
from gradcheck.problem import Parameter
from gradcheck.verdict.joint_kinks import Together, contradicted_together, diagnoses_of

EPS = float(np.finfo(np.float64).eps)
NOISE = Noise(1e-17, 1.0, np.dtype(float))


class Losses:
    """Evaluates a loss of several arrays where blocks of them are moved; counts."""

    def __init__(self, loss: Any, values: list[Any]) -> None:
        self.loss, self.values, self.count = loss, values, 0
        self.moves: list[Any] = []

    def moved(self, blocks: Any, distances: Any) -> Any:
        found = []
        for distance in distances:
            arrays = [one.copy() for one in self.values]
            for block in blocks:
                arrays[block.parameter] += distance * block.steps
            self.moves.append([a - b for a, b in zip(arrays, self.values, strict=True)])
            found.append(float(self.loss(*arrays)))
        self.count += len(found)
        return np.array(found)


def problem_of(loss: Any, claims: dict[str, Any], *, at: Any = None, rounding: float = 0.0) -> Any:
    """The loss of some arrays at zero, or at ``at``, with what is claimed of its gradient."""
    claimed = {name: np.asarray(one, dtype=float) for name, one in claims.items()}
    values = [np.zeros(one.shape) for one in claimed.values()]
    if at is not None:
        values = [np.asarray(one, dtype=float) for one in at]
    return SimpleNamespace(
        parameters=[
            Parameter(name, name, value, value.dtype)
            for name, value in zip(claimed, values, strict=True)
        ],
        analytic=claimed,
        analytic_rounding={name: np.full(one.shape, rounding) for name, one in claimed.items()},
        facts=SimpleNamespace(value=float(loss(*values))),
        evaluator=Losses(loss, values),
    )


def kinks(lower: Any, upper: Any, uncertainty: float = 1e-9, marks: Any = True) -> Any:
    lower, upper = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    one = smooth_estimate("central", 0.5 * (lower + upper), np.full(lower.shape, uncertainty))
    marks = np.broadcast_to(marks, lower.shape).copy()
    return replace(one, kinks=marks, lower=lower, upper=upper)


def nothing(*_: Any) -> float:
    return 1.0


def gathered(claim: Any, one: Any, *, accepted: Any = None, noise: Noise = NOISE, **kwargs: Any):
    problem = problem_of(nothing, {"x": claim}, **kwargs)
    marks = np.ones(len(claim), dtype=bool) if accepted is None else np.array(accepted)
    return kinked(problem, noise, {"x": one}, {"x": marks})


# Which entries


def test_entries_at_kinks_whose_claim_lies_between_its_slopes_are_gathered() -> None:
    one = kinks([0.0] * 6, [1.0] * 6, marks=[True, True, True, False, True, True])
    found = gathered([0.0, 1.0, 1.2, 0.5, -0.2, 0.5], one, accepted=[1, 1, 1, 1, 1, 0])
    assert found.size == 2
    ((number, name, positions),) = found.places
    assert (number, name, positions.tolist()) == (0, "x", [0, 1])
    assert found.claimed.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("side", ["below", "above"])
@pytest.mark.parametrize(("beyond", "size"), [(0.99, 3), (1.01, 2)])
def test_a_claim_may_be_as_far_beyond_as_the_slopes_and_rounding_leave_open(
    beyond: float, size: int, side: str
) -> None:
    off = beyond * (4 * 1e-3 + 5e-3)
    claim = [0.5, 0.5, -off if side == "below" else 1 + off]
    found = gathered(claim, kinks([0.0] * 3, [1.0] * 3, uncertainty=1e-3), rounding=5e-3)
    assert found.size == size


def test_fewer_than_two_have_nothing_to_do_with_each_other() -> None:
    one = kinks([0.0, 0.0], [1.0, 1.0])
    assert gathered([0.5, 0.5], one).size == 2
    assert gathered([0.5, 2.5], one) is None
    assert gathered([0.5, 0.5], one, accepted=[False, False]) is None
    assert gathered([2.5, 2.5], one) is None


@pytest.mark.parametrize(("gap", "size"), [(0.99e-3, 2), (1.01e-3, 3)])
def test_kinks_of_less_than_a_thousandth_of_the_largest_are_left_alone(
    gap: float, size: int
) -> None:
    found = gathered([0.0] * 3, kinks([0.0] * 3, [1.0, 1.0, gap]))
    assert found.size == size
    assert found.kink == (1.0 if size == 2 else pytest.approx(gap))


@pytest.mark.parametrize("gap", [0.0, np.inf, np.nan])
def test_kinks_of_no_size_are_left_alone(gap: float) -> None:
    found = gathered([0.0] * 3, kinks([0.0] * 3, [1.0, gap, 2.0]))
    assert found is None or 1 not in found.places[0][2]
    assert found.size == 2


def test_large_parameters_are_left_alone() -> None:
    for size, expected in ((1 << 17, 2), ((1 << 17) + 1, 0)):
        marks = np.zeros(size, dtype=bool)
        marks[[5, 7]] = True
        claim = np.zeros(size)
        found = gathered(claim, kinks(claim, marks, marks=marks))
        assert (0 if found is None else found.size) == expected


def test_entries_of_several_parameters_belong_together() -> None:
    claims = {"u": np.zeros((2, 2)), "w": np.zeros(2), "v": np.array([0.5, 0.25])}
    problem = problem_of(nothing, claims)
    marks = {"u": np.array([[False, True], [False, False]]), "v": np.array([True, True])}
    differences = {
        "u": kinks(np.zeros((2, 2)), np.ones((2, 2))),
        "v": kinks([0.0, 0.0], [1.0, 1.0]),
    }
    found = kinked(problem, NOISE, differences, marks)
    assert found is not None
    assert [(n, name, at.tolist()) for n, name, at in found.places] == [
        (0, "u", [1]),
        (2, "v", [0, 1]),
    ]
    assert found.claimed.tolist() == [0.0, 0.5, 0.25]
    moved = found.entries(np.array([False, True, True]))
    assert {name: at.tolist() for name, at in moved.items()} == {"v": [0, 1]}
    gradient = {"u": np.arange(4.0).reshape(2, 2), "v": np.array([7.0, 8.0])}
    assert found.picked(gradient).tolist() == [1.0, 7.0, 8.0]


# How far they are moved


def test_each_moves_so_far_that_its_kink_bends_the_loss_as_the_smallest_does() -> None:
    found = gathered([0.0] * 3, kinks([0.0] * 3, [1.0, 4.0, 2.0]), at=[[1.0, 1.0, 1.0]])
    assert found.units.tolist() == [1.0, 0.25, 0.5]
    assert found.kink == 1.0
    # an entry of scale 3 bends the loss three times as much over it
    found = gathered([0.0] * 2, kinks([0.0] * 2, [1.0, 1.0]), at=[[3.0, 3.0]])
    assert (found.kink, found.units.tolist()) == (3.0, [3.0, 3.0])
    assert found.claim(np.array([1.0, -1.0])) == 0.0


def test_the_claim_along_a_direction_is_in_these_units() -> None:
    found = gathered([1.0, 2.0], kinks([0.0] * 2, [1.0, 4.0]), at=[[1.0, 1.0]])
    assert found.claim(np.array([1.0, 0.0])) == 1.0
    assert found.claim(np.array([1.0, -1.0])) == 0.5


@pytest.mark.parametrize(
    ("level", "step"),
    [(1e-17, 1e-6), (2.4e-9, 1e-6), (2.6e-9, 400 * 2.6e-9), (2.4e-6, 400 * 2.4e-6), (2.6e-6, None)],
)
def test_the_step_is_long_enough_that_noise_is_small_beside_a_kink(
    level: float, step: float | None
) -> None:
    found = gathered([0.0, 0.0], kinks([0.0] * 2, [1.0] * 2), noise=replace(NOISE, level=level))
    assert (None if found is None else found.step) == (step and pytest.approx(step))
    if found is not None:
        error = found.error(np.array([1.0, -1.0]))
        assert error == pytest.approx(4 * level / found.step)


def test_it_is_far_longer_than_the_rounding_of_an_entry() -> None:
    # the second moves by a hundred times less than the first, and less than its size
    one = kinks([0.0] * 2, [1.0, 100.0])
    found = gathered([0.0, 0.0], one, at=[[1e4, 1e4]])
    assert found.units.tolist() == pytest.approx([1e4, 1e2])
    assert found.step == 1e-6
    found = gathered([0.0, 0.0], kinks([0.0] * 2, [1.0, 9e5 * 1e-3]), at=[[1e4, 1e4]])
    assert found.step == pytest.approx(max(1e-6, 1e4 * EPS * 9e5 * 1e-3))


def test_the_error_of_a_claim_is_its_rounding_and_a_millionth() -> None:
    found = gathered([0.0, 0.5], kinks([0.0] * 2, [1.0, 1.0]), rounding=1e-5)
    noise = 4 * 1e-17 / 1e-6
    assert found.error(np.array([1.0, 0.0])) == pytest.approx(1e-5 + noise)
    assert found.error(np.array([-1.0, -1.0])) == pytest.approx(2e-5 + 0.5e-6 + noise)


def test_points_nearby_lie_on_the_direction_or_each_another_way_in_pairs() -> None:
    found = gathered([0.0] * 7, kinks([0.0] * 7, [1.0] * 7))
    generator = np.random.default_rng(0)
    direction = np.array([1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    offsets = found.offsets(direction, generator)
    assert len(offsets) == 2 * (8 + 1)
    half = len(offsets) // 2
    for one, other in zip(offsets[:half], offsets[half:], strict=True):
        np.testing.assert_array_equal(one, -other)
    np.testing.assert_array_equal(offsets[0], direction)
    drawn = np.array(offsets[1:half])
    # of two entries, all ways there are, up to those that the opposite points bring
    ways = {tuple(row) for row in np.sign(drawn[:, :2]).tolist()}
    assert ways == {(1.0, 1.0), (-1.0, 1.0)}
    assert ((np.abs(drawn[:, :2]) >= 0.5) & (np.abs(drawn[:, :2]) <= 1.0)).all()
    rest = np.abs(drawn[:, 2:])
    resting = (rest == 0.0).all(axis=1)
    assert resting.tolist() == [True, True, False, False] * 2
    assert (drawn[:, 2:] < 0).any()
    assert (drawn[:, 2:] > 0).any()
    assert ((rest[~resting] >= 2.0) & (rest[~resting] <= 4.0)).all()


@pytest.mark.parametrize(("moved", "pairs"), [(2, 8), (4, 8), (5, 16), (6, 8)])
def test_of_up_to_five_entries_every_way_is_among_them(moved: int, pairs: int) -> None:
    found = gathered([0.0] * 6, kinks([0.0] * 6, [1.0] * 6))
    direction = np.where(np.arange(6) < moved, 1.0, 0.0)
    offsets = np.array(found.offsets(direction, np.random.default_rng(0)))[1 : 1 + pairs]
    assert len(found.offsets(direction, np.random.default_rng(0))) == 2 * (pairs + 1)
    if moved <= 5:
        ways = {tuple(row) for row in np.sign(offsets[:, :moved]).tolist()}
        assert len(ways) == 2 ** (moved - 1)
        assert (offsets[:, moved - 1] > 0).all()


def test_where_more_move_the_others_rest_in_every_second_point() -> None:
    found = gathered([0.0] * 8, kinks([0.0] * 8, [1.0] * 8))
    direction = np.where(np.arange(8) < 6, 1.0, 0.0)
    offsets = np.array(found.offsets(direction, np.random.default_rng(0)))[1:9]
    assert (np.abs(offsets[:, 6:]).max(axis=1) == 0.0).tolist() == [True, False] * 4
    assert ((np.abs(offsets[:, :6]) >= 0.5) & (np.abs(offsets[:, :6]) <= 1.0)).all()
    assert (offsets[:, :6] < 0).any()


def test_slopes_nearby_are_central_differences_sixteen_steps_away() -> None:
    problem = problem_of(lambda x: float(np.sum(x**2)), {"x": [0.0, 0.0]})
    found = kinked(problem, NOISE, {"x": kinks([0.0] * 2, [1.0] * 2)}, {"x": np.ones(2, bool)})
    assert found is not None
    direction = np.array([1.0, 0.0])
    slopes = found.nearby(direction, 1e-3, [np.array([1.0, 1.0]), np.array([-0.5, 0.0])])
    assert slopes.tolist() == pytest.approx([2 * 0.016, -0.016])
    assert problem.evaluator.count == 4
    assert found.sides(direction, 1e-3) == pytest.approx((-1e-3, 1e-3))


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_off_the_domain_on_one_side_neither_slope_is_known(side: float) -> None:
    cut = problem_of(lambda x: np.nan if side * x[0] < 0 else 0.0, {"x": [0.0, 0.0]})
    found = kinked(cut, NOISE, {"x": kinks([0.0] * 2, [1.0] * 2)}, {"x": np.ones(2, bool)})
    assert found is not None
    assert np.isnan(found.sides(np.array([1.0, 0.0]), 1e-3)).all()


# Directions and contradictions


def contradictions(
    loss: Any, claim: Any, slopes: tuple[float, float], **kwargs: Any
) -> tuple[Any, int]:
    """What is found, and after how many evaluations; every entry has the same kink."""
    n = len(claim)
    options = {name: kwargs.pop(name) for name in ("choices", "noise") if name in kwargs}
    problem = problem_of(loss, {"x": claim}, **kwargs)
    found = contradicted_together(
        problem,
        options.pop("noise", NOISE),
        np.random.default_rng(0),
        differences={"x": kinks([slopes[0]] * n, [slopes[1]] * n)},
        accepted={"x": np.ones(n, dtype=bool)},
        **options,
    )
    return found, problem.evaluator.count


def absolute(x: Any) -> float:
    return float(np.sum(np.abs(x)))


@pytest.mark.parametrize(
    ("n", "evaluations"),
    [
        (2, 2 * 2),
        (3, 2 * (3 * 2 + 3)),
        (6, 2 * (15 * 2 + 3)),
        (7, 2 * ((4 + 4) * 2 + 3)),
        (40, 2 * ((4 + 4) * 2 + 3)),
    ],
)
def test_two_evaluations_a_direction_find_nothing_wrong(n: int, evaluations: int) -> None:
    assert contradictions(absolute, [0.0] * n, (-1.0, 1.0)) == ((), evaluations)


def test_signs_of_the_claim_are_a_direction_if_they_differ() -> None:
    claim = [0.5, -0.5, 0.5]
    assert contradictions(absolute, claim, (-1.0, 1.0)) == ((), 2 * (3 * 2 + 4))


def distance(x: Any) -> float:
    return abs(float(x[0] - x[1]))


@pytest.mark.parametrize(("second", "wrong"), [(-0.29, True), (-0.31, False), (0.5, True)])
def test_a_claim_may_be_a_tenth_of_the_kink_beyond(second: float, wrong: bool) -> None:
    # moved together the distance has no slope; each alone has a kink of 2
    found, _ = contradictions(distance, [0.5, second], (-1.0, 1.0))
    assert len(found) == wrong
    if wrong:
        (one,) = found
        assert (one.lower, one.upper) == pytest.approx((0.0, 0.0), abs=1e-9)
        assert one.claimed == pytest.approx(0.5 + second)
        assert {name: at.tolist() for name, at in one.entries.items()} == {"x": [0, 1]}
        assert one.shapes == {"x": (2,)}


@pytest.mark.parametrize(("claim", "wrong"), [(0.21, True), (0.19, False)])
def test_rounding_of_the_claim_is_allowed_as_well(claim: float, wrong: bool) -> None:
    found, _ = contradictions(distance, [claim, 0.1], (-1.0, 1.0), rounding=0.05)
    assert len(found) == wrong


def test_as_is_the_noise_of_a_slope() -> None:
    # four deviations over a step of 8e-4 are a fiftieth
    noise = replace(NOISE, level=4e-6)
    assert len(contradictions(distance, [0.225, 0.0], (-1.0, 1.0), noise=noise)[0]) == 1
    assert contradictions(distance, [0.215, 0.0], (-1.0, 1.0), noise=noise)[0] == ()


def test_what_operations_choose_is_no_contradiction() -> None:
    def choices(*slopes: Any) -> Any:
        return iter([{"x": np.array(one)} for one in slopes])

    for one in ([1.0, 0.0], [0.3, 0.7], [0.5, 0.45]):
        allowed = choices([1.0, 0.0], [0.5, 0.5], [0.0, 0.0])
        assert contradictions(distance, one, (-1.0, 1.0), choices=allowed)[0] == ()
    others = choices([1.0, -1.0], [0.0, 0.0], [0.5, -0.5])
    assert len(contradictions(distance, [1.0, 0.0], (-1.0, 1.0), choices=others)[0]) == 1
    near = choices([0.79, 0.0], [0.0, 0.0])
    assert len(contradictions(distance, [1.0, 0.0], (-1.0, 1.0), choices=near)[0]) == 1
    near = choices([0.81, 0.0], [0.0, 0.0])
    assert contradictions(distance, [1.0, 0.0], (-1.0, 1.0), choices=near)[0] == ()


def test_where_slopes_nearby_lie_beyond_nothing_is_said() -> None:
    def opposed(x: Any) -> float:
        return float(max(x[0], 0.0) - max(x[1], 0.0))

    assert contradictions(opposed, [1.0, 0.0], (0.0, 1.0))[0] == ()


def test_several_ties_are_found_each_by_itself() -> None:
    def ties(x: Any) -> float:
        return float(x.reshape(-1, 2).max(axis=1).sum())

    found, _ = contradictions(ties, [1.0] * 4, (0.0, 1.0))
    assert sorted(one.entries["x"].tolist() for one in found) == [[0, 1], [2, 3]]
    for one in found:
        assert (one.lower, one.upper, one.claimed) == pytest.approx((1.0, 1.0, 2.0))


def tops(entries: int, groups: int) -> Any:
    """The sum of the largest of each group, of entries that are tied."""
    return lambda x: float(x.reshape(groups, entries).max(axis=1).sum())


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_what_many_share_is_parted_until_halves_are_right(groups: int) -> None:
    # of a group of eight the slope is 1, and 2 is claimed; of half of it, 1 is, which is valid
    found, _ = contradictions(tops(8, groups), [0.25] * 8 * groups, (0.0, 1.0))
    expected = [list(range(8 * k, 8 * k + 8)) for k in range(groups)]
    assert [one.entries["x"].tolist() for one in found] == expected
    for one in found:
        assert (one.lower, one.upper, one.claimed) == pytest.approx((1.0, 1.0, 2.0))


def test_two_entries_are_not_parted() -> None:
    # as pairs they are valid: what each of three shares with the others is seen together alone
    found, _ = contradictions(tops(3, 1), [0.55] * 3, (0.0, 1.0))
    assert [one.entries["x"].tolist() for one in found] == [[0, 1, 2]]


def test_halves_are_looked_at_thirty_two_times_at_most() -> None:
    found, _ = contradictions(tops(4, 64), [0.5] * 256, (0.0, 1.0))
    sizes = [len(one.entries["x"]) for one in found]
    # 16 are halved: all, two halves, four quarters, eight eighths, and one of sixteen entries
    assert sorted(sizes) == [8] * 2 + [16] * 15


def test_slopes_are_told_by_the_largest_move_of_an_entry() -> None:
    # entries of size 3: each moves by 3 at distance 1
    found, _ = contradictions(
        lambda x: 2.0 * float(max(x[0], x[1])), [2.0, 2.0], (0.0, 2.0), at=[[3.0, 3.0]]
    )
    (one,) = found
    assert (one.lower, one.upper, one.claimed) == pytest.approx((2.0, 2.0, 4.0))


def test_of_many_entries_neighbours_are_moved_and_pairs_that_are_drawn() -> None:
    problem = problem_of(absolute, {"x": np.zeros(9)})
    contradicted_together(
        problem,
        NOISE,
        np.random.default_rng(0),
        differences={"x": kinks([-1.0] * 9, [1.0] * 9)},
        accepted={"x": np.ones(9, dtype=bool)},
    )
    directions = np.sign([one[0] for one in problem.evaluator.moves[::2]])
    pairs = [tuple(np.flatnonzero(one).tolist()) for one in directions[:16]]
    assert all(len(one) == 2 for one in pairs)
    assert pairs[::2] == pairs[1::2]  # alike, and against each other
    for alike, against in zip(directions[:16:2], directions[1:16:2], strict=True):
        assert np.prod(alike[alike != 0]) == 1.0
        assert np.prod(against[against != 0]) == -1.0
    assert all(j == i + 1 for i, j in pairs[:8])
    assert len(set(pairs[:8])) == 4
    assert (directions[16:] != 0).all()
    assert (directions[16] == 1).all()


# What is said


def together(positions: Any, **kwargs: Any) -> Together:
    shapes = {"W": (2, 3), "b": (4,)}
    one: dict[str, Any] = {"lower": 1.0, "upper": 1.0, "claimed": 2.0} | kwargs
    entries = {name: np.array(at) for name, at in positions.items()}
    return Together(entries, shapes, **one)


def test_entries_are_named_by_their_indices() -> None:
    (found,) = diagnoses_of([together({"W": [0, 4]})])
    assert found.cause == "kink"
    assert found.parameter == "W"
    assert "2 entries of W share" in found.message
    assert "where W[0, 0], [1, 1] move together" in found.message
    assert "the loss has a slope of 1, and the gradient claims 2." in found.message
    assert found.evidence == {"lower": 1.0, "upper": 1.0, "claimed": 2.0}


def test_of_many_entries_three_are_named() -> None:
    (three,) = diagnoses_of([together({"W": [0, 1, 5]})])
    assert "W[0, 0], [0, 1], [1, 2] move" in three.message
    (four,) = diagnoses_of([together({"W": [0, 1, 2, 5]})])
    assert "W[0, 0], [0, 1], [0, 2] ... move" in four.message


@pytest.mark.parametrize(
    ("lower", "upper", "said"),
    [
        (1.0, 1.0009, "a slope of 1.001,"),
        (1.0, 1.0011, "slopes between 1 and 1.001,"),
        (-1.0, 0.5, "slopes between -1 and 0.5,"),
        (-1.0011, -1.0, "slopes between -1.001 and -1,"),
        (-1.0009, -1.0, "a slope of -1,"),
    ],
)
def test_slopes_that_differ_are_told_apart(lower: float, upper: float, said: str) -> None:
    (found,) = diagnoses_of([together({"W": [0, 1]}, lower=lower, upper=upper)])
    assert said in found.message


def test_the_same_parameters_are_spoken_of_once_and_every_entry_counts_once() -> None:
    found = diagnoses_of(
        [
            together({"W": [0, 1]}),
            together({"W": [1, 2]}, claimed=7.0),
            together({"W": [0], "b": [0]}),
            together({"b": [0, 3]}),
        ]
    )
    assert [one.parameter for one in found] == ["W", "", "b"]
    assert "3 entries of W share" in found[0].message
    assert found[0].evidence["claimed"] == 2.0
    assert "2 entries of W, b share" in found[1].message
    assert "where W[0, 0] and b[0] move" in found[1].message
