"""How the cost of a check grows with the number of parameters, from a hundred to ten million.

    python benchmarks/growth.py [FILE.svg]

Prints a table and draws evaluations against parameters: the bare loop of a full sweep, gradcheck
with autograd of the traced code, and gradcheck without. Each cell is a process of its own.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.peers_speed import cell  # noqa: E402 - run from a checkout
from benchmarks.speed_cases import CASES  # noqa: E402
from benchmarks.timing import table  # noqa: E402

CHECKERS = ("gradcheck", "gradcheck, no autograd")
COLOURS = {"full sweep": "#888888", "gradcheck": "#1f6f4a", "gradcheck, no autograd": "#b3541e"}
WIDTH, HEIGHT, LEFT, BOTTOM = 640, 400, 70, 50


def place(n: float, calls: float) -> tuple[float, float]:
    """Return where a point lies in the drawing: decades from 1e2 to 1e7, and from 1e1 to 1e8."""
    x = LEFT + (math.log10(n) - 2) / 5 * (WIDTH - LEFT - 160)
    y = HEIGHT - BOTTOM - (math.log10(calls) - 1) / 7 * (HEIGHT - BOTTOM - 20)
    return x, y


def draw(curves: dict[str, list[tuple[int, int]]]) -> str:
    """Return the plot as SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for decade in range(2, 8):
        x, y = place(10**decade, 10)
        parts.append(f'<text x="{x:.0f}" y="{y + 18:.0f}" text-anchor="middle">1e{decade}</text>')
    for decade in range(1, 9):
        x, y = place(100, 10**decade)
        right = place(1e7, 10)[0]
        parts.append(f'<path d="M{x:.0f} {y:.1f}H{right:.0f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{x - 8:.0f}" y="{y + 4:.0f}" text-anchor="end">1e{decade}</text>')
    for name, points in curves.items():
        at = [place(n, calls) for n, calls in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        colour = COLOURS[name]
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in at]
        x, y = at[-1]
        parts.append(f'<text x="{x + 8:.0f}" y="{y + 4:.0f}" fill="{colour}">{name}</text>')
    parts.append(f'<text x="{WIDTH / 2 - 60}" y="{HEIGHT - 8}" text-anchor="middle">P</text>')
    parts.append(f'<text x="{LEFT}" y="14">loss evaluations</text></svg>')
    return "\n".join(parts) + "\n"


def main(path: str | None) -> None:
    """Measure, print and draw."""
    curves: dict[str, list[tuple[int, int]]] = {"full sweep": [], **{c: [] for c in CHECKERS}}
    rows = []
    for decade in range(2, 8):
        name = f"sized_{10**decade}"
        size = CASES[name]().size
        row = [f"{size:,}"]
        curves["full sweep"].append((size, 2 * size))
        for checker in CHECKERS:
            found = cell(name, checker)
            if not found:
                row += ["too long"] * 4
                continue
            curves[checker].append((size, found["calls"]))
            verdicts = f"{found['right']} / {found.get('large', 'too long')}"
            row += [f"{found['calls']:,}", f"{found['seconds']:.2f} s", verdicts]
            row += [f"{found['megabytes']:.0f} MB"]
        rows.append(row)
    columns = ("calls", "time", "right / 1% off", "memory")
    head = ("P", *(f"{c}, {x}" for c in ("autograd", "none") for x in columns))
    print(table(head, rows))
    if path is not None:
        Path(path).write_text(draw({k: v for k, v in curves.items() if v}), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
