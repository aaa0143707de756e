"""A layer and its hand-written backward pass as a loss with a gradient.

The commonest form of hand-written code is ``out, cache = forward(...)`` and
``grads = backward(cotangent, cache)``; an object that keeps the cache itself has
``backward(cotangent)``. The inner product of ``out`` with a fixed random cotangent is a scalar loss
whose gradient is what ``backward`` returns for that cotangent.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.calling.calls import bind_inputs
from gradcheck.calling.choose import in_order, is_float_array
from gradcheck.calling.named import Elsewhere, is_float_tree
from gradcheck.calling.returned_names import meant, returned_names
from gradcheck.calling.returns import gradient_keys, leaf_name
from gradcheck.calling.tree import leaves
from gradcheck.errors import UsageError
from gradcheck.targets.scout import scouted


@dataclass(frozen=True)
class LayerLoss:
    """The scalar loss of a layer, called as its forward function is."""

    forward: Callable[..., Any]
    seed: int

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.forward)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the inner product of the layer's output with the cotangent."""
        outputs, _, _ = split_output(self.forward(*args, **kwargs))
        cotangents = random_cotangents(outputs, self.seed)
        return sum(np.sum(out * c) for out, c in zip(outputs, cotangents, strict=True))


@dataclass(frozen=True)
class LayerGradient:
    """The gradient of a layer's loss: what ``backward`` makes of the cotangent.

    Attributes:
        names: what its results are the gradients of, in their order.
        held: arrays of the layer's object, each with the attribute that holds its gradient.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    seed: int
    names: tuple[str, ...] = ()
    held: tuple[tuple[str, str], ...] = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the gradients by name."""
        grads = self.raw(*args, **kwargs)
        if isinstance(grads, Mapping):
            found = dict(grads)
        elif grads is None and self.names:
            return None
        else:
            parts = grads if isinstance(grads, tuple | list) else (grads,)
            if len(parts) != len(self.names) and self.names:
                raise UsageError(
                    f"the backward function returned {len(parts)} gradients, for the parameters "
                    f"{', '.join(self.names)}; return one for each in this order, or name the "
                    "parameters in the order of what it returns with wrt= (--wrt)"
                )
            found = dict(zip(self.names, parts, strict=False))
        return found | _gradients_held(getattr(self.backward, "__self__", None), self.held)

    def raw(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the backward function returns.

        Raises:
            UsageError: it cannot be called with a cotangent.
        """
        outputs, cache, has_cache = split_output(self.forward(*args, **kwargs))
        handed = [
            np.array(cotangent, dtype=np.asarray(out).dtype)
            for out, cotangent in zip(outputs, random_cotangents(outputs, self.seed), strict=True)
        ]
        bound = inspect.signature(self.forward).bind(*args, **kwargs)
        ways: list[tuple[tuple[Any, ...], Mapping[str, Any]]] = [
            ((*handed, cache), {}) if has_cache else ((*handed, *bound.args), bound.kwargs),
            ((*handed,), {}),
        ]
        try:
            signature = inspect.signature(self.backward)
        except (TypeError, ValueError):
            return self.backward(*ways[0][0], **ways[0][1])
        for given, named in ways:
            try:
                signature.bind(*given, **named)
            except TypeError:
                continue
            return self.backward(*given, **named)
        what = "(cotangent, cache)" if has_cache else "(cotangent, *inputs) or (cotangent)"
        raise UsageError(
            f"vjp= (--vjp) {getattr(self.backward, '__qualname__', 'backward')}{signature} cannot "
            f"be called with {what}, which is what follows from what the layer returns; for a "
            "function that takes no cotangent, use grad= (--grad)"
        )


def split_output(result: Any) -> tuple[tuple[Any, ...], Any, bool]:
    """Return the layer's outputs, its cache, and whether there is a cache.

    The cache comes last; only arrays of floats before it are several outputs.
    """
    if not isinstance(result, tuple) or len(result) < 2:
        return (result,), None, False
    *outputs, cache = result
    if len(outputs) == 1 or all(map(is_float_array, outputs)):
        return tuple(outputs), cache, True
    return (result,), None, False


def random_cotangents(outputs: Sequence[Any], seed: int) -> list[Any]:
    """Return a fixed random cotangent for each output; those of the others are other ones."""
    return [random_cotangent(np.shape(out), seed + k) for k, out in enumerate(outputs)]


def random_cotangent(shape: tuple[int, ...], seed: int) -> Any:
    """Return the fixed random cotangent of a layer's output: normal, from the seed; 1 of a loss.

    The backward pass of a loss often takes no cotangent into account, as it is always 1.
    """
    if shape == ():
        return np.float64(1.0)
    return np.random.default_rng((seed, 0xC07)).standard_normal(shape)


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer as a loss: ``live`` holds the arrays of its object that have gradients, if any."""

    loss: LayerLoss
    gradient: LayerGradient
    wrt: list[str]
    live: Elsewhere | None


def as_loss(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Any,
    wrt: Sequence[str | int] | str | int | None,
    *,
    seed: int,
) -> Layer:
    """Return the layer as a loss.

    Without ``wrt`` the parameters are the float arrays among the inputs whose gradients come back,
    and the arrays of the layer's object that it leaves a gradient of beside them (``W``, ``dW``).

    Raises:
        UsageError: no input is a float array, a name is unknown, or the backward function cannot
            be called.
    """
    bound = bind_inputs(forward, inputs)
    items = bound.items()
    loss, plain = LayerLoss(forward, seed), LayerGradient(forward, backward, seed)
    if wrt is not None:
        asked = [wrt] if isinstance(wrt, str | int) else list(wrt)
        order = [name for name, _ in items]
        names = [order[one] if isinstance(one, int) else one for one in asked]
        inside = tuple(name for name in names if name in order)
        held = tuple(pair for pair in _held(backward) if pair[0] in names and pair[0] not in order)
        live = _live(backward, held)
        gradient = LayerGradient(forward, backward, seed, inside or tuple(names), held)
        return Layer(loss, gradient, names, live)
    floats = {name: value for name, value in items if is_float_array(value)}
    grads = scouted(plain.raw, bound)
    held = _held(backward)
    names = _of_inputs(grads, floats, backward)
    if not names and not held:
        raise UsageError(
            "none of the layer's inputs is a float array; name the parameters with wrt= (--wrt)"
        )
    gradient = LayerGradient(forward, backward, seed, tuple(names), held)
    return Layer(loss, gradient, [*names, *(name for name, _ in held)], _live(backward, held))


def _of_inputs(grads: Any, floats: Mapping[str, Any], backward: Callable[..., Any]) -> list[str]:
    """The inputs that the results of a backward function are the gradients of, in their order."""
    parts = grads if isinstance(grads, tuple | list) else (grads,)
    if isinstance(grads, Mapping) or len(parts) == len(floats):
        return list(floats)
    hints = [meant(name, list(floats)) for name in returned_names(backward)]
    if len(hints) == len(parts) and all(hints) and len(set(hints)) == len(hints):
        return [str(hint) for hint in hints]
    return in_order(list(parts), floats) or list(floats)


def _held(backward: Callable[..., Any]) -> tuple[tuple[str, str], ...]:
    """Arrays of the layer's object, or trees of them, each with what holds its gradient now."""
    attributes = getattr(getattr(backward, "__self__", None), "__dict__", {})
    return tuple(
        (name, key)
        for name, value in attributes.items()
        if is_float_tree(value)
        for key in (*gradient_keys(name)[1:], *(("grads",) if name == "params" else ()))
        if is_float_tree(attributes.get(key)) and _like(value, attributes[key])
    )


def _like(value: Any, gradient: Any) -> bool:
    """Whether a gradient can be that of ``value``: an array of an array, a tree of a tree."""
    if isinstance(value, np.ndarray):
        return isinstance(gradient, np.ndarray)
    return not isinstance(gradient, np.ndarray) and len(value) == len(gradient)


def _gradients_held(owner: Any, held: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The gradients that an object holds now, by the names of the arrays that they belong to."""
    tree = {name: getattr(owner, key) for name, key in held}
    return {leaf_name(leaf, "params"): np.copy(leaf.value) for leaf in leaves(tree, "params")}


def _live(backward: Callable[..., Any], held: Sequence[tuple[str, str]]) -> Elsewhere | None:
    owner: Any = getattr(backward, "__self__", None)
    return Elsewhere(owner.__dict__, [name for name, _ in held]) if held else None
