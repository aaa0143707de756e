"""JUnit XML: a test case per check, for CI servers."""

from __future__ import annotations

import math
from xml.etree import ElementTree

from gradcheck.render.text import clip, name_of
from gradcheck.render.words import check_sentence, expectation_sentence
from gradcheck.report import Check, Report, Verdict


def render(report: Report) -> str:
    """Return the report as JUnit XML.

    A check that came out as declared is a passed test, also where it declares a wrong gradient;
    an inconclusive one is skipped; a target that could not be checked is an error.
    """
    kinds = [_kind(check) for check in report.checks]
    suites = ElementTree.Element("testsuites", name="gradcheck")
    suite = ElementTree.SubElement(
        suites,
        "testsuite",
        name="gradcheck",
        tests=str(len(kinds)),
        failures=str(kinds.count("failure")),
        errors=str(kinds.count("error")),
        skipped=str(kinds.count("skipped")),
        time=_seconds(report.seconds),
        timestamp=_xml(report.started),
    )
    for check, kind in zip(report.checks, kinds, strict=True):
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=_xml(name_of(check.family or "gradcheck", 200)),
            name=_xml(name_of(check.name, 200)),
            time=_seconds(check.seconds),
        )
        if kind:
            cause = check.diagnoses[0].cause if check.diagnoses else str(check.verdict)
            problem = ElementTree.SubElement(
                case, kind, message=_xml(_message(check)), type=_xml(name_of(cause, 200))
            )
            problem.text = _xml(_explanation(check))
    ElementTree.indent(suites)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, "unicode") + "\n"
    )


def _kind(check: Check) -> str:
    """Return the element that says how the case went; empty for a passed one."""
    if check.as_expected:
        return ""
    return {Verdict.ERROR: "error", Verdict.INCONCLUSIVE: "skipped"}.get(check.verdict, "failure")


def _message(check: Check) -> str:
    unlike = expectation_sentence(check)
    return f"{check_sentence(check)} {unlike}".strip()


def _explanation(check: Check) -> str:
    lines = []
    for diagnosis in check.diagnoses:
        where = diagnosis.location
        at = f" ({where.file}:{where.line})" if where is not None else ""
        lines.append(f"{diagnosis.cause}: {diagnosis.message}{at}")
    if check.reproduce:
        lines.append(f"reproduce: {check.reproduce}")
    return clip("\n".join(lines))


def _seconds(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "0"


def _xml(text: str) -> str:
    """Return text of characters that XML 1.0 allows."""
    return "".join(
        c
        if c in "\t\n" or "\x20" <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c >= "\U00010000"
        else "\ufffd"
        for c in text
    )
