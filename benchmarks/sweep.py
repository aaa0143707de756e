"""The full sweep against the bare loop of its loss evaluations, in time and memory.

    python benchmarks/sweep.py

Prints a table. The loop perturbs each entry in place and calls the loss, 2P times, and does nothing
else. Processor times, run in turn; the ratio is a median.
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
from benchmarks.timing import cpu_seconds, ratio, table  # noqa: E402


def problem(n: int, width: int) -> tuple[Any, dict[str, np.ndarray]]:
    """Return a loss of ``n`` parameters; ``width`` sets how long it takes."""
    draw = np.random.default_rng(0)
    X = draw.normal(size=(width, n)) / np.sqrt(n)

    def loss(w: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
        hidden = np.tanh(X @ w)
        return float(hidden @ hidden), {"w": X.T @ (2 * hidden * (1 - hidden**2))}

    return loss, {"w": draw.normal(size=n)}


def bare_loop(loss: Any, inputs: dict[str, np.ndarray]) -> None:
    """Evaluate the loss a step up and a step down of each entry."""
    w = inputs["w"].copy()
    slopes = np.empty(w.size)
    for i in range(w.size):
        before = w[i]
        w[i] = before + 1e-6
        up = loss(w)[0]
        w[i] = before - 1e-6
        down = loss(w)[0]
        w[i] = before
        slopes[i] = (up - down) / 2e-6


def sweep(loss: Any, inputs: dict[str, np.ndarray]) -> Any:
    """Check every entry by central differences alone."""
    return gradcheck.check(loss, inputs, entries="all", oracles=("central",))


def main() -> None:
    """Measure and print."""
    head = ("P", "one loss", "bare loop", "gradcheck", "ratio", "evaluations / P", "verdict")
    sizes = ((1000, 100), (3000, 30), (3000, 100), (10_000, 30))
    print(table(head, [measured(n, width) for n, width in sizes]))
    print()
    print(table(("P", "parameters", "peak above them", "in parameters"), memory()))


def measured(n: int, width: int) -> list[str]:
    """Return one row: a sweep over ``n`` parameters, beside the bare loop."""
    loss, inputs = problem(n, width)
    sweep(loss, inputs)
    each = cpu_seconds(lambda: [loss(inputs["w"]) for _ in range(200)]) / 200
    against, ours, bare = ratio(lambda: sweep(loss, inputs), lambda: bare_loop(loss, inputs))
    found = sweep(loss, inputs)
    return [
        f"{n:,}",
        f"{1e6 * each:.0f} us",
        f"{bare:.2f} s",
        f"{ours:.2f} s",
        f"{against:.3f}",
        f"{found.evaluations / n:.2f}",
        found.verdict,
    ]


def memory() -> list[list[str]]:
    """Peak memory of a full sweep beyond the user's own arrays, as tracemalloc sees it."""
    rows = []
    for n in (10_000, 100_000):
        w = np.random.default_rng(0).normal(size=n)

        def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
            return float(w[0] ** 2 + w.sum()), np.concatenate([[2 * w[0] + 1], np.ones(len(w) - 1)])

        sweep(loss, {"w": w[:100]})
        tracemalloc.start()
        sweep(loss, {"w": w})
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        rows.append([f"{n:,}", f"{w.nbytes:,} B", f"{peak:,} B", f"{peak / w.nbytes:.1f}"])
    return rows


if __name__ == "__main__":
    main()
