"""For each operation that can be traced: calls of it, drawn at random.

``CASES`` maps what the registry holds to functions that draw a call and its arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from traced_calls import LAYOUTS, A, B, C, Call, Spec

Case = Callable[["Draw"], tuple[Call, list[Spec]]]


@dataclass
class Draw:
    """Choices for one call, of whatever ``integer(low, high)`` returns."""

    integer: Callable[[int, int], int]
    plain: bool = False
    """Only float64 in C order, of ordinary shapes: what every rule has to follow."""
    shapes: tuple[tuple[int, ...], ...] = field(
        default=((3,), (2, 3), (3, 3), (2, 2, 3), (1, 3), (1,), (), (0,), (2, 0), (4, 1))
    )

    def choice(self, *options: Any) -> Any:
        """Return one of the options."""
        return options[self.integer(0, len(options) - 1)]

    def flag(self) -> bool:
        """Return True or False."""
        return bool(self.integer(0, 1))

    def shape(self, least: int = 0, most: int = 3, *, empty: bool = True) -> tuple[int, ...]:
        """Return a shape of so many axes."""
        allowed = [
            shape
            for shape in self.shapes
            if least <= len(shape) <= most and (0 not in shape or (empty and not self.plain))
        ]
        return self.choice(*allowed)

    def spec(
        self, shape: tuple[int, ...], low: float = -2.0, high: float = 2.0, dtype: str = ""
    ) -> Spec:
        """Return an array of this shape: laid out in some way, of some float dtype."""
        if self.plain:
            return Spec(shape, dtype or "float64", "C", self.integer(0, 999), low, high)
        kind = dtype or self.choice("float64", "float64", "float64", "float32")
        return Spec(shape, kind, self.choice(*LAYOUTS), self.integer(0, 999), low, high)

    def other(self, shape: tuple[int, ...], low: float = -2.0, high: float = 2.0) -> Spec:
        """Return an array of this shape that may be of integers or booleans."""
        kinds = ("float64",) if self.plain else ("float64", "float64", "float32", "int64", "bool")
        return self.spec(shape, low, high, self.choice(*kinds))

    def axis(self, shape: tuple[int, ...]) -> int:
        """Return an axis, counted from either end."""
        return self.integer(-len(shape), len(shape) - 1)

    def axes(self, shape: tuple[int, ...]) -> Any:
        """Return None, an axis, or several."""
        if not shape or self.integer(0, 3) == 0:
            return None
        if self.flag():
            return self.axis(shape)
        chosen = tuple(axis for axis in range(len(shape)) if self.flag())
        return chosen or (0,)


DOMAINS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("log", "log2", "log10", "sqrt", "reciprocal"), (0.2, 3.0)),
    **dict.fromkeys(("arcsin", "arccos", "arctanh", "erfinv"), (-0.9, 0.9)),
    **dict.fromkeys(("logit", "ndtri"), (0.1, 0.9)),
    **dict.fromkeys(("arccosh",), (1.2, 4.0)),
    **dict.fromkeys(("log1p", "exprel", "log_ndtr"), (-0.8, 2.0)),
    **dict.fromkeys(("gammaln", "loggamma", "digamma", "psi", "gamma", "entr"), (0.3, 4.0)),
    **dict.fromkeys(("tan",), (-1.2, 1.2)),
}
"""Where functions of one variable are looked at, if not from -2 to 2."""

PAIRS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("power", "float_power", "divide", "xlogy", "rel_entr"), (0.3, 2.0)),
    **dict.fromkeys(("kl_div", "beta", "betaln", "gammainc", "gammaincc", "boxcox"), (0.3, 2.0)),
    **dict.fromkeys(("remainder", "fmod", "huber", "xlog1py"), (0.3, 2.0)),
}


OF_SECOND = ("gammainc", "gammaincc")
"""Functions that are differentiated by their second argument alone."""


def of_ufunc(ufunc: Any) -> Case:
    """Draw a call of a ufunc: of broadcast operands, with ``out`` or ``where`` or neither."""
    if not isinstance(ufunc, np.ufunc):  # softplus, which SciPy computes by logaddexp
        return lambda d: (Call(ufunc, (A,)), [d.spec(d.shape())])
    if ufunc.__name__ in OF_SECOND:
        return lambda d: (Call(ufunc, (1.7, A)), [d.spec(d.shape(), 0.3, 2.0)])
    low, high = (DOMAINS if ufunc.nin == 1 else PAIRS).get(ufunc.__name__, (-2.0, 2.0))

    def draw(d: Draw) -> tuple[Call, list[Spec]]:
        shape = d.shape()
        specs = [d.spec(shape, low, high)]
        for _ in range(ufunc.nin - 1):
            other = d.choice(shape, shape[1:], (1, *shape[1:]) if shape else ())
            specs.append(d.other(other, low, high))
        if ufunc is np.ldexp:
            specs[1] = d.spec(shape, low, high, "int64")
        if ufunc.nin == 2 and d.flag() and ufunc is not np.ldexp:
            specs.reverse()
        operands = (A, B, C)[: ufunc.nin]
        # SciPy 1.17 writes past the end of an array whose mask is True in two places apart
        masked = "where" if getattr(np, ufunc.__name__, None) is ufunc else "out"
        kind = d.choice("plain", "plain", "out", masked)
        full = np.broadcast_shapes(*(spec.shape for spec in specs))
        if kind == "plain" or ufunc.signature is not None:
            return Call(ufunc, operands), specs
        specs.append(d.spec(full))
        out = (A, B, C)[: ufunc.nin + 1][-1]
        if ufunc.nin == 3:
            return Call(ufunc, operands), specs[:3]
        where = {"where": np.arange(math.prod(full)).reshape(full) % 2 == 0}
        return Call(ufunc, operands, {"out": out, **(where if kind == "where" else {})}), specs

    return draw


def of_matmul(ufunc: Any) -> Case:
    def draw(d: Draw) -> tuple[Call, list[Spec]]:
        first, second = d.choice(
            ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((2, 2, 3), (3, 2)),
            ((2, 3), (2, 3, 1)), ((2, 1, 3), (1, 3, 2)),
        )  # fmt: skip
        if ufunc.__name__ == "vecdot":  # since NumPy 2
            first = second = d.shape(1)
        return Call(ufunc, (A, B)), [d.spec(first), d.other(second)]

    return draw


def reduction(function: Any, *, several: bool = True, **options: Any) -> Case:
    """Draw a reduction over axes."""

    def draw(d: Draw) -> tuple[Call, list[Spec]]:
        shape = d.shape(1)
        axes = d.axes(shape)
        if isinstance(axes, tuple) and not several:
            axes = axes[0]
        kwargs: dict[str, Any] = {"axis": axes}
        if d.flag() and options.get("keepdims", True):
            kwargs["keepdims"] = d.flag()
        if options.get("ddof") and d.flag():
            kwargs["ddof"] = 1
        if options.get("where") and d.flag():
            mask = np.arange(math.prod(shape)).reshape(shape) % 3 != 1
            kwargs["where"] = mask
        if "initial" in options and (d.flag() or "where" in kwargs):
            kwargs["initial"] = options["initial"]
        return Call(function, (A,), kwargs), [d.spec(shape)]

    return draw


def along(function: Any, *more: Any, flat: bool = True, least: int = 1, **kwargs: Any) -> Case:
    """Draw a call along one axis, or (``flat``) over all entries."""

    def draw(d: Draw) -> tuple[Call, list[Spec]]:
        shape = d.shape(least)
        axis = None if flat and d.flag() else d.axis(shape)
        return Call(function, (A, *more), {"axis": axis, **kwargs}), [d.spec(shape)]

    return draw


def fixed(function: Any, *args: Any, shapes: Any = ((2, 3),), low: float = -2.0, **kw: Any) -> Case:
    """Draw only the arrays: their shapes are given, as are the arguments."""

    def draw(d: Draw) -> tuple[Call, list[Spec]]:
        return Call(function, args or (A,), kw), [d.spec(shape, low) for shape in shapes]

    return draw


def moving(function: Any, *argument_lists: tuple[Any, ...], least: int = 1, most: int = 3) -> Case:
    """Draw a shape, and one of the argument lists."""

    def draw(d: Draw) -> tuple[Call, list[Spec]]:
        args = d.choice(*argument_lists) if argument_lists else ()
        return Call(function, (A, *args)), [d.spec(d.shape(least, most))]

    return draw


def either(*cases: Case) -> Case:
    """Draw one of several cases."""
    return lambda d: d.choice(*cases)(d)


def joining(function: Any, **kwargs: Any) -> Case:
    """Draw arrays of one shape in a list."""

    def draw(d: Draw) -> tuple[Call, list[Spec]]:
        shape = d.shape(1)
        return Call(function, ([A, B],), kwargs), [d.spec(shape), d.other(shape)]

    return draw


def square(function: Any, *more: Any, symmetric: bool = False, right: Any = None) -> Case:
    """Draw a matrix that is well conditioned (or symmetric and positive), and a right-hand side."""

    def call(a: np.ndarray, *others: np.ndarray) -> Any:
        matrix = a @ a.T + 3 * np.eye(len(a)) if symmetric else a + 4 * np.eye(len(a))
        return function(matrix, *others, *more)

    def draw(d: Draw) -> tuple[Call, list[Spec]]:
        n = d.integer(1, 3)
        specs = [d.spec((n, n), dtype="float64", low=-1.0, high=1.0)]
        if right is not None:
            specs.append(d.spec((n, 2) if right == "matrix" or d.flag() else (n,), dtype="float64"))
        return Call(call, (A, B)[: len(specs)]), specs

    return draw


def number(
    function: Any, *more: Any, low: float = -2.0, high: float = 2.0, dtype: str = "float64"
) -> Case:
    """Draw a call on one number out of an array, as a Python float."""

    def call(a: np.ndarray) -> Any:
        return function(a.item(), *more)

    return lambda d: (Call(call, (A,)), [d.spec((1,), low, high, dtype)])
