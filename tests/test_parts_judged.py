"""What is judged part by part comes out as the whole would, figure by figure."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from gradcheck.blocks import BLOCK
from gradcheck.oracles.estimate import Estimate, smooth_estimate
from gradcheck.oracles.parted import (
    ARRAYS,
    PartedEstimate,
    as_whole,
    joined,
    sampled,
    shaped,
    spread,
)
from gradcheck.verdict import in_parts
from gradcheck.verdict.compare import FAIL, INCONCLUSIVE, PASS, UNCHECKED, judge, thresholds_for
from gradcheck.verdict.in_parts import combined_of, judge_in_parts
from gradcheck.verdict.summary import summarise, worst_positions
from gradcheck.verdict.verdicts import combine

LIMITS = thresholds_for(np.dtype(float))
SHAPE = (3, 7000)
N = 21_000
FIELDS = ("codes", "analytic", "reference", "allowed", "relative_error", "resolution", "kinks")


def in_pieces(whole: Estimate) -> PartedEstimate:
    """The same estimate, given part by part."""
    assert N > BLOCK
    return PartedEstimate(whole.oracle, whole.value.shape, whole.part, lambda at: False)


def mixed(oracle="central", seed=0):
    """A claim and an estimate with all that can happen to an entry."""
    draw = np.random.default_rng(seed)
    value = draw.normal(size=SHAPE)
    value[0, :50] = 0.0
    error = draw.choice([0.0, 1e-10, 1e-7, 1e-5, 0.3], SHAPE, p=[0.1, 0.6, 0.1, 0.1, 0.1])
    error *= draw.uniform(0.5, 1.0, SHAPE)
    claimed = value * (1 + error)
    one = smooth_estimate(oracle, value, np.full(SHAPE, 1e-9) * np.abs(value) + 1e-12)
    uncertainty = one.uncertainty.copy()
    uncertainty[1, :30] = np.nan
    uncertainty[1, 30:60] = 0.5
    value = value.copy()
    value[2, 6000:] = np.nan  # not looked at
    kinks = np.zeros(SHAPE, dtype=bool)
    kinks[2, :40] = True
    edges = np.zeros(SHAPE, dtype=bool)
    edges[2, 6100:6110] = True
    one = replace(
        one,
        value=value,
        uncertainty=uncertainty,
        kinks=kinks,
        edges=edges,
        lower=value - 0.1 * kinks,
        upper=value + 0.1 * kinks,
    )
    return claimed, one


def judged_both_ways(claimed, one, **options):
    rounding = 1e-13 * np.abs(claimed)
    rounding = np.where(np.isfinite(rounding), rounding, 0.0)
    whole = judge(claimed, rounding, one, LIMITS, typical=1.0, **options)
    parted = judge_in_parts(
        claimed,
        rounding,
        in_pieces(one),
        LIMITS,
        typical=lambda at: np.ones(at.stop - at.start),
        **options,
    )
    return whole, parted


@pytest.mark.parametrize("oracle", ["central", "autograd"])
@pytest.mark.parametrize("known", [False, True])
def test_every_entry_is_judged_alike(oracle, known):
    whole, parted = judged_both_ways(*mixed(oracle), kink_is_known=known)
    assert set(np.unique(whole.codes)) == {PASS, INCONCLUSIVE, FAIL, UNCHECKED}
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(parted, name), getattr(whole, name))
    assert parted.oracle == oracle
    assert parted.coarsest == whole.coarsest


@pytest.mark.parametrize("special", [None, np.nan, np.inf])
def test_the_summary_is_the_same(special):
    claimed, one = mixed()
    if special is not None:
        claimed[1, 4000] = special
    whole, parted = judged_both_ways(claimed, one)
    expected, found = summarise(whole), in_parts.summarise(parted)
    for name in ("checked", "below_noise", "failing_entries", "inconclusive_entries", "worst"):
        assert repr(getattr(found, name)) == repr(getattr(expected, name))
    assert found.max_relative_error == expected.max_relative_error
    assert found.resolution == expected.resolution
    assert found.median_relative_error == pytest.approx(expected.median_relative_error, rel=0.1)
    norm = expected.norm_relative_error
    assert found.norm_relative_error == pytest.approx(norm, rel=1e-12, nan_ok=True)
    assert math.isnan(norm) is (special is not None)
    assert in_parts.worst_positions(parted).tolist() == worst_positions(whole).tolist()
    assert in_parts.summarise(whole) is not None


def test_entries_that_were_asked_for_are_listed_first():
    whole, parted = judged_both_ways(*mixed())
    first = np.array([20_500, 3, 15_000, 20_999])  # the first and last were not looked at
    expected, found = summarise(whole, first), in_parts.summarise(parted, first)
    assert repr(found.worst) == repr(expected.worst)
    assert [one.index for one in found.worst[:2]] == [(0, 3), (2, 1000)]
    assert len(found.worst) == 10
    ten = np.arange(200, 210)
    assert repr(in_parts.summarise(parted, ten).worst) == repr(summarise(whole, ten).worst)
    assert [one.index for one in summarise(whole, ten).worst] == [(0, k) for k in ten]


def test_what_differs_although_nothing_is_allowed_comes_before_what_differs_by_much_more():
    claimed = np.ones(SHAPE)
    claimed[0, 7] += 4e-7  # a thousand times what is allowed
    claimed[1, 3000] += 2e-7  # where nothing is
    uncertainty = np.full(SHAPE, 4e-10)
    uncertainty[1, 3000] = 0.0
    one = smooth_estimate("central", np.ones(SHAPE), uncertainty)
    found = judge_in_parts(
        claimed,
        np.zeros(SHAPE),
        in_pieces(one),
        LIMITS,
        typical=lambda at: np.ones(at.stop - at.start),
    )
    assert found.worst[:2].tolist() == [10_000, 7]
    whole = judge(claimed, np.zeros(SHAPE), one, LIMITS, typical=1.0)
    assert whole.codes.reshape(-1)[[7, 10_000]].tolist() == [INCONCLUSIVE] * 2
    assert worst_positions(whole)[:2].tolist() == [10_000, 7]


def test_a_gradient_of_zeros_differs_by_nothing():
    zeros = np.zeros(SHAPE)
    whole, parted = judged_both_ways(zeros, smooth_estimate("central", zeros, zeros + 1e-12))
    found = in_parts.summarise(parted)
    assert (found.norm_relative_error, found.max_relative_error) == (0.0, 0.0)
    assert found.median_relative_error == 0.0
    assert found.checked == found.below_noise == N
    assert repr(found) == repr(summarise(whole))


def test_nothing_looked_at_is_nothing_known():
    nan = np.full(SHAPE, np.nan)
    _, parted = judged_both_ways(np.ones(SHAPE), smooth_estimate("central", nan, nan))
    found = in_parts.summarise(parted)
    assert (found.checked, found.worst) == (0, ())
    assert math.isnan(found.resolution)
    assert math.isnan(parted.coarsest)
    assert (parted.codes == UNCHECKED).all()


# Entries that were drawn


def drawn():
    indices = np.array([5, 6, 17_000, 20_999])
    values = np.array([1.0, 2.0, 3.0, 4.0])
    return indices, sampled(smooth_estimate("central", values, values * 1e-9), indices, SHAPE)


def test_a_sample_knows_its_entries_and_says_nothing_of_the_others():
    indices, one = drawn()
    for name in ARRAYS:
        assert getattr(as_whole(one), name).shape == SHAPE
    assert np.flatnonzero(one.checked).tolist() == indices.tolist()
    assert one.value.reshape(-1)[indices].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert one.uncertainty.reshape(-1)[indices].tolist() == [k * 1e-9 for k in (1.0, 2.0, 3.0, 4.0)]
    assert np.isnan(one.steps).all()
    assert not one.kinks.any()
    assert not one.edges.any()
    assert one.size == N
    assert not one.is_empty(slice(0, BLOCK))
    assert one.is_empty(slice(7, BLOCK))
    assert not one.is_empty(slice(BLOCK, N))


def test_what_a_sample_left_out_fails_only_where_it_is_no_number():
    _, one = drawn()
    claimed = np.ones(SHAPE)
    claimed[0, 100] = claimed[2, 0] = np.nan
    last = sampled(
        smooth_estimate("central", np.ones(1), np.full(1, 1e-9)), np.array([20_999]), SHAPE
    )
    for estimate, checked in ((one, [5, 6, 17_000, 20_999]), (last, [20_999])):
        found = judge_in_parts(
            claimed,
            np.zeros(SHAPE),
            estimate,
            LIMITS,
            typical=lambda at: np.ones(at.stop - at.start),
        )
        codes = found.codes.reshape(-1)
        assert codes[100] == codes[14_000] == FAIL
        assert np.flatnonzero(codes != UNCHECKED).tolist() == sorted([100, 14_000, *checked])


def test_a_small_part_of_a_parameter_takes_its_shape():
    found = smooth_estimate("central", np.arange(3.0), np.ones(3))
    found = replace(found, notes=("told",), kinks=np.array([True, False, False]))
    one = shaped(spread(found, np.array([0, 2, 5]), 6), (2, 3))
    np.testing.assert_array_equal(one.value, [[0.0, np.nan, 1.0], [np.nan, np.nan, 2.0]])
    assert one.kinks.tolist() == [[True, False, False], [False, False, False]]
    assert one.flat.tolist() == [[True, False, False], [False, False, False]]
    assert one.notes == ("told",)
    assert one.oracle == "central"
    two = joined([found, found])
    assert two.value.tolist() == [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]
    assert two.notes == ("told",)


# Several oracles


def test_oracles_are_combined_alike():
    claimed, central = mixed()
    _, exact = mixed("autograd")
    exact = replace(exact, uncertainty=np.full(SHAPE, 1e-13))
    off = exact.value.copy()
    off[1, 5000:5050] *= 1.01  # the two contradict each other there
    exact = replace(exact, value=off)
    estimates = {"central": central, "autograd": exact}
    pairs = [judged_both_ways(claimed, one) for one in estimates.values()]
    expected = combine([whole for whole, _ in pairs], estimates)
    parted = [one for _, one in pairs]
    found = combined_of(parted, {name: in_pieces(one) for name, one in estimates.items()})
    np.testing.assert_array_equal(found.codes, expected.codes)
    np.testing.assert_array_equal(found.contested, expected.contested)
    assert expected.contested.any()
    assert (found.best, found.verdict) == (expected.best, expected.verdict)


def test_one_oracle_decides_alone():
    _, parted = judged_both_ways(*mixed())
    found = combined_of([parted], {})
    np.testing.assert_array_equal(found.codes, parted.codes)
    assert not found.contested.any()
    assert found.contested.shape == SHAPE
    assert found.best == "central"


def test_a_part_that_one_oracle_left_out_is_decided_by_the_other():
    claimed = np.ones(SHAPE)
    full = smooth_estimate("central", np.ones(SHAPE), np.full(SHAPE, 1e-7))
    _, whole = judged_both_ways(claimed, full)
    few = sampled(
        smooth_estimate("complex", np.full(2, 2.0), np.full(2, 1e-12)), np.array([1, 9]), SHAPE
    )
    part = judge_in_parts(
        claimed, np.zeros(SHAPE), few, LIMITS, typical=lambda at: np.ones(at.stop - at.start)
    )
    found = combined_of([whole, part], {"central": in_pieces(full), "complex": few})
    codes = found.codes.reshape(-1)
    assert (codes[[1, 9]] == INCONCLUSIVE).all()
    assert np.flatnonzero(found.contested).tolist() == [1, 9]
    assert (np.delete(codes, [1, 9]) == PASS).all()
    assert found.best == "central"


def test_what_one_oracle_alone_has_looked_at_is_not_judged_again():
    _, whole = judged_both_ways(*mixed())
    _, few = drawn()
    two = judge_in_parts(
        np.ones(SHAPE), np.zeros(SHAPE), few, LIMITS, typical=lambda at: np.ones(at.stop - at.start)
    )
    two.codes.reshape(-1)[BLOCK:] = UNCHECKED
    again = []
    judged = [
        replace(one, part=lambda at, one=one: again.append(at) or one.part(at))
        for one in (whole, two)
    ]
    found = combined_of(judged, {"central": in_pieces(mixed()[1])} | {few.oracle: few})
    assert again == [slice(0, BLOCK)] * 2
    np.testing.assert_array_equal(found.codes.reshape(-1)[BLOCK:], whole.codes.reshape(-1)[BLOCK:])


def test_entries_that_pass_are_listed_by_how_far_they_are_apart():
    value = np.array([5.0, 1.0, 3.0])
    claimed = value + np.array([1e-9, 3e-9, 2e-9])
    one = smooth_estimate("central", value, np.full(3, 1e-8))
    judged = judge_in_parts(
        claimed, np.zeros(3), one, LIMITS, typical=lambda at: np.ones(at.stop - at.start)
    )
    assert (judged.codes == PASS).all()
    assert judged.worst.tolist() == [1, 2, 0]


def test_a_part_that_no_oracle_looked_at_is_unchecked():
    last = np.array([BLOCK + 3])
    estimates = {
        name: sampled(smooth_estimate(name, np.ones(1), np.full(1, 1e-9)), last, SHAPE)
        for name in ("central", "complex")
    }
    judged = [
        judge_in_parts(np.ones(SHAPE), np.zeros(SHAPE), one, LIMITS, typical=lambda at: np.ones(1))
        for one in estimates.values()
    ]
    codes = combined_of(judged, estimates).codes.reshape(-1)
    assert np.flatnonzero(codes != UNCHECKED).tolist() == last.tolist()
    assert codes[last].tolist() == [PASS]


@pytest.mark.parametrize("kinks", [0, 1])
def test_a_parameter_without_kinks_is_not_judged_again_to_find_none(kinks):
    again = []
    one = smooth_estimate("central", np.ones(N), np.full(N, 1e-9))
    one = replace(one, kinks=np.arange(N) >= N - kinks)

    def part(at):
        again.append(at)
        return one.part(at)

    parted = PartedEstimate("central", (N,), part, lambda at: False)
    judged = judge_in_parts(
        np.ones(N), np.zeros(N), parted, LIMITS, typical=lambda at: np.ones(at.stop - at.start)
    )
    again.clear()
    assert np.flatnonzero(judged.kinks).tolist() == list(range(N - kinks, N))
    assert judged.kinks.shape == (N,)
    assert bool(again) == bool(kinks)
