"""Peak memory of a check, in units of its parameters.

    python benchmarks/memory.py [P ...]

Prints a table. "At its peak" is the largest memory that Python and NumPy hold during the check
(``tracemalloc``) beyond the user's own parameters; the gradient that the target returns is part of
it where the target makes a new array of it in each call. The loss looks at a few entries alone, so
that millions of evaluations take seconds.
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


class Filled:
    """The same gradient, in an array of the user's own that is filled in each call."""

    def __init__(self, n: int) -> None:
        self._found = np.zeros(n)

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """Return it."""
        np.multiply(w[:50], 2.0, out=self._found[:50])
        return self._found


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
    runs: list[tuple[str, Any, int, dict[str, Any]]] = []
    for n in sizes or SIZES:
        runs.append(("every entry", loss, n, {"grad": Filled(n), **FULL}))
        runs.append(("every entry, a new gradient a call", loss, n, {"grad": gradient, **FULL}))
    if not sizes:
        kinds = (("right", quartic), ("one entry off by 1%", wrong_quartic))
        for n in LARGE:
            for kind, target in kinds:
                runs.append((f"group testing, {kind}", target, n, {"autograd": False}))
    rows = []
    for name, target, n, options in runs:
        at_peak, verdict = peak(target, n, **options)
        beside = (at_peak - 3 * 8 * n) / 1e6
        rows.append([name, f"{n:,}", f"{8e-6 * n:.1f} MB", f"{at_peak / 1e6:.1f} MB"])
        rows[-1] += [f"{at_peak / (8 * n):.2f}", f"{beside:+.1f} MB", verdict]
    heads = ("check", "P", "parameters", "at its peak", "times", "beside 3 times", "verdict")
    print(table(heads, rows))


if __name__ == "__main__":
    main([int(float(text)) for text in sys.argv[1:]])
