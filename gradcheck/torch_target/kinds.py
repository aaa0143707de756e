"""What counts as a torch target, and how each form of it is called."""

from __future__ import annotations

import copy
import dis
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradcheck.calling.tree import leaves

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, eq=False)
class HeldModule:
    """A module whose parameters the target reads.

    Attributes:
        label: how Python reaches it from the target's side; empty for the target itself.
        module: the module, or a private copy of it where one could be made.
    """

    label: str
    module: nn.Module


@dataclass(frozen=True, eq=False)
class Subject:
    """A torch target made callable.

    Attributes:
        function: called with the inputs; its signature names them.
        modules: modules that it reads besides its inputs.
        live: tensors that it reads from elsewhere, a tree.
        live_root: the Python name of that tree.
    """

    function: Callable[..., Any]
    modules: tuple[HeldModule, ...] = ()
    live: Any = None
    live_root: str = "params"


def is_torch_target(target: Any, inputs: Any, params: Any = None) -> bool:
    """Return whether torch computes the gradient of ``target``; torch is not imported to find out.

    It is a torch target if it is a module, a method of one or an ``autograd.Function``, if a
    tensor or module is among ``inputs`` or ``params``, or if it takes no NumPy array and closes
    over a module or a tensor that requires grad.
    """
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "nn"):
        return False
    if isinstance(target, torch.nn.Module) or is_function_class(target):
        return True
    if isinstance(getattr(target, "__self__", None), torch.nn.Module):
        return True
    kinds = (torch.Tensor, torch.nn.Module)
    values = [leaf.value for leaf in leaves((inputs, params), "x")]
    if any(isinstance(value, kinds) for value in values):
        return True
    if any(type(value).__module__ == "numpy" for value in values):
        return False
    return bool(closed_over(target))


def is_function_class(value: Any) -> bool:
    """Return whether ``value`` is a subclass of ``torch.autograd.Function``."""
    torch = sys.modules.get("torch")
    return (
        torch is not None and isinstance(value, type) and issubclass(value, torch.autograd.Function)
    )


def understand(target: Any, params: Any) -> Subject:
    """Return what to call, and where it keeps the parameters that are not among its inputs."""
    import torch

    if is_function_class(target):
        return Subject(call_of_function(target), live=params)
    owner = getattr(target, "__self__", None)
    if isinstance(target, torch.nn.Module):
        module = private(target)
        return Subject(_like(module, module.forward), (HeldModule("", module),), live=params)
    if isinstance(owner, torch.nn.Module):
        module = private(owner)
        method = target.__func__.__get__(module)
        return Subject(_like(method, method), (HeldModule("", module),), live=params)
    if isinstance(params, torch.nn.Module):
        return Subject(target, (HeldModule("", params),))
    if params is not None:
        return Subject(target, live=params)
    closed = closed_over(target)
    modules = tuple(
        HeldModule(name, value) for name, value in closed if isinstance(value, torch.nn.Module)
    )
    known = {id(one) for held in modules for one in held.module.parameters()}
    tensors = {
        name: value
        for name, value in closed
        if isinstance(value, torch.Tensor) and id(value) not in known
    }
    return Subject(target, modules, tensors or None, live_root="")


def call_of_function(cls: Any) -> Callable[..., Any]:
    """Return ``cls.apply`` with the signature of ``forward``, without its context."""
    import torch

    signature = inspect.signature(cls.forward)
    if cls.setup_context is torch.autograd.Function.setup_context:
        arguments = list(signature.parameters.values())[1:]
        signature = signature.replace(parameters=arguments)

    def apply(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return cls.apply(*bound.args)

    apply.__signature__ = signature  # type: ignore[attr-defined]
    apply.__qualname__ = f"{cls.__qualname__}.apply"
    return apply


def private(module: nn.Module) -> nn.Module:
    """Return a deep copy, or the module itself where it cannot be copied.

    A module that holds tensors with a graph, open files or the like cannot be; its parameters are
    then swapped in place and put back.
    """
    try:
        return copy.deepcopy(module)
    except (RuntimeError, TypeError, NotImplementedError, RecursionError):
        return module


def _like(function: Callable[..., Any], model: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    call.__signature__ = inspect.signature(model)  # type: ignore[attr-defined]
    call.__qualname__ = getattr(model, "__qualname__", type(function).__name__)
    return call


def closed_over(target: Any) -> list[tuple[str, Any]]:
    """Modules, and leaf tensors that require grad, among a function's closure and globals."""
    import torch

    found: dict[str, Any] = {}
    for name, value in surrounding_values(target):
        is_parameter = (
            isinstance(value, torch.Tensor) and value.is_leaf and bool(value.requires_grad)
        )
        if isinstance(value, torch.nn.Module) or is_parameter:
            found.setdefault(name, value)
    return list(found.items())


def surrounding_values(target: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and values that a function reads from its closure and its globals."""
    function = inspect.unwrap(getattr(target, "__func__", target))
    code = getattr(function, "__code__", None)
    if code is None:
        return
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:
            # A variable of the enclosing function that has no value yet.
            continue
    names = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    for name in sorted(names):
        if name in function.__globals__:
            yield name, function.__globals__[name]
