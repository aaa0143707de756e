"""File names for checks: they cannot leave the folder, and no two of them collide."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

_TAKEN = {"index", "report", "summary", "assets"}
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{d}{n}" for d in ("com", "lpt") for n in range(10)}
_LIMIT = 80


def page_names(names: Sequence[str]) -> list[str]:
    """Return a distinct file stem for each name, on any file system, whatever its case rules.

    A name made of letters, digits, dots, dashes and underscores stands as it is; what two names
    would share, or what is not safe, gets a few digits of the name's hash.
    """
    stems = [_stem(name) for name in names]
    counts = Counter(stem.casefold() for stem in stems)
    result: list[str] = []
    used: set[str] = set()
    for name, stem in zip(names, stems, strict=True):
        if counts[stem.casefold()] > 1 or _is_unsafe(stem):
            digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:10]
            # in front, too: Windows takes "con.anything" for a device
            stem = f"check-{stem}-{digest}" if _is_unsafe(stem) else f"{stem}-{digest}"
        unique, number = stem, 1
        while unique.casefold() in used:
            number += 1
            unique = f"{stem}-{number}"
        used.add(unique.casefold())
        result.append(unique)
    return result


def _stem(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-. ")[:_LIMIT].rstrip("-. ")


def _is_unsafe(stem: str) -> bool:
    first = stem.casefold().partition(".")[0]
    return not stem or stem.casefold() in _TAKEN or first in _DEVICES
