"""Operators, indexing and iteration on values that may be traced."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gradcheck.tracing.errors import NotTraceable
from gradcheck.tracing.memory import Shadow, owner_of
from gradcheck.tracing.operation import Context
from gradcheck.tracing.recorder import Recorder
from gradcheck.tracing.registry import registry
from gradcheck.tracing.ufunc_calls import as_arrays

_UFUNCS: dict[str, Any] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "matmul": np.matmul,
    "power": np.power,
    "remainder": np.remainder,
    "floor_divide": np.floor_divide,
    "negative": np.negative,
    "positive": np.positive,
}


def _may_be_traced(recorder: Recorder, value: Any) -> bool:
    if type(value) in (list, tuple):
        return any(_may_be_traced(recorder, item) for item in value)
    return recorder.is_tracked(value)


def apply_operator(
    recorder: Recorder, name: str, native: Callable[..., Any], *operands: Any
) -> Any:
    """Run an operator natively and record it if an operand is traced."""
    if not any(_may_be_traced(recorder, operand) for operand in operands):
        return native(*operands)
    if not any(isinstance(o, np.ndarray | np.generic | float | complex) for o in operands):
        return native(*operands)  # lists and tuples are joined, not added
    ufunc = _UFUNCS[name]
    rules = registry()
    if ufunc in rules.constant:
        return native(*operands)

    def run(*_: Any) -> Any:
        return native(*operands)

    arrays = as_arrays(recorder, operands)
    return recorder.apply(name, rules.ufuncs[ufunc], run, arrays, {}, all_operands=True)


def apply_inplace(
    recorder: Recorder, name: str, native: Callable[..., Any], target: Any, operand: Any
) -> Any:
    """Run ``target op= operand``: arrays keep their identity, everything else is rebound."""
    if not isinstance(target, np.ndarray):
        if isinstance(target, np.generic | float | int | complex):
            return apply_operator(recorder, name, getattr(operator, _PLAIN_NAMES[name]), target,
                                  operand)  # fmt: skip
        return native(target, operand)
    traced = _may_be_traced(recorder, target) or _may_be_traced(recorder, operand)
    if not traced:
        return native(target, operand)
    rules = registry()
    ufunc = _UFUNCS[name]
    if ufunc in rules.constant:
        result = native(target, operand)
        recorder.constant_write(result)
        return result
    rule = _filling(rules.ufuncs[ufunc])

    def run(*_: Any) -> Any:
        return native(target, operand)

    arrays = as_arrays(recorder, (target, operand))
    return recorder.apply(name, rule, run, arrays, {}, all_operands=True, written=target)


_PLAIN_NAMES = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "truediv", "matmul": "matmul",
    "power": "pow", "remainder": "mod", "floor_divide": "floordiv",
}  # fmt: skip


def _filling(rule: Callable[..., Any]) -> Callable[..., Any]:
    """Return a rule whose result is broadcast to the array that it is written into."""

    def filled(context: Context, *operands: Any) -> Any:
        return rule(context, *operands).expand(context.value.shape)

    return filled


# indexing


def _is_basic(index: Any) -> bool:
    parts = index if type(index) is tuple else (index,)
    for part in parts:
        if not (
            part is None
            or part is Ellipsis
            or isinstance(part, slice)
            or (isinstance(part, int | np.integer) and not isinstance(part, bool))
        ):
            return False
    return True


def getitem(recorder: Recorder, array: Any, index: Any) -> Any:
    """Run ``array[index]`` on a traced array and record it."""
    if isinstance(array, np.generic):  # scalar[..., None] and scalar[()]
        return recorder.apply("getitem", _reshaped, lambda scalar: scalar[index], (array,), {})
    result = array[index]
    if not recorder.is_tracked(array):
        return result
    if not isinstance(result, np.ndarray | np.inexact):
        return result
    if array.dtype.kind == "O" and recorder.is_tracked(result):
        return result  # the very object that was put there
    memory, _ = recorder.memory(array)
    if memory is not None and _is_basic(index):
        known = _known_part(recorder, array, index, result)
        if known is not None:
            return known

    def rule(context: Context, tensor: Any) -> Any:
        if _is_basic(index) and not _has_negative_step(index):
            return tensor[index]
        counting = recorder.positions.counting(tensor.numel()).reshape(tuple(tensor.shape))
        places = counting[index]
        picked = tensor.flatten().index_select(
            0, context.torch.from_numpy(np.array(places).ravel())
        )
        return picked.reshape(places.shape)

    return recorder.apply("getitem", rule, lambda _: result, (array,), {})


def _reshaped(context: Context, tensor: Any) -> Any:
    return tensor.reshape(np.shape(context.value))


def _has_negative_step(index: Any) -> bool:
    parts = index if type(index) is tuple else (index,)
    return any(isinstance(part, slice) and (part.step or 1) < 0 for part in parts)


def _known_part(recorder: Recorder, array: Any, index: Any, result: Any) -> Any:
    """Return a part of the array that was written as a whole, without reading the rest."""
    memory, _ = recorder.memory(array)
    assert memory is not None
    if isinstance(result, np.ndarray):
        key = memory.key(result)
    else:
        outer = memory.key(array)
        if outer is None:
            return None
        place = int(recorder.positions.of(outer, memory.span)[index])
        key = (place, (), ())
    found = memory.known(key) if key is not None else None
    if found is None or found.lost is not None:
        return None
    if not isinstance(result, np.ndarray):
        recorder.track(result, found)
    return result


def setitem(recorder: Recorder, value: Any, array: Any, index: Any) -> None:
    """Run ``array[index] = value`` and record it."""
    traced = _may_be_traced(recorder, value)
    if array.dtype.kind not in "fc" or not (traced or recorder.is_tracked(array)):
        array[index] = value
        if traced and array.dtype.kind in "OV":
            why = f"an array of dtype {array.dtype} is written to"
            lost = NotTraceable("setitem", recorder.sites.here(), why)
            recorder.track(array, Shadow(None, ("constant", ""), lost))  # its objects are known
        return
    region = array[index] if _is_basic(index) else None
    if isinstance(region, np.ndarray):

        def store(new: Any) -> None:
            array[index] = new

        recorder.apply("setitem", _stored, store, (value,), {}, written=region)
        return
    scatter(recorder, value, array, index)


def _stored(context: Context, value: Any) -> Any:
    tensor = context.tensor(value, context.dtype)
    while tensor.ndim > context.value.ndim and tensor.shape[0] == 1:
        tensor = tensor[0]
    return tensor.expand(context.value.shape)


def scatter(recorder: Recorder, value: Any, array: Any, index: Any) -> None:
    """Write single elements, picked by numbers or by a mask; of duplicates the last one counts."""
    memory, _ = recorder.memory(array, create=True)
    assert memory is not None
    outer = memory.key(array)
    if outer is None:
        array[index] = value
        why = "memory is written as another dtype"
        recorder.lose(array, NotTraceable("setitem", recorder.sites.here(), why), wrote=True)
        return
    places = np.array(recorder.positions.of(outer, memory.span)[index])
    distinct, turned = np.unique(places.ravel()[::-1], return_index=True)
    last = places.size - 1 - turned

    def store(new: Any) -> Any:
        array[index] = new
        return np.array(array[index])

    def rule(context: Context, new: Any) -> Any:
        context.checked = distinct.size == places.size
        return _stored(context, new)

    picked = recorder.apply("setitem", rule, store, (value,), {})
    if places.size == 0:
        return
    shadow = recorder.shadow(picked) or recorder.constant(picked)
    if shadow.lost is None:
        kept = shadow.tensor.flatten()[recorder.torch.from_numpy(last)]
        shadow = Shadow(kept, shadow.origin, site=shadow.site)
    memory.scatter(distinct, shadow)
    if places.ndim == 0 and shadow.lost is None:
        memory.remember((int(places), (), ()), Shadow(shadow.tensor.reshape(()), shadow.origin))


def augmented_setitem(
    recorder: Recorder, name: str, native: Callable[..., Any], array: Any, index: Any, operand: Any
) -> None:
    """Run ``array[index] op= operand``; duplicates in ``index`` count once, as in NumPy."""
    part = getitem(recorder, array, index)
    result = apply_inplace(recorder, name, native, part, operand)
    if isinstance(part, np.ndarray) and owner_of(part) is owner_of(array):
        return  # the part is a view: the write has gone through it
    setitem(recorder, result, array, index)


# iteration


def elements(recorder: Recorder, value: Any) -> Any:
    """Return something to iterate over: the elements of a traced array, or ``value`` itself."""
    if isinstance(value, np.flatiter):
        value = value.base.ravel() if recorder.is_tracked(value.base) else value
    if isinstance(value, np.ndarray) and value.ndim and recorder.is_tracked(value):
        return _elements(recorder, value)
    return value


def _elements(recorder: Recorder, array: Any) -> Iterator[Any]:
    for place in range(len(array)):
        yield getitem(recorder, array, place)
