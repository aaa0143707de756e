"""summary.md: a table that a pull request shows, in which nothing from outside is Markdown."""

from __future__ import annotations

import re

import sample_reports
from gold_files import assert_gold
from markdown_it import MarkdownIt

from gradcheck.render import markdown
from gradcheck.report import Report


def rendered(report: Report) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown.render(report))


def test_gold():
    assert_gold("summary.md", markdown.render(sample_reports.gold_report()))


def test_every_check_has_its_row():
    html = rendered(sample_reports.full_report())
    assert html.count("<tr>") == 1 + len(sample_reports.full_report().checks)


def test_rows_stay_rows_whatever_the_names():
    report = sample_reports.nasty_report()
    html = rendered(report)
    assert html.count("<tr>") == 1 + len(report.checks)
    cells = {row.count("<td") for row in re.findall(r"<tr>\s*(<td.*?)</tr>", html, re.DOTALL)}
    assert len(cells) == 1


def test_nothing_from_outside_is_html_or_a_link():
    html = rendered(sample_reports.nasty_report())
    known = {
        "h1",
        "h2",
        "p",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "code",
        "pre",
        "ul",
        "li",
    }
    tags = set(re.findall(r"<(\w+)", html)) - {"strong", "details", "summary"}
    assert tags <= known, tags - known
    assert "href" not in html
    assert "\u202e" not in html


def test_a_code_block_cannot_be_closed_from_inside():
    check = sample_reports.nasty_check("```\n<b>out</b>\n````")
    html = rendered(sample_reports.report(check))
    assert "<b>" not in html
    assert "&lt;b&gt;out" in html


def test_what_came_out_as_declared_is_folded_away():
    text = markdown.render(sample_reports.full_report())
    assert "<summary>✗ two_layer_net.half_loss_double_grad (as declared)</summary>" in text
    assert text.count("<details>") == text.count("</details>") == 2
    assert "## ✗ convolution.kernel" in text


def test_code_in_a_message_is_code():
    check = sample_reports.error_check()
    html = rendered(sample_reports.report(check))
    assert "End the backward pass with <code>return grads</code>." in html


def test_a_long_run_stays_readable():
    checks = [sample_reports.error_check(f"c{i}") for i in range(600)]
    text = markdown.render(sample_reports.report(*checks))
    assert "100 more in report.json" in text
