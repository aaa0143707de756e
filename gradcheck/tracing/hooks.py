"""What the rewritten code calls in place of Python's own operations.

Outside a trace, and in threads other than the tracing one, each hook does what Python would have
done.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gradcheck.tracing import operators
from gradcheck.tracing.calls import call, call_user, read_attribute
from gradcheck.tracing.recorder import Recorder
from gradcheck.tracing.users_classes import iterated, user_method

_active = threading.local()


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Make ``recorder`` see what rewritten code does in this thread."""
    previous = getattr(_active, "recorder", None)
    _active.recorder = recorder
    try:
        yield
    finally:
        _active.recorder = previous


def _recorder() -> Recorder | None:
    return getattr(_active, "recorder", None)


def _binary(name: str, native: Callable[[Any, Any], Any], method: str) -> Callable[..., Any]:
    forward, reflected = f"__{method}__", f"__r{method}__"

    def hook(left: Any, right: Any) -> Any:
        recorder = _recorder()
        if recorder is None:
            return native(left, right)
        for function, arguments in (
            (user_method(left, forward), (left, right)),
            (user_method(right, reflected), (right, left)),
        ):
            if function is not None:
                result = call_user(recorder, function, arguments)
                if result is not NotImplemented:
                    return result
        return operators.apply_operator(recorder, name, native, left, right)

    return hook


def _inplace(name: str, native: Callable[[Any, Any], Any], method: str) -> Callable[..., Any]:
    own = f"__i{method}__"
    plain = _binary(name, getattr(operator, f"__{method}__"), method)

    def hook(target: Any, operand: Any) -> Any:
        recorder = _recorder()
        if recorder is None:
            return native(target, operand)
        function = user_method(target, own)
        if function is not None:
            return call_user(recorder, function, (target, operand))
        if user_method(target, f"__{method}__") is not None:
            return plain(target, operand)
        return operators.apply_inplace(recorder, name, native, target, operand)

    return hook


hook_add = _binary("add", operator.add, "add")
hook_subtract = _binary("subtract", operator.sub, "sub")
hook_multiply = _binary("multiply", operator.mul, "mul")
hook_divide = _binary("divide", operator.truediv, "truediv")
hook_matmul = _binary("matmul", operator.matmul, "matmul")
hook_power = _binary("power", operator.pow, "pow")
hook_remainder = _binary("remainder", operator.mod, "mod")
hook_floor_divide = _binary("floor_divide", operator.floordiv, "floordiv")

_INPLACE: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "add": (operator.iadd, "add"),
    "subtract": (operator.isub, "sub"),
    "multiply": (operator.imul, "mul"),
    "divide": (operator.itruediv, "truediv"),
    "matmul": (operator.imatmul, "matmul"),
    "power": (operator.ipow, "pow"),
    "remainder": (operator.imod, "mod"),
    "floor_divide": (operator.ifloordiv, "floordiv"),
}
_INPLACE_HOOKS = {name: _inplace(name, *parts) for name, parts in _INPLACE.items()}
hook_inplace_add = _INPLACE_HOOKS["add"]
hook_inplace_subtract = _INPLACE_HOOKS["subtract"]
hook_inplace_multiply = _INPLACE_HOOKS["multiply"]
hook_inplace_divide = _INPLACE_HOOKS["divide"]
hook_inplace_matmul = _INPLACE_HOOKS["matmul"]
hook_inplace_power = _INPLACE_HOOKS["power"]
hook_inplace_remainder = _INPLACE_HOOKS["remainder"]
hook_inplace_floor_divide = _INPLACE_HOOKS["floor_divide"]
hook_slice = slice


def _unary(name: str, native: Callable[[Any], Any]) -> Callable[..., Any]:
    def hook(value: Any) -> Any:
        recorder = _recorder()
        if recorder is None:
            return native(value)
        function = user_method(value, f"__{native.__name__}__")
        if function is not None:
            return call_user(recorder, function, (value,))
        return operators.apply_operator(recorder, name, native, value)

    return hook


hook_negative = _unary("negative", operator.neg)
hook_positive = _unary("positive", operator.pos)


def hook_call(function: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Run ``function(*args, **kwargs)``."""
    recorder = _recorder()
    if recorder is None:
        return function(*args, **kwargs)
    return call(recorder, function, args, kwargs)


def hook_attribute(value: Any, name: str) -> Any:
    """Run ``value.name``."""
    recorder = _recorder()
    if recorder is None:
        return getattr(value, name)
    return _handed_out(recorder, value, read_attribute(recorder, value, name))


def hook_getitem(value: Any, index: Any) -> Any:
    """Run ``value[index]``."""
    recorder = _recorder()
    if recorder is None:
        return value[index]
    if isinstance(value, np.ndarray | np.inexact):
        return operators.getitem(recorder, value, index)
    if isinstance(value, np.flatiter) and recorder.is_tracked(value.base):
        return operators.getitem(recorder, value.base.ravel(), index)
    function = user_method(value, "__getitem__")
    if function is not None:
        return call_user(recorder, function, (value, index))
    return _handed_out(recorder, value, value[index])


def _handed_out(recorder: Recorder, source: Any, result: Any) -> Any:
    """Return ``result``; lost if ``source`` is a library's object made of traced values."""
    reason = recorder.hidden_in(source)
    if reason is not None:
        recorder.lose(result, reason)
    return result


def hook_setitem(new: Any, value: Any, index: Any) -> None:
    """Run ``value[index] = new``."""
    recorder = _recorder()
    if recorder is None:
        value[index] = new
    elif isinstance(value, np.ndarray):
        operators.setitem(recorder, new, value, index)
    elif isinstance(value, np.flatiter):
        base = value.base
        places = np.unravel_index(np.arange(base.size)[index], base.shape)
        operators.setitem(recorder, new, base, places)
    else:
        function = user_method(value, "__setitem__")
        if function is not None:
            call_user(recorder, function, (value, index, new))
        else:
            value[index] = new


def hook_augmented_setitem(name: str, value: Any, index: Any, operand: Any) -> None:
    """Run ``value[index] op= operand``."""
    recorder = _recorder()
    native = _INPLACE[name][0]
    if recorder is not None and isinstance(value, np.ndarray):
        operators.augmented_setitem(recorder, name, native, value, index, operand)
        return
    new = _INPLACE_HOOKS[name](hook_getitem(value, index), operand)
    hook_setitem(new, value, index)


def hook_iterate(value: Any, pattern: Any) -> Any:
    """Return what ``for target in value`` runs over; ``pattern`` is the shape of the target."""
    recorder = _recorder()
    if recorder is None:
        return value
    found = iterated(recorder, value)
    return found if pattern is None else (_unpacked(recorder, item, pattern) for item in found)


def hook_unpack(value: Any, pattern: Any) -> Any:
    """Return what ``a, b = value`` or ``f(*value)`` takes its items from."""
    recorder = _recorder()
    return value if recorder is None else _unpacked(recorder, value, pattern)


def _unpacked(recorder: Recorder, value: Any, pattern: Any) -> Any:
    if pattern is None:
        return value
    found = iterated(recorder, value)
    if not any(pattern):
        return found
    items = list(found)
    if "*" in pattern:
        place = pattern.index("*")
        missing = len(items) - len(pattern) + 1
        pattern = (*pattern[:place], *[None] * missing, *pattern[place + 1 :])
    if len(items) != len(pattern):
        return items
    return [_unpacked(recorder, i, p) for i, p in zip(items, pattern, strict=True)]


class _Managed:
    """A user's context manager whose two methods run under the trace."""

    def __init__(self, recorder: Recorder, manager: Any) -> None:
        self._recorder = recorder
        self._manager = manager

    def __enter__(self) -> Any:
        return call_user(self._recorder, type(self._manager).__enter__, (self._manager,))

    def __exit__(self, *details: Any) -> Any:
        return call_user(self._recorder, type(self._manager).__exit__, (self._manager, *details))


def hook_context(value: Any) -> Any:
    """Return what ``with value`` enters and leaves."""
    recorder = _recorder()
    methods = (user_method(value, "__enter__"), user_method(value, "__exit__"))
    if recorder is None or None in methods:
        return value
    return _Managed(recorder, value)


OPERATOR_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    operator.add: hook_add,
    operator.sub: hook_subtract,
    operator.mul: hook_multiply,
    operator.truediv: hook_divide,
    operator.matmul: hook_matmul,
    operator.pow: hook_power,
    operator.mod: hook_remainder,
    operator.floordiv: hook_floor_divide,
    operator.neg: hook_negative,
    operator.pos: hook_positive,
    operator.getitem: hook_getitem,
    operator.setitem: lambda value, index, new: hook_setitem(new, value, index),
}
"""The functions of the module ``operator``, for ``reduce(operator.mul, ...)`` and its like."""
OPERATOR_FUNCTIONS |= {native: _INPLACE_HOOKS[name] for name, (native, _) in _INPLACE.items()}
