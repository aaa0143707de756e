"""Saturation, losses noisier than their last place, losses too coarse, bad conditioning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import special

from benchmarks.cases.changes import family
from benchmarks.cases.contract import PowerCase, Target, Truth, exactly
from benchmarks.cases.networks import drawn


def _saturated() -> Iterator[PowerCase]:
    """Yield sigmoids and softmaxes so far out that the gradient shrinks towards underflow."""

    def squash(_bug: str = "") -> Target:
        def target(s: Any, Y: Any) -> tuple[Any, dict[str, Any]]:
            p = special.expit(s)
            slope = (p - Y) * p * special.expit(-s)
            return 0.5 * np.sum((p - Y) ** 2), {"s": slope}

        return target

    def squash_truth(s: Any, Y: Any) -> dict[str, Any]:
        p = special.expit(s)
        return {"s": (p - Y) * p * special.expit(-s)}

    for reach in (10.0, 20.0, 36.0, 200.0, 800.0):
        yield from family(
            f"sigmoid_{reach:g}",
            "saturation",
            squash,
            lambda r=reach: {"s": np.array([0.4, r, -r, 1.5]), "Y": np.array([1.0, 0, 1, 0])},
            wrt=("s",),
            truth=exactly(squash_truth),
            changes={"sign": "s", "largest_entry_1e-3": "s"},
        )

    def confident(_bug: str = "") -> Target:
        def target(s: Any) -> tuple[Any, dict[str, Any]]:
            return np.sum(np.log1p(np.exp(-s))), {"s": -special.expit(-s)}

        return target

    for low, high in ((20.0, 24.0), (36.0, 40.0), (100.0, 103.0)):
        yield from family(
            f"all_confident_{low:g}",
            "saturation",
            confident,
            lambda a=low, b=high: {"s": np.linspace(a, b, 4)},
            wrt=("s",),
            truth=exactly(lambda s: {"s": -special.expit(-s)}),
            changes={"sign": "s", "largest_entry_1e-3": "s", "factor_1.0001": "s"},
        )
    yield from family(
        "all_saturated_wrongly",
        "beyond arithmetic",
        squash,
        lambda: {"s": np.array([36.0, 38.0]), "Y": np.zeros(2)},
        wrt=("s",),
        truth=exactly(squash_truth),
        changes={"sign": "s", "factor_0.999": "s"},
        beyond_arithmetic=True,
    )

    def classifier(bug: str = "") -> Target:
        def target(w: Any, X: Any, labels: Any) -> tuple[Any, dict[str, Any]]:
            scores = X @ w
            shifted = scores - scores.max(axis=1, keepdims=True)
            log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
            rows = np.arange(len(X))
            d = np.exp(log_p)
            d[rows, labels] -= 1.0
            if bug == "not_divided":
                d = d * len(X)
            return -np.mean(log_p[rows, labels]), {"w": X.T @ d / len(X)}

        return target

    def twin(w: Any, X: Any, labels: Any) -> Any:
        import torch

        return torch.nn.functional.cross_entropy(X @ w, labels)

    for gain in (10.0, 100.0, 1000.0):
        draw = drawn(74, w=(3, 4), X=(6, 3))
        yield from family(
            f"softmax_scores_{gain:g}",
            "saturation",
            classifier,
            lambda g=gain, draw=draw: {
                **{k: v * (g if k == "w" else 1) for k, v in draw().items()},
                "labels": np.arange(6) % 4,
            },
            wrt=("w",),
            twin=twin,
            bugs=("not_divided",),
            changes={"factor_0.999": "w", "column": "w"},
            smooth=False,
        )


def _noisy() -> Iterator[PowerCase]:
    """Yield losses that are noisier than the last place of their value."""

    def rounded(digits: int) -> Callable[[str], Target]:
        def make(_bug: str = "") -> Target:
            def target(x: Any) -> tuple[Any, dict[str, Any]]:
                return round(float(np.sum(np.sin(x) * x)), digits), {"x": np.sin(x) + x * np.cos(x)}

            return target

        return make

    def sine_twin(x: Any) -> Any:
        return (x.sin() * x).sum()

    def naive_variance(_bug: str = "") -> Target:
        def target(x: Any) -> tuple[Any, dict[str, Any]]:
            mean = np.mean(x)
            return np.mean(x * x) - mean * mean, {"x": 2 * (x - mean) / x.size}

        return target

    def fixed_point(_bug: str = "") -> Target:
        def target(x: Any) -> tuple[Any, dict[str, Any]]:
            y = np.zeros_like(x)
            while True:
                step = 0.5 * np.cos(y) + x - y
                y = y + step
                if np.max(np.abs(step)) < 1e-10:
                    break
            return np.sum(y * y), {"x": 2 * y / (1 + 0.5 * np.sin(y))}

        return target

    def fixed_point_truth(call: dict[str, Any]) -> Truth:
        import mpmath

        with mpmath.workdps(40):
            roots = [
                mpmath.findroot(lambda y, v=v: y - 0.5 * mpmath.cos(y) - mpmath.mpf(v), v)
                for v in call["x"].tolist()
            ]
            exact = np.array([float(2 * y / (1 + mpmath.sin(y) / 2)) for y in roots])
        return Truth({"x": (exact, exact)})

    point = np.array([0.4, -1.1, 2.0, 0.9])
    wrong = {"largest_entry_1e-3": "x", "sign": "x", "factor_2": "x"}
    for digits in (12, 10, 8):
        yield from family(
            f"rounded_to_{digits}_digits",
            "noise",
            rounded(digits),
            lambda: {"x": point.copy()},
            wrt=("x",),
            twin=sine_twin,
            changes=wrong,
        )
    for centre in (1e2, 1e4):
        yield from family(
            f"naive_variance_at_{centre:g}",
            "noise",
            naive_variance,
            lambda c=centre: {"x": c + np.linspace(-3, 4, 7)},
            wrt=("x",),
            twin=lambda x: x.var(unbiased=False),
            changes=wrong,
            floor=1e-12,
        )
    yield from family(
        "fixed_point_to_1e-10",
        "noise",
        fixed_point,
        lambda: {"x": point.copy()},
        wrt=("x",),
        truth=fixed_point_truth,
        changes=wrong,
        floor=1e-8,
    )


def _hopeless() -> Iterator[PowerCase]:
    """Yield losses too coarse to tell; ``inconclusive`` is the only honest answer."""

    def coarse(_bug: str = "") -> Target:
        def target(x: Any) -> tuple[Any, dict[str, Any]]:
            return 1e12 + np.sum(x * x) * 1e-3, {"x": 2e-3 * x}

        return target

    yield from family(
        "lost_in_offset",
        "beyond arithmetic",
        coarse,
        lambda: {"x": np.array([0.3, -0.8])},
        wrt=("x",),
        twin=lambda x: 1e12 + 1e-3 * (x * x).sum(),
        changes={"factor_0.999": "x", "sign": "x"},
        beyond_arithmetic=True,
    )


def _conditioned() -> Iterator[PowerCase]:
    """Yield badly conditioned quadratics and valleys."""

    def quadratic(bug: str = "") -> Target:
        def target(x: Any, A: Any) -> tuple[Any, dict[str, Any]]:
            product = A @ x
            return 0.5 * x @ product, {"x": 0.5 * product if bug == "half" else product}

        return target

    for order in (4, 8, 12):
        basis, _ = np.linalg.qr(np.random.default_rng(order).normal(size=(6, 6)))
        matrix = (basis * 10.0 ** np.linspace(-order, 0, 6)) @ basis.T
        yield from family(
            f"quadratic_condition_1e{order}",
            "hard functions",
            quadratic,
            lambda m=matrix: {"x": np.linspace(-1, 2, 6), "A": 0.5 * (m + m.T)},
            wrt=("x",),
            twin=lambda x, A: 0.5 * x @ (A @ x),
            bugs=("half",),
            changes={"median_entry_1e-3": "x", "factor_1.0001": "x"},
            floor=1e-13,
        )

    def valley(bug: str = "") -> Target:
        def target(x: Any) -> tuple[Any, dict[str, Any]]:
            gap = x[1:] - x[:-1] ** 2
            slope = np.zeros_like(x)
            slope[1:] += 2e4 * gap
            slope[:-1] -= (2e4 if bug == "inner_missing" else 4e4 * x[:-1]) * gap
            slope[:-1] -= 2 * (1 - x[:-1])
            return np.sum(1e4 * gap**2 + (1 - x[:-1]) ** 2), {"x": slope}

        return target

    for label, point in {"off": [-1.2, 1.0, 0.8, 0.7], "floor": [0.9, 0.81, 0.6561]}.items():
        yield from family(
            f"valley_{label}",
            "hard functions",
            valley,
            lambda p=point: {"x": np.array(p)},
            wrt=("x",),
            twin=lambda x: (1e4 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum(),
            bugs=("inner_missing",) if label == "off" else (),
            changes={"median_entry_1e-3": "x", "sign": "x"},
            floor=1e-9,
        )


def cases() -> Iterator[PowerCase]:
    """Yield the cases at the limits of the arithmetic."""
    yield from _saturated()
    yield from _noisy()
    yield from _hopeless()
    yield from _conditioned()
