"""Single precision: in the inputs, forced inside the loss, promoted away, and mixed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.cases.changes import family
from benchmarks.cases.contract import PowerCase, Target, exactly
from benchmarks.cases.kinks import _smooth, _smooth_slope
from benchmarks.cases.networks import dense, dense_twin, drawn

NAMES = ("w1", "b1", "w2", "b2")
SHAPES = {"w1": (4, 5), "b1": (5,), "w2": (5, 3), "b2": (3,), "X": (7, 4), "Y": (7, 3)}
SETS = (
    {"factor_1.02": "w1", "sign": "b2", "row": "w2", "largest_entry_0.03": "w1"},
    {"median_entry_0.05": "w2", "zero": "b1", "swapped_entries": "w1", "factor_0.5": "w2"},
    {"small_entry_sign": "w1", "factor_1.02": "b1", "row": "w1", "largest_entry_0.03": "w2"},
)


def single(factory: Callable[[], dict[str, Any]], *names: str) -> Callable[[], dict[str, Any]]:
    """Return ``factory`` with the named float inputs (by default all) in float32."""

    def inputs() -> dict[str, Any]:
        return {
            key: value.astype(np.float32)
            if (not names or key in names) and value.dtype.kind == "f"
            else value
            for key, value in factory().items()
        }

    return inputs


def _forced(activation: str, where: str) -> Callable[[str], Target]:
    """Return the maker of a float64 network that casts to float32 on the way.

    ``where`` is ``data``, ``all``, or ``value``: what is cast.
    """
    make_inner = dense(activation)

    def make(bug: str = "") -> Target:
        inner = make_inner(bug)

        def target(w1: Any, b1: Any, w2: Any, b2: Any, X: Any, Y: Any) -> Any:
            if where == "value":
                loss, gradient = inner(w1, b1, w2, b2, X, Y)
                return np.float32(loss), gradient
            X, Y = X.astype(np.float32), Y.astype(np.float32)
            if where == "all":
                w1, b1 = w1.astype(np.float32), b1.astype(np.float32)
                w2, b2 = w2.astype(np.float32), b2.astype(np.float32)
            return inner(w1, b1, w2, b2, X, Y)

        return target

    return make


def _allocated(bug: str = "") -> Target:
    """A recurrent loop that keeps its states in a float32 buffer of its own."""

    def target(w: Any, X: Any) -> tuple[Any, dict[str, Any]]:
        states = np.zeros((len(X) + 1, len(w)), dtype=np.float32)
        for t, x in enumerate(X):
            states[t + 1] = np.tanh(w @ states[t] + x)
        loss = 0.5 * np.sum(states[-1] ** 2)
        d_w, d_h = np.zeros_like(w), states[-1].astype(w.dtype)
        for t in reversed(range(len(X))):
            d_z = d_h if bug == "derivative_missing" else d_h * (1 - states[t + 1] ** 2)
            d_w += np.outer(d_z, states[t])
            d_h = (w if bug == "not_transposed" else w.T) @ d_z
        return loss, {"w": d_w}

    return target


def _allocated_twin(w: Any, X: Any) -> Any:
    import torch

    h = torch.zeros(len(w), dtype=torch.float64)
    for x in X:
        h = torch.tanh(w @ h + x)
    return 0.5 * (h @ h)


def _single_corner(distance: float, wrong: bool) -> PowerCase:
    """A float32 parameter beside a corner, claimed on the wrong side of it or on the right one."""
    base = np.array([0.75, -1.25, 0.5, 1.0], dtype=np.float32)
    knots = base - np.float32(0.35)
    knots[2] = base[2] * (1 - np.float32(distance))

    def target(x: Any, knots: Any) -> tuple[Any, dict[str, Any]]:
        z = x - knots
        slopes = (z > 0).astype(x.dtype)
        if wrong:
            slopes[2] = 0.0 if distance else -0.7
        return np.sum(np.maximum(z, 0)) + _smooth(x), {"x": slopes + _smooth_slope(x)}

    def truth(x: Any, knots: Any) -> dict[str, Any]:
        exact = x.astype(float)
        slopes = (exact > knots).astype(float)
        slopes[exact == knots] = 0.0
        return {"x": slopes + _smooth_slope(exact)}

    return PowerCase(
        f"single_relu_{distance:g}/{'wrong_side' if wrong else 'right'}",
        "single precision",
        target,
        lambda: {"x": base.copy(), "knots": knots.copy()},
        ("x",),
        not wrong,
        exactly(truth),
        dtype="float32",
        smooth=False,
    )


def _half_gradient() -> Iterator[PowerCase]:
    """A float64 loss whose gradient is handed over in float32, as many layers do."""
    inner = dense("tanh")("")

    def make(_bug: str = "") -> Target:
        def target(w1: Any, b1: Any, w2: Any, b2: Any, X: Any, Y: Any) -> Any:
            loss, gradient = inner(w1, b1, w2, b2, X, Y)
            return loss, {key: slope.astype(np.float32) for key, slope in gradient.items()}

        return target

    yield from family(
        "gradient_in_single",
        "single precision",
        make,
        drawn(91, **SHAPES),
        wrt=NAMES,
        twin=dense_twin("tanh"),
        dtype="float32",
        changes=SETS[0],
    )


def cases() -> Iterator[PowerCase]:
    """Yield the cases in single precision."""
    k = 0
    for activation in ("tanh", "gelu", "relu", "swish"):
        bugs = ("derivative_missing", "pre_activation")
        smooth = activation != "relu"
        twin = dense_twin(activation)
        factory = drawn(92 + k, **SHAPES)
        common: dict[str, Any] = {"wrt": NAMES, "twin": twin, "dtype": "float32", "smooth": smooth}
        yield from family(
            f"single_{activation}",
            "single precision",
            dense(activation),
            single(factory),
            bugs=bugs,
            changes=SETS[k % 3],
            **common,
        )
        yield from family(
            f"single_parameters_{activation}",
            "single precision",
            dense(activation),
            single(factory, *NAMES),
            bugs=bugs[:1],
            changes=SETS[(k + 1) % 3],
            **common,
        )
        yield from family(
            f"single_data_{activation}",
            "single precision",
            dense(activation),
            single(factory, "X", "Y"),
            bugs=bugs[1:],
            changes=SETS[(k + 2) % 3],
            **common,
        )
        yield from family(
            f"mixed_{activation}",
            "single precision",
            dense(activation),
            single(factory, "w1", "Y"),
            bugs=bugs[:1],
            changes=SETS[k % 3],
            **common,
        )
        k += 1
    for where, activation in (
        ("data", "tanh"),
        ("all", "tanh"),
        ("all", "gelu"),
        ("value", "tanh"),
        ("all", "relu"),
    ):
        yield from family(
            f"forced_single_{where}_{activation}",
            "single precision forced",
            _forced(activation, where),
            drawn(97, **SHAPES),
            wrt=NAMES,
            twin=dense_twin(activation),
            dtype="float32",
            smooth=activation != "relu",
            bugs=("derivative_missing",),
            changes=SETS[k % 3],
        )
        k += 1
    for dtype in (np.float64, np.float32):
        draw = drawn(98, w=(4, 4), X=(5, 4))
        yield from family(
            f"single_buffer_{np.dtype(dtype).name}",
            "single precision forced",
            _allocated,
            single(draw) if dtype is np.float32 else draw,
            wrt=("w",),
            twin=_allocated_twin,
            dtype="float32",
            bugs=("derivative_missing", "not_transposed"),
            changes={"factor_1.02": "w", "median_entry_0.05": "w"},
        )
    for distance in (0.1, 1e-3, 1e-5, 1e-6, 0.0):
        yield _single_corner(distance, False)
        yield _single_corner(distance, True)
    yield from _half_gradient()
