"""From the oracles' estimates of one parameter to its comparisons, its kinks and its reference."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from closed_problems import closed_problem

from gradcheck.blocks import BLOCK
from gradcheck.noise import Noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.oracles.estimate import smooth_estimate
from gradcheck.oracles.parted import as_whole, sampled
from gradcheck.settings import Settings
from gradcheck.verdict.compare import FAIL, INCONCLUSIVE, PASS, UNCHECKED, judge, thresholds_for
from gradcheck.verdict.judging import (
    ParameterFindings,
    compare_parameter,
    judge_estimate,
    precision_of,
    reference_of,
    settle_kinks,
)
from gradcheck.verdict.verdicts import Combined, combine, share_kinks

NAN = float("nan")
X = np.array([1.0, -2.0, 0.5])
FIRST = np.array([1.0, 0.0, 0.0])
NOISE = Noise(1e-16, 1.0, np.dtype(float), 1.0)


def problem_of(gradient, x=X, rounding=0.0):
    claimed = np.asarray(gradient)
    problem = numpy_problem(lambda x: (1.0, claimed), x.copy())
    return replace(problem, analytic_rounding={"x": np.full(x.shape, rounding)})


def estimate(value, uncertainty, oracle="central", **changes):
    value = np.asarray(value, dtype=float)
    one = smooth_estimate(oracle, value, np.broadcast_to(uncertainty, value.shape).astype(float))
    return replace(one, **{name: np.asarray(change) for name, change in changes.items()})


def codes(problem, one, *, noise=NOISE, trace=None, **settings):
    found = judge_estimate(problem, Settings(**settings), "x", one, noise, trace)
    return found.codes.tolist()


# Scales


def test_a_small_but_definite_gradient_is_judged_by_its_own_size():
    small = np.full(3, 1e-6)
    assert codes(problem_of(small), estimate(small, 1e-7)) == [INCONCLUSIVE] * 3
    assert codes(problem_of(small), estimate(small, 1e-10)) == [PASS] * 3


def test_one_that_is_mere_rounding_is_judged_by_what_the_loss_does_elsewhere():
    # a variation of 1 over scales of about 2 and three entries: slopes of 0.3 are ordinary
    zero = problem_of(np.array([1e-15, -1e-15, 1e-15]), rounding=1e-15)
    assert codes(zero, estimate(np.zeros(3), 2e-7)) == [PASS] * 3
    assert codes(zero, estimate(np.zeros(3), 5e-7)) == [INCONCLUSIVE] * 3
    larger = replace(NOISE, variation=10.0)
    assert codes(zero, estimate(np.zeros(3), 2e-6), noise=larger) == [PASS] * 3
    assert codes(zero, estimate(np.full(3, 1e-6), 1e-9)) == [FAIL] * 3


EPS32 = 2.0**-23


@pytest.mark.parametrize(
    ("loss", "rounding", "terms"),
    [(3.0, 1e-4, 24.0), (-3.0, 1e-4, 24.0), (1e3, 2.5 * EPS32, 2.5), (1e3, 1e-3 * EPS32, 0.577)],
)
def test_in_lower_precision_what_cancelled_is_ordinary_too(loss, rounding, terms):
    # as much larger as the precision is fine, but no more than eight times the loss over a scale
    x = np.ones(3, dtype=np.float32)
    zero = problem_of(rounding * np.array([1.0, -1.0, 1.0]), x, rounding)
    noise = Noise(0.0, loss, np.dtype(float), 1.0)
    most = 5e-3 * 1e-3 * terms - rounding
    assert codes(zero, estimate(np.zeros(3), 0.95 * most), noise=noise) == [PASS] * 3
    assert codes(zero, estimate(np.zeros(3), 1.05 * most), noise=noise) == [INCONCLUSIVE] * 3


@pytest.mark.parametrize("dtype", [np.float64, np.longdouble])
def test_in_double_precision_and_beyond_it_is_not(dtype):
    x, claim = np.ones(3, dtype=dtype), np.array([1e-9, -1e-9, 1e-9])
    problem, _ = closed_problem(lambda x: 1.0, None, {"x": claim}, x=x)
    problem = replace(problem, analytic_rounding={"x": np.full(3, 1e-9)})
    most = 1e-3 * 1e-3 / np.sqrt(3.0)
    for part, code in ((0.95, PASS), (1.05, INCONCLUSIVE)):
        assert codes(problem, estimate(np.zeros(3), part * most)) == [code] * 3


def test_the_typical_gradient_is_that_of_the_estimate():
    claimed = np.array([100.0, 100.0, 1e-9])
    one = estimate([100.0, 100.0, 0.0], [1e-6, 1e-6, 1e-6])
    assert codes(problem_of(claimed), one) == [PASS] * 3


# Precision


@pytest.mark.parametrize(
    ("x", "gradient", "noise", "expected"),
    [
        ("f8", "f8", "f8", "f8"),
        ("f4", "f8", "f8", "f4"),
        ("f8", "f4", "f8", "f4"),
        ("f8", "f8", "f4", "f4"),
        ("f8", "f2", "f4", "f2"),
    ],
)
def test_the_lowest_precision_of_parameter_gradient_and_loss_decides(x, gradient, noise, expected):
    problem = problem_of(np.array([0.1, 0.2, 0.3]).astype(gradient), X.astype(x))
    level = Noise(1e-16, 1.0, np.dtype(noise), 1.0)
    assert precision_of(problem, "x", level) == np.dtype(expected)


def test_a_gradient_of_single_numbers_and_a_noisy_loss_is_of_single_precision():
    single = np.array([0.1, 0.2, 0.3], dtype=np.float32).astype(float)
    assert precision_of(problem_of(single), "x", replace(NOISE, level=1e-7)) == np.float32
    assert precision_of(problem_of(single), "x", NOISE) == np.float64
    off = single * (1 + 1e-4)
    assert codes(problem_of(single), estimate(off, 1e-9)) == [FAIL] * 3
    noisy = replace(NOISE, level=1e-7)
    assert codes(problem_of(single), estimate(off, 1e-9), noise=noisy) == [INCONCLUSIVE] * 3


def test_a_plain_threshold_is_the_settings_own():
    off = estimate(X * (1 + 1e-4), 1e-9)
    assert codes(problem_of(X), off) == [FAIL] * 3
    assert codes(problem_of(X), off, rtol=1e-3) == [PASS] * 3


# Comparisons


def compared(gradient, noise=NOISE, **estimates):
    return compare_parameter(problem_of(gradient), Settings(), "x", estimates, noise, None)


def test_every_oracle_is_compared_with_the_claim_and_autograd_with_differences():
    central, exact = estimate(X, 1e-8), estimate(X, 1e-15, "autograd")
    found = compared(X, central=central, autograd=exact)
    assert list(found.comparisons) == ["analytic~central", "analytic~autograd", "autograd~central"]
    assert found.combined.codes.tolist() == [PASS] * 3
    assert found.combined.best == "autograd"
    off = compared(X, central=central, autograd=estimate(X * 1.1, 1e-15, "autograd"))
    assert off.comparisons["autograd~central"].codes.tolist() == [FAIL] * 3
    assert off.combined.contested.all()
    assert list(compared(X, autograd=exact).comparisons) == ["analytic~autograd"]


def test_an_oracle_that_settled_a_few_entries_does_not_speak_for_all():
    """Its resolution is not that of the others, and its comparison shows no error among them."""
    central = estimate(X * [1.0, 1.0, 1.1], 1e-8)
    few = estimate(np.where([True, False, False], X, np.nan), 1e-15, "complex")
    found = compared(X, central=central, complex=few)
    assert found.combined.codes.tolist() == [PASS, PASS, FAIL]
    assert found.combined.best == "central"
    # Near miss: of entries that both checked, the finer one speaks.
    both = compared(X, central=central, complex=estimate(X, 1e-15, "complex"))
    assert both.combined.best == "complex"


def test_without_an_oracle_nothing_is_checked():
    found = compared(X)
    assert found.combined.codes.tolist() == [UNCHECKED] * 3
    assert found.combined.best is None
    assert not found.combined.contested.any()
    assert found.left_out


def test_at_a_kink_autograd_knows_one_side_and_both_are_right():
    central = estimate(X, 1e-8, kinks=[True, False, False], lower=X - FIRST, upper=X + FIRST)
    exact = estimate(X + FIRST, 1e-15, "autograd")
    assert compared(X, central=central, autograd=exact).combined.codes.tolist() == [PASS] * 3
    outside = compared(X + 2 * FIRST, central=central, autograd=exact)
    assert outside.combined.codes.tolist() == [INCONCLUSIVE, PASS, PASS]


def test_what_counts_as_checked_is_what_differences_looked_at():
    central = estimate([1.0, NAN, 0.5], 1e-8)
    exact = estimate(X, 1e-15, "autograd")
    both = compared(X, central=central, autograd=exact)
    assert both.counted.tolist() == [PASS, UNCHECKED, PASS]
    assert both.left_out
    none = compared(X, central=estimate([NAN] * 3, NAN), autograd=exact)
    assert none.counted.tolist() == [PASS] * 3
    assert not none.left_out
    assert not compared(X, central=estimate(X, 1e-8)).left_out


# The reference


def reference(**estimates):
    codes = np.full(3, PASS, dtype=np.int8)
    combined = Combined(codes, "central", np.zeros(3, dtype=bool))
    return reference_of(ParameterFindings(estimates, {}, combined))


def test_the_reference_is_the_most_certain_value_of_each_entry():
    one = estimate([1.0, 2.0, 3.0], [1e-9, 1e-3, NAN])
    other = estimate([1.1, 2.1, 3.1], [1e-8, 1e-5, 1e-2], "autograd")
    value, error = reference(central=one, autograd=other)
    assert value.tolist() == [1.0, 2.1, 3.1]
    assert error.tolist() == [1e-9, 1e-5, 1e-2]
    unknown = estimate([NAN, 2.0, 3.0], [0.0, 1e-9, 1e-9], "complex")
    value, _ = reference(central=one, complex=unknown)
    assert value.tolist() == [1.0, 2.0, 3.0]
    value, error = reference(central=one)
    assert value.tolist() == [1.0, 2.0, 3.0]
    assert error[1] == 1e-3


@pytest.mark.parametrize("first", ["central", "autograd"])
def test_the_reference_is_the_same_where_a_sample_is_given_part_by_part(first):
    n = 3 * BLOCK
    indices = np.array([5, 2 * BLOCK + 1])
    few = sampled(estimate([7.0, 8.0], [1e-12, 1.0]), indices, (n,))
    value, error = np.arange(float(n)), np.full(n, 1e-9)
    value[BLOCK + 3], error[BLOCK + 4], value[7], error[8] = NAN, np.inf, np.inf, NAN
    estimates = {"central": few, "autograd": estimate(value, error, "autograd")}
    estimates = {first: estimates.pop(first)} | estimates
    codes = Combined(np.zeros(n, dtype=np.int8), "autograd", np.zeros(n, dtype=bool))
    one = reference_of(ParameterFindings(estimates, {}, codes))
    whole = {name: as_whole(each) for name, each in estimates.items()}
    other = reference_of(ParameterFindings(whole, {}, codes))
    for found, expected in zip(one, other, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert one[0][indices].tolist() == [7.0, 2 * BLOCK + 1]


@pytest.mark.parametrize("indices", [[5, 2 * BLOCK + 1], []])
@pytest.mark.parametrize("size", [1e-9, 1.0])
def test_a_claim_of_nothing_is_judged_alike_where_a_sample_is_given_part_by_part(indices, size):
    n = 3 * BLOCK
    few = estimate(size * np.arange(1.0, 1 + len(indices)), 1e-7)
    few = sampled(few, np.array(indices, dtype=np.intp), (n,))
    problem = problem_of(np.zeros(n), x=np.ones(n), rounding=1e-12)
    one, other = (
        judge_estimate(problem, Settings(), "x", given, NOISE, None)
        for given in (few, as_whole(few))
    )
    for field in ("codes", "allowed", "resolution", "relative_error"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field), err_msg=field)
    assert set(one.codes[indices].tolist()) <= ({FAIL} if size == 1.0 else {PASS, INCONCLUSIVE})


# Contradictions


@pytest.mark.parametrize(
    ("oracle", "apart", "contested"),
    [
        ("autograd", 1.9e-8, False),
        ("autograd", 2.1e-8, True),
        ("forward", 0.9e-8, False),
        ("forward", 1.1e-8, True),
    ],
)
def test_forward_mode_is_doubted_sooner(oracle, apart, contested):
    # both leave half of 1e-8 open
    found = {
        "central": estimate([1.0], 0.5e-8),
        oracle: estimate([1.0 + apart], 0.5e-8, oracle),
    }
    limits = thresholds_for(np.dtype(float))
    each = [judge(np.ones(1), np.zeros(1), one, limits, typical=1.0) for one in found.values()]
    assert combine(each, found).contested.tolist() == [contested]


@pytest.mark.parametrize("bound", [NAN, np.inf])
def test_an_oracle_that_gives_no_bound_leaves_the_verdict_to_another(bound):
    open_ = estimate([NAN], bound, edges=[True])
    found = {"central": open_, "autograd": estimate([1.0], 1e-9, "autograd")}
    limits = thresholds_for(np.dtype(float))
    each = [judge(np.ones(1), np.zeros(1), one, limits, typical=1.0) for one in found.values()]
    assert [one.codes.tolist() for one in each] == [[INCONCLUSIVE], [PASS]]
    assert combine(each, found).codes.tolist() == [PASS]
    back = dict(reversed(found.items()))
    assert combine(each[::-1], back).codes.tolist() == [PASS]
    unchecked = estimate([NAN], NAN)
    alone = judge(np.ones(1), np.zeros(1), unchecked, limits, typical=1.0)
    assert combine([alone, each[0]], {"complex": unchecked, **found}).codes.tolist() == [
        INCONCLUSIVE
    ]


def test_nothing_claimed_and_nothing_found_to_the_last_bit_is_resolved_wholly():
    limits = thresholds_for(np.dtype(float))
    one = estimate([0.0, 0.0], [0.0, 1e-9], flat=[False, False])
    found = judge(np.zeros(2), np.zeros(2), one, limits, typical=0.0)
    assert found.resolution.tolist() == [0.0, np.inf]
    assert found.codes.tolist() == [PASS, INCONCLUSIVE]


def test_kinks_are_shared_with_the_larger_uncertainty_and_the_wider_range():
    central = estimate(
        [0.5, 2.0], [1e-6, 1e-6], kinks=[True, False], lower=[0.0, 2.0], upper=[1.0, 2.0]
    )
    shared = share_kinks(estimate([-0.5, 2.5], [1e-9, 1e-9], "autograd"), central)
    assert shared.uncertainty.tolist() == [1e-6, 1e-9]
    assert shared.lower.tolist() == [-0.5, 2.5]
    assert shared.upper.tolist() == [1.0, 2.5]
    exact = estimate([0.5, 2.5], [1e-9, 1e-9], "autograd")
    smooth = estimate([0.5, 2.0], [1e-6, 1e-6])
    assert share_kinks(exact, smooth) is exact
    assert share_kinks(exact, None) is exact


# Kinks that a trace tells of


def kinked(*positions, lower, upper):
    kinks = np.zeros(3, dtype=bool)
    kinks[list(positions)] = True
    return estimate(
        np.zeros(3), 1e-9, kinks=kinks, lower=np.full(3, lower), upper=np.full(3, upper)
    )


def settled(central, *, ties=(), choices=(), again=None):
    problem = problem_of(np.zeros(3))
    trace = SimpleNamespace(ties=ties, subgradients=lambda: [{"x": c} for c in choices])
    source = SimpleNamespace(
        trace=trace, again=None if again is None else lambda: {"x": again(problem)}
    )
    found = {"x": {"central": central}, "y": {}}
    settle_kinks(problem, found, source)
    np.testing.assert_array_equal(problem.parameters[0].value, X)
    return found["x"]["central"]


def test_every_choice_of_the_operations_widens_what_is_valid_at_a_kink():
    choices = [np.array([-1.0, 5.0, 0.5]), np.array([0.2, 7.0, 3.0])]
    found = settled(kinked(0, 2, lower=0.0, upper=1.0), ties=("relu",), choices=choices)
    assert found.lower.tolist() == [-1.0, 0.0, 0.0]
    assert found.upper.tolist() == [1.0, 1.0, 3.0]
    assert found.kinks.tolist() == [True, False, True]


def move(problem):
    return problem.parameters[0].value - X


@pytest.mark.parametrize(
    ("change", "stays"), [(0.11, True), (-0.11, True), (0.09, False), (0.0, False)]
)
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_kink_stays_where_the_exact_gradient_changes_at_once_by_a_tenth_of_the_gap(
    change, stays, side
):
    def gradient(problem):
        away = move(problem)
        assert np.abs(away).max() <= 16 * 2.0**-52 * 2.0
        return np.where(away * side > 0, change * 2.0, 0.0)

    found = settled(kinked(0, 2, lower=-1.0, upper=1.0), again=gradient)
    assert found.kinks.tolist() == [stays, False, stays]
    assert np.isnan(found.uncertainty).tolist() == [not stays, False, not stays]


def test_only_kinks_move_and_by_four_units_of_their_scale():
    seen = []

    def gradient(problem):
        seen.append(move(problem))
        return np.zeros(3)

    settled(kinked(0, lower=-1.0, upper=1.0), again=gradient)
    typical = np.sqrt(np.mean(X**2))
    assert all(np.abs(away[0]) <= 5 * 2.0**-52 * typical for away in seen)
    assert all((away[1:] == 0).all() for away in seen)
    for away, side in zip(seen, (0.0, 1.0, -1.0), strict=False):
        np.testing.assert_allclose(away, [side * 4 * 2.0**-52 * typical, 0, 0], atol=2.0**-52)
        assert np.sign(away[0]) == side


def test_a_parameter_without_kinks_and_one_without_differences_are_left_alone():
    plain = estimate(np.zeros(3), 1e-9)
    assert settled(plain) is plain
    lost = settled(kinked(1, lower=-1.0, upper=1.0))
    assert not lost.kinks.any()
    assert np.isnan(lost.uncertainty).tolist() == [False, True, False]
