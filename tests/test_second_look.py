"""Which entries get a second look, and at how many places noise is averaged out."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcheck.noise import Noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.oracles import extended
from gradcheck.oracles.averaged import averaged
from gradcheck.oracles.estimate import smooth_estimate
from gradcheck.oracles.parted import sampled
from gradcheck.oracles.torch_autograd import NONE, Autograd
from gradcheck.second_look import again, undecided
from gradcheck.settings import Settings

NOISE = Noise(1e-16, 1.0, np.dtype(float), 1.0)


def problem_of(claimed: Any, loss: Any = None) -> Any:
    claimed = np.asarray(claimed, dtype=float)
    value = loss or (lambda x: 1.0)
    problem = numpy_problem(lambda x: (value(x), claimed), np.ones(claimed.shape))
    return replace(problem, analytic_rounding={"x": np.zeros(claimed.shape)})


def estimate(value: Any, uncertainty: Any, **changes: Any) -> Any:
    value = np.asarray(value, dtype=float)
    one = smooth_estimate("central", value, np.broadcast_to(uncertainty, value.shape).astype(float))
    return replace(one, **changes)


# For the complex step


def settled(claimed: Any, one: Any, autograd: Autograd = NONE) -> Any:
    found = undecided(problem_of(claimed), Settings(), NOISE, {"x": one}, autograd)
    return {name: entries.tolist() for name, entries in found.items()}


@pytest.mark.parametrize(("uncertainty", "coarse"), [(1.01e-5, True), (0.99e-5, False)])
def test_what_passes_at_more_than_a_hundred_thousandth_is_coarse(
    uncertainty: float, coarse: bool
) -> None:
    ones = np.ones(3)
    found = settled(ones, estimate(ones, [1e-9, uncertainty, 1e-9]))
    assert found == {"x": [1] if coarse else []}


@pytest.mark.parametrize(("size", "coarse"), [(1.01e-4, True), (0.99e-4, False)])
def test_coarse_entries_of_less_than_a_ten_thousandth_are_left(size: float, coarse: bool) -> None:
    values = np.array([1.0, 0.5, size])
    assert settled(values, estimate(values, 0.5e-4 * values)) == {
        "x": [0, 1, 2] if coarse else [0, 1]
    }


def test_undecided_entries_are_chosen_whatever_their_size() -> None:
    values = np.array([1.0, 1.0, 1e-9])
    assert settled(values, estimate(values, [1e-9, 0.1, 0.1])) == {"x": [1, 2]}


def test_wrong_entries_and_kinks_are_settled() -> None:
    claimed, values = np.array([2.0, 1.0, 1.0, 1.0]), np.ones(4)
    kinks = np.array([False, True, False, False])
    one = estimate(values, [1e-9, 0.1, 1e-9, 0.1], kinks=kinks)
    assert settled(claimed, one) == {"x": [3]}


def test_what_autograd_knows_needs_none() -> None:
    ones = np.ones(3)
    known = Autograd({"x": estimate(ones, 1e-15)})
    assert settled(ones, estimate(ones, 0.1), known) == {}


def test_of_a_large_parameter_the_parts_that_were_looked_at_count() -> None:
    n = 40_000
    seen = np.array([5, 17_000, 39_000])
    one = sampled(estimate(np.ones(3), [1e-9, 0.1, 1e-3 * 0.9]), seen, (n,))
    assert settled(np.ones(n), one) == {"x": [17_000, 39_000]}
    empty = sampled(estimate(np.zeros(0), 1.0), np.zeros(0, dtype=np.intp), (n,))
    assert settled(np.ones(n), empty) == {"x": []}


# Noise averaged out


SLOPES = np.array([1.0, 2e-3, 1.0, 3e-3])
LEVEL = 1e-6


def noisy(x: Any) -> float:
    """A line with noise that depends on the place alone."""
    return float(SLOPES @ x + LEVEL * np.sin(1e9 * float(np.arange(1, 5) @ x)))


COARSE = np.array([1e-9, 2e-4, 1e-9, 1e-3])
"""Known to a tenth and to a third: the second and the last are undecided."""
NOISY = Noise(LEVEL, 2.0, np.dtype(float), 1.0)


def looked_again(
    one: Any, *, noise: Noise = NOISY, exact: Any = (), thorough: bool = False, **facts: Any
) -> Any:
    problem = replace(problem_of(SLOPES, noisy), extended_loss=None)
    problem = replace(problem, facts=replace(problem.facts, **facts))
    generator = np.random.default_rng(0)
    known = dict.fromkeys(exact, one)
    return again(problem, Settings(), noise, generator, {"x": one}, known, thorough=thorough)["x"]


def test_undecided_entries_are_averaged_and_no_others() -> None:
    one = estimate(SLOPES, COARSE)
    found = looked_again(one)
    np.testing.assert_array_equal(found.uncertainty != COARSE, [False, True, False, True])
    assert (found.uncertainty <= COARSE).all()
    assert (np.abs(found.value - SLOPES) <= found.uncertainty).all()
    assert (found.value[[0, 2]] == 1.0).all()


@pytest.mark.parametrize(
    "options",
    [
        {"spread": 1e-9},
        {"exact": ("x",)},
    ],
    ids=["random", "known"],
)
def test_none_is_averaged_where_it_is_not_noise_or_not_needed(options: Any) -> None:
    one = estimate(SLOPES, COARSE)
    assert looked_again(one, **options) is one


def test_a_thorough_check_averages_what_another_oracle_knows_too() -> None:
    one = estimate(SLOPES, COARSE)
    assert looked_again(one, exact=("x",), thorough=True) is not one


def test_nor_where_an_entry_is_wrong_already() -> None:
    one = estimate(SLOPES + np.array([0.5, 0, 0, 0]), COARSE)
    assert looked_again(one) is one


def test_nor_at_kinks_or_where_nothing_is_known() -> None:
    kinks = np.array([False, True, False, False])
    found = looked_again(estimate(SLOPES, COARSE, kinks=kinks))
    np.testing.assert_array_equal(found.uncertainty != COARSE, [False, False, False, True])
    unknown = np.where(kinks, np.inf, COARSE)
    found = looked_again(estimate(SLOPES, unknown))
    np.testing.assert_array_equal(found.uncertainty != unknown, [False, False, False, True])


@pytest.mark.parametrize(("open_", "averaged_"), [(50, True), (51, False)])
def test_no_more_than_fifty_entries_are_averaged(open_: int, averaged_: bool) -> None:
    n = 60
    claimed = np.ones(n)
    uncertainty = np.where(np.arange(n) < open_, 0.1, 1e-9)
    problem = replace(problem_of(claimed, lambda x: float(np.sum(x))), extended_loss=None)
    one = estimate(claimed, uncertainty)
    found = again(
        problem, Settings(), NOISE, np.random.default_rng(0), {"x": one}, {}, thorough=False
    )["x"]
    assert (found is not one) is averaged_


# How many places that takes


class OneEntry:
    """Evaluates a loss of one entry, and remembers where."""

    def __init__(self, loss: Any, limit: int = 10**9) -> None:
        self.loss, self.limit = loss, limit
        self.asked: list[float] = []
        self.entered: list[int] = []

    @property
    def exhausted(self) -> bool:
        return len(self.asked) >= self.limit

    def entries(self, number: int, indices: Any, values: Any) -> Any:
        assert number == 0
        self.entered += indices[:1].tolist()
        self.asked += values.tolist()
        return np.array([self.loss(float(x)) for x in values])


def averaged_of(
    loss: Any, wanted: dict[int, float], *, known: Any, noise: float = LEVEL, limit: int = 10**9
) -> tuple[Any, OneEntry]:
    """Average the noise of a loss out, whose every entry is 2 and counts alike."""
    evaluator = OneEntry(loss, limit)
    value = np.full(known.value.shape, 2.0)
    problem: Any = SimpleNamespace(
        evaluator=evaluator,
        parameters=[
            SimpleNamespace(name="x", value=value, typical=2.0, magnitude=value.__getitem__)
        ],
        analytic={},
        facts=SimpleNamespace(value=1.0, offset=0.0),
    )
    generator = np.random.default_rng(0)
    level = Noise(noise, 1.0, np.dtype(float), 1.0)
    return averaged(problem, level, generator, 0, known, wanted), evaluator


def jitter(x: float) -> float:
    return 1.0 + 3.0 * (x - 2.0) + LEVEL * float(np.sin(1e9 * x))


KNOWN = estimate(np.full(3, 3.0), 1e-3)


def test_a_first_fit_over_half_the_scale_is_enough_where_little_is_wanted() -> None:
    found, evaluator = averaged_of(jitter, {1: 1e-4}, known=KNOWN)
    assert len(evaluator.asked) == 64
    moves = np.array(evaluator.asked) - 2.0
    assert 0.48 < np.abs(moves).max() <= 0.5
    assert (moves > 0).sum() == (moves < 0).sum() == 32
    # one place in each of 32 parts of the reach
    assert np.floor(np.sort(moves[moves > 0]) / 0.5 * 32).tolist() == list(range(32))
    assert abs(found.value[1] - 3.0) <= found.uncertainty[1] <= 1e-4
    assert found.lower[1] == found.upper[1] == found.value[1]
    assert found.steps[1] == 0.5
    assert found.value[[0, 2]].tolist() == [3.0, 3.0]
    assert np.isnan(found.steps[[0, 2]]).all()


def test_more_reaches_and_then_more_places_are_tried_for_what_is_not_reached() -> None:
    found, evaluator = averaged_of(jitter, {1: 0.0}, known=KNOWN)
    assert len(evaluator.asked) == (4 + 12) * 64
    farthest = np.abs(np.array(evaluator.asked) - 2.0).reshape(16, 64).max(axis=1)
    np.testing.assert_allclose(farthest[:4], [0.5, 1.0, 0.25, 0.125], rtol=0.04)
    np.testing.assert_allclose(farthest[4:], found.steps[1], rtol=0.04)
    assert found.uncertainty[1] < 2e-6


def test_where_no_fit_is_better_than_what_is_known_four_reaches_tell_so() -> None:
    known = estimate(np.full(3, 3.0), 1e-9)
    found, evaluator = averaged_of(jitter, {1: 0.0}, known=known)
    assert len(evaluator.asked) == 4 * 64
    assert found.uncertainty.tolist() == known.uncertainty.tolist()


def test_a_fit_that_contradicts_what_is_known_is_not_believed() -> None:
    known = estimate(np.full(3, 3.1), 1e-3)
    found, evaluator = averaged_of(jitter, {1: 0.0}, known=known)
    assert len(evaluator.asked) == 4 * 64
    assert found.value.tolist() == known.value.tolist()


def test_three_entries_in_vain_are_enough() -> None:
    known = estimate(np.full(6, 3.0), 1e-9)
    _, evaluator = averaged_of(jitter, dict.fromkeys(range(6), 0.0), known=known)
    assert len(evaluator.asked) == 3 * 4 * 64
    assert sorted(set(evaluator.entered)) == [0, 1, 2]


def test_entries_are_looked_at_until_a_limit() -> None:
    found, evaluator = averaged_of(jitter, {0: 1e-4, 2: 1e-4}, known=KNOWN, limit=64)
    assert len(evaluator.asked) == 64
    assert found.uncertainty[0] < 1e-4
    assert found.uncertainty[2] == 1e-3


def test_off_the_domain_what_was_found_nearer_by_stays() -> None:
    def edge(x: float) -> float:
        return jitter(x) if abs(x - 2.0) < 0.6 else np.nan

    found, evaluator = averaged_of(edge, {1: 0.0}, known=KNOWN)
    assert len(evaluator.asked) == 2 * 64
    assert found.steps[1] == 0.5
    nowhere, evaluator = averaged_of(lambda x: np.nan, {1: 0.0}, known=KNOWN)
    assert len(evaluator.asked) == 64
    assert nowhere.value.tolist() == KNOWN.value.tolist()


def test_at_kinks_the_sides_stay_as_they_are() -> None:
    kinks = np.array([True, False, False])
    lower, upper = KNOWN.value - 1.0, KNOWN.value + 1.0
    known = replace(KNOWN, kinks=kinks, lower=lower, upper=upper)
    found, _ = averaged_of(jitter, {1: 1e-4}, known=known)
    assert (found.lower[0], found.upper[0]) == (2.0, 4.0)
    assert found.lower[1] == found.upper[1] == found.value[1]


# In extended precision


def looked_closer(
    monkeypatch: Any,
    claimed: Any,
    uncertainty: Any,
    *,
    affordable: int = 10**6,
    thorough: bool = False,
    exact: Any = (),
    names: tuple[str, ...] = ("x",),
    available: bool = True,
    **changes: Any,
) -> Any:
    """The entries of each parameter that are refined, in their order; None where none are."""
    seen: list[Any] = []

    def refine(problem: Any, extended: Any, generator: Any, small: Any, chosen: Any) -> Any:
        seen.append({name: entries.tolist() for name, entries in chosen.items()})
        return small

    means = SimpleNamespace(affordable=affordable) if available else None
    monkeypatch.setattr(extended, "in_extended_precision", lambda *_: means)
    monkeypatch.setattr(extended, "refine", refine)
    claimed = np.asarray(claimed, dtype=float)
    claims = dict.fromkeys(names, claimed)
    problem = numpy_problem(
        lambda **arrays: (1.0, claims), {name: np.ones(claimed.shape) for name in names}
    )
    problem = replace(problem, analytic_rounding=dict.fromkeys(names, np.zeros(claimed.shape)))
    values = changes.pop("values", claimed)
    central = {name: estimate(values, uncertainty, **changes) for name in names}
    noise = replace(NOISE, jumps="all along")  # so that nothing is averaged
    known = dict.fromkeys(exact, central[names[0]])
    generator = np.random.default_rng(0)
    again(problem, Settings(), noise, generator, dict(central), known, thorough=thorough)
    return seen[0] if seen else None


def test_the_coarsest_come_first(monkeypatch: Any) -> None:
    found = looked_closer(monkeypatch, np.ones(5), [1e-9, 2e-6, 0.1, 3e-6, 0.9e-6])
    assert found == {"x": [2, 3, 1]}  # the first of them is undecided


@pytest.mark.parametrize(("size", "least"), [(1000, 1e-6), (1001, 1e-5)])
def test_large_problems_refine_what_is_coarser(monkeypatch: Any, size: int, least: float) -> None:
    uncertainty = np.full(size, 1e-9)
    uncertainty[[3, 7]] = 1.01 * least, 0.99 * least
    assert looked_closer(monkeypatch, np.ones(size), uncertainty) == {"x": [3]}
    # but not a thorough check
    uncertainty[[3, 7]] = 1.01e-6, 0.99e-6
    assert looked_closer(monkeypatch, np.ones(size), uncertainty, thorough=True) == {"x": [3]}


def test_kinks_and_entries_that_were_not_looked_at_are_left(monkeypatch: Any) -> None:
    kinks = np.array([True, False, False])
    values = np.array([1.0, 1.0, np.nan])
    found = looked_closer(monkeypatch, np.ones(3), 1e-4, kinks=kinks, values=values)
    assert found == {"x": [1]}
    assert looked_closer(monkeypatch, np.ones(3), 1e-4, kinks=np.ones(3, dtype=bool)) is None


@pytest.mark.parametrize(("share", "closer"), [(2e-8, True), (0.5e-8, False)])
def test_a_thorough_check_leaves_what_is_nothing_beside_the_largest(
    monkeypatch: Any, share: float, closer: bool
) -> None:
    claims = np.array([1.0, share, -0.5])
    uncertainty = np.array([1e-9, 1e-4 * share, 1e-9])
    found = looked_closer(monkeypatch, claims, uncertainty, thorough=True)
    assert found == ({"x": [1]} if closer else None)
    # by its own size it is coarse; beside a thousandth of the others it is not
    assert looked_closer(monkeypatch, claims, uncertainty) is None


@pytest.mark.parametrize(
    ("size", "thorough", "most"),
    [(60, False, 50), (2500, False, 50), (3000, False, 60), (60, True, 60), (3000, True, 1000)],
)
def test_so_many_are_refined(monkeypatch: Any, size: int, thorough: bool, most: int) -> None:
    found = looked_closer(monkeypatch, np.ones(size), 1e-4, thorough=thorough)
    assert found == {"x": list(range(most))}


def test_parameters_share_what_can_be_afforded(monkeypatch: Any) -> None:
    found = looked_closer(monkeypatch, np.ones(9), 1e-4, affordable=7, names=("x", "y"))
    assert found == {"x": [0, 1, 2], "y": [0, 1, 2]}


def test_what_another_oracle_knows_is_refined_by_a_thorough_check_alone(monkeypatch: Any) -> None:
    options: Any = {"names": ("x", "y"), "exact": ("x",)}
    assert looked_closer(monkeypatch, np.ones(2), 1e-4, **options) == {"y": [0, 1]}
    every = looked_closer(monkeypatch, np.ones(2), 1e-4, thorough=True, **options)
    assert every == {"x": [0, 1], "y": [0, 1]}


def test_without_extended_precision_or_need_of_it_nothing_is_refined(monkeypatch: Any) -> None:
    assert looked_closer(monkeypatch, np.ones(3), 1e-4, available=False) is None
    assert looked_closer(monkeypatch, np.ones(3), 1e-9) is None
