"""Of which entries more is wanted: by the complex step, by averages, and of exact oracles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_second_look import NOISE, estimate, looked_closer, problem_of

from gradcheck.noise import Noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.oracles.parted import sampled
from gradcheck.oracles.torch_autograd import NONE, Autograd
from gradcheck.second_look import again, decided, undecided
from gradcheck.settings import Settings
from gradcheck.verdict.compare import thresholds_for

COARSEST = thresholds_for(np.dtype(float)).coarsest
GENERATOR = np.random.default_rng(0)


def problem_with(**claims: Any) -> Any:
    claimed = {name: np.asarray(one, dtype=float) for name, one in claims.items()}
    inputs = {name: np.ones(one.shape) for name, one in claimed.items()}
    problem = numpy_problem(lambda **_: (1.0, claimed), inputs)
    zeros = {name: np.zeros(one.shape) for name, one in claimed.items()}
    return replace(problem, analytic_rounding=zeros)


# Exact estimates that decide


def deciding(**estimates: tuple[Any, Any]) -> list[str]:
    """The parameters whose exact estimates decide, each of a claim and an estimate."""
    problem = problem_with(**{name: claim for name, (claim, _) in estimates.items()})
    exact = {name: one for name, (_, one) in estimates.items()}
    found = decided(problem, Settings(), NOISE, exact)
    assert all(found[name] is exact[name] for name in found)
    return list(found)


def test_an_entry_that_is_open_for_want_of_digits_is_not_decided() -> None:
    coarse = np.ones(2), estimate(np.ones(2), [1e-12, 0.1])
    fine = np.ones(2), estimate(np.ones(2), 1e-12)
    assert deciding(x=coarse, y=fine) == ["y"]
    assert deciding(x=fine, y=coarse, z=fine) == ["x", "z"]


def test_what_is_open_by_a_slight_difference_is_decided() -> None:
    # half a millionth apart, and known far better
    assert deciding(x=([1.0, 1.0], estimate([1.0, 1.0 + 5e-7], 1e-12))) == ["x"]


def test_what_is_wrong_is_decided_however_coarse() -> None:
    assert deciding(x=([1.0, 1.0], estimate([1.0, 3.0], [1e-12, 0.5]))) == ["x"]


@pytest.mark.parametrize(("size", "kept"), [(1 << 17, False), ((1 << 17) + 1, True)])
def test_large_parameters_are_not_looked_at_again(size: int, kept: bool) -> None:
    one = np.ones(size)
    assert bool(deciding(x=(one, estimate(one, 0.1)))) is kept


# Entries to be averaged


def averaged_of(monkeypatch: pytest.MonkeyPatch, claim: Any, one: Any) -> dict[int, float] | None:
    """The entries whose noise is averaged out, each with what is wanted; None where none are."""
    asked = []

    def averaged(*given: Any) -> Any:
        asked.append(given)
        return given[4]

    monkeypatch.setattr("gradcheck.oracles.averaged.averaged", averaged)
    problem = problem_with(w=np.ones(2), x=claim)
    found = again(problem, Settings(), NOISE, GENERATOR, {"x": one}, {}, thorough=False)
    assert list(found) == ["x"]
    if not asked:
        return None
    ((_, noise, generator, number, whole, wanted),) = asked
    assert (noise, generator, number) == (NOISE, GENERATOR, 1)
    assert found["x"] is whole
    return dict(wanted)


def test_half_of_what_would_decide_is_wanted_of_the_larger_of_claim_and_slope(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claim = np.array([2.0, -2.0, 4.0, 1.0])
    one = estimate([2.0, -2.1, 3.9, 1.0], [1e-12, 0.5, 0.5, 0.4])
    wanted = averaged_of(monkeypatch, claim, one)
    assert wanted == pytest.approx(
        {1: 0.5 * COARSEST * 2.1, 2: 0.5 * COARSEST * 4.0, 3: 0.5 * COARSEST}
    )


def test_nothing_is_averaged_where_nothing_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    assert averaged_of(monkeypatch, np.ones(3), estimate(np.ones(3), 1e-12)) is None


@pytest.mark.parametrize(("size", "asked"), [(1 << 17, True), ((1 << 17) + 1, False)])
def test_nor_in_large_parameters(monkeypatch: pytest.MonkeyPatch, size: int, asked: bool) -> None:
    one, uncertainty = np.ones(size), np.full(size, 1e-12)
    uncertainty[7] = 0.5
    wanted = averaged_of(monkeypatch, one, estimate(one, uncertainty))
    assert (wanted is not None) is asked
    assert not asked or list(wanted or ()) == [7]


@pytest.mark.parametrize(("size", "asked"), [(50, True), (51, False)])
def test_nor_of_more_than_fifty(monkeypatch: pytest.MonkeyPatch, size: int, asked: bool) -> None:
    one = estimate(np.ones(size), 0.5)
    assert (averaged_of(monkeypatch, np.ones(size), one) is not None) is asked


def test_nor_at_kinks_and_without_any_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    kinks = np.array([True, False, False])
    one = estimate(np.ones(3), [0.5, np.inf, 0.5], kinks=kinks)
    assert list(averaged_of(monkeypatch, np.ones(3), one) or ()) == [2]


# Entries for the complex step


def chosen(problem: Any, central: Any, autograd: Autograd = NONE) -> dict[str, list[int]]:
    found = undecided(problem, Settings(), NOISE, central, autograd)
    return {name: entries.tolist() for name, entries in found.items()}


def test_parameters_that_autograd_knows_are_passed_over() -> None:
    problem = problem_with(x=np.ones(2), y=np.ones(2))
    one = estimate(np.ones(2), [1e-9, 0.1])
    assert chosen(problem, {"x": one, "y": one}, Autograd({"x": one})) == {"y": [1]}


def test_parts_that_were_not_looked_at_are_passed_over() -> None:
    n = 40_000
    one = sampled(estimate(np.ones(1), 0.1), np.array([39_000]), (n,))
    assert chosen(problem_of(np.ones(n)), {"x": one}) == {"x": [39_000]}


@pytest.mark.parametrize("unit", [1.0, 2.0**-20])
def test_the_largest_entry_is_what_small_ones_are_small_beside(unit: float) -> None:
    values = unit * np.array([1.0, 0.5, 1e-4])
    assert chosen(problem_of(values), {"x": estimate(values, 0.5e-4 * values)}) == {"x": [0, 1]}


def test_where_nothing_was_looked_at_nothing_is_chosen() -> None:
    nothing = sampled(estimate(np.zeros(0), 1.0), np.zeros(0, dtype=np.intp), (40_000,))
    assert chosen(problem_of(np.ones(40_000)), {"x": nothing}) == {"x": []}


# Entries for extended precision


@pytest.mark.parametrize(("share", "closer"), [(1.1e-8, True), (0.9e-8, False)])
def test_a_thorough_check_leaves_what_is_nothing_beside_the_largest_of_any_size(
    monkeypatch: pytest.MonkeyPatch, share: float, closer: bool
) -> None:
    claims = np.array([4.0, 4.0 * share])
    uncertainty = np.array([1e-9, 4e-4 * share])
    found = looked_closer(monkeypatch, claims, uncertainty, thorough=True)
    assert found == ({"x": [1]} if closer else None)


def test_a_random_loss_has_no_noise_that_is_averaged_out(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("gradcheck.oracles.averaged.averaged", lambda *given: asked.append(given))
    problem = problem_with(x=np.ones(2))
    problem = replace(problem, facts=replace(problem.facts, spread=1e-9))
    central = {"x": estimate(np.ones(2), 0.5)}
    noise = Noise(1e-16, 1.0, np.dtype(float), 1.0)
    found = again(problem, Settings(), noise, GENERATOR, dict(central), {}, thorough=False)
    assert found == central
    assert asked == []
