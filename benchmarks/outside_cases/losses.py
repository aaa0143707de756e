"""A case's loss and gradient as functions of one parameter, without the checker."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from benchmarks.outside_cases.loading import imported, separate_gradient, target


class Loss(Protocol):
    """A loss whose parameters are told by their path, as ``W`` or ``theta.0``."""

    def gradient(self) -> dict[str, np.ndarray]:
        """The gradient the case returns, in float64."""

    def parameter(self, path: str) -> np.ndarray:
        """The values of one parameter, in float64."""

    def value(self, path: str, values: np.ndarray) -> float | complex:
        """The loss with other values of one parameter."""


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and the value of every leaf of a nested structure."""
    children: Any = ()
    if isinstance(tree, dict):
        children = sorted(tree.items())
    elif isinstance(tree, list | tuple):
        children = enumerate(tree)
    elif tree is not None:
        yield path, tree
    for key, child in children:
        yield from leaves(child, f"{path}.{key}" if path else str(key))


def _replace(tree: Any, path: str, value: Any) -> None:
    *way, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    for key in way:
        tree = tree[key]
    tree[last] = value


def _in_float64(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _in_float64(child) for key, child in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_in_float64(child) for child in tree)
    if isinstance(tree, np.ndarray):
        return tree.astype(np.float64) if tree.dtype.kind == "f" else tree.copy()
    return float(tree) if isinstance(tree, np.floating) else tree


class NumpyLoss:
    """A loss of arrays that returns its value and gradient, or has a function for the gradient."""

    def __init__(self, module: ModuleType, inputs: dict[str, Any]) -> None:
        self.module = module
        self.inputs = inputs

    def _call(self, function: Any, inputs: dict[str, Any]) -> Any:
        np.random.seed(0)
        random.seed(0)
        return function(**inputs)

    def gradient(self) -> dict[str, np.ndarray]:
        """The gradient the case returns, in float64."""
        inputs = copy.deepcopy(self.inputs)
        alone = separate_gradient(self.module)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if alone is not None:
                gradients = self._call(alone, inputs)
            else:
                gradients = self._call(target(self.module), inputs)[1]
        root = getattr(self.module, "TREE", "")
        if not root and not isinstance(gradients, dict):
            root = self.module.WRT
        return {path: np.array(g, dtype=np.float64) for path, g in leaves(gradients, root)}

    def parameter(self, path: str) -> np.ndarray:
        """The values of one parameter, in float64."""
        return np.array(dict(leaves(self.inputs))[path], dtype=np.float64)

    def value(self, path: str, values: np.ndarray) -> float | complex:
        """The loss with other values of one parameter; complex if these make it so."""
        inputs = copy.deepcopy(self.inputs)
        old = dict(leaves(inputs))[path]
        own = values.copy()  # some targets take a step in place
        _replace(inputs, path, own if isinstance(old, np.ndarray) else own[()])
        result = self._call(target(self.module), inputs)
        loss = result[0] if isinstance(result, tuple) else result
        return complex(loss) if np.iscomplexobj(loss) else float(loss)


class TorchLoss:
    """A loss of tensors, or a module; its gradient is that of PyTorch's backward pass."""

    def __init__(self, module: ModuleType, inputs: dict[str, Any]) -> None:
        self.target = target(module)
        self.inputs = inputs
        net = getattr(module, "net", None)
        self.weights = dict(net.named_parameters()) if net is not None else {}

    def _call(self, inputs: dict[str, Any]) -> Any:
        import torch

        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.target(**inputs).sum()

    def _copies(self) -> dict[str, Any]:
        import torch

        return {
            name: value.detach().clone().requires_grad_(value.requires_grad)
            if torch.is_tensor(value)
            else value
            for name, value in self.inputs.items()
        }

    def gradient(self) -> dict[str, np.ndarray]:
        """The gradient the case returns, in float64."""
        import torch

        inputs = self._copies()
        wanted = {k: v for k, v in inputs.items() if torch.is_tensor(v) and v.requires_grad}
        wanted |= self.weights
        slopes = torch.autograd.grad(
            self._call(inputs), list(wanted.values()), allow_unused=True, materialize_grads=True
        )
        return {
            name: slope.detach().double().numpy().copy()
            for name, slope in zip(wanted, slopes, strict=True)
        }

    def parameter(self, path: str) -> np.ndarray:
        """The values of one parameter, in float64."""
        tensor = self.weights[path] if path in self.weights else self.inputs[path]
        return tensor.detach().double().numpy().copy()

    def value(self, path: str, values: np.ndarray) -> float:
        """The loss with other values of one parameter."""
        import torch

        inputs = self._copies()
        tensor = self.weights[path] if path in self.weights else inputs[path]
        kept = tensor.detach().clone()
        with torch.no_grad():
            tensor.copy_(torch.tensor(values))
            try:
                return float(self._call(inputs))
            finally:
                tensor.copy_(kept)


def _tensors_in_float64(inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.detach().double().requires_grad_(value.requires_grad)
        if hasattr(value, "is_floating_point") and value.is_floating_point()
        else value
        for name, value in inputs.items()
    }


def as_it_is(name: str, text: str, seed: int) -> Loss:
    """The loss of a case in its own precision."""
    with imported(name, text) as module:
        form = TorchLoss if "import torch" in text else NumpyLoss
        return form(module, module.make(seed))


def in_float64(name: str, text: str, seed: int) -> Loss:
    """The loss in float64 throughout and without its offset, at the values of the case's inputs."""
    plain = text
    for lower in ("bfloat16", "float16", "float32"):
        plain = plain.replace(lower, "float64")
    plain = plain.replace("OFFSET = 1e8", "OFFSET = 0.0")
    with imported(name, text) as module:
        inputs = module.make(seed)
    with imported(name, plain) as module:
        if "import torch" in text:
            return TorchLoss(module, _tensors_in_float64(inputs))
        return NumpyLoss(module, _in_float64(inputs))
