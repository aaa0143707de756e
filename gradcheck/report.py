"""What a check found, as plain data: no arrays, no clock, no files.

Everything here is made of ``str``, ``int``, ``float``, ``bool``, ``None``, tuples and dicts of
these, so that a report survives a round trip through JSON unchanged. Non-finite floats are
written as the strings ``"nan"``, ``"inf"`` and ``"-inf"``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SCHEMA = "gradcheck.report/1"

JsonValue = Any
"""A value that ``json.dumps(allow_nan=False)`` accepts."""


def number(value: float) -> JsonValue:
    """Return ``value`` as JSON: a number, or ``"nan"``, ``"inf"``, ``"-inf"``."""
    value = float(value)
    if math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


class Verdict(StrEnum):
    """What is known of an entry, a parameter or a check; the order is from best to worst."""

    PASS = "pass"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"
    ERROR = "error"

    @property
    def severity(self) -> int:
        """Rank among the verdicts: 0 for ``pass``, 3 for ``error``."""
        return tuple(Verdict).index(self)


def worst_verdict(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the worst of ``verdicts``; of none, ``inconclusive``: nothing checked is no pass."""
    if not verdicts:
        return Verdict.INCONCLUSIVE
    return max(verdicts, key=lambda verdict: verdict.severity)


@dataclass(frozen=True, slots=True)
class Entry:
    """One scalar of one parameter under one comparison."""

    index: tuple[int, ...]
    analytic: float
    reference: float
    relative_error: float
    uncertainty: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sources of one parameter's gradient, compared entry by entry.

    ``max_relative_error`` and ``median_relative_error`` run over the entries whose magnitude
    exceeds the uncertainty; the others are counted in ``below_noise``. ``norm_relative_error`` is
    ``||a - r|| / (||a|| + ||r||)``. ``resolution`` is the largest relative uncertainty over the
    entries checked, and no less than 1e-8 (1e-6 in single, 1e-3 in half precision), below which a
    difference counts as none.
    """

    max_relative_error: float
    median_relative_error: float
    norm_relative_error: float
    resolution: float
    checked: int
    below_noise: int
    failing_entries: int
    inconclusive_entries: int
    worst: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the user's source.

    ``file`` is relative to the working directory where it lies below it. ``column`` and
    ``end_column`` mark the operation within ``source`` (zero-based, end exclusive); ``context``
    holds ``(line number, text)`` of the line and its neighbours.
    """

    file: str
    line: int
    source: str
    function: str
    column: int | None = None
    end_column: int | None = None
    context: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why a gradient is wrong, or why it could not be judged.

    ``cause`` is one of the published cause keys; ``confidence`` is ``"exact"``, ``"likely"`` or
    ``"possible"``. ``parameter`` is empty when the diagnosis is of the whole call. ``remedy`` says
    what to change. ``also`` lists further locations that explain exactly the same gradient.
    """

    cause: str
    parameter: str
    message: str
    confidence: str
    location: Location | None = None
    evidence: Mapping[str, JsonValue] = field(default_factory=dict)
    remedy: str = ""
    also: tuple[Location, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to know that does not change the verdict: an element of ``"warnings"``."""

    key: str
    message: str


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the author of a check declares to come out."""

    verdict: Verdict
    cause: str | None = None
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ParameterResult:
    """The result for one named parameter.

    ``comparisons`` maps ``"analytic~central"`` and the like to comparisons. ``best`` names the one
    with the smallest resolution of those that checked the most entries. The remaining mappings hold
    what the pages draw, reduced to plain numbers (see ``gradcheck.drawing.pictures``).
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    entries: int
    checked: int
    verdict: Verdict
    kinks: int
    comparisons: Mapping[str, Comparison]
    best: str | None = None
    path: str = ""
    note: str = ""
    grids: Mapping[str, JsonValue] = field(default_factory=dict)
    scatter: Mapping[str, JsonValue] = field(default_factory=dict)
    histogram: Mapping[str, JsonValue] = field(default_factory=dict)
    curves: tuple[Mapping[str, JsonValue], ...] = ()
    taylor: tuple[Mapping[str, JsonValue], ...] = ()

    @property
    def best_comparison(self) -> Comparison | None:
        """The comparison of the analytic gradient with the best oracle, if there is one."""
        return self.comparisons[self.best] if self.best is not None else None

    @property
    def max_relative_error(self) -> float:
        """Largest relative error against the best oracle; NaN when nothing was compared."""
        best = self.best_comparison
        return best.max_relative_error if best is not None else math.nan

    @property
    def resolution(self) -> float:
        """Resolution against the best oracle; NaN when nothing was compared."""
        best = self.best_comparison
        return best.resolution if best is not None else math.nan


@dataclass(frozen=True, slots=True)
class Check:
    """Everything found about one target."""

    name: str
    target: str
    verdict: Verdict
    loss: float
    seed: int
    evaluations: int
    oracles: tuple[str, ...]
    parameter_results: tuple[ParameterResult, ...]
    diagnoses: tuple[Diagnosis, ...] = ()
    warnings: tuple[Notice, ...] = ()
    expected: Expectation | None = None
    reproduce: str | None = None
    family: str = ""
    source: str = ""
    note: str = ""
    seconds: float = 0.0

    @property
    def parameters(self) -> dict[str, ParameterResult]:
        """The parameter results by name."""
        return {result.name: result for result in self.parameter_results}

    @property
    def as_expected(self) -> bool:
        """Whether the check came out as declared; without a declaration, whether it passed."""
        if self.expected is None:
            return self.verdict is Verdict.PASS
        if self.verdict is not self.expected.verdict:
            return False
        failing = {
            result.name for result in self.parameter_results if result.verdict is Verdict.FAIL
        }
        if self.expected.parameters and failing != set(self.expected.parameters):
            return False
        if self.expected.cause is None:
            return True
        found = [diagnosis.cause for diagnosis in self.diagnoses]
        return bool(found) and found[0] == self.expected.cause

    @property
    def ok(self) -> bool:
        """Whether nothing is left to do: passed, or came out as its author declared."""
        return self.as_expected

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the element of ``"checks"`` in ``report.json``; times are not part of it."""
        from gradcheck.report_json import check_to_dict

        return check_to_dict(self)

    def __repr__(self) -> str:
        """Return name, verdict and the parameters' verdicts; ``print(check)`` shows the table."""
        verdicts = {name: str(result.verdict) for name, result in self.parameters.items()}
        return f"Check({self.name!r}, {str(self.verdict)!r}, parameters={verdicts!r})"

    def __str__(self) -> str:
        """Return the table, the diagnoses and the summary, as the terminal shows them."""
        from gradcheck.render.terminal import render

        return render(Report((self,), seconds=self.seconds)).rstrip("\n")


@dataclass(frozen=True, slots=True)
class Story:
    """A published mistake in a few sentences, for the index page."""

    title: str
    text: str
    check: str


@dataclass(frozen=True, slots=True)
class TrainingTrace:
    """A reproduced training curve beside the published points: ``(step, loss)`` pairs."""

    family: str
    title: str
    reproduced: tuple[tuple[int, float], ...]
    published: tuple[tuple[int, float], ...]
    log_scale: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """The results of a run of checks."""

    checks: tuple[Check, ...]
    tool: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    started: str = ""
    seconds: float = 0.0
    stories: tuple[Story, ...] = ()
    traces: tuple[TrainingTrace, ...] = ()

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the whole of ``report.json``."""
        from gradcheck.report_json import report_to_dict

        return report_to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, JsonValue]) -> Report:
        """Read a report back from the parsed JSON.

        Raises:
            UsageError: the data are not of schema ``gradcheck.report/1``.
        """
        from gradcheck.report_json import report_from_dict

        return report_from_dict(data)

    def write(self, directory: str) -> None:
        """Write HTML, JSON and Markdown into ``directory``."""
        from gradcheck.render.files import write_report

        write_report(self, directory)
