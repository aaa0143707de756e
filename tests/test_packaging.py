"""What is installed is what works: wheel and sdist, in an environment that holds nothing else.

The slow tests build both, install the wheel into an empty virtual environment without torch, and
use it from a folder far from this checkout.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, SOFTMAX

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DATA = {
    "gradcheck/py.typed",
    "gradcheck/report_schema.json",
    *(f"gradcheck/render/assets/{name}" for name in ("gradcheck.css", "plots.js", "tables.js")),
    *(
        f"gradcheck/render/templates/{name}.html.jinja"
        for name in ("check", "index", "parts", "single")
    ),
}


def tracked() -> list[str]:
    found = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip("not a checkout")
    return [name for name in found.stdout.split("\0") if name and (ROOT / name).is_file()]


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    return {
        normal(line.partition("==")[0]): line.partition("==")[2]
        for line in lines
        if line and not line.startswith("#")
    }


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements() -> list[str]:
    extras = PROJECT["optional-dependencies"]
    chosen = [*PROJECT["dependencies"], *extras["torch"], *extras["hypothesis"], *extras["dask"]]
    return [*chosen, *(line for line in extras["test"] if not line.startswith("gradcheck"))]


class TestVersions:
    def test_every_lower_bound_is_the_version_that_was_tested(self):
        """The lowest versions are those of constraints-lowest.txt, which .ci/lowest runs."""
        lowest = pins("constraints-lowest.txt")
        for line in requirements():
            name, bound = re.fullmatch(r"([\w.-]+)(?:\[\w+\])?>=([\w.]+)", line).groups()
            pinned = lowest[normal(name)].split(".")
            assert pinned[: len(bound.split("."))] == bound.split("."), line
            # The bound itself, not a later release of the same series.
            assert not any(int(part) for part in pinned[len(bound.split(".")) :]), (line, pinned)

    def test_every_requirement_is_pinned(self):
        pinned = pins("constraints.txt")
        for line in requirements():
            assert normal(re.match(r"[\w.-]+", line).group()) in pinned, line

    def test_what_a_report_needs_is_among_the_package_data(self):
        here = {path for path in tracked() if path.startswith("gradcheck/")}
        assert {path for path in here if not path.endswith(".py")} == DATA

    def test_the_version_is_said_once_and_the_same_everywhere(self):
        import gradcheck

        assert gradcheck.__version__ == PROJECT["version"]

    def test_every_module_of_the_package_is_below_a_package(self):
        for path in (ROOT / "gradcheck").rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), path


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the wheel and the sdist, built from a copy of what is tracked."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    python = environment_with(folder / "builder", PROJECT_BUILD)
    code = "import setuptools.build_meta as b; b.build_sdist('..'); b.build_wheel('..')"
    run(python, "-c", code, cwd=source)
    return folder


PROJECT_BUILD = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]


def environment_with(folder: Path, packages: list[str]) -> Path:
    """Make a virtual environment and install packages into it; return its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    arguments = ["-c", str(ROOT / "constraints.txt")]
    installed = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", *arguments, *packages],
        cwd=folder,
        env=clean(),
        capture_output=True,
        text=True,
        check=False,
    )
    if "No matching distribution" in installed.stderr or "Connection" in installed.stderr:
        pytest.skip("no package index can be reached")
    assert installed.returncode == 0, installed.stderr
    return python


def clean() -> dict[str, str]:
    """The environment without this checkout or another Python's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return {**kept, "OMP_NUM_THREADS": "1"}


def run(python: Path | str, *arguments: str, cwd: Path, expected: int = 0) -> str:
    done = subprocess.run(
        [python, *arguments],
        cwd=cwd,
        env=clean(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """The Python of an environment that holds the wheel and what it requires."""
    (wheel,) = built.glob("*.whl")
    return environment_with(tmp_path_factory.mktemp("empty") / "venv", [str(wheel)])


@pytest.fixture
def workplace_of_someone(tmp_path) -> Path:
    (tmp_path / "homework.py").write_text(SOFTMAX)
    return tmp_path


@pytest.mark.slow
class TestBuilt:
    def test_the_wheel_holds_the_package_with_its_data_and_nothing_else(self, built):
        (wheel,) = built.glob("*.whl")
        names = set(zipfile.ZipFile(wheel).namelist())
        own = {name for name in names if ".dist-info/" not in name}
        assert own == {path for path in tracked() if path.startswith("gradcheck/")}
        assert own >= DATA
        assert any(name.endswith("licenses/LICENSE") for name in names)

    def test_the_sdist_holds_what_its_tests_need(self, built):
        (sdist,) = built.glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        folders = ("gradcheck/", "tests/", "reference_models/", "docs/", "benchmarks/")
        expected = {path for path in tracked() if path.startswith(folders)}
        assert expected <= names
        assert {"pyproject.toml", "README.md", "LICENSE", "constraints.txt"} <= names
        assert not [name for name in names if name.startswith((".ci", "reports", ".git"))]
        assert not [name for name in names if "__pycache__" in name]


@pytest.mark.slow
class TestInstalled:
    def test_a_check_and_its_report(self, installed, workplace_of_someone):
        here = workplace_of_someone
        arguments = ("homework:wrong", "--inputs", "homework:inputs", "--report", "out")
        text = run(installed, "-m", "gradcheck", *arguments, cwd=here, expected=1)
        assert "✗ fail" in text
        assert "torch is not installed" in " ".join(text.split())
        names = {str(path.relative_to(here / "out")) for path in (here / "out").rglob("*")}
        assert {"index.html", "report.json", "summary.md", "assets/plotly.min.js"} <= names
        found = json.loads((here / "out" / "report.json").read_text())
        assert found["environment"]["torch"] == "not installed"
        assert found["tool"]["version"] == PROJECT["version"]
        command = installed.parent / "gradcheck"
        assert PROJECT["version"] in run(command, "--version", cwd=here)
        run(command, "homework:loss", "--inputs", "homework:inputs", cwd=here)

    def test_from_python_with_its_schema(self, installed, workplace_of_someone):
        code = (
            "import gradcheck, homework, json, importlib.resources as r\n"
            "check = gradcheck.check(homework.loss, homework.inputs)\n"
            "assert check.verdict == 'pass', check\n"
            "gradcheck.Report((check,)).write('out')\n"
            "json.loads(r.files('gradcheck').joinpath('report_schema.json').read_text())\n"
            "assert r.files('gradcheck').joinpath('py.typed').is_file()\n"
            "print(gradcheck.__file__)\n"
        )
        text = run(installed, "-c", code, cwd=workplace_of_someone)
        assert str(ROOT) not in text

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--torch", "homework:loss"), "torch"),
            (("--oracle", "autograd"), "torch"),
            (("--search", "5"), "hypothesis"),
            (("--dask", "tcp://127.0.0.1:1"), "dask"),
        ],
        ids=["twin", "oracle", "search", "dask"],
    )
    def test_what_is_missing_is_said_in_a_line(
        self, installed, workplace_of_someone, options, said
    ):
        inputs = ("--arg", "W=randn(D,K)", "--arg", "X=randn(N,D)", "--arg", "y=integers(K,size=N)")
        done = subprocess.run(
            [installed, "-m", "gradcheck", "homework:loss", *inputs, *options],
            cwd=workplace_of_someone,
            env=clean(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        text = " ".join((done.stdout + done.stderr).split())
        assert "Traceback" not in text, text
        assert done.returncode in (0, 2, 3), text
        assert re.search(f"(?i){said}.*(pip install| is not installed)", text), text

    def test_types_are_seen_by_those_who_use_it(self, installed, workplace_of_someone):
        pytest.importorskip("mypy")
        (workplace_of_someone / "use.py").write_text(
            "import gradcheck\n"
            "check = gradcheck.check(lambda w: w, {})\n"
            "reveal_type(check)\n"
            "check.no_such_thing\n"
        )
        text = run(
            sys.executable,
            *("-m", "mypy", "--strict", "--python-executable", str(installed), "use.py"),
            cwd=workplace_of_someone,
            expected=1,
        )
        assert 'Revealed type is "gradcheck.report.Check"' in text
        assert '"Check" has no attribute "no_such_thing"' in text
        assert "Found 1 error" in text
