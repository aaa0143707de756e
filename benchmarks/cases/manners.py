"""Targets with bad manners, and arrays of every layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.cases.changes import family
from benchmarks.cases.contract import PowerCase, Target, Truth, by_autograd
from benchmarks.cases.networks import dense, dense_twin, drawn

NAMES = ("w1", "b1", "w2", "b2")
SHAPES = {"w1": (4, 3), "b1": (3,), "w2": (3, 2), "b2": (2,), "X": (6, 4), "Y": (6, 2)}
CATEGORY = "manners"
WRONG: dict[str, Any] = {"factor_0.999": "w1", "row": "w2", "sign": "b1"}


def _slopes(w1: Any, b1: Any, w2: Any, b2: Any, X: Any, Y: Any, bug: str) -> tuple[Any, Any]:
    return dense("tanh")("derivative_missing" if bug else "")(w1, b1, w2, b2, X, Y)


def _normalises_data(bug: str = "") -> Target:
    """Centres its data in place: the second call sees centred data (and centring again is idle)."""

    def target(w1: Any, b1: Any, w2: Any, b2: Any, X: Any, Y: Any) -> Any:
        X -= X.mean(axis=0)
        return _slopes(w1, b1, w2, b2, X, Y, bug)

    return target


def _scales_data(bug: str = "") -> Target:
    """Halves its data in place, so that every call would see other data."""

    def target(w1: Any, b1: Any, w2: Any, b2: Any, X: Any, Y: Any) -> Any:
        X *= 0.5
        return _slopes(w1, b1, w2, b2, X, Y, bug)

    return target


def _updates_parameters(bug: str = "") -> Target:
    """Takes its training step inside the loss, after the gradient."""

    def target(w1: Any, b1: Any, w2: Any, b2: Any, X: Any, Y: Any) -> Any:
        loss, gradient = _slopes(w1, b1, w2, b2, X, Y, bug)
        w1 -= 0.1 * gradient["w1"]
        b2 -= 0.1 * gradient["b2"]
        return loss, gradient

    return target


def _clips_parameters(bug: str = "") -> Target:
    """Clips a parameter in place to a range that it never leaves here."""

    def target(w1: Any, b1: Any, w2: Any, b2: Any, X: Any, Y: Any) -> Any:
        np.clip(w1, -50.0, 50.0, out=w1)
        return _slopes(w1, b1, w2, b2, X, Y, bug)

    return target


def _one_buffer(bug: str = "") -> Target:
    """Returns the same gradient arrays from every call, overwritten each time."""
    buffers: dict[str, Any] = {}

    def target(w1: Any, b1: Any, w2: Any, b2: Any, X: Any, Y: Any) -> Any:
        loss, gradient = _slopes(w1, b1, w2, b2, X, Y, bug)
        for key, slope in gradient.items():
            if key in buffers:
                buffers[key][...] = slope
            else:
                buffers[key] = np.array(slope)
        return loss, buffers

    return target


def _flat_views(bug: str = "") -> Target:
    """Returns views into one flat vector of its own."""
    sizes = [int(np.prod(SHAPES[name])) for name in NAMES]
    state = np.zeros(sum(sizes))

    def target(w1: Any, b1: Any, w2: Any, b2: Any, X: Any, Y: Any) -> Any:
        loss, gradient = _slopes(w1, b1, w2, b2, X, Y, bug)
        views, start = {}, 0
        for name, size in zip(NAMES, sizes, strict=True):
            state[start : start + size] = gradient[name].ravel()
            views[name] = state[start : start + size].reshape(SHAPES[name])
            start += size
        return loss, views

    return target


def _read_only_gradient(bug: str = "") -> Target:
    def target(w1: Any, b1: Any, w2: Any, b2: Any, X: Any, Y: Any) -> Any:
        loss, gradient = _slopes(w1, b1, w2, b2, X, Y, bug)
        for slope in gradient.values():
            slope.flags.writeable = False
        return loss, gradient

    return target


def _fortran_gradient(bug: str = "") -> Target:
    def target(w1: Any, b1: Any, w2: Any, b2: Any, X: Any, Y: Any) -> Any:
        loss, gradient = _slopes(w1, b1, w2, b2, X, Y, bug)
        return loss, {key: np.asfortranarray(slope) for key, slope in gradient.items()}

    return target


def _counts_calls(bug: str = "") -> Target:
    """Keeps what it computed on itself, and appends its loss to a history."""
    history: list[float] = []

    def target(w1: Any, b1: Any, w2: Any, b2: Any, X: Any, Y: Any) -> Any:
        loss, gradient = _slopes(w1, b1, w2, b2, X, Y, bug)
        history.append(float(loss))
        return loss, gradient

    return target


def _caches_in_params(bug: str = "") -> Target:
    """Keeps its activations in the dict of the parameters."""

    def target(params: Any, X: Any, Y: Any) -> Any:
        hidden = np.tanh(X @ params["w1"] + params["b1"])
        params["_hidden"] = hidden
        error = hidden @ params["w2"] + params["b2"] - Y
        loss = np.mean(error**2)
        d_out = 2 * error / error.size
        d_z = (d_out @ params["w2"].T) * (1.0 if bug else 1 - params["_hidden"] ** 2)
        return loss, {
            "w1": X.T @ d_z,
            "b1": d_z.sum(axis=0),
            "w2": params["_hidden"].T @ d_out,
            "b2": d_out.sum(axis=0),
        }

    return target


def _layout(change: Callable[[Any], Any]) -> Callable[[], dict[str, Any]]:
    factory = drawn(101, **SHAPES)
    return lambda: {key: change(value) for key, value in factory().items()}


def _strided(value: Any) -> Any:
    wide = np.full(tuple(2 * n for n in value.shape), 7.0)
    view = wide[tuple(slice(None, None, 2) for _ in value.shape)]
    view[...] = value
    return view


def _reversed(value: Any) -> Any:
    flip = tuple(slice(None, None, -1) for _ in value.shape)
    return np.ascontiguousarray(value[flip])[flip]


def _read_only(value: Any) -> Any:
    found = value.copy()
    found.flags.writeable = False
    return found


def _big_endian(value: Any) -> Any:
    return value.astype(">f8")


LAYOUTS = {
    "fortran": np.asfortranarray,
    "strided": _strided,
    "reversed": _reversed,
    "read_only": _read_only,
    "big_endian": _big_endian,
}
HABITS = {
    "normalises_data": _normalises_data,
    "updates_parameters": _updates_parameters,
    "clips_parameters": _clips_parameters,
    "one_buffer": _one_buffer,
    "flat_views": _flat_views,
    "read_only_gradient": _read_only_gradient,
    "fortran_gradient": _fortran_gradient,
    "counts_calls": _counts_calls,
}


def _tree() -> Iterator[PowerCase]:
    factory = drawn(102, **SHAPES)

    def inputs() -> dict[str, Any]:
        found = factory()
        return {"params": {name: found[name] for name in NAMES}, "X": found["X"], "Y": found["Y"]}

    inner = dense_twin("tanh")

    def twin(params: Any, X: Any, Y: Any) -> Any:
        return inner(*(params[name] for name in NAMES), X, Y)

    yield from family(
        "caches_in_params",
        CATEGORY,
        _caches_in_params,
        inputs,
        wrt=("params",),
        twin=twin,
        bugs=("derivative_missing",),
        changes=WRONG,
    )


def _scalars() -> Iterator[PowerCase]:
    """Parameters of no dimension, gradients broadcast from one number, one array as two."""

    def model(bug: str = "") -> Target:
        def target(slope: Any, level: Any, X: Any) -> tuple[Any, dict[str, Any]]:
            z = slope * X + level[0]
            d = np.cos(z) * (0.99 if bug else 1.0)
            return np.sum(np.sin(z)), {"slope": np.sum(d * X), "level": np.array([np.sum(d)])}

        return target

    for name, scalar in {"python": 0.7, "numpy": np.float64(0.7), "array": np.array(0.7)}.items():
        yield from family(
            f"scalar_{name}",
            CATEGORY,
            model,
            lambda s=scalar: {"slope": s, "level": np.array([0.2]), "X": np.linspace(-1, 2, 5)},
            wrt=("slope", "level"),
            twin=lambda slope, level, X: (slope * X + level).sin().sum(),
            bugs=("cosine_scaled",),
        )

    def mean(bug: str = "") -> Target:
        def target(w: Any) -> tuple[Any, dict[str, Any]]:
            total = np.sum(w)
            return total**2, {"w": np.broadcast_to((1.0 if bug else 2.0) * total, w.shape)}

        return target

    yield from family(
        "broadcast_gradient",
        CATEGORY,
        mean,
        lambda: {"w": np.linspace(-1, 2, 6).reshape(2, 3)},
        wrt=("w",),
        twin=lambda w: w.sum() ** 2,
        bugs=("half",),
    )

    def shared(bug: str = "") -> Target:
        def target(a: Any, b: Any) -> tuple[Any, dict[str, Any]]:
            product = a @ b
            return np.sum(np.sin(product)), {
                "a": np.cos(product) @ (b if bug else b.T),
                "b": a.T @ np.cos(product),
            }

        return target

    def one_array() -> dict[str, Any]:
        both = np.random.default_rng(104).normal(size=(3, 3))
        return {"a": both, "b": both}

    yield from family(
        "one_array_twice",
        CATEGORY,
        shared,
        one_array,
        wrt=("a", "b"),
        truth=_apart(lambda a, b: (a @ b).sin().sum()),
        bugs=("not_transposed",),
    )


def _apart(twin: Callable[..., Any]) -> Callable[[dict[str, Any]], Truth]:
    """Return the truth where the two arguments count as two parameters although one array."""
    inner = by_autograd(twin, ("a", "b"))
    return lambda inputs: inner({key: value.copy() for key, value in inputs.items()})


def cases() -> Iterator[PowerCase]:
    """Yield the targets with bad manners and the awkward layouts."""
    inner = dense_twin("tanh")

    def centred(w1: Any, b1: Any, w2: Any, b2: Any, X: Any, Y: Any) -> Any:
        return inner(w1, b1, w2, b2, X - X.mean(0), Y)

    def halved(w1: Any, b1: Any, w2: Any, b2: Any, X: Any, Y: Any) -> Any:
        return inner(w1, b1, w2, b2, 0.5 * X, Y)

    for k, (name, make) in enumerate(HABITS.items()):
        yield from family(
            name,
            CATEGORY,
            make,
            drawn(103 + k, **SHAPES),
            wrt=NAMES,
            twin=centred if name == "normalises_data" else inner,
            bugs=("derivative_missing",),
            changes=WRONG if k % 2 else {"median_entry_1e-3": "w1"},
        )
    yield from family(
        "scales_data",
        CATEGORY,
        _scales_data,
        drawn(112, **SHAPES),
        wrt=NAMES,
        twin=halved,
        bugs=("derivative_missing",),
        changes=WRONG,
    )
    for k, (name, change) in enumerate(LAYOUTS.items()):
        yield from family(
            f"layout_{name}",
            CATEGORY,
            dense("tanh"),
            _layout(change),
            wrt=NAMES,
            twin=inner,
            bugs=("derivative_missing",),
            changes=WRONG if k % 2 else {"factor_1.0001": "w2", "transposed": "w1"},
        )
    yield from _tree()
    yield from _scalars()
