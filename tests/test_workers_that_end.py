"""What workers finished is not lost when they end, and nothing of them is left behind."""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
import threading
import time
import types
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import spawn
from pathlib import Path

import numpy as np
import pytest
from conftest import environment

from gradcheck.errors import UsageError
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.problem import Problem
from gradcheck.sweep.checkpoint import Checkpoint
from gradcheck.sweep.evaluator import Evaluator
from gradcheck.sweep.parallel import _without_script, executor_workers
from gradcheck.sweep.pool import Pool, Workers
from gradcheck.sweep.worker import Task, evaluate, held


def loss(w):
    return float(np.sum(np.sin(w) ** 2)), 2 * np.sin(w) * np.cos(w)


def problem_of(target=loss) -> Problem:
    return numpy_problem(target, {"w": np.linspace(0.1, 1.3, 300)})


class Here:
    """A pool whose chunks are evaluated in this process, when they are submitted."""

    def __init__(self, *, interrupts_at: int | None = None) -> None:
        self.interrupts_at = interrupts_at
        self.submitted = 0

    def open(self, evaluator: Evaluator, token: str) -> Pool:
        held[token] = (evaluator.loss, evaluator.values)
        return Pool(self.submit, 1, None, lambda: None)

    def submit(self, task: Task) -> Future:
        self.submitted += 1
        if self.submitted == self.interrupts_at:
            raise KeyboardInterrupt
        future: Future = Future()
        future.set_result(evaluate(task))
        return future


def test_chunks_that_are_finished_when_ctrl_c_comes_are_told() -> None:
    problem = problem_of()
    evaluator = problem.evaluator
    indices, values = np.arange(300), np.linspace(1, 2, 300)
    expected = evaluator.here(0, indices, values)
    evaluator.finishes = True
    with Workers(Here(interrupts_at=4).open) as workers:
        evaluator.distributor = workers
        found = evaluator.entries(0, indices, values)
    assert evaluator.interrupted is not None
    told = ~np.isnan(found)
    assert 0 < told.sum() < 300
    assert np.array_equal(found[told], expected[told])


def test_ctrl_c_is_raised_at_once_where_nobody_asks_for_the_rest() -> None:
    evaluator = problem_of().evaluator
    with Workers(Here(interrupts_at=4).open) as workers:
        evaluator.distributor = workers
        with pytest.raises(KeyboardInterrupt):
            evaluator.entries(0, np.arange(300), np.linspace(1, 2, 300))


@pytest.mark.skipif(sys.platform == "win32", reason="processes are not forked there")
def test_a_worker_that_outlives_its_parent_does_not_hold_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "sweep.checkpoint"
    first = Checkpoint(path, "the same")
    first.keep(b"0" * 16, np.ones(2))
    ready, begun = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of other tests' threads
        worker = os.fork()
    if worker == 0:
        os.write(begun, b".")
        time.sleep(60)
        os._exit(0)
    try:
        assert os.read(ready, 1)
        first.close()
        with Checkpoint(path, "the same") as again:
            assert len(again) == 1
        # Near miss: while the first is open, a second is refused.
        with (
            Checkpoint(path, "the same"),
            pytest.raises(UsageError, match="another running check"),
        ):
            Checkpoint(path, "the same")
    finally:
        os.kill(worker, 9)
        os.waitpid(worker, 0)
        os.close(ready)
        os.close(begun)


def test_futures_of_workers_of_our_own_are_not_cancelled() -> None:
    """Where such a process dies later, Python's own thread would trip over what is cancelled."""
    waiting: list[Future] = []

    def submit(task: Task) -> Future:
        if len(waiting) == 2:
            raise KeyboardInterrupt
        waiting.append(Future())
        return waiting[-1]

    def open_pool(evaluator: Evaluator, token: str, *, own: bool) -> Pool:
        return Pool(submit, 2, None, lambda: None, own=own)

    for own in (True, False):
        waiting.clear()
        evaluator = problem_of().evaluator
        with Workers(lambda e, t, own=own: open_pool(e, t, own=own)) as workers:
            evaluator.distributor = workers
            evaluator.finishes = True
            evaluator.entries(0, np.arange(300), np.linspace(1, 2, 300))
        assert [future.cancelled() for future in waiting] == 2 * [not own]


def drawing(w):
    total = 0.0
    for _ in range(20):  # a draw now and then, so that threads come between
        total += random.gauss(0, 1e-3) + 1e-3 * np.random.randn()
    return float(np.sum(np.sin(w) ** 2) + total), 2 * np.sin(w) * np.cos(w)


def test_threads_take_turns_where_a_loss_draws_from_the_global_generators() -> None:
    problem = problem_of(drawing)
    indices, values = np.arange(300), np.linspace(1, 2, 300)
    expected = problem.evaluator.here(0, indices, values)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as executor, executor_workers(executor) as workers:
            problem.evaluator.distributor = workers
            found = problem.evaluator.entries(0, indices, values)
    finally:
        sys.setswitchinterval(before)
    assert found.tobytes() == expected.tobytes()


def raises_in_a_thread(w):
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("no licence for this machine")
    return loss(w)


def test_what_the_target_raises_in_a_worker_alone_is_told() -> None:
    problem = problem_of(raises_in_a_thread)
    with ThreadPoolExecutor(1) as executor, executor_workers(executor) as workers:
        problem.evaluator.distributor = workers
        with pytest.raises(UsageError, match="RuntimeError: no licence for this machine"):
            problem.evaluator.entries(0, np.arange(30), np.ones(30))


def test_a_script_is_not_run_again_where_its_functions_are_sent_whole(monkeypatch) -> None:
    main = types.ModuleType("__main__")
    main.__file__ = "script.py"
    main.__spec__ = None
    monkeypatch.setitem(sys.modules, "__main__", main)
    with _without_script():
        assert not any("main" in key for key in spawn.get_preparation_data("worker"))
    assert spawn.get_preparation_data("worker")["init_main_from_path"].endswith("script.py")
    # Near miss: by name alone, functions are found in the script that has been run again.
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with _without_script():
        assert "init_main_from_path" in spawn.get_preparation_data("worker")


SCRIPT = """
import threading
import numpy as np
import gradcheck

threading.Thread(target=threading.Event().wait, daemon=True).start()  # not to be forked beside
print("begun")

def loss(w):
    return np.sum(np.sin(w)), np.cos(w)

found = gradcheck.check(loss, np.linspace(0.1, 1.4, 300), autograd=False, workers=2)
print(found.verdict.value)
"""


@pytest.mark.slow
def test_a_script_without_a_guard_uses_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script)], env=environment(), capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("begun\npass\n", "")
