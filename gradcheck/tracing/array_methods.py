"""Methods and attributes of arrays, and the functions that write into their argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck.tracing.errors import NotTraceable
from gradcheck.tracing.memory import Shadow
from gradcheck.tracing.operation import Context
from gradcheck.tracing.operators import elements, scatter, setitem
from gradcheck.tracing.recorder import Recorder
from gradcheck.tracing.registry import registry
from gradcheck.tracing.rules import reductions
from gradcheck.tracing.rules.complex_numbers import PARTS

Arguments = Sequence[Any]
Keywords = Mapping[str, Any]

_CONSTANT = frozenset(
    (
        "argmax argmin argsort argpartition nonzero any all tobytes tofile dump dumps "
        "round searchsorted setflags is_integer __repr__ __str__ __format__ __len__ "
        "__bool__ __int__ __contains__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ "
        "as_integer_ratio hex"
    ).split()
)


def call_method(
    recorder: Recorder, method: Any, receiver: Any, args: Arguments, kwargs: Keywords
) -> Any:
    """Run ``receiver.method(*args, **kwargs)`` for an array or a number."""
    name = method.__name__
    if name in _CONSTANT:
        return method(*args, **kwargs)
    if name in _WRITING:
        return _WRITING[name](recorder, method, (receiver, *args), kwargs)
    rules = registry()
    rule = rules.methods.get(name)
    out = kwargs.get("out")
    rest = {key: value for key, value in kwargs.items() if key != "out"}

    def native(_: Any, *arguments: Any, **keywords: Any) -> Any:
        if out is not None:
            keywords["out"] = out
        return method(*arguments, **keywords)

    if rule is not None:
        return recorder.apply(
            name, rule, native, (receiver, *args), rest, written=out,
            parameter_names=rules.parameter_names(rule),
        )  # fmt: skip
    if name == "tolist":
        return _tolist(recorder, receiver)
    traced = [a for a in (receiver, *args, *kwargs.values()) if recorder.is_tracked(a)]
    result = method(*args, **kwargs)
    if traced:
        reason = NotTraceable(
            f"{type(receiver).__name__}.{name}", recorder.sites.here(),
            "its derivative is not known",
        )  # fmt: skip
        recorder.lose(result, reason)
        recorder.check_unchanged(receiver, reason)
    return result


def _tolist(recorder: Recorder, receiver: Any) -> Any:
    if isinstance(receiver, np.ndarray) and receiver.ndim:
        return [_tolist(recorder, item) for item in elements(recorder, receiver)]
    return recorder.apply("item", registry().methods["item"], lambda a: a.item(), (receiver,), {})


# attributes


def read_array_attribute(recorder: Recorder, array: Any, name: str) -> Any:
    """Run ``array.name`` of an array or a scalar of NumPy's, or of a complex number."""
    if name in PARTS and np.iscomplexobj(array) and recorder.is_tracked(array):
        return recorder.apply(name, PARTS[name], lambda z: getattr(z, name), (array,), {})
    if isinstance(array, np.inexact) and name in ("T", "real") and recorder.is_tracked(array):
        return recorder.apply(name, _RULES["T"], lambda scalar: getattr(scalar, name), (array,), {})
    if name in ("T", "mT") and recorder.is_tracked(array):
        return recorder.apply("transpose", _RULES[name], _NATIVE[name], (array,), {})
    if name == "imag" and recorder.is_tracked(array):
        return np.zeros_like(array)
    return getattr(array, name)


_RULES = {
    "T": lambda context, tensor: tensor.permute(tuple(range(tensor.ndim))[::-1]),
    "mT": lambda context, tensor: tensor.mT,
}
_NATIVE = {"T": lambda array: array.T, "mT": lambda array: array.mT}


# writing


def _fill(recorder: Recorder, _: Any, args: Arguments, kwargs: Keywords) -> None:
    array, value = args
    setitem(recorder, value, array, Ellipsis)


def _sort(recorder: Recorder, method: Any, args: Arguments, kwargs: Keywords) -> None:
    array = args[0]

    def native(_: Any, *arguments: Any, **keywords: Any) -> None:
        method(*arguments, **keywords)

    recorder.apply("sort", reductions.sort, native, args, kwargs, written=array)


def _partition(recorder: Recorder, method: Any, args: Arguments, kwargs: Keywords) -> None:
    array = args[0]
    places = np.argpartition(array, *args[1:], **kwargs)

    def native(*_: Any, **__: Any) -> None:
        method(*args[1:], **kwargs)

    def rule(context: Context, tensor: Any) -> Any:
        axis = kwargs.get("axis", args[2] if len(args) > 2 else -1)
        return tensor.gather(axis, context.torch.from_numpy(places))

    recorder.apply("partition", rule, native, (array,), {}, written=array)


def put(recorder: Recorder, _: Any, args: Arguments, kwargs: Keywords) -> None:
    """Run ``np.put``."""

    def follow(a: Any, ind: Any, v: Any, mode: Any = "raise") -> None:
        np.put(a.copy(), ind, v, mode)  # raises what NumPy raises, before anything is written
        places = np.unravel_index(np.arange(a.size).take(np.ravel(ind), mode=mode), a.shape)
        count, given = np.size(ind), np.size(v)
        if not count or not given:
            return
        if given not in (1, count) or np.ndim(v) > 1:  # they begin again where there are too few
            from gradcheck.tracing.hooks import hook_call, hook_getitem

            v = hook_getitem(hook_call(np.ravel, v), np.arange(count) % given)
        scatter(recorder, v, a, places)

    follow(*args, **kwargs)


def copyto(recorder: Recorder, _: Any, args: Arguments, kwargs: Keywords) -> None:
    """Run ``np.copyto``."""

    def follow(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
        np.copyto(dst.copy(), src, casting, where)
        if where is True:
            setitem(recorder, src, dst, Ellipsis)
            return
        mask = np.broadcast_to(where, dst.shape)
        if np.ndim(src) == 0:
            setitem(recorder, src, dst, mask)
        else:
            from gradcheck.tracing.hooks import hook_call, hook_getitem

            wide = hook_call(np.broadcast_to, src, dst.shape)
            setitem(recorder, hook_getitem(wide, mask), dst, mask)

    follow(*args, **kwargs)


def putmask(recorder: Recorder, _: Any, args: Arguments, kwargs: Keywords) -> None:
    """Run ``np.putmask``."""

    def follow(a: Any, mask: Any, values: Any) -> None:
        np.putmask(a.copy(), mask, values)
        if np.shape(values) == np.shape(a):
            copyto(recorder, None, (a, values), {"where": mask})
        elif np.size(values) == 1:
            setitem(recorder, values, a, np.asarray(mask, bool))
        else:
            _lost_write(recorder, np.putmask, (a, mask, values))

    follow(*args, **kwargs)


def place(recorder: Recorder, _: Any, args: Arguments, kwargs: Keywords) -> None:
    """Run ``np.place``."""

    def follow(arr: Any, mask: Any, vals: Any) -> None:
        np.place(arr.copy(), mask, vals)
        chosen = np.asarray(mask, bool)
        if np.ndim(vals) < 2 and np.size(vals) in (1, int(chosen.sum())):
            setitem(recorder, vals, arr, chosen)
        else:
            _lost_write(recorder, np.place, (arr, mask, vals))

    follow(*args, **kwargs)


def _lost_write(recorder: Recorder, function: Any, args: Arguments) -> None:
    function(*args)
    if any(recorder.is_tracked(argument) for argument in args):
        reason = NotTraceable(
            f"numpy.{function.__name__}", recorder.sites.here(), "values repeated are not covered"
        )
        recorder.track(args[0], Shadow(None, ("constant", ""), reason))


def put_along_axis(recorder: Recorder, _: Any, args: Arguments, kwargs: Keywords) -> None:
    """Run ``np.put_along_axis``."""

    def follow(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
        if axis is None:
            setitem(recorder, values, arr, np.unravel_index(indices, arr.shape))
            return
        grid = list(np.ogrid[tuple(slice(length) for length in arr.shape)])
        grid[axis] = indices
        setitem(recorder, values, arr, tuple(grid))

    follow(*args, **kwargs)


def fill_diagonal(recorder: Recorder, _: Any, args: Arguments, kwargs: Keywords) -> None:
    """Run ``np.fill_diagonal``."""

    def follow(a: Any, val: Any, wrap: bool = False) -> None:
        count = np.arange(min(a.shape))
        if wrap or a.ndim != 2 or np.ndim(val) > 1 or np.size(val) not in (1, count.size):
            _lost_write(recorder, np.fill_diagonal, (a, val, wrap))
            return
        setitem(recorder, val, a, (count, count))

    follow(*args, **kwargs)


_WRITING: dict[str, Any] = {"fill": _fill, "sort": _sort, "partition": _partition, "put": put}
