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
import importlib.util
import multiprocessing
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import (
    Executor,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from dataclasses import replace
from typing import Any

from gradcheck.errors import UsageError
from gradcheck.sweep.evaluator import Evaluator, FloatArray
from gradcheck.sweep.pool import Pool, Result, Workers
from gradcheck.sweep.shipping import pack
from gradcheck.sweep.worker import Task, begin, evaluate, held

GRACE = 1.0
"""Seconds that a worker is given to finish what nobody waits for any more."""
UNSAFE_TO_FORK = ("torch", "jax", "tensorflow")
"""Modules whose threads a forked process would miss."""


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
            with warnings.catch_warnings(), _single_threaded(), _without_script():
                # Newer Pythons warn of threads such as those of BLAS, which a worker limits.
                warnings.filterwarnings("ignore", "This process .* is multi-threaded")
                return pool.submit(evaluate, task)

        return Pool(submit, n, None, lambda: _end(pool), own=True)

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
def _without_script() -> Iterator[None]:
    """Have processes that are spawned now not run the user's script again.

    Python does that for functions sent by name; cloudpickle sends those of a script whole. Without
    ``if __name__ == "__main__"`` in it, each worker would begin a check of its own.
    """
    if importlib.util.find_spec("cloudpickle") is None:
        yield
        return
    script = vars(sys.modules["__main__"])
    hidden: dict[str, Any] = {
        name: script.pop(name) for name in ("__file__", "__spec__") if name in script
    }
    script["__spec__"] = None
    try:
        yield
    finally:
        del script["__spec__"]
        script.update(hidden)


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
