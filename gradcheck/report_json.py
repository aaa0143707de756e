"""``report.json``: a Report written as plain JSON data, and read back.

The form is described by ``report_schema.json`` beside this file. Non-finite numbers are the
strings ``"nan"``, ``"inf"`` and ``"-inf"``. All times stand in ``"timing"``, so that two runs that
found the same are equal in everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradcheck.report import (
    SCHEMA,
    Check,
    Comparison,
    Diagnosis,
    Entry,
    Expectation,
    JsonValue,
    Location,
    ParameterResult,
    Report,
    number,
)


def report_to_dict(report: Report) -> dict[str, JsonValue]:
    """Return the whole of ``report.json`` as data that ``json.dumps(allow_nan=False)`` accepts."""
    keys = timing_keys([check.name for check in report.checks])
    return {
        "schema": SCHEMA,
        "tool": plain(report.tool),
        "environment": plain(report.environment),
        "timing": {
            "started": report.started,
            "seconds": number(report.seconds),
            "checks": {
                key: number(check.seconds) for key, check in zip(keys, report.checks, strict=True)
            },
        },
        "checks": [check_to_dict(check) for check in report.checks],
        "stories": [
            {"title": story.title, "text": story.text, "check": story.check}
            for story in report.stories
        ],
        "traces": [
            {
                "family": trace.family,
                "title": trace.title,
                "reproduced": _points(trace.reproduced),
                "published": _points(trace.published),
                "log_scale": trace.log_scale,
            }
            for trace in report.traces
        ],
    }


def report_from_dict(data: Mapping[str, JsonValue]) -> Report:
    """Read a report back from parsed JSON: the inverse of ``report_to_dict``.

    Keys that only the pages need may be missing, so that results gathered elsewhere can be read.

    Raises:
        UsageError: the data are not of schema ``gradcheck.report/1``; the message names the place.
    """
    from gradcheck.report_reader import read_report

    return read_report(data)


def check_to_dict(check: Check) -> dict[str, JsonValue]:
    """Return the element of ``"checks"``: everything about ``check`` but its time."""
    return {
        "name": check.name,
        "target": check.target,
        "verdict": str(check.verdict),
        "expected": _expectation(check.expected),
        "as_expected": check.as_expected,
        "loss": number(check.loss),
        "seed": check.seed,
        "evaluations": check.evaluations,
        "oracles": list(check.oracles),
        "warnings": [{"key": notice.key, "message": notice.message} for notice in check.warnings],
        "parameters": [_parameter(result) for result in check.parameter_results],
        "diagnoses": [_diagnosis(diagnosis) for diagnosis in check.diagnoses],
        "reproduce": check.reproduce,
        "family": check.family,
        "source": check.source,
        "note": check.note,
    }


def timing_keys(names: Sequence[str]) -> list[str]:
    """Return the keys of ``timing.checks``: the names, the second of a kind as ``"name #2"``."""
    taken = set(names)
    seen: set[str] = set()
    keys = []
    for name in names:
        key, count = name, 1
        while key in seen or (key != name and key in taken):
            count += 1
            key = f"{name} #{count}"
        seen.add(key)
        keys.append(key)
    return keys


def plain(value: JsonValue, where: str = "report") -> JsonValue:
    """Return ``value`` with tuples as lists and non-finite floats as strings.

    Raises:
        TypeError: something in it, whose place is named, has no JSON form.
    """
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{where}: the key {key!r} is not a string")
        return {key: plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{position}]") for position, item in enumerate(value)]
    raise TypeError(f"{where}: {type(value).__name__} has no JSON form; arrays stop at the report")


def _points(points: Sequence[tuple[int, float]]) -> list[list[JsonValue]]:
    return [[step, number(value)] for step, value in points]


def _expectation(expected: Expectation | None) -> dict[str, JsonValue] | None:
    if expected is None:
        return None
    return {
        "verdict": str(expected.verdict),
        "cause": expected.cause,
        "parameters": list(expected.parameters),
    }


def _parameter(result: ParameterResult) -> dict[str, JsonValue]:
    return {
        "name": result.name,
        "shape": list(result.shape),
        "dtype": result.dtype,
        "entries": result.entries,
        "checked": result.checked,
        "verdict": str(result.verdict),
        "kinks": result.kinks,
        "comparisons": {key: _comparison(value) for key, value in result.comparisons.items()},
        "best": result.best,
        "path": result.path,
        "note": result.note,
        "grids": plain(result.grids, f"{result.name}.grids"),
        "scatter": plain(result.scatter, f"{result.name}.scatter"),
        "histogram": plain(result.histogram, f"{result.name}.histogram"),
        "curves": plain(result.curves, f"{result.name}.curves"),
        "taylor": plain(result.taylor, f"{result.name}.taylor"),
    }


def _comparison(comparison: Comparison) -> dict[str, JsonValue]:
    return {
        "max_relative_error": number(comparison.max_relative_error),
        "median_relative_error": number(comparison.median_relative_error),
        "norm_relative_error": number(comparison.norm_relative_error),
        "resolution": number(comparison.resolution),
        "checked": comparison.checked,
        "below_noise": comparison.below_noise,
        "failing_entries": comparison.failing_entries,
        "inconclusive_entries": comparison.inconclusive_entries,
        "worst": [_entry(entry) for entry in comparison.worst],
    }


def _entry(entry: Entry) -> dict[str, JsonValue]:
    return {
        "index": list(entry.index),
        "analytic": number(entry.analytic),
        "reference": number(entry.reference),
        "relative_error": number(entry.relative_error),
        "uncertainty": number(entry.uncertainty),
        "verdict": str(entry.verdict),
    }


def _diagnosis(diagnosis: Diagnosis) -> dict[str, Any]:
    return {
        "cause": diagnosis.cause,
        "parameter": diagnosis.parameter,
        "message": diagnosis.message,
        "confidence": diagnosis.confidence,
        "location": None if diagnosis.location is None else _location(diagnosis.location),
        "evidence": plain(diagnosis.evidence, f"{diagnosis.cause}.evidence"),
        "remedy": diagnosis.remedy,
        "also": [_location(location) for location in diagnosis.also],
    }


def _location(location: Location) -> dict[str, JsonValue]:
    return {
        "file": location.file,
        "line": location.line,
        "source": location.source,
        "function": location.function,
        "column": location.column,
        "end_column": location.end_column,
        "context": [[line, text] for line, text in location.context],
    }
