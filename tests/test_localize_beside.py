"""When a search for wrong entries is made at a point beside, and what it says then."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_localize_halving import BOUND, Errors

from gradcheck.sweep import localize
from gradcheck.sweep.localize import Localisation, localise
from gradcheck.sweep.sums import EnoughError
from gradcheck.sweep.wrong_blocks import WrongBlock

PROBLEM: Any = SimpleNamespace(name="here")
NOISE: Any = SimpleNamespace(name="here, too")


class Seen(Errors):
    """Errors, with kinks or without, as far as the limits allow."""

    def __init__(self, *errors: Any, kink: bool = False, enough: bool = False, spent: int = 0):
        super().__init__(*errors)
        self.kink: Any = (0.0, 1.0) if kink else None
        self.enough, self.before = enough, spent
        self.noise = NOISE

    @property
    def spent(self) -> int:
        return self.before + len(self.measured)

    def sum_of_all(self) -> tuple[float, float]:
        if self.enough:
            raise EnoughError
        return super().sum_of_all()


def located(
    monkeypatch: pytest.MonkeyPatch, here: Seen, *there: Seen | None, limit: int | None = None
) -> tuple[Localisation, list[Any]]:
    """Search here, or at points beside; what is said, and how the looks there were made."""
    made: list[Any] = []
    sights = [one for one in there if one is not None]

    def look(problem: Any, noise: Any, most: Any, **options: Any) -> Any:
        if problem is PROBLEM:
            assert (noise, most, options) == (NOISE, limit, {})
            here.max_evaluations = most  # type: ignore[attr-defined]
            return here
        made.append((problem, noise, most, options))
        return sights[len(made) - 1]

    @contextmanager
    def off(problem: Any, noise: Any, generator: Any, radius: float) -> Any:
        given = there[[1.0, 0.5, 0.25].index(radius)]
        yield None if given is None else (f"at {radius}", "noise there")

    monkeypatch.setattr(localize, "Sight", look)
    monkeypatch.setattr(localize, "off_kinks", off)
    monkeypatch.setattr(localize, "radii", lambda *_: (1.0, 0.5, 0.25)[: len(there)])
    monkeypatch.setattr(localize, "some_at_kinks", lambda *_: (("p0", 7),))
    found = localise(PROBLEM, NOISE, np.random.default_rng(0), max_evaluations=limit)
    return found, made


RIGHT = np.zeros(9)
WRONG = np.eye(9)[4]


def test_without_kinks_it_is_made_here(monkeypatch: pytest.MonkeyPatch) -> None:
    found, made = located(monkeypatch, Seen(WRONG), Seen(RIGHT))
    assert made == []
    assert found.entries == (("p0", 4),)
    assert (found.beside, found.hidden, found.suspects) == (False, False, ())


def test_limits_that_allow_no_direction_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for kink in (False, True):
        found, made = located(monkeypatch, Seen(WRONG, kink=kink, enough=True), Seen(RIGHT))
        assert made == []
        assert (found.entries, found.agreed, found.complete) == ((), False, False)
        assert (found.beside, found.hidden) == (False, False)


def test_kinks_lead_to_a_point_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Seen(RIGHT, kink=True, spent=12)
    found, made = located(monkeypatch, here, Seen(WRONG, spent=5), limit=100)
    assert made == [("at 1.0", "noise there", 88, {"longest": 0.25})]
    assert found.entries == (("p0", 4),)
    assert (found.beside, found.hidden, found.suspects) == (True, False, ())
    assert found.evaluations == 12
    here = Seen(RIGHT, kink=True, spent=12)
    _, made = located(monkeypatch, here, Seen(WRONG))
    assert made == [("at 1.0", "noise there", None, {"longest": 0.25})]


def test_where_all_is_right_there_some_entries_at_kinks_are_suspect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, _ = located(monkeypatch, Seen(WRONG, kink=True), Seen(RIGHT))
    assert found.found_nothing
    assert (found.beside, found.suspects) == (True, (("p0", 7),))


def test_points_that_tell_nothing_are_followed_by_nearer_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for other in (None, Seen(RIGHT, kink=True), Seen(RIGHT, enough=True)):
        found, made = located(monkeypatch, Seen(RIGHT, kink=True), other, Seen(WRONG))
        assert made[-1] == ("at 0.5", "noise there", None, {"longest": 0.125})
        assert found.entries == (("p0", 4),)
        assert found.beside


def test_without_such_a_point_what_kinks_hide_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Seen(WRONG, kink=True)
    found, _ = located(monkeypatch, here, None, Seen(RIGHT, kink=True))
    assert (found.beside, found.hidden, found.suspects) == (False, True, ())
    assert found.entries == (("p0", 4),)
    assert here.turns == 3  # the direction that has been looked along counts
    assert here.bound == BOUND


@pytest.mark.parametrize(
    ("changes", "nothing"),
    [
        ({}, True),
        ({"agreed": False}, False),
        ({"entries": (("p0", 1),)}, False),
        ({"blocks": (WrongBlock("p0", "row", ((0, 1),), 1, 1),)}, False),
        ({"unresolved": (WrongBlock("p0", "row", ((0, 1),), 1, 1),)}, False),
    ],
)
def test_nothing_is_found_where_the_last_directions_agree_and_all_before(
    changes: Any, nothing: bool
) -> None:
    one = Localisation((), (), (), 8, {}, agreed=True, complete=True)
    assert replace(one, **changes).found_nothing is nothing
