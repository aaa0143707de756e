"""A loss of quantised parameters is a staircase: its derivative is 0, its steps are no noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import needs_torch

import gradcheck
from gradcheck.treads import Steps, Tread, steps_of

DRAW = np.random.default_rng(0)
X, C = DRAW.normal(size=6), DRAW.normal(size=6)


def report_of(loss: Any, gradient: Any, **options: Any) -> Any:
    def target(x: Any) -> Any:
        return loss(x), gradient(x)

    return gradcheck.check(target, inputs={"x": X.copy()}, **options)


def quantised(levels: float) -> Any:
    return lambda x: np.sum(C * np.round(x * levels) / levels)


def nothing(x: Any) -> Any:
    return 0.0 * x


def straight_through(x: Any) -> Any:
    return C + 0.0 * x


def keys(report: Any) -> set[str]:
    return {one.key for one in report.warnings}


@needs_torch
@pytest.mark.parametrize("levels", [128.0, 1000.0, 1e5])
def test_of_parameters_on_a_grid_a_zero_gradient_is_right_and_any_other_wrong(
    levels: float,
) -> None:
    right = report_of(quantised(levels), nothing)
    assert right.verdict == "pass"
    assert "loss_is_stepped" in keys(right)
    wrong = report_of(quantised(levels), straight_through)
    assert wrong.verdict == "fail"
    assert "trace_discarded" not in keys(wrong)


def test_where_the_code_is_not_seen_neither_is_decided() -> None:
    for gradient in (nothing, straight_through):
        report = report_of(quantised(1000.0), gradient, autograd=False)
        assert report.verdict == "inconclusive"
        assert "loss_is_stepped" in keys(report)


@needs_torch
@pytest.mark.parametrize(
    ("loss", "gradient"),
    [
        (lambda x: np.round(np.sum(C * x), 6), straight_through),
        (lambda x: np.sum(np.round((x - C) ** 2, 6)), lambda x: 2.0 * (x - C)),
        (lambda x: float(np.sum(C * x.astype(np.float32))), straight_through),
        (lambda x: np.sum(C * ((x + 1e10) - 1e10)), straight_through),
    ],
    ids=["the loss", "its terms", "to single precision", "where sums cancel"],
)
def test_what_is_rounded_otherwise_is_judged_across_its_steps(loss: Any, gradient: Any) -> None:
    right = report_of(loss, gradient)
    assert right.verdict == "pass"
    assert "loss_is_stepped" not in keys(right)
    assert report_of(loss, nothing).verdict == "fail"


def test_without_a_trace_more_digits_show_that_sums_cancel() -> None:
    def loss(x: Any) -> Any:
        return np.sum(C * ((x + 1e10) - 1e10))

    report = report_of(loss, straight_through, autograd=False)
    assert report.verdict == "pass" or np.finfo(np.longdouble).eps > 1e-17
    assert report_of(loss, nothing, autograd=False).verdict != "pass"


@needs_torch
def test_numbers_on_a_grid_are_looked_at_together() -> None:
    def loss(p: float, q: float) -> Any:
        value = np.sin(np.round(p * 1e3) / 1e3) * np.cos(np.round(q * 1e3) / 1e3)
        return value, {"p": 0.0, "q": 0.0}

    assert gradcheck.check(loss, inputs={"p": 0.7123, "q": 1.3123}).verdict == "pass"


@needs_torch
@pytest.mark.parametrize(("factor", "verdict"), [(0.0, "pass"), (1.0, "fail")])
@pytest.mark.parametrize("levels", [4.0, 16.0, 1024.0])
def test_a_straight_through_estimator_is_no_derivative(
    levels: float, factor: float, verdict: str
) -> None:
    import torch

    class Rounded(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return torch.round(x * levels) / levels

        @staticmethod
        def backward(ctx: Any, *given: Any) -> Any:
            return factor * given[0]

    x = torch.tensor(X, requires_grad=True)
    report = gradcheck.check(lambda x: (Rounded.apply(x) * torch.tensor(C)).sum(), (x,))
    assert report.verdict == verdict


# What tells the steps apart


def treads(widths: Any, heights: Any, *, regular: bool = True, arrays: Any = None) -> Any:
    numbers = arrays or [0] * len(widths)
    return tuple(
        Tread(number, k, 1.5 + k, width, height, regular)
        for k, (number, width, height) in enumerate(zip(numbers, widths, heights, strict=True))
    )


@pytest.mark.parametrize(
    ("found", "rounds", "expected"),
    [
        (treads([0.1, 0.1], [1.0, -3.0]), True, Steps.PARAMETERS),
        (treads([0.1, 0.1], [1.0, -3.0]), None, Steps.UNKNOWN),
        (treads([0.1, 0.1], [1.0, -3.0]), False, Steps.ROUNDING),
        (treads([0.1, 0.1 + 5e-8], [1.0, 3.0]), True, Steps.PARAMETERS),
        (treads([0.1, 0.1 + 5e-7], [1.0, 3.0]), True, Steps.UNKNOWN),
        (treads([0.1, 0.2], [1.0, -1.0]), True, Steps.ROUNDING),
        (treads([0.1, 0.2], [1.0, 1.1]), True, Steps.UNKNOWN),
        (treads([0.1, 0.2], [1.0, 1.1], regular=False), True, Steps.UNKNOWN),
        (treads([0.1, 0.2], [1.0, 1.1], regular=False), None, Steps.ROUNDING),
        (treads([0.1], [1.0]), True, Steps.ROUNDING),
        (treads([0.1, 0.1], [1.0, 3.0], arrays=[0, 1]), True, Steps.PARAMETERS),
        (treads([0.1, 0.1, 0.7], [1.0, 3.0, 2.0], arrays=[0, 0, 1]), True, Steps.PARAMETERS),
        (treads([2.0**-23, 2.0**-22], [1.0, 3.0]), True, Steps.ROUNDING),
        (treads([2.0**-10, 2.0**-9], [1.0, 3.0]), True, Steps.ROUNDING),
    ],
)
def test_steps_are_told_by_their_widths_and_heights(
    found: Any, rounds: bool | None, expected: Steps
) -> None:
    assert steps_of(found, rounds) is expected


def looks_into(loss: Any, monkeypatch: Any) -> int:
    """How often code was traced to tell what its steps are."""
    import gradcheck.treads as treads

    traced = []
    autograd_of = treads.autograd_of

    def counted(*given: Any) -> Any:
        traced.append(given)
        return autograd_of(*given)

    monkeypatch.setattr(treads, "autograd_of", counted)
    report_of(loss, nothing)
    return len(traced)


@needs_torch
@pytest.mark.parametrize(
    ("loss", "times"), [(quantised(1000.0), 1), (lambda x: np.sum(np.round((x - C) ** 2, 6)), 0)]
)
def test_the_code_is_looked_at_only_where_its_steps_may_be_those_of_parameters(
    loss: Any, times: int, monkeypatch: Any
) -> None:
    assert looks_into(loss, monkeypatch) == times
