"""Calls from rewritten code: NumPy's functions by rule, the user's own by rewriting them, too."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import inspect
import itertools
import operator
import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck.tracing import array_methods, ufunc_calls
from gradcheck.tracing.contents import contents
from gradcheck.tracing.errors import NotTraceable
from gradcheck.tracing.iteration import (
    CALLBACK_AT,
    ITERATING,
    OF_NUMBERS,
    TAKING_APART,
    listed,
    taken_apart,
)
from gradcheck.tracing.memory import holds
from gradcheck.tracing.recorder import Recorder
from gradcheck.tracing.registry import registry
from gradcheck.tracing.users_classes import iterated

Arguments = Sequence[Any]
Keywords = Mapping[str, Any]

_OPERATORS = frozenset(
    "__add__ __sub__ __mul__ __truediv__ __matmul__ __pow__ __neg__ __getitem__ __setitem__".split()
)
"""Methods that are operators under another name."""

_FUNCTION_KINDS = (
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    functools.partial,
    np.ufunc,
    type(np.sum),
)

_ORIGINAL = "_gradcheck_original"
"""Attribute of a wrapped callback that holds the function itself."""

_CONTAINERS = (
    *(list, dict, tuple, set, frozenset, collections.deque),
    *(str, bytes, types.GeneratorType),
)


def call(recorder: Recorder, function: Any, args: Arguments, kwargs: Keywords) -> Any:
    """Run ``function(*args, **kwargs)`` under the trace."""
    kind = type(function)
    if kind is types.FunctionType:
        return call_user(recorder, function, args, kwargs)
    if kind is types.MethodType:
        return call(recorder, function.__func__, (function.__self__, *args), kwargs)
    if isinstance(function, np.ufunc):
        return ufunc_calls.call_ufunc(recorder, function, args, kwargs)
    if kind is types.BuiltinFunctionType or kind is types.MethodWrapperType:
        receiver = getattr(function, "__self__", None)
        if isinstance(receiver, np.ndarray | np.generic | complex) or type(receiver) is float:
            if function.__name__ in _OPERATORS:
                return _operator(getattr(operator, function.__name__))(receiver, *args)
            return array_methods.call_method(recorder, function, receiver, args, kwargs)
        if isinstance(receiver, np.ufunc):
            return ufunc_calls.call_ufunc_method(recorder, function, receiver, args, kwargs)
        if isinstance(receiver, _CONTAINERS):
            taken_apart = function.__name__ in TAKING_APART
            items = [iterated(recorder, argument) if taken_apart else argument for argument in args]
            return function(*items, **_with_callbacks(recorder, kwargs))
    return _call_known(recorder, function, args, kwargs)


def _call_known(recorder: Recorder, function: Any, args: Arguments, kwargs: Keywords) -> Any:
    rules = registry()
    try:
        rule = rules.functions.get(function)
        constant = function in rules.constant
        iterating = function in ITERATING or function in CALLBACK_AT
    except TypeError:  # an object that cannot be hashed
        return _call_object(recorder, function, args, kwargs)
    if constant:
        result = function(*args, **kwargs)
        out = kwargs.get("out")
        if isinstance(out, np.ndarray):
            recorder.constant_write(out)
        return result
    if rule is not None:
        return _call_rule(recorder, function, rule, args, kwargs)
    special = _special().get(function)
    if special is not None:
        return special(recorder, function, args, kwargs)
    if function == itertools.chain.from_iterable:
        return function(iterated(recorder, part) for part in iterated(recorder, args[0]))
    if getattr(function, "__module__", None) == "_operator":
        return _operator(function)(*args, **kwargs)
    if iterating or getattr(function, "__module__", None) == "itertools":
        if function is itertools.accumulate:
            args, kwargs = _with_addition(*args, **kwargs)
        args = [
            _followed(recorder, a) if callable(a) and k == CALLBACK_AT.get(function) else a
            for k, a in enumerate(args)
        ]
        return function(*taken_apart(recorder, function, args), **_with_callbacks(recorder, kwargs))
    return _call_object(recorder, function, args, kwargs)


def _with_addition(items: Any, func: Any = None, **initial: Any) -> tuple[Arguments, Keywords]:
    """Return the arguments of ``itertools.accumulate`` with what it does by itself."""
    return (items, func or operator.add), initial


def _call_rule(
    recorder: Recorder, function: Any, rule: Any, args: Arguments, kwargs: Keywords
) -> Any:
    if getattr(function, "__module__", None) in OF_NUMBERS:
        args = [listed(recorder, argument) for argument in args]
    out = kwargs.get("out")
    if isinstance(out, np.ndarray):
        kwargs = {key: value for key, value in kwargs.items() if key != "out"}

        def native(*arguments: Any, **keywords: Any) -> Any:
            return function(*arguments, out=out, **keywords)

        return recorder.apply(_name(function), rule, native, args, kwargs, written=out)
    return recorder.apply(
        _name(function), rule, function, args, kwargs,
        parameter_names=registry().parameter_names(rule),
    )  # fmt: skip


def _name(function: Any) -> str:
    name: str = getattr(function, "__name__", type(function).__name__)
    return {"amax": "max", "amin": "min"}.get(name, name)


def call_user(
    recorder: Recorder, function: Any, args: Arguments, kwargs: Keywords | None = None
) -> Any:
    """Run a function written in Python: rewritten where that is allowed, as it is where not."""
    kwargs = kwargs or {}
    original = function.__dict__.get(_ORIGINAL)
    if original is not None:
        return call(recorder, original, args, kwargs)
    rules = registry()
    rule = rules.functions.get(function)
    if rule is not None:
        return _call_rule(recorder, function, rule, args, kwargs)
    special = _special().get(function)
    if special is not None:
        return special(recorder, function, args, kwargs)
    wrapped = getattr(function, "__wrapped__", None)
    managing = function.__code__.co_filename == contextlib.__file__
    if managing and isinstance(wrapped, types.FunctionType):
        return contextlib.contextmanager(_callback(recorder, wrapped))(*args, **kwargs)
    if recorder.rebuilder.is_open(function):
        rebuilt = recorder.rebuilder.rebuild(function)
        if rebuilt is not None:
            return rebuilt(*args, **kwargs)
        return call_opaque(recorder, function, args, kwargs, "its source cannot be found")
    return call_opaque(recorder, function, args, kwargs)


def _call_object(recorder: Recorder, function: Any, args: Arguments, kwargs: Keywords) -> Any:
    if isinstance(function, functools.partial):
        merged = {**function.keywords, **kwargs}
        return call(recorder, function.func, (*function.args, *args), merged)
    if isinstance(function, operator.itemgetter):
        keys = function.__reduce__()[1]
        found = [_operator(operator.getitem)(args[0], key) for key in keys]
        return found[0] if len(found) == 1 else tuple(found)
    if isinstance(function, np.vectorize):
        from gradcheck.tracing.special_calls import call_vectorized

        return call_vectorized(recorder, function, args, kwargs)
    if isinstance(function, type):
        return _instantiate(recorder, function, args, kwargs)
    for name in ("__wrapped__", "py_func", "_implementation"):
        inner = getattr(function, name, None)
        if isinstance(inner, types.FunctionType):
            return call_user(recorder, inner, args, kwargs)
    method = inspect.getattr_static(type(function), "__call__", None)
    if isinstance(method, types.FunctionType):
        return call_user(recorder, method, (function, *args), kwargs)
    return call_opaque(recorder, function, args, kwargs)


def _instantiate(recorder: Recorder, kind: Any, args: Arguments, kwargs: Keywords) -> Any:
    """Make an object of a class, running the ``__init__`` that a user wrote under the trace."""
    if dataclasses.is_dataclass(kind) and hasattr(kind, "__post_init__"):
        return _instantiate_dataclass(recorder, kind, args, kwargs)
    new, initialiser = kind.__new__, kind.__init__
    written = isinstance(new, types.FunctionType) or isinstance(initialiser, types.FunctionType)
    if not written or type(kind).__call__ is not type.__call__:
        return call_opaque(recorder, kind, args, kwargs)
    if isinstance(new, types.FunctionType):
        instance = call_user(recorder, new, (kind, *args), kwargs)
    elif new is object.__new__:
        instance = new(kind)
    else:
        instance = new(kind, *args, **kwargs)
    if isinstance(instance, kind):
        if isinstance(initialiser, types.FunctionType):
            call_user(recorder, initialiser, (instance, *args), kwargs)
        elif initialiser is not object.__init__:
            initialiser(instance, *args, **kwargs)
    return instance


def _instantiate_dataclass(recorder: Recorder, kind: Any, args: Arguments, kwargs: Keywords) -> Any:
    """Make a dataclass whose ``__post_init__`` runs under the trace.

    Its ``__init__`` was generated and has no source, so that it runs as it is, on a subclass
    which hands ``__post_init__`` to the trace.
    """

    def after(instance: Any, *values: Any) -> None:
        call_user(recorder, kind.__post_init__, (instance, *values))

    stand_in = type(kind.__name__, (kind,), {"__slots__": (), "__post_init__": after})
    instance = stand_in(*args, **kwargs)
    object.__setattr__(instance, "__class__", kind)
    return instance


def call_opaque(
    recorder: Recorder, function: Any, args: Arguments, kwargs: Keywords,
    why: str = "its derivative is not known",
) -> Any:  # fmt: skip
    """Run code that cannot be followed; floats that it makes of traced values are lost.

    It may be given them, or get them from a function that it calls, as a solver does.
    """
    given = [*args, *kwargs.values()]
    traced = _is_traced(recorder, *given)
    plain = [a for a in given if isinstance(a, np.ndarray) and not recorder.is_tracked(a)]
    calls_back = any(isinstance(argument, _FUNCTION_KINDS) for argument in given)
    before = [array.copy() for array in plain] if traced or calls_back else []
    returned: list[bool] = []
    if isinstance(function, type):  # an object might keep what it is given beyond the trace
        result = function(*args, **kwargs)
    else:
        callbacks = [_callback(recorder, argument, returned) for argument in args]
        result = function(*callbacks, **_with_callbacks(recorder, kwargs, returned))
    if traced or returned:
        reason = NotTraceable(_full_name(function), recorder.sites.here(), why)
        handed_in = frozenset(id(one) for one in contents(given))  # it may hand it back
        recorder.lose(result, reason, known=handed_in)
        for argument in given:
            recorder.check_unchanged(argument, reason)
        for array, old in zip(plain, before, strict=True):
            if not _is_the_same(array, old):
                recorder.lose(array, reason, wrote=True)
    return result


def _is_the_same(array: Any, before: Any) -> bool:
    """Whether an array holds just what it held before."""
    if array.dtype.kind == "O":
        return all(one is other for one, other in zip(array.flat, before.flat, strict=True))
    return holds(array, before) if array.dtype.kind in "fc" else array.tobytes() == before.tobytes()


def _full_name(function: Any) -> str:
    module, kind = getattr(function, "__module__", None), type(function).__name__
    name = str(getattr(function, "__qualname__", None) or getattr(function, "__name__", kind))
    return f"{module}.{name}" if module and module != "builtins" else name


def _is_traced(recorder: Recorder, *values: Any) -> bool:
    return any(
        recorder.is_tracked(one) or recorder.hidden_in(one) is not None for one in contents(values)
    )


def _callback(recorder: Recorder, argument: Any, returned: list[bool] | None = None) -> Any:
    """Return a function argument so that a library that calls it runs it under the trace."""
    if not isinstance(argument, _FUNCTION_KINDS):
        return argument
    return _followed(recorder, argument, returned)


def _followed(recorder: Recorder, function: Any, returned: list[bool] | None = None) -> Any:
    """Return a function that runs under the trace, and notes that it ``returned`` traced values.

    What it has written into an array that it was given has come back as well.
    """
    original = getattr(function, "__dict__", {}).get(_ORIGINAL, function)
    if original is not function and returned is None:
        return function

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        result = call(recorder, original, args, kwargs)
        if returned == [] and _is_traced(recorder, result, *args, *kwargs.values()):
            returned.append(True)
        return result

    wrapper.__dict__[_ORIGINAL] = original
    return wrapper


def _with_callbacks(
    recorder: Recorder, kwargs: Keywords, returned: list[bool] | None = None
) -> dict[str, Any]:
    return {key: _callback(recorder, value, returned) for key, value in kwargs.items()}


# attributes


def read_attribute(recorder: Recorder, value: Any, name: str) -> Any:
    """Run ``value.name``: properties that a user wrote run under the trace."""
    if isinstance(value, np.ndarray | np.inexact | complex):
        return array_methods.read_array_attribute(recorder, value, name)
    if not isinstance(value, types.ModuleType):
        found = getattr(type(value), name, None)
        if isinstance(found, property) and isinstance(found.fget, types.FunctionType):
            return call_user(recorder, found.fget, (value,))
        if isinstance(found, functools.cached_property) and name not in value.__dict__:
            result = call_user(recorder, found.func, (value,))
            value.__dict__[name] = result
            return result
    return getattr(value, name)


def _operator(function: Any) -> Any:
    """Return the hook for a function of the module ``operator``."""
    from gradcheck.tracing import hooks

    return hooks.OPERATOR_FUNCTIONS.get(function, function)


def _special() -> dict[Any, Any]:
    """Return the functions that need more than a rule; they in turn need ``call``."""
    from gradcheck.tracing.special_calls import SPECIAL

    return SPECIAL
