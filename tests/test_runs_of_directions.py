"""How many random directions a check takes, and what they say of entries left out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcheck import direction_runs
from gradcheck.direction_runs import disagreeing, run_directions, see_beside, with_directions
from gradcheck.noise import Noise
from gradcheck.oracles.directions import DirectionResult
from gradcheck.settings import Settings
from gradcheck.verdict.compare import FAIL, INCONCLUSIVE, PASS, UNCHECKED
from gradcheck.verdict.judging import ParameterFindings
from gradcheck.verdict.verdicts import Combined

NOISE = Noise(1e-16, 1.0, np.dtype(float))


def findings(*codes: int) -> ParameterFindings:
    found = np.array(codes, dtype=np.int8)
    return ParameterFindings({}, {}, Combined(found, None, np.zeros(found.shape, dtype=bool)))


def runs(*, sampled: bool, localisation: Any = None) -> Any:
    return SimpleNamespace(selection=SimpleNamespace(sampled=sampled, localisation=localisation))


def direction(
    parameter: str = "",
    agree: Any = True,
    uncertainty: float = 1.0,
    size: float = 1.0,
    gap: float = 0.0,
) -> DirectionResult:
    steps = (0.5, 1.0)
    return DirectionResult(
        parameter, 1.0, 1.0, uncertainty, agree, steps, steps, None, size, gap=gap
    )


def taken(monkeypatch: Any, *, agree: Any = True, **options: Any) -> list[tuple[int, Any]]:
    """The numbers of directions that are drawn one after the other, with their parameters."""
    asked: list[tuple[int, Any]] = []

    def check(problem: Any, noise: Any, generator: Any, *, n: int, parameters: Any = None) -> Any:
        asked.append((n, parameters))
        return tuple(direction(agree=agree) for _ in range(n))

    monkeypatch.setattr(direction_runs, "check_directions", check)
    problem: Any = SimpleNamespace(
        analytic=options.pop("analytic", {"a": np.ones(2), "b": np.ones(1)}),
        facts=SimpleNamespace(spread=options.pop("spread", 0.0)),
        size=options.pop("size", 3),
    )
    found = run_directions(
        problem,
        Settings(oracles=options.pop("oracles", None)),
        NOISE,
        np.random.default_rng(0),
        runs(sampled=options.pop("sampled", False)),
        options.pop("parameters", {"a": findings(PASS, PASS), "b": findings(PASS)}),
        thorough=options.pop("thorough", False),
    )
    assert not options
    assert len(found) == sum(n for n, _ in asked)
    return asked


def test_a_full_sweep_takes_one_direction_for_the_taylor_test(monkeypatch: Any) -> None:
    assert taken(monkeypatch) == [(1, None)]
    assert taken(monkeypatch, thorough=True) == [(1, ("a", "b"))]


def test_that_of_a_large_problem_is_left_to_a_thorough_check(monkeypatch: Any) -> None:
    assert taken(monkeypatch, size=1 << 17) == [(1, None)]
    assert taken(monkeypatch, size=(1 << 17) + 1) == []
    assert taken(monkeypatch, size=(1 << 17) + 1, thorough=True) == [(1, ("a", "b"))]


@pytest.mark.parametrize(
    "options", [{"oracles": ("complex",)}, {"analytic": {}}, {"spread": 1e-9}], ids=str
)
def test_none_is_taken_where_no_differences_are_wanted_or_possible(
    monkeypatch: Any, options: Any
) -> None:
    assert taken(monkeypatch, **options) == []
    assert taken(monkeypatch, sampled=True, **options) == []


def test_differences_among_other_oracles_are_wanted(monkeypatch: Any) -> None:
    assert taken(monkeypatch, oracles=("complex", "central")) == [(1, None)]


def test_two_witnesses_are_enough_where_every_entry_is_confirmed(monkeypatch: Any) -> None:
    assert taken(monkeypatch, sampled=True) == [(2, None)]


@pytest.mark.parametrize("agree", [False, None])
def test_two_more_follow_where_a_witness_does_not_agree(monkeypatch: Any, agree: Any) -> None:
    assert taken(monkeypatch, sampled=True, agree=agree) == [(2, None), (2, None)]


@pytest.mark.parametrize("code", [UNCHECKED, INCONCLUSIVE])
def test_four_speak_for_entries_that_are_not_confirmed(monkeypatch: Any, code: int) -> None:
    some = {"a": findings(PASS, PASS), "b": findings(code)}
    assert taken(monkeypatch, sampled=True, parameters=some) == [(4, None)]


@pytest.mark.parametrize("agree", [True, False, None])
def test_two_are_shown_of_what_is_wrong_whatever_they_say(monkeypatch: Any, agree: Any) -> None:
    some = {"a": findings(PASS, UNCHECKED), "b": findings(FAIL)}
    assert taken(monkeypatch, sampled=True, parameters=some, agree=agree) == [(2, None)]


def test_twenty_do_in_a_thorough_check(monkeypatch: Any) -> None:
    assert taken(monkeypatch, sampled=True, thorough=True) == [(20, None)]
    wrong = {"a": findings(PASS, PASS), "b": findings(FAIL)}
    assert taken(monkeypatch, sampled=True, thorough=True, parameters=wrong) == [(20, None)]


def test_an_error_hides_in_the_uncertainty_and_between_the_slopes_of_a_kink() -> None:
    assert direction(uncertainty=0.5, gap=0.25, size=2.0).hides == 0.375
    assert direction(uncertainty=0.5, size=2.0).hides == 0.25
    assert direction(size=0.0).hides == float("inf")


# What they say


def added(parameters: Any, directions: Any, **selection: Any) -> Any:
    problem: Any = SimpleNamespace(size=16)
    return with_directions(problem, parameters, runs(sampled=True, **selection), directions)


def test_a_parameter_has_the_directions_that_it_took_part_in() -> None:
    every = tuple(direction(name) for name in ("", "a", "b"))
    found = added({"a": findings(PASS), "b": findings(PASS)}, every)
    assert found["a"].directions == (every[0], every[1])
    assert found["b"].directions == (every[0], every[2])


def test_of_entries_left_out_the_finest_direction_tells() -> None:
    every = tuple(
        direction(uncertainty=error, size=size)
        for error, size in ((6.0, 2.0), (1.0, 4.0), (1.0, 0.0))
    )
    found = added({"a": findings(PASS, UNCHECKED), "b": findings(PASS, PASS)}, every)
    # a quarter of the sum's size, which sixteen entries of one size make four times
    assert found["a"].along == 0.25 * 4
    assert found["b"].along == 0.0
    assert added({"a": findings(UNCHECKED)}, ())["a"].along == 0.0
    small = (direction(uncertainty=0.125, size=0.5),)
    assert added({"a": findings(UNCHECKED)}, small)["a"].along == 0.25 * 4


def test_what_lies_between_the_slopes_of_a_kink_is_not_seen() -> None:
    at_kinks = (direction(uncertainty=0.5, size=4.0, gap=1.5),)
    some = {"a": findings(UNCHECKED)}
    assert added(some, at_kinks)["a"].along == 0.5 * 4
    problem: Any = SimpleNamespace(size=16)
    beside = (direction(uncertainty=0.5, size=4.0),)
    found = with_directions(problem, some, runs(sampled=True), at_kinks, beside)
    assert found["a"].along == 0.125 * 4
    assert found["a"].directions == at_kinks


def test_a_search_for_wrong_entries_knows_better() -> None:
    searched = SimpleNamespace(resolution={"a": 0.125})
    some = {"a": findings(PASS, UNCHECKED), "b": findings(UNCHECKED)}
    found = added(some, (direction(),), localisation=searched)
    assert (found["a"].along, found["b"].along) == (0.125, 0.0)


def wrong(parameters: Any, *directions: Any, sampled: bool = True) -> Any:
    return disagreeing(parameters, directions, runs(sampled=sampled))


def test_a_direction_finds_wrong_what_took_part_in_it() -> None:
    some = {"a": findings(PASS), "b": findings(UNCHECKED), "c": findings(PASS)}
    assert wrong(some, direction("b", False), direction("c", None), direction("a")) == ("b",)
    assert wrong(some, direction("", False)) == ("a", "b", "c")
    assert wrong(some, direction("c", False), direction("a", False)) == ("a", "c")
    assert wrong(some, direction(), direction(agree=None)) == ()


def test_but_not_where_all_entries_were_seen_or_one_is_wrong_already() -> None:
    some = {"a": findings(PASS), "b": findings(PASS)}
    assert wrong(some, direction("a", False), sampled=False) == ()
    some["b"] = findings(PASS, FAIL)
    assert wrong(some, direction("a", False)) == ()


# What is looked at beside the point


def looked(monkeypatch: Any, *directions: Any, beside: Any = (), **options: Any) -> Any:
    """Whether directions were taken beside the point, and what came of it."""
    asked = []

    def take(problem: Any, noise: Any, generator: Any) -> Any:
        asked.append(problem)
        return beside

    monkeypatch.setattr("gradcheck.direction_beside.directions_beside", take)
    problem: Any = SimpleNamespace(evaluator=SimpleNamespace(exhausted=False))
    some = options.pop("parameters", {"a": findings(PASS, UNCHECKED), "b": findings(PASS)})
    found = see_beside(
        problem, NOISE, np.random.default_rng(0), runs(sampled=True, **options), some, directions
    )
    return bool(asked), found


KINK = {"agree": None, "uncertainty": 1e-9, "gap": 1.0}


def test_kinks_that_hide_what_was_left_out_are_looked_at_from_beside(monkeypatch: Any) -> None:
    right = (direction(), direction())
    asked, found = looked(monkeypatch, direction(**KINK), direction(**KINK), beside=right)
    assert asked
    assert (found.directions, found.hidden, found.known, found.open) == (right, (), (), ())


@pytest.mark.parametrize(
    "directions",
    [
        (),
        (direction(agree=None),),
        (direction(**KINK), direction()),
        (direction(**KINK), direction(agree=False)),
        (direction(**KINK), direction(agree=None, uncertainty=1e-3)),
        (direction(agree=None, uncertainty=1e-9, gap=9e-4),),
    ],
    ids=["none", "noise", "one agrees", "one disagrees", "one is sharp", "a slight kink"],
)
def test_directions_that_tell_at_the_point_are_enough(monkeypatch: Any, directions: Any) -> None:
    assert looked(monkeypatch, *directions)[0] is False


def test_nothing_is_looked_at_beside_where_it_is_settled(monkeypatch: Any) -> None:
    kink = direction(**KINK)
    assert looked(monkeypatch, kink, parameters={"a": findings(PASS, PASS)})[0] is False
    assert looked(monkeypatch, kink, parameters={"a": findings(FAIL, UNCHECKED)})[0] is False
    for beside, nothing in ((True, True), (True, False), (False, True)):
        searched = SimpleNamespace(beside=beside, found_nothing=nothing)
        assert looked(monkeypatch, kink, localisation=searched)[0] is not (beside and nothing)


def test_what_is_wrong_beside_is_said_and_what_is_hidden_stays_open(monkeypatch: Any) -> None:
    wrong = (direction(agree=False),) * 2
    _, found = looked(monkeypatch, direction(**KINK), beside=wrong)
    assert [(one.cause, one.parameter) for one in found.known] == [("unexplained", "a")]
    assert disagreeing({"a": findings(PASS)}, found.directions, runs(sampled=True)) == ("a",)
    unsure = (direction(agree=None), direction())
    _, found = looked(monkeypatch, direction(**KINK), beside=unsure)
    assert (found.directions, found.known) == (unsure, ())
    _, found = looked(monkeypatch, direction(**KINK))
    assert found.hidden == ("a",)
    assert [(one.cause, one.parameter) for one in found.open] == [("kink", "a")]
