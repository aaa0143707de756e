"""Words and numbers that every renderer shares."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import sample_reports
from hypothesis import given
from hypothesis import strategies as st

from gradcheck.render import text, words
from gradcheck.render.excerpt import excerpt
from gradcheck.report import Location, Report, Verdict


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (2.345e-16, "2.3e-16"),
        (0.3123, "0.312"),
        (0.9967, "0.997"),
        (1.0, "1"),
        (1.8, "1.8"),
        (12345.0, "1.2e+04"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_errors(value, shown):
    assert text.error_text(value) == shown


@given(st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True))
def test_an_error_is_never_rounded_to_none_or_all(value):
    assert text.error_text(value) not in ("0", "0.0", "1", "1.0")
    assert float(text.error_text(value)) == pytest.approx(value, rel=0.06)


@given(st.text())
def test_what_is_shown_is_visible_and_can_be_written(given_text):
    shown = text.visible(given_text)
    shown.encode("utf-8")
    assert all(character.isprintable() for character in shown)
    assert not given_text or shown.strip()


def test_ordinary_text_stands_as_it_is():
    for ordinary in ("W1", "θ₁ → größer", "重み", "emoji 🙂"):
        assert text.visible(ordinary) == ordinary


@given(st.text(), st.integers(2, 40))
def test_shortened_text_keeps_its_limit(given_text, limit):
    assert len(text.shorten(given_text, limit)) <= limit


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (0.0073, "7.3 ms"),
        (0.41, "410 ms"),
        (0.9999, "1 s"),
        (250.4, "4 min 10 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds, shown):
    assert text.seconds_text(seconds) == shown


def declared(count: int, wrong: int) -> Report:
    right = sample_reports.passing_check()
    faulty = sample_reports.failing_check()
    return sample_reports.report(*[faulty] * wrong, *[right] * (count - wrong))


def test_the_headline_of_a_run_that_came_out():
    assert words.headline(declared(57, 17)) == (
        "57 of 57 checks came out as declared; 17 wrong gradients, each explained"
    )


def test_the_headline_counts_what_is_not_explained():
    report = declared(3, 2)
    checks = (replace(report.checks[0], diagnoses=()), *report.checks[1:])
    assert words.headline(replace(report, checks=checks)) == (
        "2 of 3 checks came out as declared; 2 wrong gradients, 1 of them explained"
    )
    unexplained = replace(checks[1].diagnoses[0], cause="unexplained")
    checks = (checks[0], replace(checks[1], diagnoses=(unexplained,)), checks[2])
    assert "2 wrong gradients" in words.headline(replace(report, checks=checks))
    assert "explained" not in words.headline(replace(report, checks=checks))


def test_the_headline_without_declarations():
    passing = replace(sample_reports.passing_check(), expected=None)
    assert words.headline(sample_reports.report(passing)) == "The check passed"
    undecided = sample_reports.inconclusive_check()
    assert words.headline(sample_reports.report(passing, undecided)) == (
        "1 of 2 checks passed; 1 inconclusive"
    )


def test_a_pass_says_what_it_would_have_seen():
    check = sample_reports.passing_check()
    assert words.check_sentence(check) == (
        "The gradient is right; a relative error above 4.0e-15 would have been seen everywhere."
    )
    sampled = sample_reports.large_check()
    assert "where it was checked, in 1,500 of 101,000 entries" in words.check_sentence(sampled)


def test_a_pass_without_a_resolution_claims_none():
    check = sample_reports.passing_check()
    first, second = check.parameter_results
    blind = replace(first.best_comparison, resolution=math.inf)
    first = replace(first, comparisons={**first.comparisons, first.best: blind})
    check = replace(check, parameter_results=(first, second))
    assert words.check_sentence(check) == "The gradient is right."


def test_the_worst_parameter_is_the_one_with_the_worst_verdict():
    check = sample_reports.failing_check()
    small = replace(check.parameters["W1"], verdict=Verdict.PASS)
    results = (small, *check.parameter_results[1:])
    assert words.worst_parameter(replace(check, parameter_results=results)).name == "W2"
    assert words.worst_parameter(sample_reports.error_check()) is None


def location(**changes) -> Location:
    known = {"file": "f.py", "line": 3, "source": "a = b * c", "function": "f"}
    return Location(**(known | changes))


def test_excerpt_marks_the_operation_below_the_indentation():
    lines = excerpt(
        location(column=4, end_column=9, context=((2, "x"), (3, "    a = b * c"), (4, "y")))
    )
    assert [line.number for line in lines] == [2, 3, 4]
    assert (lines[1].before, lines[1].operation, lines[1].after) == ("    a = ", "b * c", "")
    assert [line.marked for line in lines] == [False, True, False]


def test_excerpt_shows_two_lines_either_side():
    context = tuple((number, f"line {number}") for number in range(20))
    assert [line.number for line in excerpt(location(context=context))] == [1, 2, 3, 4, 5]


def test_excerpt_without_context_or_columns():
    (line,) = excerpt(location())
    assert (line.before, line.operation, line.marked) == ("a = b * c", "", True)
    (line,) = excerpt(location(column=7, end_column=2))
    assert line.operation == ""


def test_excerpt_of_hostile_lines():
    (line,) = excerpt(location(source="\u202e" + "x" * 9000, column=0, end_column=1))
    assert line.operation == "\\u202e"
    assert len(line.after) < 500
