"""Which entries central differences look at again, how many, and what is said of the rest."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.noise import Noise
from gradcheck.numpy_target.problem import Limits, numpy_problem
from gradcheck.oracles.central import central_differences

CLAIMS = np.geomspace(1.0, 3.0, 100)


def differences(loss, claims, *, noise=1e-12, inputs=None, limits=None, budget=None, **options):
    """Central differences of a loss of named parameters, and what they took."""
    inputs = {name: np.ones(len(one)) for name, one in claims.items()} if inputs is None else inputs
    problem = numpy_problem(
        lambda **named: (loss(**named), claims), inputs, list(claims), limits=limits or Limits()
    )
    if budget is not None:
        problem.evaluator.budget = problem.evaluator.count + budget
    before = problem.evaluator.count
    options.setdefault("selection", {name: np.arange(len(one)) for name, one in claims.items()})
    level = Noise(noise, problem.facts.value, np.dtype(float))
    with np.errstate(all="ignore"):
        found = central_differences(problem, level, np.random.default_rng(0), **options)
    return found, problem.evaluator.count - before


def weighted(x):
    return float(x @ CLAIMS)


def looked_at_again(found, noise=1e-12):
    """Entries whose uncertainty is not that of one pair: four times the noise, over the step."""
    return np.flatnonzero(~np.isclose(found.uncertainty, 4 * noise / found.steps, rtol=1e-3))


def test_entries_that_agree_and_are_fine_take_one_pair():
    found, spent = differences(weighted, {"x": CLAIMS})
    assert spent == 2 * 100
    np.testing.assert_allclose(found["x"].value, CLAIMS, rtol=1e-7)
    assert not found["x"].kinks.any()
    assert not found["x"].edges.any()


# The step of the first pass is the cube root of three times the noise, so that what it leaves of
# a slope of one is four times the noise over that.


@pytest.mark.parametrize(("noise", "refined"), [(3e-8, 0), (1e-7, 3), (1e-6, 24)])
def test_of_entries_coarser_than_a_ten_thousandth_the_coarsest_are_refined(noise, refined):
    found, spent = differences(weighted, {"x": CLAIMS}, noise=noise)
    again = looked_at_again(found["x"], noise)
    assert spent >= 200 + 4 * refined
    assert again.tolist() == list(range(len(again)))  # those of the smallest slopes
    assert len(again) <= 24
    assert len(again) >= refined
    left = found["x"].uncertainty[len(again) :] / CLAIMS[len(again) :]
    assert left.max() <= 1e-4 or len(again) == 24


def test_a_thorough_look_refines_all_of_them():
    found, _ = differences(weighted, {"x": CLAIMS}, noise=1e-6, thorough=True)
    assert len(looked_at_again(found["x"], 1e-6)) == 100


@pytest.mark.parametrize(("noise", "refined"), [(2e-11, 0), (3e-9, 100)])
def test_it_refines_what_is_coarser_than_a_millionth(noise, refined):
    found, spent = differences(weighted, {"x": CLAIMS}, noise=noise, thorough=True)
    coarse = 4 * noise / np.cbrt(3 * noise) / CLAIMS
    assert (coarse > 1e-6).all() if refined else (coarse < 1e-6).all()
    assert len(looked_at_again(found["x"], noise)) == refined
    assert (spent == 200) == (refined == 0)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_entries_known_to_less_than_a_thousandth_are_all_looked_at_again(size):
    noise = 3e-6 * size
    found, _ = differences(lambda x: size * weighted(x), {"x": size * CLAIMS}, noise=noise)
    again = looked_at_again(found["x"], noise)
    assert 24 < len(again) < 100
    left = np.setdiff1d(np.arange(100), again)
    assert (found["x"].uncertainty[left] <= 1e-3 * size * CLAIMS[left]).all()


def test_entries_too_small_to_matter_are_not_refined():
    weights = np.concatenate([CLAIMS, np.full(10, 1e-5)])
    found, spent = differences(lambda x: float(x @ weights), {"x": weights})
    assert (found["x"].uncertainty[-10:] > 1e-4 * weights[-10:]).all()
    assert spent == 2 * 110


def test_suspected_entries_are_looked_at_again_and_no_others():
    marked = np.zeros(100, dtype=bool)
    marked[[3, 50, 99]] = True
    found, spent = differences(weighted, {"x": CLAIMS}, suspected={"x": marked})
    assert spent == 200 + 3 * 4
    assert looked_at_again(found["x"]).tolist() == [3, 50, 99]
    _, spent = differences(weighted, {"x": CLAIMS}, suspected={"y": marked})
    assert spent == 200


def test_after_eight_confirmed_wrong_the_rest_is_left_to_the_first_pass():
    found, spent = differences(weighted, {"x": 2 * CLAIMS})
    assert spent == 200 + 8 * 4
    assert (np.abs(found["x"].value - CLAIMS) <= found["x"].uncertainty).all()
    assert (found["x"].uncertainty < 1e-6).all()


@pytest.mark.parametrize(("wrong", "again"), [(1, 1), (7, 7), (8, 8), (9, 8), (24, 8)])
def test_wrong_entries_are_looked_at_eight_at_a_time(wrong, again):
    claims = CLAIMS.copy()
    claims[40 : 40 + wrong] *= 2
    found, spent = differences(weighted, {"x": claims})
    assert spent == 200 + again * 4
    assert set(looked_at_again(found["x"])) <= set(range(40, 40 + wrong))


def test_entries_in_doubt_that_turn_out_right_do_not_end_it():
    marked = np.zeros(100, dtype=bool)
    marked[20:60] = True
    claims = CLAIMS.copy()
    claims[20:25] *= 2
    _, spent = differences(weighted, {"x": claims}, suspected={"x": marked})
    assert spent == 200 + 40 * 4


def test_half_of_those_looked_at_are_the_worst():
    found, spent = differences(weighted, {"x": np.full(100, 10.0)})
    again = looked_at_again(found["x"]).tolist()
    assert spent == 200 + 8 * 4
    assert len(again) == 8
    assert again[:4] == [0, 1, 2, 3]  # farthest from ten
    assert again[7] > 8


@pytest.mark.parametrize(
    ("parameters", "entries", "each"),
    [(1, 10, 8), (15, 10, 8), (20, 10, 7), (30, 10, 5), (40, 10, 3), (130, 3, 2)],
)
def test_of_many_parameters_fewer_entries_each_are_looked_at_again(parameters, entries, each):
    # (1500 + entries) / 12 of all together, two at least and eight at most of each
    claims = {f"p{k}": np.full(entries, 2.0) for k in range(parameters)}
    _, spent = differences(lambda **named: float(sum(x.sum() for x in named.values())), claims)
    assert spent == (2 * entries + 4 * each) * parameters


def test_what_was_left_is_given_the_truncation_that_was_seen():
    weights = np.linspace(1.0, 2.0, 60)

    def loss(x):
        return float(weights @ np.exp(10 * (x - 1)))

    truth = 10 * weights
    found, spent = differences(loss, {"x": 2 * truth}, noise=1e-11)
    one = found["x"]
    error = np.abs(one.value - truth)
    assert (error <= one.uncertainty).all()
    left = error > 1e-8
    assert left.sum() == 60 - 8
    # as much more than noise as was seen, relative to the slope and the typical one
    more = (one.uncertainty - 4e-11 / one.steps)[left]
    typical = np.sqrt(np.mean((2 * truth) ** 2))
    share = more / (np.abs(one.value[left]) + typical)
    assert np.ptp(share) <= 1e-3 * share.mean()
    assert one.uncertainty[left].max() <= 2 * error.max()
    assert spent == 120 + 8 * 6


def test_an_order_of_entries_makes_no_difference_and_others_are_not_looked_at():
    claims = CLAIMS.copy()
    claims[17] *= 3
    chosen = np.array([60, 17, 3])
    found, spent = differences(weighted, {"x": claims}, selection={"x": chosen})
    assert spent == 6 + 4
    assert np.flatnonzero(found["x"].checked).tolist() == [3, 17, 60]
    np.testing.assert_allclose(found["x"].value[[3, 17, 60]], CLAIMS[[3, 17, 60]], rtol=1e-7)
    assert np.isnan(found["x"].uncertainty[0])
    nothing, spent = differences(weighted, {"x": claims}, selection={"y": chosen})
    assert (nothing, spent) == ({}, 0)


# Limits


@pytest.mark.parametrize("budget", [0, 2, 7, 100, 199])
def test_what_a_budget_leaves_out_is_unchecked_and_no_edge(budget):
    found, spent = differences(weighted, {"x": CLAIMS}, budget=budget)
    assert spent <= budget
    assert np.flatnonzero(found["x"].checked).tolist() == list(range(budget // 2))
    assert not found["x"].edges.any()


def test_an_edge_seen_before_a_budget_ends_is_one():
    def loss(x):
        return float(x @ CLAIMS) if x[5] <= 1.0 else float("nan")

    found, spent = differences(loss, {"x": CLAIMS}, budget=201)
    assert spent <= 201
    assert np.flatnonzero(found["x"].edges).tolist() == [5]
    assert np.isnan(found["x"].value[5])


def test_a_budget_that_ends_before_errors_are_confirmed_leaves_them_unknown():
    found, _ = differences(weighted, {"x": 2 * CLAIMS}, budget=201)
    assert (~np.isfinite(found["x"].uncertainty)).sum() >= 88
    assert np.isfinite(found["x"].value).all()


# Edges and flat entries


def test_an_entry_without_a_finite_loss_about_it_is_an_edge():
    def point(x):
        return float(x @ CLAIMS) if x[5] == 1.0 else float("nan")

    found, _ = differences(point, {"x": CLAIMS})
    assert np.flatnonzero(found["x"].edges).tolist() == [5]
    assert np.isnan(found["x"].value[5])


@pytest.mark.parametrize(
    ("place", "flat"),
    [(1.0, False), (-1.0, False), (0.01, False), (-0.01, False), (0.1, True), (-0.1, True)],
)
def test_an_entry_is_flat_where_neither_its_scale_nor_a_hundredth_of_it_changes_a_bit(place, flat):
    def loss(x):  # changes at one place beside its first entry, which is 1
        return float(x[1]) + (abs(float(x[0]) - 1.0 - place) < 1e-3)

    found, _ = differences(loss, {"x": np.array([0.0, 1.0])})
    assert found["x"].flat.tolist() == [flat, False]
    assert found["x"].value[0] == 0.0


def test_entries_are_flat_together_or_not_at_all():
    found, spent = differences(lambda x: float(x[3]), {"x": np.eye(6)[3]})
    assert found["x"].flat.tolist() == [True, True, True, False, True, True]
    assert spent == 12 + 4
    both, _ = differences(lambda x: float(x[3] + (x[0] - 1) * (x[1] - 1)), {"x": np.eye(6)[3]})
    assert not both["x"].flat.any()


# Parameters of more entries than are worked on at a time


@pytest.mark.parametrize("every", [True, False])
def test_large_parameters_are_swept_and_those_after_them_looked_at(every):
    n = 18_000
    weights = {"a": np.linspace(1.0, 2.0, n), "b": np.ones(3)}

    def loss(a, b):
        return float(weights["a"] @ a + weights["b"] @ b)

    claims = {name: one.copy() for name, one in weights.items()}
    claims["a"][[7, 17_500]] *= 2
    chosen = np.arange(n) if every else np.setdiff1d(np.arange(n), np.arange(100, 1000))
    found, spent = differences(
        loss, claims, noise=1e-10, selection={"a": chosen, "b": np.arange(3)}
    )
    assert list(found) == ["a", "b"]
    one = found["a"]
    assert np.array_equal(np.flatnonzero(one.checked), chosen)
    off = np.abs(one.value - claims["a"])[chosen] > one.uncertainty[chosen]
    assert chosen[off].tolist() == [7, 17_500]
    assert (np.abs(one.value - weights["a"])[chosen] <= one.uncertainty[chosen] + 1e-9).all()
    np.testing.assert_allclose(found["b"].value, 1.0, rtol=1e-5)
    assert spent == 2 * len(chosen) + 2 * 4 + 6
