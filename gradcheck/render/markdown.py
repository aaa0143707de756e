"""``summary.md``: the report for a pull request or a job's summary."""

from __future__ import annotations

import html

from gradcheck.render.excerpt import excerpt, place
from gradcheck.render.text import (
    clip,
    code_spans,
    error_text,
    name_of,
    seconds_text,
    shape_text,
    visible,
)
from gradcheck.render.words import (
    GLYPHS,
    against,
    check_sentence,
    expectation_sentence,
    expectation_word,
    headline,
    oracle_keys,
    worst_parameter,
)
from gradcheck.report import Check, Diagnosis, Report, Verdict

MARK = "<!-- written by gradcheck -->"
"""First line of the file, by which it is known again as one that may be replaced."""

_SPECIAL = set("\\`*_{}[]()<>#+!|~&$@")
_MAX_ROWS = 500


def render(report: Report) -> str:
    """Return the report as Markdown in GitHub's dialect; everything from outside is escaped."""
    parts = [MARK, f"# {_escaped(headline(report))}"]
    parts += [_checks_table(report)] if report.checks else []
    for check in report.checks:
        if check.verdict is not Verdict.PASS or not check.as_expected:
            parts.append(_details(check))
    parts += [_environment(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _escaped(text: str) -> str:
    """Return one line of text in which nothing is Markdown or HTML."""
    flat = " ".join(text.split())
    return "".join(f"\\{c}" if c in _SPECIAL else c for c in flat)


def _prose(message: str) -> str:
    """Return a message, its pieces between backticks as code."""
    return "".join(
        _code(piece) if is_code else _escaped_within(piece)
        for is_code, piece in code_spans(clip(message))
    )


def _escaped_within(text: str) -> str:
    """Escape a piece of a line, and keep the spaces at its ends."""
    inner = _escaped(text)
    before = " " if text[:1].isspace() else ""
    after = " " if text[-1:].isspace() and inner else ""
    return f"{before}{inner}{after}"


def _code(text: str) -> str:
    """Return text as inline code, also where it contains backticks or a table's bars."""
    flat = " ".join(text.split()).replace("|", "\\|") or " "
    if "`" not in flat:
        return f"`{flat}`"
    fence = "`" * (
        1 + max(len(run) for run in "".join(c if c == "`" else " " for c in flat).split())
    )
    return f"{fence} {flat} {fence}"


def _block(text: str, language: str) -> str:
    """Return a fenced block that its own text cannot close."""
    longest = max(
        (len(r) for r in "".join(c if c == "`" else " " for c in text).split()), default=0
    )
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _checks_table(report: Report) -> str:
    oracles = oracle_keys(report.checks)
    heads = ["verdict", "check", "declared", "worst parameter", "shape", *oracles, "resolution"]
    lines = [
        "| " + " | ".join(_escaped(name_of(head, 20)) for head in heads) + " |",
        "|" + "|".join([" --- "] * 5 + [" ---: "] * (len(heads) - 5)) + "|",
    ]
    lines += [_row(check, oracles) for check in report.checks[:_MAX_ROWS]]
    if len(report.checks) > _MAX_ROWS:
        lines.append(f"\n{len(report.checks) - _MAX_ROWS} more in report.json.")
    return "\n".join(lines)


def _row(check: Check, oracles: list[str]) -> str:
    worst = worst_parameter(check)
    cells = [f"{GLYPHS[check.verdict]} {check.verdict}", _code(name_of(check.name))]
    cells.append(expectation_word(check))
    if worst is None:
        cells += [""] * (3 + len(oracles))
    else:
        compared = [against(worst, oracle) for oracle in oracles]
        cells += [_code(name_of(worst.name)), shape_text(worst.shape)]
        cells += [
            "" if c is None or not c.checked else error_text(c.max_relative_error) for c in compared
        ]
        cells.append("" if worst.best is None else error_text(worst.resolution))
    return "| " + " | ".join(cells) + " |"


def _details(check: Check) -> str:
    title = f"{GLYPHS[check.verdict]} {name_of(check.name)}"
    parts = [_escaped(check_sentence(check))]
    unlike = expectation_sentence(check)
    if unlike:
        parts.append(f"**{_escaped(unlike)}**")
    parts += [_diagnosis(diagnosis) for diagnosis in check.diagnoses]
    parts += [
        f"Warning {_code(name_of(notice.key))}: {_prose(notice.message)}"
        for notice in check.warnings
    ]
    if check.reproduce:
        parts += ["Reproduce with", _block(clip(check.reproduce), "sh")]
    if not check.as_expected:
        return "\n\n".join([f"## {_escaped(title)}", *parts])
    # what came out as declared is folded away
    head = f"<details><summary>{html.escape(title)} (as declared)</summary>"
    return "\n\n".join([head, *parts, "</details>"])


def _diagnosis(diagnosis: Diagnosis) -> str:
    about = f" in {_code(name_of(diagnosis.parameter))}" if diagnosis.parameter else ""
    confidence = _escaped(name_of(diagnosis.confidence))
    parts = [
        f"**{_code(name_of(diagnosis.cause))}**{about} ({confidence}): {_prose(diagnosis.message)}"
    ]
    if diagnosis.location is not None:
        lines = [
            f"{'>' if line.marked else ' '} {line.number:>5}  "
            f"{line.before}{line.operation}{line.after}".rstrip()
            for line in excerpt(diagnosis.location)
        ]
        parts += [_code(place(diagnosis.location)), _block("\n".join(lines), "text")]
    if diagnosis.remedy:
        parts.append(f"Remedy: {_prose(diagnosis.remedy)}")
    return "\n\n".join(parts)


def _environment(report: Report) -> str:
    facts = {**report.tool, **report.environment}
    if report.started:
        facts["started"] = report.started
    if report.seconds:
        facts["took"] = seconds_text(report.seconds)
    return "\n".join(
        f"- {_escaped(name_of(key))}: {_escaped(visible(value)[:300])}"
        for key, value in facts.items()
    )
