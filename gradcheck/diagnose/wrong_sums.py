"""Sums over the wrong axis, and cumulative sums handed back in the wrong direction."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.flow import Handing
from gradcheck.diagnose.wrong import Rule, Wrong

_BROADCASTING = frozenset({"add", "subtract", "multiply", "divide", "true_divide"})


def wrong_broadcasts(here: Handing) -> Iterator[Wrong]:
    """Yield other ways to bring a gradient to the shape of an operand that was broadcast."""
    shape, wide = here.right.shape[1:], here.cotangent.shape[1:]
    name = here.operation.name
    if name not in _BROADCASTING or shape == wide or len(here.operands) != 2:
        return
    slope = _slope(here)
    if slope is None:
        return
    size = int(np.prod(shape))
    line = here.operation.site.line
    right = broadcast_axes(shape, wide)
    for axes in _subsets(len(wide)):
        left = int(np.prod([n for k, n in enumerate(wide) if k not in axes]))
        if left != size or int(np.prod([wide[k] for k in axes])) < 2:
            continue
        over = " and ".join(str(axis) for axis in axes)
        for words, reduce in _REDUCTIONS:
            if axes == right and words == "summed":
                continue
            cause = "wrong_axis"
            if axes == right:
                cause = {"averaged": "batch_divided_twice"}.get(words, "factor_missing")
            yield Wrong(
                cause,
                f"is {words} over axis {over} instead of summed over the axes of the broadcast",
                f"Sum over the axes along which line {line} broadcasts.",
                _reduced(slope, axes, reduce, shape),
            )


def _largest(array: Array, axis: tuple[int, ...]) -> Array:
    """Return the entry that is largest in size."""
    low, high = array.min(axis=axis), array.max(axis=axis)
    return np.asarray(np.where(-low > high, low, high))


def _at(place: int) -> Callable[[Array, tuple[int, ...]], Array]:
    return lambda array, axis: array[
        tuple(place if k in axis else slice(None) for k in range(array.ndim))
    ]


_REDUCTIONS: tuple[tuple[str, Callable[[Array, tuple[int, ...]], Array]], ...] = (
    ("summed", lambda array, axis: array.sum(axis=axis)),
    ("averaged", lambda array, axis: array.mean(axis=axis)),
    ("reduced to its largest entry", _largest),
    ("reduced to its last entry", _at(-1)),
    ("reduced to its first entry", _at(0)),
)


def _reduced(
    slope: Array,
    axes: tuple[int, ...],
    reduce: Callable[[Array, tuple[int, ...]], Array],
    shape: tuple[int, ...],
) -> Rule:
    behind = tuple(axis + 1 for axis in axes)
    return lambda c, runs: np.asarray(reduce(c * slope[runs], behind)).reshape(len(c), *shape)


def _slope(here: Handing) -> Array | None:
    """Return what the result's gradient is multiplied by before it is summed."""
    name, operand = here.operation.name, here.operand
    ones = np.ones((len(here.runs), *(1,) * (here.cotangent.ndim - 1)))
    if name == "add":
        return ones
    if name == "subtract":
        return ones if operand == 0 else -ones
    other = here.operands[1 - operand]
    missing = here.cotangent.ndim - other.ndim
    other = other.reshape(len(other), *(1,) * missing, *other.shape[1:])
    if name == "multiply":
        return other
    return 1.0 / other if operand == 0 else None


def broadcast_axes(shape: tuple[int, ...], wide: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of ``wide`` along which an array of ``shape`` is repeated."""
    padded = (1,) * (len(wide) - len(shape)) + shape
    return tuple(k for k, (m, n) in enumerate(zip(padded, wide, strict=True)) if m != n)


def _subsets(n: int) -> Iterator[tuple[int, ...]]:
    for count in range(1, n + 1):
        yield from itertools.combinations(range(n), count)


def wrong_reductions(here: Handing) -> Iterator[Wrong]:
    """Yield a sum, mean or cumulative sum that is handed back along another axis."""
    name, shape = here.operation.name, here.right.shape[1:]
    if name == "cumsum":
        yield from _cumulative(here)
        return
    taken = here.cotangent.shape[1:]
    if name not in ("sum", "mean") or not taken or len(shape) < 2 or not here.right.size:
        return
    weight = 1.0 if name == "sum" else float(np.prod(taken) / np.prod(shape))
    flat = tuple(n for n in taken if n != 1)
    for axes in _subsets(len(shape)):
        kept = tuple(n for k, n in enumerate(shape) if k not in axes)
        if tuple(n for n in kept if n != 1) != flat:
            continue
        units = tuple(1 if k in axes else n for k, n in enumerate(shape))
        yield Wrong(
            "wrong_axis",
            f"is spread along axis {' and '.join(str(a) for a in axes)}",
            f"Spread it along the axis that line {here.operation.site.line} sums over.",
            _spread(units, shape, weight),
        )


def _spread(units: tuple[int, ...], shape: tuple[int, ...], weight: float) -> Rule:
    return lambda c, _: np.broadcast_to(c.reshape(len(c), *units) * weight, (len(c), *shape))


def _cumulative(here: Handing) -> Iterator[Wrong]:
    if here.right.shape != here.cotangent.shape:
        return
    given = here.operation.keywords.get("axis")
    axis = 1 if given is None else int(given) % (here.right.ndim - 1) + 1
    remedy = "Sum the gradient backwards along the axis: flip, cumsum, flip."
    yield Wrong("term_missing", "is handed on entry by entry, not summed", remedy, lambda c, _: c)
    yield Wrong(
        "wrong_axis",
        "is summed forwards along the axis, not backwards",
        remedy,
        lambda c, _: np.cumsum(c, axis=axis),
    )
    yield Wrong(
        "term_missing",
        "is summed backwards without its own entry",
        remedy,
        lambda c, _: np.flip(np.cumsum(np.flip(c, axis), axis), axis) - c,
    )
    yield Wrong(
        "wrong_axis",
        "is summed over the whole axis",
        remedy,
        lambda c, _: np.broadcast_to(c.sum(axis=axis, keepdims=True), c.shape),
    )
