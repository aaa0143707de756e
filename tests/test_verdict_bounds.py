"""Verdicts on a bound itself: what lies there counts as within it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from closed_problems import central, judged_by
from test_open_entries import NOISE, ONES, STEP, asked, findings
from test_verdict_inner_solvers import opened
from test_verdict_judging import kinked, settled
from test_verdict_pieces import MANY, ONE, pieces
from test_verdict_trust import contradicted, exact, said

from gradcheck import history
from gradcheck.oracles.ladder import KAPPA
from gradcheck.verdict.beside import Beside
from gradcheck.verdict.compare import (
    FAIL,
    INCONCLUSIVE,
    PASS,
    Judged,
    Thresholds,
    judge,
    typical_at_null,
)
from gradcheck.verdict.in_parts import Sums
from gradcheck.verdict.judging import excluded
from gradcheck.verdict.open_questions import BEYOND
from gradcheck.verdict.summary import summarise
from gradcheck.verdict.verdicts import combine

DOUBLE = Thresholds()


def judged(
    claim: float, value: float, uncertainty: float, typical: float, oracle: str, **limits: Any
) -> Judged:
    one = replace(central([value], uncertainty), oracle=oracle)
    thresholds = replace(DOUBLE, **limits)
    return judge(np.array([claim]), np.zeros(1), one, thresholds, typical=typical)


@pytest.mark.parametrize(
    ("claim", "value", "uncertainty", "typical", "oracle", "code"),
    [
        # known to a thousandth
        (1.0, 1.0, 1e-3, 0.0, "central", PASS),
        # as far apart as is allowed
        (1.0, 1.0 - 2.0**-12, 2.0**-12, 0.0, "central", PASS),
        # the same to eight digits of the scale, a thousandth of what is typical
        (0.0, 1e-8, 1e-12, 1e3, "central", PASS),
        # twice what is allowed, and the smallest that is wrong
        (0.0, 2.0**-21, 2.0**-22, 1e3, "central", PASS),
        (0.0, 1e-6, 0.6e-6, 1e3, "central", PASS),
        (0.0, 1e-6, 1e-9, 1e3, "central", INCONCLUSIVE),
        # a tail of noise: known to a thousandth, and ten times the smallest that is wrong
        (1.0, 1.0 - 1.5e-3, 1e-3, 0.0, "central", FAIL),
        (0.0, 10.0 * 1e-6, 0.6e-5, 1e3, "central", INCONCLUSIVE),
        # a twentieth of the scale, and ten times what is allowed
        (1.0, 0.75, 0.05, 0.0, "complex", FAIL),
        (1.0, 0.375, 0.0625, 0.0, "complex", INCONCLUSIVE),
        # confirmed to eight digits
        (1e8, 1e8 - 1.0, 1e7, 0.0, "complex", PASS),
        # no more than a thousandth of what is typical, with its uncertainty
        (0.0, 1e-300, 1e-3, 1.0, "central", PASS),
        # known to a thousandth of what is typical
        (0.75, 0.75, 1e-3, 1.0, "central", PASS),
        # known to two thousandths of its own size, with the difference
        (1.0, 1.0, 2e-3, 4.0, "central", PASS),
        (1.0, 1.0 - 2.5e-4, 1.7e-3, 4.0, "central", PASS),
        (1.0, 1.0 - 2.5e-4, 1.8e-3, 4.0, "central", INCONCLUSIVE),
    ],
)
def test_what_lies_on_a_bound_is_within_it(
    claim: float, value: float, uncertainty: float, typical: float, oracle: str, code: int
) -> None:
    assert judged(claim, value, uncertainty, typical, oracle).codes.tolist() == [code]


def test_what_is_as_large_as_its_uncertainty_is_lost_in_it() -> None:
    # and known by what is typical; a plain threshold says nothing of it
    assert judged(2e-3, 2e-3, 2e-3, 1.0, "central").resolution.tolist() == [2e-3]
    assert judged(2e-3, 1e-3, 2e-3, 1.0, "central", rtol=0.4).codes.tolist() == [INCONCLUSIVE]


def test_it_has_no_relative_error_either() -> None:
    for uncertainty, below in ((2.0**-20, 1), (2.0**-21, 0)):
        one, sums = judged(2.0**-20, 0.0, uncertainty, 0.0, "central"), Sums()
        sums.add(one)
        for found in (summarise(one), sums.comparison(failing=0, inconclusive=0, worst=())):
            assert (found.below_noise, found.max_relative_error) == (below, 1.0 - below)
            assert found.median_relative_error == 1.0 - below


def test_a_plain_threshold_is_the_largest_error_that_passes() -> None:
    assert judged(1.0, 0.5, 1e-9, 0.0, "central", rtol=0.5).codes.tolist() == [PASS]


def test_twice_the_uncertainty_hides_a_gradient_of_nothing() -> None:
    ones = np.ones(3)
    assert typical_at_null(2.0 * ones, ones, 1e4) == 10.0
    assert typical_at_null(2.5 * ones, ones, 1e4) == 2.5


def test_entries_are_confirmed_each_by_itself() -> None:
    # the second differs by just a hundred-millionth of it; the third is not known
    one = replace(central([0.5, 1e8 - 1.0, 5.0], [1e-2, 1e7, 1.0]), oracle="complex")
    found = judge(np.array([0.5 + 1e-9, 1e8, 6.0]), np.zeros(3), one, DOUBLE, typical=0.0)
    assert found.codes.tolist() == [PASS, PASS, INCONCLUSIVE]
    assert found.allowed.tolist() == [1e-8 * (0.5 + 1e-9), 1.0, 1.0]


def test_a_zero_that_is_none_in_every_bit_is_confirmed_by_nothing() -> None:
    one = replace(central([0.0], 0.5, flat=False), oracle="complex")
    found = judge(np.zeros(1), np.zeros(1), one, DOUBLE, typical=1.0)
    assert (found.codes.tolist(), found.allowed.tolist()) == ([INCONCLUSIVE], [0.5])


def test_what_is_known_to_a_thousandth_of_its_scale_is_measured_by_it() -> None:
    # a thousandth of what is typical, here
    assert judged(0.0, 1e-300, 0.01, 1e4, "central").resolution.tolist() == [1e-3]
    assert judged(0.0, 1e-300, 0.011, 1e4, "central").resolution[0] == pytest.approx(1.1e-6)


def test_in_lower_precision_what_is_as_far_apart_as_is_allowed_stays_open() -> None:
    limits = {"coarsest": 5e-3, "smallest": 1e-3}
    for apart, code in ((0.25, INCONCLUSIVE), (0.28, FAIL)):
        assert judged(1.0, 1.0 - apart, 0.25, 0.0, "central", **limits).codes.tolist() == [code]


def test_what_hides_a_gradient_is_the_usual_uncertainty() -> None:
    size, sure = np.full(3, 2.5), np.array([1e-9, 1.0, 1e9])
    assert typical_at_null(size, sure, 1e4) == 2.5
    assert typical_at_null(size, 2.0 * sure, 1e4) == 10.0
    assert typical_at_null(0.5 * size, np.array([0.5, np.nan, np.inf]), 1e4) == 1.25
    assert typical_at_null(size, np.full(3, np.inf), 1e4) == 10.0
    assert typical_at_null(size, np.full(3, np.inf), 1.0) == 2.5


# Elsewhere


@pytest.mark.parametrize(
    ("apart", "size", "uncertainty", "contested"),
    [
        # twice what both are known to, and a billionth of the larger
        (2.0**-16, 1.0, 2.0**-18, False),
        (2.0**-15, 1.0, 2.0**-18, True),
        (1.0, 1e9, 0.0, False),
        (2.0, 1e9, 0.0, True),
    ],
)
def test_oracles_that_are_as_far_apart_as_they_may_be_do_not_contradict_each_other(
    apart: float, size: float, uncertainty: float, contested: bool
) -> None:
    found = {
        "central": central([size], uncertainty),
        "autograd": replace(central([size - apart], uncertainty), oracle="autograd"),
    }
    each = [*judged_by([size], **found).comparisons.values()]
    assert combine(each, found).contested.tolist() == [contested]


@pytest.mark.parametrize("value", [-0.25, 2.25])
def test_a_value_as_far_outside_of_a_kink_as_it_may_be_is_not_excluded(value: float) -> None:
    two = central([1.0], 0.125, kinks=[True], lower=[0.75], upper=[1.25])
    assert excluded(central([value]), two).tolist() == [False]


def test_a_gradient_that_changes_by_a_tenth_of_the_gap_does_not_change_at_once() -> None:
    found, _ = settled(kinked(-10.0, 10.0), lambda move: np.where(move > 0, 2.0, 0.0))
    assert not found.kinks.any()
    found, _ = settled(kinked(-10.0, 10.0), lambda move: np.where(move > 0, 2.0 + 1e-9, 0.0))
    assert found.kinks.any()


@pytest.mark.parametrize(
    ("value", "uncertainty", "other", "others"),
    [
        (1.0, 0.125, 2.0, 0.125),
        (1e6, 0.0, 1e6 - 1.0, 0.0),
        (0.0, 1.0, 1.0, 0.125),
        (0.0, 1.5, 1.0, 0.25),
    ],
)
def test_nor_is_a_trace_contradicted(
    value: float, uncertainty: float, other: float, others: float
) -> None:
    assert not contradicted(exact([value], uncertainty), central([other], others))


def test_nor_does_a_loss_change_by_eight_deviations_of_its_noise() -> None:
    for steps, changes in ((16.0, False), (17.0, True)):
        two = central([0.5], np.inf, steps=steps)
        assert bool(said(exact([0.0]), two, reached=(), level=1.0)) is changes


def test_slopes_beside_the_point_are_the_same_within_what_is_allowed() -> None:
    one = Beside({}, 0.0, 1.0, np.array([0.25, 0.5]))
    assert (one.slope, one.claimed) == (0.5, 0.75)
    assert (one.has_kink(0.5), one.has_kink(0.49)) == (False, True)
    assert (one.is_wrong(0.25), one.is_wrong(0.24)) == (False, True)


def test_a_loss_is_the_same_within_a_hundredth_of_its_spread() -> None:
    values = iter([5.0, 6.0, 5.0])
    assert history.settled(lambda: next(values), 100.0) == 5.0


def test_an_error_of_a_ten_thousandth_is_slight() -> None:
    found, _, _ = opened([1e-4, 0.0, 2.0, 0.0], [0.0, 0.0, 2.0, 0.0])
    assert found.combined.codes.tolist() == [INCONCLUSIVE, PASS, PASS, PASS]


def test_what_differs_by_what_is_allowed_is_not_seen_to_be_off() -> None:
    for allowed, off in ((2.0**-16, False), (2.0**-17, True)):
        one = findings(claimed=ONES - 2.0**-16 * np.array([1, 0, 1, 0]), allowed=allowed)
        assert ("off by at most" in asked(one)[0].message) is off


def test_a_hundred_times_what_noise_makes_of_a_slope_is_noise() -> None:
    most = BEYOND * (KAPPA * NOISE.level / STEP)
    assert "jitters by" in asked(findings(uncertainty=most))[0].message


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_hundred_thousandth_of_the_largest_is_none_among_pieces(side: float) -> None:
    assert not pieces([0, 0], [0, 1], [2e-5, 1]).meet
    assert pieces([0.5, 0.5, side * 1e-5], [1, 0, 0], [0, 1, 0]).contain()
    assert pieces([1.0, 0.0, side * 1e-5, 0.0], *MANY, *ONE).may_contain()
    beyond = [1.0 + 1e-5, 0.0, 0.0, 0.0] if side > 0 else [1.0, -1e-5, 0.0, 0.0]
    assert pieces(beyond, *MANY, *ONE).may_contain()
