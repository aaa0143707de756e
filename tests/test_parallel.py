"""Sweeps over workers give the losses of the serial sweep, bit for bit."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gradcheck.errors import UsageError
from gradcheck.numpy_target.problem import Limits, numpy_problem
from gradcheck.problem import Problem
from gradcheck.sweep import parallel
from gradcheck.sweep.evaluator import Evaluator
from gradcheck.sweep.parallel import can_fork, dask_workers, executor_workers, local_workers
from gradcheck.sweep.pool import Workers
from gradcheck.sweep.shipping import pack, unpack
from gradcheck.sweep.worker import proof_of

WEIGHTS = {"V": np.linspace(-1, 1, 12).reshape(3, 4)}


def layer(W, b):
    """A loss and its gradient with a matrix product, so that rounding has something to do."""
    hidden = np.tanh(W @ W.T + b)
    d = 2 * hidden * (1 - hidden**2)
    return float(np.sum(hidden**2)), {"W": (d + d.T) @ W, "b": d.sum(0)}


def make(pause: float = 0.0, *, limits: Limits | None = None) -> Problem:
    generator = np.random.default_rng(0)
    inputs = {"W": generator.normal(size=(12, 9)), "b": generator.normal(size=12)}

    def slow(W, b):  # a closure: cannot be pickled by name
        if pause:
            time.sleep(pause)
        return layer(W, b)

    return numpy_problem(slow, inputs, limits=limits)


def request(n: int = 108) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(n), np.random.default_rng(1).normal(size=n)


def serial(problem: Problem) -> np.ndarray:
    return problem.evaluator.here(0, *request())


@pytest.fixture
def fork_is_unsafe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "can_fork", lambda: False)


@pytest.fixture
def fork_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests may have imported torch; nothing of it runs here."""
    if sys.platform != "linux":
        pytest.skip("processes are forked on Linux alone")
    monkeypatch.setattr(parallel, "can_fork", lambda: True)


def sweep(problem: Problem, workers: Workers) -> np.ndarray:
    with workers:
        problem.evaluator.distributor = workers
        return problem.evaluator.entries(0, *request())


def test_forked_workers_give_the_serial_losses(fork_is_safe: None) -> None:
    problem = make()
    expected = serial(problem)
    before = [parameter.value.copy() for parameter in problem.parameters]
    count = problem.evaluator.count
    assert sweep(problem, local_workers(2)).tobytes() == expected.tobytes()
    assert problem.evaluator.count - count == len(expected)
    for parameter, value in zip(problem.parameters, before, strict=True):
        assert np.array_equal(parameter.value, value)


def test_spawned_workers_are_sent_closures_and_give_the_serial_losses(
    fork_is_unsafe: None,
) -> None:
    problem = make()
    assert sweep(problem, local_workers(2, target=layer)).tobytes() == serial(problem).tobytes()


def test_threads_have_parameters_of_their_own() -> None:
    problem = make(0.001)
    with ThreadPoolExecutor(4) as executor:
        found = sweep(problem, executor_workers(executor))
        assert found.tobytes() == serial(problem).tobytes()
        assert executor.submit(int, "7").result() == 7  # left open


@pytest.mark.slow
def test_an_executor_of_the_users_own() -> None:
    import multiprocessing

    problem = make()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        found = sweep(problem, executor_workers(executor))
    assert found.tobytes() == serial(problem).tobytes()


def test_progress_comes_in_from_all_workers_as_they_go_on(fork_is_safe: None) -> None:
    problem = make(0.002)
    told: list[int] = []
    problem.evaluator.on_progress(told.append)
    start = problem.evaluator.count
    sweep(problem, local_workers(2))
    assert told == sorted(told)
    assert len(told) >= 4
    assert told[-1] == start + 108


def test_budget_and_deadline_hold_for_workers(fork_is_safe: None) -> None:
    problem = make(limits=Limits(budget=40))
    losses = sweep(problem, local_workers(2))
    assert problem.evaluator.count <= 40
    assert problem.evaluator.exhausted
    done = int(np.isfinite(losses).sum())
    assert 0 < done < 40
    assert losses[:done].tobytes() == serial(problem)[:done].tobytes()

    problem = make(0.02)
    problem.evaluator.deadline = time.monotonic() + 0.6
    began = time.monotonic()
    losses = sweep(problem, local_workers(2))
    assert time.monotonic() - began < 2
    assert problem.evaluator.exhausted
    assert not np.isfinite(losses[-1])


def test_a_loss_that_raises_in_a_worker_is_not_a_number_and_says_why(fork_is_safe: None) -> None:
    def loss(x):
        if x[3] > 1:
            raise ValueError("outside")
        return float(x @ x), 2 * x

    problem = numpy_problem(loss, {"x": np.full(6, 0.5)})
    with local_workers(2) as workers:
        problem.evaluator.distributor = workers
        losses = problem.evaluator.entries(0, np.array([2, 3, 3]), np.array([2.0, 2.0, 0.1]))
    assert np.isnan(losses).tolist() == [False, True, False]
    assert problem.evaluator.first_error is not None
    assert re.fullmatch(
        r"ValueError: outside, in .*test_parallel\.py:\d+ \(loss\)", problem.evaluator.first_error
    )


def live_loss():
    V = WEIGHTS["V"]
    return float(np.sum(V**4)), {"V": 4 * V**3}


def test_parameters_in_a_module_are_inherited_by_a_fork(fork_is_safe: None) -> None:
    problem = numpy_problem(live_loss, None, params=WEIGHTS)
    indices, values = np.arange(12), np.linspace(0, 3, 12)
    expected = problem.evaluator.here(0, indices, values)
    with local_workers(2) as workers:
        problem.evaluator.distributor = workers
        assert problem.evaluator.entries(0, indices, values).tobytes() == expected.tobytes()


def test_copies_that_do_not_follow_their_parameters_are_refused() -> None:
    flat = np.linspace(0, 1, 6)
    other = flat.view()  # what the loss reads is a view itself, and pickled apart
    evaluator = Evaluator(lambda: float(other @ other), [flat])
    with ThreadPoolExecutor(1) as executor, executor_workers(executor) as workers:
        evaluator.distributor = workers
        with pytest.raises(UsageError, match=r"other values in a worker.*leave out workers"):
            evaluator.entries(0, np.arange(6), np.ones(6))
    assert np.array_equal(flat, np.linspace(0, 1, 6))


def test_what_cannot_be_sent_is_refused_with_a_way_out(fork_is_unsafe: None) -> None:
    lock = threading.Lock()

    def loss(x):
        with lock:
            return float(x @ x), 2 * x

    problem = numpy_problem(loss, {"x": np.ones(4)})
    problem.evaluator.distributor = local_workers(2)
    with pytest.raises(UsageError, match=r"cannot be sent.*lock.*leave out workers"):
        problem.evaluator.entries(0, np.arange(4), np.zeros(4))


@pytest.mark.parametrize("view", [np.s_[:], np.s_[1:, ::2], np.s_[2], np.s_[..., None]])
@pytest.mark.parametrize("order", ["C", "F"])
def test_parameters_that_are_views_of_what_the_loss_reads_stay_so(view: object, order: str) -> None:
    whole = np.array(np.arange(20.0).reshape(4, 5), order=order)
    evaluator = Evaluator(lambda: float(np.sum(whole**3)), [whole[view]])
    loss, (sent,) = unpack(pack(evaluator))
    assert np.array_equal(sent, whole[view])
    sent[...] += 1
    whole[view] += 1
    assert loss() == evaluator.loss()


@pytest.mark.parametrize("wrong", [3, "threads", object()])
def test_an_executor_that_is_none_is_refused(wrong: object) -> None:
    with pytest.raises(UsageError, match="has no submit"):
        executor_workers(wrong)  # type: ignore[arg-type]


def test_a_worker_that_dies_is_replaced(tmp_path, fork_is_safe: None) -> None:
    died = tmp_path / "died"
    main = os.getpid()

    def loss(x):
        if os.getpid() != main and x[5] == 7 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return float(x @ x), 2 * x

    problem = numpy_problem(loss, {"x": np.ones(8)})
    indices, values = np.arange(8), np.full(8, 7.0)
    expected = problem.evaluator.here(0, indices, values)
    with local_workers(2) as workers:
        problem.evaluator.distributor = workers
        assert problem.evaluator.entries(0, indices, values).tobytes() == expected.tobytes()
    assert died.exists()


def test_workers_that_keep_dying_end_in_an_error(fork_is_safe: None) -> None:
    main = os.getpid()

    def loss(x):
        if os.getpid() != main:
            os.kill(os.getpid(), signal.SIGKILL)
        return float(x @ x), 2 * x

    problem = numpy_problem(loss, {"x": np.ones(8)})
    with local_workers(2) as workers:
        problem.evaluator.distributor = workers
        with pytest.raises(UsageError, match="keep dying"):
            problem.evaluator.entries(0, np.arange(8), np.zeros(8))


def test_the_proof_tells_every_parameter() -> None:
    problem = make()
    proof, raised = proof_of(problem.evaluator)
    assert len(set(proof)) == 3
    assert raised is None
    assert (proof, None) == proof_of(problem.evaluator)
    many = [np.ones(2) for _ in range(20)]
    proof, _ = proof_of(Evaluator(lambda: float(sum(x.sum() for x in many)), many))
    assert len(proof) == 17


def test_forking_is_left_alone_beside_threads_and_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in parallel.UNSAFE_TO_FORK:
        monkeypatch.delitem(sys.modules, name, raising=False)
    others = threading.active_count() > 1
    assert can_fork() is (sys.platform == "linux" and not others)
    monkeypatch.setitem(sys.modules, "torch", sys)
    assert not can_fork()


def test_workers_end_when_the_main_process_is_killed(tmp_path) -> None:
    script = tmp_path / "main.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, time
            import numpy as np
            from gradcheck.sweep.evaluator import Evaluator
            from gradcheck.sweep.parallel import local_workers
            x = np.ones(400)
            main = os.getpid()
            def loss():
                if os.getpid() != main:
                    os.write(1, b"%d\\n" % os.getpid())
                    time.sleep(0.05)
                return float(x @ x)
            evaluator = Evaluator(loss, [x])
            evaluator.distributor = local_workers(2)
            evaluator.entries(0, np.arange(400), np.zeros(400))
            """
        )
    )
    home = str(Path(parallel.__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": home},
    )
    assert process.stdout is not None
    workers = {int(process.stdout.readline()) for _ in range(8)}
    process.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 10
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, workers))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_dask_needs_an_address_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no Dask scheduler answers at 'nonsense://x'"):
        dask_workers("nonsense://x")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match="needs distributed"):
        dask_workers("tcp://127.0.0.1:1")


@pytest.fixture
def cluster() -> Iterator[object]:
    import distributed

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as found:
        yield found


@pytest.mark.slow
def test_a_dask_cluster_loses_a_worker_and_the_sweep_is_complete_and_the_same(cluster) -> None:
    problem = make(0.01)
    expected = serial(problem)
    pids = [nanny.pid for nanny in cluster.workers.values()]
    done: list[int] = []

    def kill_one(count: int) -> None:
        done.append(count)
        if len(done) == 2:
            os.kill(pids[0], signal.SIGKILL)

    problem.evaluator.on_progress(kill_one)
    with dask_workers(cluster.scheduler_address, target=layer) as workers:
        problem.evaluator.distributor = workers
        found = problem.evaluator.entries(0, *request())
    assert len(done) > 3
    assert found.tobytes() == expected.tobytes()


def test_a_check_with_workers_is_the_same_check(fork_is_safe: None) -> None:
    import gradcheck

    generator = np.random.default_rng(0)
    inputs = {"W": generator.normal(size=(12, 9)), "b": generator.normal(size=12)}
    alone = gradcheck.check(layer, inputs, autograd=False).to_dict()
    assert gradcheck.check(layer, inputs, autograd=False, workers=2).to_dict() == alone
    with ThreadPoolExecutor(2) as executor:
        found = gradcheck.check(layer, inputs, autograd=False, executor=executor)
        assert found.to_dict() == alone
        with pytest.raises(UsageError, match="exclude each other"):
            gradcheck.check(layer, inputs, autograd=False, executor=executor, workers=2)
