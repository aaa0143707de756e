"""What autograd's derivatives of saturated functions are off by.

The derivative of ``y = tanh(z)`` is computed as ``1 - y**2``, that of a sigmoid as ``y (1 - y)``:
of an ``y`` next to 1 that leaves the rounding of 1, which may be much of what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from gradcheck.tracing.contract import Alteration, Operation
from gradcheck.tracing.graph import NumpyTrace

NEAR = 1e-6
"""Distance of a value from 1 above which its derivative has nine digits, which is exact enough."""

FloatArray = NDArray[np.float64]


def _of_tanh(z: FloatArray) -> FloatArray:
    small = np.exp(-2.0 * np.abs(z))
    return np.asarray(4.0 * small / (1.0 + small) ** 2)


def _of_sigmoid(z: FloatArray) -> FloatArray:
    small = np.exp(-np.abs(z))
    return np.asarray(small / (1.0 + small) ** 2)


SLOPES: Mapping[str, Callable[[FloatArray], FloatArray]] = {"tanh": _of_tanh, "expit": _of_sigmoid}
"""Derivatives by operation, from its argument and exact to roundoff."""


def exact_where_saturated(trace: NumpyTrace) -> dict[str, FloatArray]:
    """Return the gradient with the derivatives of saturated functions exact to roundoff.

    Empty where none is saturated.
    """
    exact = {
        operation.index: Alteration("slope", slope=SLOPES[operation.name](argument))
        for operation in trace.operations
        for argument in _saturated(trace, operation)
    }
    return trace.backward(exact) if exact else {}


def _saturated(trace: NumpyTrace, operation: Operation) -> tuple[FloatArray, ...]:
    """Return the argument of an operation that is saturated somewhere; nothing of another one."""
    if operation.name not in SLOPES or operation.input_shapes != (operation.output_shape,):
        return ()
    if (1.0 - np.abs(trace.value(operation.index))).min() > NEAR:
        return ()
    return trace.operand_values(operation.index)[:1]
