"""Torch targets of higher precision that compute in half precision inside."""

from __future__ import annotations

from typing import Any

import pytest

import gradcheck

torch = pytest.importorskip("torch")

HALF = [torch.float16, torch.bfloat16]


def cast_inside(dtype: Any, *, detached: bool, decay: bool) -> Any:
    def loss(W: Any, X: Any) -> Any:
        w = W.detach() if detached else W
        r = torch.tanh(X.to(dtype) @ w.to(dtype))
        return (r * r).sum().double() + (0.5 * (W**2).sum() if decay else 0 * W.sum())

    return loss


def inputs(seed: int, dtype: Any = torch.float64) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(4, 3, dtype=dtype, generator=generator).requires_grad_(True)
    return {"W": W, "X": torch.randn(8, 4, dtype=dtype, generator=generator)}


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("decay", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_steps_of_half_precision_hide_neither_a_right_gradient_nor_a_missing_one(
    seed: int, decay: bool, dtype: Any
) -> None:
    right = cast_inside(dtype, detached=False, decay=decay)
    assert gradcheck.check(right, inputs=inputs(seed)).verdict == "pass"
    missing = cast_inside(dtype, detached=True, decay=decay)
    assert gradcheck.check(missing, inputs=inputs(seed)).verdict != "pass"


@pytest.mark.parametrize("dtype", HALF)
def test_under_autocast_the_gradient_is_judged_as_one_of_half_precision(dtype: Any) -> None:
    def loss(factor: float) -> Any:
        class Scaled(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                return x.clone()

            @staticmethod
            def backward(ctx: Any, cotangent: Any) -> Any:
                return factor * cotangent

        def loss(W: Any, X: Any) -> Any:
            with torch.autocast("cpu", dtype=dtype):
                r = torch.tanh(X @ Scaled.apply(W))
            return (r.float() ** 2).sum()

        return loss

    for factor, verdict in ((1.0, "pass"), (1.5, "fail")):
        found = gradcheck.check(loss(factor), inputs=inputs(0, torch.float32), audit=False)
        assert found.verdict == verdict


def test_data_in_half_precision_are_no_arithmetic_in_it() -> None:
    def loss(W: Any, X: Any) -> Any:
        r = torch.tanh(X.to(torch.bfloat16).double() @ W)
        return (r * r).sum()

    found = gradcheck.check(loss, inputs=inputs(0))
    assert found.verdict == "pass"
    assert found.parameters["W"].resolution < 1e-6
