"""Work that was finished is not done again, whatever ended the process."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import gradcheck.sweep.checkpoint as checkpoint_module
from gradcheck.errors import UsageError
from gradcheck.noise import loss_noise
from gradcheck.numpy_target.problem import Limits, numpy_problem
from gradcheck.oracles.central import central_differences
from gradcheck.problem import Problem
from gradcheck.sweep.checkpoint import Checkpoint, fingerprint
from gradcheck.sweep.moves import Block


class Counted:
    """A loss that counts its calls, and may stop everything at one of them."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.calls = 0
        self.stop_at = stop_at

    def __call__(self, W, b):
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        hidden = np.tanh(W.sum(1) + b)
        d = 2 * hidden * (1 - hidden**2)
        return float(np.sum(hidden**2)), {"W": np.repeat(d[:, None], W.shape[1], 1), "b": d}


def make(loss: object, limits: Limits | None = None) -> Problem:
    draw = np.random.default_rng(2)
    return numpy_problem(loss, {"W": draw.normal(size=(20, 30)), "b": np.ones(20)}, limits=limits)


def sweep(problem: Problem, path: Path | None) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    selection = {p.name: np.arange(p.value.size) for p in problem.parameters}

    def run() -> dict[str, np.ndarray]:
        noise = loss_noise(problem, generator)
        found = central_differences(problem, noise, generator, selection=selection)
        return {name: np.stack([one.value, one.uncertainty]) for name, one in found.items()}

    if path is None:
        return run()
    with Checkpoint(path, "the same") as kept:
        problem.evaluator.journal = kept
        return run()


def same(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> bool:
    return all(one[name].tobytes() == two[name].tobytes() for name in one)


def test_an_interrupted_sweep_goes_on_where_it_was_with_the_same_result(tmp_path: Path) -> None:
    plain = make(Counted())
    expected = sweep(plain, None)
    total = plain.evaluator.count

    path = tmp_path / "work"
    interrupted = Counted(stop_at=800)
    with pytest.raises(KeyboardInterrupt):
        sweep(make(interrupted), path)

    again = Counted()
    problem = make(again)
    started = again.calls
    assert same(sweep(problem, path), expected)
    assert again.calls - started < total - 650  # a chunk and the first calls are done again
    assert problem.evaluator.count == total

    finished = Counted()
    problem = make(finished)
    started = finished.calls
    assert same(sweep(problem, path), expected)
    assert finished.calls == started


def test_a_budget_that_ended_a_sweep_can_be_raised(tmp_path: Path) -> None:
    path = tmp_path / "work"
    sweep(make(Counted(), Limits(budget=500)), path)
    again = Counted()
    problem = make(again)
    started = again.calls
    assert same(sweep(problem, path), sweep(make(Counted()), None))
    assert again.calls - started <= problem.evaluator.count - 480


def test_a_sweep_with_workers_keeps_its_work(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from gradcheck.sweep.parallel import executor_workers

    path = tmp_path / "work"
    problem = make(Counted())
    with ThreadPoolExecutor(2) as executor:
        problem.evaluator.distributor = executor_workers(executor)
        found = sweep(problem, path)
    assert same(found, sweep(make(Counted()), None))
    finished = Counted()
    problem = make(finished)
    started = finished.calls
    assert same(sweep(problem, path), found)
    assert finished.calls == started


def test_losses_along_directions_are_kept_too(tmp_path: Path) -> None:
    def run() -> tuple[np.ndarray, int]:
        loss = Counted()
        problem = make(loss)
        started = loss.calls
        with Checkpoint(tmp_path / "work", "x") as kept:
            problem.evaluator.journal = kept
            blocks = [Block(0, (slice(2, 4),), np.full((2, 30), 0.1))]
            losses = [problem.evaluator.moved(blocks, [0.1, -0.1]) for _ in range(3)]
        return np.stack(losses), loss.calls - started

    (first, calls), (second, calls_again) = run(), run()
    assert calls == 6
    assert calls_again == 0
    assert first.tobytes() == second.tobytes()


SCRIPT = """
import sys, time
import numpy as np
from gradcheck.sweep.checkpoint import Checkpoint
from gradcheck.sweep.evaluator import Evaluator
x = np.linspace(0, 1, 400)
calls = 0
def loss():
    global calls
    calls += 1
    time.sleep(0.002)
    return float(np.sum(x**3))
evaluator = Evaluator(loss, [x])
with Checkpoint(sys.argv[1], "x") as kept:
    evaluator.journal = kept
    found = evaluator.entries(0, np.arange(400), np.linspace(1, 2, 400))
print(calls, found.tobytes().hex())
"""


@pytest.mark.parametrize("after", [0.3, 0.6])
def test_killed_at_any_moment_it_goes_on(
    tmp_path: Path, after: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, path = tmp_path / "main.py", tmp_path / "work"
    soon = "import gradcheck.sweep.checkpoint as c; c.FLUSH_SECONDS = 0.1\n"
    script.write_text(soon + textwrap.dedent(SCRIPT))
    home = str(Path(checkpoint_module.__file__).parents[2])
    command = [sys.executable, str(script), str(path)]
    environment = {**os.environ, "PYTHONPATH": home}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        while not path.exists() or path.stat().st_size < 500:
            time.sleep(0.01)
        time.sleep(after - 0.3)
        process.kill()
    calls, losses = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.split()
    x = np.linspace(0, 1, 400)
    expected = []
    for j, value in enumerate(np.linspace(1, 2, 400)):
        before, x[j] = x[j], value
        expected.append(float(np.sum(x**3)))
        x[j] = before
    assert losses == np.array(expected).tobytes().hex()
    assert int(calls) < 395


@pytest.mark.parametrize("cut", [1, 7, 30, 200])
def test_a_record_cut_short_or_damaged_is_dropped(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "work"
    with Checkpoint(path, "x") as kept:
        for j in range(20):
            kept.keep(kept.key(j), np.array([float(j), np.nan]))
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with Checkpoint(path, "x") as kept:
        n = len(kept)
        assert n == 20 - (cut + 39) // 40
        for j in range(n):
            found = kept.find(kept.key(j))
            assert found is not None
            assert found[0] == j
            assert np.isnan(found[1])
        kept.keep(kept.key("new"), np.zeros(1))
    damaged = bytearray(path.read_bytes())
    damaged[-3] ^= 1
    path.write_bytes(bytes(damaged))
    with Checkpoint(path, "x") as kept:
        assert len(kept) == n
        assert kept.find(kept.key("new")) is None


def test_another_checks_file_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "work"
    with Checkpoint(path, "one") as kept:
        kept.keep(kept.key(1), np.zeros(2))
    content = path.read_bytes()
    with pytest.raises(UsageError, match="belongs to another check"):
        Checkpoint(path, "two")
    assert path.read_bytes() == content

    notes = tmp_path / "notes.txt"
    notes.write_text("dear diary")
    with pytest.raises(UsageError, match="is not a checkpoint"):
        Checkpoint(notes, "one")
    assert notes.read_text() == "dear diary"

    with pytest.raises(UsageError, match="cannot be used"):
        Checkpoint(tmp_path / "missing" / "work", "one")
    with Checkpoint(path, "one"), pytest.raises(UsageError, match="another running check"):
        Checkpoint(path, "one")


def test_an_empty_or_barely_begun_file_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "work"
    for content in (b"", b'{"schema": "gradch'):
        path.write_bytes(content)
        with Checkpoint(path, "x") as kept:
            assert len(kept) == 0
            kept.keep(kept.key(1), np.ones(2))
        with Checkpoint(path, "x") as kept:
            assert len(kept) == 1


def cube(x, c):
    return c * float(np.sum(x**3)), 3 * c * x**2


def square(x, c):
    return c * float(np.sum(x**2)), 2 * c * x


def test_the_fingerprint_tells_targets_inputs_and_settings_apart() -> None:
    x = np.array([1.0, 2.0, 3.0])

    def of(target=cube, x=x, c=2.0, settings=("auto", 0)) -> str:
        return fingerprint(numpy_problem(target, {"x": x, "c": c}, "x"), target, settings)

    prints = {
        of(),
        of(square),
        of(x=x + 1e-12),
        of(x=x[:2]),
        of(c=3.0),
        of(settings=("auto", 1)),
    }
    assert len(prints) == 6
    assert of() in prints


def test_a_check_goes_on_from_its_checkpoint_and_refuses_anothers(tmp_path: Path) -> None:
    import gradcheck

    path = str(tmp_path / "work")
    inputs = {"x": np.linspace(1, 2, 300), "c": 2.0}
    expected = gradcheck.check(cube, inputs, "x", autograd=False).to_dict()
    part = gradcheck.check(cube, inputs, "x", autograd=False, checkpoint=path, budget=300)
    assert part.verdict == "inconclusive"
    whole = gradcheck.check(cube, inputs, "x", autograd=False, checkpoint=path)
    assert whole.to_dict() == expected
    with pytest.raises(gradcheck.UsageError, match="belongs to another check"):
        gradcheck.check(square, inputs, "x", autograd=False, checkpoint=path)


def test_each_check_of_a_package_has_a_file_of_its_own(tmp_path: Path) -> None:
    from gradcheck.case import Case
    from gradcheck.declared import run_cases
    from gradcheck.settings import Settings

    inputs = {"x": np.ones(3), "c": 2.0}
    cases = [Case("one", cube, inputs, wrt="x"), Case("two", square, inputs, wrt="x")]
    settings = Settings(checkpoint=str(tmp_path / "work"), autograd=False)
    for _ in range(2):
        report = run_cases(cases, settings)
        assert [check.verdict for check in report.checks] == ["pass", "pass"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["work.one", "work.two"]
