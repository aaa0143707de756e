"""Everything that a diagnosis may look at, and the view of one parameter in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import MANY, flat, parts
from gradcheck.tracing.contract import Trace

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

ROUNDING_FLOOR = 1e-12
"""Relative to a parameter's largest gradient entry: sums in another order differ by this much."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a checked gradient.

    Attributes:
        names: names of the parameters, in order.
        values: the parameters at the point checked.
        analytic: the gradient on trial, of each parameter's shape.
        reference: the best oracle's gradient, NaN where it was not estimated.
        uncertainty: of the comparison, per entry: the oracle's error plus the rounding of the
            analytic value.
        failing: the entries with verdict ``fail``; parameters without any may be absent.
        scalars: scalar inputs by name, such as ``reg``.
        sizes: sizes of arrays with words, such as ``(300, "the rows of X")``.
        integer_arrays: labels and indices among the inputs.
        data: the other float inputs.
        analytic_dtype: dtype of the analytic gradient as the user returned it.
        own_dtype: dtype of each parameter as the user handed it over; float64 where it is absent.
        trace: the recorded operations of the loss, if it could be traced.
        moved: returns the losses with a parameter, by name, moved along a direction by each of
            some distances; None where the loss cannot be evaluated again, or is random.
        loss_rounding: how far rounding moves the loss, relative to it.
        of_trace: where the reference is all of the trace's own gradient, but for entries that are
            not known, the names of the parameters in it; else empty.
    """

    names: tuple[str, ...]
    values: Mapping[str, Array]
    analytic: Mapping[str, Array]
    reference: Mapping[str, Array]
    uncertainty: Mapping[str, Array]
    failing: Mapping[str, Mask]
    scalars: Mapping[str, float] = field(default_factory=dict)
    sizes: tuple[tuple[int, str], ...] = ()
    integer_arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    data: Mapping[str, Array] = field(default_factory=dict)
    analytic_dtype: Mapping[str, str] = field(default_factory=dict)
    own_dtype: Mapping[str, str] = field(default_factory=dict)
    trace: Trace | None = None
    moved: Callable[[str, Array, Sequence[float]], Array] | None = None
    loss_rounding: float = 1e-14
    of_trace: tuple[str, ...] = ()

    @cached_property
    def facts(self) -> dict[str, Facts]:
        """The view of each parameter, by name."""
        return {name: _facts(self, name) for name in self.names}

    @cached_property
    def failing_facts(self) -> tuple[Facts, ...]:
        """The views of the parameters with failing entries, in order."""
        return tuple(facts for facts in self.facts.values() if facts.failing.any())


@dataclass(frozen=True, eq=False)
class Facts:
    """One parameter in the evidence; every array has the parameter's shape.

    ``tolerance`` is the uncertainty, never below what a sum in another order costs.
    ``known`` marks the entries where both gradients are finite numbers.
    """

    name: str
    value: Array
    analytic: Array
    reference: Array
    tolerance: Array
    known: Mask
    failing: Mask

    @cached_property
    def residual(self) -> Array:
        """Analytic minus reference; 0 where one of them is not known."""
        left = np.asarray(self.analytic - self.reference)
        left[~self.known] = 0.0
        return left

    @cached_property
    def support(self) -> Mask:
        """The entries that are off by more than the tolerance, or were found wrong."""
        off = np.empty(self.known.shape, bool)
        flat_off = off.ravel()
        for at in parts(off.size):
            flat_off[at] = np.abs(flat(self.residual, at)) > flat(self.tolerance, at)
        return self.known & (self.failing | off)

    @cached_property
    def error(self) -> float:
        """Euclidean norm of the residual."""
        return float(np.linalg.norm(self.residual))

    @cached_property
    def worst(self) -> int:
        """Position of the largest residual (flat, C order)."""
        found = []
        for at in parts(self.residual.size):
            sizes = np.abs(flat(self.residual, at))
            inner = int(np.argmax(sizes))
            found.append((-float(sizes[inner]), at.start + inner))
        return int(min(found)[1])


def _facts(evidence: Evidence, name: str) -> Facts:
    value = np.asarray(evidence.values[name], dtype=np.float64)
    analytic = np.asarray(evidence.analytic[name], dtype=np.float64)
    reference = np.asarray(evidence.reference[name], dtype=np.float64)
    known = np.isfinite(analytic) & np.isfinite(reference)
    largest = max(largest_of(analytic, known), largest_of(reference, known))
    failing = np.asarray(evidence.failing.get(name, np.zeros(value.shape, bool)), dtype=bool)
    return Facts(
        name=name,
        value=value,
        analytic=analytic,
        reference=reference,
        tolerance=_tolerance(evidence.uncertainty[name], ROUNDING_FLOOR * float(largest)),
        known=known,
        failing=failing & known,
    )


def _tolerance(uncertainty: Array, floor: float) -> Array:
    """Return the uncertainty where it is known, and no less than ``floor``.

    What is the same for all entries takes the memory of one number.
    """
    given = np.asarray(uncertainty)
    if given.size and not any(given.strides):
        one = np.nan_to_num(given.flat[:1].astype(np.float64), nan=0.0)
        return np.broadcast_to(np.maximum(one, floor).reshape(()), given.shape)
    made = np.array(given, dtype=given.dtype if given.size > MANY else np.float64, order="C")
    entries = made.ravel()
    for at in parts(entries.size):
        entries[at] = np.maximum(np.nan_to_num(entries[at], nan=0.0), floor)
    return made


def largest_of(values: Array, where: Mask) -> float:
    """Return the largest size of the entries that are marked; 0 of none."""
    return max(
        float(np.max(np.abs(flat(values, at)), initial=0.0, where=flat(where, at)))
        for at in parts(values.size)
    )
