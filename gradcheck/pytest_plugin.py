"""The pytest plugin: the ``gradcheck`` fixture, one summary line, and a report of the whole run.

Loaded into every pytest run, so that it imports nothing before a test asks for the fixture.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradcheck.report import Check

_ATTRIBUTE = "gradcheck_reports"
"""Where a test's results travel on its test report, as JSON text; xdist carries it along."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--gradcheck-report``."""
    group = parser.getgroup("gradcheck", "gradient checks")
    group.addoption(
        "--gradcheck-report",
        metavar="DIR",
        help="write an HTML, JSON and Markdown report of every gradient checked by the fixture",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the collector of this run."""
    from pathlib import Path

    directory = config.getoption("--gradcheck-report")
    if directory and Path(directory).exists() and not Path(directory).is_dir():
        raise pytest.UsageError(f"--gradcheck-report {directory}: this is a file; name a directory")
    collector = Collector(str(Path(directory).absolute()) if directory else None)
    config.pluginmanager.register(collector, "gradcheck-collector")


@pytest.fixture(scope="session")
def gradcheck(request: pytest.FixtureRequest) -> Checker:
    """Check a gradient, record the result, and fail the test if it is anything but right.

    Called as ``gradcheck(target, inputs, wrt=None, **options)`` with the options of
    ``gradcheck.check``; returns the check. Session-wide, so that Hypothesis may call it often.
    """
    collector = request.config.pluginmanager.get_plugin("gradcheck-collector")
    assert isinstance(collector, Collector)
    return Checker(collector)


class Checker:
    """What the fixture gives: a callable that asserts and records."""

    def __init__(self, collector: Collector) -> None:
        # Imported here, so that the first example of a Hypothesis test meets its deadline.
        import gradcheck.pipeline  # noqa: F401

        self._collector = collector

    def __call__(
        self,
        target: Any,
        inputs: Any = None,
        wrt: Any = None,
        *,
        allow_inconclusive: bool | None = None,
        **options: Any,
    ) -> Check:
        """Check ``target`` at ``inputs``.

        Raises:
            GradientError: the gradient is not shown to be right; the message is the table.
        """
        __tracebackhide__ = True
        from gradcheck import pipeline
        from gradcheck.report import Verdict

        searching = _in_hypothesis()
        if searching and "oracles" not in options and options.get("settings") is None:
            # Hundreds of examples: central differences decide, and their deadline is short.
            options.setdefault("autograd", False)
        options.setdefault("name", self._collector.name_for(searching=searching))
        check: Check = pipeline.check(target, inputs, wrt, **options)
        check = self._collector.record(check, searching=searching)
        if searching:
            _climb(check)
        if allow_inconclusive is None:
            settings = options.get("settings")
            allow_inconclusive = settings is not None and settings.allow_inconclusive
        if check.ok or (allow_inconclusive and check.verdict is Verdict.INCONCLUSIVE):
            return check
        raise _failure(check)


def _failure(check: Check) -> Exception:
    from gradcheck.errors import GradientError
    from gradcheck.render.terminal import render
    from gradcheck.render.words import check_sentence
    from gradcheck.report import Report

    # The first line is what pytest's summary shows.
    return GradientError(f"{check_sentence(check)}\n\n{render(Report((check,)), width=76)}")


def _in_hypothesis() -> bool:
    """Whether a Hypothesis example is being run; Hypothesis is not imported to find out."""
    hypothesis = sys.modules.get("hypothesis")
    return hypothesis is not None and bool(hypothesis.currently_in_test_context())


def _climb(check: Check) -> None:
    """Tell Hypothesis how wrong the gradient is, so that it looks for worse."""
    import hypothesis
    from hypothesis.errors import InvalidArgument

    from gradcheck.shell.search import largest_error

    label = f"relative error of {check.target or check.name}"
    try:
        hypothesis.target(largest_error(check), label=label)
    except InvalidArgument:
        # A second check of the same target within one example: the first one counts.
        return


class Collector:
    """Gathers the checks of a run: of this process, and of the workers of pytest-xdist."""

    def __init__(self, directory: str | None) -> None:
        self.directory = directory
        self.node = ""
        self.current: list[Check] = []
        self.searched: dict[str, int] = {}
        self.checks: list[Check] = []
        self.trouble = ""

    def name_for(self, *, searching: bool) -> str:
        """Return a name for the next check: the test's id, numbered from the second check on."""
        if searching or not self.current:
            return self.node
        return f"{self.node} ({len(self.current) + 1})"

    def record(self, check: Check, *, searching: bool) -> Check:
        """Keep a check, of those of one Hypothesis test only the worst; say how to repeat it."""
        from dataclasses import replace

        check = replace(check, reproduce=f"python -m pytest {_quoted(self.node)}")
        place = self.searched.get(check.name) if searching else None
        if place is None:
            if searching:
                self.searched[check.name] = len(self.current)
            self.current.append(check)
        elif _badness(check) > _badness(self.current[place]):
            self.current[place] = check
        return check

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Note which test is running."""
        self.node, self.current, self.searched = item.nodeid, [], {}
        try:
            return (yield)
        finally:
            self.node = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, Any, Any]:
        """Put the checks of the phase that ended on its report."""
        report = yield
        if self.current and report.when != "setup":
            setattr(report, _ATTRIBUTE, [_to_text(check) for check in self.current])
            self.current = []
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the checks off a report, wherever the test ran."""
        self.checks += [_from_text(text) for text in getattr(report, _ATTRIBUTE, ())]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the report, once for all workers."""
        if self.directory is None or not self.checks or hasattr(session.config, "workerinput"):
            return
        from gradcheck.assemble import make_report
        from gradcheck.errors import UsageError

        try:
            make_report(self.checks).write(self.directory)
        except (UsageError, OSError) as error:
            self.trouble = str(error)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print one line, if any gradient was checked."""
        if not self.checks:
            return
        verdicts = [str(check.verdict) for check in self.checks]
        counted = ", ".join(
            f"{verdicts.count(verdict)} {verdict}"
            for verdict in ("pass", "fail", "inconclusive", "error")
            if verdict in verdicts
        )
        number = f"{len(verdicts)} gradient{'s' if len(verdicts) > 1 else ''} checked"
        line = f"gradcheck: {number}: {counted}"
        if self.trouble:
            line += f"; the report was not written: {self.trouble}"
        elif self.directory is not None:
            line += f"; report in {self.directory}"
        terminalreporter.write_line(line)


def _quoted(node: str) -> str:
    import shlex

    return shlex.quote(node)


def _badness(check: Check) -> tuple[int, float]:
    from gradcheck.shell.search import largest_error

    return check.verdict.severity, largest_error(check)


def _to_text(check: Check) -> str:
    import json

    from gradcheck.report import Report

    return json.dumps(Report((check,)).to_dict(), allow_nan=False)


def _from_text(text: str) -> Check:
    import json

    from gradcheck.report import Report

    return Report.from_dict(json.loads(text)).checks[0]
