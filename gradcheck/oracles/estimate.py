"""What an oracle returns for one parameter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import flat
from gradcheck.problem import FloatArray


@dataclass(frozen=True, eq=False)
class Estimate:
    """A gradient with the estimated error of each of its entries, in the parameter's shape.

    Attributes:
        value: the gradient; NaN where it was not estimated.
        uncertainty: bound on the error of ``value``; NaN where none could be estimated.
        kinks: where the loss has a kink at the point (the one-sided slopes differ).
        lower, upper: the one-sided derivatives at a kink, in order of size; else ``value``.
        edges: where the loss is not finite on either side at any step.
        steps: the step that the value comes from; NaN where there is none.
        flat: where the derivative is 0 in every bit: the loss does not change at any step taken, or
            an exact method says so.
    """

    oracle: str
    value: FloatArray
    uncertainty: FloatArray
    kinks: NDArray[np.bool_]
    lower: FloatArray
    upper: FloatArray
    edges: NDArray[np.bool_]
    steps: FloatArray
    flat: NDArray[np.bool_] | bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def checked(self) -> NDArray[np.bool_]:
        """Which entries were looked at: those with a value, kinks and domain edges."""
        return np.isfinite(self.value) | self.kinks | self.edges

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.value.size

    def part(self, where: slice) -> Estimate:
        """Return the estimate of some of the entries, counted in C order, one-dimensional."""

        def cut(values: NDArray[Any]) -> NDArray[Any]:
            return flat(values, where)

        return Estimate(
            self.oracle,
            cut(self.value),
            cut(self.uncertainty),
            cut(self.kinks),
            cut(self.lower),
            cut(self.upper),
            cut(self.edges),
            cut(self.steps),
            self.flat if isinstance(self.flat, bool) else cut(self.flat),
            self.notes,
        )


def smooth_estimate(oracle: str, value: FloatArray, uncertainty: FloatArray) -> Estimate:
    """Return an estimate without kinks, from a method that takes no steps.

    What is the same of all entries takes no memory, and is not to be written to.
    """
    none = np.broadcast_to(np.False_, value.shape)
    nan = np.broadcast_to(np.nan, value.shape)
    zeros = np.asarray(value == 0.0) if np.count_nonzero(value) < value.size else none
    return Estimate(oracle, value, uncertainty, none, value, value, none, nan, zeros)
