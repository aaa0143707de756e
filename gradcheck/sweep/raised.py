"""What an evaluation raised, in a line, with the place in the user's code."""

from __future__ import annotations

import os
import sysconfig
import traceback
from pathlib import Path

from gradcheck.places import shown_path

_OURS = f"{Path(__file__).parent.parent}{os.sep}"


def told(error: BaseException) -> str:
    """Return type, message and place of an exception: ``ValueError: outside, in model.py:7 (f)``.

    The place is the innermost one that is neither ours nor an installed library's.
    """
    text = f"{type(error).__name__}: {error}"
    installed = tuple(sysconfig.get_path(key) for key in ("stdlib", "purelib", "platlib"))
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((_OURS, "<", *installed))
    ]
    if not frames:
        return text
    return f"{text}, in {shown_path(frames[-1].filename)}:{frames[-1].lineno} ({frames[-1].name})"
