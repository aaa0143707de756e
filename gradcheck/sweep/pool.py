"""Chunks of entries evaluated on a pool of workers, in order, and again where workers died."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Future,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import UsageError
from gradcheck.sweep.evaluator import Evaluator, FloatArray
from gradcheck.sweep.worker import MismatchError, Task, held, proof_of

Result = Future[tuple[FloatArray, str | None]]
CHUNK_SECONDS = 0.1
"""How long a worker is to be busy with one chunk."""
LARGEST_CHUNK = 4096
RESTARTS = 3
"""Times that a pool of processes is opened again after some of its workers died."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Workers that are ready: how to hand them a task, how many there are, how to end them.

    ``own`` tells that they end with the check: what they still have to do ends with them.
    """

    submit: Callable[[Task], Result]
    size: int
    source: Any
    close: Callable[[], None]
    own: bool = False


class Workers:
    """Evaluates the entries of one problem on a pool; the pool is opened by the first call.

    Use as a context manager, or call ``close``.
    """

    def __init__(
        self,
        open_pool: Callable[[Evaluator, str], Pool],
        *,
        threads: int | None = 1,
        finish: Callable[[], None] | None = None,
    ) -> None:
        self._open = open_pool
        self._finish = finish
        self._pool: Pool | None = None
        self._token = uuid.uuid4().hex
        self._proof: tuple[float, ...] = ()
        self._pace = 0.0
        self._threads = threads
        self._restarts = 0

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that were started for this, and forget the problem."""
        held.pop(self._token, None)
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        if self._finish is not None:
            self._finish()
            self._finish = None

    def losses(
        self,
        evaluator: Evaluator,
        parameter: int,
        indices: NDArray[np.intp],
        values: NDArray[Any],
        advance: Callable[[int], None],
    ) -> FloatArray:
        """Return the losses in order; fewer where the deadline came first, or Ctrl-C, if kept.

        Raises:
            UsageError: the problem cannot be sent, or its copies give other losses.
        """
        pool = self._ready(evaluator)
        n = self._chunk(len(indices), pool.size)
        chunks = [slice(j, min(j + n, len(indices))) for j in range(0, len(indices), n)]
        found: dict[int, FloatArray] = {}
        while len(found) < len(chunks):
            try:
                done = self._run(evaluator, parameter, indices, values, chunks, found, advance)
            except _lost() as error:
                self._reopen(evaluator, error)
                continue
            except MismatchError as error:
                self._retry(error)
                continue
            except KeyboardInterrupt as error:
                if not evaluator.finishes:
                    raise
                evaluator.interrupt(error)
                break
            if not done:
                break
        whole = next((k for k in range(len(chunks)) if k not in found), len(chunks))
        parts = [found[k] for k in range(whole)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _ready(self, evaluator: Evaluator) -> Pool:
        if self._pool is None:
            began = time.perf_counter()
            self._proof, _ = proof_of(evaluator)
            self._pace = (time.perf_counter() - began) / len(self._proof)
            self._pool = self._open(evaluator, self._token)
        return self._pool

    def _chunk(self, n: int, size: int) -> int:
        timely = int(CHUNK_SECONDS / max(self._pace, 1e-7))
        fair = -(-n // (4 * size))
        return max(1, min(timely, fair, LARGEST_CHUNK))

    def _run(
        self,
        evaluator: Evaluator,
        parameter: int,
        indices: NDArray[np.intp],
        values: NDArray[Any],
        chunks: list[slice],
        found: dict[int, FloatArray],
        advance: Callable[[int], None],
    ) -> bool:
        """Evaluate the chunks that are not in ``found``; False when the deadline came first."""
        pool = self._ready(evaluator)
        waiting = [k for k in range(len(chunks)) if k not in found]
        running: dict[Result, int] = {}
        try:
            while waiting or running:
                if evaluator.deadline is not None and time.monotonic() > evaluator.deadline:
                    return False
                while waiting and len(running) < 2 * pool.size + 1:
                    k = waiting.pop(0)
                    at = chunks[k]
                    task = Task(
                        self._token,
                        pool.source,
                        self._proof,
                        self._threads,
                        parameter,
                        indices[at],
                        values[at],
                    )
                    running[pool.submit(task)] = k
                finished, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in finished:
                    losses, error = future.result()
                    k = running.pop(future)
                    found[k] = losses
                    evaluator.first_error = evaluator.first_error or error
                    advance(len(losses))
            return True
        finally:
            # Our own end with their pool; of these, one that is cancelled would make Python's
            # thread for the pool fail should its process die meanwhile.
            for future in () if pool.own else running:
                future.cancel()

    def _reopen(self, evaluator: Evaluator, error: BaseException) -> None:
        """Open the pool again after workers died; what they had finished is kept."""
        self._restarts += 1
        if self._restarts > RESTARTS:
            raise UsageError(
                f"worker processes keep dying ({type(error).__name__}: {error}); check the memory "
                "that one evaluation takes, and that it does not end its process (os._exit, a "
                "crash of compiled code), or give fewer workers"
            ) from error
        assert self._pool is not None
        self._pool.close()
        self._pool = self._open(evaluator, self._token)

    def _retry(self, error: MismatchError) -> None:
        """Let BLAS have its threads where their number changes the last bits of the loss."""
        if self._threads is None and error.raised is not None:
            raise UsageError(
                "the target raises in a worker what it does not raise here: "
                f"{error.raised}; let it find there what it needs (files, devices, settings of "
                "its module), or leave out workers (--workers, --dask, executor=)"
            ) from error
        if self._threads is None:
            raise UsageError(
                "the loss has other values in a worker than here: its parameters live outside "
                "the inputs (in a module, or as views of one array), it is random, or it "
                "depends on the process; pass them as inputs, or leave out workers (--workers, "
                f"--dask, executor=): {error}"
            ) from error
        self._threads = None


def _lost() -> tuple[type[BaseException], ...]:
    """Exceptions that say that workers died with work that nobody else has taken over."""
    distributed = sys.modules.get("distributed")
    killed = (CancelledError, distributed.KilledWorker) if distributed is not None else ()
    return (BrokenProcessPool, *killed)
