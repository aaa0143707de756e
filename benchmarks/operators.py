"""PyTorch's own operator database: our check beside ``torch.autograd.gradcheck``.

    python -m benchmarks.operators                  all samples of at most 200 entries
    python -m benchmarks.operators --samples 4      so many of each operator, drawn with --seed
    python -m benchmarks.operators --wrong          the same samples with one entry of the
                                                    backward pass wrong: ours must fail them
    python -m benchmarks.operators --only svd/66    one operator or sample, with our report

Both checkers see the same float64 (or ``--dtype complex128``) call with their default settings;
torch's is also told the difference between two backward passes that torch's own tests allow, and
runs in fast mode where an operator's smallest sample is larger. Processor time counts. The exit
status is 1 where torch passes a sample that we do not, or ours crashes, and no reason is listed
(``operator_reasons``); with ``--wrong``, where a wrong backward pass passes.
"""

from __future__ import annotations

import argparse
import collections
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.gradcheck import GradcheckError

import gradcheck
from benchmarks.operator_reasons import reason_for
from benchmarks.operator_samples import LARGEST, Sample, all_samples, wrong_versions
from benchmarks.timing import table

OURS = ("pass", "inconclusive", "fail", "error", "not applicable")
THEIRS = ("pass", "fail", "not applicable")


@dataclass(frozen=True)
class Outcome:
    """What both checkers said of one sample, and the processor seconds of each.

    ``theirs`` is one of ``THEIRS``, ``ours`` of ``OURS``: not applicable is what a checker
    declines with an explanation (a sparse parameter), or what torch's cannot evaluate.
    """

    name: str
    theirs: str
    ours: str
    their_seconds: float
    our_seconds: float
    detail: str = ""

    @property
    def operator(self) -> str:
        """The name without the number of the sample."""
        return self.name.rpartition("/")[0]

    @property
    def agree(self) -> bool:
        """Whether both pass it, or neither does."""
        return (self.theirs == "pass") == (self.ours == "pass")

    @property
    def reason(self) -> str | None:
        """Why the two differ, where that is known."""
        return reason_for(self.name)

    @property
    def unexplained(self) -> bool:
        """Whether torch passes what we do not, or ours crashes, for no listed reason."""
        worse = self.theirs == "pass" and self.ours != "pass"
        crash = self.ours == "error" and self.theirs != "fail"
        return (worse or crash) and self.reason is None


def compare(sample: Sample) -> Outcome:
    """Run both checkers on one sample."""
    theirs, their_seconds, _ = _timed(_theirs, sample)
    ours, our_seconds, detail = _timed(_ours, sample)
    return Outcome(sample.name, theirs, ours, their_seconds, our_seconds, detail)


def _timed(run: Callable[[Sample], tuple[str, str]], sample: Sample) -> tuple[str, float, str]:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        began = time.process_time()
        verdict, detail = run(sample)
        return verdict, time.process_time() - began, detail


def _theirs(sample: Sample) -> tuple[str, str]:
    try:
        torch.autograd.gradcheck(
            sample.call,
            tuple(sample.tensors),
            nondet_tol=sample.repeats,
            fast_mode=sample.size > LARGEST,
        )
    except GradcheckError as error:
        return "fail", str(error)
    except (RuntimeError, ValueError) as error:
        return "not applicable", str(error)
    return "pass", ""


def _ours(sample: Sample) -> tuple[str, str]:
    try:
        check = gradcheck.check(sample.function, sample.inputs, name=sample.name)
    except gradcheck.UsageError as error:
        return "not applicable", str(error)
    except Exception as error:  # a crash of ours is what is looked for
        return "error", f"{type(error).__name__}: {error}"
    causes = "; ".join(f"{one.cause}: {one.message}" for one in check.diagnoses)
    if any(one.cause == "empty_parameter" for one in check.diagnoses):
        return "not applicable", causes  # no parameter has an entry
    return str(check.verdict), causes


def outcomes(
    only: str = "",
    *,
    seed: int = 0,
    limit: int | None = None,
    dtype: torch.dtype = torch.float64,
    part: tuple[int, int] = (0, 1),
) -> Iterator[Outcome]:
    """Yield the outcome of each sample; ``part`` is ``(i, n)`` for every n-th operator from i."""
    chosen = all_samples(only, seed=seed, limit=limit, dtype=dtype, part=part)
    for _, samples in chosen:
        yield from map(compare, samples)


def wrong_outcomes(
    only: str = "", *, seed: int = 0, limit: int | None = 1, part: tuple[int, int] = (0, 1)
) -> Iterator[tuple[str, str]]:
    """Yield ``(name, our verdict)`` for samples whose backward pass is wrong in one entry.

    A sample that we do not pass as it is, or whose gradient is zero, has no wrong version.
    """
    for _, samples in all_samples(only, seed=seed, limit=limit, part=part):
        for sample in samples:
            if _timed(_ours, sample)[0] == "pass":
                for wrong in wrong_versions(sample, seed=seed):
                    yield wrong.name, _timed(_ours, wrong)[0]


def summary(found: Iterable[Outcome]) -> str:
    """Return the tables: verdicts of both, and where they differ."""
    found = list(found)
    count = collections.Counter((one.theirs, one.ours) for one in found)
    rows = []
    for theirs in THEIRS:
        cells = [count[theirs, ours] for ours in OURS]
        rows.append([theirs, f"{sum(cells):,}", *(f"{cell:,}" for cell in cells)])
    seconds = [sum(one.their_seconds for one in found), sum(one.our_seconds for one in found)]
    operators = {one.operator for one in found}
    apart = {one.operator for one in found if one.unexplained}
    agree = sum(one.agree for one in found)
    explained = sum(not one.agree and one.reason is not None for one in found)
    lines = [
        f"operators {len(operators):,}, samples {len(found):,}, agree {agree:,}, "
        f"explained {explained:,}; operators with an unexplained disagreement {len(apart):,}; "
        f"seconds: torch {seconds[0]:.0f}, ours {seconds[1]:.0f}",
        "",
        table(["torch", "samples", *(f"ours: {one}" for one in OURS)], rows),
    ]
    return "\n".join([*lines, *_differences(found)])


def _differences(found: list[Outcome]) -> list[str]:
    """Return a table of operators on which the two differ, with the reason."""
    groups: dict[tuple[str, str, str, str], list[Outcome]] = collections.defaultdict(list)
    for one in found:
        if not one.agree or one.unexplained:
            key = (one.operator, one.theirs, one.ours, one.reason or f"UNEXPLAINED {one.detail}")
            groups[key].append(one)
    if not groups:
        return []
    rows = [
        [operator, str(len(ones)), theirs, ours, reason.replace("\n", " ")]
        for (operator, theirs, ours, reason), ones in sorted(groups.items())
    ]
    return ["", table(["operator", "samples", "torch", "ours", "reason"], rows)]


def _print_report(only: str, options: dict[str, Any]) -> None:
    for _, samples in all_samples(only, **options):
        for sample in samples:
            print(f"{sample.name}: {[tuple(one.shape) for one in sample.tensors]}")
            print(gradcheck.check(sample.function, sample.inputs, name=sample.name))


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, help="so many of each operator (default: all)")
    parser.add_argument("--only", default="", help="an operator, or one sample: name/number")
    parser.add_argument("--dtype", default="float64", choices=("float64", "complex128"))
    parser.add_argument("--wrong", action="store_true", help="wrong backward passes instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.wrong:
        limit = options.samples or 1
        found = list(wrong_outcomes(options.only, seed=options.seed, limit=limit))
        count = collections.Counter(verdict for _, verdict in found)
        print(table(list(OURS), [[f"{count[verdict]:,}" for verdict in OURS]]))
        for name, verdict in found:
            if verdict != "fail":
                print(f"  {name}: {verdict}")
        return int(any(verdict == "pass" for _, verdict in found))
    chosen: dict[str, Any] = {
        "seed": options.seed,
        "limit": options.samples,
        "dtype": getattr(torch, options.dtype),
    }
    if "/" in options.only:
        _print_report(options.only, chosen)
    rows = list(outcomes(options.only, **chosen))
    print(summary(rows))
    return int(any(one.unexplained for one in rows))


if __name__ == "__main__":
    sys.exit(main())
