"""Mistakes in what one expression hands on: axes, exponents, slopes, factors, cumulative sums.

Every target takes the name of a mistake; with ``""`` its gradient is right and gets no cause.
"""

from pathlib import Path

import numpy as np
import pytest
from conftest import needs_torch

import gradcheck
from gradcheck.diagnose.evidence import Evidence
from gradcheck.diagnose.flow import Flow
from gradcheck.diagnose.graph import graph_of
from gradcheck.diagnose.plan import trials
from gradcheck.diagnose.sketch import make_sketch
from gradcheck.diagnose.space import make_space
from gradcheck.tracing import trace

HERE = Path(__file__)
rng = np.random.default_rng(29)


def line_of(text):
    """The number of the line of this file that starts with ``text``."""
    lines = HERE.read_text().splitlines()
    return next(k for k, line in enumerate(lines, 1) if line.strip().startswith(text))


def diagnoses(target, inputs, mistake):
    return gradcheck.check(lambda **given: target(**given, mistake=mistake), inputs).diagnoses


def ratings(P, Q, u, v, R, *, mistake):
    E = u[:, None] + v[None, :] + P @ Q.T - R
    axis = 0 if mistake == "axis" else 1
    gu = E.sum(axis=axis)
    if mistake == "mean":
        gu = E.mean(axis=1)
    return 0.5 * np.sum(E**2), {"P": E @ Q, "Q": E.T @ P, "u": gu, "v": E.sum(axis=0)}


def shares(Z, C, *, mistake):
    e = np.exp(Z)
    p = e / e.sum(axis=1, keepdims=True)
    inner = np.sum(C * p, axis=0 if mistake == "axis" else 1, keepdims=True)
    g = p * (C - inner)
    if mistake == "diagonal":
        g = p * (1 - p) * C
    return np.sum(C * p), {"Z": g}


def arm(q, c, *, mistake):
    phi = np.cumsum(q)
    g = -np.sin(phi) * c
    full = np.cumsum(g[::-1])[::-1]
    return np.sum(np.cos(phi) * c), {"q": {"own": g, "forwards": np.cumsum(g)}.get(mistake, full)}


def scaled(m, s, X, *, mistake):
    d = X - m
    loss = np.sum(d**2 / s**2)
    over = s if mistake == "exponent" else s**2
    gs = -2 * np.sum(d**2, axis=0) / s**3
    return loss, {"m": -2 * np.sum(d / over, axis=0), "s": gs}


def distance(W, X, T, *, mistake):
    D = X @ W - T
    r = np.sqrt(np.sum(D**2, axis=1))
    g = D if mistake == "root" else D / r[:, None]
    return np.sum(r), {"W": X.T @ g}


def rest(q, c, *, mistake):
    loss = np.sum((q - c) ** 2) + np.sum(np.sin(q))
    return loss, {"q": 2 * (q if mistake == "rest" else q - c) + np.cos(q)}


def branches(W, X, V, *, mistake):
    a = np.maximum(X @ W, 0)
    b = np.maximum(V @ W, 0)
    masks = (a > 0), ((a if mistake == "mask" else b) > 0)
    loss = np.sum(np.exp(a) * b)
    return loss, {"W": X.T @ (np.exp(a) * b * masks[0]) + V.T @ (np.exp(a) * masks[1])}


def kernel(a, K, t, *, mistake):
    r = K @ a - t
    return 0.5 * np.sum(r**2), {"a": (K if mistake == "transpose" else K.T) @ r}


def pairs(W, C, i, j, *, mistake):
    inner = np.sum(W[i] * C[j], axis=1)
    gW, gC = np.zeros_like(W), np.zeros_like(C)
    np.add.at(gW, i, np.cos(inner)[:, None] * C[i if mistake == "index" else j])
    np.add.at(gC, j, np.cos(inner)[:, None] * W[i])
    return np.sum(np.sin(inner)), {"W": gW, "C": gC}


def maxout(W, V, X, *, mistake):
    u, v = X @ W, V @ W
    m = np.maximum(u, v)
    gu, gv = np.cos(m) * (u > v), np.cos(m) * (v >= u)
    if mistake == "other mask":
        gv = gu
    if mistake == "no mask":
        gu, gv = np.cos(m), np.zeros_like(v)
    return np.sum(np.sin(m)), {"W": X.T @ gu + V.T @ gv}


S = rng.normal(size=(5, 5))
CASES = {
    ratings: {
        "inputs": {
            "P": rng.normal(size=(5, 2)), "Q": rng.normal(size=(5, 2)), "u": rng.normal(size=5),
            "v": rng.normal(size=5), "R": S,
        },
        "line": "E = u[:, None]",
        "causes": {"axis": "wrong_axis", "mean": "batch_divided_twice"},
    },
    shares: {
        "inputs": {"Z": S + 1.0, "C": rng.normal(size=(5, 5))},
        "line": "p = e / e.sum",
        "causes": {"axis": "wrong_axis", "diagonal": "term_missing"},
    },
    arm: {
        "inputs": {"q": rng.normal(size=6), "c": rng.normal(size=6)},
        "line": "phi = np.cumsum(q)",
        "causes": {"own": "term_missing", "forwards": "wrong_axis"},
    },
    scaled: {
        "inputs": {
            "m": rng.normal(size=3), "s": rng.uniform(0.5, 2, 3), "X": rng.normal(size=(7, 3)),
        },
        "line": "loss = np.sum(d**2 / s**2)",
        "causes": {"exponent": "factor_missing"},
    },
    distance: {
        "inputs": {
            "W": rng.normal(size=(3, 2)), "X": rng.normal(size=(6, 3)),
            "T": rng.normal(size=(6, 2)),
        },
        "line": "r = np.sqrt",
        "causes": {"root": "activation_derivative_wrong"},
    },
    rest: {
        "inputs": {"q": rng.normal(size=5), "c": rng.normal(size=5)},
        "line": "loss = np.sum((q - c) ** 2)",
        "causes": {"rest": "term_missing"},
    },
    branches: {
        "inputs": {
            "W": rng.normal(size=(3, 4)), "X": rng.normal(size=(6, 3)),
            "V": rng.normal(size=(6, 3)),
        },
        "line": "b = np.maximum(V @ W, 0)",
        "causes": {"mask": "stale_value"},
    },
    kernel: {
        "inputs": {"a": rng.normal(size=5), "K": S, "t": rng.normal(size=5)},
        "line": "r = K @ a - t",
        "causes": {"transpose": "transpose"},
    },
    pairs: {
        "inputs": {
            "W": rng.normal(size=(4, 3)), "C": rng.normal(size=(4, 3)),
            "i": np.array([0, 1, 2, 3, 0, 2]), "j": np.array([1, 1, 3, 0, 2, 2]),
        },
        "line": "inner = np.sum(W[i] * C[j]",
        "causes": {"index": "stale_value"},
    },
    maxout: {
        "inputs": {
            "W": rng.normal(size=(3, 4)), "V": rng.normal(size=(6, 3)),
            "X": rng.normal(size=(6, 3)),
        },
        "line": "m = np.maximum(u, v)",
        "causes": {"other mask": "stale_value", "no mask": "activation_mask_missing"},
    },
}  # fmt: skip


@needs_torch
@pytest.mark.parametrize(
    ("target", "mistake", "cause"),
    [(t, m, c) for t, case in CASES.items() for m, c in case["causes"].items()],
)
def test_a_mistake_in_one_expression_gets_its_cause_and_line(target, mistake, cause):
    case = CASES[target]
    found = diagnoses(target, case["inputs"], mistake)[0]
    assert (found.cause, found.confidence) == (cause, "exact")
    assert line_of(case["line"]) == found.location.line


@pytest.mark.parametrize("target", CASES)
def test_the_right_gradient_gets_no_cause(target):
    assert diagnoses(target, CASES[target]["inputs"], "") == ()


@pytest.mark.parametrize("target", CASES)
def test_a_mistake_that_is_only_almost_that_one_is_not_explained(target):
    case = CASES[target]
    mistake = next(iter(case["causes"]))

    def nearly(**given):
        loss, gradients = target(**given, mistake=mistake)
        name = next(n for n, g in gradients.items() if not np.allclose(g, right[n]))
        tilt = 1 + 0.02 * np.sin(1.0 + np.arange(gradients[name].size))
        return loss, gradients | {name: gradients[name] * tilt.reshape(gradients[name].shape)}

    _, right = target(**case["inputs"], mistake="")
    found = gradcheck.check(nearly, case["inputs"]).diagnoses
    assert all(one.cause == "unexplained" or one.confidence != "exact" for one in found)


def halves(x):
    return 1.0 / (1.0 + np.exp(-x))


@needs_torch
def test_only_the_concerned_call_of_a_helper_is_named():
    def target(W, V, X, Y, *, wrong=False):
        a = halves(X @ W)
        b = halves(Y @ V)
        slope = (1 - b) if wrong else b * (1 - b)
        return np.sum(a * b), {"W": X.T @ (b * a * (1 - a)), "V": Y.T @ (a * slope)}

    inputs = {"W": S[:, :3], "V": S[:, 2:], "X": S[:4] + 1, "Y": S[1:] - 1}
    assert gradcheck.check(lambda **g: target(**g), inputs).diagnoses == ()
    (found,) = gradcheck.check(lambda **g: target(**g, wrong=True), inputs).diagnoses
    assert found.cause == "activation_derivative_wrong"
    assert line_of("b = halves(Y @ V)") == found.location.line


def network(W, V, X, T):
    H = np.tanh(X @ W)
    for _ in range(3):
        H = np.sin(H @ V) * H
    return np.sum((H - T) ** 2)


def test_what_an_alteration_changes_is_foreseen_without_a_backward_pass():
    parameters = {"W": S[:, :4] * 0.5, "V": S[:4, :4] * 0.5}
    traced = trace(network, (*parameters.values(), S[:3], S[:3, :4]), {}, parameters)
    true = traced.backward()
    wrong = {name: g + 1.0 for name, g in true.items()}
    evidence = Evidence(
        names=("W", "V"),
        values=parameters,
        analytic=wrong,
        reference=true,
        uncertainty={name: np.full(g.shape, 1e-12) for name, g in true.items()},
        failing={name: np.ones(g.shape, bool) for name, g in true.items()},
        trace=traced,
    )
    space = make_space(evidence, true)
    graph = graph_of(traced)
    sketch = make_sketch(Flow(traced, graph), space, {})
    foreseen, kinds = 0, set()
    for trial in trials(graph):
        components = sketch.predicted(trial)
        if components is None:
            continue
        change = space.vector(traced.backward(trial.alterations)) - space.vector(true)
        np.testing.assert_allclose(components, sketch.of(change), rtol=1e-9, atol=1e-10)
        foreseen += 1
        kinds.add(trial.kind)
    assert foreseen > 20
    assert kinds == {"cut", "identity", "twice"}


def test_the_tangents_are_the_transpose_of_the_pull():
    parameters = {"W": S[:, :4] * 0.5, "V": S[:4, :4] * 0.5}
    traced = trace(network, (*parameters.values(), S[:3], S[:3, :4]), {}, parameters)
    direction = {name: rng.normal(size=p.shape) for name, p in parameters.items()}
    (moved,) = traced.tangents([direction])
    cotangents = {i: rng.normal(size=t.shape) for i, t in moved.items()}
    pulled = traced.pull(cotangents)
    forward = sum(float(np.sum(cotangents[i] * moved[i])) for i in moved)
    backward = sum(float(np.sum(pulled[name] * direction[name])) for name in direction)
    assert forward == pytest.approx(backward, rel=1e-12)


@needs_torch
@pytest.mark.parametrize("wrong", [False, True])
def test_a_mask_that_only_shows_where_a_maximum_is_shared(wrong):
    def target(W, X, T):
        z = X @ W
        a = np.maximum(z, 0)
        windows = a.reshape(len(X), 2, 2)
        p = windows.max(axis=2)
        taken = windows == p[:, :, None]
        da = (np.where(taken, 1.0, 0.0) * (p - T)[:, :, None]).reshape(a.shape)
        return 0.5 * np.sum((p - T) ** 2), {"W": X.T @ (da if wrong else da * (z > 0))}

    draw = np.random.default_rng(4)
    inputs = {"W": draw.normal(size=(3, 4)), "X": draw.normal(size=(9, 3))}
    found = gradcheck.check(target, inputs | {"T": draw.normal(size=(9, 2))}, ["W"]).diagnoses
    if not wrong:
        assert found == ()
        return
    assert found[0].cause == "activation_mask_missing"
    own = [
        k
        for k, line in enumerate(HERE.read_text().splitlines(), 1)
        if "a = np.maximum(z, 0)" in line
    ]
    assert found[0].location.line == own[0]
