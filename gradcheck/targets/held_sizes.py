"""Sizes that an object's own arrays, or a torch module's layers, tell of its inputs."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradcheck.calling.tree import leaves

_SIDES = (8, 16, 28, 32, 64)
"""Heights of square images, the smallest first."""


def sizes_held(
    target: Callable[..., Any], given: Mapping[str, Any], sizes: Mapping[str, int]
) -> list[dict[str, int]]:
    """Return the sizes of examples and classes that a target's own arrays suggest, else ``sizes``.

    The first matrix tells how long an example is, the last one how many classes there are; which
    of their two sides it is has to be tried. Matrices are those of a method's object, and those
    among the inputs that are given.
    """
    owner = getattr(target, "__self__", None if inspect.isroutine(target) else target)
    attributes = getattr(owner, "__dict__", {})
    held = attributes.get("params") or attributes
    floats = [
        leaf.value
        for leaf in leaves([held, dict(given)], "x")
        if isinstance(leaf.value, np.ndarray) and leaf.value.dtype.kind == "f"
    ]
    shapes = [value.shape for value in floats if value.ndim == 2]
    vectors = [len(value) for value in floats if value.ndim == 1]
    found = []
    # Columns of biases are no matrices of weights, unless there is nothing else.
    for matrices in ([shape for shape in shapes if 1 not in shape], shapes):
        if matrices:
            first, last = matrices[0], matrices[-1]
            found.append(dict(sizes) | {"D": first[0], "C": last[-1]})
            found.append(dict(sizes) | {"D": first[-1], "C": last[0]})
    if not found and vectors:
        return [dict(sizes) | {"D": vectors[0]}, dict(sizes)]
    return found or [dict(sizes)]


def module_specs(target: Any) -> list[str]:
    """Return specs for the input of a torch module, by the first of its layers with a size."""
    torch = sys.modules.get("torch")
    owner = getattr(target, "__self__", target)
    if torch is None or not isinstance(owner, torch.nn.Module):
        return []
    for layer in owner.modules():
        specs = _of_layer(layer)
        if specs:
            return specs
    shapes = [tuple(one.shape) for one in owner.parameters() if one.dim() == 2]
    return [f"randn(7, {side})" for shape in shapes[:1] for side in shape[::-1]]


def _of_layer(layer: Any) -> list[str]:
    if hasattr(layer, "num_embeddings"):
        count = layer.num_embeddings
        return [f"integers({count}, size=7)", f"integers({count}, size=(2, 7))"]
    if hasattr(layer, "in_features"):
        return [f"randn(7, {layer.in_features})"]
    if hasattr(layer, "in_channels"):
        dimensions = len(getattr(layer, "kernel_size", (1, 1)))
        sides = (", ".join([str(side)] * dimensions) for side in _SIDES)
        return [f"randn(2, {layer.in_channels}, {side})" for side in sides]
    if hasattr(layer, "input_size"):
        return [f"randn(3, 2, {layer.input_size})"]
    if hasattr(layer, "embed_dim"):
        return [f"randn(3, 2, {layer.embed_dim})"]
    if hasattr(layer, "num_features"):
        return [f"randn(7, {layer.num_features})", f"randn(2, {layer.num_features}, 8, 8)"]
    return []
