"""Who checks the checker: change the checker in one place, and see whether a test notices.

    make coverage                                       # first: which test runs which line
    python -m benchmarks.checker_mutation --sample 300 --seed 0
    python -m benchmarks.checker_mutation --areas oracles noise   # every change there: hours
    python -m benchmarks.checker_mutation --modules verdict/compare noise    # in these modules

Works in a clone of the repository's last commit, with the data of ``make coverage``. Each mutant
(see ``checker_mutants``) meets the tests that run the changed line; a forked process holds NumPy,
SciPy and PyTorch already. A mutant is killed by a test that fails, by a module that cannot be
imported, or by running four times as long as the tests should. Whatever the first ``--seconds`` of
each of at most ``--files`` files of tests let pass survives: more tests might have noticed, so the
share killed is a lower bound; ``--again`` gives survivors a second hearing. Tests that fail also on
the unchanged checker are found at the end, and what they killed counts as survived. Needs a system
that forks, and the ``mutation`` extra.
"""

from __future__ import annotations

import argparse
import ast
import collections
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.checker_mutants import AREAS, Mutant, modules, sample
from benchmarks.coverage_contexts import DURATIONS
from benchmarks.forked_tests import preload, run_tests

ROOT = Path(__file__).resolve().parent.parent
FIRST = 1
"""Test files of the first round: most mutants die there."""
STRUCTURE = "tests/test_architecture.py::test_what_passes_between_stages_cannot_be_changed"
"""Reads the modules instead of running their lines, so that no context tells of it."""


@dataclass(frozen=True)
class Result:
    """What became of a mutant: ``killer`` is a test, a reason, or empty where it survived."""

    area: str
    path: str
    line: int
    operator: str
    occurrence: int
    before: str
    after: str
    outcome: str
    killer: str
    tests: int


class Contexts:
    """Which tests run which lines, from the data of ``make coverage``."""

    def __init__(self, data_file: Path, root: Path) -> None:
        import coverage

        durations: dict[str, float] = json.loads((data_file.parent / DURATIONS).read_text())
        self.durations = {test: durations[test] for test in collected(root) if test in durations}
        self.lines: dict[str, Mapping[int, list[str]]] = {}
        changed = [path for _, path in modules(root, tuple(AREAS))]
        data = coverage.CoverageData(str(data_file))
        data.read()
        for measured in data.measured_files():
            name = next((p for p in changed if Path(measured).as_posix().endswith(f"/{p}")), None)
            if name is not None:
                self.lines[name] = data.contexts_by_lineno(measured)
        self.breadth: collections.Counter[str] = collections.Counter()
        """Of how many lines of the areas each test runs."""
        for lines in self.lines.values():
            for tests in lines.values():
                self.breadth.update(tests)

    def tests(self, mutant: Mutant, seconds: float, files: int) -> list[str]:
        """Return the tests to run, of the files that promise most; to import a file costs time.

        In each file those first that run little else, parameters of one test in turn, until they
        took ``seconds`` when they were measured.

        A default of a function concerns what runs the function; another line that an import runs
        (a constant, a decorator) whatever runs anything else of the module.
        """
        by_line = self.lines.get(mutant.site.path, {})
        first, last = concerned(mutant)
        chosen = {test for line in range(first, last + 1) for test in by_line.get(line, ())}
        if "" in chosen or not chosen:
            chosen |= {test for tests in by_line.values() for test in tests}
        by_file: dict[str, list[str]] = {}
        for test in sorted(chosen, key=lambda test: (self._cost(test), test)):
            if test in self.durations:
                by_file.setdefault(test.partition("::")[0], []).append(test)
        kept = [STRUCTURE] if "dataclass" in mutant.before else []
        for tests in sorted(by_file.values(), key=self._promise, reverse=True)[:files]:
            turns: collections.Counter[str] = collections.Counter()
            keyed: list[tuple[int, int, str]] = []
            for test in tests:
                function = test.partition("[")[0]
                keyed.append((turns[function], len(keyed), test))
                turns[function] += 1
            left = seconds
            for _, _, test in sorted(keyed):
                if left <= 0:
                    break
                left -= self.durations[test]
                kept.append(test)
        return kept

    def _cost(self, test: str) -> float:
        """Say how little a test promises: it takes long, or runs so much that it is of no part."""
        return (self.durations.get(test, 0.0) + 0.01) * (self.breadth[test] + 10)

    def _promise(self, tests: list[str]) -> float:
        """Say how much a file's tests of a line promise: many functions that cost little."""
        best: dict[str, float] = {}
        for test in tests:
            function = test.partition("[")[0]
            best[function] = max(best.get(function, 0.0), 1.0 / self._cost(test))
        return sum(best.values())


def concerned(mutant: Mutant) -> tuple[int, int]:
    """Return the lines of the change; for one in a function's head, those of the function."""
    first, last = mutant.site.lines
    for node in ast.walk(ast.parse(mutant.text)):
        if isinstance(node, ast.FunctionDef) and node.lineno <= first < node.body[0].lineno:
            return node.body[0].lineno, node.end_lineno or last
    return first, last


def collected(copy: Path) -> list[str]:
    """Return the names of the tests that the last commit has."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-o", "addopts="]
    listed = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if "::" in line]


def judge(copy: Path, mutant: Mutant, contexts: Contexts, seconds: float, files: int) -> Result:
    """Write the mutant into the copy, run its tests, and put the module back."""
    path = copy / mutant.site.path
    original = path.read_bytes()
    tests = contexts.tests(mutant, seconds, files)
    outcome, killer = "survived" if tests else "not run", ""
    path.write_text(mutant.text, "utf-8")
    try:
        files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
        first = [test for test in tests if test.partition("::")[0] in files[:FIRST]]
        for part in (first, [test for test in tests if test not in first]):
            if part and not killer:
                limit = 20 + 4 * sum(contexts.durations.get(test, 1.0) for test in part)
                outcome, killer = run_tests(copy, part, limit=limit)
    finally:
        path.write_bytes(original)
    site, change = mutant.site, mutant.change
    place = (site.area, site.path, site.lines[0], change.operator, change.occurrence)
    return Result(*place, mutant.before, mutant.after, outcome, killer, len(tests))


def without_false_kills(copy: Path, results: list[Result]) -> list[Result]:
    """Run each killer on the unchanged checker; what fails there has killed nothing."""
    killers = {result.killer for result in results if result.outcome == "killed"}
    false: set[str] = set()
    while remaining := sorted(killers - false):
        outcome, killer = run_tests(copy, remaining, limit=3600)
        if outcome != "killed":
            break
        false.add(killer)
    return [
        Result(**{**asdict(r), "outcome": "survived", "killer": f"fails anyway: {r.killer}"})
        if r.killer in false
        else r
        for r in results
    ]


def table(results: Iterable[Result]) -> Iterator[str]:
    """Yield the lines of a table: by area, how many were made and killed."""
    outcomes: dict[str, collections.Counter[str]] = {}
    for result in results:
        for name in (result.area, "all"):
            outcomes.setdefault(name, collections.Counter())[result.outcome] += 1
    yield "| area | mutants | killed | by running too long | survived | run by no test | share |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for name in (*(area for area in AREAS if area in outcomes), "all"):
        of = outcomes.get(name, collections.Counter())
        dead, total = of["killed"] + of["broken"] + of["too long"], sum(of.values())
        yield (
            f"| {name} | {total} | {dead} | {of['too long']} | {of['survived']} "
            f"| {of['not run']} | {dead / max(total, 1):.1%} |"
        )


def clone(folder: Path) -> Path:
    """Clone the last commit of this repository into a folder."""
    copy = folder / "copy"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(copy)], check=True)
    return copy


def main() -> None:
    """Make the mutants, run their tests, and print the survivors and a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--areas", nargs="+", choices=list(AREAS), default=list(AREAS))
    parser.add_argument("--modules", nargs="+", help="of these alone, as verdict/compare or noise")
    parser.add_argument("--sample", type=int, help="that many mutants drawn; otherwise all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--skip", type=int, default=0, help="leave out the first so many drawn")
    parser.add_argument("--files", type=int, default=6, help="most files of tests for a mutant")
    parser.add_argument("--seconds", type=float, default=4, help="of tests of each file")
    parser.add_argument("--data", type=Path, default=ROOT / ".coverage", help="coverage's data")
    parser.add_argument("--results", type=Path, help="a file of JSON lines to write as it goes")
    parser.add_argument("--again", type=Path, help="run the survivors of an earlier --results")
    arguments = parser.parse_args()

    preload()
    with tempfile.TemporaryDirectory() as folder:
        copy = clone(Path(folder))
        contexts = Contexts(arguments.data, copy)
        drawn = sample(
            copy,
            areas=tuple(arguments.areas),
            names=None if arguments.modules is None else tuple(arguments.modules),
            count=arguments.sample,
            seed=arguments.seed,
        )
        if arguments.again is not None:
            drawn = survivors_of(arguments.again, drawn)
        results: list[Result] = []
        for mutant in itertools.islice(drawn, arguments.skip, None):
            results.append(judge(copy, mutant, contexts, arguments.seconds, arguments.files))
            line = json.dumps(asdict(results[-1]))
            if arguments.results is not None:
                with arguments.results.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
        results = without_false_kills(copy, results)
    for result in results:
        if result.outcome in ("survived", "not run"):
            print(f"{result.path}:{result.line} {result.operator} ({result.outcome})")
            print(f"    {result.before}\n    {result.after}")
    print("\n".join(table(results)))


def survivors_of(earlier: Path, drawn: Iterable[Mutant]) -> Iterator[Mutant]:
    """Yield of the same draw those mutants that an earlier run could not kill."""
    lines = [json.loads(line) for line in earlier.read_text("utf-8").splitlines()]
    alive = {
        (r["path"], r["before"], r["after"])
        for r in lines
        if r["outcome"] in ("survived", "not run")
    }
    for mutant in drawn:
        if (mutant.site.path, mutant.before, mutant.after) in alive:
            yield mutant


if __name__ == "__main__":
    main()
