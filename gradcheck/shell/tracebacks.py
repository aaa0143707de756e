"""The user's own exception, shown without the frames that are ours."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

_OURS = f"{Path(__file__).parent.parent}{os.sep}"
_MACHINERY = ("<frozen importlib", "<frozen runpy", f"{os.sep}importlib{os.sep}")


def is_ours(filename: str) -> bool:
    """Whether the code in ``filename`` belongs to this package or to the import system."""
    return filename.startswith((_OURS, "<frozen ")) or any(part in filename for part in _MACHINERY)


def trim(error: BaseException) -> BaseException:
    """Return ``error`` with the leading frames of this package taken off its traceback.

    Frames are taken off only up to the first one of the user's; an error raised by this package
    itself keeps its traceback.
    """
    first = error.__traceback__
    while first is not None and is_ours(first.tb_frame.f_code.co_filename):
        first = first.tb_next
    return error.with_traceback(first) if first is not None else error


def format_users(error: BaseException) -> str:
    """Return the traceback of ``error`` as Python prints it, without any frame of ours."""
    import traceback

    shown = traceback.TracebackException.from_exception(error)
    pending: list[traceback.TracebackException | None] = [shown]
    while pending:
        part = pending.pop()
        if part is None:
            continue
        kept = [frame for frame in part.stack if not is_ours(frame.filename)]
        part.stack = traceback.StackSummary.from_list(kept)
        pending += [part.__cause__, part.__context__]
    return "".join(shown.format())


def raised_by_user(tb: TracebackType | None) -> bool:
    """Whether any frame of the traceback is code that is not ours."""
    while tb is not None:
        if not is_ours(tb.tb_frame.f_code.co_filename):
            return True
        tb = tb.tb_next
    return False
