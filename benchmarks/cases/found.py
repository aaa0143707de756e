"""Losses that others wrote and that were judged wrongly once: they are judged rightly since."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.cases.changes import family
from benchmarks.cases.contract import PowerCase, Target, exactly


def cases() -> Iterator[PowerCase]:
    """Yield them: shared kinks, ties, solvers that start warm, rounded values."""
    yield from _perceptron()
    yield from _deviations()
    yield from _medians()
    yield from _warm_start()
    yield from _stored_low()
    yield from _rounded()
    yield from _on_a_grid()


def _perceptron() -> Iterator[PowerCase]:
    """Every margin is 0 at the start: the other sign lies outside the subdifferential here."""
    draw = np.random.default_rng(309)
    X, y = draw.normal(size=(20, 4)), np.sign(draw.normal(size=20))

    def target(w: Any) -> tuple[Any, dict[str, Any]]:
        margin = y * (X @ w)
        return np.mean(np.maximum(0, -margin)), {"w": -X.T @ (y * (margin <= 0)) / len(y)}

    yield from family(
        "perceptron_at_0",
        "found by others",
        lambda _: target,
        lambda: {"w": np.zeros(4)},
        wrt=("w",),
        truth=exactly(lambda w: {"w": 0 * w - np.mean(y[:, None] * X, axis=0)}),
        changes={"sign": "w", "factor_0.999": "w"},
        smooth=False,
    )


def _deviations() -> Iterator[PowerCase]:
    """Least absolute deviations, of which three are exactly 0."""
    draw = np.random.default_rng(2)
    X = np.round(draw.normal(size=(40, 3)) * 4) / 4
    start = np.array([0.5, -1.0, 0.25])
    y = np.round(X @ start + draw.normal(size=40) * 0.3, 1)
    y[:3] = (X @ start)[:3]

    def make(bug: str) -> Target:
        def target(w: Any) -> tuple[Any, dict[str, Any]]:
            residual = X @ w - y
            slope = residual if bug == "residual_for_sign" else np.sign(residual)
            return np.mean(np.abs(residual)), {"w": X.T @ slope / len(y)}

        return target

    def slopes(w: Any) -> dict[str, Any]:
        above, below = X[X @ w > y].sum(axis=0), X[X @ w < y].sum(axis=0)
        return {"w": (above - below) / len(y)}

    yield from family(
        "deviations_of_0",
        "found by others",
        make,
        lambda: {"w": start.copy()},
        wrt=("w",),
        truth=exactly(slopes),
        bugs=("residual_for_sign",),
        changes={"sign": "w"},
        smooth=False,
    )


def _medians() -> Iterator[PowerCase]:
    """A median of equals is flat along each of them, and follows where all move."""

    def first(tied: Any) -> Any:
        return np.arange(tied.size) == np.flatnonzero(tied)[0]

    conventions: dict[str, Callable[[Any], Any]] = {
        "first": first,
        "shared": lambda tied: tied / tied.sum(),
    }
    for name, share in conventions.items():

        def target(x: Any, share: Any = share) -> tuple[Any, dict[str, Any]]:
            value = np.median(x)
            return (value - 1.0) ** 2, {"x": 2 * (value - 1.0) * share(x == value)}

        weight = {"first": np.eye(5)[0], "shared": np.full(5, 0.2)}[name]
        yield from family(
            f"median_of_equals_{name}",
            "found by others",
            lambda _, target=target: target,
            lambda: {"x": np.zeros(5)},
            wrt=("x",),
            truth=exactly(lambda x, weight=weight: {"x": 2.0 * (x.max() - 1.0) * weight}),
            changes={"factor_0.999": "x", "sign": "x"},
            smooth=False,
        )


def _warm_start() -> Iterator[PowerCase]:
    """A fixed point that is iterated from where the last call ended."""
    draw = np.random.default_rng(97)
    A, c = 0.2 * draw.normal(size=(12, 12)), draw.normal(size=12)
    start = 0.5 * draw.normal(size=12)

    def make(bug: str) -> Target:
        kept = {"x": np.zeros(12)}

        def target(b: Any) -> tuple[Any, dict[str, Any]]:
            x, moved = kept["x"], 1.0
            while moved >= 1e-10:
                following = np.tanh(A @ x + b)
                x, moved = following, np.max(np.abs(following - x))
            kept["x"] = x
            slope = 1 - x * x
            adjoint = c
            if bug != "one_step":
                adjoint = np.linalg.solve((np.eye(12) - slope[:, None] * A).T, c)
            return c @ x, {"b": slope * adjoint}

        return target

    def by_sensitivities(b: Any) -> dict[str, Any]:
        x = np.zeros(12)
        for _ in range(2000):
            x = np.tanh(A @ x + b)
        slope = np.diag(1 - x * x)
        return {"b": c @ np.linalg.solve(np.eye(12) - slope @ A, slope)}

    yield from family(
        "warm_start_1e-10",
        "found by others",
        make,
        lambda: {"b": start.copy()},
        wrt=("b",),
        truth=exactly(by_sensitivities),
        bugs=("one_step",),
        changes={"sign": "b", "factor_0.999": "b"},
        smooth=False,
        floor=1e-8,
    )


def _stored_low() -> Iterator[PowerCase]:
    """Activations that are kept in half precision within a loss in double precision."""
    draw = np.random.default_rng(221)
    X, y = draw.normal(size=(60, 5)), draw.normal(size=60)
    start = {"W": draw.normal(size=(5, 4)), "v": draw.normal(size=4)}

    def make(bug: str) -> Target:
        def target(W: Any, v: Any) -> tuple[Any, dict[str, Any]]:
            hidden = np.tanh(X @ W).astype(np.float16).astype(np.float64)
            error = hidden @ v - y
            slope = 1.0 if bug == "activation_lost" else 1 - hidden * hidden
            back = np.outer(2 * error / len(y), v) * slope
            return np.mean(error * error), {"W": X.T @ back, "v": hidden.T @ (2 * error / len(y))}

        return target

    def twin(W: Any, v: Any) -> Any:
        import torch

        error = torch.tanh(torch.from_numpy(X) @ W) @ v - torch.from_numpy(y)
        return (error * error).mean()

    yield from family(
        "activations_in_float16",
        "found by others",
        make,
        lambda: {name: value.copy() for name, value in start.items()},
        wrt=("W", "v"),
        twin=twin,
        bugs=("activation_lost",),
        changes={"sign": "W"},
        smooth=False,
        dtype="float16",
    )


def _rounded() -> Iterator[PowerCase]:
    """A loss that is rounded for display before it is returned."""
    draw = np.random.default_rng(5)
    X, y = draw.normal(size=(30, 3)), draw.normal(size=30)

    def target(w: Any) -> tuple[Any, dict[str, Any]]:
        error = X @ w - y
        return round(float(error @ error), 4), {"w": 2 * X.T @ error}

    yield from family(
        "rounded_to_4_decimals",
        "found by others",
        lambda _: target,
        lambda: {"w": np.array([0.4, -1.1, 0.7])},
        wrt=("w",),
        truth=exactly(lambda w: {"w": 2 * (X.T @ X @ w - X.T @ y)}),
        changes={"sign": "w", "factor_2": "w"},
        smooth=False,
    )


def _on_a_grid() -> Iterator[PowerCase]:
    """Residuals that are 0 to the last bit, of a smooth loss: their sign jumps at every move."""
    draw = np.random.default_rng(98)
    X = np.round(draw.normal(size=(40, 4)) * 8) / 8
    y = np.round(draw.normal(size=40))
    start = np.round(draw.normal(size=4) * 4) / 4

    def make(bug: str) -> Target:
        def target(w: Any) -> tuple[Any, dict[str, Any]]:
            residual = X @ w - y
            slope = np.sign(residual) if bug == "sign_for_slope" else np.tanh(residual)
            return np.sum(np.log(np.cosh(residual))), {"w": X.T @ slope}

        return target

    def twin(w: Any) -> Any:
        import torch

        residual = torch.from_numpy(X) @ w - torch.from_numpy(y)
        return (torch.logaddexp(residual, -residual) - np.log(2.0)).sum()

    yield from family(
        "residuals_on_a_grid",
        "found by others",
        make,
        lambda: {"w": start.copy()},
        wrt=("w",),
        twin=twin,
        bugs=("sign_for_slope",),
        changes={"factor_0.999": "w"},
    )
