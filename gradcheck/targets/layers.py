"""A layer and its hand-written backward pass as a loss with a gradient.

The commonest form of hand-written code is ``out, cache = forward(...)`` and
``grads = backward(cotangent, cache)``. The inner product of ``out`` with a fixed random cotangent
is a scalar loss whose gradient is what ``backward`` returns for that cotangent.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.calling.calls import bind_inputs
from gradcheck.calling.choose import is_float_array
from gradcheck.errors import UsageError


@dataclass(frozen=True)
class LayerLoss:
    """The scalar loss of a layer, called as its forward function is; returns (loss, gradients)."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    names: tuple[str, ...]
    seed: int

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.forward)

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Return the loss and the gradients in the order of ``names``, as a dict."""
        out, cache, has_cache = split_output(self.forward(*args, **kwargs))
        cotangent = random_cotangent(np.shape(out), self.seed)
        loss = np.sum(out * cotangent)
        handed = np.array(cotangent, dtype=np.asarray(out).dtype)
        if has_cache:
            grads = self.backward(handed, cache)
        else:
            bound = inspect.signature(self.forward).bind(*args, **kwargs)
            grads = self.backward(handed, *bound.args, **bound.kwargs)
        return loss, self._named(grads)

    def _named(self, grads: Any) -> Any:
        if grads is None or isinstance(grads, Mapping):
            return grads
        if not isinstance(grads, tuple | list):
            grads = (grads,)
        if len(grads) != len(self.names):
            raise UsageError(
                f"the backward function returned {len(grads)} gradients, for the parameters "
                f"{', '.join(self.names)}; return one for each in this order, or name the "
                "parameters in the order of what it returns with wrt= (--wrt)"
            )
        return dict(zip(self.names, grads, strict=True))


def split_output(result: Any) -> tuple[Any, Any, bool]:
    """Return the layer's output, its cache, and whether there is a cache."""
    if isinstance(result, tuple) and len(result) == 2 and np.ndim(result[0]) >= 0:
        return result[0], result[1], True
    return result, None, False


def random_cotangent(shape: tuple[int, ...], seed: int) -> Any:
    """Return the fixed random cotangent of a layer's output: normal, from the seed."""
    return np.random.default_rng((seed, 0xC07)).standard_normal(shape)


def as_loss(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Any,
    wrt: Sequence[str | int] | str | int | None,
    *,
    seed: int,
) -> tuple[LayerLoss, Any, list[str]]:
    """Return the layer as a loss, its inputs, and the parameters' names.

    Without ``wrt`` the parameters are the float arrays among the inputs, in their order.

    Raises:
        UsageError: no input is a float array, or a name is unknown.
    """
    bound = bind_inputs(forward, inputs)
    items = bound.items()
    if wrt is None:
        names = [name for name, value in items if is_float_array(value)]
    else:
        asked = [wrt] if isinstance(wrt, str | int) else list(wrt)
        order = [name for name, _ in items]
        names = [order[one] if isinstance(one, int) else one for one in asked]
    if not names:
        raise UsageError(
            "none of the layer's inputs is a float array; name the parameters with wrt= (--wrt)"
        )
    return LayerLoss(forward, backward, tuple(names), seed), inputs, names
