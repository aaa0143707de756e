"""Which entries central differences look at again, in which order, and what becomes of the rest."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcheck.oracles import central
from gradcheck.oracles.central import (
    MOST_AT_ONCE,
    _assemble,
    _climb_doubtful,
    _ladder_cap,
    _refine,
    _truncation_seen,
)
from gradcheck.oracles.climb import ORDINARY, Effort
from gradcheck.oracles.first_pass import FirstPass
from gradcheck.oracles.ladder import Reading

LOSS = 7.0
STEP = 2.0**-10


def first_pass(slopes: Any, claims: Any = None, **changes: Any) -> FirstPass:
    """A first pass that has seen these slopes, of entries of size 1."""
    slopes = np.asarray(slopes, dtype=float)
    n = slopes.size
    claims = slopes if claims is None else np.asarray(claims, dtype=float)
    uncertainty = np.broadcast_to(np.asarray(changes.pop("uncertainty", 1e-9), dtype=float), n)
    steps = np.broadcast_to(np.asarray(changes.pop("steps", STEP), dtype=float), n)
    losses = LOSS + slopes * steps, LOSS - slopes * steps
    one = {"rounding": np.zeros(n), "noise": uncertainty * steps / 4, "scales": np.ones(n)}
    one |= {"typical": 1.0, "start": np.ones(n)}
    one |= {"loss_up": losses[0], "loss_down": losses[1]} | changes
    start, up, down = one.pop("start"), one.pop("loss_up"), one.pop("loss_down")
    return FirstPass(0, np.arange(n), start, steps, steps, up, down, claims, **one)


def problem(*, exhausted: bool = False, in_batches: bool = False, together: Any = None) -> Any:
    evaluator = SimpleNamespace(exhausted=exhausted, in_batches=in_batches, together=together)
    return SimpleNamespace(evaluator=evaluator, facts=SimpleNamespace(value=LOSS), size=10)


def reading(value: float, uncertainty: float = 1e-9, **changes: Any) -> Reading:
    one = {"step": STEP, "kink": False, "lower": value, "upper": value} | changes
    sides = one["step"], one["kink"], one["lower"], one["upper"]
    return Reading(value, uncertainty, *sides, True, True)


class Climb:
    """Stands for the climb: reads these slopes, and remembers who climbed together."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, slopes: Any) -> None:
        self.slopes, self.batches = slopes, []
        monkeypatch.setattr(central, "climb", self)

    def __call__(self, problem: Any, noise: Any, first: Any, positions: Any, effort: Any) -> Any:
        self.batches.append(positions.tolist())
        return {position: reading(self.slopes[position]) for position in positions.tolist()}


class Backwards:
    """Draws the last first."""

    def permutation(self, values: Any) -> Any:
        return values[::-1]


BACKWARDS: Any = Backwards()
NOISE: Any = None


def refined(
    monkeypatch: pytest.MonkeyPatch, first: FirstPass, effort: Effort = ORDINARY, **options: Any
) -> list[list[int]]:
    marked = options.pop("marked", None)
    climb = Climb(monkeypatch, first.claimed)
    _refine(problem(**options), NOISE, BACKWARDS, first, marked, 8, effort)
    return climb.batches


# Entries that are known, but coarsely


def test_of_coarse_entries_the_coarsest_beside_their_size_come_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slopes = np.array([1.0, 4.0, 2.0, 1.0, 2.0])
    shares = np.array([3e-4, 5e-4, 0.9e-4, 4e-4, 3e-4])
    effort = Effort(wanted=1e-5, coarse=1e-4, smallest=1e-3, n_fine=3)
    coarse = first_pass(slopes, uncertainty=shares * slopes)
    assert refined(monkeypatch, coarse, effort) == [[1, 3, 0]]
    every = Effort(wanted=1e-5, coarse=1e-4, smallest=1e-3, n_fine=None)
    assert refined(monkeypatch, coarse, every) == [[1, 3, 0, 4]]


def test_the_size_of_tiny_entries_is_a_part_of_the_typical_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    effort = Effort(wanted=1e-5, coarse=1e-4, smallest=1e-2, n_fine=None)
    for uncertainty, batches in ((0.9e-6, []), (1.1e-6, [[0, 1]])):
        tiny = first_pass([1e-5, -1e-4], uncertainty=uncertainty)
        assert refined(monkeypatch, tiny, effort) == batches


# Entries in doubt


@pytest.mark.parametrize(
    ("uncertainty", "slope", "doubtful"),
    [
        (1.1e-3, 1.0, True),
        (0.9e-3, 1.0, False),
        (1.3e-6, 1.1e-3, True),  # by itself, down to a thousandth of the typical one
        (0.9e-3, 0.9e-3, False),  # below, beside that
        (1.1e-3, 0.9e-3, True),
        (1.3e-6, -1.1e-3, True),
    ],
)
def test_what_is_known_to_less_than_a_thousandth_is_in_doubt(
    monkeypatch: pytest.MonkeyPatch, uncertainty: float, slope: float, doubtful: bool
) -> None:
    effort = Effort(wanted=1e-5, coarse=1e9, smallest=1e-3, n_fine=None)
    first = first_pass([slope, 1.0], uncertainty=[uncertainty, 1e-9])
    assert refined(monkeypatch, first, effort) == ([[0]] if doubtful else [])


@pytest.mark.parametrize(("off", "doubtful"), [(1.4, False), (1.6, True), (-1.6, True)])
def test_what_differs_from_the_claim_beyond_noise_and_rounding_is_in_doubt(
    monkeypatch: pytest.MonkeyPatch, off: float, doubtful: bool
) -> None:
    rounding = np.full(2, 0.5e-6)
    first = first_pass([1.0, 1.0], [1.0 + off * 1e-6, 1.0], uncertainty=1e-6, rounding=rounding)
    assert refined(monkeypatch, first) == ([[0]] if doubtful else [])


def test_what_is_marked_or_dwarfed_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    marked = np.array([False, True, False, False])
    assert refined(monkeypatch, first_pass(np.ones(4)), marked=marked) == [[1]]
    start = np.array([1.0, 1.0, 0.9e-4, 1.1e-4])
    assert refined(monkeypatch, first_pass(np.ones(4), start=start)) == [[2]]


def test_what_a_budget_left_out_is_not_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = np.array([np.nan, 1.0])
    first = first_pass([1.0, 1.0], [2.0, 2.0], loss_up=lost, loss_down=lost)
    _, left, _ = _refine(problem(exhausted=True), NOISE, BACKWARDS, first, None, 8, ORDINARY)
    assert left.tolist() == [False, True]


def climbed(
    monkeypatch: pytest.MonkeyPatch,
    off: Any,
    cap: int,
    *,
    wrong: Any = (),
    **options: Any,
) -> list[list[int]]:
    """Who climbs together of entries that are off by so much, of which some turn out wrong."""
    off = np.asarray(off, dtype=float)
    doubtful = options.pop("doubtful", np.ones(off.size, dtype=bool))
    claims = np.ones(off.size)
    first = first_pass(claims + off, claims, uncertainty=options.pop("uncertainty", 1e-9))
    truth = claims.copy()
    truth[list(wrong)] = 2.0
    climb = Climb(monkeypatch, truth)
    one = problem(**options)
    _climb_doubtful(one, NOISE, BACKWARDS, first, doubtful, cap, ORDINARY)
    return climb.batches


def test_the_worst_and_some_drawn_climb_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    off = [0.1, 0.5, -0.7, 0.2, 0.3, 0.4]
    assert climbed(monkeypatch, off, 4) == [[2, 5, 1, 4], [3, 0]]
    assert climbed(monkeypatch, off, 3) == [[2, 5, 1], [4, 3, 0]]
    some = np.array([True, True, False, True, False, True])
    assert climbed(monkeypatch, off, 8, doubtful=some) == [[1, 5, 3, 0]]


def test_how_bad_an_entry_is_counts_beside_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    off, allowed = [0.5, 0.4, 0.3], [0.1, 0.01, 0.001]
    assert climbed(monkeypatch, off, 1, uncertainty=allowed)[0] == [2]
    # what is not known at all is worst
    assert climbed(monkeypatch, [0.5, np.nan, 0.3], 1, uncertainty=allowed)[0] == [1]
    assert climbed(monkeypatch, [0.0, 0.0, 1e-3], 1, uncertainty=0.0)[0] == [2]


def test_as_many_confirmed_wrong_as_climb_together_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    off = np.linspace(1.0, 0.1, 12)
    assert climbed(monkeypatch, off, 2, wrong=(0, 10)) == [[0, 11], [1, 10]]
    assert climbed(monkeypatch, off, 2, wrong=(0, 11)) == [[0, 11]]
    assert len(climbed(monkeypatch, off, 2, wrong=(0,))) == 6
    assert climbed(monkeypatch, off, 2, exhausted=True) == []


def test_where_entries_go_together_twice_as_many_follow_while_none_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def sizes(n: int, cap: int, **options: Any) -> list[int]:
        batches = climbed(monkeypatch, np.linspace(1.0, 0.1, n), cap, in_batches=True, **options)
        return [len(one) for one in batches]

    assert sizes(40, 4) == [4, 8, 16, 12]
    assert sizes(40, 4, wrong=(4,)) == [4, 8, 4, 8, 16]  # among the eight
    # more than enough of the eight
    assert sizes(40, 4, wrong=(2, 3, 4, 5, 34)) == [4, 8]
    assert sizes(2000, 200) == [200, 400, MOST_AT_ONCE, MOST_AT_ONCE, 2000 - 600 - 2 * 512]


@pytest.mark.parametrize(
    ("size", "parameters", "cap"),
    [(0, 0, 8), (0, 15, 8), (0, 16, 7), (36, 16, 8), (0, 25, 5), (299, 25, 5), (0, 200, 2)],
)
def test_parameters_share_how_many_are_confirmed(size: int, parameters: int, cap: int) -> None:
    some: Any = SimpleNamespace(size=size)
    assert _ladder_cap(some, parameters) == cap


# What comes of it


def test_what_an_entry_has_climbed_to_replaces_its_first_slope() -> None:
    first = first_pass([1.0, 2.0, 3.0])
    one = reading(5.0, 0.25, step=0.5, kink=True, lower=4.0, upper=6.0)
    found, left, _ = _assemble(problem(), first, np.array([True, True, False]), {1: one})
    assert found.value.tolist() == [1.0, 5.0, 3.0]
    assert found.lower.tolist() == [1.0, 4.0, 3.0]
    assert found.upper.tolist() == [1.0, 6.0, 3.0]
    assert found.steps.tolist() == [STEP, 0.5, STEP]
    assert found.kinks.tolist() == [False, True, False]
    assert found.uncertainty[1:].tolist() == pytest.approx([0.25, 1e-9])
    assert left.tolist() == [True, False, False]


def test_what_is_left_in_doubt_is_unknown_unless_others_were_confirmed_wrong() -> None:
    first = first_pass([1.0, 2.0, 2.0], [9.0, 9.0, 2.0])
    doubtful = np.array([True, True, False])
    found, _, truncation = _assemble(problem(), first, doubtful, {1: reading(9.0)})
    assert np.isnan(truncation)
    assert np.isnan(found.uncertainty[0])
    # a thousandth off at 2: relative to slope and typical one, and to the square of both steps
    found, _, truncation = _assemble(problem(), first, doubtful, {1: reading(2.0 + 1e-3)})
    assert truncation == pytest.approx(1e-3 / (3.001 * (2 * STEP) ** 2), rel=1e-5)
    more = truncation * (1.0 + 1.0) * (2 * STEP) ** 2
    assert found.uncertainty == pytest.approx([more + 1e-9, 1e-9, 1e-9], rel=1e-5)


def test_the_truncation_is_the_largest_of_those_seen_beyond_noise() -> None:
    steps = np.array([STEP, 2 * STEP, 4 * STEP, STEP])
    first = first_pass(np.full(4, 3.0), steps=steps, uncertainty=1e-4, scales=np.full(4, 2.0))
    unit = 4.0 * STEP**2  # slope and typical one, times the square of the span over the scale

    def seen(**values: Any) -> float:
        return _truncation_seen(first, {int(name[1:]): one for name, one in values.items()})

    assert seen() == 0.0
    assert seen(_0=reading(3.0)) == 0.0
    assert seen(_0=reading(3.0 + 3e-4)) == pytest.approx(2e-4 / unit, rel=1e-3)
    both = seen(_0=reading(3.0 - 3e-4), _2=reading(3.0 + 3.3e-3))
    assert both == pytest.approx(2e-4 / unit, rel=1e-3)
    assert seen(_0=reading(3.0 - 3e-4), _2=reading(3.0 + 6.5e-3)) == pytest.approx(
        6.4e-3 / (16 * unit), rel=1e-2
    )
    assert seen(_1=reading(9.0, kink=True), _3=reading(9.0, np.nan)) == 0.0
    after = seen(_1=reading(9.0, kink=True), _0=reading(3.0 + 3e-4))
    assert after == pytest.approx(2e-4 / unit, rel=1e-3)
    nothing = first_pass([1e-3], typical=0.0)
    assert _truncation_seen(nothing, {0: reading(0.0)}) == 0.0


@pytest.mark.parametrize(
    ("step", "value", "known"),
    [(1.1e-9, 2.0, False), (0.9e-9, 2.0, True), (1.1e-9, 1.0, True)],
)
def test_tiny_entries_that_longer_steps_alone_contradict_are_unknown(
    step: float, value: float, known: bool
) -> None:
    first = first_pass([1.0, 1.0], start=np.array([-1e-9, 1.0]))
    one = reading(value, 0.1, step=step)
    found, *_ = _assemble(problem(), first, np.array([True, False]), {0: one})
    assert np.isfinite(found.uncertainty[0]) == known
    large, *_ = _assemble(problem(), first, np.array([False, True]), {1: reading(2.0, step=3.0)})
    assert np.isfinite(large.uncertainty[1])


@pytest.mark.parametrize(
    ("exhausted", "edges"), [(False, [True, True, True, False]), (True, [False, True, True, False])]
)
def test_without_a_slope_an_entry_is_at_an_edge_if_it_was_looked_at(
    exhausted: bool, edges: list[bool]
) -> None:
    up, down = np.array([np.nan, 1.0, np.nan, 1.0]), np.array([np.nan, np.nan, 1.0, 1.0])
    first = first_pass(np.ones(4), loss_up=up, loss_down=down)
    found, *_ = _assemble(problem(exhausted=exhausted), first, np.zeros(4, dtype=bool), {})
    assert found.edges.tolist() == edges


@pytest.mark.parametrize("flat", [True, False])
def test_entries_that_change_nothing_are_moved_together(flat: bool) -> None:
    asked = []

    def together(number: int, indices: Any, scales: Any, distances: Any) -> Any:
        asked.append((number, indices.tolist(), scales.tolist(), distances))
        return np.array([LOSS, LOSS, LOSS, LOSS if flat else LOSS + 1.0])

    up, down = np.array([LOSS, 8.0, LOSS, LOSS]), np.array([LOSS, 8.0, LOSS, LOSS])
    scales = np.array([1.0, 2.0, 3.0, 4.0])
    first = first_pass(np.zeros(4), loss_up=up, loss_down=down, scales=scales)
    doubtful = np.array([False, False, False, True])
    found, *_ = _assemble(problem(together=together), first, doubtful, {3: reading(1.0)})
    assert asked == [(0, [0, 2], [1.0, 3.0], (1.0, -1.0, 0.01, -0.01))]
    assert found.flat.tolist() == [flat, False, flat, False]
