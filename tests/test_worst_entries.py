"""Which entries matter most, in which order, and what is said of each."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradcheck.report import Verdict
from gradcheck.verdict.compare import FAIL, INCONCLUSIVE, PASS, UNCHECKED, Judged
from gradcheck.verdict.summary import entry_at, summarise, worst_positions

NAN, INF = float("nan"), float("inf")


def judged(codes, *, analytic=None, reference=None, allowed=1e-9, errors=None, resolution=1e-6):
    codes = np.asarray(codes, dtype=np.int8)

    def full(values):
        return np.array(np.broadcast_to(values, codes.shape), dtype=float)

    analytic = full(1.0 if analytic is None else analytic)
    reference = full(1.0 if reference is None else reference)
    relative = np.abs(analytic - reference) if errors is None else full(errors)
    return Judged(
        *("central", codes, analytic, reference, full(allowed), relative, full(resolution)),
        np.zeros(codes.shape, dtype=bool),
    )


def order(*args, **options):
    return worst_positions(judged(*args, **options)).tolist()


def test_wrong_entries_come_by_their_relative_error():
    assert order([FAIL] * 4, errors=[0.1, 0.4, 0.2, 0.3]) == [1, 3, 2, 0]
    assert order([FAIL] * 3, errors=[0.1, NAN, 0.3]) == [1, 2, 0]
    # not by how much of what is allowed they are off
    assert order([FAIL] * 2, errors=[0.1, 0.2], analytic=[9.0, 2.0], allowed=[1e-9, 1.0]) == [1, 0]


def test_the_others_come_by_their_difference_in_units_of_what_is_allowed():
    options = {"analytic": [1.1, 1.2, 1.4], "allowed": [0.01, 0.4, 0.1]}
    for code in (PASS, INCONCLUSIVE):
        assert order([code] * 3, **options) == [0, 2, 1]
    # nothing known of one, of which nothing is allowed, and no difference in another
    assert order([INCONCLUSIVE] * 2, reference=[1.0, NAN], errors=[0.0, NAN]) == [1, 0]
    assert order([PASS] * 3, analytic=[1.0, 1.5, 1.1], allowed=[0.0, 0.0, 1.0]) == [1, 2, 0]


def test_the_verdict_comes_before_the_size():
    codes = [PASS, UNCHECKED, FAIL, INCONCLUSIVE, FAIL]
    assert order(codes, analytic=[9.0, 9.0, 1.1, 5.0, 1.2]) == [4, 2, 3, 0]
    assert order([UNCHECKED] * 3) == []


@pytest.mark.parametrize("code", [PASS, INCONCLUSIVE, FAIL])
@pytest.mark.parametrize("n", [9, 10, 11, 500, 40_000])
def test_ten_of_however_many_are_listed(code, n):
    errors = np.random.default_rng(n).permutation(n) + 1.0
    found = order([code] * n, analytic=1.0 + errors, errors=errors)
    expected = np.argsort(-errors)[:10].tolist()
    assert found == expected


def test_the_few_of_the_worst_verdict_come_first_in_whatever_part_they_lie():
    codes = np.full(40_000, PASS)
    codes[[17, 39_999]] = FAIL
    codes[[20_000, 5]] = INCONCLUSIVE
    analytic = 1.0 + np.linspace(0, 1e-10, 40_000)
    found = order(codes, analytic=analytic)
    assert found[:4] == [39_999, 17, 20_000, 5]
    assert found[4:] == [39_998, 39_997, 39_996, 39_995, 39_994, 39_993]


def test_equal_ones_come_in_the_order_of_their_places():
    assert order([FAIL] * 30, errors=0.5) == list(range(10))
    assert order([PASS] * 30) == list(range(10))


def test_an_entry_is_told_with_its_place_and_its_figures():
    one = judged([[PASS, FAIL], [INCONCLUSIVE, PASS]], analytic=[[1, 2], [3, 4]], allowed=0.5)
    entry = entry_at(one, 2)
    assert entry.index == (1, 0)
    assert (entry.analytic, entry.reference, entry.relative_error) == (3.0, 1.0, 2.0)
    assert (entry.uncertainty, entry.verdict) == (0.5, Verdict.INCONCLUSIVE)
    assert entry_at(one, 1).verdict is Verdict.FAIL
    assert entry_at(one, 0).verdict is Verdict.PASS


# Summaries


def test_a_summary_leaves_out_what_was_not_looked_at():
    one = judged(
        [PASS, FAIL, INCONCLUSIVE, UNCHECKED, FAIL],
        analytic=[1.0, 3.0, 0.0, 7.0, 2.0],
        reference=[1.0, 1.0, 1e-10, NAN, 2.5],
        errors=[0.0, 2 / 3, 1.0, NAN, 0.2],
        resolution=[1e-6, 1e-7, 1e-2, 5.0, 1e-9],
    )
    found = summarise(one)
    assert (found.checked, found.below_noise) == (4, 1)
    assert (found.failing_entries, found.inconclusive_entries) == (2, 1)
    assert found.max_relative_error == pytest.approx(2 / 3)
    assert found.median_relative_error == pytest.approx(0.2)
    assert found.resolution == 1e-2
    norm = math.hypot(0, 2, 1e-10, 0.5)
    assert found.norm_relative_error == pytest.approx(
        norm / (math.hypot(1, 3, 2) + math.hypot(1, 1, 1e-10, 2.5))
    )
    assert one.coarsest == 1e-2


def test_of_nothing_there_is_nothing_to_tell():
    found = summarise(judged([UNCHECKED] * 2, reference=NAN))
    assert (found.checked, found.below_noise, found.worst) == (0, 0, ())
    assert (found.max_relative_error, found.median_relative_error) == (0.0, 0.0)
    assert found.norm_relative_error == 0.0
    assert math.isnan(found.resolution)
    assert math.isnan(judged([UNCHECKED]).coarsest)


def test_a_gradient_that_is_no_number_is_off_without_bound():
    found = summarise(judged([FAIL, PASS, PASS], analytic=[NAN, 1.0, 1.0], errors=[NAN, 0.1, 0.1]))
    assert found.max_relative_error == INF
    assert found.median_relative_error == pytest.approx(0.1)
    assert math.isnan(found.norm_relative_error)
    only = summarise(judged([FAIL], analytic=[NAN], errors=[NAN]))
    assert only.max_relative_error == only.median_relative_error == INF


def test_a_part_of_a_comparison_is_that_of_its_entries():
    one = judged([[PASS, FAIL], [INCONCLUSIVE, UNCHECKED]], analytic=[[1, 2], [3, 4]])
    part = one.part(slice(1, 3))
    assert part.codes.tolist() == [FAIL, INCONCLUSIVE]
    assert part.analytic.tolist() == [2.0, 3.0]
    assert part.oracle == "central"
    assert part.kinks.tolist() == [False, False]
