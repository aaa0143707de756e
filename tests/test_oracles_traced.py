"""Autograd of traced code as an oracle: how long it may take, and what is said where it fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradcheck.noise import Noise
from gradcheck.numpy_target.problem import Limits, numpy_problem
from gradcheck.oracles import torch_autograd as module
from gradcheck.oracles.torch_autograd import autograd_of_trace

pytest.importorskip("torch")

X = np.array([0.5, -1.0, 2.0])


def squares(x: Any) -> Any:
    return np.sum(x * x), 2 * x


def found_of(loss: Any = squares, *, estimate: bool = True, **limits: Any) -> Any:
    problem = numpy_problem(loss, X.copy(), limits=Limits(**limits))
    noise = Noise(1e-16, problem.facts.value, np.dtype(float), 1.0)
    generator = np.random.default_rng(0)
    return autograd_of_trace(problem, noise, generator, estimate=estimate)


@pytest.mark.parametrize(("timeout", "seconds"), [(None, None), (3.0, 30.0), (0.5, 5.0)])
def test_a_trace_may_take_ten_times_as_long_as_an_evaluation(
    monkeypatch: Any, timeout: float | None, seconds: float | None
) -> None:
    allowed = []

    def limited(function: Any, most: float | None) -> Any:
        allowed.append(most)
        return function

    monkeypatch.setattr(module, "limited", limited)
    found = found_of(timeout=timeout)
    assert found.source == "trace"
    assert found.notices == ()
    assert allowed
    assert set(allowed) == {seconds}


def test_it_gives_the_gradient_and_says_how_well_it_is_known() -> None:
    found = found_of()
    assert (found.source, found.loss) == ("trace", 5.25)
    np.testing.assert_array_equal(found.estimates["x"].value, 2 * X)
    assert (found.estimates["x"].uncertainty < 1e-13).all()
    assert found.again()["x"].tolist() == (2 * X).tolist()
    assert len(found.trace.operations) == 2
    alone = found_of(estimate=False)
    assert (alone.source, alone.loss, dict(alone.estimates)) == ("trace", 5.25, {})
    assert len(alone.trace.operations) == 2


def test_without_source_there_is_none() -> None:
    problem = replace(numpy_problem(squares, X.copy()), trace_request=None)
    noise = Noise(1e-16, 5.25, np.dtype(float), 1.0)
    assert autograd_of_trace(problem, noise, np.random.default_rng(0)) is module.NONE


def eigenvalues(x: Any) -> Any:
    return np.sum(np.abs(np.linalg.eig(np.outer(x, x))[0])), 2 * x


def sudden(x: Any) -> Any:
    if any(type(one).__module__.startswith("gradcheck.tracing") for one in frames()):
        raise OverflowError("too large")
    return np.sum(x * x), 2 * x


def frames() -> list[Any]:
    import sys

    from gradcheck.tracing.recorder import Recorder

    frame, found = sys._getframe(1), []
    while frame is not None:
        found += [one for one in frame.f_locals.values() if isinstance(one, Recorder)]
        frame = frame.f_back
    return found


def another(x: Any) -> Any:
    return np.sum(x * x) + 1e-3 * bool(frames()), 2 * x


@pytest.mark.parametrize(
    ("loss", "key", "words"),
    [
        (eigenvalues, "not_traceable", "eig"),
        (sudden, "not_traceable", "tracing the target raised OverflowError: too large"),
        (another, "trace_discarded", "the traced loss is 5.251, the plain one 5.25"),
    ],
)
def test_what_cannot_be_used_is_said(loss: Any, key: str, words: str) -> None:
    found = found_of(loss)
    (notice,) = found.notices
    assert notice.key == key
    assert words in notice.message
    assert dict(found.estimates) == {}
    assert found.source == ""
    assert found.again is None
