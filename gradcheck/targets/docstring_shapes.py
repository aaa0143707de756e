"""Shapes that a docstring writes down: ``W: array of shape (D, C)``, as input specs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_ENTRY = re.compile(
    r"^\s*(?:[-*+]\s*)?(?::param\s+)?(?:`{0,2})(?P<names>[A-Za-z_]\w*(?:\s*(?:,|and)\s*[A-Za-z_]\w*)*)"
    r"(?:`{0,2})\s*(?:\([^)]*\)\s*)?(?::|--|\s-\s|—|–|=)\s*(?P<text>.*)$"
)
_SHAPE = re.compile(
    r"(?:shape|size|dimensions?)\s*(?:of|is|:|=)?\s*[(\[](?P<dims>[^)\]]*)[)\]]", re.I
)
_BARE = re.compile(r"^(?:\w+\s+)?[(\[](?P<dims>[^)\]]*,[^)\]]*)[)\]]")
_INTEGERS = re.compile(r"label|index|indices|class\b|integers?|0\s*<=", re.I)
_KNOWN = {"n_samples": "N", "n_features": "D", "n_classes": "C", "n_outputs": "C", "m": "N"}
_OTHERS = (11, 13, 17, 19, 23)


def documented(
    target: Callable[..., Any], names: Sequence[str], sizes: Mapping[str, int]
) -> dict[str, str]:
    """Return a spec for each argument whose shape or kind the target's docstring tells.

    The letters of shapes get the given ``sizes``, others sizes of their own.
    """
    text = inspect.getdoc(target) or ""
    symbols = dict(sizes)
    found: dict[str, str] = {}
    for heads, body in _entries(text):
        for name in heads:
            if name in names and name not in found:
                spec = _spec(body, symbols)
                if spec:
                    found[name] = spec
    return found


def _entries(text: str) -> list[tuple[list[str], str]]:
    """The entries of lists like ``- X: data of shape (N, D)``, with the lines that go on."""
    entries: list[tuple[list[str], str]] = []
    for line in text.splitlines():
        match = _ENTRY.match(line)
        if match:
            names = re.split(r"\s*(?:,|\band\b)\s*", match["names"])
            entries.append((names, line[match.end("names") :].lstrip(" :-=`—–")))
        elif entries and line.strip():
            entries[-1] = (entries[-1][0], f"{entries[-1][1]} {line.strip()}")
    return entries


def _spec(body: str, symbols: dict[str, int]) -> str:
    match = _SHAPE.search(body) or _BARE.match(body)
    if match is None:
        if re.match(r"\(?(?:int|integer)\b", body, re.I):
            return "2"
        return "0.1" if re.match(r"\(?(?:float|scalar)\b", body, re.I) else ""
    dims = _dims(match["dims"], symbols)
    shape = ",".join(map(str, dims))
    if re.search(r"bool|\b0\b.*\b1\b", body, re.I) and "<" not in body:
        return f"integers(2, size={shape if len(dims) == 1 else f'({shape})'})"
    if _INTEGERS.search(body):
        return f"integers({symbols.get('C', 3)}, size={shape if len(dims) == 1 else f'({shape})'})"
    return f"randn({shape})"


def _dims(text: str, symbols: dict[str, int]) -> list[int]:
    """Numbers for the letters of a shape; ``d_1, ..., d_k`` are taken as one."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if "..." in words:
        words = [*words[: max(1, words.index("...") - 1)], "D"]
    return [_size(word, symbols) for word in words]


def _size(word: str, symbols: dict[str, int]) -> int:
    if word.isdigit():
        return int(word)
    times = re.fullmatch(r"(\d+)\s*\*?\s*([A-Za-z]\w*)", word)
    if times:
        return int(times[1]) * _size(times[2], symbols)
    plain = _KNOWN.get(word, word)
    if plain not in symbols:
        used = set(symbols.values())
        symbols[plain] = next((n for n in _OTHERS if n not in used), 29)
    return symbols[plain]
