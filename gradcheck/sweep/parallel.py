"""A sweep in several processes: any ``concurrent.futures.Executor`` evaluates chunks of entries.

Every worker has a copy of the problem of its own, perturbs it, and returns losses; results come
back in order, so that they are those of the serial sweep, bit for bit. Before its first chunk each
worker evaluates a few points and compares them with what the main process found there: a copy
that does not follow its parameters (they live in a module, or are views of each other) is refused
instead of believed. On Linux our own processes are forked where that is safe, and inherit the
problem as it is; elsewhere it is sent with cloudpickle.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import UsageError
from gradcheck.sweep.evaluator import Evaluator, FloatArray
from gradcheck.sweep.shipping import pack
from gradcheck.sweep.worker import MismatchError, Task, begin, evaluate, held, proof_of

Result = Future[tuple[FloatArray, str | None]]

CHUNK_SECONDS = 0.1
"""How long a worker is to be busy with one chunk."""
LARGEST_CHUNK = 4096
GRACE = 1.0
"""Seconds that a worker is given to finish what nobody waits for any more."""
RESTARTS = 3
"""Times that a pool of processes is opened again after some of its workers died."""
UNSAFE_TO_FORK = ("torch", "jax", "tensorflow")
"""Modules whose threads a forked process would miss."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Workers that are ready: how to hand them a task, how many there are, how to end them."""

    submit: Callable[[Task], Result]
    size: int
    source: Any
    close: Callable[[], None]


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
        """Return the losses in order; fewer where the evaluator's deadline came first.

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
            if not done:
                break
        whole = next((k for k in range(len(chunks)) if k not in found), len(chunks))
        parts = [found[k] for k in range(whole)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _ready(self, evaluator: Evaluator) -> Pool:
        if self._pool is None:
            began = time.perf_counter()
            self._proof = proof_of(evaluator)
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
            for future in running:
                future.cancel()

    def _reopen(self, evaluator: Evaluator, error: BaseException) -> None:
        """Open the pool again after workers died; what they had finished is kept."""
        self._restarts += 1
        if self._restarts > RESTARTS:
            raise UsageError(
                f"worker processes keep dying ({type(error).__name__}: {error}); check the memory "
                "that one evaluation takes, or give fewer workers"
            ) from error
        assert self._pool is not None
        self._pool.close()
        self._pool = self._open(evaluator, self._token)

    def _retry(self, error: MismatchError) -> None:
        """Let BLAS have its threads where their number changes the last bits of the loss."""
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


def local_workers(n: int, *, target: Any = None) -> Workers:
    """Return ``n`` processes on this machine; ``target`` is the user's function, if known."""

    def open_pool(evaluator: Evaluator, token: str) -> Pool:
        forks = can_fork()
        source = None if forks else pack(evaluator, target)
        if forks:
            # Forked workers find the problem in the memory they inherit.
            held[token] = (evaluator.loss, evaluator.values)
        context = multiprocessing.get_context("fork" if forks else "spawn")
        pool = ProcessPoolExecutor(n, context, initializer=begin, initargs=(token, source))

        def submit(task: Task) -> Result:
            with warnings.catch_warnings(), _single_threaded():
                # Newer Pythons warn of threads such as those of BLAS, which a worker limits.
                warnings.filterwarnings("ignore", "This process .* is multi-threaded")
                return pool.submit(evaluate, task)

        return Pool(submit, n, None, lambda: _end(pool))

    return Workers(open_pool)


def _end(pool: ProcessPoolExecutor) -> None:
    """End the processes of a pool: those still at work, which may hang, are not waited for long."""
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    end = time.monotonic() + GRACE
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
    for process in processes:
        if process.is_alive():
            process.kill()
    pool.shutdown(wait=True)


def executor_workers(executor: Executor, *, target: Any = None) -> Workers:
    """Evaluate on any executor; it is left open.

    Raises:
        UsageError: ``executor`` is not one.
    """
    if not callable(getattr(executor, "submit", None)):
        raise UsageError(
            f"executor={executor!r} has no submit: pass a concurrent.futures.Executor, such as "
            "ProcessPoolExecutor(4)"
        )
    client = getattr(executor, "_client", None)
    if type(executor).__module__.startswith("distributed") and client is not None:
        return Workers(_dask_opener(client, executor, target))

    def open_pool(evaluator: Evaluator, _: str) -> Pool:
        source = pack(evaluator, target)
        size = int(getattr(executor, "_max_workers", 0) or os.cpu_count() or 1)
        return Pool(lambda task: executor.submit(evaluate, task), size, source, lambda: None)

    # The limit on threads would hold for this whole process.
    in_threads = isinstance(executor, ThreadPoolExecutor)
    return Workers(open_pool, threads=None if in_threads else 1)


def dask_workers(address: str, *, target: Any = None) -> Workers:
    """Return the workers of the Dask cluster whose scheduler listens at ``address``.

    Raises:
        UsageError: ``distributed`` is not installed, nothing answers, or there are no workers.
    """
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError:
        raise UsageError("dask= needs distributed: pip install gradcheck[dask]") from None
    try:
        client: Any = distributed.Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {address!r} ({error}); write the address that "
            "`dask scheduler` prints, such as tcp://127.0.0.1:8786"
        ) from error
    if not client.nthreads():
        client.close()
        raise UsageError(f"the Dask scheduler at {address!r} has no workers: start some first")
    executor = client.get_executor(pure=False)
    return Workers(_dask_opener(client, executor, target), finish=client.close)


def _dask_opener(client: Any, executor: Executor, target: Any) -> Callable[[Evaluator, str], Pool]:
    def open_pool(evaluator: Evaluator, _: str) -> Pool:
        # Once to each worker, not with every task.
        source = client.scatter(pack(evaluator, target), broadcast=True, hash=False)
        size = max(1, sum(client.nthreads().values()))
        return Pool(
            lambda task: executor.submit(_evaluate_with, task, source), size, None, lambda: None
        )

    return open_pool


def _evaluate_with(task: Task, source: bytes) -> tuple[FloatArray, str | None]:
    return evaluate(replace(task, source=source))


def can_fork() -> bool:
    """Whether a forked process would find everything it needs in a sound state."""
    others = [
        thread
        for thread in threading.enumerate()
        if thread is not threading.current_thread()
        # The progress bar's thread holds no lock that a worker takes.
        and not type(thread).__module__.startswith("rich.")
    ]
    loaded = any(name in sys.modules for name in UNSAFE_TO_FORK)
    return sys.platform == "linux" and not others and not loaded


@contextlib.contextmanager
def _single_threaded() -> Iterator[None]:
    """Have processes that start now load BLAS with a single thread."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
