"""--compare: what became worse between two reports."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sample_reports
from gold_files import assert_gold

from gradcheck.render.compare_reports import compare
from gradcheck.report import Check, Verdict

PASSING = replace(sample_reports.passing_check(), expected=None)
FAILING = replace(sample_reports.failing_check(), expected=None, name=PASSING.name)
UNDECIDED = replace(sample_reports.inconclusive_check(), name=PASSING.name)


def change(old: Check | None, new: Check | None) -> tuple[str, bool]:
    reports = [sample_reports.report(*([check] if check else [])) for check in (old, new)]
    return compare(*reports)


@pytest.mark.parametrize(
    ("old", "new", "worse"),
    [
        (PASSING, PASSING, False),
        (PASSING, FAILING, True),
        (PASSING, UNDECIDED, True),
        (UNDECIDED, FAILING, True),
        (FAILING, PASSING, False),
        (FAILING, FAILING, False),
        (None, PASSING, False),
        (None, FAILING, True),
        (FAILING, None, False),
        (PASSING, None, False),
    ],
)
def test_worse_is_a_worse_verdict(old, new, worse):
    assert change(old, new)[1] is worse


def test_a_further_parameter_that_fails_is_worse():
    once = replace(FAILING, parameter_results=FAILING.parameter_results)
    more = tuple(
        replace(r, verdict=Verdict.FAIL) if r.name == "b1" else r for r in once.parameter_results
    )
    text, worse = change(once, replace(once, parameter_results=more))
    assert worse
    assert "b1: pass -> fail" in text


def test_a_declared_failure_that_passes_is_worse():
    declared = sample_reports.failing_check()
    text, worse = change(declared, replace(PASSING, expected=declared.expected, name=declared.name))
    assert worse
    assert "declared fail" in text


def test_other_times_are_no_change():
    text, worse = change(PASSING, replace(PASSING, seconds=50.0))
    assert not worse
    assert text == "0 worse, 0 better, of 1 check in the new report.\n"


def test_a_coarser_resolution_is_told_but_is_not_worse():
    result = PASSING.parameter_results[0]
    coarse = replace(result.best_comparison, resolution=1e-6)
    other = replace(result, comparisons={**result.comparisons, result.best: coarse}, checked=3)
    text, worse = change(PASSING, replace(PASSING, parameter_results=(other,)))
    assert not worse
    assert "W: resolution 4.0e-15 -> 1.0e-06" in text
    assert "W: checked 6 -> 3 entries" in text
    assert "b: gone" in text


def test_gold():
    old, new = sample_reports.gold_report(), sample_reports.gold_report()
    names = {"net.right": "net.wrong", "net.wrong": "net.right"}
    swapped = [replace(c, name=names.get(c.name, c.name), expected=None) for c in new.checks]
    text, worse = compare(old, replace(new, checks=tuple(swapped[:-1])))
    assert worse
    assert_gold("compare.txt", text)
