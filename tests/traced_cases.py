"""The cases by operation: whatever the registry holds has at least one."""

from __future__ import annotations

import copy
import dataclasses
import math
import operator
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
import scipy.special
from traced_array_cases import (
    DOT,
    MASK,
    clipping,
    norm,
    numpy_functions,
    of_ufuncs,
    pairs,
    permuting,
    reshaping,
    taking,
    two_axes,
    typed,
)
from traced_calls import A, B, C, Call
from traced_operations import (
    DOMAINS,
    Case,
    along,
    either,
    fixed,
    moving,
    number,
    reduction,
    square,
)
from traced_transform_cases import transforms

from gradcheck.tracing.registry import registry


def _writing(function: Callable[..., None]) -> Case:
    """A function that writes into a copy of its argument, which is then returned."""

    def call(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        new = a.copy()
        function(new, b)
        return new

    return lambda d: (Call(call, (A, B)), [d.spec((2, 3)), d.spec((2, 3))])


def _elements(a: np.ndarray) -> list[Any]:
    return [place[0] * value for place, value in np.ndenumerate(a)]


def _strided(a: np.ndarray) -> np.ndarray:
    size = a.itemsize
    return np.lib.stride_tricks.as_strided(np.ascontiguousarray(a * 2), (2, 2), (3 * size, size))


def _rows(a: np.ndarray) -> Any:
    return np.apply_along_axis(lambda row: row * row[0], 1, a)


def _creation() -> dict[Any, Case]:
    def of_number(function: Any) -> Case:
        return number(function, low=0.3, high=2.0)

    return {
        np.arange: of_number(lambda x: np.arange(x, x + 2.05, 0.5)),
        np.bincount: fixed(np.bincount, [0, 2, 2], A, shapes=((3,),)),
        np.full: of_number(lambda x: np.full((2, 3), x)),
        np.full_like: fixed(lambda a, b: np.full_like(a, b), A, B, shapes=((2, 3), ())),
        np.linspace: of_number(lambda x: np.linspace(x, 3.0, 4, endpoint=False)),
        np.logspace: of_number(lambda x: np.logspace(x, 1.0, 3)),
        np.geomspace: of_number(lambda x: np.geomspace(x, 4.0, 3)),
    }


def _linear_algebra() -> dict[Any, Case]:
    def triangular(a: np.ndarray, b: np.ndarray) -> Any:
        return scipy.linalg.solve_triangular(np.tril(a), b, lower=True)

    def factored(a: np.ndarray, b: np.ndarray) -> Any:
        return scipy.linalg.cho_solve(scipy.linalg.cho_factor(a), b)

    def vectors(a: np.ndarray) -> Any:
        values, found = np.linalg.eigh(a)
        return values, found**2  # the sign of an eigenvector is anybody's

    def scipy_vectors(a: np.ndarray) -> Any:
        values, found = scipy.linalg.eigh(a)
        return values, found**2

    def singular(a: np.ndarray) -> Any:
        u, s, v = np.linalg.svd(a, full_matrices=False)
        return u**2, s, v**2

    def orthogonal(a: np.ndarray) -> Any:
        return tuple(part**2 for part in np.linalg.qr(a))

    def fitted(a: np.ndarray, b: np.ndarray) -> Any:
        return np.linalg.lstsq(a, b, rcond=None)[0]

    np_linalg, sp_linalg = np.linalg, scipy.linalg
    return {
        np_linalg.cholesky: square(np_linalg.cholesky, symmetric=True),
        np_linalg.solve: square(np_linalg.solve, right="matrix"),
        np_linalg.inv: square(np_linalg.inv),
        np_linalg.pinv: square(np_linalg.pinv),
        np_linalg.det: square(np_linalg.det),
        np_linalg.slogdet: square(np_linalg.slogdet),
        np_linalg.matrix_power: either(
            square(np_linalg.matrix_power, 3), square(np_linalg.matrix_power, -1)
        ),
        np_linalg.multi_dot: fixed(np_linalg.multi_dot, [A, B, C], shapes=((2, 3), (3, 2), (2, 2))),
        np_linalg.eigh: square(vectors, symmetric=True),
        np_linalg.eigvalsh: square(np_linalg.eigvalsh, symmetric=True),
        np_linalg.svd: square(singular),
        np_linalg.qr: square(orthogonal),
        np_linalg.lstsq: square(fitted, right="any"),
        sp_linalg.cholesky: square(sp_linalg.cholesky, symmetric=True),
        sp_linalg.cho_factor: square(factored, symmetric=True, right="any"),
        sp_linalg.cho_solve: square(factored, symmetric=True, right="any"),
        sp_linalg.solve: square(sp_linalg.solve, right="any"),
        sp_linalg.solve_triangular: square(triangular, right="any"),
        sp_linalg.inv: square(sp_linalg.inv),
        sp_linalg.det: square(sp_linalg.det),
        sp_linalg.norm: norm(sp_linalg.norm),
        sp_linalg.eigh: square(scipy_vectors, symmetric=True),
        sp_linalg.eigvalsh: square(sp_linalg.eigvalsh, symmetric=True),
        sp_linalg.expm: square(lambda a: sp_linalg.expm(a / 8)),
        scipy.special.zeta: fixed(scipy.special.zeta, 2.3, A, low=0.3),
        scipy.special.logsumexp: reduction(scipy.special.logsumexp),
        scipy.special.softmax: along(scipy.special.softmax),
        scipy.special.log_softmax: along(scipy.special.log_softmax),
    }


_MATH_DOMAINS = {
    **DOMAINS, "acosh": (1.2, 4.0), "asin": (-0.9, 0.9), "acos": (-0.9, 0.9), "atanh": (-0.9, 0.9),
    "log": (0.2, 3.0), "lgamma": (0.3, 4.0), "gamma": (0.3, 4.0),
}  # fmt: skip


_SHORT = ("float32", "float16")


def _numbers() -> dict[Any, Case]:
    def listed(function: Any) -> Case:
        def call(a: np.ndarray) -> Any:
            return function(a.tolist())

        return lambda d: (Call(call, (A,)), [d.spec((3,), 0.4, 2.0, "float64")])

    cases: dict[Any, Case] = {}
    for function in registry().functions:
        name = getattr(function, "__name__", "")
        if getattr(function, "__module__", "") == "math" and hasattr(math, name):
            low, high = _MATH_DOMAINS.get(name, (-2.0, 2.0))
            cases[function] = number(function, low=low, high=high)
    two = {math.atan2: 0.7, math.pow: 2.5, math.fmod: 0.6, math.copysign: -1.0, math.hypot: 0.8}
    cases |= {f: number(f, value, low=0.3) for f, value in two.items()}
    cases |= {f: listed(f) for f in (math.fsum, math.prod, statistics.fmean, statistics.mean)}
    cases[math.dist] = fixed(math.dist, A, B, shapes=((3,), (3,)))
    cases |= {f: number(f) for f in (float, np.float64, abs)}
    cases |= {getattr(np, name): number(getattr(np, name), dtype=name) for name in _SHORT}
    cases[pow] = number(pow, 3)
    return cases


@dataclasses.dataclass
class _Held:
    value: Any


def _special() -> dict[Any, Case]:
    return {
        sum: fixed(sum, A, shapes=((3,),)),
        getattr: fixed(getattr, A, "T"),
        copy.deepcopy: fixed(copy.deepcopy, [A, B], shapes=((2, 3), (3,))),
        copy.copy: fixed(copy.copy, A),
        dataclasses.asdict: fixed(lambda a: dataclasses.asdict(_Held(a))["value"], A),
        dataclasses.astuple: fixed(lambda a: dataclasses.astuple(_Held(a))[0], A),
        np.apply_along_axis: fixed(_rows, A),
        np.ndenumerate: fixed(_elements, A),
        np.lib.stride_tricks.as_strided: fixed(_strided, A),
        np.fromiter: fixed(lambda a: np.fromiter((x * 2 for x in a), float), A, shapes=((3,),)),
        np.copyto: _writing(lambda a, b: np.copyto(a, b, where=MASK)),
        np.put: _writing(lambda a, b: np.put(a, [0, 4], b[0, :2])),
        np.place: _writing(lambda a, b: np.place(a, MASK, b[MASK])),
        np.putmask: _writing(lambda a, b: np.putmask(a, MASK, b)),
        np.put_along_axis: _writing(
            lambda a, b: np.put_along_axis(a, np.array([[0, 2], [1, 2]]), b[:, :2], 1)
        ),
        np.fill_diagonal: _writing(lambda a, b: np.fill_diagonal(a, b[0, :2])),
    }


def _methods() -> dict[str, Case]:
    def plain(name: str) -> Case:
        return moving(name, least=0)

    return {
        **{name: reduction(name) for name in ("sum", "mean", "prod", "max", "min")},
        "var": reduction("var", ddof=True),
        "std": reduction("std", ddof=True),
        "cumsum": along("cumsum"),
        "cumprod": along("cumprod"),
        "dot": pairs("dot", *DOT),
        "trace": moving("trace", (), (1,), least=2),
        "reshape": reshaping("reshape"),
        "ravel": moving("ravel", (), ("F",), least=0),
        "squeeze": plain("squeeze"),
        "swapaxes": two_axes("swapaxes"),
        "transpose": permuting("transpose"),
        "repeat": along("repeat", 2),
        "take": taking("take"),
        "diagonal": moving("diagonal", (), (1,), least=2),
        "clip": clipping("clip"),
        "flatten": moving("flatten", (), ("F",), least=0),
        "copy": moving("copy", (), ("F",), least=0),
        "astype": typed("astype"),
        "item": either(fixed("item", A, 4), fixed("item", A, 1, 2), fixed("item", A, (0, 1))),
        **{name: plain(name) for name in ("conj", "conjugate", "view", "__copy__")},
        **({"ptp": reduction("ptp")} if hasattr(np.ndarray, "ptp") else {}),  # NumPy 1
        "__deepcopy__": moving("__deepcopy__", ({},), least=0),
    }


def _ufunc_methods() -> dict[str, Case]:
    def extremes(name: str, low: float = -2.0) -> list[tuple[str, Case]]:
        ufunc = getattr(np, name)
        return [
            (f"{name}.reduce", reduction(ufunc.reduce)),
            (f"{name}.accumulate", along(ufunc.accumulate, flat=False)),
            (f"{name}.outer", pairs(ufunc.outer, ((3,), (2,)), ((2, 3), ()), low=low)),
        ]

    cases = dict(
        pair
        for name in ("add", "multiply", "maximum", "minimum", "logaddexp")
        for pair in extremes(name)
    )

    def at(ufunc: Any) -> Case:
        return _writing(lambda a, b: ufunc.at(a, ([0, 1, 1], [0, 1, 2]), b[0] + 3))

    cases |= {f"{u.__name__}.at": at(u) for u in (np.add, np.subtract, np.multiply, np.divide)}
    cases["add.at, places twice"] = _writing(lambda a, b: np.add.at(a, [0, 0, 1], b[[0, 0, 1]]))
    cases["add.reduceat"] = fixed(np.add.reduceat, A, [0, 2], axis=1)
    cases["subtract.outer"] = pairs(np.subtract.outer, ((3,), (2,)), ((2, 2), (3,)))
    return cases


def _indexing() -> dict[str, Case]:
    indices: tuple[Any, ...] = (
        0, -1, (0, 1), slice(1, None), slice(None, None, -1), (slice(None), slice(2, None, -2)),
        (Ellipsis, 0), (None, 1), (slice(None), None), [1, 0, 1], np.array([0, 1]),
        ([0, 1], [2, 0]), (slice(None), [2, 0]), (np.array([[0], [1]]), np.array([0, 2])),
        MASK, np.array([True, False]), (0, [2, 2]), (), np.array(1), ([1], slice(0, 2)),
        (slice(None), MASK[0]),
    )  # fmt: skip

    def read(a: np.ndarray, index: Any) -> Any:
        return a[index]

    def write(a: np.ndarray, index: Any, value: Any) -> np.ndarray:
        a[index] = value
        return a[::-1]

    def write_part(a: np.ndarray, b: np.ndarray, index: Any) -> np.ndarray:
        view = a.T
        a[index] = 2 * b[index]
        return view

    def augment(a: np.ndarray, index: Any, value: Any) -> np.ndarray:
        a[index] *= value
        a[index] += 0.5
        return a[:, ::-1]

    def drawn(function: Any, *more: Any, arrays: int = 1) -> Case:
        places = (A, B)[:arrays]
        return lambda d: (
            Call(function, (*places, d.choice(*indices), *more)),
            [d.spec((2, 3)) for _ in places],
        )

    def swap(a: np.ndarray) -> np.ndarray:
        a[0], a[1] = a[1].copy(), a[0] * 2
        return a

    return {
        "getitem": drawn(read),
        "setitem": drawn(write, 1.25),
        "setitem of another": drawn(write_part, arrays=2),
        "augmented setitem": drawn(augment, 1.5),
        "rows swapped": fixed(swap, A),
        **{
            f"operator {name}": pairs(getattr(operator, name), *shapes, low=0.3)
            for name, shapes in (
                *(
                    (name, (((2, 3), (3,)), ((), (2,)), ((2, 3), ())))
                    for name in ("add", "sub", "mul", "truediv", "pow", "mod", "iadd", "isub")
                ),
                ("matmul", DOT[:3]),
            )
        },
    }


CASES: dict[str, dict[Any, Case]] = {
    "ufunc": of_ufuncs(),
    "function": {
        **_numbers(),
        **numpy_functions(),
        **_creation(),
        **_linear_algebra(),
        **transforms(),
    },
    "special": _special(),
    "method": _methods(),
    "ufunc method": _ufunc_methods(),
    "index": _indexing(),
}
"""Cases by kind, and by what the registry calls the operation."""
