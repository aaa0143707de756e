"""Loss evaluations at perturbed parameters: the one place where parameters are written to."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

Batch = Callable[[int, NDArray[np.intp], NDArray[Any]], FloatArray]


class Evaluator:
    """Evaluates the loss with single entries set to given values, or along directions.

    Parameters are perturbed in place and put back, also after an exception or Ctrl-C. An
    evaluation that raises counts as not a number; what it raised is kept in ``first_error``.

    Args:
        loss: the loss at the parameters' current values.
        values: the parameters' arrays, written to in place.
        budget: largest number of evaluations; None for no limit.
        deadline: ``time.monotonic()`` after which no evaluation is begun; None for no limit.
        batch: evaluates many single-entry perturbations of one parameter at once, if possible.
    """

    def __init__(
        self,
        loss: Callable[[], float],
        values: Sequence[NDArray[Any]],
        *,
        budget: int | None = None,
        deadline: float | None = None,
        batch: Batch | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.loss = loss
        self.values = tuple(values)
        self.count = 0
        self.budget = budget
        self.deadline = deadline
        self.exhausted = False
        self.first_error: str | None = None
        self._batch = batch
        self._progress = progress

    def on_progress(self, tell: Callable[[int], None]) -> None:
        """Call ``tell`` with the number of evaluations now and then."""
        self._progress = tell

    def current(self) -> float:
        """Return the loss at the parameters' current values."""
        self.count += 1
        return self._guarded()

    def entries(
        self, parameter: int, indices: NDArray[np.intp], values: NDArray[Any]
    ) -> FloatArray:
        """Return the losses with entry ``indices[j]`` (flat, C order) set to ``values[j]``."""
        if self._batch is not None:
            losses = self._batch(parameter, indices, values)
            self.count += len(indices)
            return losses
        losses = np.full(len(indices), np.nan)
        array = self.values[parameter]
        flat = array.reshape(-1) if array.flags.c_contiguous else array.flat
        loss, guarded = self.loss, self._guarded
        done = 0
        for begin in range(0, len(indices), 64):
            chunk = slice(begin, min(begin + 64, len(indices)))
            if self._out_of_budget(chunk.stop - chunk.start):
                break
            for index, value in zip(indices[chunk].tolist(), values[chunk], strict=True):
                before = flat[index]
                flat[index] = value
                try:
                    losses[done] = loss()
                except Exception:
                    # The point may lie outside the loss's domain; the guarded call says so.
                    losses[done] = guarded()
                finally:
                    flat[index] = before
                done += 1
            self.count += chunk.stop - chunk.start
            if self._progress is not None:
                self._progress(self.count)
        return losses

    def along(self, direction: Sequence[FloatArray], distances: Sequence[float]) -> FloatArray:
        """Return the losses at ``x + t * direction`` for each ``t`` of ``distances``."""
        losses = np.full(len(distances), np.nan)
        if self._out_of_budget(len(distances)):
            return losses
        saved = [value.copy() for value in self.values]
        try:
            for j, distance in enumerate(distances):
                for value, start, step in zip(self.values, saved, direction, strict=True):
                    np.copyto(value, start + distance * step, casting="same_kind")
                losses[j] = self._guarded()
                self.count += 1
        finally:
            for value, start in zip(self.values, saved, strict=True):
                np.copyto(value, start)
        return losses

    def _guarded(self) -> float:
        try:
            return self.loss()
        except Exception as error:
            if self.first_error is None:
                self.first_error = f"{type(error).__name__}: {error}"
            return float("nan")

    def _out_of_budget(self, more: int) -> bool:
        over = self.budget is not None and self.count + more > self.budget
        late = self.deadline is not None and time.monotonic() > self.deadline
        self.exhausted = self.exhausted or over or late
        return over or late
