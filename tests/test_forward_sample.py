"""Which entries forward mode computes, and what it takes for a contradiction."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gradcheck.oracles.estimate import smooth_estimate
from gradcheck.problem import Parameter

pytest.importorskip("torch")

from gradcheck.oracles import forward_mode as module
from gradcheck.oracles.forward_mode import disagreement, forward_mode
from gradcheck.torch_target.forward import ForwardModeError

EPS = 2.0**-52


class Exact:
    """Derivatives along directions of losses whose gradients are given; counts the directions."""

    def __init__(self, *gradients):
        self.gradients = gradients
        self.counts = []

    def __call__(self, number, directions):
        gradient = self.gradients[number]
        assert directions.shape[1:] == gradient.shape
        self.counts.append(len(directions))
        return directions.reshape(len(directions), -1) @ gradient.reshape(-1)

    def entries(self, number, indices):
        return np.empty(0)


class Kept(Exact):
    """Keeps the first directions that it is asked for."""

    first = None

    def __call__(self, number, directions):
        self.first = directions if self.first is None else self.first
        return super().__call__(number, directions)


def found_of(
    *gradients,
    claimed=None,
    rounding=0.0,
    dtype=float,
    names="abc",
    exact=None,
    inside=None,
    swept=False,
    seed=0,
):
    """Return what forward mode says of these gradients, and how many directions it took."""
    exact = exact or Exact(*gradients)
    values = [np.ones(one.shape, dtype=dtype) for one in gradients]
    parameters = [
        Parameter(name, name, value, value.dtype)
        for name, value in zip(names, values, strict=False)
    ]
    claimed = {p.name: g for p, g in zip(parameters, gradients, strict=True)} | (claimed or {})
    claimed = {name: one for name, one in claimed.items() if one is not None}
    problem = SimpleNamespace(
        forward_gradient=exact,
        precision_inside=inside,
        parameters=tuple(parameters),
        analytic=claimed,
        analytic_rounding={name: np.full(one.shape, rounding) for name, one in claimed.items()},
    )
    return forward_mode(problem, np.random.default_rng(seed), swept=swept), exact.counts


def slopes(*shape):
    return np.random.default_rng(1).normal(size=shape)


def test_every_entry_of_small_parameters_is_computed():
    one, two = slopes(4, 3), slopes(5)
    found, counts = found_of(one, two)
    np.testing.assert_array_equal(found.estimates["a"].value, one)
    np.testing.assert_array_equal(found.estimates["b"].value, two)
    assert counts == [12, 5]
    assert (found.disagreeing, found.refusal) == ((), None)
    bound = 64 * EPS * (np.abs(one) + np.sqrt(np.mean(one**2)))
    np.testing.assert_allclose(found.estimates["a"].uncertainty, bound)


def test_the_bound_is_of_the_precision_in_which_the_target_runs():
    found, _ = found_of(slopes(5), dtype=np.float32)
    value = found.estimates["a"].value
    bound = 64 * 2.0**-23 * (np.abs(value) + np.sqrt(np.mean(value**2)))
    np.testing.assert_allclose(found.estimates["a"].uncertainty, bound)


def test_parameters_without_a_claim_are_left_out():
    found, counts = found_of(slopes(4), slopes(5), claimed={"a": None})
    assert list(found.estimates) == ["b"]
    assert counts == [5]


def test_as_many_directions_go_together_as_fit():
    gradient = slopes(5000)
    found, counts = found_of(gradient)
    np.testing.assert_array_equal(found.estimates["a"].value, gradient)
    together = 32 * 2**20 // (16 * 5000)
    assert counts == [together] * (5000 // together) + [5000 % together]
    _, counts = found_of(slopes(1100))
    assert counts == [1024, 76]


def test_an_entry_that_fills_the_memory_allowed_goes_alone(monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", 16 * 3)
    for size, counts in ((3, [1] * 3), (4, [1] * 4), (1, [1])):
        gradient = slopes(size)
        found, seen = found_of(gradient)
        assert seen == counts
        np.testing.assert_array_equal(found.estimates["a"].value, gradient)


def test_of_a_large_parameter_that_agrees_along_three_directions_250_entries_are_drawn():
    gradient = slopes(5001)
    found, counts = found_of(gradient)
    assert (counts[0], sum(counts[1:])) == (3, 250)
    checked = found.estimates["a"].checked
    assert checked.sum() == 250
    np.testing.assert_array_equal(found.estimates["a"].value[checked], gradient[checked])
    assert found.disagreeing == ()


def test_of_one_that_does_not_all_entries_are_computed_unless_they_are_too_many():
    gradient = slopes(5001)
    wrong = gradient.copy()
    wrong[77] *= 2
    found, counts = found_of(gradient, claimed={"a": wrong})
    assert (counts[0], sum(counts[1:])) == (3, 5001)
    assert found.estimates["a"].checked.all()
    assert found.disagreeing == ("a",)
    many = np.ones(200_001)
    found, counts = found_of(many, claimed={"a": 2 * many})
    assert (counts[0], sum(counts[1:])) == (3, 250)
    assert found.disagreeing == ("a",)


@pytest.mark.parametrize(("share", "agrees"), [(0.9, True), (1.1, False)])
def test_along_a_direction_rounding_counts_six_times_and_the_sum_s_own_a_thousandfold(
    share, agrees
):
    gradient = slopes(6000)
    directions = Kept(gradient)
    found_of(gradient, exact=directions)
    longest = np.abs(directions.first[:, 5]).max()
    for rounding in (0.0, 1e-6):
        allowed = 6 * rounding * np.sqrt(6000) + 1e3 * EPS * np.linalg.norm(gradient)
        wrong = gradient.copy()
        wrong[5] += share * allowed / longest
        found, _ = found_of(gradient, claimed={"a": wrong}, rounding=rounding)
        assert (found.disagreeing == ()) is agrees


def test_a_claim_that_is_no_number_disagrees():
    gradient = slopes(5001)
    wrong = gradient.copy()
    wrong[5] = np.nan
    assert found_of(gradient, claimed={"a": wrong})[0].disagreeing == ("a",)


def test_why_it_does_not_apply():
    problem = SimpleNamespace(forward_gradient=None)
    found = forward_mode(problem, np.random.default_rng(0))
    assert (found.estimates, found.refusal) == ({}, "the target is no torch target")

    class Unknown:
        def entries(self, number, indices):
            raise ForwardModeError("no formula for sort")

    problem = SimpleNamespace(
        forward_gradient=Unknown(),
        precision_inside=None,
        parameters=(Parameter("a", "a", np.ones(3), np.dtype(float)),),
        analytic={"a": np.ones(3)},
        analytic_rounding={"a": np.zeros(3)},
    )
    found = forward_mode(problem, np.random.default_rng(0))
    assert (found.estimates, found.refusal) == ({}, "no formula for sort")


# Held against central differences

VALUES = np.array([1.0, 2.0, 3.0])


def told(error, *, left=1e-6, **changes):
    own = smooth_estimate("forward", VALUES + error, np.full(3, 1e-6))
    central = replace(smooth_estimate("central", VALUES, np.full(3, left)), **changes)
    return disagreement({"a": own}, {"a": central})


@pytest.mark.parametrize(("times", "contradicts"), [(3.9, False), (4.1, True), (-4.1, True)])
def test_beyond_twice_what_both_leave_open_they_contradict_each_other(times, contradicts):
    found = told(np.array([0.0, times * 1e-6, 0.0]))
    assert (found is not None) is contradicts
    if contradicts:
        assert "on 1 of 3 entries of a" in found


def test_what_differences_do_not_know_does_not_count():
    error = np.array([0.0, 1.0, 0.0])
    assert told(error, kinks=np.array([False, True, False])) is None
    assert told(error, uncertainty=np.array([1e-6, np.nan, 1e-6])) is None
    assert "on 1 of 2 entries" in told(error, uncertainty=np.array([1e-6, 1e-6, np.nan]))
    own = smooth_estimate("forward", np.array([1.0, np.nan, 3.0]), np.full(3, 1e-6))
    central = smooth_estimate("central", VALUES, np.full(3, 1e-6))
    assert disagreement({"a": own}, {"a": central}) is None
    assert disagreement({"a": own}, {}) is None
    wrong = smooth_estimate("forward", 2 * VALUES, np.full(3, 1e-6))
    assert "entries of b" in disagreement({"a": own, "b": wrong}, {"b": central})


@pytest.mark.parametrize(
    ("inside", "flat"), [(None, True), (np.dtype(float), True), (np.dtype(np.float32), False)]
)
def test_beside_lower_precision_a_zero_is_no_proof(inside, flat):
    found, _ = found_of(np.array([0.0, 1.0]), inside=inside)
    assert np.broadcast_to(found.estimates["a"].flat, (2,)).tolist() == [flat, False]


def test_entries_that_are_given_take_no_direction():
    class Given(Exact):
        def entries(self, number, indices):
            return self.gradients[number][indices]

    gradient = slopes(7)
    found, counts = found_of(gradient, exact=Given(gradient))
    assert counts == []
    np.testing.assert_array_equal(found.estimates["a"].value, gradient)


def test_random_directions_go_both_ways():
    class Watched(Exact):
        def __call__(self, number, directions):
            if len(directions) == 3:
                assert (directions > 0).any(axis=1).all()
                assert (directions < 0).any(axis=1).all()
            return super().__call__(number, directions)

    gradient = slopes(5001)
    assert found_of(gradient, exact=Watched(gradient))[1][0] == 3


@pytest.mark.parametrize("seed", range(8))
def test_two_equal_errors_do_not_cancel_along_them(seed):
    gradient = slopes(5001)
    wrong = gradient.copy()
    wrong[[7, 4000]] += (0.5, -0.5)
    found, _ = found_of(gradient, claimed={"a": wrong}, seed=seed)
    assert found.disagreeing == ("a",)


def test_where_every_entry_is_swept_directions_and_a_few_entries_are_enough():
    large, small = slopes(80, 20), slopes(64)
    found, counts = found_of(large, small, swept=True)
    assert counts == [3 + 32, 64]
    values = found.estimates["a"].value
    assert found.estimates["a"].checked.sum() == 32
    np.testing.assert_array_equal(values[np.isfinite(values)], large[np.isfinite(values)])
    np.testing.assert_array_equal(found.estimates["b"].value, small)


def test_unless_they_disagree():
    gradient = slopes(1600)
    wrong = gradient.copy()
    wrong[77] *= 1 + 1e-6
    found, counts = found_of(gradient, claimed={"a": wrong}, swept=True)
    assert (counts[0], sum(counts[1:])) == (35, 1600)
    assert found.estimates["a"].checked.all()
    assert found.disagreeing == ("a",)


def test_or_there_are_few_anyway_or_the_precision_is_low():
    for arguments in (
        {"gradients": [slopes(1000)]},
        {"gradients": [slopes(1600)], "dtype": np.float32},
        {"gradients": [slopes(1600)], "inside": np.dtype(np.float32)},
    ):
        found, _ = found_of(*arguments.pop("gradients"), swept=True, **arguments)
        assert found.estimates["a"].checked.all()
