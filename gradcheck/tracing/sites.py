"""Where in the user's source an operation was run."""

from __future__ import annotations

import functools
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

from gradcheck.tracing.contract import Site

_GRADCHECK = str(Path(__file__).parent.parent)
_STANDARD_LIBRARY = str(Path(functools.__file__).parent)
_TRACING = str(Path(__file__).parent)
_DIAGNOSE = str(Path(__file__).parent.parent / "diagnose")


class Sites:
    """Finds the innermost frame of the user's code; remembers what it knows of each code object."""

    def __init__(self) -> None:
        self._positions: dict[types.CodeType, list[Any]] = {}
        self._is_user: dict[str, bool] = {}
        self._libraries = self._library_folders()

    @staticmethod
    def _library_folders() -> tuple[str, ...]:
        folders = [_GRADCHECK, str(Path(np.__file__).parent)]
        for name in ("scipy", "torch"):
            module = sys.modules.get(name)
            if module is not None and module.__file__:
                folders.append(str(Path(module.__file__).parent))
        return tuple(folders)

    def _user_file(self, filename: str) -> bool:
        known = self._is_user.get(filename)
        if known is None:
            known = not filename.startswith(self._libraries)
            if known and filename.startswith(_STANDARD_LIBRARY):
                known = "site-packages" in filename or "dist-packages" in filename
            self._is_user[filename] = known
        return known

    def here(self) -> Site:
        """Return the site of the operation that is being run now."""
        frame: types.FrameType | None = sys._getframe(1)
        fallback: types.FrameType | None = None
        while frame is not None:
            filename = frame.f_code.co_filename
            if self._user_file(filename):
                return self._site(frame)
            if fallback is None and not filename.startswith(_TRACING):
                fallback = frame
            frame = frame.f_back
        return self._site(fallback) if fallback is not None else Site("", 0, "")

    def is_own(self) -> bool:
        """Whether what is being run now is arithmetic of gradcheck on what the target returned."""
        frame: types.FrameType | None = sys._getframe(1)
        while frame is not None:
            filename = frame.f_code.co_filename
            # A mode of ours that hands other tensors to a function of the target's is not seen.
            handed_on = frame.f_code.co_name == "__torch_function__"
            recording = handed_on or filename.startswith((_TRACING, _DIAGNOSE))
            if not recording and (self._user_file(filename) or filename.startswith(_GRADCHECK)):
                return filename.startswith(_GRADCHECK)
            frame = frame.f_back
        return False

    def _site(self, frame: types.FrameType) -> Site:
        code = frame.f_code
        positions = self._positions.get(code)
        if positions is None:
            positions = self._positions[code] = list(code.co_positions())
        _, end_line, column, end_column = positions[frame.f_lasti // 2]
        line = frame.f_lineno
        return Site(code.co_filename, line, code.co_qualname, column, end_line, end_column)
