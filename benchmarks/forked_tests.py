"""Runs tests in a forked process: the heavy libraries are imported once, the checker each time."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

OPTIONS = (
    *("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # of libraries that are there already
)
LIBRARIES = (
    *("numpy", "scipy.optimize", "scipy.special", "scipy.linalg", "scipy.signal", "scipy.stats"),
    *("torch", "hypothesis.strategies", "hypothesis.extra.numpy", "pandas", "rich.console"),
    *("click", "jinja2", "optree", "pytest", "_pytest.pytester", "jsonschema"),
)


def preload() -> None:
    """Import what tests need besides the checker itself."""
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()


def run_tests(copy: Path, tests: Sequence[str], *, limit: float) -> tuple[str, str]:
    """Run tests of a copy of the repository until one fails.

    Args:
        copy: The folder; its ``gradcheck`` is imported, in a fresh process.
        tests: Node ids, as pytest names tests.
        limit: Seconds.

    Returns:
        ``("survived", "")``; ``("killed", test)``; ``("broken", reason)`` where a test's module
        could not be imported, or the process died; ``("too long", limit)``.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(copy, tests, writing)
    os.close(writing)
    try:
        said = _read(reading, time.monotonic() + limit)
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if said is None:
        return "too long", f"{limit:.0f} s"
    outcome, _, killer = said.partition(" ")
    return (outcome, killer) if outcome else ("broken", "the process died")


def _read(reading: int, until: float) -> str | None:
    """Read until the other end is closed or has said all; None when time is over."""
    said = b""
    while (left := until - time.monotonic()) > 0:
        if not select.select([reading], [], [], left)[0]:
            break
        piece = os.read(reading, 65536)
        said += piece
        if not piece or said.endswith(b"\n"):
            return said.decode().rstrip("\n")
    return None


def _child(copy: Path, tests: Sequence[str], writing: int) -> None:
    """Run pytest in a session of its own, say what came of it, and end without clean-up."""
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.chdir(copy)
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    here = str(Path(__file__).resolve().parent.parent)
    sys.path[:] = [str(copy), *(path for path in sys.path if path not in ("", here))]
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        del sys.modules[name]
    import pytest

    class First:
        failed = ""

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed and not self.failed:
                self.failed = report.nodeid

        def pytest_collectreport(self, report: pytest.CollectReport) -> None:
            if report.failed and not self.failed:
                self.failed = f"collecting {report.nodeid}"

    first = First()
    try:
        places = (f"--rootdir={copy}", f"--basetemp={copy.parent / 'temporary'}")
        code = int(pytest.main([*OPTIONS, *places, *tests], plugins=[first]))
    except BaseException as error:  # a checker that cannot be imported is killed by that
        code, first.failed = -1, type(error).__name__
    if code == 0:
        said = "survived "
    elif code == 1 and "::" in first.failed:
        said = f"killed {first.failed}"
    else:
        said = f"broken {first.failed} {code}"
    os.write(writing, said.encode() + b"\n")
    os._exit(0)
