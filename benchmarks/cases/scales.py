"""Tiny and huge gradients and parameters, large offsets, true zeros, saturation, noisy losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import special

from benchmarks.cases.changes import family
from benchmarks.cases.contract import PowerCase, Target, Truth, exactly
from benchmarks.cases.networks import dense, dense_twin, drawn

NAMES = ("w1", "b1", "w2", "b2")
SHAPES = {"w1": (3, 4), "b1": (4,), "w2": (4, 2), "b2": (2,), "X": (6, 3), "Y": (6, 2)}
Scaled = dict[str, Any]


def _network(loss_scale: float, parameter_scale: float, offset: float) -> Callable[[str], Target]:
    """Return the maker of ``offset + loss_scale * network(parameters / parameter_scale)``."""
    make_inner = dense("tanh")

    def make(_bug: str = "") -> Target:
        inner = make_inner("")

        def target(w1: Any, b1: Any, w2: Any, b2: Any, X: Any, Y: Any) -> Any:
            loss, gradient = inner(
                w1 / parameter_scale,
                b1 / parameter_scale,
                w2 / parameter_scale,
                b2 / parameter_scale,
                X,
                Y,
            )
            factor = loss_scale / parameter_scale
            return offset + loss_scale * loss, {k: factor * g for k, g in gradient.items()}

        return target

    return make


def _scaled_inputs(parameter_scale: float) -> Callable[[], dict[str, Any]]:
    draw = drawn(71, **SHAPES)

    def inputs() -> dict[str, Any]:
        found = draw()
        return {k: v * parameter_scale if k in NAMES else v for k, v in found.items()}

    return inputs


def _scaled_twin(loss_scale: float, parameter_scale: float, offset: float) -> Any:
    inner = dense_twin("tanh")

    def twin(w1: Any, b1: Any, w2: Any, b2: Any, X: Any, Y: Any) -> Any:
        s = parameter_scale
        return offset + loss_scale * inner(w1 / s, b1 / s, w2 / s, b2 / s, X, Y)

    return twin


def _networks() -> Iterator[PowerCase]:
    """Yield one network under loss scales, parameter scales and offsets."""
    grid = [(10.0**k, 1.0, 0.0) for k in (-12, -9, -6, -3, 3, 6, 9, 12)]
    grid += [(1.0, 10.0**k, 0.0) for k in (-9, -6, -3, 3, 6, 9)]
    grid += [(1e-6, 1e6, 0.0), (1e6, 1e-6, 0.0), (1e-3, 1e9, 0.0)]
    grid += [(1.0, 1.0, offset) for offset in (1e3, 1e6, 1e8, -1e8)] + [(1e8, 1.0, 1e12)]
    sets = (
        {"median_entry_1e-3": "w1", "sign": "b2"},
        {"factor_0.999": "w2", "largest_entry_1e-3": "b1"},
        {"factor_1.0001": "w1", "zero": "b2"},
        {"small_entry_sign": "w2", "transposed": "w1"},
    )
    for k, (loss_scale, parameter_scale, offset) in enumerate(grid):
        yield from family(
            f"network_loss_{loss_scale:g}_parameters_{parameter_scale:g}_offset_{offset:g}",
            "offset" if offset else "scale",
            _network(loss_scale, parameter_scale, offset),
            _scaled_inputs(parameter_scale),
            wrt=NAMES,
            twin=_scaled_twin(loss_scale, parameter_scale, offset),
            changes=sets[k % 4],
        )


def _mixed(spread: float, seed: int) -> Iterator[PowerCase]:
    """One array whose entries range over ``spread`` orders of magnitude either way."""
    rng = np.random.default_rng(seed)
    unit = 10.0 ** rng.permutation(np.linspace(-spread, spread, 8))
    base = rng.normal(size=8)

    def make(bug: str = "") -> Target:
        def target(w: Any, unit: Any, a: Any) -> tuple[Any, dict[str, Any]]:
            z = w / unit
            loss = np.sum(np.log(np.cosh(z - a))) + 0.1 * np.sum(z) ** 2
            slope = (np.tanh(z - a) + 0.2 * np.sum(z)) / unit
            if bug == "unit_missing":
                slope = slope * unit
            if bug == "coupling_missing":
                slope = np.tanh(z - a) / unit
            return loss, {"w": slope}

        return target

    def twin(w: Any, unit: Any, a: Any) -> Any:
        import torch

        z = w / unit
        return torch.log(torch.cosh(z - a)).sum() + 0.1 * z.sum() ** 2

    yield from family(
        f"mixed_within_array_1e{spread:g}",
        "scale",
        make,
        lambda: {"w": base * unit, "unit": unit.copy(), "a": np.linspace(-1, 1, 8)},
        wrt=("w",),
        twin=twin,
        bugs=("unit_missing", "coupling_missing"),
        changes={"largest_entry_1e-3": "w", "factor_1.0001": "w"},
    )


def _optimum(bug: str = "") -> Target:
    """Ridge regression; the inputs stand at its minimum, where the true gradient is 0."""

    def target(w: Any, X: Any, Y: Any) -> tuple[Any, dict[str, Any]]:
        residual = X @ w - Y
        loss = 0.5 * np.sum(residual**2) + 0.5 * np.sum(w**2)
        slope = X.T @ residual
        if bug == "decay_missing":
            return loss, {"w": slope}
        slope = slope + w * (1.01 if bug == "decay_1.01" else 1.0)
        if bug == "exact_zero":
            slope = np.zeros_like(w)
        return loss, {"w": slope + 1e-3 if bug == "shifted" else slope}

    return target


def _zeros() -> Iterator[PowerCase]:
    """Yield points where a true derivative is 0: everywhere, in a parameter, in one entry."""
    x = np.random.default_rng(72).normal(size=(9, 4))
    y = np.random.default_rng(73).normal(size=9)
    best = np.linalg.solve(x.T @ x + np.eye(4), x.T @ y)

    def optimum_inputs() -> dict[str, Any]:
        return {"w": best.copy(), "X": x.copy(), "Y": y.copy()}

    def optimum_truth(_inputs: dict[str, Any]) -> Truth:
        return Truth({"w": (np.zeros(4), np.zeros(4))})

    for bug in ("", "exact_zero", "decay_missing", "decay_1.01", "shifted"):
        yield PowerCase(
            f"optimum/{bug or 'right'}",
            "true zeros",
            _optimum(bug),
            optimum_inputs,
            ("w",),
            bug in ("", "exact_zero"),
            optimum_truth,
            floor=1e-13,
        )

    def saddle(bug: str = "") -> Target:
        def target(u: Any, v: Any, unused: Any) -> tuple[Any, dict[str, Any]]:
            loss = 1.0 + np.sum(u**2 * np.cos(v))
            d_u, d_v = 2 * u * np.cos(v), -(u**2) * np.sin(v)
            d_unused = np.zeros_like(unused)
            if bug == "spurious_entry":
                d_u[1] = 1e-2
            if bug == "spurious_parameter":
                d_unused = 1e-4 * unused
            if bug == "not_zero_in_v":
                d_v = d_v + 1e-5 * np.cos(v)
            return loss, {"u": d_u, "v": d_v, "unused": d_unused}

        return target

    def saddle_truth(u: Any, v: Any, unused: Any) -> dict[str, Any]:
        return {"u": 2 * u * np.cos(v), "v": -u * u * np.sin(v), "unused": 0 * unused}

    for name, points in {
        "one_entry": ([0.5, 0.0, -1.2], [0.3, 0.7, -0.4]),
        "whole_parameter": ([0.5, 0.0, -1.2], [0.0, 0.0, 0.0]),
        "everything": ([0.0, 0.0, 0.0], [0.3, 0.7, 0.0]),
    }.items():
        for bug in ("", "spurious_entry", "spurious_parameter", "not_zero_in_v"):
            yield PowerCase(
                f"zero_in_{name}/{bug or 'right'}",
                "true zeros",
                saddle(bug),
                lambda p=points: {
                    "u": np.array(p[0]),
                    "v": np.array(p[1]),
                    "unused": np.array([1.0, -2.0]),
                },
                ("u", "v", "unused"),
                not bug,
                exactly(saddle_truth),
            )


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
    """Yield the cases of scale."""
    yield from _networks()
    for k, spread in enumerate((2, 4, 6, 9)):
        yield from _mixed(spread, 80 + k)
    yield from _zeros()
    yield from _saturated()
    yield from _noisy()
    yield from _hopeless()
    yield from _conditioned()
