"""Peak memory of a check, in units of its parameters.

    python benchmarks/memory.py [P ...]

Prints a table. "At its peak" is the largest memory that Python and NumPy hold during the check
(``tracemalloc``) beyond the user's own parameters; the gradient that the target returns is part of
it. The loss looks at a few entries alone, so that millions of evaluations take seconds.
"""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import gradcheck  # noqa: E402 - run from a checkout, without installing
from benchmarks.timing import table  # noqa: E402

SIZES = (30_000, 200_000, 600_000)
LARGE = (1_000_000, 10_000_000)
FULL: dict[str, Any] = {"entries": "all", "oracles": ("central",)}


def loss(w: np.ndarray) -> float:
    """Return a loss of a few entries."""
    head = w[:50]
    return float(head @ head)


def gradient(w: np.ndarray) -> np.ndarray:
    """Return its gradient, for all entries."""
    found = np.zeros(w.size)
    found[:50] = 2 * w[:50]
    return found


def quartic(w: np.ndarray) -> tuple[float, np.ndarray]:
    """Return a loss of all entries, and its gradient."""
    square = w * w
    return float(square @ square) / 4, square * w


def wrong_quartic(w: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the same, with the largest entry of the gradient off by 1%."""
    value, found = quartic(w)
    found[np.argmax(np.abs(found))] *= 1.01
    return value, found


def peak(target: Any, n: int, **options: Any) -> tuple[float, str]:
    """Return the peak in bytes, and the verdict."""
    w = np.random.default_rng(0).uniform(0.5, 1.5, size=n)
    tracemalloc.start(1)
    try:
        found = gradcheck.check(target, (w,), [0], **options)
        return tracemalloc.get_traced_memory()[1], str(found.verdict)
    finally:
        tracemalloc.stop()


def main(sizes: list[int]) -> None:
    """Measure and print."""
    peak(loss, 20_000, grad=gradient, budget=500, **FULL)
    runs: list[tuple[str, Any, int, dict[str, Any]]] = [
        ("every entry", loss, n, {"grad": gradient, **FULL}) for n in sizes or SIZES
    ]
    if not sizes:
        kinds = (("right", quartic), ("one entry off by 1%", wrong_quartic))
        for n in LARGE:
            for kind, target in kinds:
                runs.append((f"group testing, {kind}", target, n, {"autograd": False}))
    rows = []
    for name, target, n, options in runs:
        at_peak, verdict = peak(target, n, **options)
        ratio = at_peak / (8 * n)
        rows.append([name, f"{n:,}", f"{8e-6 * n:.1f} MB", f"{at_peak / 1e6:.1f} MB"])
        rows[-1] += [f"{ratio:.1f}", verdict]
    print(table(("check", "P", "parameters", "at its peak", "in parameters", "verdict"), rows))


if __name__ == "__main__":
    main([int(float(text)) for text in sys.argv[1:]])
