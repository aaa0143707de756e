"""Checks the hand-written derivatives that installed libraries ship.

    python -m benchmarks.library_gradients [--only PATTERN] [--wrong]

One line a case: the verdict, the largest relative error, the resolution, the oracles that ran,
and the verdict once one entry of the gradient is off by one part in a thousand. A case whose
library is wrong says so, and is checked again with the wrong side written anew.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

import gradcheck
from benchmarks.library_cases import (
    kernels,
    learning,
    likelihoods,
    scientific,
    special_functions,
    statistical,
)
from benchmarks.library_cases.contract import LibraryCase, Objective

CASES: tuple[LibraryCase, ...] = (
    *special_functions.CASES,
    *scientific.CASES,
    *learning.CASES,
    *kernels.CASES,
    *statistical.CASES,
    *likelihoods.CASES,
)
FINE = 1e-5
"""Resolution that right gradients are judged at, or a finer one."""
SPOILED_BY = 1e-3
"""Relative error put into one entry of a right gradient."""
WRITTEN_FOR = {"scipy": (1, 17), "sklearn": (1, 9), "statsmodels": (0, 15), "numpy": (1, 26)}
"""The versions whose functions these are: many are private, and older ones take other arguments."""
COUNTS_FROM = 1e-2
"""An entry may be spoiled from this fraction of the rms gradient."""


class AbsentError(Exception):
    """A library, or the part of it that a case needs, is not installed."""


@dataclass(frozen=True)
class Outcome:
    """What came out for one case; ``spoiled`` and ``repaired`` are None where they do not apply."""

    case: LibraryCase
    check: gradcheck.Check
    spoiled: gradcheck.Check | None
    repaired: gradcheck.Check | None

    @property
    def as_expected(self) -> bool:
        """Whether right gradients pass, wrong ones do not, and each changed one is told apart.

        A gradient that is a difference itself may pass, at a resolution that says how it jitters.
        """
        passes = gradcheck.Verdict.PASS
        if self.case.mistake:
            assert self.repaired is not None
            coarse = self.check.parameter_results[0].resolution > FINE
            return (self.check.verdict != passes or coarse) and self.repaired.verdict == passes
        assert self.spoiled is not None
        return self.check.verdict == passes and self.spoiled.verdict == gradcheck.Verdict.FAIL


def made(case: LibraryCase) -> Objective:
    """Return a case's objective.

    Raises:
        AbsentError: something that it imports is not there, or is of an older version.
    """
    try:
        module = import_module(case.library)
        if _version(module) < WRITTEN_FOR[case.library]:
            raise AbsentError(f"{case.library} {module.__version__} is older than this case")
        with warnings.catch_warnings():
            # links outside a family's domain are meant, and said by a class of statsmodels' own
            warnings.simplefilter("ignore")
            return case.make()
    except ImportError as error:
        raise AbsentError(str(error)) from error


def _version(module: Any) -> tuple[int, ...]:
    return tuple(int(part) for part in str(module.__version__).split(".")[:2])


def checked(objective: Objective, **options: Any) -> gradcheck.Check:
    """Check the gradient of an objective as its library gives it."""
    return gradcheck.check(
        objective.loss, (objective.point.copy(),), 0, grad=objective.gradient, **options
    )


def spoiled(objective: Objective, name: str) -> Objective:
    """Return the objective with one entry of its gradient off by ``SPOILED_BY``.

    Which entry is drawn by the name, among those that are not close to 0.
    """
    gradient = np.asarray(objective.gradient(objective.point.copy()), dtype=float)
    size = np.sqrt(np.mean(gradient**2))
    (candidates,) = np.nonzero(np.abs(gradient.ravel()) >= COUNTS_FROM * size)
    place = candidates[zlib.crc32(name.encode()) % candidates.size]
    factor = np.ones(gradient.size)
    factor[place] += SPOILED_BY

    def wrong(x: np.ndarray) -> np.ndarray:
        return np.asarray(objective.gradient(x)) * factor.reshape(gradient.shape)

    return Objective(objective.loss, wrong, objective.point)


def outcome(case: LibraryCase, **options: Any) -> Outcome:
    """Check one case, and what belongs to it."""
    objective = made(case)
    check = checked(objective, **options)
    if case.mistake:
        assert case.repaired is not None, case.name
        return Outcome(case, check, None, checked(case.repaired(), **options))
    return Outcome(case, check, checked(spoiled(objective, case.name), **options), None)


def _line(found: Outcome) -> str:
    (result,) = found.check.parameter_results
    other = found.spoiled or found.repaired
    assert other is not None
    label = "repaired" if found.repaired else "spoiled"
    return (
        f"{found.case.name:55s} {found.check.verdict:12s} {result.max_relative_error:8.1e}  "
        f"{result.resolution:8.1e}  {' '.join(found.check.oracles):17s} "
        f"{label}: {other.verdict}{'' if found.as_expected else '   NOT AS EXPECTED'}"
    )


def _details(found: Outcome) -> Iterator[str]:
    if found.case.mistake:
        yield f"    the library is wrong: {found.case.mistake}"
    if found.check.verdict != gradcheck.Verdict.PASS:
        yield from (f"    {diagnosis.message}" for diagnosis in found.check.diagnoses)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return 1 if something did not come out as expected."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="*", metavar="PATTERN", help="cases of such names alone")
    parser.add_argument("--wrong", action="store_true", help="only those whose library is wrong")
    chosen = parser.parse_args(arguments)
    cases = [
        case
        for case in CASES
        if fnmatch.fnmatch(case.name, chosen.only) and (case.mistake or not chosen.wrong)
    ]
    counts = {"as expected": 0, "not as expected": 0, "library wrong": 0, "absent": 0}
    print(f"{'case':55s} {'verdict':12s} {'error':8s}  {'resolution':10s}{'oracles':17s}")
    for case in cases:
        try:
            found = outcome(case)
        except AbsentError as missing:
            counts["absent"] += 1
            print(f"{case.name:55s} absent: {missing}")
            continue
        counts["as expected" if found.as_expected else "not as expected"] += 1
        counts["library wrong"] += bool(case.mistake)
        print("\n".join([_line(found), *_details(found)]), flush=True)
    print(", ".join(f"{number} {what}" for what, number in counts.items()))
    return int(counts["not as expected"] > 0)


if __name__ == "__main__":
    sys.exit(main())
