"""Two reports of the same checks: what became worse, what better, what is new or gone."""

from __future__ import annotations

from gradcheck.render.text import count_text, error_text, name_of
from gradcheck.render.words import GLYPHS
from gradcheck.report import Check, ParameterResult, Report
from gradcheck.report_json import timing_keys

_NOTABLE_FACTOR = 10.0


def compare(old: Report, new: Report) -> tuple[str, bool]:
    """Return what changed from ``old`` to ``new`` in words, and whether a verdict became worse.

    A check that came out as declared, or passed, is good; any other is the worse the worse its
    verdict and those of its parameters. A new check counts as worse when it is not good; one that
    is gone is said, but not worse.
    """
    before, after = _by_name(old), _by_name(new)
    worse: list[str] = []
    better: list[str] = []
    other: list[str] = []
    for name, check in after.items():
        if name not in before:
            line = f"{name_of(name, 100)}: new, {_state(check)}"
            (other if check.as_expected else worse).append(line)
            continue
        changes = "".join(f"\n    {line}" for line in _parameter_changes(before[name], check))
        was, now = _state(before[name]), _state(check)
        states = f"{was} -> {now}" if was != now else now
        line = f"{name_of(name, 100)}: {states}{changes}"
        if _badness(check) > _badness(before[name]):
            worse.append(line)
        elif _badness(check) < _badness(before[name]):
            better.append(line)
        elif was != now or changes:
            other.append(line)
    other += [f"{name_of(name, 100)}: gone" for name in before if name not in after]
    total = count_text(len(after), "check")
    lines = [f"{len(worse)} worse, {len(better)} better, of {total} in the new report."]
    for title, items in (("Worse", worse), ("Better", better), ("Also changed", other)):
        lines += ["", f"{title}:", *(f"  {item}" for item in items)] if items else []
    return "\n".join(lines) + "\n", bool(worse)


def _by_name(report: Report) -> dict[str, Check]:
    keys = timing_keys([check.name for check in report.checks])
    return dict(zip(keys, report.checks, strict=True))


def _badness(check: Check) -> tuple[int, int, int]:
    """Return a key that grows as a check gets worse."""
    if check.as_expected:
        return (0, 0, 0)
    severities = [result.verdict.severity for result in check.parameter_results]
    return (1, check.verdict.severity, sum(severities))


def _state(check: Check) -> str:
    declared = "" if check.expected is None else ", as declared"
    if check.expected is not None and not check.as_expected:
        declared = f", declared {check.expected.verdict}"
    cause = f" ({name_of(check.diagnoses[0].cause)})" if check.diagnoses else ""
    return f"{GLYPHS[check.verdict]} {check.verdict}{cause}{declared}"


def _parameter_changes(old: Check, new: Check) -> list[str]:
    lines = []
    before = old.parameters
    for result in new.parameter_results:
        previous = before.get(result.name)
        if previous is None:
            lines.append(f"{name_of(result.name)}: new, {result.verdict}")
            continue
        if previous.verdict is not result.verdict:
            lines.append(f"{name_of(result.name)}: {previous.verdict} -> {result.verdict}")
        lines += _figure_changes(previous, result)
    gone = [name for name in before if name not in new.parameters]
    return lines + [f"{name_of(name)}: gone" for name in gone]


def _figure_changes(old: ParameterResult, new: ParameterResult) -> list[str]:
    """Return the figures that grew tenfold, and a choice of entries that shrank."""
    lines = []
    for words, was, now in (
        ("max relative error", old.max_relative_error, new.max_relative_error),
        ("resolution", old.resolution, new.resolution),
    ):
        if was > 0 and now > _NOTABLE_FACTOR * was:
            lines.append(f"{name_of(new.name)}: {words} {error_text(was)} -> {error_text(now)}")
    if new.checked < old.checked:
        lines.append(f"{name_of(new.name)}: checked {old.checked:,} -> {new.checked:,} entries")
    return lines
