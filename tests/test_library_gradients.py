"""Derivatives that SciPy, scikit-learn and statsmodels ship: outside truth for the whole checker.

Right ones pass, each of them with one entry changed by a thousandth fails, and the few that are
wrong in the library are told, with the wrong side written anew as evidence.
"""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import pytest

from benchmarks.library_gradients import CASES, AbsentError, checked, made, outcome, spoiled
from gradcheck import Verdict

RIGHT = [case for case in CASES if not case.mistake]
WRONG = [case for case in CASES if case.mistake]


@pytest.fixture(autouse=True)
def _warnings_of_libraries():
    """Libraries may warn (of overflow, deprecations of their own); that is not on trial here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def objective(case):
    pytest.importorskip(case.library)
    try:
        return made(case)
    except AbsentError as missing:
        pytest.skip(str(missing))


def named(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def test_names_are_unique_and_there_are_enough():
    names = Counter(case.name for case in CASES)
    assert not [name for name, times in names.items() if times > 1]
    libraries = Counter(case.library for case in RIGHT)
    assert all(libraries[name] >= 40 for name in ("scipy", "sklearn", "statsmodels"))


@named(RIGHT)
def test_right_derivative_passes_against_central_differences(case):
    check = checked(objective(case), autograd=False)
    assert check.verdict == Verdict.PASS, check.diagnoses
    assert check.parameter_results[0].resolution < 1e-5


@named(RIGHT[::3])
def test_one_entry_off_by_a_thousandth_fails(case):
    check = checked(spoiled(objective(case), case.name), autograd=False)
    assert check.verdict == Verdict.FAIL
    (result,) = check.parameter_results
    assert result.comparisons["analytic~central"].failing_entries == 1


@named(WRONG)
def test_mistake_of_a_library_is_told_and_its_repair_passes(case):
    # some repairs are by it, and torch brings it along
    pytest.importorskip("mpmath")
    shipped = checked(objective(case), autograd=False)
    (result,) = shipped.parameter_results
    errors = (found.max_relative_error for found in result.comparisons.values())
    off_by = max(errors, default=np.inf)
    # By the verdict, or, of a difference that jitters by itself, by what is said to be resolved.
    assert shipped.verdict != Verdict.PASS or result.resolution > max(off_by, 1e-6)
    assert checked(case.repaired(), autograd=False).verdict == Verdict.PASS


@pytest.mark.slow
@named(CASES)
def test_all_oracles_together_with_one_entry_off(case):
    objective(case)
    found = outcome(case)
    assert found.as_expected, (found.check.verdict, found.spoiled and found.spoiled.verdict)
    # a trace that disagreed with NumPy's own loss would have been thrown away
    assert "trace_discarded" not in [notice.key for notice in found.check.warnings]
