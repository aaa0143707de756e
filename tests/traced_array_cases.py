"""Cases of ufuncs and of NumPy's functions on arrays: moving, joining, reducing, multiplying."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from traced_calls import A, B, Call, Spec
from traced_operations import (
    Case,
    Draw,
    along,
    either,
    fixed,
    joining,
    moving,
    of_matmul,
    of_ufunc,
    reduction,
)

from gradcheck.tracing.registry import registry
from gradcheck.tracing.rules.elementwise import CONSTANT_UFUNCS

MASK = np.array([[True, False, True], [False, True, True]])
_PLACES = np.array([[0, 2], [1, 1]])


def of_ufuncs() -> dict[Any, Case]:
    """Return the cases of ufuncs: with a derivative, and constant in pieces."""
    special = {np.matmul, getattr(np, "vecdot", np.matmul)}
    constant = sorted(CONSTANT_UFUNCS, key=lambda ufunc: ufunc.__name__)
    ufuncs = [*registry().ufuncs, *constant]  # in an order that every process shares
    return {u: of_matmul(u) if u in special else of_ufunc(u) for u in ufuncs}


def _averaged(d: Draw) -> tuple[Call, list[Spec]]:
    shape = d.shape(1, empty=False)
    axis = d.axis(shape)
    specs = [d.spec(shape), d.other((shape[axis],), 0.5, 2.0)]
    kind = d.choice("plain", "weights", "returned")
    kwargs: dict[str, Any] = {} if kind == "plain" else {"axis": axis, "weights": B}
    if kind == "returned":
        kwargs["returned"] = True
    return Call(np.average, (A,), kwargs), specs


def reshaping(function: Any) -> Case:
    def draw(d: Draw) -> tuple[Call, list[Spec]]:
        shape = d.shape()
        size = math.prod(shape)
        new = d.choice((size,), (size, 1), (1, size), *([(-1,), -1] if size else []))
        order = d.choice({}, {}, {"order": "F"}, {"order": "A"})
        if function == "reshape" and isinstance(new, tuple) and d.flag():
            return Call(function, (A, *new), order), [d.spec(shape)]
        return Call(function, (A, new), order), [d.spec(shape)]

    return draw


def permuting(function: Any) -> Case:
    def draw(d: Draw) -> tuple[Call, list[Spec]]:
        shape = d.shape()
        turn = d.integer(0, max(len(shape) - 1, 0))
        axes = tuple(range(len(shape)))[turn:] + tuple(range(len(shape)))[:turn]
        return Call(function, (A, *d.choice((), (axes,)))), [d.spec(shape)]

    return draw


def two_axes(function: Any, least: int = 2) -> Case:
    def draw(d: Draw) -> tuple[Call, list[Spec]]:
        shape = d.shape(least)
        return Call(function, (A, d.axis(shape), d.axis(shape))), [d.spec(shape)]

    return draw


def taking(function: Any) -> Case:
    def draw(d: Draw) -> tuple[Call, list[Spec]]:
        shape = d.shape(1, empty=False)
        axis = d.choice(None, d.axis(shape))
        length = math.prod(shape) if axis is None else shape[axis]
        places = d.choice([0, -1, 0], 0, np.array([[0], [length - 1]]), np.int64(0))
        return Call(function, (A, places), {"axis": axis}), [d.spec(shape)]

    return draw


def _broadcasting(d: Draw) -> tuple[Call, list[Spec]]:
    shape = d.shape()
    return Call(np.broadcast_to, (A, (2, *shape))), [d.spec(shape)]


def _choosing(d: Draw) -> tuple[Call, list[Spec]]:
    shape = d.shape()
    mask = np.arange(math.prod(shape)).reshape(shape) % 2 == 0
    other = d.choice(B, 1.5, 2)
    specs = [d.spec(shape), d.other(shape)]
    return Call(np.where, d.choice((mask, A, other), (mask, other, A))), specs


def clipping(function: Any) -> Case:
    def draw(d: Draw) -> tuple[Call, list[Spec]]:
        shape = d.shape()
        low, high = d.choice((-0.5, 0.8), (None, 0.3), (-1, None), (B, 1.0), (-0.7, B))
        return Call(function, (A, low, high)), [d.spec(shape), d.other(shape, -0.2, 0.2)]

    return draw


def typed(function: Any) -> Case:
    def draw(d: Draw) -> tuple[Call, list[Spec]]:
        dtype = d.choice(float, np.float32, "float64", "f4", np.int64)
        kwargs = d.choice({}, {"copy": False}, {"order": "F"}) if function == "astype" else {}
        return Call(function, (A, dtype), kwargs), [d.spec(d.shape())]

    return draw


def _einsum(d: Draw) -> tuple[Call, list[Spec]]:
    text, first, second = d.choice(
        ("ij,jk->ik", (2, 3), (3, 2)), ("ij,ij->i", (2, 3), (2, 3)), ("i,j", (3,), (2,)),
        ("ij,j", (2, 3), (3,)), ("...j,j->...", (2, 2, 3), (3,)), ("ij,kj->k", (2, 3), (3, 3)),
        ("ii,i->i", (3, 3), (3,)),
    )  # fmt: skip
    return Call(np.einsum, (text, A, B)), [d.spec(first), d.other(second)]


def _tensordot(d: Draw) -> tuple[Call, list[Spec]]:
    axes, first, second = d.choice(
        (1, (2, 3), (3, 2)), (2, (2, 3), (2, 3)), (0, (2,), (3,)), ((0, 0), (3, 2), (3,)),
        (([0, 1], [1, 0]), (2, 3), (3, 2)),
    )  # fmt: skip
    return Call(np.tensordot, (A, B, axes)), [d.spec(first), d.other(second)]


def pairs(function: Any, *shapes: Any, low: float = -2.0) -> Case:
    def draw(d: Draw) -> tuple[Call, list[Spec]]:
        first, second = d.choice(*shapes)
        return Call(function, (A, B)), [d.spec(first, low), d.other(second, low)]

    return draw


DOT = (((3,), (3,)), ((2, 3), (3,)), ((2, 3), (3, 2)), ((), (2, 3)), ((2, 2, 3), (3, 2)))


def _padding(d: Draw) -> tuple[Call, list[Spec]]:
    mode = d.choice("constant", "edge", "reflect", "symmetric", "wrap")
    width = d.choice(1, (0, 1), ((1, 0), (0, 1)))
    return Call(np.pad, (A, width), {"mode": mode}), [d.spec((2, 3))]


def norm(function: Any) -> Case:
    return either(
        fixed(function, A, shapes=((2, 3),)),
        fixed(function, A, shapes=((3,),), ord=1),
        fixed(function, A, shapes=((3,),), ord=3),
        fixed(function, A, shapes=((3,),), ord=np.inf),
        fixed(function, A, shapes=((2, 3),), ord="fro"),
        fixed(function, A, shapes=((2, 3),), ord="nuc"),
        fixed(function, A, shapes=((2, 3),), ord=2),
        fixed(function, A, shapes=((2, 3),), axis=1),
        fixed(function, A, shapes=((2, 3),), axis=0, keepdims=True),
        fixed(function, A, shapes=((2, 2, 3),), axis=(0, 2)),
    )


def _quantiles(function: Any, *shares: Any) -> Case:
    def draw(d: Draw) -> tuple[Call, list[Spec]]:
        shape = d.shape(1, empty=False)
        kwargs = {"axis": d.choice(None, d.axis(shape)), "keepdims": d.flag()}
        if not shares:
            return Call(function, (A,), kwargs), [d.spec(shape)]
        if d.flag():
            kwargs["method"] = d.choice("linear", "lower", "higher", "midpoint")
        return Call(function, (A, d.choice(*shares)), kwargs), [d.spec(shape)]

    return draw


def _selecting(d: Draw) -> tuple[Call, list[Spec]]:
    conditions = [MASK, ~MASK & (np.arange(3) > 0)]
    call = Call(np.select, (conditions, [A, B], d.choice(0, 1.5)))
    return call, [d.spec((2, 3)), d.other((2, 3))]


_NAN = np.array([[np.nan, 0.0, 0.0], [0.0, np.nan, 0.0]])


def _with_nan(function: Any) -> Case:
    def call(a: np.ndarray, **kwargs: Any) -> Any:
        return function(a + _NAN, **kwargs)

    def draw(d: Draw) -> tuple[Call, list[Spec]]:
        kwargs = {"axis": d.choice(None, 0, 1, -1), "keepdims": d.flag()}
        return Call(call, (A,), kwargs), [d.spec((2, 3))]

    return draw


def _renamed() -> dict[Any, Case]:
    """Functions that NumPy 1 does not have, or has under another name."""
    trapezoid = getattr(np, "trapezoid", None) or getattr(np, "trapz")  # noqa: B009
    cases = {
        trapezoid: either(
            fixed(trapezoid, A, dx=0.5),
            fixed(trapezoid, A, [0.0, 1.0, 2.5]),
            fixed(trapezoid, A, axis=0),
            fixed(trapezoid, A, B, shapes=((2, 3), (2, 3))),
        )
    }
    if hasattr(np, "unstack"):
        cases[np.unstack] = fixed(np.unstack, A, axis=1)
        cases[np.matrix_transpose] = moving(np.matrix_transpose, least=2)
    return cases


def numpy_functions() -> dict[Any, Case]:
    return {
        np.clip: clipping(np.clip),
        np.nan_to_num: moving(np.nan_to_num, least=0),
        np.sinc: moving(np.sinc, least=0),
        np.real: moving(np.real, least=0),
        np.sum: reduction(np.sum, where=True, initial=1.5),
        np.mean: reduction(np.mean, where=True),
        np.average: _averaged,
        np.var: reduction(np.var, ddof=True),
        np.std: reduction(np.std, ddof=True),
        np.prod: reduction(np.prod, where=True, initial=1.5),
        np.max: reduction(np.max, where=True, initial=-9.0),
        np.min: reduction(np.min, where=True, initial=9.0),
        np.amax: reduction(np.amax),
        np.amin: reduction(np.amin),
        np.ptp: reduction(np.ptp),
        np.cumsum: along(np.cumsum),
        np.cumprod: along(np.cumprod),
        np.diff: either(
            along(np.diff, flat=False), along(np.diff, 2, flat=False),
            fixed(np.diff, A, shapes=((2, 3),), prepend=0.5, axis=1),
        ),
        np.sort: along(np.sort),
        np.median: _quantiles(np.median),
        np.quantile: _quantiles(np.quantile, 0.3, [0.2, 0.7]),
        np.percentile: _quantiles(np.percentile, 30, [20, 70]),
        np.nansum: _with_nan(np.nansum),
        np.nanprod: _with_nan(np.nanprod),
        np.nanmean: _with_nan(np.nanmean),
        np.nanvar: _with_nan(np.nanvar),
        np.nanstd: _with_nan(np.nanstd),
        np.nanmax: _with_nan(np.nanmax),
        np.nanmin: _with_nan(np.nanmin),
        np.reshape: reshaping(np.reshape),
        np.ravel: moving(np.ravel, (), ("F",), ("A",), least=0),
        np.squeeze: either(moving(np.squeeze, least=0), fixed(np.squeeze, A, 0, shapes=((1, 3),))),
        np.expand_dims: moving(np.expand_dims, (0,), (-1,), ((0, 1),), least=0),
        np.atleast_1d: moving(np.atleast_1d, (), (B,)[:0], least=0),
        np.atleast_2d: moving(np.atleast_2d, least=0),
        np.atleast_3d: moving(np.atleast_3d, least=0),
        np.transpose: permuting(np.transpose),
        np.swapaxes: two_axes(np.swapaxes),
        np.moveaxis: two_axes(np.moveaxis),
        np.rollaxis: moving(np.rollaxis, (0,), (1,), least=2),
        np.concatenate: either(joining(np.concatenate), joining(np.concatenate, axis=None)),
        np.stack: either(joining(np.stack), joining(np.stack, axis=-1)),
        np.where: _choosing,
        np.broadcast_to: _broadcasting,
        np.array: either(moving(np.array, least=0), joining(np.array), typed(np.array)),
        np.asarray: either(moving(np.asarray, least=0), typed(np.asarray)),
        np.asanyarray: moving(np.asanyarray, least=0),
        np.ascontiguousarray: moving(np.ascontiguousarray, least=0),
        np.asfortranarray: moving(np.asfortranarray, least=0),
        np.copy: moving(np.copy, (), ("F",), least=0),
        np.require: moving(np.require, (), (None, "F"), least=0),
        np.pad: _padding,
        np.select: _selecting,
        np.flip: either(moving(np.flip, least=0), along(np.flip)),
        np.fliplr: moving(np.fliplr, least=2),
        np.flipud: moving(np.flipud),
        np.rot90: moving(np.rot90, (), (2,), (-1,), least=2),
        np.roll: either(along(np.roll, 1), along(np.roll, -2)),
        np.repeat: either(along(np.repeat, 2), fixed(np.repeat, A, [1, 0, 2], axis=1)),
        np.tile: moving(np.tile, (2,), ((2, 1),), least=0),
        np.take: taking(np.take),
        np.take_along_axis: fixed(np.take_along_axis, A, _PLACES, 1),
        np.diagonal: moving(np.diagonal, (), (1,), (-1,), least=2),
        np.diag: either(moving(np.diag, (), (1,), least=1, most=2)),
        np.diagflat: moving(np.diagflat, (), (-1,), least=0),
        np.tril: moving(np.tril, (), (1,), (-1,), least=2),
        np.triu: moving(np.triu, (), (1,), (-1,), least=2),
        np.resize: moving(np.resize, ((2, 2),), ((5,),)),
        np.delete: either(fixed(np.delete, A, 1, axis=1), fixed(np.delete, A, [0, 2])),
        np.split: fixed(np.split, A, 3, axis=1),
        np.array_split: moving(np.array_split, (2,), ([1],)),
        np.hsplit: fixed(np.hsplit, A, [1]),
        np.vsplit: fixed(np.vsplit, A, 2),
        np.dsplit: fixed(np.dsplit, A, 3, shapes=((2, 2, 3),)),
        np.trim_zeros: fixed(np.trim_zeros, A, shapes=((3,),)),
        np.hstack: joining(np.hstack),
        np.vstack: joining(np.vstack),
        np.dstack: joining(np.dstack),
        np.column_stack: joining(np.column_stack),
        np.block: fixed(np.block, [[A, B], [B, A]], shapes=((2, 3), (2, 3))),
        np.append: either(
            fixed(np.append, A, B, shapes=((2, 3), (2,))),
            fixed(np.append, A, B, shapes=((2, 3), (2, 1)), axis=1),
        ),
        np.insert: either(fixed(np.insert, A, 1, 5.0), fixed(np.insert, A, [0, 2], 1.0, axis=1)),
        np.compress: fixed(np.compress, [True, False, True], A, axis=1),
        np.extract: fixed(np.extract, MASK, A),
        np.choose: fixed(np.choose, [0, 1, 0], [A, B], shapes=((3,), (3,))),
        np.broadcast_arrays: fixed(np.broadcast_arrays, A, B, shapes=((2, 3), (3,))),
        np.meshgrid: either(
            fixed(np.meshgrid, A, B, shapes=((3,), (2,))),
            fixed(np.meshgrid, A, B, shapes=((3,), (2,)), indexing="ij"),
        ),
        np.lib.stride_tricks.sliding_window_view: either(
            fixed(np.lib.stride_tricks.sliding_window_view, A, 2, 1),
            fixed(np.lib.stride_tricks.sliding_window_view, A, (2, 2), shapes=((3, 3),)),
        ),
        np.dot: pairs(np.dot, *DOT),
        np.vdot: pairs(np.vdot, ((3,), (3,)), ((2, 3), (2, 3))),
        np.inner: pairs(np.inner, ((3,), (3,)), ((2, 3), (3,)), ((2, 3), (2, 3)), ((), (3,))),
        np.outer: pairs(np.outer, ((3,), (2,)), ((2, 3), (2,))),
        np.tensordot: _tensordot,
        np.einsum: _einsum,
        np.trace: moving(np.trace, (), (1,), (-1,), least=2),
        np.kron: pairs(np.kron, ((2, 3), (1, 2)), ((2,), (3,)), ((2, 3), (2,))),
        np.cross: pairs(np.cross, ((3,), (3,)), ((2, 3), (2, 3)), ((2, 3), (3,))),
        np.convolve: pairs(np.convolve, ((4,), (2,)), ((2,), (4,)), ((3,), (3,))),
        np.correlate: pairs(np.correlate, ((4,), (2,)), ((2,), (4,)), ((3,), (3,))),
        np.interp: fixed(np.interp, A, [-1.0, 0.0, 1.0], B, shapes=((2, 3), (3,))),
        np.linalg.norm: norm(np.linalg.norm),
        **_renamed(),
    }  # fmt: skip
