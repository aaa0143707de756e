"""The terminal's report: the same facts in the width there is, and nothing that escapes it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import sample_reports
from gold_files import assert_gold
from rich.cells import cell_len

from gradcheck.render import terminal
from gradcheck.report import Report

ANSI = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("width", [36, 80, 140])
def test_gold(width):
    text = terminal.render(sample_reports.gold_report(), width=width)
    assert_gold(f"terminal_{width}.txt", text)


def test_gold_of_everything():
    report = sample_reports.gold_report()
    assert_gold("terminal_verbose.txt", terminal.render(report, width=100, verbose=True))


def test_gold_of_one_check():
    report = replace(sample_reports.gold_report(), checks=sample_reports.gold_report().checks[1:2])
    assert_gold("terminal_one.txt", terminal.render(report, width=80, verbose=True))


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120, 200])
def test_only_what_is_to_be_copied_is_wider_than_the_terminal(width):
    text = terminal.render(sample_reports.full_report(), width=width, verbose=True)
    table = text.partition("\n\n")[0]
    assert all(cell_len(line) <= width for line in table.splitlines())
    for line in text.splitlines():
        copied = "python -m gradcheck" in line or " | " in line or "^" in line
        # a table of entries is cut in a narrow terminal, never wrapped
        assert cell_len(line) <= width or copied


def test_colour_only_when_asked():
    report = sample_reports.full_report()
    plain = terminal.render(report, width=80)
    coloured = terminal.render(report, width=80, color=True)
    assert "\x1b" not in plain
    assert "\x1b[32m" in coloured
    assert [s.rstrip() for s in ANSI.sub("", coloured).splitlines()] == plain.splitlines()


def test_the_environment_does_not_matter(monkeypatch):
    report = sample_reports.gold_report()
    before = terminal.render(report, width=80)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("JUPYTER_COLUMNS", "30")
    assert terminal.render(report, width=80) == before


def test_control_characters_do_not_reach_the_terminal():
    text = terminal.render(sample_reports.nasty_report(), width=80, verbose=True)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\u202e" in text
    assert "\x00" not in text
    text.encode("utf-8")  # no lone surrogates either
    assert len(text) < 200_000


def test_markup_of_the_terminal_library_is_plain_text():
    report = sample_reports.report(sample_reports.error_check("[red]name[/red] :smile:"))
    assert "[red]name[/red] :smile:" in terminal.render(report, width=80)


def test_a_failure_is_never_rounded_away():
    check = sample_reports.failing_check()
    wrong = check.parameters["W2"]
    tiny = replace(wrong.best_comparison, max_relative_error=3e-13)
    result = replace(wrong, comparisons={**wrong.comparisons, wrong.best: tiny})
    report = sample_reports.report(replace(check, parameter_results=(result,)))
    assert "3.0e-13" in terminal.render(report, width=80)


def test_worst_entries_only_of_what_did_not_pass():
    text = terminal.render(
        sample_reports.report(sample_reports.failing_check()), width=100, verbose=True
    )
    assert "W2: 30 wrong entries of 30 checked" in text
    assert "b2: " not in text


def test_a_gradient_wrong_as_declared_is_told_shortly():
    report = sample_reports.report(sample_reports.failing_check())
    text = terminal.render(report, width=100)
    assert "reg_scale in W2 (exact)" in text
    assert '>    74 |     grads["W2"] = A.T @ dS + 2 * reg * W2' in text
    assert "rel. error" not in text
    unlike = replace(report.checks[0], expected=None)
    assert "rel. error" in terminal.render(replace(report, checks=(unlike,)), width=100)


def test_the_operation_is_underlined():
    report = sample_reports.report(sample_reports.failing_check())
    lines = terminal.render(report, width=100).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  >    74"))
    start = lines[at].index("2 * reg * W2")
    assert lines[at + 1] == " " * start + "^" * len("2 * reg * W2")


def test_nothing_checked_is_said():
    assert terminal.render(Report(checks=())).strip().startswith("Nothing was checked")


def test_what_was_left_out_is_not_shown_as_wrong_entries():
    check = sample_reports.inconclusive_check()
    result = check.parameter_results[0]
    best = replace(result.best_comparison, failing_entries=0, inconclusive_entries=0)
    cut_short = replace(result, comparisons={result.best: best})
    text = terminal.render(Report((replace(check, parameter_results=(cut_short,)),)))
    assert "wrong entries" not in text
    undecided = replace(best, inconclusive_entries=1)
    open_entry = replace(result, comparisons={result.best: undecided})
    text = terminal.render(Report((replace(check, parameter_results=(open_entry,)),)))
    assert "1 undecided of" in text


def test_a_check_prints_as_the_terminal_shows_it():
    check = sample_reports.failing_check()
    assert str(check) + "\n" == terminal.render(Report((check,), seconds=check.seconds))
    assert repr(check).startswith(f"Check({check.name!r}, 'fail', parameters={{")
    assert len(repr(check)) < 500


def test_a_pass_of_some_entries_says_how_many():
    check = sample_reports.passing_check()
    assert "The gradient is right" not in terminal.render(Report((check,)))
    result = check.parameter_results[0]
    entries = sum(one.entries for one in check.parameter_results)
    sampled = replace(result, checked=result.checked - 2)
    part = replace(check, parameter_results=(sampled, *check.parameter_results[1:]))
    text = " ".join(terminal.render(Report((part,))).split())
    assert f"right where it was checked, in {entries - 2} of {entries} entries" in text


def test_an_oracle_that_saw_no_entry_shows_no_error_of_zero():
    check = sample_reports.inconclusive_check()
    result = check.parameter_results[0]
    unseen = replace(result.best_comparison, checked=0, max_relative_error=0.0, worst=())
    nothing = replace(result, checked=0, comparisons={result.best: unseen})
    (row,) = [
        line
        for line in terminal.render(Report((replace(check, parameter_results=(nothing,)),)))
        .split("\n\n")[0]
        .splitlines()
        if line.strip().startswith(result.name)
    ]
    assert " - " in row
