"""All rules, by the object that the user's code calls."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from gradcheck.tracing.operation import Rule
from gradcheck.tracing.rules import (
    complex_numbers,
    creation,
    distances,
    elementwise,
    factors,
    filters,
    fourier,
    linalg,
    movement,
    products,
    reductions,
    scalars,
    special,
)

_CONSTANT_FUNCTIONS = (
    "zeros_like ones_like empty_like zeros ones empty eye identity round "
    "around fix argmax argmin argsort argpartition shape ndim size isfinite isnan "
    "isinf isclose allclose array_equal count_nonzero nonzero flatnonzero argwhere "
    "any all searchsorted digitize unravel_index ravel_multi_index "
    "result_type can_cast may_share_memory shares_memory iscomplexobj isrealobj "
    "isscalar array_repr array_str array2string"
).split()
"""Functions whose result has no derivative with respect to their arguments, or derivative 0."""

_METHODS: dict[str, Any] = {
    "sum": np.sum, "mean": np.mean, "var": np.var, "std": np.std, "prod": np.prod,
    "max": np.max, "min": np.min, "cumsum": np.cumsum, "cumprod": np.cumprod, "dot": np.dot,
    "trace": np.trace, "reshape": np.reshape, "ravel": np.ravel, "squeeze": np.squeeze,
    "swapaxes": np.swapaxes, "transpose": np.transpose, "repeat": np.repeat, "take": np.take,
    "diagonal": np.diagonal, "clip": np.clip, "ptp": np.ptp,
}  # fmt: skip
"""Methods of arrays whose arguments are those of the function."""


@dataclass(frozen=True)
class Registry:
    """The rules for calls; ``names`` holds the parameter names of each rule."""

    ufuncs: dict[Any, Rule]
    functions: dict[Any, Rule]
    methods: dict[str, Rule]
    constant: frozenset[Any]
    names: dict[Any, tuple[str, ...]] = field(default_factory=dict)

    def parameter_names(self, rule: Rule) -> tuple[str, ...]:
        """Return the names of the arguments that a rule takes by place, after the context."""
        found = self.names.get(rule)
        if found is None:
            parameters = inspect.signature(rule).parameters.values()
            by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
            found = tuple(p.name for p in parameters if p.kind in by_place)[1:]
            self.names[rule] = found
        return found


def _reshape_method(context: Any, a: Any, *shape: Any, **kwargs: Any) -> Any:
    return movement.FUNCTIONS[np.reshape](context, a, context.value.shape, **kwargs)


def _transpose_method(context: Any, a: Any, *axes: Any) -> Any:
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], tuple | list)):
        return movement.transposed(context, a, axes[0])
    return movement.transposed(context, a, axes or None)


def _methods(functions: dict[Any, Rule]) -> dict[str, Rule]:
    methods: dict[str, Rule] = {name: functions[f] for name, f in _METHODS.items()}
    methods.update(_further_methods(functions))
    methods.update(complex_numbers.METHODS)
    return methods


def _further_methods(functions: dict[Any, Rule]) -> dict[str, Rule]:
    further: dict[str, Rule] = {
        "reshape": _reshape_method,
        "transpose": _transpose_method,
        "flatten": functions[np.ravel],
        "copy": movement.copied,
        "astype": movement.copied,
        "item": _item,
        "__copy__": movement.copied,
        "__deepcopy__": movement.copied,
        "view": _view,
    }
    return further


def _item(context: Any, a: Any, *args: Any) -> Any:
    tensor = context.tensor(a).flatten()
    if len(args) == 1 and not isinstance(args[0], tuple):
        return tensor[args[0]]
    if args:
        place = np.ravel_multi_index(args[0] if isinstance(args[0], tuple) else args, np.shape(a))
        return tensor[int(place)]
    return tensor[0]


def _view(context: Any, a: Any, dtype: Any = None, type: Any = None) -> Any:
    return context.tensor(a).reshape(context.value.shape)


_IN_MODULES: dict[str, tuple[Callable[[], dict[Any, Rule]], ...]] = {
    "scipy.special": (lambda: special.scipy_rules()[1],),
    "scipy.linalg": (linalg.scipy_rules, factors.scipy_rules),
    "scipy.spatial.distance": (distances.scipy_rules,),
    "scipy.fft": (fourier.scipy_rules, lambda: filters.scipy_rules("scipy.fft")),
    "scipy.signal": (lambda: filters.scipy_rules("scipy.signal"),),
    "scipy.ndimage": (lambda: filters.scipy_rules("scipy.ndimage"),),
}
"""The rules of functions in modules that need not be imported."""

MODULES = tuple(_IN_MODULES)


def registry() -> Registry:
    """Return the rules of all that is imported by now: no target calls what is not."""
    return _registry(tuple([name in sys.modules for name in _IN_MODULES]))


@lru_cache(maxsize=16)
def _registry(imported: tuple[bool, ...], /) -> Registry:
    known = [name for name, there in zip(_IN_MODULES, imported, strict=True) if there]
    special_ufuncs = special.scipy_rules()[0] if "scipy.special" in known else {}
    ufuncs = elementwise.UFUNCS | products.UFUNCS | special_ufuncs | complex_numbers.UFUNCS
    functions = (
        elementwise.FUNCTIONS
        | reductions.FUNCTIONS
        | movement.FUNCTIONS
        | creation.FUNCTIONS
        | products.FUNCTIONS
        | linalg.FUNCTIONS
        | factors.FUNCTIONS
        | fourier.FUNCTIONS
        | scalars.FUNCTIONS
        | complex_numbers.FUNCTIONS
    )
    for name in known:
        for rules in _IN_MODULES[name]:
            functions |= rules()
    constant = {getattr(np, name) for name in _CONSTANT_FUNCTIONS if hasattr(np, name)}
    constant |= {len, isinstance, type, id, hash, repr, str, print, bool, int, round, format}
    return Registry(
        ufuncs, functions, _methods(functions), frozenset(constant | elementwise.CONSTANT_UFUNCS)
    )
