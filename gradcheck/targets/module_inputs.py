"""Inputs that stand at the top of the target's module under the names of its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from gradcheck.targets.signature import Signature


def inputs_of_module(
    signature: Signature, module: ModuleType | None, values: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the module's own data for the arguments that have no value yet, by their names.

    A starting point, ``x0`` or ``initial_theta``, is one for ``x`` or ``theta``. Arguments whose
    default is None count among them: labels are often left out in that way.
    """
    around: Mapping[str, Any] = vars(module) if module is not None else {}
    found = {}
    for name in signature.open(values):
        for form in ("{}", "{}0", "initial_{}", "init_{}", "{}_init"):
            if is_data(around.get(form.format(name))):
                found[name] = around[form.format(name)]
                break
    return found


def is_data(value: Any) -> bool:
    """Whether a value can be an input: arrays, tensors, numbers, text, containers of these."""
    if isinstance(value, bool | int | float | complex | str | np.ndarray | np.generic):
        return True
    if isinstance(value, list | tuple | set):
        return bool(value) and all(map(is_data, value))
    if isinstance(value, dict):
        return bool(value) and all(map(is_data, value.values()))
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "requires_grad")
