"""A loss that jumps: the slope between its jumps is right, whatever steps agree by chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcheck


def saw(x: Any, length: float) -> Any:
    return np.sum(x * x + x - length * np.floor(x / length))


def between_jumps(seed: int, length: float) -> Any:
    generator = np.random.default_rng(seed)
    return (np.floor(generator.normal(size=4) / length) + generator.uniform(0.1, 0.9, 4)) * length


@pytest.mark.parametrize("length", [1e-3, 1e-5, 1e-6, 1e-7])
@pytest.mark.parametrize("seed", [0, 2, 3, 4, 6, 11, 15, 16, 21, 25, 26, 28, 50, 55])
def test_the_slope_of_a_saw_between_its_jumps_is_right(seed: int, length: float) -> None:
    def right(x: Any) -> Any:
        return saw(x, length), 2 * x + 1

    report = gradcheck.check(right, inputs={"x": between_jumps(seed, length)}, autograd=False)
    assert report.verdict == "pass"


@pytest.mark.parametrize("length", [1e-3, 1e-5, 1e-6, 1e-7])
def test_the_slope_across_the_jumps_is_wrong(length: float) -> None:
    def across(x: Any) -> Any:
        return saw(x, length), 2 * x

    report = gradcheck.check(across, inputs={"x": between_jumps(0, length)}, autograd=False)
    assert report.verdict == "fail"


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
