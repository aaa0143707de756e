"""Running the user's code from a shell: what it prints, how it fails, what it leaves changed."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from gradcheck.errors import GradcheckError
from gradcheck.shell.tracebacks import format_users, raised_by_user

KEPT_LINES = 20


class UsersError(Exception):
    """The user's code raised; the message is ready to be shown."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM)."""


class Printed(io.TextIOBase):
    """Takes what a target prints, which would otherwise appear once for every evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = 0
        self.head = ""

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Count the lines of ``text`` and keep the first ones."""
        if self.lines < KEPT_LINES:
            self.head += text
        self.lines += text.count("\n")
        return len(text)

    def note(self) -> str:
        """Say what was held back; nothing if the target printed nothing."""
        if not self.head.strip():
            return ""
        first = self.head.strip().splitlines()[0]
        return (
            f"the target printed {max(self.lines, 1):,} lines, beginning with {first[:40]!r}; "
            "-v lets it print"
        )


@contextlib.contextmanager
def guarded(doing: str, *, verbose: bool = False, printed: Printed | None = None) -> Iterator[None]:
    """Run user code: its prints are held back, the working directory is put back.

    Args:
        doing: what is going on, for the message: ``"importing homework"``.
        verbose: let prints through to stderr, and show our own frames, too.
        printed: where prints go.

    Raises:
        UsersError: the code raised, or called ``sys.exit``.
    """
    here = os.getcwd()  # noqa: PTH109 - a string is what chdir wants back
    sink = sys.stderr if verbose or printed is None else printed
    try:
        with contextlib.redirect_stdout(sink), _exits_refused():
            yield
    except (GradcheckError, KeyboardInterrupt, GeneratorExit, UsersError):
        raise
    except SystemExit as error:
        raise UsersError(_exited(doing, error)) from None
    except BaseException as error:
        raise UsersError(_raised(doing, error, verbose=verbose)) from None
    finally:
        os.chdir(here)


def _exited(doing: str, error: SystemExit) -> str:
    return (
        f"{doing} called sys.exit({error.code!r}): a target must return; keep the call to "
        'sys.exit under if __name__ == "__main__"'
    )


@contextlib.contextmanager
def _exits_refused() -> Iterator[None]:
    """Turn ``os._exit`` into ``sys.exit``: it would end us with a status of the target's choosing.

    A status of 0 would then say that a gradient is right which nobody has looked at. Processes
    that the target forks end as they wish.
    """
    real, own = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        if os.getpid() == own and threading.current_thread() is threading.main_thread():
            raise SystemExit(status)
        if os.getpid() != own:
            real(status)
        # No exception in a thread ends the process as the target wants it.
        os.write(2, b"gradcheck: a thread of the target ended the process (os._exit)\n")
        real(status or 2)

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = real


def _raised(doing: str, error: BaseException, *, verbose: bool) -> str:
    import traceback

    kind = type(error).__name__
    if verbose:
        trace = "".join(traceback.format_exception(error))
    else:
        trace = _shortened(format_users(error))
    if raised_by_user(error.__traceback__) or isinstance(error, SyntaxError):
        return f"{trace.rstrip()}\ngradcheck: {doing} raised {kind}"
    trace = "".join(traceback.format_exception(error))
    return (
        f"{trace.rstrip()}\ngradcheck: {kind} while {doing}: this is a defect in gradcheck itself"
    )


def _shortened(trace: str) -> str:
    """Cut the middle out of a traceback of hundreds of frames."""
    lines = trace.splitlines()
    if len(lines) <= 60:
        return trace
    return "\n".join([*lines[:24], f"  ... {len(lines) - 48} lines left out ...", *lines[-24:]])


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that what was finished is still reported."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
