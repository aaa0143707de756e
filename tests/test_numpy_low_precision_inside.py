"""NumPy losses in float64 that keep values in lower precision on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck.report import Check, Verdict

pytest.importorskip("torch")


def stored(
    seed: int, n: int, dtype: Any, *, factor: float = 1.0, slope: bool = True
) -> tuple[Any, dict[str, Any]]:
    """A tanh layer whose activations are stored in ``dtype``; the gradient is of the stored ones.

    Without ``slope``, that of tanh is left out; ``factor`` multiplies what W gets.
    """
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 5)), rng.normal(size=n)

    def loss(W: Any, v: Any) -> Any:
        h = np.tanh(x @ W).astype(dtype).astype(np.float64)
        e = h @ v - y
        dh = np.outer(2 * e / n, v)
        back = dh * (1 - h * h) if slope else dh
        return np.mean(e * e), {"W": factor * x.T @ back, "v": h.T @ (2 * e / n)}

    return loss, {"W": rng.normal(size=(5, 4)), "v": rng.normal(size=4)}


def multiplied(factor: float) -> Check:
    """A least-squares loss whose products are computed in float16."""
    rng = np.random.default_rng(61)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=30)

    def loss(w: Any) -> Any:
        e = (x.astype(np.float16) @ w.astype(np.float16)).astype(np.float64) - y
        return 0.5 * np.mean(e * e), {"w": factor * x.T @ e / 30}

    return gradcheck.check(loss, {"w": rng.normal(size=4)})


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(("seed", "n"), [(221, 60), (2, 20)])
def test_activations_stored_in_lower_precision_are_no_mistake(
    dtype: Any, seed: int, n: int
) -> None:
    check = gradcheck.check(*stored(seed, n, dtype))
    assert check.verdict is Verdict.PASS
    # What such a number does not hold is not said to be known.
    known = 1e-3 if dtype is np.float16 else 1e-6
    assert all(one.resolution >= known for one in check.parameters.values())


@pytest.mark.parametrize(("seed", "n"), [(2, 20), (4, 1000)])
def test_differences_alone_call_them_none_either(seed: int, n: int) -> None:
    check = gradcheck.check(*stored(seed, n, np.float16), autograd=False)
    assert check.verdict is Verdict.INCONCLUSIVE
    for mistake in ({"factor": -1.0}, {"slope": False}):
        wrong = gradcheck.check(*stored(seed, n, np.float16, **mistake), autograd=False)
        assert wrong.parameters["W"].verdict is Verdict.FAIL


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("mistake", [{"factor": -1.0}, {"factor": 1.5}, {"slope": False}], ids=str)
def test_mistakes_of_a_formula_still_are(dtype: Any, mistake: Any) -> None:
    check = gradcheck.check(*stored(221, 60, dtype, **mistake))
    assert check.parameters["W"].verdict is Verdict.FAIL
    assert check.parameters["v"].verdict is Verdict.PASS


def test_products_in_half_precision_are_judged_by_it() -> None:
    assert multiplied(1.0).verdict is Verdict.PASS
    for factor in (-1.0, 1.5):
        check = multiplied(factor)
        assert check.verdict is Verdict.FAIL
        assert check.diagnoses[0].cause in ("sign", "scale")


def test_data_in_lower_precision_are_data() -> None:
    # Nothing that depends on a parameter is kept in less than float64 here.
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(20, 3)).astype(np.float16), rng.normal(size=20), rng.normal(size=3)

    def loss(w: Any, factor: float = 1.0) -> Any:
        e = x @ w - y
        return e @ e, {"w": factor * (2 * x.T @ e)}

    check = gradcheck.check(loss, {"w": w})
    assert (check.verdict, check.parameters["w"].resolution) == (Verdict.PASS, 1e-8)
    off = gradcheck.check(lambda w: loss(w, 1.0001), {"w": w})
    assert off.verdict is Verdict.FAIL


def test_what_was_seen_of_the_jumps_is_still_said() -> None:
    rng = np.random.default_rng(0)
    x, y, W = rng.normal(size=(8, 4)), rng.normal(size=(8, 3)), rng.normal(size=(4, 3))

    def loss(W: Any) -> Any:
        h = np.tanh(x.astype(np.float32) @ W.astype(np.float32))
        r = h - y.astype(np.float32)
        d = 2 * r * (1 - h * h)
        return float((r * r).sum()) + 0.05 * np.sum(W**2), {"W": x.T @ d + 0.1 * W}

    check = gradcheck.check(loss, {"W": W})
    assert check.verdict is Verdict.PASS
    assert [notice.key for notice in check.warnings] == ["loss_jumps"]


def test_a_parameter_without_entries_has_no_precision() -> None:
    def loss(w: Any, none: Any) -> Any:
        low = w.astype(np.float32).astype(np.float64)
        return low @ low, {"w": 2 * low, "none": np.zeros(0)}

    check = gradcheck.check(loss, {"w": np.linspace(0.1, 1, 4), "none": np.zeros(0)})
    assert check.verdict is Verdict.PASS
