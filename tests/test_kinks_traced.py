"""Kinks in code that is traced: the operations' own choices are known, so that others are wrong."""

from __future__ import annotations

import numpy as np
import pytest

import gradcheck
from gradcheck import Verdict

AT = np.array([0.0, 0.7, -1.3])


def leaky(x, at_zero=0.0):
    """A leaky rectifier from two plain ones; ``at_zero`` is the claimed slope there."""
    slope = np.where(x > 0, 1.0, np.where(x < 0, 0.1, at_zero))
    return np.sum(np.maximum(x, 0) - 0.1 * np.maximum(-x, 0)), {"x": slope}


@pytest.mark.parametrize("slope", [0.0, 0.1, 0.5, 1.0])
def test_every_choice_of_the_operations_and_all_between_are_right(slope):
    result = gradcheck.check(leaky, {"x": AT.copy(), "at_zero": slope}, "x")
    assert result.verdict is Verdict.PASS


@pytest.mark.parametrize("slope", [1.2, -0.2, 3.0])
def test_outside_all_choices_a_slope_is_wrong(slope):
    result = gradcheck.check(leaky, {"x": AT.copy(), "at_zero": slope}, "x")
    assert result.verdict is Verdict.FAIL
    (worst, *_) = result.parameters["x"].comparisons["analytic~central"].worst
    assert worst.index == (0,)


def branched(x, at_zero=1.0):
    """A condition decides the slope: no operation sits on a kink."""
    slope = np.where(x > 0, 2.0, np.where(x < 0, 1.0, at_zero))
    return np.sum(np.where(x > 0, 2 * x, x)), {"x": slope}


@pytest.mark.parametrize("slope", [1.0, 2.0])
def test_at_a_condition_both_sides_are_right(slope):
    result = gradcheck.check(branched, {"x": AT.copy(), "at_zero": slope}, "x")
    assert result.verdict is Verdict.PASS


@pytest.mark.parametrize("slope", [2.5, 0.5])
def test_at_a_condition_other_slopes_do_not_pass(slope):
    result = gradcheck.check(branched, {"x": AT.copy(), "at_zero": slope}, "x")
    assert result.verdict is not Verdict.PASS


@pytest.mark.parametrize("distance", [1e-13, 1e-11])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_kink_too_near_for_differences_is_decided_by_the_trace(distance, side):
    def bent(x, factor=1.0):
        z = x - 1.0
        return np.sum(np.where(z > 0, 3 * z, z)), {"x": factor * np.where(z > 0, 3.0, 1.0)}

    x = np.array([1.0 + side * distance, 2.0, 0.5])
    assert gradcheck.check(bent, {"x": x}, "x").verdict is Verdict.PASS
    wrong = gradcheck.check(bent, {"x": x, "factor": 1.5}, "x")
    assert wrong.verdict is Verdict.FAIL
