"""What a trace of a target is: the recorded operations and the backward pass over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Site:
    """The place in the user's source that ran an operation.

    ``column`` and ``end_column`` delimit the expression on ``line`` (zero-based, end exclusive)
    where the interpreter knows them.
    """

    file: str
    line: int
    function: str
    column: int | None = None
    end_line: int | None = None
    end_column: int | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One recorded operation.

    Attributes:
        index: position in the log; operations appear in the order in which they ran.
        name: NumPy's name for it (``"maximum"``, ``"matmul"``, ``"getitem"``, ``"setitem"``).
        site: where the user's code called it.
        inputs: for each operand that carries a gradient, ``("operation", index)`` or
            ``("parameter", name)``; for one that does not, ``("constant", description)``.
        input_shapes: shape of each operand.
        output_shape: shape of the result.
        keywords: the keyword arguments that matter (``axis``, ``keepdims`` ...), as plain data.
    """

    index: int
    name: str
    site: Site
    inputs: tuple[tuple[str, int | str], ...]
    input_shapes: tuple[tuple[int, ...], ...]
    output_shape: tuple[int, ...]
    keywords: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Alteration:
    """One way to get the derivative of one operation wrong.

    ``kind`` is one of

    * ``"identity"``: the cotangent is handed on unchanged (where the shapes allow it);
    * ``"constant"``: no cotangent is handed on at all;
    * ``"scale"``: the cotangent handed on is multiplied by ``factor`` (2, 1/2, -1, n, 1/n ...);
    * ``"twice"``: the local derivative is applied a second time (elementwise operations only);
    * ``"drop_operand"``: as ``"constant"``, for operand number ``operand`` alone;
    * ``"scale_operand"``: as ``"scale"``, for operand number ``operand`` alone;
    * ``"transpose_operand"``: the other factor of a product is used transposed where shapes allow;
    * ``"slope"``: the result's cotangent times ``slope`` is handed on, in place of the derivative
      (elementwise operations of one variable only);
    * ``"rule"``: operand number ``operand`` gets ``rule`` of the result's cotangent, an array of
      that operand's shape.
    """

    kind: str
    operand: int | None = None
    factor: float = 1.0
    slope: NDArray[np.float64] | None = field(default=None, compare=False)
    rule: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = field(
        default=None, compare=False
    )


class Trace(Protocol):
    """A traced evaluation of a loss, in float64."""

    @property
    def loss(self) -> float:
        """Value of the loss on the tracing arrays."""

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The recorded operations on which the loss depends, in the order in which they ran."""

    def backward(
        self, alterations: Mapping[int, Alteration] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Return the gradient by parameter name, with the given operations' derivatives altered.

        The forward values stay as they were. Raises ``ValueError`` for an alteration that the
        operation does not allow.
        """


class DetailedTrace(Trace, Protocol):
    """A trace that also hands out what flows through it; diagnosis uses it where it is offered."""

    def value(self, index: int) -> NDArray[np.float64]:
        """Return the forward value of operation ``index``."""

    def operand_values(self, index: int) -> tuple[NDArray[np.float64], ...]:
        """Return the forward values of the operands of operation ``index``."""

    def local(
        self, index: int, cotangent: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64] | None, ...]:
        """Return what operation ``index`` makes of a cotangent of its result, for each operand.

        None for operands that carry no gradient.
        """

    def n_results(self, index: int) -> int:
        """Return how many results an operation has; values and cotangents are of the first."""

    def cotangents(self) -> dict[int, NDArray[np.float64]]:
        """Return the derivative of the loss by the output of each operation."""

    def pull(
        self,
        cotangents: Mapping[int, NDArray[np.float64]],
        alterations: Mapping[int, Alteration] | None = None,
    ) -> dict[str, NDArray[np.float64]]:
        """Return the gradient by parameter that these cotangents of operation outputs cause.

        It is linear in the cotangents, and nothing else flows: ``pull`` of the loss's own output
        with cotangent 1 is the whole gradient.
        """

    def tangents(
        self,
        directions: Iterable[Mapping[str, NDArray[np.float64]]],
        alterations: Mapping[int, Alteration] | None = None,
    ) -> list[dict[int, NDArray[np.float64]]]:
        """Return, for each direction of the parameters, how each operation's output moves along it.

        ``pull`` is its transpose: what a cotangent of an output causes along a direction is the
        scalar product of the cotangent with the tangent of that output.
        """
