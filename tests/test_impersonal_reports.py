"""No report tells where it was made or by whom: no paths, names or variables of a home."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import sample_reports

import gradcheck
from gradcheck.cli import run_command
from gradcheck.places import impersonal, impersonal_source, impersonal_text, shown_path

HOME = "/home/alice-in-chains"


@pytest.fixture
def at_home(tmp_path, monkeypatch):
    """A project, and a data folder outside it, under the home of someone with a name."""
    home = tmp_path / "home" / "alice-in-chains"
    project, elsewhere = home / "project", home / "elsewhere"
    project.mkdir(parents=True)
    elsewhere.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USER", "alice-in-chains")
    monkeypatch.setenv("API_TOKEN", "s3cr3t-t0k3n")
    monkeypatch.chdir(project)
    path, modules = list(sys.path), set(sys.modules)
    yield project, elsewhere
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(home)):
            del sys.modules[name]


LEAKY = """
import os
import warnings
import numpy as np

ELSEWHERE = {elsewhere!r}
calls = 0


def right(w):
    return float(np.sum(w ** 2)), {{"w": 2 * w}}


def wrong(w):
    s = np.asarray(w)  # see {elsewhere}/notes.txt
    value = float(np.sum(s ** 2))
    return value, {{"w": 3 * s}}


def raises(w):
    return np.load(os.path.join(ELSEWHERE, "missing.npy")), {{"w": w}}


def raises_later(w):
    global calls
    calls += 1
    if calls > 8:
        open(os.path.join(ELSEWHERE, "missing.txt"))
    return right(w)


def not_finite(w):
    warnings.warn(ELSEWHERE)
    return float("nan"), {{"w": w}}


def untraceable(w):
    if not isinstance(w, np.ndarray) or type(w) is not np.ndarray:
        raise ValueError("cannot read " + ELSEWHERE + "/extra")
    return right(w)


inputs = {{"w": np.array([1.0, 2.0])}}
"""


class TestReportsTellNothingOfTheirOrigin:
    def assert_impersonal(self, folder: Path, tmp_path: Path) -> None:
        files = [
            path for path in folder.rglob("*") if path.suffix in (".html", ".json", ".md", ".xml")
        ]
        assert files
        for path in files:
            text = path.read_text()
            for secret in (str(tmp_path), "alice-in-chains", "s3cr3t", "API_TOKEN", sys.prefix):
                assert secret not in text, (
                    path.name,
                    text[max(0, text.index(secret) - 200) :][:400],
                )

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("autograd", ["--autograd", "--no-autograd"])
    @pytest.mark.parametrize("where", ["project", "elsewhere"])
    def test_of_single_targets(self, at_home, tmp_path, where, autograd):
        project, elsewhere = at_home
        home = project if where == "project" else elsewhere
        (home / "leaky.py").write_text(LEAKY.format(elsewhere=str(elsewhere)))
        np.savez(elsewhere / "data.npz", w=np.ones(2))
        for target in ("right", "wrong", "raises_later", "not_finite", "untraceable"):
            out = project / target
            status = run_command(
                [
                    *(f"{home / 'leaky.py'}:{target}", "--inputs", str(elsewhere / "data.npz")),
                    *("--report", str(out), "--json", str(out) + ".json", autograd),
                    *("--junit", str(out) + ".xml", "-q"),
                ]
            )
            assert status == {"right": 0, "wrong": 1, "untraceable": 0}.get(target, 2)
            if target != "raises_later":
                self.assert_impersonal(out, tmp_path)
        self.assert_impersonal(project, tmp_path)

    @pytest.mark.filterwarnings("ignore")
    def test_of_a_package_whose_targets_raise(self, at_home, tmp_path):
        project, elsewhere = at_home
        text = LEAKY.format(elsewhere=str(elsewhere)) + (
            "\nfrom gradcheck import Case\n"
            "targets = (right, wrong, raises, not_finite)\n"
            "__gradcheck__ = [Case(f.__name__, f, inputs) for f in targets]\n"
        )
        (project / "leaky.py").write_text(text)
        assert run_command(["leaky", "--report", "out", "--self-contained", "--no-autograd"]) == 1
        self.assert_impersonal(project / "out", tmp_path)
        found = json.loads((project / "out" / "report.json").read_text())["checks"]
        messages = {check["name"]: check["diagnoses"] for check in found}
        # The name of the file still tells what is missing.
        assert "missing.npy" in messages["raises"][0]["message"]

    def test_the_result_in_python_does_not_either(self, at_home, tmp_path):
        _, elsewhere = at_home

        def loss(w):
            if np.any(w != 1):
                raise FileNotFoundError(f"{elsewhere}/more.npy")
            return 2.0, {"w": w}

        check = gradcheck.check(loss, {"w": np.ones(2)}, autograd=False)
        text = json.dumps(check.to_dict())
        assert "more.npy" in text
        assert str(tmp_path) not in text

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("no file '/usr/share/nowhere/data.npz'.", "no file 'data.npz'."),
            ("dL/dW /n/2, 1/(2*n) and a/b", "dL/dW /n/2, 1/(2*n) and a/b"),
            ("https://example.org/usr/share/x", "https://example.org/usr/share/x"),
            ("C:\\Users\\alice\\x.npz is not there", "x.npz is not there"),
            ("python -m gradcheck /usr/a/file.py:loss", "python -m gradcheck file.py:loss"),
            ("both relative/path.py and ../other.py", "both relative/path.py and ../other.py"),
            ("file=/usr/x/y.npz,/usr/z/w.npz", "file=y.npz,w.npz"),
        ],
    )
    def test_paths_within_a_text(self, text, shown):
        assert impersonal_text(text) == shown

    def test_paths_below_the_project_keep_their_folders(self, workplace):
        assert impersonal_text(f"in {workplace}/src/loss.py, line 3") == "in src/loss.py, line 3"
        assert shown_path(str(workplace / "src" / "loss.py")) == str(Path("src") / "loss.py")
        assert shown_path(np.__file__) == str(Path("numpy") / "__init__.py")

    def test_a_line_of_source_keeps_its_columns(self, monkeypatch):
        monkeypatch.setenv("HOME", HOME)
        line = f"x = np.load('{HOME}/x.npy') + np.sin(w)"
        shown = impersonal_source(line)
        assert HOME not in shown
        assert "alice" not in shown
        assert len(shown) == len(line)
        assert shown.index("np.sin") == line.index("np.sin")

    def test_what_is_impersonal_stays_as_it_is(self):
        for check in sample_reports.full_report().checks:
            # Not the checks themselves: NaN equals itself only where it stands in a tuple.
            assert dataclasses.astuple(impersonal(check)) == dataclasses.astuple(check)
