"""A trace of many operations is not made again and again to measure what rounding leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck.oracles import torch_autograd


@pytest.mark.parametrize(("long", "measured"), [(1000, True), (10, False)])
def test_rounding_is_measured_along_short_traces_alone(
    monkeypatch: pytest.MonkeyPatch, long: int, measured: bool
) -> None:
    pytest.importorskip("torch")
    calls = []
    own = torch_autograd.measured_rounding

    def watched(*arguments: Any) -> Any:
        calls.append(1)
        return own(*arguments)

    monkeypatch.setattr(torch_autograd, "measured_rounding", watched)
    monkeypatch.setattr(torch_autograd, "LONG", long)

    def loss(x: Any) -> Any:
        y, slope = x, np.ones(3)
        for _ in range(20):
            slope = slope * (1 - 0.2 * y)
            y = y - 0.1 * y * y
        return y.sum(), slope

    check = gradcheck.check(loss, np.array([0.5, 1.0, 1.5]))
    assert check.verdict == "pass"
    assert "autograd" in check.oracles
    assert bool(calls) is measured
