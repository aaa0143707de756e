"""Gradients of the pieces that meet at a point: which are the same, and what lies among them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcheck.verdict.clarke import Pieces


def pieces(claim: Any, *rows: Any) -> Pieces:
    return Pieces.of(np.array(claim, dtype=float), [np.array(row, dtype=float) for row in rows])


@pytest.mark.parametrize("largest", [1.0, -1000.0, 1e-12])
@pytest.mark.parametrize(("part", "meet"), [(1.9e-5, False), (2.1e-5, True)])
def test_an_entry_changes_where_it_does_beside_the_largest(
    part: float, meet: bool, largest: float
) -> None:
    found = pieces([0, 0], [0, largest], [part * largest, largest], [0, largest])
    assert found.meet is meet
    assert found.changing.tolist() == [meet, False]


def test_gradients_of_zero_are_one_piece() -> None:
    found = pieces([1, 0, 0], [0, 0, 0], [0, 0, 0])
    assert not found.meet
    assert found.rows.tolist() == [[0, 0, 0]]
    assert found.seen.tolist() == [2]


@pytest.mark.parametrize(("part", "seen"), [(4e-6, [2, 1]), (6e-6, [1, 1, 1])])
def test_pieces_are_the_same_to_five_digits_of_what_changes(part: float, seen: list[int]) -> None:
    found = pieces([0, 0], [0.5, 1.0], [0.5 + part, 1.0 + 1.9e-5], [1.0, 1.0])
    assert found.changing.tolist() == [True, False]
    assert sorted(found.seen.tolist(), reverse=True) == seen
    assert len(found.rows) == len(seen)


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize(("off", "inside"), [(0.9e-5, True), (1.1e-5, False)])
def test_a_claim_is_inside_up_to_a_hundred_thousandth_of_the_largest(
    off: float, inside: bool, side: float
) -> None:
    # in an entry that is the same everywhere, and off the plane of those that change
    rows = [[100, 0, 0, 70], [0, 100, 0, 70], [0, 0, 100, 70]]
    apart = 100 * side * off / 1.5  # weights of another sum take a part of it
    assert pieces([20, 30, 50, 70 + 100 * side * off], *rows).contain() is inside
    assert pieces([20 + apart, 30 + apart, 50 + apart, 70], *rows).contain() is inside


def test_what_is_the_same_is_held_against_the_mean_of_what_was_seen() -> None:
    rows = [[1, 0, 0.5], [0, 1, 0.5 + 1.8e-5]]
    assert pieces([0.5, 0.5, 0.5 - 0.05e-5], *rows).contain()
    assert not pieces([0.5, 0.5, 0.5 - 0.15e-5], *rows).contain()


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize(("part", "inside"), [(0.9, True), (1.1, False)])
@pytest.mark.parametrize("miss", [1e-4, 4e-4])
def test_nor_do_pieces_leave_a_hundredth_of_what_seemed_wrong(
    miss: float, part: float, inside: bool, side: float
) -> None:
    rows = [np.array([100.0, 0.0, 70.0]), np.array([0.0, 100.0, 70.0])]
    off = side * part * 0.01 * 100 * miss

    def contains(claim: Any, *misses: float) -> bool:
        return Pieces.of(np.array(claim), rows, 100 * np.array(misses)).contain()

    assert contains([50, 50, 70 + off], np.inf, np.inf, miss) is inside
    assert contains([50, 50, 70 + off], miss, miss, np.inf)
    # weights of another sum leave two thirds of it in each of the two
    both = 50 + 1.5 * off
    assert contains([both, both, 70], miss, np.inf, np.inf) is inside
    assert contains([both, both, 70], np.inf, miss, np.inf) is inside
    assert contains([both, both, 70], np.inf, np.inf, miss)


@pytest.mark.parametrize(("part", "may"), [(0.9, True), (1.1, False)])
def test_nor_may_pieces_that_were_not_seen(part: float, may: bool) -> None:
    misses = np.array([1.0, 1e-4, 1.0])
    rows = [np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])]
    claim = np.array([1.0, -part * 1e-6, part * 1e-6])
    assert Pieces.of(claim, rows, misses).may_contain() is may
    claim = np.array([0.0, 1.0 + part * 1e-6, -part * 1e-6])
    assert Pieces.of(claim, rows, misses).may_contain() is may


# What may be missing: of ten points one saw another piece, so that a tenth of them may be

MANY, ONE = [[1.0, 0.0, 0.0, 0.0]] * 9, [[0.0, 1.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("claim", "may"),
    [
        ((0.5, 0.5, 0.0, 0.0), True),
        # three times the share that was not seen
        ((0.71, 0.0, 0.29, 0.0), True),
        ((0.69, 0.0, 0.31, 0.0), False),
        ((1.0, 0.29, -0.29, 0.0), True),
        ((1.0, 0.31, -0.31, 0.0), False),
        # what changes has been seen as it is
        ((1.0 + 0.9e-5, -0.9e-5, 0.0, 0.0), True),
        ((1.0 + 1.1e-5, 0.0, 0.0, 0.0), False),
        ((1.0, -1.1e-5, 0.0, 0.0), False),
        # the sum is that of the pieces, whichever they are
        ((0.5, 0.5, 0.1, -0.1 + 1.9e-5), True),
        ((0.5, 0.5, 0.1, -0.1 + 2.1e-5), False),
        ((0.5, 0.5, 0.1, -0.1 - 1.9e-5), True),
        ((0.5, 0.5, 0.1, -0.1 - 2.1e-5), False),
    ],
    ids=str,
)
def test_what_may_lie_among_pieces_that_were_not_seen(claim: Any, may: bool) -> None:
    assert pieces(claim, *MANY, *ONE).may_contain() is may


def test_a_sum_may_be_any_between_those_of_the_pieces() -> None:
    rows = [[1, 0, 0], [0, 2, 0], [0, 2, 0]]
    assert pieces([0.5, 1.0, 0.0], *rows).may_contain()
    assert pieces([0.1, 0.9 - 1e-9, 0.0], *rows).may_contain()
    assert not pieces([0.0, 0.9, 0.0], *rows).may_contain()
    assert not pieces([1.0, 1.5, 0.0], *rows).may_contain()


def test_where_every_piece_was_seen_twice_none_is_missing() -> None:
    rows = [[0, 0], [1, 1]]
    assert not pieces([0.2, 0.4], *rows * 2).may_contain()
    assert pieces([0.2, 0.4], *rows, [0, 0]).may_contain()


def test_one_gradient_alone_makes_no_pieces() -> None:
    assert not pieces([1, 0], [1, 0]).may_contain()
