"""A trace that loses what the loss is made of on the way is not believed, and costs nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck.report import Check, Verdict

pytest.importorskip("torch")


def rounded(seed: int, factor: float = 1.0) -> tuple[Any, dict[str, Any]]:
    """Mean squares rounded to four decimals, with ``factor`` times the right gradient."""
    rng = np.random.default_rng(seed)
    x, y, w = rng.normal(size=(30, 4)), rng.normal(size=30), rng.normal(size=4)

    def loss(w: Any) -> Any:
        e = x @ w - y
        return round(float(np.mean(e * e)), 4), {"w": factor * 2 * x.T @ e / 30}

    return loss, {"w": w}


def keys(check: Check) -> set[str]:
    return {notice.key for notice in check.warnings}


@pytest.mark.parametrize("seed", [2, 3, 6])
def test_a_loss_that_is_rounded_has_the_slope_across_its_steps(seed: int) -> None:
    check = gradcheck.check(*rounded(seed))
    assert check.verdict is Verdict.PASS
    assert "trace_discarded" in keys(check)
    assert "analytic~autograd" not in check.parameters["w"].comparisons
    assert gradcheck.check(*rounded(seed, 0.5)).verdict is Verdict.FAIL


def test_it_is_known_as_well_as_without_the_trace() -> None:
    # Central differences contradict the trace here: noise is averaged out all the same.
    check = gradcheck.check(*rounded(1))
    assert (check.verdict, keys(check)) == (Verdict.PASS, {"trace_discarded"})
    assert gradcheck.check(*rounded(1), autograd=False).verdict is Verdict.PASS


def test_that_says_what_was_lost() -> None:
    (notice,) = gradcheck.check(*rounded(2)).warnings
    assert "sees no path from w to the loss, which changes with it" in notice.message


def test_a_limit_leaves_what_was_found_first() -> None:
    check = gradcheck.check(*rounded(2), budget=160)
    assert check.verdict is Verdict.INCONCLUSIVE
    assert "trace_discarded" in keys(check)


def test_a_loss_that_does_not_change_is_still_found_to_ignore_its_parameter() -> None:
    x = np.random.default_rng(0).normal(size=(30, 4))
    kept = np.ones(4)

    def loss(w: Any) -> Any:
        e = x @ kept
        return float(np.mean(e * e)), {"w": 2 * x.T @ (x @ w) / 30}

    check = gradcheck.check(loss, {"w": np.ones(4)})
    assert check.verdict is Verdict.FAIL
    assert [one.cause for one in check.diagnoses] == ["loss_ignores_parameter"]
    assert "trace_discarded" not in keys(check)
