"""Corners at the point, and beside it at every distance down to 1e-9 of the parameter's scale."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.cases.contract import PowerCase, Target, Truth, between, exactly

RELU: tuple[Any, float, float] = (lambda z: np.maximum(z, 0.0), 0.0, 1.0)
CORNERS: dict[str, tuple[Callable[[Any], Any], float, float]] = {
    "relu": RELU,
    "absolute": (np.abs, -1.0, 1.0),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.1 * z), 0.1, 1.0),
    "pinball": (lambda z: np.maximum(0.9 * z, -0.1 * z), -0.1, 0.9),
    "hard_tanh": (lambda z: np.clip(z, -2.0, 0.0), 1.0, 0.0),
}
"""Functions with a corner at 0: ``(function, slope on the left, slope on the right)``."""

DISTANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
BELOW = (1e-11, 1e-13)
"""Distances that float64 cannot see with a loss of order 1."""

BASE = np.array([0.8, -1.3, 0.5, 1.1, -0.7, 1.6])
WEIGHT = np.array([1.0, -0.7, 1.4, 0.9, 1.2, -1.1])


def _smooth(x: Any) -> Any:
    """Something smooth around the corner, so that the loss is not merely piecewise linear."""
    return np.sum(np.sin(x)) + 0.3 * x[0] * x[2]


def _smooth_slope(x: Any) -> Any:
    slope = np.cos(x)
    slope[0] += 0.3 * x[2]
    slope[2] += 0.3 * x[0]
    return slope


def _beside(corner: str, distance: float, side: int, wrong: bool) -> PowerCase:
    """Return a case whose entry 2 lies ``distance`` from a corner, on one ``side`` of it.

    The wrong gradient takes the slope of the other side there, as an inverted mask does.
    """
    function, left, right = CORNERS[corner]
    scale = float(np.sqrt(np.mean(BASE**2)))
    knots = BASE + 0.35
    knots[2] = BASE[2] - side * distance * scale

    def target(x: Any, knots: Any, weight: Any) -> tuple[Any, dict[str, Any]]:
        z = x - knots
        loss = np.sum(weight * function(z)) + _smooth(x)
        slopes = np.where(z > 0, right, left)
        if corner == "hard_tanh":
            slopes = np.where(z < -2.0, 0.0, slopes)
        if wrong:
            slopes[2] = left if side > 0 else right
        return loss, {"x": weight * slopes + _smooth_slope(x)}

    def truth(x: Any, knots: Any, weight: Any) -> dict[str, Any]:
        slopes = np.where(x > knots, right, left)
        return {"x": weight * slopes + _smooth_slope(x)}

    label = "wrong_side" if wrong else "right"
    return PowerCase(
        f"{corner}_{distance:g}_{'after' if side > 0 else 'before'}/{label}",
        "beside a corner",
        target,
        lambda: {"x": BASE.copy(), "knots": knots.copy(), "weight": WEIGHT.copy()},
        ("x",),
        not wrong,
        exactly(truth),
        smooth=False,
        beyond_arithmetic=distance < 1e-9,
    )


def _at(corner: str, share: float, right: bool) -> PowerCase:
    """Return a case with two entries on the corner, whose claimed slope there is ``share``.

    A share of 0 is the slope of the left, 1 that of the right; anything between is a subgradient.
    """
    function, low, high = CORNERS[corner]
    on = np.array([False, False, True, False, True, False])
    knots = np.where(on, BASE, BASE + 0.35)

    def target(x: Any, knots: Any, weight: Any) -> tuple[Any, dict[str, Any]]:
        z = x - knots
        loss = np.sum(weight * function(z)) + _smooth(x)
        slopes = np.where(z > 0, high, low)
        slopes[z == 0] = low + share * (high - low)
        return loss, {"x": weight * slopes + _smooth_slope(x)}

    def truth(x: Any, knots: Any, weight: Any) -> dict[str, Any]:
        one, other = np.where(x > knots, high, low), np.where(x >= knots, high, low)
        smooth = _smooth_slope(x)
        return {"x": (weight * one + smooth, weight * other + smooth)}

    return PowerCase(
        f"{corner}_at_corner/share_{share:g}",
        "at a corner",
        target,
        lambda: {"x": BASE.copy(), "knots": knots.copy(), "weight": WEIGHT.copy()},
        ("x",),
        right,
        between(truth),
        smooth=False,
    )


def _pooled(ties: bool, wrong: bool) -> PowerCase:
    """Max pooling over four values, two of them tied: the slope may go to either or be shared."""
    values = np.array([[1.0, 2.0, 2.0 if ties else 1.9999, -1.0], [0.3, 0.1, -0.4, 0.2]])

    def target(x: Any) -> tuple[Any, dict[str, Any]]:
        top = x.max(axis=1)
        winners = (x == top[:, None]).astype(float)
        if not wrong:
            winners /= winners.sum(axis=1, keepdims=True)
        elif not ties:
            winners = np.roll(winners, 1, axis=1)
        return 0.5 * np.sum(top**2), {"x": winners * top[:, None]}

    def truth(x: Any) -> dict[str, Any]:
        top = x.max(axis=1, keepdims=True)
        tied = (x == top).sum(axis=1, keepdims=True) > 1
        most = np.where(x == top, top, 0.0)
        return {"x": (np.where(tied, 0.0, most), most)}

    # A tie whose slopes are each within bounds is a subgradient only if they sum to the slope of
    # the maximum; entry by entry it is right all the same, so ties have no wrong variant here.
    return PowerCase(
        f"max_pool_{'tied' if ties else 'near_tie'}/{'wrong' if wrong else 'right'}",
        "at a corner" if ties else "beside a corner",
        target,
        lambda: {"x": values.copy()},
        ("x",),
        not wrong,
        between(truth),
        smooth=False,
    )


def _dead() -> Iterator[PowerCase]:
    """A ReLU layer with some units exactly at 0 through zero biases and a zero example."""
    from benchmarks.cases.networks import dense, drawn

    draw = drawn(61, w1=(3, 4), b1=(4,), w2=(4, 2), b2=(2,), X=(5, 3), Y=(5, 2))

    def inputs() -> dict[str, Any]:
        found = draw()
        found["X"][0] = 0.0
        found["b1"][:] = 0.0
        return found

    def truth(call: dict[str, Any]) -> Truth:
        import torch

        sides = []
        for nudge in (-1e-12, 1e-12):
            tensors = {k: torch.tensor(v) for k, v in call.items()}
            for name in ("w1", "b1", "w2", "b2"):
                tensors[name].requires_grad_(True)
            z = tensors["X"] @ tensors["w1"] + tensors["b1"] + nudge
            out = torch.relu(z) @ tensors["w2"] + tensors["b2"]
            ((out - tensors["Y"]) ** 2).mean().backward()
            sides.append({n: tensors[n].grad.numpy() for n in ("w1", "b1", "w2", "b2")})
        return Truth(
            {
                n: (np.minimum(sides[0][n], sides[1][n]), np.maximum(sides[0][n], sides[1][n]))
                for n in sides[0]
            }
        )

    for bug in ("", "derivative_missing"):
        yield PowerCase(
            f"relu_units_at_0/{bug or 'right'}",
            "at a corner",
            dense("relu")(bug),
            inputs,
            ("w1", "b1", "w2", "b2"),
            not bug,
            truth,
            smooth=False,
            floor=1e-11,
        )


def _masked(wrong: bool) -> PowerCase:
    """``relu(x) - 0.1 relu(-x)`` written with two masks that are both shut at 0.

    The slopes are 0.1 and 1, and the code gives 0: each operation took a derivative of its own
    that is valid, so the gradient is right although it lies outside the interval.
    """

    def target(x: Any) -> tuple[Any, dict[str, Any]]:
        loss = np.sum(np.maximum(x, 0.0)) - 0.1 * np.sum(np.maximum(-x, 0.0))
        slope = (x > 0) + 0.1 * (x < 0)
        if wrong:
            slope = np.where(x == 0, -0.5, slope)
        return loss, {"x": slope}

    def bounds(x: Any) -> dict[str, Any]:
        low = np.where(x > 0, 1.0, np.where(x < 0, 0.1, 0.0))
        return {"x": (low, np.where(x == 0, 1.1, low))}

    return PowerCase(
        f"two_masks_at_0/{'wrong' if wrong else 'right'}",
        "at a corner",
        target,
        lambda: {"x": np.array([0.5, 0.0, -1.2, 0.0])},
        ("x",),
        not wrong,
        between(bounds),
        smooth=False,
    )


def _steps() -> Iterator[PowerCase]:
    """Rounding inside the loss: its derivative is 0, whatever a straight-through estimator says."""

    def make(through: bool) -> Target:
        def target(x: Any) -> tuple[Any, dict[str, Any]]:
            levels = np.round(4 * x) / 4
            loss = np.sum(levels * np.array([1.0, -2.0, 0.5])) + 0.5 * np.sum(x**2)
            slope = x + (np.array([1.0, -2.0, 0.5]) if through else 0.0)
            return loss, {"x": slope}

        return target

    for through in (False, True):
        yield PowerCase(
            f"rounding/{'straight_through' if through else 'right'}",
            "beside a corner",
            make(through),
            lambda: {"x": np.array([0.3, -0.55, 1.2])},
            ("x",),
            not through,
            exactly(lambda x: {"x": x}),
            smooth=False,
        )


def _second_order() -> Iterator[PowerCase]:
    """Corners of the derivative, not of the loss: Richardson's order fails, the slope exists."""
    shapes: Mapping[str, tuple[Any, Any]] = {
        "squared_relu": (lambda z: np.maximum(z, 0) ** 2, lambda z: 2 * np.maximum(z, 0)),
        "huber": (
            lambda z: np.where(np.abs(z) < 0.5, z * z, np.abs(z) - 0.25),
            lambda z: np.clip(2 * z, -1, 1),
        ),
        "power_1.5": (lambda z: np.abs(z) ** 1.5, lambda z: 1.5 * np.sign(z) * np.abs(z) ** 0.5),
    }
    for name, (function, slope) in shapes.items():
        for distance in (0.0, 1e-8, 1e-4, 1e-2):
            for wrong in (False, True):
                yield _bent(name, function, slope, distance, wrong)


def _bent(name: str, function: Any, slope: Any, distance: float, wrong: bool) -> PowerCase:
    knots = BASE + 0.3
    knots[2] = BASE[2] - distance

    def target(x: Any, knots: Any) -> tuple[Any, dict[str, Any]]:
        loss = np.sum(function(x - knots)) + _smooth(x)
        claimed = slope(x - knots) + _smooth_slope(x)
        if wrong:
            claimed[2] *= 1.005
        return loss, {"x": claimed}

    return PowerCase(
        f"{name}_{distance:g}/{'entry_5e-3' if wrong else 'right'}",
        "beside a corner" if distance else "at a corner",
        target,
        lambda: {"x": BASE.copy(), "knots": knots.copy()},
        ("x",),
        not wrong,
        exactly(lambda x, knots: {"x": slope(x - knots) + _smooth_slope(x)}),
        smooth=False,
    )


def cases() -> Iterator[PowerCase]:
    """Yield the cases with corners."""
    names = list(CORNERS)
    for k, distance in enumerate(DISTANCES + BELOW):
        for side in (-1, 1):
            for corner in (names[k % 5], names[(k + 2) % 5]):
                for wrong in (False, True):
                    yield _beside(corner, distance, side, wrong)
    for corner in CORNERS:
        for share, right in ((0.0, True), (1.0, True), (0.5, True), (1.6, False), (-0.8, False)):
            yield _at(corner, share, right)
    yield _pooled(True, False)
    yield _pooled(False, False)
    yield _pooled(False, True)
    yield from _dead()
    yield _masked(False)
    yield _masked(True)
    yield from _steps()
    yield from _second_order()
