"""Methods that users' classes define for operators and loops: they run under the trace."""

from __future__ import annotations

import itertools
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradcheck.tracing.errors import NotTraceable
from gradcheck.tracing.operators import elements
from gradcheck.tracing.recorder import Recorder

_SIMPLE = (int, str, bool, list, tuple, dict)
_OTHERS = (np.ndarray, np.generic, float, types.ModuleType)


def user_method(value: Any, name: str) -> types.FunctionType | None:
    """Return the method that a user's class defines for an operator, if it is in Python."""
    kind = type(value)
    if kind in _SIMPLE or isinstance(value, _OTHERS):
        return None
    method = getattr(kind, name, None)
    return method if isinstance(method, types.FunctionType) else None


def iterated(recorder: Recorder, value: Any) -> Any:
    """Return something to iterate over: the elements of a traced array, or ``value`` itself.

    ``__iter__`` and ``__next__`` of a user's class run under the trace, and ``__getitem__`` where
    there is no ``__iter__``. What an object of a library hands out that was made of traced values
    is lost.
    """
    reason = recorder.hidden_in(value)
    if reason is not None:
        return _lost(recorder, value, reason)
    found = elements(recorder, value)
    if found is not value:
        return found
    method = user_method(value, "__iter__")
    if method is not None:
        found = _run(recorder, method, value)
    elif not hasattr(type(value), "__iter__") and user_method(value, "__getitem__") is not None:
        return _by_number(recorder, value)
    return elements(recorder, advanced(recorder, found))


def _lost(recorder: Recorder, value: Any, reason: NotTraceable) -> Iterator[Any]:
    for item in value:
        recorder.lose(item, reason)
        yield item


def advanced(recorder: Recorder, value: Any) -> Any:
    """Return an iterator whose ``__next__``, where a user wrote it, runs under the trace."""
    method = user_method(value, "__next__")
    return value if method is None else _by_next(recorder, value, method)


def _by_next(recorder: Recorder, value: Any, method: types.FunctionType) -> Iterator[Any]:
    while True:
        try:
            item = _run(recorder, method, value)
        except StopIteration:
            return
        yield item


def _by_number(recorder: Recorder, value: Any) -> Iterator[Any]:
    method = user_method(value, "__getitem__")
    for place in itertools.count():
        try:
            item = _run(recorder, method, value, place)
        except IndexError:
            return
        yield item


def _run(recorder: Recorder, method: Any, *args: Any) -> Any:
    from gradcheck.tracing.calls import call_user

    return call_user(recorder, method, args)
