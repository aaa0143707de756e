"""A sweep over several processes against the same sweep in one.

    python benchmarks/parallel.py

Prints a table of wall-clock ratios; the losses are compared bit for bit. The processor time of all
processes together, relative to that of one, is what the division costs: on a machine with nothing
else to do, n workers are n times as fast divided by it.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.timing import table  # noqa: E402 - run from a checkout
from gradcheck.sweep.evaluator import Evaluator  # noqa: E402
from gradcheck.sweep.parallel import local_workers  # noqa: E402


def evaluator(milliseconds: float) -> Evaluator:
    """Return an evaluator whose loss takes about so long, all of it computing."""
    x = np.linspace(0.1, 1, 200)
    data = np.linspace(0, 1, 20_000)

    def once() -> float:
        return float(np.sum(np.tanh(data * x[0]) + np.sin(data * x.sum())))

    began = time.perf_counter()
    for _ in range(20):
        once()
    repeats = max(1, round(milliseconds * 1e-3 * 20 / (time.perf_counter() - began)))
    return Evaluator(lambda: sum(once() for _ in range(repeats)), [x])


def processor_time() -> float:
    """Return the processor time of this process and of the workers that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def main() -> None:
    """Measure and print."""
    n_workers = min(os.cpu_count() or 1, 4)
    rows = []
    for milliseconds, n in ((1, 1000), (5, 600), (20, 200)):
        indices, values = np.arange(n) % 200, np.linspace(0, 1, n)
        ratios, efforts, same = [], [], True
        for _ in range(3):
            one = evaluator(milliseconds)
            began, effort = time.perf_counter(), processor_time()
            alone = one.entries(0, indices, values)
            serial, own = time.perf_counter() - began, processor_time() - effort
            began, effort = time.perf_counter(), processor_time()
            with local_workers(n_workers) as workers:
                one.distributor = workers
                spread = one.entries(0, indices, values)
            ratios.append(serial / (time.perf_counter() - began))
            efforts.append((processor_time() - effort) / own)
            same = same and spread.tobytes() == alone.tobytes()
        median, best = statistics.median(ratios), max(ratios)
        cells = [f"{milliseconds} ms", str(n), str(n_workers), f"{median:.2f}", f"{best:.2f}"]
        effort = statistics.median(efforts)
        rows.append([*cells, f"{effort:.2f}", "yes" if same else "NO"])
    head = (
        *("one loss", "evaluations", "workers", "times as fast", "best of 3"),
        *("processor time", "same bits"),
    )
    print(table(head, rows))


if __name__ == "__main__":
    main()
