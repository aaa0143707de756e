"""A mistake on the way of one operand is told of that operand, not of the operation."""

import numpy as np
import pytest

import gradcheck
from gradcheck.diagnose.graph import graph_of
from gradcheck.diagnose.plan import trials
from gradcheck.tracing import trace

pytest.importorskip("torch", reason="needs torch: the trace differentiates with it")


def said(loss, **parameters):
    (diagnosis,) = gradcheck.check(loss, parameters).diagnoses
    return diagnosis


def test_the_phase_of_a_wave_is_the_operand_with_the_wrong_sign():
    t, rng = np.linspace(0, 3, 12), np.random.default_rng(0)
    signal = rng.normal(size=t.size)

    def loss(p):
        amplitude, rate, phase = p
        angle = rate * t + phase
        off = amplitude * np.cos(angle) - signal
        slope = -2 * off @ (amplitude * np.sin(angle) * t)
        shift = 2 * off @ (amplitude * np.sin(angle))  # not negated
        return off @ off, np.array([2 * off @ np.cos(angle), slope, shift])

    found = said(loss, p=np.array([2.0, 1.5, 0.3]))
    assert found.cause == "sign"
    assert "through the second operand of the `add`" in found.message
    assert "angle = rate * t + phase" in found.location.source


def test_one_factor_of_a_squared_length_is_not_the_regulariser():
    rng = np.random.default_rng(1)
    target = rng.normal(size=9)

    def ridge(p):
        w = p["w"]
        loss = ((w - target) ** 2).sum() + 0.15 * w @ w
        return loss, {"w": 2 * (w - target) + 0.6 * w}

    found = said(ridge, w=rng.normal(size=9))
    assert found.cause == "reg_scale"
    assert "the regulariser in the `matmul`" in found.message
    assert "counts 2 times" in found.message


def test_a_chain_of_operations_is_named_by_all_of_them():
    rng = np.random.default_rng(2)
    rest = np.full(6, 1.2) + 0.1 * rng.normal(size=6)

    def springs(x):
        length = np.sqrt(np.sum(x**2, axis=1))
        loss = np.sum((length - rest) ** 2)
        return loss, 2 * (length - rest)[:, None] * x  # not divided by the length

    found = said(springs, x=rng.normal(size=(6, 3)))
    assert "the chain of `sqrt` and `subtract` that ends in line" in found.message
    lines = [found.location.source, *(place.source for place in found.also)]
    assert any("np.sqrt" in line for line in lines)
    assert found.remedy == "Multiply by the derivatives of all operations of the chain."


def test_each_cut_knows_of_which_operations_it_takes_an_operand_alone():
    def loss(W, b):
        return np.sum(np.tanh(W * 2.0) + b)

    values = {"W": np.ones(3), "b": np.ones(3)}
    graph = graph_of(trace(loss, (), values, values))
    names = {one.index: one.name for one in graph.operations}
    edges = [
        {names[index]: operand for index, operand in trial.edges.items()}
        for trial in trials(graph)
        if trial.kind == "cut"
    ]
    # W alone goes through the product and the function, b enters the sum of both.
    assert {"multiply": None, "tanh": None, "add": 0} in edges
    assert {"add": 1} in edges
    assert {"add": None, "sum": None} in edges
