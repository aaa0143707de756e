"""What becomes of entries whose claim is found among the gradients nearby, or may be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from closed_problems import Meeting, central, closed_problem, judged_by, noise_of

from gradcheck.verdict.clarke import MOST, with_subgradients
from gradcheck.verdict.compare import FAIL, INCONCLUSIVE, PASS, UNCHECKED


def codes(found: Any) -> list[int]:
    return found["x"].combined.codes.tolist()


def test_what_failed_is_held_against_itself_then_and_all_else_stays() -> None:
    claim = np.array([0.25, 0.75, 0.0])
    seen = central([0.0, 0.0, 0.0])
    before = judged_by(claim, central=seen, autograd=replace(seen, oracle="autograd"))
    own = {**before.comparisons, "autograd~central": before.comparisons["analytic~central"]}
    max_ = Meeting(np.eye(3))
    problem, _ = closed_problem(max_.loss, max_.gradient, {"x": claim}, x=np.zeros(3))
    found = with_subgradients(problem, noise_of(0.0), {"x": replace(before, comparisons=own)})
    after = found["x"]
    assert after.combined.codes.tolist() == [PASS] * 3
    assert after.combined.codes.dtype == np.int8
    for oracle in ("central", "autograd"):
        one, old = (where.comparisons[f"analytic~{oracle}"] for where in (after, before))
        assert one.codes.tolist() == [PASS] * 3
        assert one.codes.dtype == np.int8
        assert one.kinks.tolist() == [True, True, False]
        assert one.reference.tolist() == claim.tolist()
        assert one.relative_error.tolist() == [0.0, 0.0, 0.0]
        assert one.resolution.tolist() == [1e-5, 1e-5, old.resolution[2]]
        assert old.relative_error.tolist() == [1.0, 1.0, 0.0]
    assert after.comparisons["autograd~central"] is own["autograd~central"]
    assert not after.estimates["central"].kinks.any()


def test_what_stays_open_is_at_a_kink_and_keeps_its_reference() -> None:
    claim = np.full(60, 1 / 60)
    max_ = Meeting(np.eye(60))
    problem, _ = closed_problem(
        max_.loss, max_.gradient, {"x": claim}, x=np.zeros(60), budget=5 * 24
    )
    before = {"x": judged_by(claim, central=central(np.zeros(60)))}
    found = with_subgradients(problem, noise_of(0.0), before)
    one = found["x"].comparisons["analytic~central"]
    assert one.codes.tolist() == [INCONCLUSIVE] * 60
    assert one.kinks.all()
    assert not one.reference.any()
    assert found["x"].estimates["central"].kinks.all()
    assert found["x"].open_kinks.all()


def test_what_is_open_at_a_kink_passes_whether_it_agrees_or_not() -> None:
    claim = np.array([600.0, 800.0, 0.0, 0.1])
    before = judged_by(claim, central=central(np.zeros(4)))
    comparison = replace(
        before.comparisons["analytic~central"],
        codes=np.array([FAIL, FAIL, INCONCLUSIVE, INCONCLUSIVE], dtype=np.int8),
        kinks=np.array([False, False, True, True]),
        allowed=np.full(4, 1e-3),
    )
    before = replace(
        before,
        comparisons={"analytic~central": comparison},
        combined=replace(before.combined, codes=comparison.codes),
    )
    max_ = Meeting([[1200, 0, 0, 0.1], [0, 1600, 0, 0.1]])
    problem, _ = closed_problem(max_.loss, max_.gradient, {"x": claim}, x=np.zeros(4))
    assert codes(with_subgradients(problem, noise_of(0.0), {"x": before})) == [PASS] * 4


@pytest.mark.parametrize(
    ("difference", "allowed", "code"),
    [
        (0.9e-3, 1e-3, PASS),
        (1.1e-3, 1e-3, INCONCLUSIVE),
        (0.0, 0.99, PASS),
        (0.0, 1.01, INCONCLUSIVE),
    ],
)
def test_what_was_open_for_want_of_a_gradient_to_measure_by_passes_where_it_agrees(
    difference: float, allowed: float, code: int
) -> None:
    # beside claims of 0, 600 and 800, whose root mean square is 500: an allowance of 0.5 counts
    allowed = 0.5 * allowed if difference == 0.0 else allowed
    claim = np.array([600.0, 800.0, 0.0, 2.0 + difference])
    before = judged_by(claim, central=central([0.0, 0.0, 0.0, 2.0]))
    comparison = replace(
        before.comparisons["analytic~central"],
        codes=np.array([FAIL, FAIL, UNCHECKED, INCONCLUSIVE], dtype=np.int8),
        allowed=np.array([0.0, 0.0, 0.0, allowed]),
    )
    before = replace(
        before,
        comparisons={"analytic~central": comparison},
        combined=replace(before.combined, codes=comparison.codes),
    )
    max_ = Meeting([[1200, 0, 0, 2 + difference], [0, 1600, 0, 2 + difference]])
    problem, _ = closed_problem(max_.loss, max_.gradient, {"x": claim}, x=np.zeros(4))
    found = with_subgradients(problem, noise_of(0.0), {"x": before})
    assert codes(found) == [PASS, PASS, UNCHECKED, code]


def test_of_many_entries_nothing_is_looked_at() -> None:
    ones = np.ones(MOST + 1)
    problem, _ = closed_problem(lambda x: 0.0, lambda x: {"x": 0.0 * x}, {"x": ones}, x=ones)

    class Unseen:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"{name} was asked for")

    unseen: Any = Unseen()
    assert with_subgradients(problem, noise_of(0.0), {"x": unseen}) == {}
