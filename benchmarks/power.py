"""How many wrong gradients checkers catch, and how many right ones they reject.

    python -m benchmarks.power                      every installed checker on the whole collection
    python -m benchmarks.power --peer gradcheck --failures
    python -m benchmarks.power --only 'lstm/*' --categories
    python -m benchmarks.power --verify             hold every label against its truth, no checker

The table's first rows exclude two kinds of cases, which get columns of their own: losses that stay
random under any global seed, and losses too coarse to tell, where only ``inconclusive`` is honest.
``evals/P`` is the mean number of loss evaluations per parameter over the right smooth cases of 200
parameters and more that pass; ``resolution`` the median over the right gradients that pass.
"""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import functools
import json
import multiprocessing
import signal
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import collection
from benchmarks.cases.changes import MORE_DRAWS, moved
from benchmarks.cases.contract import PowerCase, mislabelled, parameters
from benchmarks.peers import PEERS, Outcome, available

SECONDS = 60
"""Limit on one checker's time for one case."""
LARGE = 200
"""Parameters from which the cost per parameter is counted."""


@dataclass(frozen=True)
class Row:
    """One checker on one case."""

    peer: str
    name: str
    category: str
    right: bool
    kind: str
    counted: bool
    size: int
    verdict: str
    evaluations: int
    seconds: float
    resolution: float
    detail: str


@functools.cache
def _cases(_peer: str, draws: int) -> dict[str, PowerCase]:
    """A collection for each checker: some targets keep state between calls."""
    cases = collection()
    return {case.name: case for case in [*cases, *elsewhere(cases, draws)]}


def _out_of_time(_signal: int, _frame: Any) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def run_one(peer: str, name: str, draws: int = 0) -> Row:
    """Run one checker on one case; what it raises is its verdict ``error``."""
    case = _cases(peer, draws)[name]
    signal.signal(signal.SIGALRM, _out_of_time)
    signal.alarm(SECONDS)
    began = time.perf_counter()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            outcome = PEERS[peer][1](case)
    except Exception as error:
        text = str(error).strip().splitlines()
        outcome = Outcome("error", 0, f"{type(error).__name__}: {text[0] if text else ''}"[:200])
    finally:
        signal.alarm(0)
    seconds = time.perf_counter() - began
    size = sum(int(np.prod(np.shape(p))) for p in parameters(case.inputs(), case.wrt).values())
    kind = "private" if case.stochastic else "coarse" if case.beyond_arithmetic else "plain"
    return Row(
        peer=peer,
        name=name,
        category=case.category,
        right=case.right,
        kind=kind,
        counted=case.right and case.smooth and size >= LARGE,
        size=size,
        verdict=outcome.verdict,
        evaluations=outcome.evaluations,
        seconds=seconds,
        resolution=outcome.worst_resolution,
        detail=outcome.detail,
    )


def run(peers: Sequence[str], names: Sequence[str], jobs: int, draws: int) -> Iterator[Row]:
    """Yield the rows of every checker on every case, checker by checker."""
    tasks = [(peer, name, draws) for peer in peers for name in names]
    if jobs == 1:
        yield from (run_one(*task) for task in tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        yield from pool.map(run_one, *zip(*tasks, strict=True), chunksize=16)


def _count(rows: Iterable[Row], right: bool, *verdicts: str) -> int:
    return sum(row.right is right and row.verdict in verdicts for row in rows)


HEADER = (
    f"{'checker':<20}{'wrong':>7}{'caught':>8}{'passed':>8}{'inconcl':>8}{'error':>7}"
    f"{'right':>8}{'passed':>8}{'rejected':>9}{'inconcl':>8}{'error':>7}{'evals/P':>9}{'resolution':>12}"
)


def _line(label: str, rows: Sequence[Row]) -> str:
    cost = [row.evaluations / row.size for row in rows if row.counted and row.verdict == "pass"]
    seen = [row.resolution for row in rows if row.right and row.verdict == "pass"]
    seen = [value for value in seen if value == value] or [float("nan")]
    wrong, right = (sum(row.right is side for row in rows) for side in (False, True))
    return (
        f"{label:<20}{wrong:>7}{_count(rows, False, 'fail'):>8}{_count(rows, False, 'pass'):>8}"
        f"{_count(rows, False, 'inconclusive'):>8}{_count(rows, False, 'error'):>7}"
        f"{right:>8}{_count(rows, True, 'pass'):>8}{_count(rows, True, 'fail'):>9}"
        f"{_count(rows, True, 'inconclusive'):>8}{_count(rows, True, 'error'):>7}"
        f"{np.mean(cost) if cost else float('nan'):>9.2f}{np.median(seen):>12.1e}"
    )


def table(rows: Sequence[Row], peers: Sequence[str], *, categories: bool) -> str:
    """Return the table: a line for each checker, and on demand one for each category."""
    lines = []
    titles = {
        "plain": "All cases but the following two kinds",
        "private": "Losses that stay random under any seed",
        "coarse": "Losses too coarse to tell (only inconclusive is honest)",
    }
    for kind, title in titles.items():
        chosen = [row for row in rows if row.kind == kind]
        if not chosen:
            continue
        lines += [title, HEADER]
        lines += [_line(peer, [row for row in chosen if row.peer == peer]) for peer in peers]
        lines.append("")
    if categories:
        for peer in peers:
            lines += [f"{peer}, by category", HEADER]
            mine = [row for row in rows if row.peer == peer]
            for category in sorted({row.category for row in mine}):
                lines.append(_line(category, [row for row in mine if row.category == category]))
            lines.append("")
    return "\n".join(lines)


def failures(rows: Iterable[Row]) -> Iterator[str]:
    """Yield a line for each wrong gradient not caught and each right one not passed."""
    for row in rows:
        if row.verdict != ("pass" if row.right else "fail"):
            label = "right" if row.right else "WRONG"
            yield (
                f"{row.peer}: {label} -> {row.verdict:<12} {row.name}  "
                f"[{row.category}{'' if row.kind == 'plain' else ', ' + row.kind}] "
                f"P={row.size} evaluations={row.evaluations} {row.seconds:.1f}s {row.detail}"
            )


def elsewhere(cases: Iterable[PowerCase], draws: int) -> Iterator[PowerCase]:
    """Yield the right cases that bear moving, at ``draws`` further points each."""
    for case in cases:
        if not case.right or case.torch_target or "_draw_" in case.name:
            continue
        if case.category in MORE_DRAWS:
            for seed in range(100, 100 + draws):
                yield dataclasses.replace(
                    case, name=f"{case.name}@{seed}", inputs=moved(case.inputs, case.wrt, seed)
                )


def verify(cases: Iterable[PowerCase]) -> list[str]:
    """Return what is wrong with the labels of ``cases``."""
    return [problem for case in cases if (problem := mislabelled(case))]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="*", help="cases whose name matches this pattern")
    parser.add_argument("--category", help="cases of this category")
    parser.add_argument("--peer", action="append", choices=list(PEERS), help="checker (repeatable)")
    parser.add_argument("--failures", action="store_true", help="list misses and false alarms")
    parser.add_argument("--categories", action="store_true", help="also a table by category")
    parser.add_argument("--draws", type=int, default=0, help="right cases at N more points each")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--json", help="write every row to this file")
    parser.add_argument("--verify", action="store_true", help="hold the labels against the truth")
    return parser.parse_args()


def main() -> int:
    """Run the study as the command line says; status 1 if a label does not hold."""
    options = _arguments()
    cases = [
        case
        for case in _cases("", options.draws).values()
        if fnmatch.fnmatch(case.name, options.only) and options.category in (None, case.category)
    ]
    if not cases:
        sys.stderr.write("no case matches\n")
        return 2
    if options.verify:
        problems = verify(cases)
        print("\n".join([*problems, f"{len(cases)} cases, {len(problems)} mislabelled"]))
        return int(bool(problems))
    peers = options.peer or available()
    began = time.perf_counter()
    rows = list(run(peers, [case.name for case in cases], options.jobs, options.draws))
    if options.json:
        text = json.dumps([asdict(row) for row in rows], indent=1)
        Path(options.json).write_text(text, encoding="utf-8")
    if options.failures:
        print("\n".join(failures(rows)), end="\n\n")
    print(table(rows, peers, categories=options.categories))
    print(f"{len(cases)} cases, {time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
