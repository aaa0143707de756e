"""Paths as a report may show them: relative to the project, without anyone's home or name."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradcheck.report import Check, Diagnosis, Location

_ABSOLUTE = re.compile(
    r"(?<![\w.~/\\:])"  # the beginning of a path, not its middle, and not that of a URL
    r"(?:[A-Za-z]:[\\/]|/)"
    r"(?:[^\s/\\:*?\"'`<>|()\[\]{},;]+[\\/])+"
    r"[^\s/\\:*?\"'`<>|()\[\]{},;]*"
)


def shown_path(file: str) -> str:
    """Return a path relative to the working directory, or to where its package is imported from.

    Of a file that lies in neither, only the name is left.
    """
    path = Path(file)
    if not path.is_absolute():
        return file
    for root in _roots():
        if path.is_relative_to(root):
            return str(path.relative_to(root))
    return path.name


def _roots() -> list[Path]:
    """The working directory, then the folders of packages, the deepest first."""
    folders = {Path(entry) for entry in sys.path if Path(entry).is_absolute()}
    folders.discard(Path(os.sep))
    return [Path.cwd(), *sorted(folders, key=lambda folder: -len(folder.parts))]


def impersonal_text(text: str) -> str:
    """Return ``text`` with its absolute paths shortened as by ``shown_path``.

    What only looks like a path (``a /n/2``) stays: its first folder does not exist here.
    """
    if "/" not in text and "\\" not in text:
        return text
    here = str(Path.cwd())
    if len(here) > 1:
        text = text.replace(here + os.sep, "")
    return _ABSOLUTE.sub(_shortened, text)


def _shortened(found: re.Match[str]) -> str:
    text = found.group()
    drive, sep, _ = text[1:].partition("/") if text[0] == "/" else ("", "", "")
    if text[0] == "/" and not (sep and Path("/", drive).is_dir()):
        return text
    trailing = re.search(r"[.,]*$", text)
    end = trailing.group() if trailing else ""
    body = text[: len(text) - len(end)].rstrip("/\\")
    return (shown_path(body) if text[0] == "/" else re.split(r"[\\/]", body)[-1]) + end


def impersonal_source(line: str) -> str:
    """Return a line of source without the home directory; columns stay where they are."""
    home = str(Path.home())
    if len(home) < 2 or home not in line:
        return line
    return line.replace(home, "~".ljust(len(home), "…"))


def impersonal(check: Check) -> Check:
    """Return the check with nothing in its texts that tells where, and by whom, it was run."""
    return replace(
        check,
        target=impersonal_text(check.target),
        reproduce=None if check.reproduce is None else impersonal_text(check.reproduce),
        diagnoses=tuple(_diagnosis(one) for one in check.diagnoses),
        warnings=tuple(
            replace(notice, message=impersonal_text(notice.message)) for notice in check.warnings
        ),
    )


def _diagnosis(one: Diagnosis) -> Diagnosis:
    return replace(
        one,
        message=impersonal_text(one.message),
        remedy=impersonal_text(one.remedy),
        location=None if one.location is None else _location(one.location),
        also=tuple(_location(place) for place in one.also),
        evidence=_plain(one.evidence),
    )


def _location(place: Location) -> Location:
    return replace(
        place,
        file=shown_path(place.file),
        source=impersonal_source(place.source),
        context=tuple((number, impersonal_source(line)) for number, line in place.context),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return impersonal_text(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item) for item in value)
    return value
