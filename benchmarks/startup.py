"""Start-up time, as ratios to ``python -c "import numpy"`` on the same machine.

    python benchmarks/startup.py

Prints a table; exits with status 1 if a ratio exceeds its bound. The commands are run in turn, and
the ratio is taken of the fastest runs: what else the machine does only ever slows a run down.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

TARGET = """
import numpy as np


def loss(w):
    return float(np.sum(w * w)), {"w": 2 * w}


gradcheck_inputs = {"w": np.array([1.0, 2.0, 3.0])}
"""

BASE = ("-c", "import numpy")
COMMANDS = {
    "--help": (("-m", "gradcheck", "--help"), 1.5),
    "m:f --no-autograd": (("-m", "gradcheck", "m:loss", "--no-autograd"), 2.5),
}


def measure(rounds: int = 15) -> dict[str, float]:
    """Return the ratio of each command's time to that of importing NumPy."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "m.py").write_text(TARGET)
        commands = {"numpy": BASE, **{name: words for name, (words, _) in COMMANDS.items()}}
        best = dict.fromkeys(commands, float("inf"))
        for _ in range(rounds):
            for name, words in commands.items():
                best[name] = min(best[name], seconds(words, folder))
    return {name: best[name] / best["numpy"] for name in COMMANDS}


def seconds(words: tuple[str, ...], folder: str) -> float:
    """Return how long ``python`` with these arguments takes."""
    # As users have it: compiled once, whatever the environment here says.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": f"{folder}/cache"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - began


def main() -> int:
    """Measure, print, compare with the bounds."""
    ratios = measure()
    print(f"{'command':<22} {'ratio':>6} {'bound':>6}   (1 = python -c 'import numpy')")
    for name, (_, bound) in COMMANDS.items():
        print(f"{name:<22} {ratios[name]:>6.2f} {bound:>6.2f}")
    return int(any(ratios[name] > bound for name, (_, bound) in COMMANDS.items()))


if __name__ == "__main__":
    sys.exit(main())
