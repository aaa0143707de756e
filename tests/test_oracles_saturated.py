"""What autograd loses in saturated functions: the nearer of two ways of computing a derivative."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcheck.oracles.estimate import smooth_estimate
from gradcheck.oracles.torch_autograd import _with_saturation


def told(
    monkeypatch: pytest.MonkeyPatch, exact: Any, *, operation: str = "tanh", **analytic: Any
) -> tuple[dict[str, Any], Any]:
    """The estimates with these exact derivatives, and the one of ``x`` as it was."""
    asked = []

    def other(traced: Any) -> Any:
        asked.append(traced)
        return {name: np.array(one) for name, one in exact.items()}

    monkeypatch.setattr("gradcheck.tracing.saturated.exact_where_saturated", other)
    own = smooth_estimate("autograd", np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]), np.full(6, 0.125))
    operations = [SimpleNamespace(name="exp"), SimpleNamespace(name=operation)]
    traced: Any = SimpleNamespace(operations=operations)
    problem: Any = SimpleNamespace(
        analytic={name: np.array(one, dtype=float) for name, one in analytic.items()}
    )
    found = _with_saturation(problem, {"x": own}, traced)
    assert asked == ([traced] if operation in ("tanh", "expit") else [])
    return found, own


EXACT = [1.25, 1.25, 2.0, 0.25, 0.0, 0.25]
CLAIMS = [1.25, 1.0, 1.5, 0.25, 0.0, 0.0]


@pytest.mark.parametrize("operation", ["tanh", "expit"])
def test_the_way_nearer_to_the_claim_counts_and_twice_the_difference_is_lost(
    monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    found, _ = told(monkeypatch, {"x": EXACT}, operation=operation, x=CLAIMS)
    one = found["x"]
    # of two as near, what autograd itself says
    assert one.value.tolist() == [1.25, 1.0, 1.0, 0.25, 0.0, 0.0]
    assert (one.uncertainty - 0.125).tolist() == [0.5, 0.5, 2.0, 0.5, 0.0, 0.0]
    assert np.broadcast_to(one.flat, 6).tolist() == [False] * 4 + [True] * 2
    assert one.oracle == "autograd"


def test_other_functions_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found, own = told(monkeypatch, {"x": EXACT}, operation="log", x=CLAIMS)
    assert found["x"] is own


def test_parameters_without_a_claim_or_an_estimate_stay_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, own = told(monkeypatch, {"x": EXACT}, y=CLAIMS)
    assert found == {"x": own}
    found, own = told(monkeypatch, {"y": EXACT, "z": EXACT, "x": EXACT}, x=CLAIMS, z=CLAIMS)
    assert list(found) == ["x"]
    assert found["x"].value[0] == 1.25
