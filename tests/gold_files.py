"""Texts that stay as they are until someone changes them on purpose."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "gold"


def assert_gold(name: str, text: str) -> None:
    """Compare with ``tests/gold/<name>``; write it there first if ``UPDATE_GOLD`` is set."""
    path = FOLDER / name
    if os.environ.get("UPDATE_GOLD"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text, "utf-8", newline="\n")
    assert text == path.read_text("utf-8"), f"differs from {name}; UPDATE_GOLD=1 accepts it"
