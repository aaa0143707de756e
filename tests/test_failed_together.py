"""Entries that pass each alone and are wrong together: what becomes of their comparisons."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck.blocks import BLOCK
from gradcheck.oracles.estimate import Estimate, smooth_estimate
from gradcheck.oracles.parted import PartedEstimate
from gradcheck.verdict.compare import FAIL, INCONCLUSIVE, PASS, judge, thresholds_for
from gradcheck.verdict.failed import accepted_kinks, failed
from gradcheck.verdict.in_parts import judge_in_parts
from gradcheck.verdict.judging import ParameterFindings
from gradcheck.verdict.verdicts import combine

LIMITS = thresholds_for(np.dtype(float))


def kinked(shape: tuple[int, ...], kinks: Any, oracle: str = "central") -> Estimate:
    """Half the slope 1 at kinks that allow all from 0 to 1; a slope of 1 elsewhere."""
    marks = np.zeros(shape, dtype=bool)
    marks.flat[kinks] = True
    value = np.where(marks, 0.5, 1.0)
    one = smooth_estimate(oracle, value, np.full(shape, 1e-9))
    lower, upper = np.where(marks, 0.0, 1.0), np.ones(shape)
    return replace(one, kinks=marks, lower=lower, upper=upper)


def findings(shape: tuple[int, ...], kinks: Any, claimed: Any = None) -> ParameterFindings:
    claimed = np.ones(shape) if claimed is None else claimed
    estimates = {name: kinked(shape, kinks, name) for name in ("central", "autograd")}
    judged = {
        name: judge(claimed, np.zeros(shape), one, LIMITS, typical=1.0)
        for name, one in estimates.items()
    }
    comparisons = {f"analytic~{name}": one for name, one in judged.items()}
    comparisons["autograd~central"] = judged["autograd"]
    return ParameterFindings(estimates, comparisons, combine([*judged.values()], estimates))


def test_entries_at_kinks_that_pass_are_marked_and_no_others() -> None:
    claimed = np.ones((2, 3))
    claimed[1, 1] = 3.0  # at a kink, and valid nowhere
    marks = accepted_kinks(
        {"W": findings((2, 3), [1, 4], claimed), "b": findings((4,), []), "c": no_differences()}
    )
    assert {name: np.flatnonzero(one).tolist() for name, one in marks.items()} == {"W": [1]}
    assert marks["W"].shape == (2, 3)


def no_differences() -> ParameterFindings:
    one = findings((2,), [0])
    return replace(one, comparisons={"analytic~autograd": one.comparisons["analytic~autograd"]})


def test_they_fail_in_every_comparison_with_the_claim_by_what_the_oracle_says() -> None:
    before = findings((2, 3), [1, 4])
    assert (before.combined.codes == PASS).all()
    after = failed(before, np.array([1, 4]))
    expected = [[PASS, FAIL, PASS], [PASS, FAIL, PASS]]
    assert after.combined.codes.tolist() == expected
    for oracle in ("central", "autograd"):
        one = after.comparisons[f"analytic~{oracle}"]
        assert one.codes.tolist() == expected
        assert one.codes.dtype == np.int8
        # 1 was the valid slope that is nearest to the claim; the difference quotient is 1/2
        assert one.reference.tolist() == [[1.0, 0.5, 1.0], [1.0, 0.5, 1.0]]
        assert one.relative_error.tolist() == [[0.0, 0.5, 0.0], [0.0, 0.5, 0.0]]
    assert after.comparisons["autograd~central"] is before.comparisons["autograd~central"]
    assert after.estimates is before.estimates
    assert after.combined.best == before.combined.best


def test_what_failed_or_was_open_before_stays_so() -> None:
    claimed = np.array([1.0, 3.0, 2.0, 1.0])
    after = failed(findings((4,), [0, 1], claimed), np.array([0]))
    assert after.combined.codes.tolist() == [FAIL, INCONCLUSIVE, FAIL, PASS]
    assert after.comparisons["analytic~central"].reference.tolist() == [0.5, 1.0, 1.0, 1.0]


def test_of_a_large_parameter_the_entries_are_listed_first_and_seen_in_their_part() -> None:
    n = BLOCK + 40
    places = np.array([3, BLOCK + 5])
    whole = kinked((n,), places)
    parted = PartedEstimate("central", (n,), whole.part, lambda at: False)
    claimed = np.ones(n)
    judged = judge_in_parts(
        claimed, np.zeros(n), parted, LIMITS, typical=lambda at: np.ones(at.stop - at.start)
    )
    at_once = judge(claimed, np.zeros(n), whole, LIMITS, typical=1.0)
    combined = combine([at_once], {"central": whole})
    before = ParameterFindings({"central": parted}, {"analytic~central": judged}, combined)
    after: Any = failed(before, places).comparisons["analytic~central"]
    assert np.flatnonzero(after.codes == FAIL).tolist() == places.tolist()
    assert after.worst.tolist() == places.tolist()
    assert after.reference[places].tolist() == [0.5, 0.5]
    assert np.flatnonzero(after.relative_error).tolist() == places.tolist()
    part = after.part(slice(BLOCK, n))
    assert np.flatnonzero(part.codes == FAIL).tolist() == [5]
    assert (judged.codes == PASS).all()


def test_no_more_are_listed_than_a_report_has_room_for() -> None:
    n = BLOCK + 40
    places = np.arange(100, 130)
    whole = kinked((n,), places)
    parted = PartedEstimate("central", (n,), whole.part, lambda at: False)
    judged = judge_in_parts(
        np.ones(n), np.zeros(n), parted, LIMITS, typical=lambda at: np.ones(at.stop - at.start)
    )
    combined = combine(
        [judge(np.ones(n), np.zeros(n), whole, LIMITS, typical=1.0)], {"central": whole}
    )
    before = ParameterFindings({"central": parted}, {"analytic~central": judged}, combined)
    after: Any = failed(before, places).comparisons["analytic~central"]
    assert after.worst.tolist() == list(range(100, 110))
