"""The lines of source around a place, with the operation on its line told apart."""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck.render.text import shorten, visible
from gradcheck.report import Location

_AROUND = 2
_MAX_LINE = 400


@dataclass(frozen=True, slots=True)
class ExcerptLine:
    """One line to show: ``before + operation + after``; only the marked line has an operation."""

    number: int
    before: str
    operation: str = ""
    after: str = ""
    marked: bool = False


def excerpt(location: Location) -> list[ExcerptLine]:
    """Return the line of ``location`` and up to two lines either side of it."""
    context = location.context or ((location.line, location.source),)
    if all(number != location.line for number, _ in context):
        context = tuple(sorted([*context, (location.line, location.source)]))
    lines = [
        _marked_line(location, text) if number == location.line else ExcerptLine(number, text)
        for number, text in context
        if abs(number - location.line) <= _AROUND
    ]
    return [_shown(line) for line in lines]


def place(location: Location) -> str:
    """Return ``file:line, in function``."""
    where = f"{visible(shorten(location.file, 120))}:{location.line}"
    return f"{where}, in {visible(shorten(location.function, 80))}" if location.function else where


def _marked_line(location: Location, text: str) -> ExcerptLine:
    """Split the line at the columns, which count within ``source``: it may lack the indentation."""
    start, end = location.column, location.end_column
    if start is None or end is None or not 0 <= start < end:
        return ExcerptLine(location.line, text, marked=True)
    shift = max(0, text.find(location.source)) if location.source else 0
    start, end = start + shift, end + shift
    return ExcerptLine(location.line, text[:start], text[start:end], text[end:], marked=True)


def _shown(line: ExcerptLine) -> ExcerptLine:
    before, operation, after = (
        visible(part.rstrip("\r\n").replace("\t", "    ")) if part.strip() else part.rstrip("\r\n")
        for part in (line.before, line.operation, line.after)
    )
    if len(before) + len(operation) + len(after) > _MAX_LINE:
        before = shorten(before, _MAX_LINE // 3)
        operation = shorten(operation, _MAX_LINE // 3)
        after = shorten(after, _MAX_LINE // 3)
    return ExcerptLine(line.number, before, operation, after, line.marked)
