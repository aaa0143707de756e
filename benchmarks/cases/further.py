"""Traps for step choices: aliasing waves, many corners, sorting, no scale at all, unequal terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.cases.changes import family
from benchmarks.cases.contract import PowerCase, Target, exactly
from benchmarks.cases.elementwise import at, by_mpmath, weighted
from benchmarks.cases.networks import drawn

WAVES: dict[str, tuple[Any, Any, Any, tuple[float, ...]]] = {
    "wave_of_period_2^-10": (
        lambda x: np.sin(2048 * np.pi * x),
        lambda x: 2048 * np.pi * np.cos(2048 * np.pi * x),
        lambda m, t: m.sin(2048 * m.mpf(np.pi) * t),
        (0.50004, 0.7503, 1.0001),
    ),
    "wave_of_period_1e-3_on_a_slope": (
        lambda x: x * x + 1e-3 * np.sin(2000 * np.pi * x),
        lambda x: 2 * x + 2 * np.pi * np.cos(2000 * np.pi * x),
        lambda m, t: t * t + m.mpf(1e-3) * m.sin(2000 * m.mpf(np.pi) * t),
        (0.5, 0.8, 1.1),
    ),
    "ripple_1e-8": (
        lambda x: np.exp(x) + 1e-8 * np.sin(1e4 * x),
        lambda x: np.exp(x) + 1e-4 * np.cos(1e4 * x),
        lambda m, t: m.exp(t) + m.mpf(1e-8) * m.sin(10000 * t),
        (0.3, -0.4, 0.9),
    ),
    "cancelling_exponentials": (
        lambda x: np.exp(30 * x) - np.exp(29.9 * x),
        lambda x: 30 * np.exp(30 * x) - 29.9 * np.exp(29.9 * x),
        lambda m, t: m.exp(30 * t) - m.exp(m.mpf(29.9) * t),
        (0.4, 0.5, -0.1),
    ),
    "one_minus_cosine_over_square": (
        lambda x: (1 - np.cos(x)) / x**2,
        lambda x: np.sin(x) / x**2 - 2 * (1 - np.cos(x)) / x**3,
        lambda m, t: (1 - m.cos(t)) / t**2,
        (0.3, 0.05, -0.5),
    ),
}


def _waves() -> Iterator[PowerCase]:
    for name, (function, slope, exact, points) in WAVES.items():
        yield from family(
            name,
            "hard functions",
            weighted(function, slope),
            at(*points),
            wrt=("x",),
            truth=by_mpmath(exact),
            changes={"factor_0.999": "x", "largest_entry_1e-3": "x", "zero": "x"},
            floor=1e-9 if name.startswith("wave") else 1e-11,
        )


def _cornered() -> Iterator[PowerCase]:
    """Yield losses with many corners, and losses that sort."""
    plans: dict[str, tuple[Any, Any, Any]] = {
        "triangle_wave": (
            lambda x: np.sum(np.abs((37 * x) % 2 - 1)),
            lambda x: 37 * np.sign((37 * x) % 2 - 1),
            np.array([0.31, 0.77, -1.4, 2.2]),
        ),
        "absolute_sine": (
            lambda x: np.sum(np.abs(np.sin(50 * x))),
            lambda x: 50 * np.cos(50 * x) * np.sign(np.sin(50 * x)),
            np.array([0.31, 0.77, -1.4, 2.2]),
        ),
        "sorted_weights": (
            lambda x: np.sort(x) @ np.arange(1.0, 1.0 + x.size),
            lambda x: 1.0 + np.argsort(np.argsort(x)),
            np.array([0.31, 0.3100001, -1.4, 2.2, 0.3]),
        ),
        "largest_magnitude": (
            lambda x: np.max(np.abs(x)) ** 2,
            lambda x: 2 * x * (np.abs(x) == np.max(np.abs(x))),
            np.array([0.31, -2.2001, -1.4, 2.2]),
        ),
        "median": (
            lambda x: np.median(x) * np.sum(x),
            lambda x: np.median(x) + np.sum(x) * (x == np.median(x)),
            np.array([0.31, 0.77, -1.4, 2.2, 0.3101]),
        ),
        "wrapped_angle": (
            lambda x: np.sum(((x + 3.0) % (2 * np.pi) - np.pi) ** 2),
            lambda x: 2 * ((x + 3.0) % (2 * np.pi) - np.pi),
            np.array([0.31, -2.99, 3.28, 12.2]),
        ),
    }
    for name, (loss, slope, point) in plans.items():
        yield from family(
            name,
            "corners",
            _plain(loss, slope),
            lambda p=point: {"x": p.copy()},
            wrt=("x",),
            truth=exactly(lambda x, s=slope: {"x": s(x)}),
            changes={"largest_entry_1e-3": "x", "sign": "x"},
            smooth=False,
        )


def _plain(loss: Callable[[Any], Any], slope: Callable[[Any], Any]) -> Callable[[str], Target]:
    def make(_bug: str = "") -> Target:
        def target(x: Any) -> tuple[Any, dict[str, Any]]:
            return loss(x), {"x": np.asarray(slope(x), float)}

        return target

    return make


def _deep(bug: str = "") -> Target:
    """Four ReLU layers under a mean square: corners at every distance."""

    def target(a: Any, b: Any, c: Any, d: Any, X: Any) -> tuple[Any, dict[str, Any]]:
        h1 = np.maximum(X @ a, 0)
        h2 = np.maximum(h1 @ b, 0)
        h3 = np.maximum(h2 @ c, 0)
        out = h3 @ d
        loss = 0.5 * np.mean(out**2)
        g = out / out.size
        gradient = {"d": h3.T @ g}
        g = (g @ d.T) * (h3 > 0)
        gradient["c"] = h2.T @ g
        g = g @ c.T if bug == "middle_mask_missing" else (g @ c.T) * (h2 > 0)
        gradient["b"] = h1.T @ g
        gradient["a"] = X.T @ ((g @ b.T) * (h1 > 0))
        return loss, gradient

    return target


def _deep_twin(a: Any, b: Any, c: Any, d: Any, X: Any) -> Any:
    import torch

    h = X
    for w in (a, b, c):
        h = torch.relu(h @ w)
    return 0.5 * (h @ d).square().mean()


def _scaleless() -> Iterator[PowerCase]:
    """Yield parameters that are all zero, one zero among others, and losses that are 0 or flat."""

    def logistic(bug: str = "") -> Target:
        def target(w: Any, b: Any, X: Any, Y: Any) -> tuple[Any, dict[str, Any]]:
            score = X @ w + b
            d = 1 / (1 + np.exp(-score)) - (Y > 0)
            slope = X.T @ d / (1 if bug == "mean_missing" else len(X))
            return np.mean(np.logaddexp(0, score) - (Y > 0) * score), {"w": slope, "b": d.mean()}

        return target

    def twin(w: Any, b: Any, X: Any, Y: Any) -> Any:
        import torch

        labels = (Y > 0).double()
        return torch.nn.functional.binary_cross_entropy_with_logits(X @ w + b, labels)

    draw = drawn(201, w=(4,), X=(9, 4), Y=(9,))
    starts = {
        "all_zero": [0.0] * 4,
        "one_zero": [0.5, 0.0, -1.0, 0.2],
        "1e-4": [1e-4, -2e-4, 5e-5, 1e-4],
        "1e-9": [1e-9, -2e-9, 5e-10, 1e-9],
        "1e-12": [1e-12] * 4,
    }
    for name, start in starts.items():
        yield from family(
            f"logistic_from_{name}",
            "true zeros",
            logistic,
            lambda s=start: {**draw(), "w": np.array(s), "b": np.array(0.0)},
            wrt=("w", "b"),
            twin=twin,
            bugs=("mean_missing",),
            changes={"factor_1.0001": "w", "median_entry_1e-3": "w", "sign": "b"},
        )
    yield from family(
        "perfect_fit",
        "true zeros",
        _plain(lambda x: np.sum((x - 1.0) ** 2), lambda x: 2 * (x - 1.0)),
        lambda: {"x": np.ones(3)},
        wrt=("x",),
        truth=exactly(lambda x: {"x": 0 * x}),
    )
    for label, value in {"right": 0.0, "spurious": 1e-3}.items():
        yield PowerCase(
            f"constant_loss/{label}",
            "true zeros",
            lambda x, v=value: (3.0, {"x": np.full(x.shape, v)}),
            lambda: {"x": np.array([0.5, -2.0])},
            ("x",),
            label == "right",
            exactly(lambda x: {"x": 0 * x}),
        )


def _unequal(weak: float) -> Iterator[PowerCase]:
    """Two terms of unequal size: the weak one's parameter moves the loss by little."""

    def make(bug: str = "") -> Target:
        def target(strong: Any, feeble: Any) -> tuple[Any, dict[str, Any]]:
            loss = np.sum(np.cosh(strong)) + weak * np.sum(np.sin(feeble) ** 2)
            slope = weak * np.sin(2 * feeble) * (1.001 if bug == "feeble_scaled" else 1.0)
            return loss, {"strong": np.sinh(strong), "feeble": slope}

        return target

    def twin(strong: Any, feeble: Any) -> Any:
        return strong.cosh().sum() + weak * (0.5 - 0.5 * (2 * feeble).cos()).sum()

    yield from family(
        f"unequal_terms_{weak:g}",
        "scale",
        make,
        lambda: {"strong": np.array([0.5, -1.2, 2.0]), "feeble": np.array([0.4, 1.9, -0.3])},
        wrt=("strong", "feeble"),
        twin=twin,
        bugs=("feeble_scaled",),
        changes={
            "sign": "feeble",
            "zero": "feeble",
            "factor_2": "feeble",
            "factor_1.0001": "strong",
        },
        beyond_arithmetic=weak < 1e-10,
    )


def cases() -> Iterator[PowerCase]:
    """Yield the traps."""
    yield from _waves()
    yield from _cornered()
    yield from family(
        "deep_relu",
        "large",
        _deep,
        drawn(202, a=(10, 20), b=(20, 24), c=(24, 16), d=(16, 3), X=(30, 10)),
        wrt=("a", "b", "c", "d"),
        twin=_deep_twin,
        bugs=("middle_mask_missing",),
        changes={"median_entry_1e-3": "b", "row": "a", "factor_1.0001": "c"},
        smooth=False,
    )
    yield from _scaleless()
    for weak in (1e-2, 1e-4, 1e-6, 1e-8, 1e-12, 1e-13, 1e-14):
        yield from _unequal(weak)
