"""How a recorded operation hands a cotangent on where its derivative is altered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.tracing.contract import Alteration
from gradcheck.tracing.local_pull import local_pull
from gradcheck.tracing.operation import Recorded

Hook = Callable[[Any], Any]
_ELEMENTWISE_EXCEPTIONS = frozenset({"matmul", "dot"})


def real_array(value: Any) -> NDArray[np.float64]:
    """Return a copy of a tensor's or an array's values in float64; of complex ones the real part.

    A diagnosis looks at real numbers only.
    """
    content = value
    if hasattr(value, "detach"):
        content = value.detach().cpu().resolve_conj().resolve_neg().numpy()
    return np.array(np.real(content), dtype=np.float64)


def altered_operands(operation: Recorded, alteration: Alteration) -> list[int]:
    """Return the places of the operands that an alteration concerns."""
    varying = [place for place, edge in enumerate(operation.edges) if edge is not None]
    if alteration.operand is None:
        if alteration.kind.endswith("_operand"):
            raise ValueError(f"{alteration.kind} needs an operand")
        return varying
    if alteration.operand not in varying:
        raise ValueError(f"operand {alteration.operand} of {operation.name} carries no gradient")
    return [alteration.operand]


def altering_hook(
    torch: Any, operation: Recorded, alteration: Alteration, place: int, cotangent: list[Any]
) -> Hook:
    """Return the function that changes the cotangent on its way to one operand."""
    kind = alteration.kind
    edge = operation.edges[place]
    if kind in ("constant", "drop_operand"):
        return torch.zeros_like  # type: ignore[no-any-return]
    if kind in ("scale", "scale_operand"):
        return lambda gradient: gradient * alteration.factor
    if kind == "identity":
        fit = _fitting(operation, tuple(edge.shape))
        return lambda gradient: fit(cotangent[-1]).to(gradient.dtype)
    if kind == "twice":
        slope = _slope(torch, operation, edge)
        return lambda gradient: (gradient * slope).to(gradient.dtype)
    if kind == "slope" and alteration.slope is not None:
        given = torch.from_numpy(np.array(alteration.slope))
        if given.shape != edge.shape or given.shape != operation.outputs[0].shape:
            raise ValueError(f"{operation.name} is not elementwise in this operand")
        return lambda gradient: (cotangent[-1] * given).to(gradient.dtype)
    if kind == "rule" and alteration.rule is not None:
        rule, shape = alteration.rule, tuple(edge.shape)
        return lambda gradient: torch.from_numpy(
            np.array(rule(real_array(cotangent[-1])), dtype=np.float64).reshape(shape)
        ).to(gradient.dtype)
    if kind == "transpose_operand":
        return _transposed_factor(operation, place, cotangent)
    raise ValueError(f"there is no alteration {kind!r}")


def _fitting(operation: Recorded, shape: tuple[int, ...]) -> Hook:
    """Return how a result's cotangent is handed on unchanged to an operand of another shape."""
    result = tuple(operation.outputs[0].shape)
    if result == shape:
        return lambda gradient: gradient.clone()
    if fits(shape, result):
        return lambda gradient: gradient.sum_to_size(shape)
    axis = operation.keywords.get("axis")
    kept = with_unit_axes(result, shape, axis)
    if kept is not None and fits(kept, shape):
        return lambda gradient: gradient.reshape(kept).expand(shape).clone()
    if np.prod(result, dtype=int) == np.prod(shape, dtype=int):
        return lambda gradient: gradient.reshape(shape).clone()
    raise ValueError(f"{operation.name} maps {shape} to {result}: not to be taken for the identity")


def fits(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Say whether an array of one shape broadcasts to another."""
    try:
        return np.broadcast_shapes(small, large) == large
    except ValueError:
        return False


def with_unit_axes(
    result: tuple[int, ...], shape: tuple[int, ...], axis: Any
) -> tuple[int, ...] | None:
    """Return the result's shape with reduced axes of length 1, where there is just one way."""
    if len(result) == len(shape):
        return result
    if result == ():
        return (1,) * len(shape)
    if axis is None:
        return None
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    reduced = {int(a) % len(shape) for a in axes}
    if len(result) + len(reduced) != len(shape):
        return None
    rest = iter(result)
    return tuple(1 if a in reduced else next(rest) for a in range(len(shape)))


def _slope(torch: Any, operation: Recorded, edge: Any) -> Any:
    """Return the local derivative of an elementwise operation."""
    if len(operation.outputs) != 1 or operation.outputs[0].shape != edge.shape:
        raise ValueError(f"{operation.name} is not elementwise in this operand")
    if operation.name in _ELEMENTWISE_EXCEPTIONS:
        raise ValueError(f"{operation.name} is not elementwise")
    output = operation.outputs[0]
    edges = [one for one in operation.edges if one is not None]
    found = local_pull(torch, output, edges, torch.ones_like(output))
    slope = None if found is None else found[[one is edge for one in edges].index(True)]
    if slope is not None:
        return slope
    # of a sum, as in `_pulled`; the real part's derivative by a complex number is 1 as well
    (slope,) = torch.autograd.grad(output.real.sum(), [edge], retain_graph=True)
    return slope


def _transposed_factor(operation: Recorded, place: int, cotangent: list[Any]) -> Hook:
    """Return the gradient of a matrix product with the other factor transposed by mistake."""
    factors = operation.factors
    if factors is None or any(factor.ndim != 2 for factor in factors):
        raise ValueError(f"{operation.name} is no product of two matrices")
    other = factors[1 - place]
    if other.shape[0] != other.shape[1]:
        raise ValueError("the other factor is not square: transposed, it does not fit")
    if place == 0:
        return lambda gradient: cotangent[-1].to(gradient.dtype) @ other.to(gradient.dtype)
    return lambda gradient: other.to(gradient.dtype) @ cotangent[-1].to(gradient.dtype)
