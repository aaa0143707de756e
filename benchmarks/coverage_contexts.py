"""A pytest plugin for ``make coverage``: which test runs which line, and how long it takes.

    python -m coverage run -m pytest -p benchmarks.coverage_contexts

The contexts go into coverage's own data file, the durations in seconds into ``DURATIONS`` beside
it. Both tell ``benchmarks.checker_mutation`` which tests a change of a line can concern.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

DURATIONS = ".coverage_durations.json"


class Contexts:
    """Names coverage's context after the test that runs; sums up setup, call and teardown."""

    def __init__(self, measuring: coverage.Coverage) -> None:
        self.measuring = measuring
        self.durations: dict[str, float] = {}
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Attribute the lines that run to this test."""
        self.measuring.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            self.measuring.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up the durations of a test's phases; remember the tests that fail."""
        self.durations[report.nodeid] = self.durations.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self.failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        """Write the durations of the tests that pass: only these can notice a wrong line."""
        passed = {name: took for name, took in self.durations.items() if name not in self.failed}
        folder = Path(self.measuring.get_data().data_filename()).parent
        (folder / DURATIONS).write_text(json.dumps(passed), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin, under coverage only."""
    measuring = coverage.Coverage.current()
    if measuring is None:
        raise pytest.UsageError("run under coverage: python -m coverage run -m pytest ...")
    config.pluginmanager.register(Contexts(measuring))
