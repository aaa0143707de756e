"""Zeros of a derivative by autograd: exact ones, and those that are another number a rounding away.

A gradient that comes of no derivative, as from a cache found by the bytes of the parameters, is 0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradcheck.noise import Noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.oracles import torch_autograd as module
from gradcheck.oracles.torch_autograd import LOSS_TOLERANCE, Autograd, autograd_of_twin
from gradcheck.verdict.rounding import cancellation_floor

VALUE = np.array([0.0, 0.0, 3.0, 5.0])
NOISE = Noise(1e-12, 1.0, np.dtype(float), 1.0)


def flat_of(monkeypatch: Any, errors: Any) -> Any:
    """Which entries are taken for flat, with these bounds measured of the gradient's rounding."""
    problem = numpy_problem(lambda x: (1.0, VALUE), np.ones(4))
    problem = replace(problem, twin_gradient=lambda: (1.0, {"x": VALUE}))
    monkeypatch.setattr(module, "rounding_error", lambda *_, **__: {"x": errors})
    monkeypatch.setattr(module, "measured_rounding", lambda *_: {"x": errors})
    found = autograd_of_twin(problem, NOISE, np.random.default_rng(0))
    assert found.source == "twin"
    assert found.loss == 1.0
    return np.broadcast_to(found.estimates["x"].flat, (4,)).tolist(), problem.parameters[0]


@pytest.mark.parametrize(("times", "exact"), [(0.999, True), (1.001, False)])
def test_a_zero_known_to_twice_what_cancelling_leaves_is_exact(
    monkeypatch: Any, times: float, exact: bool
) -> None:
    _, parameter = flat_of(monkeypatch, np.zeros(4))
    floor = cancellation_floor(parameter, VALUE, NOISE)(slice(0, 4))
    slight = 32.0 * 2.0**-52 * np.sqrt(np.mean(VALUE**2))
    limit = 2.0 * floor + slight
    assert (floor > 10 * slight).all()
    assert flat_of(monkeypatch, times * limit)[0] == [exact, exact, False, False]
    mixed = limit * [1.001, 0.999, 0.999, 0.999]
    assert flat_of(monkeypatch, mixed)[0] == [False, True, False, False]


def test_a_twin_is_asked_again_for_its_gradient() -> None:
    problem = numpy_problem(lambda x: (1.0, VALUE), np.ones(4))
    calls = []

    def twin() -> Any:
        calls.append(1)
        return 1.0, {"x": VALUE * len(calls)}

    found = autograd_of_twin(replace(problem, twin_gradient=twin), NOISE, np.random.default_rng(0))
    assert found.again is not None
    before = len(calls)
    assert found.again()["x"].tolist() == (VALUE * (before + 1)).tolist()
    assert autograd_of_twin(problem, NOISE, np.random.default_rng(0)) is module.NONE


@pytest.mark.parametrize("value", [2.0, -2.0])
@pytest.mark.parametrize(("share", "agrees"), [(0.99, True), (1.01, False), (-1.01, False)])
def test_two_losses_agree_to_a_billionth_of_the_larger(
    value: float, share: float, agrees: bool
) -> None:
    problem = numpy_problem(lambda x: (value, x), np.ones(1))
    other = value * (1 + share * LOSS_TOLERANCE)
    assert Autograd({}, loss=other).agrees_on_loss(problem) is agrees
    assert not Autograd({}).agrees_on_loss(problem)
