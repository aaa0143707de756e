"""What is checked: named parameters, the loss, the analytic gradient, and facts about the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import Some, SumOfSquares, flat, parts
from gradcheck.calling.returns import GradientProblem
from gradcheck.report import Notice
from gradcheck.sweep.evaluator import Evaluator

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Parameter:
    """One named array under check.

    Attributes:
        name: the name in reports, ``W1`` or ``theta[0]``.
        path: pasteable Python that reaches it, ``params['W1']``.
        value: the working memory that the oracles perturb, in the precision they work in.
        dtype: dtype of what the user handed in, or NumPy's nearest where it has none of the kind.
        dtype_name: what the user calls it, where NumPy has another name or none (``bfloat16``).
    """

    name: str
    path: str
    value: NDArray[Any]
    dtype: np.dtype[Any]
    dtype_name: str = ""

    @property
    def magnitudes(self) -> FloatArray:
        """Absolute value of each entry; 0 where it is not finite and no move means anything."""
        magnitude = np.asarray(np.abs(self.value.astype(np.float64, copy=False)))
        if magnitude.max(initial=0.0) < np.inf:  # neither infinite nor nan: most often, and cheap
            return magnitude
        return np.where(np.isfinite(magnitude), magnitude, 0.0)

    @property
    def scales(self) -> FloatArray:
        """Length that counts as one unit of change, for each entry.

        The larger of its magnitude and the root mean square of the array's non-zero entries; 1
        where all are zero.
        """
        return np.asarray(np.maximum(self.magnitudes, self.typical))

    @property
    def typical(self) -> float:
        """Root mean square of the array's non-zero entries; 1 where all are zero."""
        squares = SumOfSquares()
        for at in parts(self.value.size):
            magnitude = self.magnitude(at)
            squares.add(magnitude if magnitude.all() else magnitude[magnitude > 0])
        return squares.mean_root if squares.count else 1.0

    def magnitude(self, at: Some) -> FloatArray:
        """The magnitudes of some entries (flat, C order)."""
        magnitude = np.asarray(np.abs(flat(self.value, at).astype(np.float64, copy=False)))
        if magnitude.max(initial=0.0) < np.inf:
            return magnitude
        return np.where(np.isfinite(magnitude), magnitude, 0.0)


@dataclass(frozen=True, eq=False)
class LossFacts:
    """What preflight found out about the loss.

    ``value`` is the loss where the oracles evaluate it, ``dtype`` that of the value returned
    there, ``spread`` the standard deviation of repeated evaluations at one point (0 if
    deterministic), ``quantile`` the number of standard errors that an error bar then spans.
    ``offset`` was subtracted from every loss. Where it ``settles``, repeated evaluations came
    closer and closer to each other.
    """

    value: float
    dtype: np.dtype[Any]
    spread: float = 0.0
    quantile: float = 4.0
    offset: float = 0.0
    settles: bool = False


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The inputs that are not under check, as a diagnosis may want to name them."""

    scalars: Mapping[str, float] = field(default_factory=dict)
    data: Mapping[str, FloatArray] = field(default_factory=dict)
    integers: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TraceRequest:
    """What it takes to trace the target's loss.

    ``prepare`` returns the positional arguments, the keyword arguments and the parameters among
    them by name: the very objects, arrays or floats, that the target gets hold of. ``restore``
    undoes what the target did to parameters that it reads from elsewhere. ``timeout`` is the limit
    on one plain evaluation, in seconds.
    """

    target: Callable[..., Any]
    prepare: Callable[[], tuple[tuple[Any, ...], Mapping[str, Any], Mapping[str, Any]]]
    restore: Callable[[], None]
    pick_loss: Callable[[Any], Any]
    timeout: float | None = None


@dataclass(frozen=True, eq=False)
class Problem:
    """One target made ready for the oracles.

    Attributes:
        analytic: the claimed gradient by parameter name, in float64; a parameter whose gradient
            is missing or misshapen is absent.
        analytic_rounding: how far rounding in its own dtype may have moved each entry of it.
        gradient_terms: how large the terms are that cancel in each entry of it, by the names of
            parameters whose gradient may be what rounding leaves of them.
        gradient_problems: what is wrong with the form of the gradient.
        evaluator: evaluates the loss at perturbed parameters.
        complex_loss: the loss at complex parameters, given one array for each; None where the
            target cannot be called so.
        extended_loss: likewise at parameters of ``numpy.longdouble``.
        twin_gradient: loss and gradient by parameter name from the PyTorch twin, or None.
        gradient_at: the target's own gradient at the parameters' present values.
        hessian_product: the target's own second derivative there, times a direction.
        torch_trace: records a torch target's operations, for a diagnosis; None where it cannot.
        gradient_dtypes: dtype of the gradient as the target returned it, by parameter name.
        outputs: how many tensors with a graph a torch target returned.
        precision_inside: the lowest precision that operations on the parameters were seen to give;
            None where nobody looked.
    """

    name: str
    target: str
    parameters: tuple[Parameter, ...]
    analytic: Mapping[str, FloatArray]
    analytic_rounding: Mapping[str, FloatArray]
    gradient_problems: tuple[GradientProblem, ...]
    facts: LossFacts
    evaluator: Evaluator
    notices: tuple[Notice, ...] = ()
    complex_loss: Callable[[Sequence[NDArray[np.complex128]]], complex] | None = None
    extended_loss: Callable[[Sequence[NDArray[np.longdouble]]], np.longdouble] | None = None
    twin_gradient: Callable[[], tuple[float, dict[str, FloatArray]]] | None = None
    forward_gradient: Callable[..., Any] | None = None
    gradient_at: Callable[[], Mapping[str, FloatArray]] | None = None
    hessian_product: Callable[[Mapping[str, FloatArray]], Mapping[str, FloatArray]] | None = None
    trace_request: TraceRequest | None = None
    surroundings: Surroundings = field(default_factory=Surroundings)
    gradient_dtypes: Mapping[str, np.dtype[Any]] = field(default_factory=dict)
    torch_trace: Callable[[], Any] | None = None
    kind: str = "numpy"
    outputs: int = 1
    precision_inside: np.dtype[Any] | None = None
    cleanup: Callable[[], None] | None = None
    gradient_terms: Mapping[str, FloatArray] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of entries of all parameters together."""
        return sum(parameter.value.size for parameter in self.parameters)

    @property
    def in_low_precision(self) -> bool:
        """Whether a parameter, or what is computed of them inside, has fewer digits than float64.

        Those of another order of bytes have as many, and ``longdouble`` has more.
        """
        dtypes = [parameter.value.dtype for parameter in self.parameters]
        if self.precision_inside is not None:
            dtypes.append(self.precision_inside)
        return any(dtype.itemsize < np.dtype(np.float64).itemsize for dtype in dtypes)
