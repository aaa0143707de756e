"""Losses in extended precision: where float64 leaves an entry coarse, and only where proved."""

import numpy as np
import pytest

import gradcheck
from gradcheck import Verdict
from gradcheck.calling.quiet import quiet
from gradcheck.noise import loss_noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.oracles.estimate import smooth_estimate
from gradcheck.oracles.extended import Extended, _merged, in_extended_precision
from gradcheck.variation import variation

LONGER = np.finfo(np.longdouble).eps < 0.1 * np.finfo(np.float64).eps
needs_digits = pytest.mark.skipif(not LONGER, reason="numpy.longdouble is float64 here")


def crowded(seed=0, *, factor=1.0):
    """A narrow ReLU network whose kinks lie close to the point: steps have to be short."""
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(40, 3))
    W = 1e-4 * generator.normal(size=(3, 6))
    v = 1e-4 * generator.normal(size=6)

    def loss(W, v):
        Z = X @ W
        out = np.maximum(Z, 0) @ v
        value = np.mean(np.log1p(np.exp(out)))
        share = 1 / (1 + np.exp(-out)) / len(X)
        dW = X.T @ (np.outer(share, v) * (Z > 0))
        dW[0, 0] *= factor
        return value, {"W": dW, "v": np.maximum(Z, 0).T @ share}

    return loss, {"W": W, "v": v}


def extended_of(loss, inputs):
    problem = numpy_problem(loss, inputs)
    generator = np.random.default_rng(0)
    with quiet():
        noise = loss_noise(problem, generator)
        variation(problem, generator)
        return problem, noise, in_extended_precision(problem, noise, generator)


@needs_digits
@pytest.mark.parametrize("seed", range(8))
def test_small_entries_beside_kinks_are_known_better(seed, monkeypatch):
    found = gradcheck.check(*crowded(seed), autograd=False)
    assert found.verdict is Verdict.PASS
    monkeypatch.setattr("gradcheck.numpy_target.problem.extended_closure", lambda *_: None)
    without = gradcheck.check(*crowded(seed), autograd=False)
    for name in ("W", "v"):
        one, other = (x.parameters[name].comparisons["analytic~central"] for x in (found, without))
        assert one.resolution < other.resolution


@pytest.mark.parametrize("seed", range(30))
def test_kinks_about_the_point_are_no_false_alarm_in_float64(seed, monkeypatch):
    # The extrapolation from steps beyond a kink was believed: 6 of 60 failed.
    monkeypatch.setattr("gradcheck.numpy_target.problem.extended_closure", lambda *_: None)
    assert gradcheck.check(*crowded(seed), autograd=False).verdict is not Verdict.FAIL


@needs_digits
@pytest.mark.parametrize("seed", range(4))
def test_an_error_there_of_one_entry_fails(seed):
    found = gradcheck.check(*crowded(seed, factor=1 + 1e-4), autograd=False)
    assert found.verdict is Verdict.FAIL
    assert [one.name for one in found.parameter_results if one.verdict is Verdict.FAIL] == ["W"]


@needs_digits
def test_its_noise_is_that_of_the_longer_numbers():
    _, noise, extended = extended_of(*crowded())
    assert extended is not None
    assert extended.noise.level < 0.01 * noise.level


def through_a_buffer(W):
    out = np.zeros(W.shape)
    out[:] = np.sin(W)
    return np.sum(np.exp(out)), np.cos(W) * np.exp(np.sin(W))


def through_a_float(W):
    half = float(np.sum(np.exp(W[:2])))
    return half + np.sum(np.exp(W[2:])), np.exp(W)


def through_linear_algebra(W):
    A = W.reshape(2, 2) @ W.reshape(2, 2).T + 4 * np.eye(2)
    inverse = np.linalg.inv(A)
    return np.linalg.slogdet(A)[1], (2 * inverse @ W.reshape(2, 2)).reshape(-1)


def in_single_precision(W):
    return np.sum(np.sin(W.astype(np.float32))), np.cos(W)


@pytest.mark.parametrize(
    "loss", [through_a_buffer, through_a_float, through_linear_algebra, in_single_precision]
)
def test_a_loss_that_drops_the_further_digits_is_left_to_float64(loss):
    W = np.random.default_rng(1).normal(size=4)
    assert extended_of(loss, W)[2] is None
    assert gradcheck.check(loss, W, autograd=False).verdict is not Verdict.FAIL


def test_a_loss_of_another_value_there_is_left_to_float64():
    def loss(W):
        extra = 0.0 if W.dtype == np.float64 else 1e-3
        return np.sum(np.sin(W)) + extra, np.cos(W)

    assert extended_of(loss, np.ones(3))[2] is None


@needs_digits
def test_the_parameters_are_put_back():
    loss, inputs = crowded()
    kept = {name: value.tobytes() for name, value in inputs.items()}
    problem, _, extended = extended_of(loss, inputs)
    before = [value.tobytes() for value in problem.evaluator.values]
    extended.problem.evaluator.along([np.ones_like(v) for v in problem.evaluator.values], (0.1,))
    assert [value.tobytes() for value in problem.evaluator.values] == before
    assert {name: value.tobytes() for name, value in inputs.items()} == kept


def estimate(*values, uncertainty):
    return smooth_estimate("central", np.array(values), np.full(len(values), uncertainty))


def test_the_more_certain_value_of_each_entry_counts():
    coarse = estimate(1.0, 2.0, uncertainty=1e-3)
    merged = _merged(coarse, estimate(1.0001, np.nan, uncertainty=1e-9))
    assert merged.value.tolist() == [1.0001, 2.0]
    assert merged.uncertainty.tolist() == [1e-9, 1e-3]


def test_values_that_contradict_each_other_leave_what_was_known():
    coarse = estimate(1.0, 2.0, uncertainty=1e-3)
    assert _merged(coarse, estimate(1.1, 2.0, uncertainty=1e-9)) is coarse


@needs_digits
@pytest.mark.parametrize("seed", range(4))
def test_every_entry_of_a_large_smooth_parameter_is_resolved_to_a_millionth(seed):
    # The smallest entries of such a parameter were left at 1e-6 to 1e-5.
    generator = np.random.default_rng(seed)
    X, y = generator.normal(size=(100, 1000)), generator.choice([-1.0, 1.0], 100)

    def logistic(w):
        margin = y * (X @ w)
        return np.mean(np.logaddexp(0, -margin)), X.T @ (-y / (1 + np.exp(margin))) / 100

    found = gradcheck.check(logistic, 0.1 * generator.normal(size=1000), autograd=False)
    assert found.verdict is Verdict.PASS
    assert found.parameters["w"].resolution <= 1e-6
    assert found.evaluations <= 2.2 * 1000


@needs_digits
@pytest.mark.parametrize("left", range(9))
def test_without_evaluations_to_prove_it_nothing_is_claimed(left):
    # With fewer than a table takes, the noise was taken for that of the dtype, unmeasured.
    W = np.random.default_rng(1).normal(size=4)
    problem = numpy_problem(through_a_float, W)
    generator = np.random.default_rng(0)
    with quiet():
        noise = loss_noise(problem, generator)
        problem.evaluator.budget = problem.evaluator.count + left
        assert in_extended_precision(problem, noise, generator) is None


def test_a_clock_that_runs_a_little_otherwise_changes_nothing():
    """How many entries are affordable goes by the power of ten of the time of a loss."""

    def affordable(seconds):
        return Extended(problem=None, noise=None, seconds=seconds).affordable

    for seconds in (1e-5, 1e-3, 1e-2, 0.1, 1.0):
        assert affordable(0.5 * seconds) == affordable(seconds) == affordable(2 * seconds)
        assert 0.2 < affordable(seconds) * 8 * seconds / 20 <= 1
    assert affordable(100.0) == 0
    assert affordable(0.0) == affordable(1e-6)
