"""What a check costs, in evaluations of the loss."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import needs_torch

import gradcheck
from gradcheck import Verdict


def draw(*shape, size=1.0):
    return size * np.random.default_rng(sum(shape)).normal(size=shape)


def network(W1, b1, W2, b2, X, y, factor=1.0, shift=0.0):
    n = len(X)
    h = np.tanh(X @ W1 + b1)
    s = h @ W2 + b2
    s = s - s.max(axis=1, keepdims=True)
    p = np.exp(s)
    p /= p.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(n), y]).mean()
    d = p.copy()
    d[np.arange(n), y] -= 1
    d /= n
    dh = d @ W2.T * (1 - h * h)
    grads = {"W1": X.T @ dh, "b1": dh.sum(axis=0), "W2": h.T @ d, "b2": d.sum(axis=0)}
    return loss, {key: factor * value + shift for key, value in grads.items()}


def network_inputs(n_in, n_hidden, n_out):
    return {
        "W1": draw(n_in, n_hidden, size=0.3),
        "b1": draw(n_hidden, size=0.1),
        "W2": draw(n_hidden, n_out, size=0.3),
        "b2": draw(n_out, size=0.1),
        "X": draw(20, n_in),
        "y": np.arange(20) % n_out,
    }


def many(factor=1.0, **parameters):
    together = np.concatenate(list(parameters.values()))
    parts = np.split(factor * np.cos(together), len(parameters))
    return float(np.sum(np.sin(together))), dict(zip(parameters, parts, strict=True))


def regression(w, X, y, factor=1.0):
    r = X @ w - y
    return 0.5 * r @ r / len(y), factor * X.T @ r / len(y)


def logistic(w, X, y, factor=1.0):
    z = X @ w
    p = 1 / (1 + np.exp(-z))
    return np.mean(np.logaddexp(0, z) - y * z), factor * X.T @ (p - y) / len(y)


def gaussian(m, s, x, factor=1.0):
    z = (x - m) * np.exp(-s)
    return np.mean(0.5 * z * z + s), {
        "m": -factor * z * np.exp(-s) / z.size,
        "s": factor * (1 - z * z) / z.size,
    }


PARAMETERS = ["W1", "b1", "W2", "b2"]
SMOOTH = {
    "network of 254": (network, network_inputs(20, 10, 4), PARAMETERS),
    "network of 2204": (network, network_inputs(50, 40, 4), PARAMETERS),
    "40 parameters": (many, {f"p{i}": draw(10, i + 1)[:, 0] for i in range(40)}, None),
    "regression": (regression, {"w": draw(300), "X": draw(50, 300), "y": draw(50)}, "w"),
    "logistic": (
        logistic,
        {"w": draw(200, size=0.1), "X": draw(60, 200), "y": np.arange(60) % 2},
        "w",
    ),
    "Gaussian": (
        gaussian,
        {"m": draw(20, 10), "s": 0.1 * draw(20, 10), "x": draw(20, 11)[:, :10]},
        ["m", "s"],
    ),
}


def size_of(result):
    return sum(one.entries for one in result.parameter_results)


@pytest.mark.parametrize(("target", "inputs", "wrt"), SMOOTH.values(), ids=SMOOTH)
def test_a_right_smooth_gradient_takes_2_2_evaluations_an_entry(target, inputs, wrt):
    result = gradcheck.check(target, inputs, wrt, autograd=False)
    assert result.verdict is Verdict.PASS
    assert size_of(result) >= 200
    assert result.evaluations <= 2.2 * size_of(result)
    assert max(one.resolution for one in result.parameter_results) <= 1e-5


WHOLLY_WRONG = {
    "network": (network, network_inputs(50, 40, 4), PARAMETERS),
    "40 parameters": (many, {f"p{i:02}": draw(40, i + 1)[:, 0] for i in range(40)}, None),
    "one parameter": (many, {"p": draw(1500)}, "p"),
}


@pytest.mark.parametrize("factor", [1.5, 1.0003, 0.0, -1.0, 1e6])
@pytest.mark.parametrize(("target", "inputs", "wrt"), WHOLLY_WRONG.values(), ids=WHOLLY_WRONG)
def test_a_wholly_wrong_gradient_costs_little_more_than_a_right_one(target, inputs, wrt, factor):
    if wrt is None:
        wrt = list(inputs)
    result = gradcheck.check(target, inputs | {"factor": factor}, wrt, autograd=False)
    assert {one.verdict for one in result.parameter_results} == {Verdict.FAIL}
    assert size_of(result) > 1000
    assert result.evaluations <= 3 * size_of(result) + 2000


def test_a_wholly_wrong_gradient_of_kinks_costs_little_more_too():
    x = draw(40, 40)
    result = gradcheck.check(lambda x: (np.sum(np.abs(x)), np.sign(x) * 1.3), x, autograd=False)
    assert result.verdict is Verdict.FAIL
    assert result.evaluations <= 3 * x.size + 2000


def test_the_number_of_evaluations_is_what_was_evaluated():
    calls = 0

    def loss(x):
        nonlocal calls
        calls += 1
        return np.sum(np.sin(x)), np.cos(x)

    result = gradcheck.check(loss, draw(300), autograd=False)
    assert abs(result.evaluations - calls) <= 3


@pytest.mark.parametrize("budget", [5, 40, 100, 300])
def test_a_budget_is_kept_and_what_it_leaves_out_is_not_passed(budget):
    calls = 0

    def loss(x):
        nonlocal calls
        calls += 1
        return np.sum(np.sin(x)), np.cos(x)

    result = gradcheck.check(loss, draw(300), autograd=False, budget=budget)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.diagnoses[0].cause == "not_checked"
    # The first calls, which find out what the target is, are always made.
    assert calls <= max(budget, 20)


def test_a_budget_that_suffices_changes_nothing():
    result = gradcheck.check(
        lambda x: (np.sum(np.sin(x)), np.cos(x)), draw(100), autograd=False, budget=1000
    )
    assert result.verdict is Verdict.PASS


def quartic(w):
    return np.sum(w**4), 4 * w**3


def by_ten_thousand(wrong=False, **options):
    w = np.linspace(0.5, 1.5, 10_000)

    def target(w):
        loss, gradient = quartic(w)
        if wrong:
            gradient[17] *= 1.5
        return loss, gradient

    result = gradcheck.check(target, {"w": w}, **options)
    return result.verdict, len(result.parameter_results[0].taylor)


@needs_torch
def test_two_directions_confirm_what_autograd_confirms_entry_by_entry():
    assert by_ten_thousand() == ("pass", 2)


def test_four_directions_speak_where_entries_are_left_out():
    assert by_ten_thousand(oracles=("central",), entries=100) == ("pass", 4)


def test_two_directions_are_shown_of_what_an_entry_proves_wrong():
    assert by_ten_thousand(wrong=True) == ("fail", 2)
