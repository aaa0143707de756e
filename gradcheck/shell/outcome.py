"""What becomes of a report: shown, written, and told as an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gradcheck.errors import UsageError
from gradcheck.report import Check, Report, Verdict

if TYPE_CHECKING:
    from gradcheck.cli import Command


@dataclass(frozen=True)
class Outputs:
    """Where the outcome goes; paths are absolute, whatever the target does to the directory."""

    report: str | None
    json: str | None
    junit: str | None
    self_contained: bool
    quiet: bool
    verbose: bool

    @classmethod
    def of(cls, command: Command) -> Outputs:
        """Read the outputs off a command; a package's report goes to ``reports`` by default.

        Raises:
            UsageError: a file could not be written there.
        """
        if command.report is not None and command.no_report:
            raise UsageError("--report and --no-report exclude each other: give one of them")
        package = command.target is not None and ":" not in command.target
        report = command.report or ("reports" if package and not command.no_report else None)
        if command.self_contained and report is None and command.render is None:
            raise UsageError("--self-contained is how a report is written: give --report DIR, too")
        for option in ("json", "junit"):
            path = getattr(command, option)
            if path not in (None, "-") and not Path(path).absolute().parent.is_dir():
                raise UsageError(f"--{option} {path}: there is no directory {Path(path).parent}")
            if path not in (None, "-") and Path(path).is_dir():
                raise UsageError(f"--{option} {path}: this is a directory; name a file")
        if report is not None:
            _refuse_unwritable(report)
        return cls(
            _absolute(report),
            "-" if command.json == "-" else _absolute(command.json),
            _absolute(command.junit),
            command.self_contained,
            command.quiet,
            command.verbose,
        )

    @property
    def draws(self) -> bool:
        """Whether the outcome holds what the pages draw: where a page may be made of it."""
        return self.report is not None or self.json is not None


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).absolute())


def _refuse_unwritable(report: str) -> None:
    """Raise before anything is checked if the report could not be written after it."""
    place = Path(report).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        what = "this" if place == Path(report).absolute() else str(place)
        raise UsageError(f"--report {report}: {what} is a file; name a directory")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f"--report {report}: {place} cannot be written to; name another directory")


def exit_status(checks: Sequence[Check], *, unwritten: bool = False) -> int:
    """Return 0, 1 (a gradient is wrong), 2 (a target cannot be used) or 3 (inconclusive).

    A check that did not come out as declared counts as what it came out as; one that passed
    although its author declares it wrong counts as 1: the declaration is wrong. Results that
    could not be written (``unwritten``) count as 2.
    """
    kinds = {Verdict.PASS: 1, Verdict.FAIL: 1, Verdict.ERROR: 2, Verdict.INCONCLUSIVE: 3}
    statuses = [kinds[check.verdict] for check in checks if not check.as_expected]
    if unwritten:
        statuses.append(2)
    elif not checks:
        return 3
    return min(statuses, default=0)


def show(report: Report, outputs: Outputs) -> None:
    """Print the report: on stdout, or on stderr where stdout carries the JSON."""
    from gradcheck.render.terminal import render

    if outputs.quiet:
        report = replace(
            report, checks=tuple(check for check in report.checks if not check.as_expected)
        )
        if not report.checks:
            return
    to_stderr = outputs.json == "-"
    stream = sys.stderr if to_stderr else sys.stdout
    width = _terminal_width() if stream.isatty() else 80
    color = stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    text = render(report, width=max(40, width), color=color, verbose=outputs.verbose)
    click.echo(text, nl=False, err=to_stderr, color=color)
    if outputs.report is not None:
        page = os.path.relpath(Path(outputs.report) / "index.html")
        shown = page if not page.startswith("..") else str(Path(outputs.report) / "index.html")
        click.echo(f"Report: {shown}", err=to_stderr)


def _terminal_width() -> int:
    import shutil

    return shutil.get_terminal_size((80, 24)).columns


def write_outputs(report: Report, outputs: Outputs) -> dict[str, str]:
    """Write the files that were asked for, each whatever becomes of the others.

    The files name no place on this machine, unlike what is shown.

    Returns:
        By the option concerned, why a file could not be written; empty if all were.
    """
    from gradcheck.places import impersonal

    report = replace(report, checks=tuple(impersonal(check) for check in report.checks))
    failed = {}
    for option, write in (
        ("report", _write_report),
        ("json", _write_json),
        ("junit", _write_junit),
    ):
        if getattr(outputs, option) is None:
            continue
        try:
            write(report, outputs)
        except (UsageError, OSError) as error:
            failed[option] = str(error)
    return failed


def _write_report(report: Report, outputs: Outputs) -> None:
    from gradcheck.render.files import write_report

    assert outputs.report is not None
    write_report(report, outputs.report, self_contained=outputs.self_contained)


def _write_json(report: Report, outputs: Outputs) -> None:
    from gradcheck.render.json_file import render

    assert outputs.json is not None
    _write(outputs.json, render(report))


def _write_junit(report: Report, outputs: Outputs) -> None:
    from gradcheck.render.junit import render

    assert outputs.junit is not None
    _write(outputs.junit, render(report))


def _write(path: str, text: str) -> None:
    from gradcheck.render.files import write_text

    if path == "-":
        click.echo(text, nl=not text.endswith("\n"))
    else:
        write_text(path, text)


def read_report(path: str) -> Report:
    """Read a ``report.json``.

    Raises:
        UsageError: there is no such file, or it holds something else.
    """
    import json

    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from None
    return Report.from_dict(data)
