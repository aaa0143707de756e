"""What runs in a worker: its own copy of the problem, proved before it is used."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.sweep.evaluator import Evaluator, FloatArray
from gradcheck.sweep.moves import Block
from gradcheck.sweep.shipping import unpack


@dataclass(frozen=True, slots=True)
class Task:
    """A chunk of entries to evaluate, and the points at which a worker proves its copy.

    ``source`` is the packed problem; None where the worker has it already. ``threads`` limits the
    threads of BLAS in the worker; None leaves them alone.
    """

    token: str
    source: Any
    proof: tuple[float, ...]
    threads: int | None
    parameter: int
    indices: NDArray[np.intp]
    values: NDArray[Any]


class MismatchError(Exception):
    """A worker's copy of the problem gives other losses than the original.

    ``raised`` is what the target raised there, if it did.
    """

    def __init__(self, message: str, raised: str | None = None) -> None:
        super().__init__(message, raised)
        self.message = message
        self.raised = raised

    def __str__(self) -> str:
        return self.message


# What a worker process holds: the problem it was forked with or sent, by token. A problem cannot
# travel with each chunk, so this state has to outlive a call.
held: dict[str, Any] = {}
_replicas = threading.local()


def evaluate(task: Task) -> tuple[FloatArray, str | None]:
    """Evaluate a chunk in a worker; return the losses and what the first failing call raised."""
    with limited_threads(task.threads):
        replica = _replica(task)
        losses = replica.here(task.parameter, task.indices, task.values)
    return losses, replica.first_error


def _replica(task: Task) -> Evaluator:
    """Return this thread's own copy of the problem, proved once."""
    known = (task.token, task.threads)
    kept: tuple[tuple[str, int | None], Evaluator] | None = getattr(_replicas, "kept", None)
    if kept is not None and kept[0] == known:
        return kept[1]
    source = task.source if task.source is not None else held[task.token]
    replica = Evaluator(*(unpack(source) if isinstance(source, bytes) else source))
    found, raised = proof_of(replica)
    if not np.array_equal(found, task.proof, equal_nan=True):
        raise MismatchError(f"{found} instead of {task.proof}", raised)
    _replicas.kept = (known, replica)
    return replica


def proof_of(evaluator: Evaluator) -> tuple[tuple[float, ...], str | None]:
    """Return the loss at the point, and with each parameter moved (all but the first 15 at once).

    The evaluations are not counted. Beside them stands what the first failing one raised.
    """
    own = Evaluator(evaluator.loss, evaluator.values)
    blocks = []
    for number, value in enumerate(own.values):
        size = max(abs(float(value.max())), abs(float(value.min()))) or 1.0
        blocks.append(Block(number, (), np.broadcast_to(size * 2.0**-8, value.shape)))
    groups = [[block] for block in blocks[:15]] + ([blocks[15:]] if blocks[15:] else [])
    losses = (own.current(), *(float(own.moved(group, [1.0])[0]) for group in groups))
    return losses, own.first_error


@contextlib.contextmanager
def limited_threads(threads: int | None) -> Iterator[None]:
    """Limit the threads of BLAS, where threadpoolctl is there to do it."""
    if threads is None:
        yield
        return
    try:
        threadpoolctl: Any = importlib.import_module("threadpoolctl")
    except ImportError:
        yield
        return
    with threadpoolctl.threadpool_limits(threads):
        yield


def begin(token: str, source: bytes | None) -> None:
    """Prepare a worker process of our own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if source is not None:
        held[token] = source
    parent = os.getppid()

    def watch() -> None:
        # A parent that was killed cannot end its workers.
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
