"""What the tests share: pytester, and small targets in files of their own."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parent.parent

HAS_TORCH = importlib.util.find_spec("torch") is not None

needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
"""For tests whose expectations are those of a traced check."""


def _need_torch() -> list[str]:
    """The files of tests that import torch, or a helper that does, before any test runs."""
    texts = {path.stem: path.read_text("utf-8") for path in Path(__file__).parent.glob("*.py")}
    imports = re.compile(r"^(?:import|from) (?:tests\.)?(\w+)", re.MULTILINE)
    direct = {name for name, text in texts.items() if "torch" in imports.findall(text)}
    helpers = {name for name in direct if not name.startswith("test_")}
    through = {name for name, text in texts.items() if helpers & set(imports.findall(text))}
    # Their expectations are those of a traced check.
    traced = {"test_courses", "test_diagnose_loops", "test_kinks_traced", "test_reference_run"}
    return [f"{name}.py" for name in sorted(direct | through | traced)]


# A shell that starts a command in the background has it ignore Ctrl-C, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

collect_ignore = [] if HAS_TORCH else _need_torch()


def pytest_report_header() -> str | None:
    """Say what is left out where torch is not installed."""
    if HAS_TORCH:
        return None
    return f"torch is not installed: {len(collect_ignore)} files, and tests that need it, are out"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Skip a test that finds out on its way that it needs torch, where there is none."""
    if HAS_TORCH:
        return (yield)
    try:
        return (yield)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        pytest.skip("torch is not installed")


SOFTMAX = '''
import numpy as np


def loss(W, X, y, reg=0.1):
    """Softmax regression, right."""
    n = X.shape[0]
    scores = X @ W
    scores = scores - scores.max(axis=1, keepdims=True)
    p = np.exp(scores)
    p /= p.sum(axis=1, keepdims=True)
    value = -np.log(p[np.arange(n), y]).mean() + 0.5 * reg * np.sum(W * W)
    d = p.copy()
    d[np.arange(n), y] -= 1
    return value, {"W": X.T @ d / n + reg * W}


def wrong(W, X, y, reg=0.1):
    """The regulariser's gradient is twice what it should be."""
    value, grads = loss(W, X, y, reg)
    return value, {"W": grads["W"] + reg * W}


def make_inputs():
    rng = np.random.default_rng(0)
    return {
        "W": rng.normal(size=(4, 3)),
        "X": rng.normal(size=(7, 4)),
        "y": rng.integers(3, size=7),
    }


inputs = make_inputs()
'''


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty current directory; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.fixture
def softmax(workplace):
    """A directory that holds ``homework.py`` with a right and a wrong softmax regression."""
    (workplace / "homework.py").write_text(SOFTMAX)
    return workplace


def environment(**extra: str) -> dict[str, str]:
    """The environment of a subprocess that finds this checkout, on a terminal of no colours."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **extra,
    }


@pytest.fixture
def shell():
    """Run ``python -m gradcheck`` as a user does, in a process of its own."""

    def run(*arguments: str, cwd: Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gradcheck", *arguments],
            cwd=cwd,
            env=environment(),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def installed_plugin(tmp_path_factory) -> Path:
    """A folder that announces the plugin to pytest as an installed package does."""
    folder = tmp_path_factory.mktemp("installed")
    metadata = folder / "announced-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: announced\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text("[pytest11]\ngradcheck = gradcheck.pytest_plugin\n")
    return folder


@pytest.fixture
def targets(workplace):
    """A folder with ``targets.py``, whose functions go wrong in many ways."""
    from faulty_targets import TARGETS

    (workplace / "targets.py").write_text(TARGETS)
    return workplace
