"""The backward pass over a traced call, as it is and with single derivatives altered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.tracing.altered import altered_operands, altering_hook, real_array
from gradcheck.tracing.contract import Alteration, Operation
from gradcheck.tracing.local_pull import local_pull
from gradcheck.tracing.operation import Recorded, Tie

Gradient = dict[str, NDArray[np.float64]]

_MOST_FLIPS = 16
_MOST_MULTIPLIED = 200
_MOST_KEPT = 1 << 16


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

    @property
    def precision(self) -> np.dtype[Any]:
        """The lowest precision that an operation's results have."""
        dtypes = {one.dtype for each in self._recorded for one in each.outputs}
        lowest = min([self._torch.finfo(dtype).bits for dtype in dtypes], default=64)
        return np.dtype(f"float{lowest}")

    @property
    def in_doubles(self) -> bool:
        """Whether all results, and all that they were computed from, are real float64 numbers."""
        tensors = (
            tensor
            for each in self._recorded
            for tensor in (*each.outputs, *(edge for edge in each.edges if edge is not None))
        )
        return all(tensor.dtype == self._torch.float64 for tensor in tensors)

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
        if not alterations and not subgradients:
            return self._plain()
        with self._altered(alterations or {}), self._chosen(subgradients or {}):
            return self._gradient()

    def _plain(self) -> Gradient:
        """Return the gradient as it is, kept where it is small: a long trace takes long for it."""
        if sum(leaf.numel() for leaf in self._parameters.values()) > _MOST_KEPT:
            return self._gradient()
        return {name: part.copy() for name, part in self._kept.items()}

    @cached_property
    def _kept(self) -> Gradient:
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

    def selected(self, index: int) -> NDArray[np.int64] | None:
        """Return which entries of its first operand the result of an operation shows, flat.

        None where the result is no view of that operand's memory.
        """
        operation = self._recorded[index]
        output, edge = operation.outputs[0], operation.edges[0]
        if edge is None or not edge.is_contiguous():
            return None
        if output.untyped_storage().data_ptr() != edge.untyped_storage().data_ptr():
            return None
        first = output.storage_offset() - edge.storage_offset()
        steps = [
            (np.arange(n) * step).reshape(-1, *(1,) * (output.ndim - 1 - axis))
            for axis, (n, step) in enumerate(zip(output.shape, output.stride(), strict=True))
        ]
        return np.asarray(sum(steps, np.full((1,) * output.ndim, first))).reshape(-1)

    def value(self, index: int) -> NDArray[np.float64]:
        """Return the forward value of operation ``index``."""
        return real_array(self._recorded[index].outputs[0])

    def operand_values(self, index: int) -> tuple[NDArray[np.float64], ...]:
        """Return the forward values of the operands of operation ``index``."""
        return tuple(real_array(operand) for operand in self._recorded[index].operands)

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
            index: np.zeros(tuple(output.shape)) if cotangent is None else real_array(cotangent)
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
                    index: np.zeros(tuple(output.shape)) if part is None else real_array(part)
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
        parts = local_pull(torch, output, edges, given)
        if parts is None:
            parts = self._pulled([output], edges, [given], retain_graph=True)
        found = iter(parts)
        handed = [None if edge is None else next(found) for edge in operation.edges]
        return tuple(None if part is None else real_array(part) for part in handed)

    def _pulled(
        self, outputs: Sequence[Any], inputs: Sequence[Any], given: Sequence[Any], **kept: bool
    ) -> tuple[Any, ...]:
        """Return what the cotangents ``given`` of some outputs make of ``inputs``.

        It is the gradient of their scalar product with the outputs: torch imports an algebra
        system, which takes most of a second, as soon as it is handed cotangents themselves. Of
        many outputs the products would take longer.
        """
        grad = self._torch.autograd.grad
        # Of a flat operation, as sign and round are, autograd makes zeros that depend on nothing.
        pairs = [pair for pair in zip(outputs, given, strict=True) if pair[0].requires_grad]
        if not pairs:
            return (None,) * len(inputs)
        many = len(pairs) > _MOST_MULTIPLIED
        if many or any(output.is_complex() for output, _ in pairs):
            outputs, given = zip(*pairs, strict=True)
            found = grad(outputs, inputs, given, allow_unused=True, **kept)
        else:
            product = sum((output * cotangent).sum() for output, cotangent in pairs)
            found = grad(product, inputs, allow_unused=True, **kept)
        return tuple(found)

    def _named(self, found: tuple[Any, ...]) -> Gradient:
        return {
            name: np.zeros(tuple(leaf.shape)) if value is None else real_array(value)
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
        places = altered_operands(operation, alteration)
        cotangent: list[Any] = []
        if alteration.kind in ("identity", "transpose_operand", "slope", "rule"):
            if len(operation.outputs) != 1:
                raise ValueError(f"{operation.name} has several results")
            handles.append(operation.outputs[0].register_hook(lambda g: cotangent.append(g)))
        for place in places:
            hook = altering_hook(self._torch, operation, alteration, place, cotangent)
            handles.append(operation.edges[place].register_hook(hook))
