"""Parsed JSON -> Report, with messages that name the place of what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from gradcheck.errors import UsageError
from gradcheck.report import (
    SCHEMA,
    Check,
    Comparison,
    Diagnosis,
    Entry,
    Expectation,
    JsonValue,
    Location,
    Notice,
    ParameterResult,
    Report,
    Story,
    TrainingTrace,
    Verdict,
)
from gradcheck.report_json import timing_keys

T = TypeVar("T")
Reader = Callable[[JsonValue, str], T]
_REQUIRED: Any = object()
_NON_FINITE = {"nan", "inf", "-inf"}


def read_report(data: Mapping[str, JsonValue]) -> Report:
    """Read a report from parsed JSON.

    Raises:
        UsageError: the data are not of schema ``gradcheck.report/1``.
    """
    if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, Mapping) else type(data).__name__
        raise UsageError(
            f"this is not a gradcheck report: its schema is {found!r}, not {SCHEMA!r}; "
            f"give a report.json that gradcheck wrote"
        )
    nothing: Mapping[str, JsonValue] = {}
    timing = _get(data, "timing", "report", _mapping, nothing)
    seconds = _get(timing, "checks", "timing", _mapping, nothing)
    items = _get(data, "checks", "report", _list_of(_mapping))
    names = [_get(item, "name", f"checks[{i}]", _text) for i, item in enumerate(items)]
    return Report(
        checks=tuple(
            _check(item, f"checks[{i}]", _get(seconds, key, "timing.checks", _number, 0.0))
            for i, (item, key) in enumerate(zip(items, timing_keys(names), strict=True))
        ),
        tool=_get(data, "tool", "report", _texts, {}),
        environment=_get(data, "environment", "report", _texts, {}),
        started=_get(timing, "started", "timing", _text, ""),
        seconds=_get(timing, "seconds", "timing", _number, 0.0),
        stories=_get(data, "stories", "report", _list_of(_story), ()),
        traces=_get(data, "traces", "report", _list_of(_trace), ()),
    )


def _get(data: JsonValue, key: str, where: str, read: Reader[T], default: T = _REQUIRED) -> T:
    """Read ``data[key]``; ``default`` stands for a key that may be missing."""
    if key in data:
        return read(data[key], f"{where}.{key}")
    if default is _REQUIRED:
        raise UsageError(f"report.json: {where} has no key {key!r}")
    return default


def _wrong(value: JsonValue, where: str, wanted: str) -> UsageError:
    shown = repr(value)
    return UsageError(f"report.json: {where} is {shown[:60]}, where {wanted} is expected")


def _text(value: JsonValue, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong(value, where, "a string")
    return value


def _integer(value: JsonValue, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(value, where, "an integer")
    return value


def _number(value: JsonValue, where: str) -> float:
    if isinstance(value, str) and value in _NON_FINITE:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(value, where, 'a number, "nan", "inf" or "-inf"')
    return float(value)


def _flag(value: JsonValue, where: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, where, "true or false")
    return value


def _verdict(value: JsonValue, where: str) -> Verdict:
    if value not in tuple(Verdict):
        raise _wrong(value, where, "one of " + ", ".join(f'"{verdict}"' for verdict in Verdict))
    return Verdict(value)


def _mapping(value: JsonValue, where: str) -> Mapping[str, JsonValue]:
    if not isinstance(value, Mapping):
        raise _wrong(value, where, "an object")
    return value


def _texts(value: JsonValue, where: str) -> dict[str, str]:
    return {key: _text(item, f"{where}.{key}") for key, item in _mapping(value, where).items()}


def _list_of(read: Reader[T]) -> Reader[tuple[T, ...]]:
    def read_list(value: JsonValue, where: str) -> tuple[T, ...]:
        if not isinstance(value, list | tuple):
            raise _wrong(value, where, "a list")
        return tuple(read(item, f"{where}[{i}]") for i, item in enumerate(value))

    return read_list


def _or_none(read: Reader[T]) -> Reader[T | None]:
    return lambda value, where: None if value is None else read(value, where)


def _pair(value: JsonValue, where: str) -> tuple[JsonValue, JsonValue]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise _wrong(value, where, "a pair")
    return value[0], value[1]


def _check(data: JsonValue, where: str, seconds: float) -> Check:
    return Check(
        name=_get(data, "name", where, _text),
        target=_get(data, "target", where, _text),
        verdict=_get(data, "verdict", where, _verdict),
        loss=_get(data, "loss", where, _number),
        seed=_get(data, "seed", where, _integer),
        evaluations=_get(data, "evaluations", where, _integer),
        oracles=_get(data, "oracles", where, _list_of(_text)),
        parameter_results=_get(data, "parameters", where, _list_of(_parameter)),
        diagnoses=_get(data, "diagnoses", where, _list_of(_diagnosis)),
        warnings=_get(data, "warnings", where, _list_of(_notice)),
        expected=_get(data, "expected", where, _or_none(_expectation), None),
        reproduce=_get(data, "reproduce", where, _or_none(_text), None),
        family=_get(data, "family", where, _text, ""),
        source=_get(data, "source", where, _text, ""),
        note=_get(data, "note", where, _text, ""),
        seconds=seconds,
    )


def _parameter(value: JsonValue, where: str) -> ParameterResult:
    data = _mapping(value, where)
    compared = _get(data, "comparisons", where, _mapping)
    comparisons = {
        key: _comparison(item, f"{where}.comparisons.{key}") for key, item in compared.items()
    }
    best = _get(data, "best", where, _or_none(_text), None)
    if best is not None and best not in comparisons:
        raise _wrong(best, f"{where}.best", "a key of comparisons, or null,")
    return ParameterResult(
        name=_get(data, "name", where, _text),
        shape=_get(data, "shape", where, _list_of(_integer)),
        dtype=_get(data, "dtype", where, _text),
        entries=_get(data, "entries", where, _integer),
        checked=_get(data, "checked", where, _integer),
        verdict=_get(data, "verdict", where, _verdict),
        kinks=_get(data, "kinks", where, _integer),
        comparisons=comparisons,
        best=best if "best" in data else _best(comparisons),
        path=_get(data, "path", where, _text, ""),
        note=_get(data, "note", where, _text, ""),
        grids=_get(data, "grids", where, _mapping, {}),
        scatter=_get(data, "scatter", where, _mapping, {}),
        histogram=_get(data, "histogram", where, _mapping, {}),
        curves=_get(data, "curves", where, _list_of(_mapping), ()),
        taylor=_get(data, "taylor", where, _list_of(_mapping), ()),
    )


def _best(comparisons: Mapping[str, Comparison]) -> str | None:
    """Return the comparison of the analytic gradient that has the smallest resolution."""
    own = [key for key in comparisons if key.startswith("analytic~")]
    return min(own, key=lambda key: comparisons[key].resolution, default=None)


def _comparison(value: JsonValue, where: str) -> Comparison:
    data = _mapping(value, where)
    return Comparison(
        max_relative_error=_get(data, "max_relative_error", where, _number),
        median_relative_error=_get(data, "median_relative_error", where, _number),
        norm_relative_error=_get(data, "norm_relative_error", where, _number),
        resolution=_get(data, "resolution", where, _number),
        checked=_get(data, "checked", where, _integer, 0),
        below_noise=_get(data, "below_noise", where, _integer, 0),
        failing_entries=_get(data, "failing_entries", where, _integer),
        inconclusive_entries=_get(data, "inconclusive_entries", where, _integer),
        worst=_get(data, "worst", where, _list_of(_entry)),
    )


def _entry(value: JsonValue, where: str) -> Entry:
    data = _mapping(value, where)
    return Entry(
        index=_get(data, "index", where, _list_of(_integer)),
        analytic=_get(data, "analytic", where, _number),
        reference=_get(data, "reference", where, _number),
        relative_error=_get(data, "relative_error", where, _number),
        uncertainty=_get(data, "uncertainty", where, _number),
        verdict=_get(data, "verdict", where, _verdict),
    )


def _diagnosis(value: JsonValue, where: str) -> Diagnosis:
    data = _mapping(value, where)
    return Diagnosis(
        cause=_get(data, "cause", where, _text),
        parameter=_get(data, "parameter", where, _text),
        message=_get(data, "message", where, _text),
        confidence=_get(data, "confidence", where, _text),
        location=_get(data, "location", where, _or_none(_location), None),
        evidence=_get(data, "evidence", where, _mapping, {}),
        remedy=_get(data, "remedy", where, _text, ""),
        also=_get(data, "also", where, _list_of(_location), ()),
    )


def _location(value: JsonValue, where: str) -> Location:
    data = _mapping(value, where)
    return Location(
        file=_get(data, "file", where, _text),
        line=_get(data, "line", where, _integer),
        source=_get(data, "source", where, _text),
        function=_get(data, "function", where, _text),
        column=_get(data, "column", where, _or_none(_integer), None),
        end_column=_get(data, "end_column", where, _or_none(_integer), None),
        context=_get(data, "context", where, _list_of(_numbered_line), ()),
    )


def _numbered_line(value: JsonValue, where: str) -> tuple[int, str]:
    line, text = _pair(value, where)
    return _integer(line, f"{where}[0]"), _text(text, f"{where}[1]")


def _point(value: JsonValue, where: str) -> tuple[int, float]:
    step, loss = _pair(value, where)
    return _integer(step, f"{where}[0]"), _number(loss, f"{where}[1]")


def _notice(value: JsonValue, where: str) -> Notice:
    data = _mapping(value, where)
    return Notice(_get(data, "key", where, _text), _get(data, "message", where, _text))


def _expectation(value: JsonValue, where: str) -> Expectation:
    data = _mapping(value, where)
    return Expectation(
        _get(data, "verdict", where, _verdict),
        _get(data, "cause", where, _or_none(_text), None),
        _get(data, "parameters", where, _list_of(_text), ()),
    )


def _story(value: JsonValue, where: str) -> Story:
    data = _mapping(value, where)
    return Story(
        title=_get(data, "title", where, _text),
        text=_get(data, "text", where, _text),
        check=_get(data, "check", where, _text),
    )


def _trace(value: JsonValue, where: str) -> TrainingTrace:
    data = _mapping(value, where)
    return TrainingTrace(
        family=_get(data, "family", where, _text),
        title=_get(data, "title", where, _text),
        reproduced=_get(data, "reproduced", where, _list_of(_point)),
        published=_get(data, "published", where, _list_of(_point)),
        log_scale=_get(data, "log_scale", where, _flag, default=False),
    )
