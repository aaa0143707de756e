"""Strings and numbers made fit to be shown: visible, bounded, never rounded to nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence


def visible(text: str, *, keep: str = "") -> str:
    """Return ``text`` with control, bidirectional and unprintable characters as escapes.

    Args:
        text: anything a user's code may contain.
        keep: invisible characters that stand, such as the newline in a block of source.
    """
    if text.isascii() and text.isprintable():
        shown = text
    else:
        shown = "".join(
            character if character in keep or character.isprintable() else _escape(character)
            for character in text
        )
    if text and not shown.strip() and not keep:
        return "".join(_escape(character) for character in text)
    return shown


def shorten(text: str, limit: int) -> str:
    """Return ``text`` of at most ``limit`` characters, its middle replaced by an ellipsis."""
    if len(text) <= limit:
        return text
    tail = max(1, limit // 3)
    return f"{text[: limit - tail - 1]}…{text[-tail:]}"


def name_of(text: str, limit: int = 60) -> str:
    """Return a name that can be seen: escaped, of bounded length, ``(no name)`` if empty."""
    return shorten(visible(text), limit) or "(no name)"


def clip(text: str, limit: int = 4000) -> str:
    """Return a longer text, visible and bounded, that says how much of it was left out."""
    shown = visible(text, keep="\n\t")
    if len(shown) <= limit:
        return shown
    return f"{shown[:limit]}… ({len(shown) - limit:,} more characters in report.json)"


def code_spans(text: str) -> list[tuple[bool, str]]:
    """Split a message at its backticks: pairs of whether a piece is code, and the piece."""
    pieces = re.split(r"`([^`\n]+)`", text)
    return [(number % 2 == 1, piece) for number, piece in enumerate(pieces) if piece]


def error_text(value: float) -> str:
    """Return a relative error or a resolution: ``2.3e-09``, ``0.312``, ``0``.

    Nothing but 0 shows as 0, and nothing below 1 as 1.
    """
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)
    if abs(value) < 0.01 or abs(value) >= 100:
        return f"{value:.1e}"
    text = f"{value:.3g}"
    if abs(value) < 1 <= abs(float(text)):
        return f"{math.floor(abs(value) * 1e6) / 1e6 * math.copysign(1, value):g}"
    return text


def value_text(value: float, digits: int = 8) -> str:
    """Return a gradient's value with ``digits`` significant digits."""
    return f"{value:.{digits}g}"


def shape_text(shape: Sequence[int]) -> str:
    """Return ``(4, 8)``, ``(5,)`` or ``()``."""
    return str(tuple(shape))


def index_text(index: Sequence[int]) -> str:
    """Return ``[2, 3]``; of a scalar, ``[]``."""
    return str(list(index))


def count_text(number: int, noun: str, nouns: str = "") -> str:
    """Return ``1 check`` or ``1,234 checks``; ``nouns`` is a plural that does not just add an s."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def seconds_text(seconds: float) -> str:
    """Return a duration: ``7.3 ms``, ``340 ms``, ``12.3 s``, ``4 min 10 s``, ``2 h 05 min``."""
    if not math.isfinite(seconds):
        return "unknown"
    if 0 < seconds < 0.1:
        return f"{1000 * seconds:.2g} ms"
    if 0 < seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def checked_text(checked: int, entries: int) -> str:
    """Return how many of a parameter's entries were checked."""
    if checked == entries:
        return f"all {entries:,}" if entries != 1 else "the one entry"
    return f"{checked:,} of {entries:,}"


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
