"""A loss that jumps: the slope between its jumps is right, whatever steps agree by chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import needs_torch

import gradcheck


def saw(x: Any, length: float) -> Any:
    return np.sum(x * x + x - length * np.floor(x / length))


def between_jumps(seed: int, length: float) -> Any:
    generator = np.random.default_rng(seed)
    return (np.floor(generator.normal(size=4) / length) + generator.uniform(0.1, 0.9, 4)) * length


SEEDS = [0, 2, 3, 4, 6, 11, 15, 16, 21, 25, 26, 28, 50, 55]


@needs_torch
@pytest.mark.parametrize("length", [1e-3, 1e-5, 1e-6, 1e-7])
@pytest.mark.parametrize("seed", SEEDS)
def test_between_the_jumps_of_a_saw_its_slope_is_right_as_autograd_sees(
    seed: int, length: float
) -> None:
    def right(x: Any) -> Any:
        return saw(x, length), 2 * x + 1

    report = gradcheck.check(right, inputs={"x": between_jumps(seed, length)})
    assert report.verdict == "pass"


@needs_torch
@pytest.mark.parametrize("length", [1e-3, 1e-5, 1e-6, 1e-7])
def test_the_slope_across_the_jumps_of_a_saw_is_wrong(length: float) -> None:
    def across(x: Any) -> Any:
        return saw(x, length), 2 * x

    report = gradcheck.check(across, inputs={"x": between_jumps(0, length)})
    assert report.verdict == "fail"


@pytest.mark.parametrize("seed", SEEDS)
def test_without_autograd_no_steps_that_agree_by_chance_contradict_a_saw(seed: int) -> None:
    def right(x: Any) -> Any:
        return saw(x, 1e-6), 2 * x + 1

    inputs = {"x": between_jumps(seed, 1e-6)}
    assert gradcheck.check(right, inputs=inputs, autograd=False).verdict != "fail"


def test_jumps_too_large_for_single_precision_leave_the_slope_across_them_undecided() -> None:
    def across(x: Any) -> Any:
        return saw(x, 1e-4), 2 * x

    inputs = {"x": between_jumps(0, 1e-4)}
    assert gradcheck.check(across, inputs=inputs, autograd=False).verdict == "inconclusive"


def half_single(detached: bool) -> Any:
    """A network computed in single precision, with a penalty in double precision."""

    def loss_fn(W: Any, b: Any, X: Any, Y: Any) -> Any:
        w, c, x, y = (one.astype(np.float32) for one in (W, b, X, Y))
        h = np.tanh(x @ w + c)
        r = h - y
        n = np.float32(len(x))
        d = 2 * r / n * (1 - h * h) * np.float32(not detached)
        loss = float((r * r).sum() / n) + 0.05 * np.sum(W**2)
        return loss, {"W": x.T @ d + 0.1 * W, "b": d.sum(axis=0).astype(float)}

    return loss_fn


def network_inputs(seed: int) -> dict[str, Any]:
    draw = np.random.default_rng(seed).normal
    shapes = {"W": (4, 3), "b": 3, "X": (8, 4), "Y": (8, 3)}
    return {name: draw(size=shape) for name, shape in shapes.items()}


@needs_torch
@pytest.mark.parametrize("seed", range(6))
def test_a_penalty_in_double_precision_does_not_hide_a_network_in_single(seed: int) -> None:
    inputs = network_inputs(seed)
    right = gradcheck.check(half_single(detached=False), inputs=inputs, wrt=["W", "b"])
    assert right.verdict == "pass"
    assert "loss_jumps" in {one.key for one in right.warnings}
    wrong = half_single(detached=True)
    assert gradcheck.check(wrong, inputs=inputs, wrt=["W", "b"]).verdict == "fail"
    # Its slope between the jumps is what it claims: without autograd, that may be meant.
    alone = gradcheck.check(wrong, inputs=inputs, wrt=["W", "b"], autograd=False)
    assert alone.verdict != "pass"


def test_kinks_are_no_jumps() -> None:
    draw = np.random.default_rng(0).normal
    inputs = {"W": draw(size=(6, 5)), "X": draw(size=(40, 6))}

    def loss_fn(W: Any, X: Any) -> Any:
        hidden = np.maximum(X @ W, 0)
        return np.sum(hidden**2) + hidden.sum(), {"W": X.T @ (2 * hidden + (hidden > 0))}

    report = gradcheck.check(loss_fn, inputs=inputs, wrt="W", autograd=False)
    assert report.verdict == "pass"
    assert "loss_jumps" not in {one.key for one in report.warnings}


@pytest.mark.parametrize("distance", [1e-4, 1e-6, 3e-8, 1e-8, 1e-9])
@pytest.mark.parametrize("autograd", [True, False])
def test_a_barrier_next_to_the_edge_of_the_domain_is_judged_by_steps_that_stay_inside(
    distance: float, autograd: bool
) -> None:
    edge = 1.0 - distance

    def barrier(factor: float) -> Any:
        def loss_fn(x: Any) -> Any:
            with np.errstate(all="ignore"):
                return -np.sum(np.log(x - edge)), -factor / (x - edge)

        return loss_fn

    for factor, verdict in ((1.0, "pass"), (1.01, "fail")):
        inputs = {"x": np.array([1.0])}
        report = gradcheck.check(barrier(factor), inputs=inputs, autograd=autograd)
        assert report.verdict == verdict
        if autograd and factor == 1.0:
            assert "trace_discarded" not in {one.key for one in report.warnings}
