"""The backward pass over a traced call, as it is and with single derivatives altered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.tracing.contract import Alteration, Operation
from gradcheck.tracing.operation import Recorded, Tie

Gradient = dict[str, NDArray[np.float64]]
Hook = Callable[[Any], Any]

_ELEMENTWISE_EXCEPTIONS = frozenset({"matmul", "dot"})
_MOST_FLIPS = 16
_MOST_MULTIPLIED = 200


@dataclass(frozen=True, eq=False)
class NumpyTrace:
    """A traced evaluation of a loss (see ``gradcheck.tracing.contract.Trace``).

    Attributes:
        loss: the value of the loss, as NumPy computed it.
        operations: the operations on which the loss depends, in the order in which they ran.
        ties: indices of the operations that sit exactly on a kink (``maximum`` of two equal
            numbers, the absolute value of 0, a maximum that several elements share).
    """

    loss: float
    operations: tuple[Operation, ...]
    ties: tuple[int, ...]
    _loss_tensor: Any
    _parameters: Mapping[str, Any]
    _recorded: tuple[Recorded, ...]
    _tie_weights: tuple[tuple[int, Tie], ...]
    _torch: Any

    def backward(
        self,
        alterations: Mapping[int, Alteration] | None = None,
        *,
        subgradients: Mapping[int, str] | None = None,
    ) -> Gradient:
        """Return the gradient by parameter name, with the given operations' derivatives altered.

        The forward values stay as they were. ``subgradients`` chooses the derivative of
        operations on a kink: ``"low"``, ``"high"`` or ``"half"`` by operation index.

        Raises:
            ValueError: the operation does not allow the alteration.
        """
        with self._altered(alterations or {}), self._chosen(subgradients or {}):
            return self._gradient()

    def subgradients(self) -> Iterator[Gradient]:
        """Yield the gradients for the sensible choices of derivative at kinks.

        First all operations alike (the choice taken by itself, then ``low``, ``high``, ``half``),
        then each of the first few operations on a kink differing from all others.
        """
        yield self.backward()
        if not self.ties:
            return
        for choice in ("low", "high", "half"):
            yield self.backward(subgradients=dict.fromkeys(self.ties, choice))
        if len(self.ties) < 2:
            return
        for rest, other in (("low", "high"), ("high", "low")):
            for index in self.ties[:_MOST_FLIPS]:
                choices = dict.fromkeys(self.ties, rest)
                choices[index] = other
                yield self.backward(subgradients=choices)

    # what flows through the graph

    def value(self, index: int) -> NDArray[np.float64]:
        """Return the forward value of operation ``index``."""
        return _array(self._recorded[index].outputs[0])

    def operand_values(self, index: int) -> tuple[NDArray[np.float64], ...]:
        """Return the forward values of the operands of operation ``index``."""
        return tuple(_array(operand) for operand in self._recorded[index].operands)

    def n_results(self, index: int) -> int:
        """Return how many results operation ``index`` has."""
        return len(self._recorded[index].outputs)

    def cotangents(self) -> dict[int, NDArray[np.float64]]:
        """Return the derivative of the loss by the (first) output of each operation."""
        if not self._recorded:
            return {}
        outputs = [operation.outputs[0] for operation in self._recorded]
        found = self._torch.autograd.grad(
            self._loss_tensor, outputs, retain_graph=True, allow_unused=True
        )
        return {
            index: np.zeros(tuple(output.shape)) if cotangent is None else _array(cotangent)
            for index, (output, cotangent) in enumerate(zip(outputs, found, strict=True))
        }

    def pull(
        self,
        cotangents: Mapping[int, NDArray[np.float64]],
        alterations: Mapping[int, Alteration] | None = None,
    ) -> Gradient:
        """Return the gradient that these cotangents of operations' (first) outputs cause."""
        torch = self._torch
        outputs = [self._recorded[index].outputs[0] for index in cotangents]
        given = [
            torch.from_numpy(np.array(cotangent)).to(output.dtype).reshape(output.shape)
            for output, cotangent in zip(outputs, cotangents.values(), strict=True)
        ]
        leaves = list(self._parameters.values())
        found: tuple[Any, ...] = (None,) * len(leaves)
        if outputs:
            with self._altered(alterations or {}):
                found = self._pulled(outputs, leaves, given, retain_graph=True)
        return self._named(found)

    def tangents(
        self,
        directions: Iterable[Mapping[str, NDArray[np.float64]]],
        alterations: Mapping[int, Alteration] | None = None,
    ) -> list[dict[int, NDArray[np.float64]]]:
        """Return, for each direction of the parameters, how each (first) output moves along it.

        The pull is linear in the cotangents; its own derivative by them is the forward mode. One
        recorded pull of all outputs serves every direction.
        """
        torch = self._torch
        outputs = [operation.outputs[0] for operation in self._recorded]
        given = [torch.zeros_like(output).requires_grad_(True) for output in outputs]
        with self._altered(alterations or {}):
            leaves = list(self._parameters.values())
            pulled = self._pulled(outputs, leaves, given, create_graph=True)
        names = list(self._parameters)
        used = [(n, g) for n, g in zip(names, pulled, strict=True) if g is not None]
        found = []
        for direction in directions:
            along = [
                torch.from_numpy(np.array(direction[n])).to(g.dtype).reshape(g.shape)
                if n in direction
                else torch.zeros_like(g)
                for n, g in used
            ]
            gradients = [gradient for _, gradient in used]
            moved = self._pulled(gradients, given, along, retain_graph=True)
            found.append(
                {
                    index: np.zeros(tuple(output.shape)) if part is None else _array(part)
                    for index, (output, part) in enumerate(zip(outputs, moved, strict=True))
                }
            )
        return found

    def local(
        self, index: int, cotangent: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64] | None, ...]:
        """Return what operation ``index`` makes of a cotangent of its result, for each operand."""
        torch = self._torch
        operation = self._recorded[index]
        output = operation.outputs[0]
        edges = [edge for edge in operation.edges if edge is not None]
        given = torch.from_numpy(np.array(cotangent)).to(output.dtype).reshape(output.shape)
        found = iter(self._pulled([output], edges, [given], retain_graph=True))
        handed = [None if edge is None else next(found) for edge in operation.edges]
        return tuple(None if part is None else _array(part) for part in handed)

    def _pulled(
        self, outputs: Sequence[Any], inputs: Sequence[Any], given: Sequence[Any], **kept: bool
    ) -> tuple[Any, ...]:
        """Return what the cotangents ``given`` of some outputs make of ``inputs``.

        It is the gradient of their scalar product with the outputs: torch imports an algebra
        system, which takes most of a second, as soon as it is handed cotangents themselves. Of
        many outputs the products would take longer.
        """
        grad = self._torch.autograd.grad
        many = len(outputs) > _MOST_MULTIPLIED
        if many or any(output.is_complex() for output in outputs):
            found = grad(outputs, inputs, given, allow_unused=True, **kept)
        else:
            pairs = zip(outputs, given, strict=True)
            product = sum((output * cotangent).sum() for output, cotangent in pairs)
            found = grad(product, inputs, allow_unused=True, **kept)
        return tuple(found)

    def _named(self, found: tuple[Any, ...]) -> Gradient:
        return {
            name: np.zeros(tuple(leaf.shape)) if value is None else _array(value)
            for (name, leaf), value in zip(self._parameters.items(), found, strict=True)
        }

    def _gradient(self) -> Gradient:
        torch = self._torch
        leaves = list(self._parameters.values())
        found: tuple[Any, ...] = (None,) * len(leaves)
        if self._loss_tensor is not None and self._loss_tensor.requires_grad:
            found = torch.autograd.grad(
                self._loss_tensor, leaves, retain_graph=True, allow_unused=True
            )
        return self._named(found)

    @contextmanager
    def _chosen(self, choices: Mapping[int, str]) -> Iterator[None]:
        """Put other weights where operations sit on a kink, for one backward pass."""
        changed = [(tie, choices[index]) for index, tie in self._tie_weights if index in choices]
        for tie, choice in changed:
            # autograd saved this very tensor; .data does not tell it of the change
            tie.weight.data.copy_(tie.choices.get(choice, tie.choices["default"]))
        try:
            yield
        finally:
            for tie, _ in changed:
                tie.weight.data.copy_(tie.choices["default"])

    @contextmanager
    def _altered(self, alterations: Mapping[int, Alteration]) -> Iterator[None]:
        handles: list[Any] = []
        try:
            for index, alteration in alterations.items():
                if not 0 <= index < len(self._recorded):
                    raise ValueError(f"there is no operation {index}")
                self._alter(self._recorded[index], alteration, handles)
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _alter(self, operation: Recorded, alteration: Alteration, handles: list[Any]) -> None:
        places = _operands(operation, alteration)
        cotangent: list[Any] = []
        if alteration.kind in ("identity", "transpose_operand", "slope", "rule"):
            if len(operation.outputs) != 1:
                raise ValueError(f"{operation.name} has several results")
            handles.append(operation.outputs[0].register_hook(lambda g: cotangent.append(g)))
        for place in places:
            hook = _hook(self._torch, operation, alteration, place, cotangent)
            handles.append(operation.edges[place].register_hook(hook))


def _array(value: Any) -> NDArray[np.float64]:
    """Return a copy of a tensor's or an array's values in float64; of complex ones the real part.

    A diagnosis looks at real numbers only.
    """
    content = value
    if hasattr(value, "detach"):
        content = value.detach().cpu().resolve_conj().resolve_neg().numpy()
    return np.array(np.real(content), dtype=np.float64)


def _operands(operation: Recorded, alteration: Alteration) -> list[int]:
    """Return the places of the operands that an alteration concerns."""
    varying = [place for place, edge in enumerate(operation.edges) if edge is not None]
    if alteration.operand is None:
        if alteration.kind.endswith("_operand"):
            raise ValueError(f"{alteration.kind} needs an operand")
        return varying
    if alteration.operand not in varying:
        raise ValueError(f"operand {alteration.operand} of {operation.name} carries no gradient")
    return [alteration.operand]


def _hook(
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
        return lambda gradient: gradient * slope
    if kind == "slope" and alteration.slope is not None:
        given = torch.from_numpy(np.array(alteration.slope))
        if given.shape != edge.shape or given.shape != operation.outputs[0].shape:
            raise ValueError(f"{operation.name} is not elementwise in this operand")
        return lambda gradient: (cotangent[-1] * given).to(gradient.dtype)
    if kind == "rule" and alteration.rule is not None:
        rule, shape = alteration.rule, tuple(edge.shape)
        return lambda gradient: torch.from_numpy(
            np.array(rule(_array(cotangent[-1])), dtype=np.float64).reshape(shape)
        ).to(gradient.dtype)
    if kind == "transpose_operand":
        return _transposed_factor(operation, place, cotangent)
    raise ValueError(f"there is no alteration {kind!r}")


def _fitting(operation: Recorded, shape: tuple[int, ...]) -> Hook:
    """Return how a result's cotangent is handed on unchanged to an operand of another shape."""
    result = tuple(operation.outputs[0].shape)
    if result == shape:
        return lambda gradient: gradient.clone()
    if _broadcasts(shape, result):
        return lambda gradient: gradient.sum_to_size(shape)
    axis = operation.keywords.get("axis")
    kept = _with_unit_axes(result, shape, axis)
    if kept is not None and _broadcasts(kept, shape):
        return lambda gradient: gradient.reshape(kept).expand(shape).clone()
    if np.prod(result, dtype=int) == np.prod(shape, dtype=int):
        return lambda gradient: gradient.reshape(shape).clone()
    raise ValueError(f"{operation.name} maps {shape} to {result}: not to be taken for the identity")


def _broadcasts(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(small, large) == large
    except ValueError:
        return False


def _with_unit_axes(
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
    ones = torch.ones_like(output) if output.is_complex() else None  # else the sum's, as `_pulled`
    whole = output if ones is not None else output.sum()
    (slope,) = torch.autograd.grad(whole, [edge], ones, retain_graph=True)
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
        return lambda gradient: cotangent[-1] @ other
    return lambda gradient: other @ cotangent[-1]
