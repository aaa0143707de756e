"""The figures behind a verdict, each against its formula: thresholds, scales, steps and noise."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from gradcheck.noise import Noise, half_ulp, is_flat, table_levels, table_noise
from gradcheck.oracles.estimate import smooth_estimate
from gradcheck.oracles.ladder import Rung, read_ladder
from gradcheck.oracles.steps import first_steps
from gradcheck.verdict.compare import FAIL, INCONCLUSIVE, PASS, UNCHECKED, judge, thresholds_for
from gradcheck.verdict.summary import norm_relative_error, summarise
from gradcheck.verdict.verdicts import combine

NAN, INF = float("nan"), float("inf")
DTYPES = {
    "float64": (1e-3, 1e-6, 1e-8),
    "float32": (5e-3, 1e-3, 1e-6),
    "float16": (5e-2, 1e-2, 1e-3),
}


def judged(analytic, value, uncertainty, *, oracle="central", dtype="float64", **options):
    analytic = np.atleast_1d(np.asarray(analytic, float))
    rounding = np.full(analytic.shape, options.pop("rounding", 0.0))
    changes = {k: options.pop(k) for k in ("kinks", "lower", "upper", "edges") if k in options}
    value = np.broadcast_to(np.asarray(value, float), analytic.shape)
    found = smooth_estimate(oracle, value, np.broadcast_to(float(uncertainty), analytic.shape))
    found = replace(found, **{k: np.array(v) for k, v in changes.items()})
    limits = thresholds_for(np.dtype(dtype), options.pop("rtol", None))
    return judge(analytic, rounding, found, limits, typical=options.pop("typical", 1.0), **options)


def verdict(*args, **options):
    (code,) = judged(*args, **options).codes.tolist()
    return code


# Thresholds


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1.0, -250.0, 3e-7])
def test_the_thresholds_of_each_precision(dtype, size):
    coarsest, smallest, same = DTYPES[dtype]
    options = {"dtype": dtype, "typical": 0.0}
    assert verdict(size, size, 0.99 * coarsest * abs(size), **options) == PASS
    assert verdict(size, size, 1.01 * coarsest * abs(size), **options) == INCONCLUSIVE
    sure = 1e-3 * same * abs(size)
    assert verdict(size * (1 + 0.97 * same), size, sure, **options) == PASS
    assert verdict(size * (1 + 1.05 * same), size, sure, **options) == INCONCLUSIVE
    assert verdict(size * (1 + 0.97 * smallest), size, sure, **options) == INCONCLUSIVE
    assert verdict(size * (1 + 1.05 * smallest), size, sure, **options) == FAIL


def test_small_entries_are_judged_by_a_thousandth_of_the_typical_one():
    def code(analytic, value, uncertainty):
        return verdict(analytic, value, uncertainty, typical=100.0)

    assert code(0.9e-7, 0.0, 1e-12) == INCONCLUSIVE
    assert code(0.9e-9, 0.0, 1e-12) == PASS
    assert code(1.1e-7, 0.0, 1e-12) == FAIL
    assert code(0.0, 1e-30, 0.99e-4) == PASS
    # what is lost even there, by the typical entry itself
    assert code(0.0, 1e-30, 1.01e-4) == PASS == code(0.0, 1e-30, 0.099)
    assert code(0.0, 1e-30, 0.101) == INCONCLUSIVE
    assert verdict(0.0, 0.0, 0.0, typical=0.0) == PASS
    assert verdict(1e-300, 0.0, 0.0, typical=0.0) == FAIL


def test_the_resolution_is_what_is_allowed_over_the_scale():
    assert judged(2.0, 2.0, 1e-6, rounding=3e-6).resolution[0] == pytest.approx(2e-6)
    assert judged(0.01, 0.01, 1e-6, typical=100.0).resolution[0] == pytest.approx(1e-5)
    assert judged(0.0, 1e-9, 1e-5, typical=1e-3).resolution[0] == pytest.approx(1e-2)
    assert judged(0.0, 0.0, 1e-5, typical=1e-3).resolution[0] == 0.0  # zero in every bit
    assert judged(1.0, NAN, NAN, edges=[True]).resolution[0] == INF
    # no finer than the difference that counts as none: an error as large as it must not pass
    for analytic in (1.0, 1.0 + 5e-9):
        for oracle in ("central", "autograd"):
            assert judged(analytic, 1.0, 1e-14, oracle=oracle).resolution[0] == 1e-8


@pytest.mark.parametrize("exact", ["autograd", "complex"])
def test_two_exact_ways_to_eight_digits_confirm_each_other(exact):
    found = judged(1.0 + 1e-9, 1.0, 1e-2, oracle=exact)
    assert (found.codes[0], found.allowed[0]) == (PASS, pytest.approx(1e-8))
    assert found.resolution[0] == pytest.approx(1e-8)
    assert judged(1.0, 1.0, 1e-12, oracle=exact).allowed[0] == 1e-12
    assert verdict(1.0 + 2e-8, 1.0, 1e-2, oracle=exact) == INCONCLUSIVE
    assert verdict(1.0, 1.0, INF, oracle=exact) == INCONCLUSIVE
    assert verdict(1.0, 1.0, 1e-2) == INCONCLUSIVE  # central differences are no exact way


def test_at_a_kink_the_nearest_valid_value_is_the_reference():
    kink = {"kinks": [True], "lower": [0.0], "upper": [1.0]}
    for analytic, reference in ((0.3, 0.3), (1.5, 1.0), (-0.2, 0.0)):
        found = judged(analytic, 0.5, 1e-9, **kink)
        assert found.reference[0] == reference
    assert verdict(1.5, 0.5, 1e-9, kink_is_known=True, **kink) == FAIL
    assert verdict(1.5, 0.5, 1e-9, **kink) == INCONCLUSIVE


def test_what_is_no_number_fails_and_what_was_not_looked_at_is_unchecked():
    assert verdict(NAN, 1.0, 1e-9) == FAIL == verdict(INF, NAN, NAN)
    assert verdict(1.0, NAN, NAN) == UNCHECKED
    assert verdict(1.0, NAN, NAN, edges=[True]) == INCONCLUSIVE


@pytest.mark.parametrize(("analytic", "expected"), [(1.0009, PASS), (1.0012, FAIL), (0.9991, PASS)])
def test_a_plain_threshold(analytic, expected):
    assert verdict(analytic, 1.0, 1e-9, rtol=1e-3) == expected
    assert verdict(analytic, 1.0, 0.5, rtol=1e-3) == expected


def test_many_entries_are_judged_as_few():
    generator = np.random.default_rng(0)
    analytic = generator.normal(size=(3, 20000))
    off = analytic * (1 + generator.choice([0.0, 1e-7, 1e-3], analytic.shape))
    rounding = 1e-9 * np.abs(analytic)
    found = smooth_estimate("central", off, np.full(off.shape, 1e-9))
    limits = thresholds_for(np.dtype(float))
    whole = judge(analytic, rounding, found, limits, typical=1.0)
    for k in range(3):
        row = smooth_estimate("central", off[k, :9000], np.full(9000, 1e-9))
        few = judge(analytic[k, :9000], rounding[k, :9000], row, limits, typical=1.0)
        for name in ("codes", "reference", "allowed", "relative_error", "resolution"):
            np.testing.assert_array_equal(getattr(whole, name)[k, :9000], getattr(few, name))


# Summaries


def test_a_summary_counts_and_measures_what_was_compared():
    analytic = [1.0, 2.2, 0.0, 4.0 + 4e-7, 5.0, NAN]
    found = summarise(judged(analytic, [1.0, 2.0, 1e-12, 4.0, NAN, 3.0], 1e-9))
    assert (found.checked, found.below_noise) == (5, 1)
    assert (found.failing_entries, found.inconclusive_entries) == (2, 1)
    assert found.max_relative_error == INF
    assert found.median_relative_error == pytest.approx((1e-7 + 0.2 / 2.2) / 2)
    assert math.isnan(found.norm_relative_error)
    assert found.worst[0].index == (5,)
    assert [one.index for one in found.worst[:2]] == [(5,), (1,)]
    assert found.worst[1].relative_error == pytest.approx(0.2 / 2.2)
    assert found.worst[1].uncertainty == 1e-9
    assert (found.worst[1].analytic, found.worst[1].reference) == (2.2, 2.0)


def test_at_most_ten_entries_are_listed_the_worst_first():
    errors = np.arange(1, 31)[::-1] * 1e-3
    found = summarise(judged(1.0 + errors, np.ones(30), 1e-9))
    assert [one.index for one in found.worst] == [(k,) for k in range(10)]
    first = summarise(judged(1.0 + errors, np.ones(30), 1e-9), np.array([20, 3]))
    assert [one.index[0] for one in first.worst] == [20, 3, 0, 1, 2, 4, 5, 6, 7, 8]


def test_wrong_ones_come_before_doubtful_ones_before_right_ones():
    analytic = np.concatenate([np.ones(12), [1.0 + 5e-7], [1.001]])
    found = summarise(judged(analytic, np.ones(14), 1e-9))
    assert [one.verdict.value for one in found.worst[:3]] == ["fail", "inconclusive", "pass"]
    assert [one.index for one in found.worst[:2]] == [(13,), (12,)]


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ([3.0, 4.0], [3.0, 4.0], 0.0),
        ([3.0, 4.0], [0.0, 0.0], 1.0),
        ([2.0, 0.0], [1.0, 0.0], 1 / 3),
        ([0.0], [0.0], 0.0),
        ([], [], 0.0),
        ([1e300, 0.0], [-1e300, 0.0], 1.0),
        ([1e-300], [3e-300], 0.5),
        ([INF], [1.0], NAN),
    ],
)
def test_the_error_of_the_whole_is_over_both_norms(one, two, expected):
    found = norm_relative_error(np.array(one), np.array(two))
    assert found == pytest.approx(expected, nan_ok=True)


# Several oracles


def of_two(analytic, central, autograd):
    found = {
        name: smooth_estimate(name, np.array([value]), np.array([uncertainty]))
        for name, (value, uncertainty) in {"central": central, "autograd": autograd}.items()
    }
    one = np.array([analytic])
    limits = thresholds_for(np.dtype(float))
    each = [judge(one, np.zeros(1), estimate, limits, typical=1.0) for estimate in found.values()]
    return combine(each, found)


@pytest.mark.parametrize(
    ("apart", "contested"), [(1.9e-5, False), (2.1e-5, True), (-1.9e-5, False), (-2.1e-5, True)]
)
def test_oracles_contradict_beyond_twice_what_both_leave_open(apart, contested):
    found = of_two(1.0, (1.0, 0.7e-5), (1.0 + apart, 0.3e-5))
    assert found.contested.tolist() == [contested]


def test_nine_digits_are_no_contradiction():
    assert not of_two(1.0, (1.0, 1e-13), (1.0 + 0.9e-9, 1e-13)).contested[0]
    assert of_two(1.0, (1.0, 1e-13), (1.0 + 1.2e-9, 1e-13)).contested[0]
    assert not of_two(1e3, (1e3, 1e-13), (1e3 * (1 + 0.9e-9), 1e-13)).contested[0]


def test_a_contradiction_counts_where_the_verdicts_differ_too():
    contradicting = of_two(1.0, (1.0, 1e-9), (1.5, 1e-9))
    assert contradicting.codes.tolist() == [INCONCLUSIVE]
    both_against = of_two(2.0, (1.0, 1e-9), (1.5, 1e-9))
    assert both_against.codes.tolist() == [FAIL]
    assert both_against.contested.tolist() == [True]


# Steps


def test_the_first_step_balances_noise_and_truncation():
    def step(claim, scale, noise):
        return float(first_steps(np.array([claim]), np.array([scale]), noise, 1.0)[0])

    # the cube root of three times the noise, over the change by a scale
    assert step(1.0, 1.0, 1e-10) == 2.0 ** round(math.log2(math.cbrt(3e-10)))
    assert step(1.0, 1e3, 1e-8) == 2.0 ** round(math.log2(1e3 * math.cbrt(3e-11)))
    # noise falls to 1e-8 of the slope before
    assert step(1.0, 1.0, 1e-16) == 2.0 ** round(math.log2(4e-8))
    assert step(1e2, 1.0, 1e-16) == 2.0 ** round(math.log2(4e-10))


@pytest.mark.parametrize(("noise", "bound"), [(1e-3, 1e-2), (1e-60, 1e-12)])
def test_first_steps_have_bounds_in_units_of_the_scale(noise, bound):
    for scale in (1.0, 37.0):
        (found,) = first_steps(np.ones(1), np.array([scale]), noise, 1.0)
        assert found == 2.0 ** round(math.log2(bound * scale))


def test_an_entry_without_a_claim_steps_as_its_neighbours_do():
    steps = first_steps(np.array([0.0, NAN, 1.0, 1e-4]), np.ones(4), 1e-16, 1.0)
    assert steps[0] == steps[1] == steps[3]
    assert 0 < steps[2] <= steps[0]
    alone = first_steps(np.zeros(2), np.ones(2), 1e-16, 1e3)
    assert alone.tolist() == [2.0 ** round(math.log2(math.cbrt(3e-19)))] * 2
    assert np.isfinite(first_steps(np.zeros(2), np.ones(2), 0.0, 0.0)).all()
    # of a loss of zero all is noise: as long a step as there is
    assert first_steps(np.zeros(1), np.ones(1), 1e-16, 0.0).tolist() == [2.0**-7]


# Noise


def test_noise_grows_with_the_loss_beyond_twice_its_own():
    noise = Noise(8 * 2.0**-53, 1.0, np.dtype(float))
    at = noise.at(np.array([0.0, 1.0, 1.9, -1.9, 4.5, -1024.5]))
    assert at.tolist()[:4] == [noise.level] * 4
    assert at[4] == pytest.approx(4 * noise.level)
    assert at[5] == pytest.approx(1024 * noise.level)
    large = Noise(1e-3, 1.0, np.dtype(float))  # no roundoff: it does not grow with the value
    assert large.at(np.array([1e3])).tolist() == [1e-3]
    nothing = Noise(1e-20, 0.0, np.dtype(float))
    assert nothing.at(np.array([1.5])).tolist() == [2.0**-53]


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("float64", 1.0, 2.0**-53),
        ("float64", -3.0, 2.0**-52),
        ("float32", 1.0, 2.0**-24),
        ("float16", 1.0, 2.0**-11),
        ("int64", 1.0, 2.0**-53),
        ("float64", INF, 0.0),
        ("float64", NAN, 0.0),
    ],
)
def test_half_a_unit_in_the_last_place(dtype, value, expected):
    assert half_ulp(np.array([value]), np.dtype(dtype)).tolist() == [expected]
    swapped = np.dtype(dtype).newbyteorder()
    assert half_ulp(np.array([value]), swapped).tolist() == [expected]


def test_the_levels_of_a_difference_table_are_those_of_more_and_wild():
    losses = [1.0, 3.0, 2.0, 5.0]
    first = math.sqrt(0.5 * (4 + 1 + 9) / 3)
    second = math.sqrt((4 / 24) * (9 + 16) / 2)
    third = math.sqrt((36 / 720) * 49)
    assert table_levels(losses).tolist() == pytest.approx([first, second, third])
    longer = [0.0, 1.0, 0.0, 2.0, 0.0, 3.0, 1.0, 0.0, 2.0]
    assert table_noise(longer) == max(table_levels(longer)[4:])


@pytest.mark.parametrize(
    ("losses", "flat"),
    [
        ([1.0, 1, 1, 1, 2], True),
        ([1.0, 1, 1, 2, 2], True),
        ([1.0, 1, 1, 2, 3], False),
        ([1.0, 1, 2, 3, 4], False),
        ([1.0, 1, 1, 1, 1], True),
    ],
)
def test_a_table_is_flat_where_most_neighbours_are_equal(losses, flat):
    assert is_flat(np.array(losses)) is flat


# The ladder


def ladder(loss, steps):
    return {level: Rung(h, h, float(loss(h)), float(loss(-h))) for level, h in enumerate(steps)}


STEPS = 1e-5 * 4.0 ** np.arange(7)


def test_one_step_alone_has_a_slope_but_no_uncertainty():
    reading = read_ladder(ladder(lambda z: 3 * z, [1e-3]), 0.0, 1e-16)
    assert (reading.value, reading.step) == (pytest.approx(3.0), 1e-3)
    assert math.isnan(reading.uncertainty)
    assert not any((reading.kink, reading.consistent, reading.noise_limited, reading.edge))


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_one_side_needs_three_steps(side, count):
    steps = STEPS[:count]
    reading = read_ladder(ladder(lambda z: 3 * z if side * z >= 0 else NAN, steps), 0.0, 1e-17)
    assert not any((reading.kink, reading.edge))
    if count < 3:
        assert math.isnan(reading.value)
        assert not any((reading.consistent, reading.noise_limited))
    else:
        assert abs(reading.value - 3.0) <= reading.uncertainty
        assert (reading.lower, reading.upper) == (reading.value, reading.value)
        assert (reading.step, reading.consistent) == (STEPS[0], True)


def test_no_side_at_all_is_an_edge():
    reading = read_ladder(ladder(lambda z: NAN, STEPS), 0.0, 1e-17)
    assert reading.edge
    assert not any((reading.kink, reading.consistent, reading.noise_limited))
    assert math.isnan(reading.value)


@pytest.mark.parametrize(("jump", "consistent"), [(0.9, True), (1.1, False)])
def test_the_smallest_steps_agree_within_their_noise(jump, consistent):
    noise = 1e-13
    allowed = 2 * 4 * noise * (1 / (2 * STEPS[0]) + 1 / (2 * STEPS[1]))
    rungs = ladder(lambda z: 3 * z, STEPS[:2])
    up = rungs[0].loss_up + jump * allowed * STEPS[0]
    rungs[0] = replace(
        rungs[0], loss_up=up, loss_down=rungs[0].loss_down - jump * allowed * STEPS[0]
    )
    assert read_ladder(rungs, 0.0, noise).consistent is consistent


def test_truncation_limits_a_curve():
    coarse = 0.3 * 4.0 ** np.arange(-2.0, 1.0)
    curve = read_ladder(ladder(lambda z: math.sin(3 * z), coarse), 0.0, 1e-17)
    assert not curve.noise_limited
    assert curve.value == pytest.approx(3.0, abs=curve.uncertainty)
