"""Loss evaluations at perturbed parameters: the one place where parameters are written to."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.sweep.moves import Block, Moves, moved_blocks, moved_entries
from gradcheck.sweep.partners import Batch, Distributor, Journal

FloatArray = NDArray[np.float64]

CHUNK = 64
"""Evaluations one by one between two looks at the clock, at most."""
LARGEST = 1 << 16
"""Evaluations together between two looks at the clock, at most."""
LOOK, LOOK_TOGETHER = 0.05, 1.0
"""Seconds between two looks at the clock, where an evaluation is shorter."""
HELD_BACK, HELD_BACK_TIME = 100, 0.1
"""Evaluations, a fifth of what is left at most, and part of the time that is left, which a sweep
that exceeds its limits leaves for a second look at what it has found."""


class Evaluator:
    """Evaluates the loss with single entries set to given values, or along directions.

    Parameters are perturbed in place and put back, also after an exception or Ctrl-C. An
    evaluation that raises counts as not a number; what it raised is kept in ``first_error``. Only
    a lack of memory is raised: it is the machine's, not the point's.

    Args:
        loss: the loss at the parameters' current values.
        values: the parameters' arrays, written to in place.
        budget: largest number of evaluations; None for no limit.
        deadline: ``time.monotonic()`` after which no evaluation is begun; None for no limit.
        batch: evaluates single-entry perturbations of one parameter together; it returns the
            losses of a first part of those asked for, or none where they have to be done singly.
        progress: told the number of evaluations so far, as they go on.
        calls: calls of the target behind one evaluation; the budget counts these.

    Attributes:
        distributor: where given, evaluates single entries in other processes.
        journal: where given, keeps finished losses, and gives them back instead of evaluating.
        finishes: Ctrl-C or SIGTERM ends the evaluations, and is kept for whoever asked for them
            to raise in the end; those left out are NaN. Else it is raised at once.
        interrupted: what ended the evaluations so, if anything did.
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
        calls: int = 1,
    ) -> None:
        self.loss = loss
        self.values = tuple(values)
        self.count = 0
        self.budget = budget
        self.deadline = deadline
        self.exhausted = False
        self.finishes = False
        self.interrupted: KeyboardInterrupt | None = None
        self.first_error: str | None = None
        self.distributor: Distributor | None = None
        self.journal: Journal | None = None
        self._batch = batch
        self._progress = progress
        self.calls = calls
        self._moves = 0

    @property
    def in_batches(self) -> bool:
        """Whether entries are evaluated together, in this process."""
        return self._batch is not None

    def rows_together(self, parameter: int) -> int:
        """Return how many entries of a parameter share an evaluation; 0 where each has its own."""
        return 0 if self._batch is None else self._batch.rows(parameter)

    def current(self) -> float:
        """Return the loss at the parameters' current values."""
        self.count += self.calls
        return self._guarded()

    def affords(self, n: int) -> bool:
        """Whether the limits allow ``n`` calls more; where not, something is left out."""
        return self._allowed(-(-n // self.calls), whole=True) > 0

    def spend(self, n: int) -> bool:
        """Count ``n`` calls that are made elsewhere; False if the limits do not allow them."""
        if not self.affords(n):
            return False
        self.count += n
        return True

    def interrupt(self, error: KeyboardInterrupt) -> None:
        """Make no more evaluations: what was finished can still be reported."""
        # Its traceback would keep alive what has to be put back.
        self.interrupted = error.with_traceback(None)
        self.exhausted = True
        self.deadline = -math.inf

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Have Ctrl-C or SIGTERM end this stretch, and let what was found before it be told."""
        try:
            yield
        except KeyboardInterrupt as error:
            if not self.finishes:
                raise
            self.interrupt(error)

    @contextmanager
    def holding_back(self, wanted: int) -> Iterator[None]:
        """Have some of the limits left after ``wanted`` evaluations, if these exceed them."""
        budget, deadline, exhausted = self.budget, self.deadline, self.exhausted
        if budget is not None and self.count + wanted * self.calls > budget:
            self.budget = budget - min(HELD_BACK, max(0, budget - self.count) // 5)
        if deadline is not None:
            self.deadline = deadline - HELD_BACK_TIME * max(0.0, deadline - time.monotonic())
        try:
            yield
        finally:
            self.budget = budget
            if self.interrupted is None:
                self.deadline, self.exhausted = deadline, exhausted

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Evaluate what no verdict waits for: nothing that limits leave out of it is missed."""
        before = self.exhausted
        try:
            yield
        finally:
            self.exhausted = before

    def on_progress(self, tell: Callable[[int], None]) -> None:
        """Call ``tell`` with the number of evaluations now and then."""
        self._progress = tell

    def entries(
        self, parameter: int, indices: NDArray[np.intp], values: NDArray[Any]
    ) -> FloatArray:
        """Return the losses with entry ``indices[j]`` (flat, C order) set to ``values[j]``.

        What budget and deadline leave out is NaN, from some position on; the pairs at positions
        ``2 j`` and ``2 j + 1`` are not split.
        """
        losses = np.full(len(indices), np.nan)
        together = self._batch is not None or self.distributor is not None
        first, largest = (CHUNK, LARGEST) if together else (2, CHUNK)
        look = LOOK_TOGETHER if together else LOOK
        if self.distributor is not None and self.journal is None:
            # It looks at the clock itself, and need not wait for its slowest worker in between.
            first = largest
        if self._batch is not None and self.deadline is None and self._progress is None:
            # Nobody asks for the time: as many at once as the batch takes.
            first = largest
        done, wanted = 0, first
        while done < len(indices):
            n = self._allowed(min(wanted, len(indices) - done))
            if n == 0:
                break
            began = time.perf_counter()
            try:
                found = self._kept(parameter, indices[done : done + n], values[done : done + n])
            except KeyboardInterrupt as error:
                if not self.finishes:
                    raise
                self.interrupt(error)
                break
            losses[done : done + len(found)] = found
            done += len(found)
            # The clock is looked at often enough for slow losses, rarely enough for fast ones.
            pace = (time.perf_counter() - began) / max(1, len(found))
            wanted = int(min(largest, max(first, look / max(pace, 1e-9)))) // 2 * 2
        return losses

    def along(self, direction: Sequence[FloatArray], distances: Sequence[float]) -> FloatArray:
        """Return the losses at ``x + t * direction`` for each ``t`` of ``distances``."""
        blocks = [Block(number, (), steps) for number, steps in enumerate(direction)]
        return self.moved(blocks, distances)

    def moved(self, blocks: Sequence[Block], distances: Sequence[float]) -> FloatArray:
        """Return the losses with every block moved by ``t * steps``, for each ``t``.

        Of a small array, or a box, a copy is kept meanwhile, and of a large array what undoes the
        move to the bit. The blocks must not overlap. All losses are NaN where budget or
        deadline do not allow them.
        """
        places = [(block.parameter, block.box) for block in blocks]
        return self._series(repr(places), lambda: moved_blocks(self.values, blocks), distances)

    def together(
        self,
        parameter: int,
        indices: NDArray[np.intp],
        steps: FloatArray,
        distances: Sequence[float],
    ) -> FloatArray:
        """Return the losses with some entries of one parameter (flat, C order) moved together.

        Entry ``indices[j]`` moves by ``t * steps[j]`` for each ``t``; else as ``moved``.
        """
        places = f"{len(indices)} entries of {parameter}"
        array = self.values[parameter]
        return self._series(places, lambda: moved_entries(array, indices, steps), distances)

    def _series(
        self,
        places: str,
        prepared: Callable[[], Moves],
        distances: Sequence[float],
    ) -> FloatArray:
        """Move by each of the distances and evaluate; what has moved is put back at the end."""
        losses = np.full(len(distances), np.nan)
        if self._allowed(len(distances), whole=True) < len(distances):
            return losses
        self._moves += 1
        key = None
        if self.journal is not None:
            key = self.journal.key("moved", self._moves, places, tuple(distances))
            kept = self.journal.find(key)
            if kept is not None:
                self._advance(len(distances))
                return kept
        try:
            self._evaluate_moved(prepared(), distances, losses)
        except KeyboardInterrupt as error:
            if not self.finishes:
                raise
            self.interrupt(error)
            losses[:] = np.nan
            return losses
        if self.journal is not None and key is not None:
            self.journal.keep(key, losses)
        return losses

    def _evaluate_moved(self, moves: Moves, distances: Sequence[float], losses: FloatArray) -> None:
        try:
            with moves as move:
                for j, distance in enumerate(distances):
                    move(distance)
                    losses[j] = self._guarded()
                    self._advance(1)
        finally:
            # Ctrl-C may have come on the way out of the block.
            moves.undo()

    def _kept(self, parameter: int, indices: NDArray[np.intp], values: NDArray[Any]) -> FloatArray:
        """Take the losses from the journal, or evaluate and enter them there."""
        journal = self.journal
        if journal is None:
            return self._evaluate(parameter, indices, values)
        # Pair by pair: how a sweep is cut into chunks depends on the clock.
        pairs = [slice(j, min(j + 2, len(indices))) for j in range(0, len(indices), 2)]
        keys = [journal.key("entries", parameter, indices[at], values[at]) for at in pairs]
        found = [journal.find(key) for key in keys]
        losses = np.full(len(indices), np.nan)
        missing = np.zeros(len(indices), dtype=bool)
        for at, kept in zip(pairs, found, strict=True):
            if kept is None:
                missing[at] = True
            else:
                losses[at] = kept
        positions = np.flatnonzero(missing)
        self._advance(len(indices) - len(positions))
        if not positions.size:
            return losses
        new = self._evaluate(parameter, indices[positions], values[positions])
        losses[positions[: len(new)]] = new
        end = len(indices) if len(new) == len(positions) else int(positions[len(new)])
        for at, key, kept in zip(pairs, keys, found, strict=True):
            if kept is None and at.stop <= end:
                journal.keep(key, losses[at])
        return losses[:end]

    def _evaluate(
        self, parameter: int, indices: NDArray[np.intp], values: NDArray[Any]
    ) -> FloatArray:
        if self._batch is not None:
            losses = self._batch(parameter, indices, values)
            if not len(losses):
                losses = self.here(parameter, indices[:CHUNK], values[:CHUNK])
        elif self.distributor is not None:
            return self.distributor.losses(self, parameter, indices, values, self._advance)
        else:
            losses = self.here(parameter, indices, values)
        self._advance(len(losses))
        return losses

    def here(self, parameter: int, indices: NDArray[np.intp], values: NDArray[Any]) -> FloatArray:
        """Evaluate like ``entries`` in this process, without budget, clock or journal."""
        losses = np.full(len(indices), np.nan)
        array = self.values[parameter]
        flat = array.reshape(-1) if array.flags.c_contiguous else array.flat
        loss, guarded = self.loss, self._guarded
        for j, (index, value) in enumerate(zip(indices.tolist(), values, strict=True)):
            before = flat[index]
            flat[index] = value
            try:
                losses[j] = loss()
            except Exception:
                # The point may lie outside the loss's domain; the guarded call says so.
                losses[j] = guarded()
            finally:
                flat[index] = before
        return losses

    def _guarded(self) -> float:
        try:
            return self.loss()
        except MemoryError:
            # The machine's limit, which says nothing about the point.
            raise
        except Exception as error:
            # The loss may not be defined at this point: what it raised is kept, and told.
            if self.first_error is None:
                from gradcheck.sweep.raised import told

                self.first_error = told(error)
            return float("nan")

    def _advance(self, n: int) -> None:
        self.count += n * self.calls
        if self._progress is not None and n:
            self._progress(self.count)

    def _allowed(self, wanted: int, *, whole: bool = False) -> int:
        """How many of ``wanted`` evaluations may be made now; pairs are not split."""
        n = wanted
        if self.budget is not None and self.count + wanted * self.calls > self.budget:
            n = max(0, self.budget - self.count) // self.calls // 2 * 2
            n = 0 if whole else n
        if self.deadline is not None and time.monotonic() > self.deadline:
            n = 0
        self.exhausted = self.exhausted or n < wanted
        return n
