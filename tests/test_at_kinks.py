"""Entries that sit on kinks: those whose gradient changes at once; and what is read beside them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcheck.noise import Noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.oracles.walk import first_distance
from gradcheck.sweep import at_kinks
from gradcheck.sweep.at_kinks import _changed, some_at_kinks
from gradcheck.sweep.off_kinks import _rounding, _there, radii
from gradcheck.sweep.wrong_blocks import WrongBlock, kind_of, merged

EPS = np.finfo(float).eps

# What changes


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("share", "changes"), [(0.9e-6, False), (1.1e-6, True)])
def test_an_entry_changes_by_a_millionth_of_itself(
    share: float, changes: bool, sign: float
) -> None:
    before = np.array([1.0, 1.0, 1.0])
    after = before.copy()
    after[1] += sign * share
    assert _changed(before, after).tolist() == ([1] if changes else [])
    # of the larger of the two
    assert _changed(np.array([0.0, 1.0]), np.array([sign, 1.0])).tolist() == [0]


@pytest.mark.parametrize(("size", "changes"), [(0.9e-9, False), (1.1e-9, True)])
def test_and_by_a_billionth_of_the_typical_one(size: float, changes: bool) -> None:
    before = np.array([3.0, 0.0, -3.0, 3.0])
    after = before.copy()
    after[1] = np.sqrt(np.mean(before**2)) * size
    assert _changed(before, after).tolist() == ([1] if changes else [])


def test_changes_are_found_in_every_part_of_a_large_parameter() -> None:
    before = np.ones((200, 300))
    after = before.copy()
    places = [5, 16_384, 40_000, 59_999]
    after.reshape(-1)[places] = 2.0
    assert _changed(before, after).tolist() == places


# Which are chosen


class Lowest:
    """Draws the first positions; and the seed 7."""

    def __init__(self) -> None:
        self.drawn: list[tuple[int, int]] = []

    def integers(self, stop: int) -> int:
        assert stop == 2**32
        return 7

    def choice(self, size: int, n: int, *, replace: bool) -> Any:
        assert not replace
        self.drawn.append((size, n))
        return np.arange(n) * 2


def chosen(
    monkeypatch: pytest.MonkeyPatch, before: Any, *sides: Any, dtypes: Any = ("f8",)
) -> tuple[Any, list[Any], Lowest]:
    """What is chosen where the gradient is this, and that on either side; and how sides are met."""
    asked = []

    @contextmanager
    def off(problem: Any, noise: Any, generator: Any, radius: float) -> Any:
        asked.append((radius, generator.bit_generator.state["state"]["state"]))
        there = sides[len(asked) - 1]
        yield None if there is None else (SimpleNamespace(analytic=there), None)

    monkeypatch.setattr(at_kinks, "off_kinks", off)
    parameters = [SimpleNamespace(value=np.zeros(1, dtype=one)) for one in dtypes]
    problem: Any = SimpleNamespace(parameters=parameters, analytic=before)
    generator: Any = Lowest()
    noise: Any = None
    return some_at_kinks(problem, noise, generator), asked, generator


def test_both_sides_of_one_direction_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = np.zeros(4)
    before = {"x": zeros, "y": zeros}
    up = {"x": np.array([0.0, 1.0, 0.0, 0.0]), "y": zeros}
    down = {"x": np.array([1.0, 1.0, 0.0, 0.0]), "y": np.array([0.0, 0.0, 0.0, 2.0])}
    found, asked, _ = chosen(monkeypatch, before, up, down)
    assert found == (("x", 0), ("x", 1), ("y", 3))
    assert [radius for radius, _ in asked] == [8 * EPS, -8 * EPS]
    seeded = np.random.default_rng(7).bit_generator.state["state"]["state"]
    assert [state for _, state in asked] == [seeded, seeded]
    assert chosen(monkeypatch, before, None, down)[0] == found
    assert chosen(monkeypatch, before, None, None)[0] == ()


def test_the_coarsest_parameter_tells_how_far(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {"x": np.zeros(1)}
    _, asked, _ = chosen(monkeypatch, before, before, before, dtypes=("f8", "f4"))
    assert asked[0][0] == 8 * np.finfo(np.float32).eps


@pytest.mark.parametrize(("changed", "few"), [(12, 12), (13, 12), (20, 12)])
def test_of_many_entries_six_are_drawn_each_with_the_next(
    monkeypatch: pytest.MonkeyPatch, changed: int, few: int
) -> None:
    after = np.zeros(90)
    after[3 : 3 + changed] = 1.0
    found, _, generator = chosen(monkeypatch, {"x": np.zeros(90)}, {"x": after}, None)
    assert [index for _, index in found] == list(range(3, 3 + few))
    assert generator.drawn == ([(changed - 1, 6)] if changed > 12 else [])


# What there is beside


def problem_of(**changes: Any) -> Any:
    def loss(w: Any) -> Any:
        return np.sum(np.abs(w)), {"w": np.sign(w)}

    problem = numpy_problem(loss, {"w": np.array([0.0, 2.0, -3.0])})
    return replace(problem, **changes)


NOISE = Noise(1e-16, 5.0, np.dtype(float))


def test_points_are_thirty_two_first_steps_away() -> None:
    problem = problem_of()
    for level in (1e-15, 1e-13):
        noise = replace(NOISE, level=level)
        first, *_ = radii(problem, noise)
        assert first == 32 * first_distance(problem, noise, 0.0)
        assert 2.0**-13 < first < 2.0**-4
    assert radii(problem, replace(NOISE, level=1e-30))[0] == 2.0**-13
    assert radii(problem, replace(NOISE, level=1e-3)) == (2.0**-4, 2.0**-8, 2.0**-12)


@pytest.mark.parametrize(
    ("gradient", "tells"),
    [
        ({"w": np.array([1.0, 1.0, -1.0])}, True),
        ({"w": np.array([0.0, 1.0, -1.0])}, False),  # the same to the last bit
        ({"w": np.array([np.nan, 1.0, -1.0])}, False),
        ({}, False),
        ({"w": np.ones(3), "v": np.ones(3)}, False),
    ],
)
def test_another_gradient_of_numbers_tells(gradient: Any, tells: bool) -> None:
    problem = problem_of()
    found = _there(problem, NOISE, gradient)
    assert (found is not None) is tells
    if found is not None:
        there, noise = found
        assert there.facts.value == noise.loss == 5.0
        assert there.analytic is gradient


def test_the_rounding_of_a_gradient_is_that_of_its_coarsest_number() -> None:
    gradient = np.array([2.0, -1.0, 0.0])
    fine = problem_of(analytic_rounding={"w": np.array([0.0, 0.25, 0.5])})
    assert _rounding(fine, "w", gradient).tolist() == [2 * EPS, 0.25, 0.5]
    single = replace(fine, gradient_dtypes={"w": np.dtype(np.float32)})
    assert _rounding(single, "w", gradient)[0] == 2 * np.finfo(np.float32).eps
    whole = replace(fine, gradient_dtypes={"w": np.dtype(int)})
    assert _rounding(whole, "w", gradient)[0] == 2 * EPS


# Names of boxes


@pytest.mark.parametrize(
    ("shape", "box", "kind"),
    [
        ((4,), ((0, 4),), "parameter"),
        ((), (), "parameter"),
        ((4,), ((0, 3),), "block"),
        ((4, 5), ((0, 4), (0, 5)), "parameter"),
        ((4, 5), ((1, 2), (0, 5)), "row"),
        ((4, 5), ((1, 3), (0, 5)), "rows"),
        ((4, 5), ((0, 4), (4, 5)), "column"),
        ((4, 5), ((0, 4), (3, 5)), "columns"),
        ((4, 5), ((1, 2), (3, 5)), "block"),
        ((2, 3, 4), ((1, 2), (0, 3), (0, 4)), "row"),
        ((2, 3, 4), ((0, 2), (0, 3), (0, 2)), "columns"),
        ((2, 3, 4), ((0, 2), (1, 2), (0, 4)), "block"),
    ],
)
def test_a_box_is_cut_along_the_first_axis_or_the_last(shape: Any, box: Any, kind: str) -> None:
    assert kind_of(box, shape) == kind


def test_the_size_of_a_box_is_a_product() -> None:
    assert WrongBlock("w", "block", ((1, 4), (2, 7)), 0, 0).size == 15


def test_what_is_put_together_keeps_the_place_of_its_first_box() -> None:
    boxes = [((0, 2), (0, 2)), ((0, 2), (3, 4)), ((2, 4), (0, 2))]
    problem: Any = SimpleNamespace(parameters=[SimpleNamespace(name="w", value=np.zeros((9, 9)))])
    found = merged([WrongBlock("w", "block", box, 1, 1) for box in boxes], problem)
    assert [one.box for one in found] == [((0, 4), (0, 2)), ((0, 2), (3, 4))]
