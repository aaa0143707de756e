"""Of entries that stay open it is said what leaves them so, and how many they are."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcheck.noise import Noise
from gradcheck.oracles.estimate import smooth_estimate
from gradcheck.oracles.torch_autograd import NONE, Autograd
from gradcheck.problem import Parameter
from gradcheck.verdict.compare import FAIL, INCONCLUSIVE, PASS, Judged, relative_errors
from gradcheck.verdict.judging import ParameterFindings
from gradcheck.verdict.open_questions import open_questions
from gradcheck.verdict.verdicts import Combined

NOISE = Noise(1e-10, 5.0, np.dtype(float), 1.0)
STEP = 1e-3
"""Noise makes 4e-7 of a slope over this step."""
OPEN = np.array([INCONCLUSIVE, PASS, INCONCLUSIVE, PASS], dtype=np.int8)
ONES = np.ones(4)


def findings(
    codes: Any = OPEN,
    *,
    claimed: Any = ONES,
    value: Any = ONES,
    uncertainty: Any = 1e-8,
    allowed: Any = 1e-8,
    oracle: str = "central",
    contested: Any = False,
    **marks: Any,
) -> ParameterFindings:
    uncertainty = np.broadcast_to(uncertainty, value.shape).astype(float)
    one = replace(
        smooth_estimate(oracle, value, uncertainty),
        steps=np.full(value.shape, STEP),
        **{name: np.broadcast_to(mark, value.shape).copy() for name, mark in marks.items()},
    )
    errors = relative_errors(claimed, value)
    allowed = np.broadcast_to(allowed, value.shape)
    judged = Judged(oracle, codes, claimed, value, allowed, errors, errors, one.kinks)
    marked = np.broadcast_to(contested, value.shape)
    combined = Combined(codes, oracle, marked)
    return ParameterFindings({oracle: one}, {f"analytic~{oracle}": judged}, combined)


def asked(
    *found: ParameterFindings,
    autograd: Autograd = NONE,
    noise: Noise = NOISE,
    rounding: Any = 0.0,
    first_error: str = "",
    dtype_name: str = "",
    loss: float = 5.0,
    inside: Any = None,
    told: tuple[str, ...] = (),
) -> Any:
    names = "abcde"[: len(found)]
    claims = {
        name: one.comparisons[next(iter(one.comparisons))].analytic
        for name, one in zip(names, found, strict=True)
    }
    problem: Any = SimpleNamespace(
        parameters=[
            Parameter(name, name, np.ones(4), np.dtype(float), dtype_name) for name in names
        ],
        analytic=claims,
        analytic_rounding={name: np.broadcast_to(rounding, (4,)) for name in names},
        gradient_dtypes={},
        facts=SimpleNamespace(value=loss, spread=0.0),
        precision_inside=None if inside is None else np.dtype(inside),
        notices=[SimpleNamespace(key=key) for key in told],
        evaluator=SimpleNamespace(exhausted=False, first_error=first_error, interrupted=None),
    )
    return open_questions(problem, dict(zip(names, found, strict=True)), autograd, noise, ())


def test_where_nothing_is_open_nothing_is_said() -> None:
    assert asked(findings(np.full(4, PASS, dtype=np.int8))) == []
    assert asked(findings(np.array([PASS, FAIL, INCONCLUSIVE, PASS], dtype=np.int8))) == []


def test_three_parameters_are_spoken_of() -> None:
    assert [one.parameter for one in asked(*[findings()] * 5)] == ["a", "b", "c"]


# Edges and kinks


@pytest.mark.parametrize(
    ("raised", "end"), [("", "of the point."), ("LinAlgError", "of the point: LinAlgError.")]
)
def test_edges_of_the_domain_are_counted_where_they_are_open(raised: str, end: str) -> None:
    edges = [True, True, True, False]  # the second is known by another oracle
    (found,) = asked(findings(edges=edges, kinks=[True] * 4), first_error=raised)
    assert found.cause == "domain_edge"
    assert found.message.startswith("At 2 entries of a the loss is not finite on either side")
    assert found.message.endswith(end)


def test_kinks_are_counted_where_they_are_open() -> None:
    (found,) = asked(findings(kinks=[True, True, False, True], edges=[False, True, False, False]))
    assert found.cause == "kink"
    assert found.message.startswith("1 entries of a sit on a kink of the loss")


def test_edges_and_kinks_that_others_settled_explain_nothing() -> None:
    settled = [False, True, False, True]
    (found,) = asked(findings(kinks=settled, edges=settled))
    assert found.cause == "precision_limited"


# Slight differences


def off_by(*parts: float) -> Any:
    return ONES - np.array(parts)


def test_entries_that_are_all_a_little_off_are_said_to_be_off() -> None:
    claimed = off_by(2e-5, 0.0, 4e-5, 0.0)
    (found,) = asked(findings(claimed=claimed))
    assert "off by at most 4e-05 of its size at 2 of 4 entries" in found.message
    assert found.confidence == "likely"
    assert found.evidence["relative_error"] == pytest.approx(4e-5)


@pytest.mark.parametrize(("off", "said"), [(0.99e-3, True), (1.01e-3, False)])
def test_a_thousandth_is_no_longer_a_little(off: float, said: bool) -> None:
    (found,) = asked(findings(claimed=off_by(1e-5, 0.0, off, 0.0)))
    assert ("off by at most" in found.message) is said


def test_one_that_is_not_seen_to_be_off_leaves_them_all_hidden() -> None:
    (found,) = asked(findings(claimed=off_by(2e-5, 0.0, 0.9e-8, 0.0)))
    assert "off by at most" not in found.message


def test_what_is_off_where_another_oracle_is_finer_counts() -> None:
    one = findings(claimed=off_by(2e-5, 0.0, 3e-5, 0.0), allowed=[1e-8, 1, 1, 1])
    (found,) = asked(one)
    assert "off by at most" not in found.message
    exact = findings(claimed=off_by(2e-5, 0.0, 3e-5, 0.0), oracle="autograd")
    both = replace(one, comparisons={**one.comparisons, **exact.comparisons})
    (found,) = asked(both)
    assert "off by at most 3e-05" in found.message
    # how the two oracles compare with each other tells nothing of the claim
    other = {"autograd~central": exact.comparisons["analytic~autograd"]}
    (found,) = asked(replace(one, comparisons={**one.comparisons, **other}))
    assert "off by at most" not in found.message


def test_entries_that_are_no_numbers_are_not_a_little_off() -> None:
    claimed = np.array([1 - 2e-5, 1.0, np.nan, 1.0])
    (found,) = asked(findings(claimed=claimed))
    assert "off by at most" not in found.message


def test_kinks_are_not_a_little_off() -> None:
    one = findings(claimed=off_by(2e-5, 0.0, 3e-5, 0.0))
    judged = replace(one.comparisons["analytic~central"], kinks=np.array([True] + 3 * [False]))
    (found,) = asked(replace(one, comparisons={"analytic~central": judged}))
    assert "off by at most" not in found.message


# What hides the others


@pytest.mark.parametrize(("rounding", "hidden"), [(1.1e-6, True), (0.9e-6, False)])
def test_rounding_larger_than_the_uncertainty_hides_them(rounding: float, hidden: bool) -> None:
    # what noise of the loss suggests of it was guessed, and is no part of it
    guess = 4 * 1e-10 + 1024 * 1e-10 / 5.0
    (found,) = asked(findings(uncertainty=1e-6), rounding=rounding + guess)
    assert ("rounding may have moved" in found.message) is hidden
    if hidden:
        assert "computed in float64, by 1e-06, which hides 2 of 4 entries of a." in found.message
        assert found.confidence == "exact"
        assert found.evidence["rounding"] == pytest.approx(1.1e-6)
    assert (found.evidence["noise"], found.evidence["loss"]) == (1e-10, 5.0)


def test_its_precision_has_the_name_that_the_user_gave_it() -> None:
    (found,) = asked(findings(), rounding=1e-3, dtype_name="bfloat16")
    assert "computed in bfloat16, by" in found.message


def test_what_counts_is_usual_among_the_open_entries() -> None:
    # the median of two is between them: 2e-6; what is not open, or not finite, does not count
    one = findings(uncertainty=[1e-6, 1.0, 3e-6, 1.0])
    assert "rounding may" in asked(one, rounding=2.1e-6)[0].message
    assert "rounding may" not in asked(one, rounding=1.9e-6)[0].message
    one = findings(uncertainty=[np.inf, 1.0, 3e-6, 1.0])
    assert "rounding may" in asked(one, rounding=[3.1e-6, 0.0, 3.1e-6, 0.0])[0].message
    assert "rounding may" not in asked(one, rounding=[2.9e-6, 1.0, 2.9e-6, 1.0])[0].message


@pytest.mark.parametrize(("times", "close_by"), [(101.0, True), (99.0, False)])
def test_more_than_a_hundred_times_the_noise_is_a_kink_close_by(
    times: float, close_by: bool
) -> None:
    (found,) = asked(findings(uncertainty=times * 4e-10 / STEP))
    assert ("do not settle on a slope at 2 of 4 entries of a" in found.message) is close_by
    assert ("the loss 5 jitters by 1e-10, which hides" in found.message) is not close_by
    assert found.confidence == ("likely" if close_by else "exact")


def test_without_differences_noise_is_what_hides_them() -> None:
    (found,) = asked(findings(uncertainty=1.0, oracle="autograd"))
    assert "the loss 5 jitters by" in found.message


def test_of_steps_that_are_not_known_noise_is_what_hides_them() -> None:
    one = findings(uncertainty=1.0)
    for steps in (np.full(4, np.nan), np.array([np.nan, STEP, np.nan, STEP])):
        unknown = {"central": replace(one.estimates["central"], steps=steps)}
        (found,) = asked(replace(one, estimates=unknown))
        assert "the loss 5 jitters by" in found.message


# Half precision inside


@pytest.mark.parametrize(("inside", "said"), [(None, True), ("f4", True), ("f2", False)])
def test_steps_of_half_precision_look_like_kinks_and_are_none(inside: Any, said: bool) -> None:
    (found,) = asked(findings(kinks=[True, False, False, False]), inside=inside)
    assert (found.cause == "kink") is said
    (found,) = asked(findings(uncertainty=1.0), inside=inside)
    assert ("a kink or an oscillation lies close by" in found.message) is said
    held = "the loss 5, kept in half precision on its way, jitters by 1e-10" in found.message
    assert held is not said
    (found,) = asked(findings(), inside=inside)
    assert ("kept in half precision" in found.message) is not said


# Gradients that differ from call to call


@pytest.mark.parametrize("told", [("nondeterministic",), ("other", "nondeterministic"), ("other",)])
def test_a_gradient_that_is_another_each_time_hides_them_itself(told: tuple[str, ...]) -> None:
    (found,) = asked(findings(uncertainty=1e-6), rounding=[1e-5, 1.0, 3e-5, 1.0], told=told)
    assert (found.cause, found.confidence) == ("precision_limited", "exact")
    if "nondeterministic" in told:
        assert found.message.startswith("The gradient of a differs from call to call")
        assert "its mean is known to 2e-05, which hides 2 of 4 entries of a." in found.message
        assert found.evidence == {"error": pytest.approx(2e-5, rel=1e-2)}
    else:
        assert "rounding may have moved" in found.message
    # where the loss hides more, that is said
    (found,) = asked(findings(uncertainty=1e-6), rounding=0.5e-6, told=told)
    assert "from call to call" not in found.message


# Twins


def twin(loss: float) -> Autograd:
    return Autograd({}, "twin", loss)


def test_a_twin_that_contradicts_a_right_gradient_is_another_loss() -> None:
    found = asked(
        findings(contested=True), findings(), findings(contested=True), autograd=twin(6.0)
    )
    (one,) = found
    assert (one.cause, one.parameter) == ("wrong_twin", "")
    assert "gives another gradient for a, c: the twin's loss is 6, the target's 5." in one.message
    assert one.evidence == {"loss": 5.0, "twin_loss": 6.0}
    (one,) = asked(findings(contested=True), autograd=twin(5.0))
    assert one.parameter == "a"
    assert "the two losses agree at this point, but not around it" in one.message


def test_what_a_trace_contests_is_no_twins() -> None:
    trace = Autograd({}, "trace", 5.0)
    (found,) = asked(findings(contested=True), autograd=trace)
    assert found.cause == "precision_limited"
    (found,) = asked(findings(), autograd=twin(6.0))
    assert found.cause == "precision_limited"


def contradicted(at: int) -> ParameterFindings:
    """Open at the first entry, which is contested; differences contradict the claim at one."""
    one = findings(contested=[True, False, False, False])
    codes = np.where(np.arange(4) == at, FAIL, PASS).astype(np.int8)
    judged = replace(one.comparisons["analytic~central"], codes=codes)
    return replace(one, comparisons={"analytic~central": judged})


def test_a_twin_that_agrees_with_a_gradient_that_differences_contradict_has_its_mistake() -> None:
    (found,) = asked(contradicted(0), autograd=twin(5.0))
    assert "contradict the analytic gradient of a, and PyTorch autograd" in found.message
    (found,) = asked(contradicted(1), autograd=twin(5.0))
    assert "gives another gradient for a" in found.message


def test_in_which_order_comparisons_come_does_not_count() -> None:
    one = findings(claimed=off_by(2e-5, 0.0, 3e-5, 0.0))
    first = {"autograd~central": one.comparisons["analytic~central"], **one.comparisons}
    (found,) = asked(replace(one, comparisons=first))
    assert "off by at most 3e-05" in found.message


# Random losses


@pytest.mark.parametrize(("kind", "whose"), [("torch", "torch's"), ("numpy", "NumPy's")])
@pytest.mark.parametrize(
    ("calls", "mean", "more"),
    [
        (1, "The loss 5 is random", 100),
        (2, "the mean of 2 calls each time, is", 100),
        (11, "the mean of 11 calls", 110),
    ],
)
def test_of_a_random_loss_it_is_said_what_would_decide(
    kind: str, whose: str, calls: int, mean: str, more: int
) -> None:
    problem: Any = SimpleNamespace(
        parameters=[],
        facts=SimpleNamespace(value=5.0, spread=0.25),
        kind=kind,
        evaluator=SimpleNamespace(exhausted=False, calls=calls),
    )
    (found,) = open_questions(problem, {"a": findings()}, NONE, NOISE, ())
    assert (found.cause, found.confidence) == ("precision_limited", "exact")
    assert mean in found.message
    assert "spreads by 0.2, which hides the gradient of 2 of 4 entries of a." in found.message
    assert f"draw from {whose} global one" in found.remedy
    assert f"--repeats {more})" in found.remedy
    assert found.evidence == {"noise": 0.25, "loss": 5.0}
