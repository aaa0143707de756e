"""The pytest plugin, seen from test suites of its users."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, SOFTMAX, environment

import gradcheck

SUITE = """
import homework

def test_right(gradcheck):
    check = gradcheck(homework.loss, homework.make_inputs(), autograd=False)
    assert check.verdict == "pass"

def test_wrong(gradcheck):
    gradcheck(homework.wrong, homework.make_inputs(), autograd=False)

def test_without():
    pass
"""


@pytest.fixture
def run(pytester, installed_plugin, monkeypatch):
    """Run pytest on a suite in a process of its own, with this checkout importable."""
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(installed_plugin), prepend=os.pathsep)
    pytester.makepyfile(homework=SOFTMAX)

    def run_suite(suite, *options):
        pytester.makepyfile(test_suite=suite)
        return pytester.runpytest_subprocess(
            "-p", "no:cacheprovider", "--rootdir", str(pytester.path), *options
        )

    return run_suite


def test_the_fixture_asserts_and_the_failure_is_the_table(run):
    result = run(SUITE)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*gradcheck(homework.wrong, homework.make_inputs(), autograd=False)",
            "E *GradientError: The gradient is wrong*",
            "E * W *(4, 3)*fail",
            "*gradcheck: 2 gradients checked: 1 pass, 1 fail",
        ]
    )
    text = result.stdout.str()
    assert "pipeline.py" not in text
    assert "pytest_plugin.py" not in text
    result.stdout.fnmatch_lines(["*python -m pytest test_suite.py::test_wrong*"])


def test_a_suite_that_checks_nothing_gets_no_line(run):
    result = run("def test_nothing(): pass\n")
    result.assert_outcomes(passed=1)
    assert "gradients checked" not in result.stdout.str()


def test_the_report_holds_every_check_of_the_run(run, pytester):
    result = run(SUITE, "--gradcheck-report", "out")
    result.stdout.fnmatch_lines(["*gradcheck: 2 gradients checked*report in *out"])
    report = json.loads((pytester.path / "out" / "report.json").read_text())
    assert [(c["name"], c["verdict"]) for c in report["checks"]] == [
        ("test_suite.py::test_right", "pass"),
        ("test_suite.py::test_wrong", "fail"),
    ]
    assert report["checks"][1]["reproduce"] == "python -m pytest test_suite.py::test_wrong"
    assert (pytester.path / "out" / "index.html").is_file()


def test_workers_of_xdist_send_their_checks_home(run, pytester):
    pytest.importorskip("xdist")
    result = run(SUITE, "-n", "2", "--gradcheck-report", "out")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*gradcheck: 2 gradients checked: 1 pass, 1 fail*"])
    report = json.loads((pytester.path / "out" / "report.json").read_text())
    assert sorted(c["name"] for c in report["checks"]) == [
        "test_suite.py::test_right",
        "test_suite.py::test_wrong",
    ]


def test_several_checks_of_one_test_are_numbered(run, pytester):
    suite = """
import homework
def test_twice(gradcheck):
    gradcheck(homework.loss, homework.make_inputs(), autograd=False)
    gradcheck(homework.loss, homework.make_inputs(), autograd=False, name="mine")
    gradcheck(homework.loss, homework.make_inputs(), autograd=False)
"""
    run(suite, "--gradcheck-report", "out").assert_outcomes(passed=1)
    report = json.loads((pytester.path / "out" / "report.json").read_text())
    assert [c["name"] for c in report["checks"]] == [
        "test_suite.py::test_twice",
        "mine",
        "test_suite.py::test_twice (3)",
    ]


def test_the_targets_own_exception_is_the_failure(run):
    suite = """
def loss(w):
    raise RuntimeError("mine")
def test_raises(gradcheck):
    gradcheck(loss, {"w": 1.0}, autograd=False)
"""
    result = run(suite)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *RuntimeError: mine"])


def test_a_file_is_no_place_for_a_report(run, pytester):
    (pytester.path / "out").write_text("")
    result = run(SUITE, "--gradcheck-report", "out")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--gradcheck-report out: this is a file; name a directory"])


def test_the_plugin_can_be_switched_off(run):
    result = run("def test_nothing(gradcheck): pass\n", "-p", "no:gradcheck")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'gradcheck' not found*"])


HYPOTHESIS_SUITE = """
import numpy as np
from hypothesis import given, settings
import gradcheck as gc

def loss(W, y):
    "Repeated labels are counted once: wrong as soon as two labels are the same."
    grad = np.zeros_like(W)
    grad[y] = 1 + 0 * W[y]
    return float(W[y].sum()), {"W": grad}

@settings(max_examples=200, derandomize=True)
@given(inputs=gc.strategies.inputs(W="randn(K)", y="integers(K, size=N)"))
def test_search(gradcheck, inputs):
    gradcheck(loss, inputs)
"""


def test_hypothesis_climbs_and_shrinks_within_a_test(run, pytester):
    result = run(HYPOTHESIS_SUITE, "--gradcheck-report", "out")
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert "array([1.])" in text
    assert "array([0, 0])" in text
    report = json.loads((pytester.path / "out" / "report.json").read_text())
    assert [(c["name"], c["verdict"]) for c in report["checks"]] == [
        ("test_suite.py::test_search", "fail")
    ]


UNUSED = """
import sys
def test_nothing():
    heavy = {"numpy", "torch", "hypothesis", "rich", "scipy", "gradcheck.report", "click"}
    assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def loaded_modules(tmp_path, suite):
    (tmp_path / "test_suite.py").write_text(suite)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "gradcheck.pytest_plugin"],
        cwd=tmp_path,
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTEST_ADDOPTS=""),
        capture_output=True,
        text=True,
        check=False,
    )


def test_unused_it_imports_nothing(tmp_path):
    result = loaded_modules(tmp_path, UNUSED)
    assert result.returncode == 0, result.stdout


def test_and_the_test_of_that_can_fail(tmp_path):
    result = loaded_modules(tmp_path, "import numpy\n" + UNUSED)
    assert result.returncode == 1
    assert "{'numpy'}" in result.stdout


def test_the_checkout_is_what_the_suites_import():
    assert Path(gradcheck.__file__).parent.samefile(ROOT / "gradcheck")
