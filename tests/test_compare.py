"""From two sources of a gradient to relative errors and verdicts, entry by entry."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.oracles.estimate import smooth_estimate
from gradcheck.report import Verdict
from gradcheck.verdict.compare import (
    FAIL,
    INCONCLUSIVE,
    PASS,
    UNCHECKED,
    Thresholds,
    judge,
    relative_errors,
    thresholds_for,
)
from gradcheck.verdict.summary import norm_relative_error, summarise
from gradcheck.verdict.verdicts import combine, share_kinks

NAN, INF = float("nan"), float("inf")
DOUBLE = Thresholds()


def estimate(value, uncertainty, oracle="central", **changes):
    from dataclasses import replace

    value = np.asarray(value, dtype=float)
    found = smooth_estimate(oracle, value, np.broadcast_to(uncertainty, value.shape).astype(float))
    return replace(found, **{key: np.asarray(change) for key, change in changes.items()})


def codes(analytic, value, uncertainty, *, rounding=0.0, thresholds=DOUBLE, **options):
    analytic = np.asarray(analytic, dtype=float)
    typical = options.pop("typical", 1.0)
    return judge(
        analytic,
        np.broadcast_to(rounding, analytic.shape).astype(float),
        estimate(value, uncertainty, **options),
        thresholds,
        typical=typical,
    ).codes.tolist()


@pytest.mark.parametrize(
    ("a", "r", "expected"),
    [
        (1.0, 1.0, 0.0),
        (1.0, 0.5, 0.5),
        (0.5, 1.0, 0.5),
        (1.0, -1.0, 2.0),
        (0.0, 0.0, 0.0),
        (0.0, 1e-300, 1.0),
        (1e300, -1e300, 2.0),
        (1e-320, 2e-320, 0.5),
        (NAN, 1.0, NAN),
        (1.0, NAN, NAN),
    ],
)
def test_the_relative_error_is_by_the_larger_of_the_two(a, r, expected):
    np.testing.assert_allclose(relative_errors(np.array(a), np.array(r)), expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("a", "r", "expected"),
    [
        ([3.0, 4.0], [3.0, 4.0], 0.0),
        ([3.0, 4.0], [-3.0, -4.0], 1.0),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([3e200, 4e200], [0.0, 0.0], 1.0),
        ([1.0, 0.0], [0.0, 1.0], np.sqrt(2) / 2),
    ],
)
def test_the_norm_form_is_safe_from_overflow(a, r, expected):
    assert norm_relative_error(np.array(a), np.array(r)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("analytic", "value", "uncertainty", "expected"),
    [
        (1.0, 1.0, 1e-8, PASS),
        (1.0 + 5e-9, 1.0, 1e-8, PASS),
        (1.0001, 1.0, 1e-8, FAIL),
        (-1.0, 1.0, 1e-8, FAIL),
        (0.0, 1.0, 1e-8, FAIL),
        # Beyond the uncertainty, but by less than a millionth.
        (1.0 + 5e-7, 1.0, 1e-8, INCONCLUSIVE),
        # Within the uncertainty, but that is too coarse to mean anything.
        (1.0, 1.0, 1e-2, INCONCLUSIVE),
        (1.5, 1.0, 1e-2, FAIL),
        (NAN, 1.0, 1e-8, FAIL),
        (INF, 1.0, 1e-8, FAIL),
        (1.0, 1.0, NAN, INCONCLUSIVE),
        (1.0, 1.0, INF, INCONCLUSIVE),
        (1.0, NAN, NAN, UNCHECKED),
        (NAN, NAN, NAN, FAIL),
        # A true zero is judged by the parameter's typical gradient, here 1.
        (0.0, 1e-12, 1e-10, PASS),
        (1e-2, 1e-12, 1e-10, FAIL),
    ],
)
def test_the_verdict_of_an_entry(analytic, value, uncertainty, expected):
    assert codes([analytic], [value], uncertainty) == [expected]


def test_the_rounding_of_the_claim_counts_with_the_uncertainty():
    assert codes([1.0 + 1e-5], [1.0], 1e-9) == [FAIL]
    assert codes([1.0 + 1e-5], [1.0], 1e-9, rounding=2e-5) == [PASS]


@pytest.mark.parametrize(
    ("dtype", "difference", "expected"),
    [
        ("float64", 1e-4, FAIL),
        ("float32", 1e-4, INCONCLUSIVE),
        ("float32", 1e-2, FAIL),
        ("float16", 5e-3, INCONCLUSIVE),
        ("float16", 5e-2, FAIL),
    ],
)
def test_what_counts_as_wrong_depends_on_the_precision(dtype, difference, expected):
    thresholds = thresholds_for(np.dtype(dtype))
    assert codes([1.0 + difference], [1.0], 1e-9, thresholds=thresholds) == [expected]


def test_a_plain_threshold_replaces_the_uncertainty():
    plain = thresholds_for(np.dtype(float), rtol=1e-3)
    assert codes([1.0005, 1.002], [1.0, 1.0], 1e-1, thresholds=plain) == [PASS, FAIL]
    assert codes([1.0], [1.0], 1e-12, thresholds=plain) == [PASS]
    assert codes([NAN], [1.0], 1e-12, thresholds=plain) == [FAIL]
    assert codes([1.0], [NAN], NAN, thresholds=plain, edges=[True]) == [INCONCLUSIVE]


def test_a_plain_threshold_does_not_fail_a_true_zero_for_the_noise_of_the_reference():
    plain = thresholds_for(np.dtype(float), rtol=1e-6)
    assert codes([0.0, 1.0], [1e-15, 1.0], 1e-12, thresholds=plain) == [PASS, PASS]
    assert codes([0.0, 1.0], [1e-3, 1.0], 1e-12, thresholds=plain) == [FAIL, PASS]


KINK = {"kinks": [True], "lower": [0.1], "upper": [1.0]}


@pytest.mark.parametrize(
    ("analytic", "expected"),
    [(0.1, PASS), (1.0, PASS), (0.6, PASS), (1.1, INCONCLUSIVE), (0.0, INCONCLUSIVE)],
)
def test_between_the_one_sided_slopes_of_a_kink_everything_is_valid(analytic, expected):
    assert codes([analytic], [0.5], 1e-9, **KINK) == [expected]


def test_outside_a_kink_is_wrong_when_all_valid_values_are_known():
    one = estimate([0.5], 1e-9, **KINK)
    judged = judge(np.array([1.1]), np.zeros(1), one, DOUBLE, typical=1.0, kink_is_known=True)
    assert judged.codes.tolist() == [FAIL]


# Summaries


def judged_of(analytic, value, uncertainty):
    analytic = np.asarray(analytic, dtype=float)
    return judge(
        analytic, np.zeros(analytic.shape), estimate(value, uncertainty), DOUBLE, typical=1.0
    )


def test_a_true_zero_counts_below_the_noise_not_as_an_error_of_100_per_cent():
    found = summarise(judged_of([1.0, 0.0, 2.0], [1.0, 1e-13, 2.0 * (1 + 1e-9)], 1e-10))
    assert found.below_noise == 1
    assert found.max_relative_error == pytest.approx(1e-9)
    assert (found.checked, found.failing_entries, found.inconclusive_entries) == (3, 0, 0)


def test_the_worst_entries_come_first_with_their_index():
    analytic = np.ones((2, 3))
    analytic[1, 2] = 2.0
    analytic[0, 1] = 1.1
    found = summarise(judged_of(analytic, np.ones((2, 3)), 1e-9))
    assert [entry.index for entry in found.worst[:2]] == [(1, 2), (0, 1)]
    assert found.worst[0].verdict is Verdict.FAIL
    assert found.failing_entries == 2


def test_nothing_checked_has_no_resolution():
    found = summarise(judged_of([1.0], [NAN], NAN))
    assert found.checked == 0
    assert np.isnan(found.resolution)


# Several oracles


def combined(analytic, **estimates):
    analytic = np.asarray(analytic, dtype=float)
    found = {
        oracle: estimate(value, uncertainty, oracle)
        for oracle, (value, uncertainty) in estimates.items()
    }
    judged = [
        judge(analytic, np.zeros(analytic.shape), one, DOUBLE, typical=1.0)
        for one in found.values()
    ]
    return combine(judged, found)


def test_of_oracles_that_know_nothing_the_first_is_named():
    nothing = ([np.nan], np.nan)
    assert combined([1.0], central=nothing, autograd=nothing).best == "central"


def test_zeros_of_a_method_that_takes_no_steps_are_flat():
    def flat(*values):
        return smooth_estimate("autograd", np.array(values), np.zeros(len(values))).flat.tolist()

    assert flat(0.0, 1.0, -0.0) == [True, False, True]
    assert flat(2.0, 1.0) == [False, False]
    assert flat(0.0, 0.0) == [True, True]


def test_the_sharper_oracle_decides():
    coarse, fine = ([1.0], 1e-2), ([1.0], 1e-12)
    assert combined([1.0], central=coarse, autograd=fine).verdict is Verdict.PASS
    assert combined([1.0001], central=coarse, autograd=fine).verdict is Verdict.FAIL
    assert combined([1.0], central=coarse, autograd=fine).best == "autograd"


def test_oracles_that_contradict_each_other_decide_nothing():
    found = combined([1.0], central=([1.0], 1e-9), autograd=([1.1], 1e-12))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.contested.tolist() == [True]


def test_oracles_that_both_contradict_the_claim_fail_it():
    assert combined([2.0], central=([1.0], 1e-9), autograd=([1.1], 1e-12)).verdict is Verdict.FAIL


def test_nothing_checked_is_not_a_pass():
    found = combined([1.0, 1.0], central=([NAN, NAN], NAN))
    assert found.verdict is Verdict.INCONCLUSIVE


def test_the_worst_entry_is_the_parameter_s_verdict():
    assert combined([1.0, 2.0], central=([1.0, 1.0], 1e-9)).verdict is Verdict.FAIL
    assert combined([1.0, 1.0], central=([1.0, 1.0], [1e-9, 1e-1])).verdict is Verdict.INCONCLUSIVE


def test_an_oracle_that_looked_at_some_entries_leaves_the_others_to_the_rest():
    found = combined([1.0, 1.0], central=([1.0, 1.0], 1e-6), complex=([NAN, 1.0], 1e-15))
    assert found.codes.tolist() == [PASS, PASS]


def test_combining_nothing_is_an_error_in_the_caller():
    with pytest.raises(ValueError, match="no comparison"):
        combine([], {})


def test_what_is_valid_at_a_kink_is_valid_for_the_other_oracles_too():
    central = estimate([0.5, 2.0], 1e-9, kinks=[True, False], lower=[0.0, 2.0], upper=[1.0, 2.0])
    shared = share_kinks(estimate([0.0, 2.0], 1e-15, "autograd"), central)
    assert shared.kinks.tolist() == [True, False]
    assert (shared.lower[0], shared.upper[0]) == (0.0, 1.0)
    assert shared.uncertainty[1] == 1e-15
    outside = share_kinks(estimate([1.5, 2.0], 1e-15, "autograd"), central)
    assert outside.upper[0] == 1.5


def test_a_zero_that_two_exact_ways_give_differs_by_nothing():
    exact = smooth_estimate("autograd", np.array([0.0, 1.0]), np.full(2, 1e-12))
    found = judge(np.array([0.0, 1.0]), np.zeros(2), exact, DOUBLE, typical=1.0)
    assert found.codes.tolist() == [PASS, PASS]
    assert found.relative_error.tolist() == [0.0, 0.0]
    assert found.resolution.tolist() == [0.0, 1e-8]


@pytest.mark.parametrize("bound", [np.nan, np.inf])
def test_a_value_without_a_bound_decides_nothing_however_near(bound):
    for oracle in ("central", "autograd"):
        one = estimate(np.ones(2), bound, oracle, flat=False)
        for claim in (1.0, 1.0 + 1e-12, 2.0):
            found = judge(np.full(2, claim), np.zeros(2), one, DOUBLE, typical=1.0)
            assert found.codes.tolist() == [INCONCLUSIVE] * 2
            assert (found.resolution == np.inf).all()


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_what_is_a_little_beyond_what_is_allowed_is_known_no_better_than_that(size):
    # by half as much again as it is known to, and less than a millionth
    one = estimate(np.full(2, size), 4e-7 * size)
    claim = np.array([size, size * (1 + 6e-7)])
    found = judge(claim, np.zeros(2), one, DOUBLE, typical=0.0)
    assert found.codes.tolist() == [PASS, PASS]
    assert found.resolution.tolist() == pytest.approx([4e-7, 6e-7], rel=1e-5)


@pytest.mark.parametrize(
    ("oracle", "part", "apart", "code"),
    [
        # of a value that its bound nearly hides, an exact way knows its bound within ten times
        ("autograd", 0.049, 0.3, FAIL),
        ("autograd", 0.051, 0.3, INCONCLUSIVE),
        ("complex", 0.051, 0.3, INCONCLUSIVE),
        ("autograd", 0.051, 0.52, FAIL),
        ("autograd", 0.051, 0.50, INCONCLUSIVE),
        ("central", 0.051, 0.3, FAIL),
        # a tail of noise is wrong by ten times the smallest mistake, where the value is known
        ("central", 0.9e-3, 1.5e-3, FAIL),
        ("central", 1.1e-3, 1.5e-3, INCONCLUSIVE),
        ("central", 0.6e-5, 1.1e-5, FAIL),
        ("central", 0.6e-5, 0.9e-5, INCONCLUSIVE),
    ],
)
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_how_far_beyond_its_bound_a_difference_has_to_be(oracle, part, apart, code, size):
    # of the larger of the two: the claim
    one = estimate([size * (1 - apart)], size * part, oracle)
    assert judge(np.full(1, size), np.zeros(1), one, DOUBLE, typical=0.0).codes.tolist() == [code]


@pytest.mark.parametrize("oracle", ["central", "autograd"])
def test_nor_does_a_zero_without_a_bound(oracle):
    zeros = np.zeros(2)
    one = estimate(zeros, np.nan, oracle, flat=np.array([False, True]))
    found = judge(zeros, zeros, one, DOUBLE, typical=0.0)
    assert found.codes.tolist() == [INCONCLUSIVE] * 2
    assert found.resolution.tolist() == [np.inf, 0.0]


def test_what_has_more_digits_than_float64_is_judged_as_float64():
    assert thresholds_for(np.dtype(np.longdouble)) == DOUBLE
