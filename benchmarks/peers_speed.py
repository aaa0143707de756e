"""gradcheck against the checkers that people use instead: time, evaluations, memory, what is found.

    python benchmarks/peers_speed.py [CASE ...]

Each cell is a process of its own, ended after a minute (``SPEED_LIMIT`` seconds, where that is set
in the environment); what takes longer is shown as that. All of it has 48 cells, of which fifteen to
twenty reach the limit: it takes about half an hour, and never more than 48 minutes.
Times are processor times of the checker on the right gradient; ratios are to gradcheck as it comes.
Peers that are not installed are left out (``pip install gradcheck[bench]``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.speed_cases import CASES  # noqa: E402 - run from a checkout
from benchmarks.speed_cell import CHECKERS  # noqa: E402
from benchmarks.speed_torch import TORCH_CASES, TORCH_CHECKERS  # noqa: E402
from benchmarks.timing import table  # noqa: E402

LIMIT = int(os.environ.get("SPEED_LIMIT", "60"))
ROWS = (
    *("two_layer_net", "sigmoid_net", "random_relu_regression", "torch_mlp", "torch_mlp_large"),
    "ten_million",
)
HEAD = (
    *("checker", "time", "ratio", "calls", "memory"),
    *("right", "largest entry 1% off", "small entry 1e-4 off"),
)


def cell(case: str, checker: str) -> dict[str, Any] | None:
    """Run one checker on one loss; None where it cannot run, no seconds where it takes too long."""
    command = [sys.executable, str(ROOT / "benchmarks" / "speed_cell.py"), case, checker]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
        output = done.stdout
    except subprocess.TimeoutExpired as late:
        output = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
        return json.loads(output.splitlines()[-1]) if output else {}
    lines = output.splitlines()
    if not lines:
        print(f"{checker} on {case}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def main(cases: list[str]) -> None:
    """Measure and print."""
    for case in cases:
        torch_case = case in TORCH_CASES
        size = TORCH_CASES[case]().size if torch_case else CASES[case]().size
        rows, ours = [], None
        for checker in TORCH_CHECKERS if torch_case else CHECKERS:
            found = cell(case, checker)
            if found is None:
                continue
            if not found:
                rows.append([checker, f"> {LIMIT} s", *[""] * (len(HEAD) - 2)])
                continue
            ours = found["seconds"] if checker == "gradcheck" else ours
            rows.append(
                [
                    checker,
                    f"{found['seconds']:.2f} s",
                    "" if ours is None else f"{found['seconds'] / ours:.2f}",
                    f"{found['calls']:,}",
                    f"{found['megabytes']:.0f} MB",
                    found["right"],
                    found.get("large", f"> {LIMIT} s"),
                    found.get("small", f"> {LIMIT} s"),
                ]
            )
        print(f"\n### {case}, P = {size:,}\n")
        print(table(HEAD, rows), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(ROWS))
