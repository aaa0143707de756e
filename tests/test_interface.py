"""Names, options, exit codes and keys stay as they were promised: each list stands here by hand."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

import gradcheck
from gradcheck.cli import run_command

OPTIONS = """
--inputs --arg --size --params --wrt --grad --vjp --torch --oracle --no-autograd --audit --no-audit
--only --learning-rate --jitter --repeats --confidence --entries --rtol --seed --search --report
--json --junit --workers --dask --budget --time --timeout --checkpoint --order --hess
--self-contained --render --compare -q -v --no-progress --version
"""
CAUSES = """
sign scale batch_not_divided batch_divided_twice reg_missing reg_scale reg_extra transpose permuted
swapped_parameters zero_gradient loss_ignores_parameter activation_mask_missing
activation_derivative_missing extra_activation_derivative path_detached term_missing wrong_axis
isolated_entries unexplained
shape_mismatch missing_gradient unknown_gradient integer_parameter mutates_input nondeterministic
non_finite_loss non_finite_gradient precision_limited kink step_too_long
duplicate_indices integer_truncation low_precision_accumulation broadcast_not_summed
last_step_missing stale_value accumulates vacuous_point wrong_twin not_traceable trace_discarded
not_checked domain_edge
"""
KEYS = {
    "report": "schema tool environment timing checks stories traces",
    "tool": "name version",
    "timing": "started seconds checks",
    "check": "name target verdict expected as_expected loss seed evaluations oracles warnings "
    "parameters diagnoses reproduce",
    "expected": "verdict cause parameters",
    "warning": "key message",
    "parameter": "name shape dtype entries checked verdict kinks comparisons grids scatter "
    "histogram curves taylor",
    "comparison": "max_relative_error median_relative_error norm_relative_error resolution "
    "failing_entries inconclusive_entries worst",
    "entry": "index analytic reference relative_error uncertainty verdict",
    "diagnosis": "cause parameter message confidence location evidence",
    "location": "file line source function context",
}

TARGETS = """
import numpy as np

from gradcheck import Case, faulty


def right(w):
    return float(np.sum(w**3)), {"w": 3 * w**2}


def wrong(w):
    return float(np.sum(w**3)), {"w": 2 * w**2}


def raises(w):
    raise ValueError("no")


def infinite(w):
    return float("inf"), {"w": w}


def nothing(w):
    return float(np.sum(w))


def none(w):
    return float(np.sum(w)), None


def unknown(w):
    return float(np.sum(w)), {"v": np.ones(3), "w": np.ones(3)}


def missing(w):
    return float(np.sum(w)), {"v": np.ones(3)}


def misshapen(w):
    return float(np.sum(w)), {"w": np.ones(2)}


def not_finite(w):
    return float(np.sum(w)), {"w": np.full(3, np.nan)}


def changes(w, x):
    x += 1
    return float(np.sum(w * w)), {"w": 2 * w}


def undecided(w):
    return 1e15 + float(np.sum(w)), {"w": np.ones(3)}


def number(c):
    return float(c * c), {"c": 2.0 * c}


w = {"w": np.array([0.5, 1.0, 2.0])}
CASES = {
    "right": Case("right", right, w),
    "wrong": Case("wrong", wrong, w),
    "raises": Case("raises", raises, w),
    "undecided": Case("undecided", undecided, {"w": np.array([1e-3, 2e-3, 3e-3])}),
    "declared": Case("declared", wrong, w, expect=faulty("scale", "w")),
}
"""
W = ("--arg", "w=[0.5, 1.0, 2.0]")


@pytest.fixture
def cases(workplace):
    (workplace / "cases.py").write_text(TARGETS)
    return workplace


def one_check(*arguments):
    status = run_command([*arguments, "--no-autograd", "--json", "found.json"])
    (check,) = json.loads(Path("found.json").read_text(encoding="utf-8"))["checks"]
    return status, check


def causes(check):
    return {found["cause"] for found in check["diagnoses"]}


def test_every_promised_option_is_there(capsys):
    assert run_command(["--help"]) == 0
    words = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", capsys.readouterr().out))
    assert set(OPTIONS.split()) - words == set()


def test_every_promised_cause_is_documented():
    documented = set(
        re.findall(r"`([a-z_0-9]+)`", (ROOT / "docs" / "causes.md").read_text("utf-8"))
    )
    assert set(CAUSES.split()) - documented == set()


def test_the_arguments_of_check_and_of_a_case():
    check = inspect.signature(gradcheck.check).parameters
    assert list(check)[1:3] == ["inputs", "wrt"]
    defaults = {"grad": None, "params": None, "torch": None, "executor": None, "name": None}
    for name, default in defaults.items():
        assert (check[name].kind, check[name].default) == (inspect.Parameter.KEYWORD_ONLY, default)
    settings = gradcheck.Settings()
    assert (settings.oracles, settings.entries) == (None, "auto")
    assert (settings.rtol, settings.seed) == (None, 0)
    promised = "name target inputs wrt grad vjp params torch expect learning_rate source note"
    case = inspect.signature(gradcheck.Case).parameters
    assert set(promised.split()) <= set(case)
    assert list(case)[:3] == promised.split()[:3]


def test_the_complex_step_settles_what_stays_undecided():
    matrix = np.array([[2.0, 0.3], [0.1, 1.5]])

    def loss(x, offset):
        z = np.linalg.solve(matrix, x)
        return offset + np.sum(z**3), np.linalg.solve(matrix.T, 3 * z**2)

    def compared(offset):
        inputs = {"x": np.array([0.7, 0.9]), "offset": offset}
        check = gradcheck.check(loss, inputs, ["x"], autograd=False)
        assert check.verdict == "pass"
        return set(check.parameters["x"].comparisons)

    assert compared(1e11) == {"analytic~central", "analytic~complex"}
    assert compared(0.0) == {"analytic~central"}


class TestWhichIsWhich:
    """What is an error of the target (2), a wrong gradient (1), a warning, or left open (3)."""

    @pytest.mark.parametrize(
        ("arguments", "cause"),
        [
            (("cases:infinite", *W), "non_finite_loss"),
            (("cases:right", "--arg", "w=[1, 2, 3]", "--wrt", "w"), "integer_parameter"),
        ],
    )
    def test_what_cannot_be_checked(self, cases, arguments, cause):
        status, check = one_check(*arguments)
        assert (status, check["verdict"]) == (2, "error")
        assert cause in causes(check)

    @pytest.mark.parametrize(
        "arguments",
        [
            ("cases:right", *W, "--nonsense"),
            ("nowhere:loss",),
            ("cases:right",),
            ("cases:raises", *W),
            ("cases:nothing", *W),
            ("cases:none", *W),
        ],
        ids=["bad option", "import error", "missing input", "raises", "no gradient", "None"],
    )
    def test_what_cannot_be_used(self, cases, arguments):
        assert run_command([*arguments, "--no-autograd"]) == 2

    @pytest.mark.parametrize(
        ("target", "cause"),
        [
            ("unknown", "unknown_gradient"),
            ("missing", "missing_gradient"),
            ("misshapen", "shape_mismatch"),
            ("not_finite", "non_finite_gradient"),
        ],
    )
    def test_what_is_wrong(self, cases, target, cause):
        status, check = one_check(f"cases:{target}", *W)
        assert (status, check["verdict"]) == (1, "fail")
        assert cause in causes(check)

    def test_what_is_a_warning(self, cases):
        status, check = one_check("cases:changes", *W, "--arg", "x=zeros(3)")
        assert (status, check["verdict"]) == (0, "pass")
        assert "mutates_input" in [notice["key"] for notice in check["warnings"]]
        status, check = one_check("cases:number", "--arg", "c=3")
        assert (status, check["verdict"]) == (0, "pass")
        assert "integer_parameter" in [notice["key"] for notice in check["warnings"]]

    def test_what_stays_open(self, cases):
        status, check = one_check("cases:undecided", "--arg", "w=[1e-3, 2e-3, 3e-3]")
        assert (status, check["verdict"]) == (3, "inconclusive")
        status, check = one_check("cases:right", *W, "--budget", "12")
        assert (status, check["verdict"]) == (3, "inconclusive")
        assert "not_checked" in causes(check)

    @pytest.mark.parametrize(
        ("names", "status"),
        [
            (("right", "declared"), 0),
            (("right", "undecided"), 3),
            (("undecided", "raises", "right"), 2),
            (("undecided", "raises", "wrong", "right"), 1),
        ],
    )
    def test_of_several(self, cases, names, status):
        """A target that raises is recorded, and the next one is checked all the same."""
        with (cases / "cases.py").open("a") as file:
            file.write(f"__gradcheck__ = [CASES[name] for name in {names!r}]\n")
        options = ["--no-autograd", "--no-report", "--json", "found.json"]
        assert run_command(["cases", *options]) == status
        report = json.loads(Path("found.json").read_text(encoding="utf-8"))
        found = {check["name"]: check["verdict"] for check in report["checks"]}
        assert tuple(found) == names
        assert found.get("raises", "error") == "error"


def test_a_gradient_error_is_an_assertion_error_with_the_table(capsys):
    def wrong(w):
        return float(np.sum(w**3)), {"w": 2 * w**2}

    with pytest.raises(gradcheck.GradientError) as caught:
        gradcheck.assert_gradients(wrong, {"w": np.ones(3)}, autograd=False)
    assert isinstance(caught.value, AssertionError)
    text = str(caught.value)
    assert re.search(r"parameter +shape +central +resolution +verdict", text)
    assert re.search(r"w +\(3,\) +\S+ +\S+ +✗ fail", text)
    assert issubclass(gradcheck.UsageError, ValueError)


class TestReport:
    def test_its_keys(self, cases):
        options = ["--no-autograd", "--no-report", "--json", "found.json", "--learning-rate", "9"]
        with (cases / "cases.py").open("a") as file:
            file.write("__gradcheck__ = list(CASES.values())\n")
        assert run_command(["cases", *options]) == 1
        report = json.loads(Path("found.json").read_text(encoding="utf-8"))
        assert report["schema"] == "gradcheck.report/1"
        checks = {check["name"]: check for check in report["checks"]}
        parts = {
            "report": [report],
            "tool": [report["tool"]],
            "timing": [report["timing"]],
            "check": report["checks"],
            "expected": [checks["declared"]["expected"]],
            "warning": [one for check in report["checks"] for one in check["warnings"]],
            "parameter": [one for check in report["checks"] for one in check["parameters"]],
            "diagnosis": [one for check in report["checks"] for one in check["diagnoses"]],
        }
        parts["comparison"] = [c for p in parts["parameter"] for c in p["comparisons"].values()]
        parts["entry"] = [entry for one in parts["comparison"] for entry in one["worst"]]
        for name, found in parts.items():
            assert found, name
            for one in found:
                assert set(KEYS[name].split()) - set(one) == set(), name
        assert all(
            one["confidence"] in ("exact", "likely", "possible") for one in parts["diagnosis"]
        )

    def test_a_place_in_the_source(self, workplace):
        pytest.importorskip("torch")
        (workplace / "relu.py").write_text(
            "import numpy as np\n\n\ndef loss(w, X):\n    h = np.maximum(X @ w, 0)\n"
            "    return float(np.sum(h * h)), {'w': X.T @ (2 * h + 2 * np.minimum(X @ w, 0))}\n"
        )
        arguments = ["relu:loss", "--arg", "w=randn(D)", "--arg", "X=randn(N,D)"]
        assert run_command([*arguments, "--json", "found.json"]) == 1
        (check,) = json.loads(Path("found.json").read_text(encoding="utf-8"))["checks"]
        places = [one["location"] for one in check["diagnoses"] if one["location"]]
        assert places
        for place in places:
            assert set(KEYS["location"].split()) - set(place) == set()
        assert set(check["parameters"][0]["comparisons"]) >= {
            "analytic~central",
            "analytic~autograd",
            "autograd~central",
        }

    def test_a_check_as_a_dict_is_its_element(self, workplace):
        def right(w):
            return float(np.sum(w**3)), {"w": 3 * w**2}

        check = gradcheck.check(right, {"w": np.ones(3)}, autograd=False)
        gradcheck.Report([check]).write("reports")
        written = json.loads(Path("reports/report.json").read_text(encoding="utf-8"))
        assert written["checks"] == json.loads(json.dumps([check.to_dict()]))
        names = {path.name for path in Path("reports").iterdir()}
        assert names >= {"index.html", "report.json", "summary.md", "assets"}

    def test_one_page_on_request(self, cases):
        arguments = ["cases:right", *W, "--no-autograd", "--report", "out", "--self-contained"]
        assert run_command(arguments) == 0
        names = {path.name for path in Path("out").iterdir()}
        assert "index.html" in names
        assert "assets" not in names
