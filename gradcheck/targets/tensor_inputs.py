"""Whether what is drawn or loaded for a target has to be torch tensors, and of which precision."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True, eq=False)
class Tensors:
    """How arrays become tensors: ``dtype`` is that of the target's own weights, if it has any."""

    dtype: Any = None

    def of(self, value: Any) -> Any:
        """Return a NumPy array as a tensor that requires a gradient if it can; others as is."""
        import numpy as np
        import torch

        if not isinstance(value, np.ndarray):
            return value
        tensor = torch.as_tensor(value)
        if tensor.is_floating_point() and self.dtype is not None:
            tensor = tensor.to(self.dtype)
        differentiable = tensor.is_floating_point() or tensor.is_complex()
        return tensor.requires_grad_() if differentiable else tensor

    def of_all(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values, arrays among them as tensors."""
        return {name: self.of(value) for name, value in values.items()}


def wanted(target: Any) -> Tensors | None:
    """Return how to make tensors for ``target``, or None where it takes NumPy arrays.

    It takes tensors if it is a module, a method of one or an ``autograd.Function``, reads a module
    or a tensor from elsewhere, is annotated with tensors, or calls torch and never NumPy. Torch is
    not imported to find out: a target that needs it has done so.
    """
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "nn"):
        return None
    from gradcheck.torch_target.kinds import is_torch_target, surrounding_values

    if not (is_torch_target(target, ()) or _is_annotated(target) or _calls_torch(target)):
        return None
    owner = getattr(target, "__self__", target)
    around = [owner, *(value for _, value in surrounding_values(target))]
    modules = [value for value in around if isinstance(value, torch.nn.Module)]
    weights = [one for module in modules for one in module.parameters()]
    return Tensors(next((one.dtype for one in weights if one.is_floating_point()), None))


def _is_annotated(target: Any) -> bool:
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return False
    names = (getattr(p.annotation, "__name__", p.annotation) for p in parameters)
    return any(isinstance(name, str) and name.rpartition(".")[2] == "Tensor" for name in names)


def _calls_torch(target: Any) -> bool:
    """Whether the code of a function names torch, or a class of its making, and not NumPy."""
    from gradcheck.torch_target.kinds import surrounding_values

    torch = sys.modules["torch"]
    values = [value for _, value in surrounding_values(target)]
    packages = {v.__name__.partition(".")[0] for v in values if isinstance(v, ModuleType)}
    classes = (torch.autograd.Function, torch.nn.Module)
    made = any(isinstance(value, type) and issubclass(value, classes) for value in values)
    return "numpy" not in packages and ("torch" in packages or made)
