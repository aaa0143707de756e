"""What a check may use besides this process: workers, and a file to keep finished work in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from gradcheck.errors import UsageError
from gradcheck.problem import Problem
from gradcheck.settings import Settings

if TYPE_CHECKING:
    from concurrent.futures import Executor

_WITHOUT_EFFECT = ("budget", "time", "timeout", "workers", "dask", "checkpoint")
"""Settings that change how far a check gets and where, not what it evaluates."""


@contextlib.contextmanager
def resources(
    problem: Problem,
    settings: Settings,
    *,
    target: Any,
    executor: Executor | None = None,
    variant: tuple[Any, ...] = (),
) -> Iterator[None]:
    """Give the problem's evaluator the workers and the checkpoint of the settings, for a while.

    ``target`` is the user's own function; ``variant`` what else decides which losses are wanted. A
    target that evaluates its entries in batches needs no workers, and gets none.

    Raises:
        UsageError: more than one kind of worker is asked for, there is no Dask cluster, or the
            checkpoint belongs to another check.
    """
    with contextlib.ExitStack() as stack:
        if settings.checkpoint is not None:
            from gradcheck.sweep.checkpoint import Checkpoint, fingerprint

            lasting = [
                (field.name, getattr(settings, field.name))
                for field in fields(settings)
                if field.name not in _WITHOUT_EFFECT
            ]
            mark = fingerprint(problem, target, (*lasting, *variant))
            kept = Checkpoint(settings.checkpoint, mark)
            problem.evaluator.journal = stack.enter_context(kept)
        workers = _workers(settings, target, executor)
        if workers is not None:
            problem.evaluator.distributor = stack.enter_context(workers)
        try:
            yield
        finally:
            problem.evaluator.journal = problem.evaluator.distributor = None


def _workers(settings: Settings, target: Any, executor: Executor | None) -> Any:
    if executor is not None and (settings.workers is not None or settings.dask is not None):
        raise UsageError("executor, workers and dask exclude each other: give one of them")
    if executor is None and settings.dask is None and settings.workers in (None, 1):
        return None
    from gradcheck.sweep import parallel

    if executor is not None:
        return parallel.executor_workers(executor, target=target)
    if settings.dask is not None:
        return parallel.dask_workers(settings.dask, target=target)
    assert settings.workers is not None
    return parallel.local_workers(settings.workers, target=target)
