"""Times that other work on the machine disturbs little, and tables of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence


def cpu_seconds(function: Callable[[], object]) -> float:
    """Return the processor time that a call takes; waiting for others does not count."""
    began = time.process_time()
    function()
    return time.process_time() - began


def ratio(
    one: Callable[[], object], other: Callable[[], object], *, repetitions: int = 5
) -> tuple[float, float, float]:
    """Run two functions in turn; return the median ratio of their times and the fastest of each."""
    pairs = [(cpu_seconds(one), cpu_seconds(other)) for _ in range(repetitions)]
    median = statistics.median(a / b for a, b in pairs)
    return median, min(a for a, _ in pairs), min(b for _, b in pairs)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns."""
    widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    padded = [[cell.ljust(width) for cell, width in zip(x, widths, strict=True)] for x in lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in padded)
