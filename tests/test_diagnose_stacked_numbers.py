"""Runs of one expression that depend on the parameters in fewer places: numbers stand in others."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import needs_torch

import gradcheck

POINT = {"w": np.array([0.3, 0.5, -0.2])}
WRONG = np.array([1.7, -0.3, 0.2])


def first_step_of_numbers(w):
    a, b, c = w
    s = [1.0, 0.0, 0.0]
    for step in range(5):
        parts = [1.0 - 0.1 * a, 0.2, 0.1 * c]
        if step:
            parts = [s[0] - 0.1 * a * s[1], s[1] + 0.1 * b * s[0] * s[2], s[2] + 0.1 * c * s[0]]
        s = np.asarray(parts)
    return np.sum(s * s)


def more_and_more(w):
    a, b, c = w
    total = 0.0
    for parts in ([a, 1.0, 2.0], [a, b, 2.0], [a * b, b, c], [1.0, b, c * a]):
        total = total + np.sum(np.tanh(np.array(parts)))
    return total


def by_differences(loss, w):
    moved = [(loss(w + h) - loss(w - h)) / 2e-6 for h in 1e-6 * np.eye(3)]
    return np.array(moved)


@pytest.mark.parametrize("loss", [first_step_of_numbers, more_and_more])
def test_the_search_for_the_cause_comes_to_its_end(loss):
    check = gradcheck.check(lambda w: (loss(w), {"w": WRONG}), POINT)
    assert check.verdict == "fail"
    assert check.diagnoses
    assert not any("gradcheck's own" in one.message for one in check.diagnoses)


@needs_torch
def test_and_names_a_simple_one():
    def loss(w):
        return more_and_more(w), {"w": 2.0 * by_differences(more_and_more, w)}

    found = gradcheck.check(loss, POINT, rtol=1e-6).diagnoses[0]
    assert "gradcheck's own" not in found.message
    assert "multiplied by 2" in found.message
