"""What an evaluator may be given to work with: a batch, a distributor, a journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gradcheck.sweep.evaluator import Evaluator

FloatArray = NDArray[np.float64]


class Batch(Protocol):
    """Evaluates changes of single entries together (see ``gradcheck.torch_target.batch``)."""

    def __call__(
        self, parameter: int, indices: NDArray[np.intp], values: NDArray[Any], /
    ) -> FloatArray:
        """Return the losses of a first part of the entries; of none if each has to be alone."""

    def rows(self, parameter: int, /) -> int:
        """Return how many are evaluated together, at less than the price of as many losses."""


class Distributor(Protocol):
    """Evaluates entries somewhere else (see ``gradcheck.sweep.parallel``)."""

    def losses(
        self,
        evaluator: Evaluator,
        parameter: int,
        indices: NDArray[np.intp],
        values: NDArray[Any],
        advance: Callable[[int], None],
    ) -> FloatArray:
        """Return the losses in order; fewer where the deadline came first."""


class Journal(Protocol):
    """Keeps finished losses (see ``gradcheck.sweep.checkpoint``)."""

    def key(self, *parts: Any) -> bytes:
        """Return what identifies one piece of work."""

    def find(self, key: bytes) -> FloatArray | None:
        """Return the losses kept under ``key``, or None."""

    def keep(self, key: bytes, losses: FloatArray) -> None:
        """Keep ``losses`` under ``key``."""
