"""The message for a class, or a method of one: there is no object yet that could be checked."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any


def describe_unbound(target: Any, shown: str, module: ModuleType | None) -> str:
    """Return the message for a class, or a method of one: it has no object yet.

    An object of the class at the top of the module is named, else how to make one.
    """
    place, _, attribute = shown.rpartition(":")
    cls: Any
    if isinstance(target, type):
        cls, method = target, ""
    else:
        path, _, method = attribute.rpartition(".")
        cls = getattr(module, path.partition(".")[0], None) if module is not None else None
        path = path or getattr(target, "__qualname__", "Model.loss").rpartition(".")[0]
    class_name = cls.__name__ if isinstance(cls, type) else path.rpartition(".")[2] or "Model"
    around = vars(module) if module is not None else {}
    objects = [
        name for name, value in around.items() if isinstance(cls, type) and type(value) is cls
    ]
    suffix = f".{method}" if method else methods_of(cls)
    if objects:
        return (
            f"{shown} needs an object of the class {class_name}, and {objects[0]} is one: name "
            f"{place}:{objects[0]}{suffix}"
        )
    return (
        f"{shown} is a {'method without its object' if method else 'class'}: make an object in the "
        f"module, model = {class_name}{_constructor(cls)}, and name {place + ':' if place else ''}"
        f"model{suffix} instead"
    )


def methods_of(cls: Any) -> str:
    """Return the method of a class that is most likely to be checked, ``.loss``, or nothing."""
    if cls.__module__ == "builtins":
        return ""
    own = [n for n, v in vars(cls).items() if inspect.isfunction(v) and not n.startswith("_")]
    likely = [n for n in ("loss", "cost", "forward", "loss_and_grad", "backprop") if n in own]
    if any("__call__" in vars(base) for base in cls.__mro__) and "loss" not in own:
        return ""
    return f".{(likely or own)[0]}" if own else ""


def _constructor(cls: Any) -> str:
    try:
        parameters = inspect.signature(cls).parameters
    except (TypeError, ValueError):
        return "(...)"
    return f"({', '.join(parameters)})"
