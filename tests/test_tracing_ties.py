"""Derivatives at ties: the one taken by itself, and the ones that may be chosen instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcheck.tracing import trace

NAN, INF = float("nan"), float("inf")
WEIGHTS = np.array([3.0, 5.0, 7.0])


def chosen(loss: Any, *values: Any) -> tuple[int, dict[str, list[Any]]]:
    """How many operations sit on a kink, and the first parameter's gradient by choice."""
    named = {str(k): np.array(value, dtype=float) for k, value in enumerate(values)}
    traced = trace(loss, tuple(named.values()), {}, named)
    found = {"itself": traced.backward()["0"].tolist()}
    for choice in ("low", "high", "half"):
        gradient = traced.backward(subgradients=dict.fromkeys(traced.ties, choice))
        found[choice] = gradient["0"].tolist()
    return len(traced.ties), found


def all_alike(gradient: list[Any]) -> dict[str, list[Any]]:
    return dict.fromkeys(("itself", "low", "high", "half"), gradient)


# An extreme that several elements share


def test_each_row_shares_its_own_extreme() -> None:
    rows = [[1.0, 1.0, 0.0], [2.0, 0.0, 0.0], [4.0, 4.0, 4.0]]
    ties, found = chosen(lambda a: np.max(a, axis=1) @ WEIGHTS, rows)
    assert ties == 1
    first = [[3, 0, 0], [5, 0, 0], [7, 0, 0]]
    assert found["itself"] == found["low"] == first
    assert found["high"] == [[0, 3, 0], [5, 0, 0], [0, 0, 7]]
    np.testing.assert_allclose(found["half"], [[1.5, 1.5, 0], [5, 0, 0], [7 / 3] * 3])


@pytest.mark.parametrize(("function", "sign"), [(np.max, 1.0), (np.min, -1.0)])
def test_what_does_not_win_may_be_infinite(function: Any, sign: float) -> None:
    a = sign * np.array([1.0, -INF, 1.0, 0.5])
    _, found = chosen(lambda a: function(a) * 2.0, a)
    assert found["itself"] == [2, 0, 0, 0]
    assert found["high"] == [0, 0, 2, 0]
    assert found["half"] == [1, 0, 1, 0]


def test_an_extreme_of_one_element_alone_is_no_tie() -> None:
    assert chosen(lambda a: np.max(a), [1.0, 2.0]) == (0, all_alike([0, 1]))


def test_a_row_without_numbers_has_no_derivative() -> None:
    rows = [[1.0, 1.0], [NAN, 2.0]]
    _, found = chosen(lambda a: np.nansum(np.max(a, axis=1)), rows)
    assert found["half"] == [[0.5, 0.5], [0, 0]]


# The larger or the smaller of two


V, W = [1.0, 2.0, 2.0], [2.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("function", "own"),
    [(np.maximum, (0, 5)), (np.fmax, (0, 5)), (np.minimum, (3, 0)), (np.fmin, (3, 0))],
)
def test_of_two_that_vary_each_has_half(function: Any, own: tuple[int, int]) -> None:
    ties, found = chosen(lambda v, w: function(v, w) @ WEIGHTS, V, W)
    assert ties == 1
    assert found["itself"] == found["half"] == [*own, 3.5]
    assert found["low"] == [*own, 0]
    assert found["high"] == [*own, 7]
    _, turned = chosen(lambda w, v: function(v, w) @ WEIGHTS, W, V)
    other = [3 - own[0], 5 - own[1]]
    assert turned["itself"] == turned["half"] == [*other, 3.5]
    assert turned["low"] == [*other, 7]
    assert turned["high"] == [*other, 0]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("function", "own"), [(np.maximum, (0, 5)), (np.fmax, (0, 5)), (np.minimum, (3, 0))]
)
def test_beside_a_constant_it_is_none_by_itself(
    function: Any, own: tuple[int, int], turned: bool
) -> None:
    constant = np.array(W)

    def loss(v: Any) -> Any:
        return (function(constant, v) if turned else function(v, constant)) @ WEIGHTS

    ties, found = chosen(loss, V)
    assert ties == 1
    assert found["itself"] == found["low"] == [*own, 0]
    assert found["high"] == [*own, 7]
    assert found["half"] == [*own, 3.5]


@pytest.mark.parametrize("function", [np.maximum, np.minimum])
def test_what_is_no_number_wins_or_loses_as_in_numpy(function: Any) -> None:
    other = {np.maximum: np.fmax, np.minimum: np.fmin}[function]
    constant = np.array([NAN, 1.0])
    assert chosen(lambda v: other(v, constant)[0] * 3.0, [4.0, 4.0]) == (0, all_alike([3, 0]))
    assert chosen(lambda v: other(constant, v)[0] * 3.0, [4.0, 4.0]) == (0, all_alike([3, 0]))
    nothing = [0.0, 1.0]
    both = {np.maximum: [4.0, NAN], np.minimum: [0.5, NAN]}[function]
    found = chosen(lambda v: np.nansum(function(v, constant) * nothing), [both[0]] * 2)[1]
    assert found["itself"] == [0, 1]


def test_at_both_bounds_of_a_clip() -> None:
    ties, found = chosen(lambda v: np.clip(v, 0.0, 1.0) @ WEIGHTS, [0.0, 1.0, 0.5])
    assert ties == 1
    assert found["itself"] == found["low"] == [0, 0, 7]
    assert found["high"] == [3, 5, 7]
    assert found["half"] == [1.5, 2.5, 7]
    assert chosen(lambda v: np.clip(v, 0.0, None) @ WEIGHTS, [-1.0, 1.0, 2.0])[1] == all_alike(
        [0, 5, 7]
    )
    assert chosen(lambda v: np.clip(v, None, 0.0) @ WEIGHTS, [-1.0, 1.0, 2.0])[1] == all_alike(
        [3, 0, 0]
    )


@pytest.mark.parametrize("function", [np.abs, np.fabs])
def test_the_absolute_value_of_zero(function: Any) -> None:
    ties, found = chosen(lambda v: function(v) @ WEIGHTS, [0.0, -2.0, 0.0])
    assert ties == 1
    assert found["itself"] == [0, -5, 0]
    assert found["low"] == [-3, -5, -7]
    assert found["high"] == [3, -5, 7]
    assert chosen(lambda v: function(v) @ WEIGHTS, [1.0, -2.0, 3.0]) == (0, all_alike([3, -5, 7]))


# Running extremes: the first of several alike


def test_a_running_extreme_goes_to_the_last_that_won() -> None:
    weights = np.array([1.0, 10.0, 100.0, 1000.0])
    _, found = chosen(lambda v: np.maximum.accumulate(v) @ weights, [2.0, 1.0, 3.0, 2.5])
    assert found["itself"] == [11, 0, 1100, 0]
    _, found = chosen(lambda v: np.minimum.accumulate(v) @ weights, [2.0, 3.0, 1.0, 1.5])
    assert found["itself"] == [11, 0, 1100, 0]
    rows = [[2.0, 1.0], [1.0, 3.0]]
    _, found = chosen(lambda a: np.sum(np.maximum.accumulate(a, axis=1) * [1.0, 10.0]), rows)
    assert found["itself"] == [[11, 0], [1, 10]]
    _, found = chosen(lambda a: np.sum(np.maximum.accumulate(a) * [[1.0], [10.0]]), rows)
    assert found["itself"] == [[11, 1], [0, 10]]
