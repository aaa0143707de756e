"""Functions that a rule alone cannot follow: they call back, copy trees, or write.

Each entry of ``SPECIAL`` runs ``function(*args, **kwargs)`` under the trace.
"""

from __future__ import annotations

import builtins
import collections
import copy
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck.tracing import array_methods
from gradcheck.tracing.calls import call, call_opaque, read_attribute
from gradcheck.tracing.operators import elements, getitem
from gradcheck.tracing.recorder import Recorder
from gradcheck.tracing.users_classes import iterated

Arguments = Sequence[Any]
Keywords = Mapping[str, Any]


def _sum(recorder: Recorder, function: Any, args: Arguments, kwargs: Keywords) -> Any:
    from gradcheck.tracing.hooks import hook_add

    items = list(iterated(recorder, args[0]))
    if not any(recorder.is_tracked(item) for item in items):
        return function(items, *args[1:], **kwargs)
    total = kwargs.get("start", args[1] if len(args) > 1 else 0)
    for item in items:
        total = hook_add(total, item)
    return total


def _deepcopy(recorder: Recorder, function: Any, args: Arguments, kwargs: Keywords) -> Any:
    result = function(*args, **kwargs)
    _copy_shadows(recorder, args[0], result, set())
    return result


def _copy_shadows(recorder: Recorder, old: Any, new: Any, seen: set[int]) -> None:
    """Give each array in a copied tree the tensor of its original."""
    if old is new or id(old) in seen:
        return
    seen.add(id(old))
    if isinstance(old, np.ndarray):
        shadow = recorder.shadow(old)
        if shadow is not None:
            recorder.track(new, shadow)
        return
    pairs = [(item, getattr(new, name, None)) for name, item in _attributes(old)]
    if dataclasses.is_dataclass(old) and isinstance(new, dict | tuple):  # asdict, astuple
        names = [field.name for field in dataclasses.fields(old)]
        values = [new[name] for name in names] if isinstance(new, dict) else new
        pairs = [(getattr(old, name), value) for name, value in zip(names, values, strict=True)]
    elif isinstance(old, dict):
        pairs += [(item, new[key]) for key, item in old.items()]
    elif isinstance(old, list | tuple | collections.deque):
        pairs += zip(old, new, strict=True)
    for first, second in pairs:
        _copy_shadows(recorder, first, second, seen)


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield an object's own attributes, those in slots, too."""
    yield from getattr(value, "__dict__", {}).items()
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            private = name.startswith("__") and not name.endswith("__")
            whole = f"_{kind.__name__.lstrip('_')}{name}" if private else name
            if hasattr(value, whole):
                yield whole, getattr(value, whole)


def _getattr(recorder: Recorder, function: Any, args: Arguments, kwargs: Keywords) -> Any:
    if len(args) == 2:
        return read_attribute(recorder, args[0], args[1])
    return function(*args, **kwargs)


def _apply_along_axis(recorder: Recorder, _: Any, args: Arguments, kwargs: Keywords) -> Any:
    def follow(func1d: Any, axis: int, arr: Any, *more: Any, **keywords: Any) -> Any:
        moved = call(recorder, np.moveaxis, (arr, axis, -1), {})
        lead = moved.shape[:-1]
        rows = []
        for place in np.ndindex(lead):
            row = elements(recorder, [moved])[0][place]
            rows.append(call(recorder, func1d, (row, *more), keywords))
        stacked = call(recorder, np.array, (rows,), {})
        inner = np.shape(rows[0])
        shaped = call(recorder, np.reshape, (stacked, (*lead, *inner)), {})
        if not inner:
            return shaped
        count = len(inner)
        source = tuple(range(-count, 0))
        target = tuple(range(axis % arr.ndim, axis % arr.ndim + count))
        return call(recorder, np.moveaxis, (shaped, source, target), {})

    return follow(*args, **kwargs)


def call_vectorized(recorder: Recorder, function: Any, args: Arguments, kwargs: Keywords) -> Any:
    """Run a function made by ``np.vectorize`` on one element after the other."""
    if kwargs or function.signature is not None or function.excluded:
        return call_opaque(recorder, function, args, kwargs, "signature= is not covered")
    wide = call(recorder, np.broadcast_arrays, args, {})
    shape = wide[0].shape
    results = [
        call(recorder, function.pyfunc, [getitem(recorder, array, place) for array in wide], {})
        for place in np.ndindex(shape)
    ]
    return call(recorder, np.reshape, (call(recorder, np.array, (results,), {}), shape), {})


def _enumerate(recorder: Recorder, function: Any, args: Arguments, kwargs: Keywords) -> Any:
    """Run ``np.ndenumerate``."""
    array = np.asarray(args[0])
    if not recorder.is_tracked(array):
        return function(*args, **kwargs)
    return ((place, getitem(recorder, array, place)) for place in np.ndindex(array.shape))


def _from_iterable(recorder: Recorder, function: Any, args: Arguments, kwargs: Keywords) -> Any:
    def follow(iter: Any, dtype: Any, count: int = -1, **_: Any) -> Any:
        items = list(itertools.islice(iterated(recorder, iter), None if count < 0 else count))
        function(items, dtype, count)  # raises what NumPy raises where there are too few
        return call(recorder, np.array, (items,), {"dtype": dtype})

    return follow(*args, **kwargs)


def _as_it_is(recorder: Recorder, function: Any, args: Arguments, kwargs: Keywords) -> Any:
    """Run a function that returns a view: what it shows is known from the memory."""
    return function(*args, **kwargs)


SPECIAL: dict[Any, Callable[[Recorder, Any, Arguments, Keywords], Any]] = {
    builtins.sum: _sum,
    builtins.getattr: _getattr,
    copy.deepcopy: _deepcopy,
    copy.copy: _deepcopy,
    dataclasses.asdict: _deepcopy,
    dataclasses.astuple: _deepcopy,
    np.apply_along_axis: _apply_along_axis,
    np.ndenumerate: _enumerate,
    np.lib.stride_tricks.as_strided: _as_it_is,
    np.fromiter: _from_iterable,
    np.copyto: array_methods.copyto,
    np.put: array_methods.put,
    np.place: array_methods.place,
    np.putmask: array_methods.putmask,
    np.put_along_axis: array_methods.put_along_axis,
    np.fill_diagonal: array_methods.fill_diagonal,
}
