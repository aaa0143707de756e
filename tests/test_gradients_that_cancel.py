"""Least squares by the normal equations, at and near the optimum: what is left of two terms.

The matrix of the normal equations, computed beforehand, is rounded once for all: no move of the
parameters shows that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck.report import Check

SIZES = np.logspace(-3, 3, 12)


def checked(
    seed: int,
    sizes: Any = SIZES,
    *,
    mean: float = 0.0,
    away: float = 0.0,
    factor: float = 1.0,
    entry: int | None = None,
    decay: float = 0.0,
    **options: Any,
) -> Check:
    """Check ``X'X w - X'y`` so far from the optimum, with entries so many times too large."""
    draw = np.random.default_rng(seed)
    X = (draw.normal(size=(200, 12)) + mean) * sizes
    y = X @ draw.normal(size=12) + 10 * draw.normal(size=200)
    w = np.linalg.lstsq(X, y, rcond=None)[0] * (1 + away)
    products, targets = X.T @ X, X.T @ y

    def loss(w: Any, X: Any, y: Any) -> Any:
        r = X @ w - y
        gradient = products @ w - targets
        gradient[slice(None) if entry is None else entry] *= factor
        return 0.5 * r @ r + 0.5 * decay * w @ w, gradient

    return gradcheck.check(loss, {"w": w, "X": X, "y": y}, wrt="w", **options)


@pytest.mark.parametrize(
    ("seed", "sizes", "options"),
    [
        (0, SIZES, {"autograd": False}),
        (1, SIZES, {}),
        (4, SIZES, {"away": 1e-9}),
        (2, 1.0, {"mean": 100.0, "autograd": False}),
        (2, np.logspace(-1, 1, 12), {"autograd": False}),
    ],
)
def test_what_rounding_leaves_of_its_terms_passes(
    seed: int, sizes: Any, options: dict[str, Any]
) -> None:
    check = checked(seed, sizes, **options)
    assert check.verdict == "pass"
    assert check.parameters["w"].resolution is not None
    assert check.parameters["w"].resolution < 1e-3


@pytest.mark.parametrize("entry", [None, 8])
def test_a_ten_thousandth_too_much_beside_the_optimum_fails(entry: int | None) -> None:
    wrong = {"away": 1e-9, "factor": 1.0001, "entry": entry}
    assert checked(4, autograd=False, **wrong).verdict == "fail"


def test_twice_the_gradient_a_little_off_the_optimum_fails() -> None:
    assert checked(0, away=1e-11, factor=2.0, autograd=False).verdict == "fail"


def test_a_small_penalty_that_is_left_out_fails() -> None:
    assert checked(0, decay=1e-3, autograd=False).verdict == "fail"
