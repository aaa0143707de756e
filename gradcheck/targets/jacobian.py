"""A function of many outputs with a Jacobian, as a loss with a gradient.

Least squares has residuals and their Jacobian, statistics a likelihood of each observation and its
scores, an activation a value and a derivative of each entry. The inner product of the outputs with
a fixed random cotangent is a scalar loss, and the same product with the Jacobian its gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.calling.calls import bind_inputs
from gradcheck.calling.tree import leaves, map_leaves
from gradcheck.targets.layers import LayerLoss, random_cotangent
from gradcheck.targets.scout import scouted


@dataclass(frozen=True, eq=False)
class JacobianProduct:
    """The gradient of the contracted outputs.

    Attributes:
        jacobian: the user's function.
        shape: the shape of the outputs.
        elementwise: the derivative is that of each output by its own entry of the input.
    """

    jacobian: Callable[..., Any]
    shape: tuple[int, ...]
    elementwise: bool
    seed: int

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the Jacobian, or a tree of them, each contracted with the cotangent."""
        return map_leaves(self._contracted, self.jacobian(*args, **kwargs))

    def _contracted(self, leaf: Any) -> Any:
        dense = leaf.toarray() if hasattr(leaf, "toarray") else np.asarray(leaf)
        cotangent = random_cotangent(self.shape, self.seed)
        if self.elementwise and dense.shape == self.shape:
            return cotangent * dense
        if dense.shape[: len(self.shape)] != self.shape:
            # Nothing to contract: the comparison of shapes says what is wrong.
            return dense
        return np.tensordot(cotangent, dense, axes=len(self.shape))


def contracted(
    target: Callable[..., Any], jacobian: Callable[..., Any], inputs: Any, *, seed: int
) -> tuple[LayerLoss, JacobianProduct] | None:
    """Return a function of many outputs and its Jacobian as a loss and its gradient.

    None where the function does not return one array of real numbers.

    Raises:
        Exception: whatever the target raises.
    """
    bound = bind_inputs(target, inputs)
    values = [leaf.value for name, one in bound.items() for leaf in leaves(one, name)]
    shapes = [np.shape(value) for value in values]
    out = scouted(target, bound)
    if not isinstance(out, np.ndarray) or out.dtype.kind != "f" or out.size < 2:
        return None
    product = JacobianProduct(jacobian, out.shape, out.shape in shapes, seed)
    return LayerLoss(target, seed), product


def describe(shape: tuple[int, ...]) -> str:
    """Say how outputs of this shape are checked."""
    return (
        f"the target returns {int(np.prod(shape))} numbers (shape {shape}): their inner product "
        "with a fixed random cotangent is the loss, and that of the Jacobian the gradient"
    )
