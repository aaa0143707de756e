"""What becomes of losses and mistakes that were written from the documentation alone.

    python -m benchmarks.outside
    python -m benchmarks.outside --match 't_*'      torch targets only
    python -m benchmarks.outside --seed 1           other inputs
    python -m benchmarks.outside --verify           hold every label against the truth, no checker

Prints each case that came out otherwise than it deserves, and a table. The exit status is 1 if a
right gradient fails, a wrong one passes, a check raises or runs out of time, or a label does not
hold. The labels hold at seed 0; at another seed a few do not, which ``--verify`` tells.
"""

from __future__ import annotations

import argparse
import fnmatch
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gradcheck
from benchmarks.outside_cases import LEFT_OUT, collection, everything
from benchmarks.outside_cases.loading import imported, separate_gradient, target
from benchmarks.outside_cases.models import Case
from benchmarks.outside_cases.truth import mislabelled

SECONDS = 120.0
"""Limit on the processor time of one check."""


class TimeLimitError(BaseException):
    """The check took longer than it may; no ``Exception``, so that no target's error hides it."""


@dataclass(frozen=True)
class Row:
    """What came of one case."""

    name: str
    collection: str
    right: bool
    verdict: str
    """That of the check; ``error`` if it raised, ``time`` if it took too long."""
    seconds: float
    """Of processor time."""
    detail: str = ""

    @property
    def deserved(self) -> str:
        """The verdict that the gradient deserves."""
        return "pass" if self.right else "fail"

    @property
    def bad(self) -> bool:
        """Whether the case is misjudged; one that is left inconclusive is not."""
        return self.verdict not in (self.deserved, "inconclusive")


def _out_of_time(_signal: int, _frame: Any) -> None:
    raise TimeLimitError


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise ``TimeLimitError`` in the block after so many seconds of processor time."""
    before = signal.signal(signal.SIGPROF, _out_of_time)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def run_one(case: Case, seed: int = 0) -> Row:
    """Check one case without any option; what the check raises is kept in the row."""
    with imported(case.name, case.text) as module, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inputs = module.make(seed)
        detail = ""
        began = time.process_time()
        try:
            with _limited(SECONDS):
                verdict = gradcheck.check(
                    target(module),
                    inputs,
                    grad=separate_gradient(module),
                    wrt=getattr(module, "WRT", None),
                ).verdict
        except TimeLimitError:
            verdict = "time"
        except Exception as error:
            verdict, detail = "error", f"{type(error).__name__}: {error}"
        seconds = time.process_time() - began
    return Row(case.name, case.collection, case.right, verdict, seconds, detail)


HEADER = (
    f"{'set':<8}{'right':>7}{'pass':>6}{'fail':>6}{'inconclusive':>14}{'neither':>9}"
    f"{'wrong':>8}{'fail':>6}{'pass':>6}{'inconclusive':>14}{'neither':>9}{'seconds':>9}"
)


def _line(label: str, rows: Sequence[Row]) -> str:
    counts = Counter((row.right, row.verdict) for row in rows)
    line = f"{label:<8}"
    for right, verdicts in ((True, ("pass", "fail")), (False, ("fail", "pass"))):
        line += f"{sum(row.right is right for row in rows):>{7 if right else 8}}"
        line += "".join(f"{counts[right, verdict]:>6}" for verdict in verdicts)
        line += f"{counts[right, 'inconclusive']:>14}"
        line += f"{counts[right, 'error'] + counts[right, 'time']:>9}"
    return line + f"{sum(row.seconds for row in rows):>9.0f}"


def table(rows: Sequence[Row]) -> str:
    """Return the table: a line for each set and one for both."""
    names = sorted({row.collection for row in rows})
    lines = [_line(name, [row for row in rows if row.collection == name]) for name in names]
    return "\n".join([HEADER, *lines, *([_line("both", rows)] if len(names) > 1 else [])])


def surprises(rows: Iterable[Row]) -> Iterator[str]:
    """Yield a line for each case that came out otherwise than it deserves."""
    for row in rows:
        if row.verdict != row.deserved:
            label = "right" if row.right else "WRONG"
            line = f"{label} -> {row.verdict:<13}{row.name}  {row.seconds:.1f} s  {row.detail}"
            yield line.rstrip()


def verify(cases: Iterable[Case], seed: int) -> Iterator[str]:
    """Yield what is wrong with the labels, and with what is left out."""
    for case in cases:
        problem = mislabelled(case, seed)
        if case.name in LEFT_OUT and not problem:
            yield f"{case.name}: left out, though its label holds"
        if case.name not in LEFT_OUT and problem:
            label = "right" if case.right else "wrong"
            yield f"{case.name}: called {label}, {problem}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--match", default="*", help="cases whose name matches this pattern")
    parser.add_argument("--seed", type=int, default=0, help="of the inputs (default: 0)")
    parser.add_argument("--verify", action="store_true", help="hold the labels against the truth")
    return parser.parse_args()


def main() -> int:
    """Run the cases as the command line says."""
    options = _arguments()
    known = everything() if options.verify else collection()
    cases = [case for case in known if fnmatch.fnmatch(case.name, options.match)]
    if not cases:
        sys.stderr.write("no case matches\n")
        return 2
    if options.verify:
        problems = 0
        for line in verify(cases, options.seed):
            print(line, flush=True)
            problems += 1
        print(f"{len(cases)} cases, {problems} problems")
        return int(problems > 0)
    rows = [run_one(case, options.seed) for case in cases]
    print("\n".join([*surprises(rows), "", table(rows)]))
    return int(any(row.bad for row in rows))


if __name__ == "__main__":
    sys.exit(main())
