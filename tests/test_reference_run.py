"""The main job: every reference model verified three ways, and all of them as declared."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import reference_models
from gradcheck.declared import run_cases
from gradcheck.report import Report, Verdict
from gradcheck.settings import Settings

SUMMARY = Path(__file__).parent.parent / "reports" / "summary.md"
FAMILIES_WITH_TWINS = {
    case.name for case in reference_models.__gradcheck__ if case.torch is not None
}
# Beside kinks, float64 hides the smallest entries in roundoff; longer floats, where there are any,
# do not.
LONGER = np.finfo(np.longdouble).eps < 0.1 * np.finfo(np.float64).eps


@pytest.fixture(scope="module")
def report() -> Report:
    return run_cases(reference_models.__gradcheck__, Settings())


def test_every_variant_comes_out_as_declared(report: Report) -> None:
    surprises = [
        (check.name, str(check.verdict), [one.cause for one in check.diagnoses])
        for check in report.checks
        if not check.as_expected
    ]
    assert surprises == []
    assert len(report.checks) == len(reference_models.__gradcheck__)


def test_every_wrong_gradient_is_explained_on_a_line_of_its_model(report: Report) -> None:
    for check in report.checks:
        if check.verdict is not Verdict.FAIL:
            continue
        first = check.diagnoses[0]
        assert first.cause == check.expected.cause, check.name
        assert first.message
        if check.name == "sigmoid_net.published":
            continue
        assert first.location is not None, check.name
        assert first.location.file.startswith("reference_models"), check.name
        assert first.location.source.strip(), check.name


def test_no_right_gradient_gets_a_cause(report: Report) -> None:
    assert [c.name for c in report.checks if c.verdict is Verdict.PASS and c.diagnoses] == []


def test_each_numpy_variant_is_compared_three_ways(report: Report) -> None:
    for check in report.checks:
        if check.name not in FAMILIES_WITH_TWINS or check.verdict is Verdict.ERROR:
            continue
        for parameter in check.parameter_results:
            wanted = {"analytic~central", "analytic~autograd", "autograd~central"}
            assert wanted <= set(parameter.comparisons), (check.name, parameter.name)


def test_torch_variants_are_held_against_forward_mode(report: Report) -> None:
    checks = {check.name: check for check in report.checks}
    for name in ("quadratic_regression.raw", "quadratic_regression.normalised"):
        for parameter in checks[name].parameter_results:
            assert {"analytic~central", "analytic~forward"} <= set(parameter.comparisons)


@pytest.mark.skipif(not LONGER, reason="numpy.longdouble is float64 here")
def test_right_gradients_agree_with_autograd_to_1e_9(report: Report) -> None:
    for check in report.checks:
        if check.verdict is not Verdict.PASS:
            continue
        for parameter in check.parameter_results:
            comparison = parameter.comparisons.get("analytic~autograd")
            if comparison is not None:
                assert comparison.max_relative_error <= 1e-9, (check.name, parameter.name)


@pytest.mark.skipif(not LONGER, reason="numpy.longdouble is float64 here")
def test_right_gradients_agree_with_central_differences_to_1e_6(report: Report) -> None:
    for check in report.checks:
        if check.verdict is not Verdict.PASS:
            continue
        for parameter in check.parameter_results:
            error = parameter.comparisons["analytic~central"].max_relative_error
            assert error <= 1e-6, (check.name, parameter.name, error)


def test_the_step_that_diverges_is_named_although_the_gradient_passes(report: Report) -> None:
    checks = {check.name: check for check in report.checks}
    for name in ("raw", "normalised"):
        keys = [notice.key for notice in checks[f"quadratic_regression.{name}"].warnings]
        assert ("step_too_long" in keys) == (name == "raw"), name


def test_a_target_that_changes_its_input_is_told_and_judged_all_the_same(report: Report) -> None:
    check = next(c for c in report.checks if c.name == "softmax_columns.inplace_bug")
    assert check.verdict is Verdict.PASS
    assert [notice.key for notice in check.warnings] == ["mutates_input"]


def test_large_checks_say_how_many_entries_had_a_central_difference(report: Report) -> None:
    check = next(c for c in report.checks if c.name == "random_relu_regression.published")
    assert check.parameters["w1"].checked == 500
    assert check.parameters["w1"].comparisons["analytic~autograd"].checked == 100_000


def test_the_report_survives_json(report: Report) -> None:
    text = json.dumps(report.to_dict(), allow_nan=False)
    assert Report.from_dict(json.loads(text)).to_dict() == report.to_dict()


def test_the_summary_kept_in_the_repository_has_the_verdicts_of_this_run(report: Report) -> None:
    kept = re.findall(r"^\| \S+ (\w+) \| `([\w.]+)` \|", SUMMARY.read_text("utf-8"), re.M)
    assert [(name, verdict) for verdict, name in kept] == [
        (check.name, str(check.verdict)) for check in report.checks
    ]
