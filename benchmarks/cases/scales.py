"""Tiny and huge gradients and parameters, large offsets, true zeros."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

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


def cases() -> Iterator[PowerCase]:
    """Yield the cases of scale."""
    yield from _networks()
    for k, spread in enumerate((2, 4, 6, 9)):
        yield from _mixed(spread, 80 + k)
    yield from _zeros()
