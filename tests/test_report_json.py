"""report.json: its schema holds, nothing is lost on the way, and what does not fit is named."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib import resources

import jsonschema
import numpy as np
import pytest
import sample_reports
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck.errors import UsageError
from gradcheck.render import json_file
from gradcheck.report import (
    Check,
    Comparison,
    Diagnosis,
    Entry,
    Expectation,
    Location,
    Notice,
    ParameterResult,
    Report,
    Story,
    TrainingTrace,
    Verdict,
)

SCHEMA = json.loads(resources.files("gradcheck").joinpath("report_schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

texts = st.text(max_size=20)
counts = st.integers(0, 10**9)
verdicts = st.sampled_from(Verdict)
numbers = st.floats(allow_nan=False, width=64)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | texts | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(texts, json_values, max_size=3)


def tuples(strategy, **bounds):
    return st.lists(strategy, max_size=3, **bounds).map(tuple)


shapes = tuples(st.integers(0, 50))
locations = st.builds(
    Location,
    file=texts,
    line=counts,
    source=texts,
    function=texts,
    column=st.none() | counts,
    end_column=st.none() | counts,
    context=tuples(st.tuples(counts, texts)),
)
entries = st.builds(
    Entry,
    index=shapes,
    analytic=numbers,
    reference=numbers,
    relative_error=numbers,
    uncertainty=numbers,
    verdict=verdicts,
)
comparisons = st.builds(
    Comparison,
    max_relative_error=numbers,
    median_relative_error=numbers,
    norm_relative_error=numbers,
    resolution=numbers,
    checked=counts,
    below_noise=counts,
    failing_entries=counts,
    inconclusive_entries=counts,
    worst=tuples(entries),
)


@st.composite
def parameters(draw):
    sources = st.sampled_from(["analytic~central", "analytic~autograd", "autograd~central"])
    compared = draw(st.dictionaries(sources, comparisons, max_size=2))
    return ParameterResult(
        name=draw(texts),
        shape=draw(shapes),
        dtype=draw(texts),
        entries=draw(counts),
        checked=draw(counts),
        verdict=draw(verdicts),
        kinks=draw(counts),
        comparisons=compared,
        best=draw(st.sampled_from([None, *compared])),
        path=draw(texts),
        note=draw(texts),
        grids=draw(objects),
        scatter=draw(objects),
        histogram=draw(objects),
        curves=draw(tuples(objects)),
        taylor=draw(tuples(objects)),
    )


diagnoses = st.builds(
    Diagnosis,
    cause=texts,
    parameter=texts,
    message=texts,
    confidence=st.sampled_from(["exact", "likely", "possible"]),
    location=st.none() | locations,
    evidence=objects,
    remedy=texts,
    also=tuples(locations),
)
checks = st.builds(
    Check,
    name=texts,
    target=texts,
    verdict=verdicts,
    loss=numbers,
    seed=st.integers(0, 2**63),
    evaluations=counts,
    oracles=tuples(texts),
    parameter_results=tuples(parameters()),
    diagnoses=tuples(diagnoses),
    warnings=tuples(st.builds(Notice, texts, texts)),
    expected=st.none() | st.builds(Expectation, verdicts, st.none() | texts, tuples(texts)),
    reproduce=st.none() | texts,
    family=texts,
    source=texts,
    note=texts,
    seconds=numbers,
)
points = tuples(st.tuples(counts, numbers))
reports = st.builds(
    Report,
    checks=tuples(checks),
    tool=st.dictionaries(texts, texts, max_size=2),
    environment=st.dictionaries(texts, texts, max_size=2),
    started=texts,
    seconds=numbers,
    stories=tuples(st.builds(Story, texts, texts, texts)),
    traces=tuples(st.builds(TrainingTrace, texts, texts, points, points, st.booleans())),
)


@given(reports)
@settings(max_examples=80, deadline=None)
def test_a_report_survives_json_and_keeps_to_the_schema(report):
    text = json.dumps(report.to_dict(), allow_nan=False)
    VALIDATOR.validate(json.loads(text))
    assert Report.from_dict(json.loads(text)) == report


@pytest.mark.parametrize(
    "report",
    [sample_reports.full_report(), sample_reports.nasty_report(), Report(checks=())],
    ids=["full", "nasty", "empty"],
)
def test_the_file_holds_the_same_report(report):
    data = json.loads(json_file.render(report))
    assert data == json.loads(json.dumps(report.to_dict()))
    assert Report.from_dict(data).to_dict() == report.to_dict()
    assert json_file.render(report).isascii()


@pytest.mark.parametrize("report", [sample_reports.full_report(), Report(checks=())])
def test_the_file_keeps_to_the_schema(report):
    VALIDATOR.validate(json.loads(json_file.render(report)))


def test_the_schema_is_itself_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "gradcheck.report/2"),
        (("checks", 0, "verdict"), "passed"),
        (("checks", 0, "loss"), "NaN"),
        (("checks", 0, "parameters", 0, "shape"), [2.5]),
        (("checks", 0, "parameters", 0, "comparisons", "analytic~central", "resolution"), None),
        (("checks", 1, "diagnoses", 0, "confidence"), "sure"),
        (("timing", "checks"), {"a": "soon"}),
    ],
)
def test_the_schema_refuses_what_is_not_a_report(path, value):
    data = json.loads(json_file.render(sample_reports.full_report()))
    VALIDATOR.validate(data)
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(data)


def test_non_finite_numbers_are_strings():
    check = replace(sample_reports.error_check(), loss=math.inf)
    assert check.to_dict()["loss"] == "inf"
    assert replace(check, loss=-math.inf).to_dict()["loss"] == "-inf"
    assert replace(check, loss=math.nan).to_dict()["loss"] == "nan"
    back = Report.from_dict(sample_reports.report(sample_reports.error_check()).to_dict())
    assert math.isnan(back.checks[0].loss)


def test_all_times_stand_in_timing():
    fast = sample_reports.report(sample_reports.passing_check())
    slow = replace(
        fast, started="2030-01-01", seconds=99.0, checks=(replace(fast.checks[0], seconds=98.0),)
    )
    one, other = fast.to_dict(), slow.to_dict()
    assert one.pop("timing") != other.pop("timing")
    assert one == other


def test_checks_of_one_name_keep_their_times():
    one, other = sample_reports.error_check("a"), sample_reports.error_check("a")
    third = sample_reports.error_check("a #2")
    report = sample_reports.report(
        replace(one, seconds=1.0), replace(other, seconds=2.0), replace(third, seconds=3.0)
    )
    assert len(report.to_dict()["timing"]["checks"]) == 3
    assert [c.seconds for c in Report.from_dict(report.to_dict()).checks] == [1.0, 2.0, 3.0]


def test_keys_that_only_pages_need_may_be_missing():
    data = sample_reports.full_report().to_dict()
    data.pop("stories")
    for check in data["checks"]:
        check.pop("family")
        for parameter in check["parameters"]:
            for key in ("grids", "scatter", "histogram", "curves", "taylor", "best", "path"):
                parameter.pop(key)
    result = Report.from_dict(data).checks[0].parameters["W"]
    assert result.best == "analytic~autograd"  # the smaller resolution of the two
    assert result.grids == {}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: d.pop("schema"), "schema is None"),
        (lambda d: d.update(schema="junit"), "'junit'"),
        (lambda d: d.pop("checks"), "report has no key 'checks'"),
        (lambda d: d["checks"][1].update(verdict="ok"), "checks[1].verdict is 'ok'"),
        (lambda d: d["checks"][0].update(loss="much"), "checks[0].loss is 'much'"),
        (lambda d: d["checks"][0].update(seed=True), "checks[0].seed is True"),
        (lambda d: d["checks"][0]["parameters"][1].update(best="x~y"), "parameters[1].best"),
        (lambda d: d["checks"][0]["parameters"][0].update(shape=3), "parameters[0].shape is 3"),
        (lambda d: d.update(traces=[{"family": 1}]), "traces[0]"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(change, named):
    data = sample_reports.full_report().to_dict()
    change(data)
    with pytest.raises(UsageError) as raised:
        Report.from_dict(data)
    assert named in str(raised.value)


def test_a_list_is_no_report():
    with pytest.raises(UsageError, match="schema is 'list'"):
        Report.from_dict([])


def test_an_array_in_a_report_is_refused_by_name():
    check = replace(
        sample_reports.error_check(),
        diagnoses=(Diagnosis("sign", "W", "m", "exact", evidence={"x": np.zeros(2)}),),
    )
    with pytest.raises(TypeError, match=r"sign\.evidence\.x: ndarray"):
        check.to_dict()
