"""A stretch that Ctrl-C and SIGTERM do not cut in two: they take effect at its end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back signals that would end the process; the first is raised again at the end.

    For short stretches only, such as the writing of a report. Signals reach the main thread of a
    process alone; in any other nothing is held back. May be nested.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, _frame: FrameType | None) -> None:
        noted.append(number)

    try:
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            # None: a handler that Python does not know and could not put back.
            if handler is not None and handler is not signal.SIG_IGN:
                before[number] = handler
                signal.signal(number, note)
        yield
    finally:
        # What was held back for one signal may come before the next one has its handler back.
        try:
            _put_back(before)
        finally:
            _put_back(before)
        if noted:
            signal.raise_signal(noted[0])


def _put_back(handlers: Mapping[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
