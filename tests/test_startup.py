"""What a small check imports, and how long it takes beside importing NumPy."""

import importlib.util
import subprocess
import sys

import pytest
from conftest import ROOT, environment

TARGET = """
import numpy as np


def loss(w):
    return float(np.sum(w * w)), {"w": 2 * w}


gradcheck_inputs = {"w": np.array([1.0, 2.0, 3.0])}
"""

PROGRAM = """
import sys
from gradcheck.cli import run_command
status = run_command(["m:loss", "--no-autograd", "-q"])
print(status, *sorted(set(sys.argv[1:]) & set(sys.modules)))
"""


def imported(folder, *names, program=PROGRAM):
    (folder / "m.py").write_text(TARGET)
    result = subprocess.run(
        [sys.executable, "-c", program, *names],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.split()


def test_a_small_check_imports_nothing_that_it_does_not_need(tmp_path):
    slow = ("torch", "scipy", "hypothesis", "plotly", "jinja2", "dask", "numpy.ma", "email")
    # NumPy 1 imports some of them by itself.
    by_numpy = "import sys, numpy; print(0, *sorted(set(sys.argv[1:]) & set(sys.modules)))"
    assert imported(tmp_path, *slow) == imported(tmp_path, *slow, program=by_numpy)


def test_and_the_test_of_that_can_fail(tmp_path):
    assert imported(tmp_path, "numpy", "scipy") == ["0", "numpy"]
    assert imported(tmp_path, "gradcheck.check", "gradcheck.pipeline") != ["0"]


def test_importing_the_package_imports_nothing_else(tmp_path):
    program = "import sys, gradcheck; print(*sorted(set(sys.argv[1:]) & set(sys.modules)))"
    assert imported(tmp_path, "numpy", "click", "gradcheck.report", program=program) == []


@pytest.mark.slow
def test_the_ratios_to_importing_numpy():
    path = ROOT / "benchmarks" / "startup.py"
    spec = importlib.util.spec_from_file_location("startup", path)
    startup = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(startup)
    ratios = startup.measure()
    for name, (_, bound) in startup.COMMANDS.items():
        assert ratios[name] <= bound, ratios
