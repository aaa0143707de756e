"""Entries that are left to the first pass once enough others are wrong: their error bars hold."""

import numpy as np
import pytest

import gradcheck


def normalised(x, gamma, R, n):
    spread = x.var(0)
    inverse = 1 / np.sqrt(spread + 1e-5)
    unit = (x - x.mean(0)) * inverse
    d = R * gamma
    dx = inverse * (d - d.mean(0) - unit * (d * unit).sum(0) / n)
    return np.sum(gamma * R * unit), {"x": dx}


def inputs():
    draw = np.random.default_rng(14)
    return {
        "x": 1e-3 * draw.normal(size=(16, 6)) + 5,
        "gamma": draw.normal(size=6),
        "R": draw.normal(size=(16, 6)),
    }


def test_steps_that_are_too_long_for_some_entries_do_not_contradict_a_right_trace():
    pytest.importorskip("torch")
    check = gradcheck.check(normalised, {**inputs(), "n": 15.0}, "x")
    assert check.verdict == "fail"
    assert not check.warnings
    assert check.diagnoses[0].cause == "scale"
    assert "16/15" in check.diagnoses[0].message


def test_their_values_lie_within_the_uncertainty():
    start = inputs()
    truth = normalised(**start, n=16.0)[1]["x"]
    check = gradcheck.check(normalised, {**start, "n": 15.0}, "x", autograd=False)
    assert check.verdict == "fail"
    entries = check.parameters["x"].comparisons["analytic~central"].worst
    assert entries
    for entry in entries:
        assert abs(entry.reference - truth[tuple(entry.index)]) <= entry.uncertainty
