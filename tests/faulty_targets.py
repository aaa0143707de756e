"""Targets that go wrong, commands that check them, and what these leave behind."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import sample_reports
from conftest import environment

from gradcheck.report import Report

TARGETS = """
import os, signal, sys, threading, time
import numpy as np

MAIN = os.getpid()
calls = 0
inputs = np.linspace(0.1, 1.0, 400)


def right(w):
    return float(np.sum(np.sin(w) ** 2)), {"w": np.sin(2 * w)}


def later(action):
    def target(w):
        global calls
        calls += 1
        if calls > 40:
            action()
        return right(w)

    return target


def in_a_worker(action):
    def target(w):
        if os.getpid() != MAIN:
            action()
        return right(w)

    return target


def in_a_thread():
    thread = threading.Thread(target=os._exit, args=(0,))
    thread.start()
    thread.join()


def forking(w):
    child = os.fork()
    if not child:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    return right(w)


exits_later = later(lambda: sys.exit(0))
ends_process = later(lambda: os._exit(0))
ends_process_in_a_thread = later(in_a_thread)
out_of_memory_later = later(lambda: np.ones(10**15))
hangs = later(lambda: time.sleep(1000))
worker_hangs = in_a_worker(lambda: (open("hanging", "w").close(), time.sleep(1000)))
worker_exits = in_a_worker(lambda: os._exit(0))
worker_killed = in_a_worker(lambda: os.kill(os.getpid(), signal.SIGKILL))
worker_sys_exits = in_a_worker(lambda: sys.exit(0))


def two_gigabytes(w):
    return right(w)[0] + np.ones(250_000_000).sum(), right(w)[1]
"""
MODELS = """
import sys
import time
from pathlib import Path

import numpy as np
from gradcheck import Case

calls = 0


def loss(w):
    global calls
    calls += 1
    if calls == 250:
        Path("begun").touch()
    time.sleep(0.001)
    return float(np.sum(w ** 3)), {"w": 3 * w ** 2}


def exits(w):
    sys.exit(0)


point = {"w": np.linspace(0.5, 1.5, 6)}
__gradcheck__ = [
    *(Case(f"slow.{n}", loss, point) for n in range(12 - 8 * WITH_EXIT)),
    *([Case("exits", exits, point), Case("last", loss, point)] if WITH_EXIT else []),
]
"""


def command(*arguments: str, cwd: Path, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "gradcheck", "--no-autograd", *arguments],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        **options,
    )


def outcome(*arguments: str, cwd: Path, timeout: float = 60, **options) -> tuple[int, str]:
    process = command(*arguments, cwd=cwd, **options)
    try:
        text, _ = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return process.returncode, text


def check_target(name: str, *options: str, cwd: Path, **more) -> tuple[int, str]:
    return outcome(f"targets:{name}", "--inputs", "targets:inputs", *options, cwd=cwd, **more)


def small(name: str = "a", *, n: int = 2) -> Report:
    checks = [sample_reports.error_check(f"{name}.{number}") for number in range(n)]
    return sample_reports.report(*checks)


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} never came"
        time.sleep(0.02)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def assert_whole(folder: Path) -> None:
    """Every file of a report is there and complete, or none is; and nothing else is left over."""
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert not {name for name in names if name.endswith(".tmp")}
    if not names:
        return
    assert {"index.html", "report.json", "summary.md"} <= names
    report = Report.from_dict(json.loads((folder / "report.json").read_text()))
    assert report.checks
    pages = list(folder.glob("*.html"))
    assert len(pages) >= len(report.checks) + 1
    for page in pages:
        assert page.read_text().rstrip().endswith("</html>")
