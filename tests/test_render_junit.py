"""JUnit: what CI servers count."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import sample_reports
from gold_files import assert_gold

from gradcheck.render import junit
from gradcheck.report import Report


def parsed(report: Report) -> ElementTree.Element:
    return ElementTree.fromstring(junit.render(report).encode("utf-8"))


def test_gold():
    assert_gold("junit.xml", junit.render(sample_reports.gold_report()))


def test_counts_are_of_what_did_not_come_out_as_it_should():
    suite = parsed(sample_reports.full_report())[0]
    kinds = {case.get("name"): [child.tag for child in case] for case in suite}
    assert kinds["two_layer_net.half_loss_double_grad"] == []  # wrong, as declared
    assert kinds["mnist_relu_net.no_return"] == []  # an error, as declared
    assert kinds["convolution.kernel"] == ["failure"]
    assert kinds["tanh_logistic_net.saturated"] == ["skipped"]
    counts = {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "6", "failures": "1", "errors": "0", "skipped": "1"}


def test_an_undeclared_error_is_an_error():
    check = replace(sample_reports.error_check(), expected=None)
    suite = parsed(sample_reports.report(check))[0]
    assert [child.tag for child in suite[0]] == ["error"]
    assert suite.get("errors") == "1"


def test_a_right_gradient_that_was_declared_wrong_is_a_failure():
    wrong = sample_reports.failing_check().expected
    check = replace(sample_reports.passing_check(), expected=wrong)
    suite = parsed(sample_reports.report(check))[0]
    assert [child.tag for child in suite[0]] == ["failure"]


def test_any_name_gives_xml():
    suite = parsed(sample_reports.nasty_report())[0]
    assert len(suite) == len(sample_reports.NASTY)
