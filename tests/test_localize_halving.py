"""How wrong entries are searched for: which boxes are measured, which follow, and when it ends."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcheck.sweep.localize import _result, _Search
from gradcheck.sweep.sums import EnoughError, Part
from gradcheck.sweep.wrong_blocks import WrongBlock

BOUND = 1e-6


class Errors:
    """Sums of known errors over boxes, to the same bound each; in place of directions of a loss."""

    kink = None

    def __init__(self, *errors: Any, bound: float = BOUND, smallest: float = 0.0) -> None:
        self.errors = [np.asarray(one, dtype=float) for one in errors]
        self.bound, self.least = bound, smallest
        self.parameters = [
            SimpleNamespace(name=f"p{k}", value=one) for k, one in enumerate(self.errors)
        ]
        self.problem: Any = SimpleNamespace(parameters=self.parameters)
        self.left = self.errors
        self.turns = 0
        self.measured: list[Any] = []
        self.resolution: dict[str, float] = {}

    @property
    def spent(self) -> int:
        return len(self.measured)

    def wholes(self) -> list[Any]:
        return [(k, tuple(slice(0, n) for n in one.shape)) for k, one in enumerate(self.errors)]

    def turn(self, generator: Any, excluded: Any) -> None:
        self.turns += 1
        self.left = [one.copy() for one in self.errors]
        for part in excluded:
            self.left[part.number][part.box] = 0.0

    def sum_of_all(self) -> tuple[float, float]:
        return self.seen(self.wholes())

    def measure(self, places: Any) -> tuple[float, float]:
        self.measured.append([(k, *((one.start, one.stop) for one in box)) for k, box in places])
        return self.seen(places)

    def seen(self, places: Any) -> tuple[float, float]:
        return float(sum(self.left[k][box].sum() for k, box in places)), self.bound

    def smallest(self, number: int, box: Any) -> float:
        return self.least


class Drawn:
    """Draws the first so many of the positions given."""

    def __init__(self, *positions: int) -> None:
        self.positions = np.array(positions, dtype=int)

    def choice(self, size: int, n: int, *, replace: bool) -> Any:
        assert not replace
        assert (self.positions[:n] < size).all()
        return self.positions[:n]


def search(sight: Any, *positions: int) -> _Search:
    generator: Any = Drawn(*(positions or range(1000)))
    found = _Search(sight, generator)
    sight.turn(generator, ())
    sight.turns = 0
    return found


def entries(found: _Search) -> list[Any]:
    return [(part.number, *(one.start for one in part.box)) for part in found.found]


def whole(sight: Errors, number: int = 0) -> Part:
    _, box = sight.wholes()[number]
    return Part(number, box, float(sight.left[number].sum()), BOUND)


# When it ends


def test_two_directions_that_see_nothing_end_it() -> None:
    found = search(Errors(np.zeros(64)))
    found.run(None)
    assert (found.sight.turns, found.agreed, found.complete) == (2, True, True)
    found.run((0.0, 1.0))  # of a direction in use
    assert found.sight.turns == 3


def test_what_a_direction_sees_is_looked_for_and_two_more_see_nothing() -> None:
    errors = np.zeros(64)
    errors[5] = 1.0
    found = search(Errors(errors))
    found.run(None)
    assert entries(found) == [(0, 5)]
    assert (found.sight.turns, found.agreed) == (3, True)


def test_the_two_come_one_after_the_other() -> None:
    class Late(Errors):
        def sum_of_all(self) -> tuple[float, float]:
            return (0.0, BOUND) if self.turns == 1 else super().sum_of_all()

    found = search(Late(np.array([1.0, 0.0, 0.0])))
    found.run(None)
    assert (entries(found), found.sight.turns) == ([(0, 0)], 4)


def test_it_ends_with_what_is_seen_and_not_found() -> None:
    class Vanishing(Errors):
        def sum_of_all(self) -> tuple[float, float]:
            return 1.0, 0.5

    found = search(Vanishing(np.zeros(4), np.zeros(4)))
    found.run(None)
    assert (found.sight.turns, found.agreed, found.complete) == (1, False, True)
    assert found.excluded == []


def test_thirty_directions_are_enough() -> None:
    class Another(Errors):
        def turn(self, generator: Any, excluded: Any) -> None:
            super().turn(generator, excluded)
            self.left = [np.eye(40)[self.turns - 1]]

    found = search(Another(np.zeros(40)))
    found.run(None)
    assert entries(found) == [(0, k) for k in range(30)]
    assert (found.agreed, found.complete) == (False, True)


def test_three_hundred_entries_are_enough() -> None:
    found = search(Errors(np.zeros(16)))
    found.found += [Part(0, (slice(0, 1),), 1.0, 0.1)] * 298
    found._keep(Part(0, (slice(1, 2),), 1.0, 0.1))
    with pytest.raises(EnoughError):
        found._keep(Part(0, (slice(2, 3),), 1.0, 0.1))
    assert len(found.found) == 300


def test_enough_ends_a_search_that_is_not_complete() -> None:
    found = search(Errors(np.array([1.0, 0.0, 0.0, 0.0])))
    found.found += [Part(0, (slice(3, 4),), 1.0, 0.1)] * 299
    found.run(None)
    assert entries(found)[-1] == (0, 0)
    assert (found.sight.turns, found.agreed, found.complete) == (1, False, False)


def test_eight_boxes_without_a_wrong_half_are_enough() -> None:
    found = search(Errors(np.zeros(16)))
    for k in range(7):
        found._leave(Part(0, (slice(k, k + 1),), 1.0, 0.1))
    with pytest.raises(EnoughError):
        found._leave(Part(0, (slice(7, 8),), 1.0, 0.1))
    assert len(found.unresolved) == len(found.excluded) == 8


# Halves that are measured, and halves that follow


@pytest.mark.parametrize(
    ("error", "bound", "one", "measured"),
    [
        (10.0, 1.0, (3.9, 0.5), False),  # 6.1 is left, give or take 1.5: clearly wrong
        (10.0, 1.0, (4.1, 0.5), True),  # 5.9 is less than four times that
        (-10.0, 1.0, (-4.1, 0.5), True),
        (10.0, 1.0, (9.63, 0.5), False),  # 0.37 is less than a fourth of it: clearly nothing
        (10.0, 1.0, (9.6, 0.5), True),
        (10.0, 1.0, (10.37, 0.5), False),
        (0.6, 0.1, (0.5, 0.5), True),  # nothing in the first, nor in what is left
        (0.6, 0.5, (0.5, 0.5), True),
        (0.6, 0.5, (0.501, 0.5), False),
        (10.0, math.inf, (3.0, 0.5), True),
        (10.0, 1.0, (0.0, math.inf), True),
    ],
)
def test_the_second_half_follows_unless_that_leaves_doubts(
    error: float, bound: float, one: tuple[float, float], measured: bool
) -> None:
    answers = [one, (7.0, 0.25)]
    asked = []

    def measure(places: Any) -> tuple[float, float]:
        asked.append(places)
        return answers[len(asked) - 1]

    sight: Any = SimpleNamespace(measure=measure)
    found = _Search(sight, np.random.default_rng(0))
    halves: Any = (["first"], ["second"])
    first, second = found._split(*halves, error, bound)
    assert first == one
    assert asked == ([["first"], ["second"]] if measured else [["first"]])
    assert second == ((7.0, 0.25) if measured else (error - one[0], bound + one[1]))


def test_parameters_are_halved_down_to_the_wrong_ones() -> None:
    errors = [np.zeros(2) for _ in range(5)]
    errors[3][1] = 1.0
    found = search(Errors(*errors))
    found._search_parameters(found.sight.wholes(), 1.0, BOUND)
    assert entries(found) == [(3, 1)]
    measured: Any = found.sight
    # two of five, then one of three, one of two: that is the wrong one
    assert [[k for k, _ in places] for places in measured.measured[:3]] == [[0, 1], [2], [3]]


# Boxes


def test_a_box_wrong_in_all_its_eighths_is_probed() -> None:
    sight = Errors(np.ones(64))
    found = search(sight)
    found._search_box(whole(sight), frozenset())
    # the first halves of one, two and four; then six entries
    assert [places[0][1] for places in sight.measured[:7]] == [
        *((0, 32), (0, 16), (32, 48)),
        *((0, 8), (16, 24), (32, 40), (48, 56)),
    ]
    assert [places[0][1] for places in sight.measured[7:]] == [(k, k + 1) for k in range(6)]
    assert [(part.box, n, wrong) for part, n, wrong in found.blocks] == [((slice(0, 64),), 6, 6)]


def test_a_box_is_halved_along_its_longest_axis_and_then_along_the_other() -> None:
    errors = np.zeros((4, 16))
    errors[2] = 1.0
    sight = Errors(errors)
    found = search(sight)
    found._search_box(whole(sight), frozenset())
    boxes = [places[0][1:] for places in sight.measured]
    assert boxes[:3] == [((0, 4), (0, 8)), ((0, 4), (0, 4)), ((0, 4), (8, 12))]
    assert boxes[7:9] == [((0, 2), (0, 16)), ((2, 3), (0, 16))]
    assert [(part.box, n, wrong) for part, n, wrong in found.blocks] == [
        ((slice(2, 3), slice(0, 16)), 6, 6)
    ]


def test_pieces_of_one_entry_stay_as_they_are() -> None:
    sight = Errors(np.ones(3))
    found = search(sight)
    one = Part(0, (slice(0, 1),), 1.0, BOUND)
    two = Part(0, (slice(1, 3),), 2.0, BOUND)
    wrong, all_wrong = found._halve_all([one, two], 0)
    assert [part.box[0].start for part in wrong] == [0, 1, 2]
    assert all_wrong
    assert len(sight.measured) == 1


def test_a_box_without_a_wrong_half_is_left() -> None:
    sight = Errors(np.array([0.0, 0.0, 1.0, 0.0]))
    found = search(sight)
    odd = Part(0, (slice(0, 2),), 0.5, 0.3)
    wrong, all_wrong = found._halve_all([odd, Part(0, (slice(2, 4),), 1.0, BOUND)], 0)
    assert [part.box for part in wrong] == [(slice(2, 3),)]
    assert not all_wrong
    assert found.unresolved == [odd]


# Entries


def test_an_entry_is_measured_by_itself_and_kept_where_it_is_wrong() -> None:
    sight = Errors(np.array([[0.0, 2.0]]))
    found = search(sight)
    found._leaf(Part(0, (slice(0, 1), slice(1, 2)), 9.0, BOUND))
    found._leaf(Part(0, (slice(0, 1), slice(0, 1)), 9.0, BOUND))
    assert [(part.error, part.bound) for part in found.found] == [(2.0, BOUND)]
    assert [(part.error, part.bound) for part in found.unresolved] == [(0.0, BOUND)]


@pytest.mark.parametrize(("smallest", "wrong"), [(1.9, True), (2.1, False)])
def test_an_error_smaller_than_what_counts_is_none(smallest: float, wrong: bool) -> None:
    found = search(Errors(np.array([2.0]), smallest=smallest))
    one = found._entry(0, (0,))
    assert (one.is_wrong, one.bound) == (wrong, smallest)


# Probes


def probed(errors: Any, *positions: int, error: float | None = None) -> _Search:
    sight = Errors(errors)
    found = search(sight, *positions)
    part = whole(sight)
    found._probe(part if error is None else Part(0, part.box, error, BOUND))
    return found


@pytest.mark.parametrize(
    ("wrong", "kept", "blocks", "left"),
    [([], 0, 0, 1), ([2], 1, 0, 0), ([0, 1, 2, 3, 4], 5, 0, 0), ([0, 1, 2, 3, 4, 5], 6, 1, 0)],
)
def test_of_six_entries_all_are_looked_at(wrong: Any, kept: int, blocks: int, left: int) -> None:
    errors = np.zeros(6)
    errors[wrong] = 1.0
    found = probed(errors)
    assert (len(found.found), len(found.blocks), len(found.unresolved)) == (kept, blocks, left)
    assert [(n, some) for _, n, some in found.blocks] == [(6, 6)] * blocks


@pytest.mark.parametrize(
    ("size", "wrong", "is_block"), [(65, 2, True), (65, 1, False), (64, 2, False), (64, 6, True)]
)
def test_a_third_of_the_probes_tells_of_a_block_of_more_than_sixty_four(
    size: int, wrong: int, is_block: bool
) -> None:
    errors = np.zeros(size)
    errors[:wrong] = 1.0
    found = probed(errors, *range(6))
    whole_ = [(part.size, n, some) for part, n, some in found.blocks if part.size == size]
    assert whole_ == ([(size, 6, wrong)] if is_block else [])
    assert entries(found) == [(0, k) for k in range(wrong)]


@pytest.mark.parametrize(("times", "left"), [(0.99, True), (1.01, False)])
def test_an_error_too_thin_to_be_seen_in_an_entry_is_left(times: float, left: bool) -> None:
    # a hundred entries together: ten times the bound of one
    errors = np.zeros(100)
    errors[99] = times * 10 * BOUND
    found = probed(errors, *range(6))
    assert len(found.unresolved) == (1 if left else 0)
    assert entries(found) == ([] if left else [(0, 99)])


def test_the_rest_is_halved_along_the_longest_axis_once_more() -> None:
    errors = np.zeros((2, 10))
    errors[1, 9] = 1.0
    sight = Errors(errors)
    found = search(sight, *range(6))
    found._probe(whole(sight))
    assert sight.measured[6] == [(0, (0, 2), (0, 5))]
    assert entries(found) == [(0, 1, 9)]


def test_probes_lie_within_their_box() -> None:
    sight = Errors(np.ones((4, 5)))
    found = search(sight, 0, 1, 2, 3)
    found._probe(Part(0, (slice(2, 4), slice(3, 5)), 4.0, BOUND))
    assert entries(found) == [(0, 2, 3), (0, 2, 4), (0, 3, 3), (0, 3, 4)]


# What comes of it


def test_entries_are_named_by_their_place_in_the_order_of_parameters() -> None:
    found = search(Errors(np.zeros((2, 3)), np.zeros(()), np.zeros(4)))
    one, two = slice(1, 2), slice(2, 3)
    found.found += [Part(2, (two,), 1.0, 0.0), Part(1, (), 1.0, 0.0), Part(0, (one, two), 1.0, 0.0)]
    found.found += [Part(2, (two,), 1.0, 0.0)]
    found.unresolved += [Part(0, (slice(0, 2), two), 1.0, 0.0)]
    found.agreed = found.complete = True
    said = _result(found)
    assert said.entries == (("p0", 5), ("p1", 0), ("p2", 2))
    assert said.unresolved == (WrongBlock("p0", "column", ((0, 2), (2, 3)), 0, 0),)
    assert (said.agreed, said.complete, said.found_nothing) == (True, True, False)
    assert (said.beside, said.hidden, said.suspects) == (False, False, ())


def test_blocks_of_neighbours_each_seen_are_entries_unless_they_are_a_row_or_a_whole() -> None:
    found = search(Errors(np.zeros((8, 9)), np.zeros(4)))
    all_rows, few = slice(0, 8), slice(2, 4)
    found.blocks += [
        (Part(0, (few, slice(3, 5)), 1.0, 0.0), 4, 4),  # each of four entries
        (Part(0, (slice(5, 7), slice(3, 8)), 1.0, 0.0), 6, 5),  # six of ten
        (Part(1, (slice(0, 4),), 1.0, 0.0), 4, 4),
        (Part(0, (all_rows, slice(0, 1)), 1.0, 0.0), 6, 6),
    ]
    said = _result(found)
    assert [(one.parameter, one.kind, one.probed, one.wrong) for one in said.blocks] == [
        ("p0", "column", 6, 6),
        ("p0", "block", 6, 5),
        ("p1", "parameter", 4, 4),
    ]
