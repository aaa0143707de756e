"""What a limit leaves out decides about the verdict, and is told; what it does not, does not."""

from __future__ import annotations

import numpy as np
import pytest

import gradcheck


def loss(w, b):
    return float(np.sum(np.sin(w)) + np.sum(np.cos(b))), {"w": np.cos(w), "b": -np.sin(b)}


def wrong(w, b):
    value, gradient = loss(w, b)
    gradient["w"][3] *= 1.01
    return value, gradient


INPUTS = {"w": np.linspace(0.1, 1.4, 60), "b": np.linspace(0.2, 1.2, 5)}


def checked(target=loss, **options):
    return gradcheck.check(target, INPUTS, autograd=False, **options)


def test_pictures_that_a_budget_forbids_leave_the_verdict_alone() -> None:
    whole = checked(entries=20)
    assert whole.verdict == "pass"
    budget = whole.evaluations + 1
    found = checked(entries=20, budget=budget, pictures=True)
    assert (found.verdict, found.evaluations) == ("pass", whole.evaluations)
    # Near miss: the budget forbids one of the differences.
    assert checked(entries=20, budget=budget - 3, pictures=True).verdict == "inconclusive"


def test_an_entry_that_was_seen_to_be_wrong_is_confirmed_within_the_budget() -> None:
    """It is among the first; the budget ends long before the last."""
    found = checked(wrong, budget=70)
    assert found.evaluations <= 70
    assert found.verdict == "fail"
    assert found.parameters["w"].comparisons["analytic~central"].failing_entries == 1
    assert "not_checked" in {one.key for one in found.warnings}
    # Near miss: a right gradient needs no second look, and loses no entry to one.
    right = checked(budget=70)
    assert right.verdict == "inconclusive"
    assert right.parameters["w"].checked >= (70 - 30) // 2
    assert right.evaluations >= 69


def test_what_a_limit_kept_from_a_second_look_is_not_put_down_to_rounding() -> None:
    alone = checked(wrong)
    budgets = range(alone.evaluations - 14, alone.evaluations, 4)
    told = [checked(wrong, budget=n) for n in budgets]
    open_ = [one for one in told if one.verdict == "inconclusive"]
    assert open_
    assert {cause.cause for one in open_ for cause in one.diagnoses} == {"not_checked"}


def test_one_diagnosis_names_every_parameter_that_was_left_out() -> None:
    many = {name: np.linspace(0.1, 1.0, 9) for name in "abcdefgh"}

    def total(**values):
        gradients = {name: np.cos(value) for name, value in values.items()}
        return float(sum(np.sin(value).sum() for value in values.values())), gradients

    found = gradcheck.check(total, many, autograd=False, budget=60)
    (one,) = found.diagnoses
    assert one.cause == "not_checked"
    left = [name for name, each in found.parameters.items() if each.checked < 9]
    assert len(left) > 4
    assert f"{left[0]} ({found.parameters[left[0]].checked} of 9)" in one.message
    assert one.remedy == "Raise --budget."
    assert gradcheck.check(total, many, autograd=False, time=1e-9).diagnoses[0].remedy == (
        "Raise --time."
    )


def complex_too(w, b):
    return np.sum(np.sin(w)) + np.sum(np.cos(b)), {"w": np.cos(w), "b": -np.sin(b)}


@pytest.mark.parametrize("options", [{"budget": 60}, {"budget": 20}])
def test_the_complex_step_keeps_to_the_limits(options) -> None:
    found = checked(complex_too, oracles=("complex",), **options)
    assert found.evaluations <= options["budget"]
    assert found.verdict == "inconclusive"
    (one,) = found.diagnoses
    assert one.cause == "not_checked"
    n = found.parameters["w"].checked
    assert n < 60
    assert f"w ({n} of 60)" in one.message
    assert ("complex step" in one.message) is (n > 0)
    # Near miss: a budget that suffices.
    whole = checked(complex_too, oracles=("complex",))
    again = checked(complex_too, oracles=("complex",), budget=whole.evaluations)
    assert (again.verdict, again.evaluations) == ("pass", whole.evaluations)


def test_a_learning_rate_is_not_judged_beyond_the_budget() -> None:
    whole = checked(learning_rate=0.1)
    assert "step_not_judged" not in {one.key for one in whole.warnings}
    budget = whole.evaluations - 1
    found = checked(learning_rate=0.1, budget=budget)
    assert found.evaluations <= budget
    assert found.verdict == "pass"
    (told,) = (one.message for one in found.warnings if one.key == "step_not_judged")
    assert "limit" in told


def slanted(w, b):
    """Of one entry float64 loses digits that extended precision keeps, and one is wrong."""
    value = np.sum(np.tanh(w) ** 2) + np.sum(np.cos(b))
    gradient = 2 * np.tanh(w) / np.cosh(w) ** 2
    gradient[3] *= 1.01
    return value, {"w": gradient, "b": -np.sin(b)}


def test_no_budget_is_exceeded() -> None:
    whole = checked(slanted).evaluations
    for budget in (20, 33, 67, 101, 155):
        assert checked(slanted, budget=budget).evaluations <= budget
    assert checked(slanted, budget=whole).evaluations == whole


def bounded(w, b):
    if not np.array_equal(b, INPUTS["b"]):
        raise ValueError("b is fixed")
    return wrong(w, b)


def test_beside_a_wrong_entry_it_is_told_where_the_loss_raises() -> None:
    found = checked(bounded)
    assert found.verdict == "fail"
    (told,) = (one.message for one in found.warnings if one.key == "domain_edge")
    assert told.startswith("At 5 entries of b the loss is not finite on either side of the point:")
    assert "ValueError: b is fixed, in " in told
    assert "(bounded)" in told
    assert "domain_edge" not in {one.key for one in checked(wrong).warnings}
