"""Where smooth pieces meet that no single entry shows: a subgradient is right, a mistake is not.

The median of equal numbers is flat along each of them, and follows where all of them move. Its
gradient there is that of one of the numbers, or a mean of these (Clarke 1983, theorem 2.5.1).
"""

from __future__ import annotations

import numpy as np
import pytest

import gradcheck
from gradcheck.verdict.clarke import Pieces


def median(shares):
    """The squared distance of a median from 1, whose slope is shared among the equal ones."""

    def loss(x):
        value = np.median(x)
        return (value - 1) ** 2, {"x": 2 * (value - 1) * shares(x, value)}

    return loss


def first_of_equals(x, value):
    return np.arange(x.size) == np.flatnonzero(x == value)[0]


def all_alike(x, value):
    return (x == value) / (x == value).sum()


def twice_at_a_tie(x, value):
    return all_alike(x, value) * (2 if (x == value).sum() > 1 else 1)


def all_of_it_to_each(x, value):
    return 1.0 * (x == value)


def half_to_one(x, value):
    return first_of_equals(x, value) * (0.5 if (x == value).sum() > 1 else 1)


def off_everywhere(x, value):
    return 1.001 * first_of_equals(x, value)


MODES = pytest.mark.parametrize("oracles", [None, ("central",)], ids=["traced", "differences"])


def verdict(loss, x, oracles=None, **options):
    return gradcheck.check(loss, {"x": np.array(x)}, oracles=oracles, **options)


@MODES
@pytest.mark.parametrize("x", [[0.0] * 5, [0.1, 0.4, 0.4, 0.4, 0.9]], ids=["all equal", "three"])
@pytest.mark.parametrize("shares", [first_of_equals, all_alike])
def test_any_subgradient_of_a_median_of_equals_passes(shares, x, oracles):
    report = verdict(median(shares), x, oracles)
    assert report.verdict == "pass"
    assert "trace_discarded" not in [warning.key for warning in report.warnings]


@MODES
@pytest.mark.parametrize("x", [[0.0] * 5, [0.1, 0.4, 0.4, 0.4, 0.9]], ids=["all equal", "three"])
@pytest.mark.parametrize("shares", [twice_at_a_tie, all_of_it_to_each, half_to_one, off_everywhere])
def test_what_is_none_fails_whether_it_is_wrong_at_the_tie_alone_or_everywhere(shares, x, oracles):
    assert verdict(median(shares), x, oracles).verdict == "fail"


@MODES
@pytest.mark.parametrize(("factor", "wanted"), [(1.0, "pass"), (1.01, "fail")])
def test_least_median_of_squares_at_equal_residuals(factor, wanted, oracles):
    draw = np.random.default_rng(0)
    X, y = draw.normal(size=(9, 3)), np.array([1.0, 2, 2, 2, 3, 4, 2, 1, 2])
    wrong = np.array([1.0, factor, 1.0])

    def loss(x):
        residual = y - X @ x
        squares = residual**2
        k = np.argsort(squares, kind="stable")[len(y) // 2]
        return squares[k], {"x": -2 * residual[k] * X[k] * wrong}

    assert verdict(loss, np.zeros(3), oracles).verdict == wanted


@MODES
def test_among_too_many_pieces_it_stays_open_and_the_reason_is_the_kink(oracles):
    def trimmed_mean(x):
        kept = np.argsort(x, kind="stable")[4:-4]
        gradient = np.zeros_like(x)
        gradient[kept] = 1 / len(kept)
        return x[kept].mean(), {"x": gradient}

    report = verdict(trimmed_mean, np.zeros(17), oracles)
    assert report.verdict == "inconclusive"
    assert report.diagnoses[0].cause == "kink"
    assert "--jitter" in report.diagnoses[0].remedy
    assert verdict(trimmed_mean, np.zeros(17), oracles, jitter=0.01).verdict == "pass"


def test_a_mistake_at_a_smooth_point_takes_four_evaluations_more():
    calls = []

    def loss(x):
        calls.append(x.copy())
        return np.sum(np.sin(x)), {"x": 1.01 * np.cos(x)}

    x = np.array([0.1, 0.4, 0.9])
    assert verdict(loss, x, ("central",)).verdict == "fail"
    beside = [one for one in calls if (one != x).all() and np.abs(one - x).max() < 1e-5]
    assert 0 < len(beside) <= 40


def test_a_mistake_at_the_point_alone_fails_where_no_pieces_meet():
    def loss(x):
        return np.sum(np.sin(x)), {"x": np.where(x == 0, 0.0, np.cos(x))}

    assert verdict(loss, [0.0, 0.3, 0.5], ("central",)).verdict == "fail"


def test_a_small_mistake_in_many_entries_is_not_hidden_by_a_tie_elsewhere():
    draw = np.random.default_rng(1)
    a = draw.uniform(0.5, 2, 40)

    def loss(x, b):
        value = np.median(x)
        gradient = 2 * (value - 1) * all_alike(x, value)
        return (value - 1) ** 2 + a @ np.sin(b), {"x": gradient, "b": a * np.cos(b) * 1.0001}

    inputs = {"x": np.zeros(5), "b": draw.normal(size=40)}
    assert gradcheck.check(loss, inputs, wrt=("x", "b")).verdict == "fail"


def test_parameters_are_put_back():
    x = np.array([0.1, 0.4, 0.4, 0.4, 0.9])
    gradcheck.check(median(first_of_equals), {"x": x})
    assert x.tolist() == [0.1, 0.4, 0.4, 0.4, 0.9]


SIMPLEX = [np.array(one, dtype=float) for one in ([1, 0, 0, 7], [0, 1, 0, 7], [0, 0, 1, 7])]


@pytest.mark.parametrize(
    ("claim", "inside"),
    [
        ((1, 0, 0, 7), True),
        ((0.2, 0.3, 0.5, 7), True),
        ((0.2, 0.3, 0.5, 7.01), False),
        ((0.2, 0.3, 0.51, 7), False),
        ((1.2, -0.2, 0, 7), False),
    ],
)
def test_a_convex_combination_is_told_from_what_is_none(claim, inside):
    assert Pieces.of(np.array(claim, dtype=float), SIMPLEX).contain() is inside


def test_pieces_seen_but_once_leave_room_for_more_and_those_seen_often_do_not():
    claim = np.array([0.25, 0.25, 0.25, 0.25])
    once = [np.eye(4)[k] for k in (0, 1, 2)]
    assert Pieces.of(claim, once).may_contain()
    assert not Pieces.of(claim, once * 2).may_contain()
    assert not Pieces.of(2 * claim, once).may_contain()  # their sum is another one
    assert not Pieces.of(np.array([1.5, -0.5, 0, 0]), once).may_contain()
    assert not Pieces.of(claim, once[:1]).may_contain()
