"""Gradients computed from a wrong value at hand: another result, another gradient, too few sums."""

import numpy as np
import pytest
from test_diagnose_counterfactual import explain

from gradcheck.diagnose.evidence import Evidence
from gradcheck.diagnose.graph import graph_of
from gradcheck.diagnose.probe import Probe
from gradcheck.diagnose.probes import wrong_sums
from gradcheck.tracing import trace

generator = np.random.default_rng(8)
X, M = generator.normal(size=(7, 4)), generator.uniform(0.5, 2.0, size=(7, 5))
Y = generator.normal(size=(7, 3))
B = generator.normal(size=(6, 7, 3))
SQUARE = np.random.default_rng(9).normal(size=(3, 3))
IDX = np.array([1, 0, 3, 3, 2, 3, 1])
PARAMETERS = {
    "W": generator.normal(size=(4, 5)),
    "V": generator.normal(size=(5, 3)),
    "r": generator.uniform(0.5, 2.0, size=3),
    "b": generator.normal(size=3),
    "E": generator.normal(size=(5, 4)),
}


def chosen(*names):
    return {name: PARAMETERS[name].copy() for name in names}


def gated(W, V):
    H = np.tanh(X @ W)
    D = H * M
    P = D @ V
    Q = P * Y
    return np.sum(np.sin(Q))


def gated_parts(W, V):
    H = np.tanh(X @ W)
    D = H * M
    P = D @ V
    dQ = np.cos(P * Y)
    return H, D, P, dQ, dQ * Y


def normalised(W, V):
    H = np.exp(X @ W / 4)
    T = np.sum(H, axis=1, keepdims=True)
    S = H / T
    return np.sum((S @ V) ** 2)


def normalised_parts(W, V):
    H = np.exp(X @ W / 4)
    T = np.sum(H, axis=1, keepdims=True)
    S = H / T
    dS = 2 * (S @ V) @ V.T
    dH = dS / T - np.sum(dS * H, axis=1, keepdims=True) / T**2
    return H, T, S, dS, dH


def shifted(b):
    return np.sum(np.sin(B + b))


def looked_up(E):
    return np.sum(np.sin(E[IDX]) * X)


def told(loss, names, change, **more):
    (found, *_) = explain(loss, chosen(*names), change, **more)
    return found


def test_another_result_in_place_of_a_factor():
    H, _, _, _, dP = gated_parts(**chosen("W", "V"))
    found = told(gated, ("W", "V"), lambda g: g.update(V=H.T @ dP))
    assert (found.cause, found.parameter, found.confidence) == ("stale_value", "V", "exact")
    assert "P = D @ V" in found.location.source
    assert "the result of" in found.message
    assert "np.tanh(X @ W)" in found.message


def test_another_gradient_in_place_of_that_of_the_result():
    _, D, _, dQ, _ = gated_parts(**chosen("W", "V"))
    found = told(gated, ("W", "V"), lambda g: g.update(V=D.T @ dQ))
    assert found.parameter == "V"
    assert found.cause in ("stale_value", "activation_derivative_missing", "factor_missing")
    assert found.confidence == "exact"


def test_a_multiplication_by_a_result_left_out():
    _, _, _, _, dH = normalised_parts(**chosen("W", "V"))
    found = told(normalised, ("W", "V"), lambda g: g.update(W=X.T @ dH / 4))
    assert (found.parameter, found.confidence) == ("W", "exact")
    assert found.cause in ("factor_missing", "activation_derivative_missing")
    assert "np.exp(X @ W / 4)" in found.message


@pytest.mark.parametrize(
    ("summed", "words"),
    [
        (lambda c: c.mean((0, 1)), "multiplied by 0.02380952381"),
        (lambda c: c[-1, -1], "last"),
        (lambda c: c[0, 0], "first"),
    ],
)
def test_a_broadcast_parameter_is_summed_over_all_that_it_was_broadcast_along(summed, words):
    cotangent = np.cos(B + PARAMETERS["b"])
    found = told(shifted, ("b",), lambda g: g.update(b=summed(cotangent)))
    assert found.confidence == "exact"
    assert words in found.message
    assert "np.sin(B + b)" in found.message


@pytest.mark.parametrize("name", ["idx", "labels"])
def test_a_look_up_adds_each_contribution(name):
    def lose(g):
        dE = np.zeros((5, 4))
        dE[IDX] += np.cos(PARAMETERS["E"][IDX]) * X
        g["E"] = dE

    found = told(looked_up, ("E",), lose, integer_arrays={name: IDX})
    assert (found.cause, found.parameter, found.confidence) == ("duplicate_indices", "E", "exact")
    assert f"np.add.at(dE, {name}, g)" in found.remedy
    assert "E[IDX]" in found.message


@pytest.mark.parametrize(("sign", "loss"), [(1, "b - B"), (-1, "B - b")])
def test_a_parameter_that_is_subtracted_is_summed_with_its_sign(sign, loss):
    def minuend(b):
        return np.sum(np.sin(b - SQUARE))

    def subtrahend(b):
        return np.sum(np.sin(SQUARE - b))

    chosen_loss = minuend if loss == "b - B" else subtrahend
    moved = sign * np.cos(sign * (PARAMETERS["b"] - SQUARE))
    values = chosen("b")
    traced = trace(chosen_loss, (), values, values)
    right = traced.backward()
    known = Evidence(
        ("b",), values, {"b": moved.sum(1)}, right, {"b": np.full(3, 1e-12)},
        {"b": np.ones(3, bool)}, trace=traced,
    )  # fmt: skip
    probe = Probe(traced, graph_of(traced), traced.cotangents())
    found = wrong_sums(known.facts["b"], known, probe)
    assert (found.cause, found.confidence) == ("wrong_axis", "exact")
    assert "is summed over axis 1 instead of" in found.message


def test_noise_of_the_same_size_is_none_of_these():
    def disturb(g):
        g["V"] = g["V"] * (1 + 0.3 * generator.normal(size=(5, 3)))

    assert told(gated, ("W", "V"), disturb).cause == "unexplained"
