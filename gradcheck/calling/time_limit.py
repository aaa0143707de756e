"""A limit on the time of one evaluation: a target that hangs is stopped by a signal.

Signals reach the main thread of a process only, and the interpreter only between two instructions:
a single call into compiled code is stopped when it returns.
"""

from __future__ import annotations

import contextlib
import functools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from gradcheck.errors import TargetError, UsageError

INSIST = 0.1
"""Seconds after which a target that went on in spite of the signal is stopped again."""


class TimeUp(BaseException):
    """An evaluation took too long; no ``except Exception`` in the target's way takes this."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Limited:
    """A function that may take ``seconds`` for each call.

    Raises ``TimeUp`` in the middle of the function when it takes longer.
    """

    def __init__(self, function: Callable[..., Any], seconds: float) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.seconds = seconds

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, and stop it when its time is up."""
        running = True

        def stop(_number: int, _frame: FrameType | None) -> None:
            # A late alarm must not go off in whatever runs after the function.
            if running:
                raise TimeUp(self.seconds)

        # The handler is set for each call, as the call may happen in a worker process.
        before = signal.signal(signal.SIGALRM, stop)
        try:
            signal.setitimer(signal.ITIMER_REAL, self.seconds, INSIST)
            return self.function(*args, **kwargs)
        finally:
            running = False
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, before)


def limited(function: Callable[..., Any], seconds: float | None) -> Callable[..., Any]:
    """Return the function with a limit on the time of each call, if there is one."""
    return function if seconds is None else Limited(function, seconds)


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function without its limit."""
    return function.function if isinstance(function, Limited) else function


@contextlib.contextmanager
def time_limits(
    seconds: float | None, executor: Any = None, dask: str | None = None
) -> Iterator[None]:
    """Turn an evaluation that took too long into an error of the target; a pending alarm is kept.

    Raises:
        UsageError: evaluations would run where no signal reaches them.
        TargetError: one took longer than ``seconds``.
    """
    if seconds is None:
        yield
        return
    _refuse_elsewhere(executor, dask)
    began = time.monotonic()
    handler = signal.getsignal(signal.SIGALRM)
    pending, interval = signal.getitimer(signal.ITIMER_REAL)

    def resume() -> None:
        signal.signal(signal.SIGALRM, handler)
        left = max(pending - (time.monotonic() - began), 1e-3) if pending else 0.0
        signal.setitimer(signal.ITIMER_REAL, left, interval)

    resumed = False
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        yield
    except TimeUp:
        raise TargetError(
            "timed_out",
            f"one evaluation took longer than {seconds:g} seconds and was stopped: it hangs, or "
            "--timeout (timeout=) is too short for it",
        ) from None
    finally:
        # Ctrl-C may have come while an evaluation put these back, and may come while this does.
        try:
            resume()
            resumed = True
        finally:
            if not resumed:
                resume()


def _refuse_elsewhere(executor: Any, dask: str | None) -> None:
    from concurrent.futures import ProcessPoolExecutor

    if not hasattr(signal, "setitimer"):
        raise UsageError("timeout (--timeout) needs a system with interval timers: leave it out")
    if threading.current_thread() is not threading.main_thread():
        raise UsageError(
            "timeout (--timeout) works in the main thread only, which signals reach: check there, "
            "or leave it out"
        )
    if dask is not None or (executor is not None and not isinstance(executor, ProcessPoolExecutor)):
        raise UsageError(
            "timeout (--timeout) does not reach threads of Dask or of an executor: use workers "
            "(--workers N) or a ProcessPoolExecutor with it, or leave it out"
        )
