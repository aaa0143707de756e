"""Whatever goes wrong: parameters are as before, files are whole or not there, the status says it.

Ctrl-C and SIGTERM at any moment, targets that raise, hang, exit, run out of memory or kill their
worker, disks and folders that take nothing, folders of other people, several runs at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sample_reports
from conftest import environment

import gradcheck
from gradcheck.errors import Interrupted, UsageError
from gradcheck.render import files
from gradcheck.render.files import write_report, write_text
from gradcheck.render.uninterrupted import uninterrupted
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


@pytest.fixture
def targets(workplace):
    (workplace / "targets.py").write_text(TARGETS)
    return workplace


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


class Model:
    """A two-layer net with parameters of its own, its last gradient right or wrong."""

    def __init__(self, *, wrong: bool) -> None:
        generator = np.random.default_rng(0)
        self.params = {
            "W1": generator.normal(size=(3, 4)),
            "b1": generator.normal(size=4),
            "W2": generator.normal(size=(4, 2)),
        }
        self.data = generator.normal(size=(5, 3))
        self.factor = 2.0 if wrong else 1.0

    def loss(self):
        hidden = np.tanh(self.data @ self.params["W1"] + self.params["b1"])
        out = hidden @ self.params["W2"]
        slope = (out @ self.params["W2"].T) * (1 - hidden * hidden)
        return 0.5 * np.sum(out * out), {
            "W1": self.data.T @ slope,
            "b1": slope.sum(axis=0),
            "W2": self.factor * hidden.T @ out,
        }


def interrupted_at(moment: int, call, error=KeyboardInterrupt) -> tuple[int, BaseException | None]:
    """Run ``call``, raise ``error`` as a signal would: on entry to a function, or after C code.

    While signals are held back, it waits until they no longer are.

    Returns:
        How many such moments went by, and what came out of it.
    """
    gone_by = 0

    def count(frame, event, argument):
        nonlocal gone_by
        if event in ("call", "c_return"):
            gone_by += 1
            if 0 < moment <= gone_by and signal.getsignal(signal.SIGINT) is handler:
                sys.setprofile(None)
                raise error

    before, handler = sys.getprofile(), signal.getsignal(signal.SIGINT)
    sys.setprofile(count)
    try:
        call()
    except BaseException as found:
        return gone_by, found
    finally:
        sys.setprofile(before)
    return gone_by, None


def settings_of_the_process() -> tuple:
    return (
        np.geterr(),
        np.random.get_state()[1].tobytes(),
        random.getstate(),
        list(warnings.filters),
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGTERM),
        signal.getsignal(signal.SIGALRM),
        signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        Path.cwd(),
        sys.stdout,
        os._exit,
    )


class TestInterruptedAnywhere:
    @pytest.mark.parametrize("kind", ["right", "wrong", "timeout"])
    def test_parameters_and_process_are_as_before(self, kind):
        options = {"right": {}, "wrong": {}, "timeout": {"timeout": 5.0}}[kind]
        model = Model(wrong=kind == "wrong")
        before = {name: value.copy() for name, value in model.params.items()}

        def call():
            gradcheck.check(model.loss, (), autograd=False, **options)

        interrupted_at(-1, call)  # fills what is kept from the first check on
        total, _ = interrupted_at(-1, call)
        state = settings_of_the_process()
        interruptions = 0
        for moment in random.Random(0).sample(range(1, total), 40):
            _, error = interrupted_at(moment, call)
            assert error is None or isinstance(error, KeyboardInterrupt), moment
            interruptions += error is not None
            for name, value in model.params.items():
                assert np.array_equal(value, before[name]), (moment, name)
            assert settings_of_the_process() == state, moment
        assert interruptions > 20

    @pytest.mark.slow
    def test_nor_while_a_trace_is_taken_and_its_pictures_are_drawn(self):
        pytest.importorskip("torch")
        model = Model(wrong=True)
        before = {name: value.copy() for name, value in model.params.items()}

        def call():
            gradcheck.check(model.loss, (), pictures=True, thorough=True)

        interrupted_at(-1, call)
        total, _ = interrupted_at(-1, call)
        state = settings_of_the_process()
        found = []
        for moment in random.Random(1).sample(range(1, total), 25):
            gone_by, error = interrupted_at(moment, call)
            assert isinstance(error, KeyboardInterrupt) or gone_by < moment
            found.append(isinstance(error, Interrupted))
            for name, value in model.params.items():
                assert np.array_equal(value, before[name]), (moment, name)
            assert settings_of_the_process() == state, moment
        assert sum(found) > 8  # most of them still have something to tell

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore")
    def test_nor_is_a_module_of_torch_changed(self):
        torch = pytest.importorskip("torch")
        nn = torch.nn
        layer = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Dropout(0.5))
        data = torch.randn(5, 4)
        before = {name: value.clone() for name, value in layer.state_dict().items()}
        parameters = [id(one) for one in layer.parameters()]

        def call():
            gradcheck.check(layer, (data,))

        interrupted_at(-1, call)
        total, _ = interrupted_at(-1, call)
        drawn = torch.get_rng_state()
        for moment in random.Random(2).sample(range(1, total), 15):
            gone_by, error = interrupted_at(moment, call)
            assert isinstance(error, KeyboardInterrupt) or gone_by < moment
            for name, value in layer.state_dict().items():
                assert torch.equal(value, before[name]), (moment, name)
            assert [id(one) for one in layer.parameters()] == parameters
            assert all(one.grad is None for one in layer.parameters())
            assert torch.equal(torch.get_rng_state(), drawn)
            assert torch.is_grad_enabled()
            assert layer.training

    def test_after_the_last_evaluation_the_verdict_is_still_told(self, monkeypatch):
        def search(*_arguments, **_options):
            raise KeyboardInterrupt

        monkeypatch.setattr("gradcheck.explain.explain", search)
        with pytest.raises(Interrupted) as caught:
            gradcheck.check(Model(wrong=True).loss, (), autograd=False)
        assert caught.value.check.verdict == "fail"
        assert caught.value.check.parameters["W2"].checked == 8

    def test_pictures_are_not_worth_a_verdict(self, monkeypatch):
        def draw(*_arguments, **_options):
            raise KeyboardInterrupt

        monkeypatch.setattr("gradcheck.drawing.draw.draw", draw)
        with pytest.raises(Interrupted) as caught:
            gradcheck.check(Model(wrong=True).loss, (), autograd=False, pictures=True)
        assert caught.value.check.verdict == "fail"
        assert caught.value.check.diagnoses

    @pytest.mark.parametrize("n", [4, 131_080], ids=["from a copy", "without a copy"])
    @pytest.mark.parametrize("way", ["blocks", "entries"])
    @pytest.mark.parametrize("signals", [1, 2])
    def test_signals_while_several_parameters_are_moved_and_put_back(self, n, way, signals):
        """Putting back a large array takes its time, and Ctrl-C may come while it lasts."""
        from gradcheck.sweep.evaluator import Evaluator
        from gradcheck.sweep.moves import Block

        values = [np.arange(float(n)) / 3, np.arange(3.0), np.arange(2.0)]
        before = [value.copy() for value in values]
        blocks = [Block(number, (), np.ones(len(v))) for number, v in enumerate(values)]

        def loss():
            if signals == 2:
                raise KeyboardInterrupt
            return float(values[0].sum())

        def call():
            evaluator = Evaluator(loss, values)
            if way == "blocks":
                evaluator.moved(blocks, [0.5, 1.0])
            else:
                evaluator.together(0, np.array([1, 3]), np.ones(2), [0.5, 1.0])

        total, _ = interrupted_at(-1, call)
        assert total > 20
        for moment in range(1, total + 1):
            _, error = interrupted_at(moment, call)
            # The error still holds what was left behind: nothing waits for it to be forgotten.
            assert isinstance(error, KeyboardInterrupt) or moment == total
            for value, start in zip(values, before, strict=True):
                assert np.array_equal(value, start), moment


class TestSignals:
    """A run of a package that writes a report, stopped from outside."""

    def stop(self, folder: Path, number: int, delay: float | None) -> int:
        """Send the signal after ``delay`` seconds, or when some checks are done."""
        process = command("models", "--report", "out", cwd=folder)
        try:
            if delay is not None:
                time.sleep(delay)
            else:
                wait_for(folder / "begun")
            process.send_signal(number)
            text, _ = process.communicate(timeout=30)
        finally:
            process.kill()
        # Negative: it had not begun, or had ended, and the system's own answer was given.
        allowed = {signal.SIGINT: (130, -2, 0), signal.SIGTERM: (143, -15, 0)}[number]
        assert process.returncode in allowed, text
        out = folder / "out"
        if out.is_dir():
            assert_whole(out)
        if "of 12 checks" in text:
            assert (out / "report.json").is_file(), text
        return process.returncode

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_in_the_middle(self, workplace, number):
        (workplace / "models.py").write_text(MODELS.replace("WITH_EXIT", "False"))
        assert self.stop(workplace, number, None) == 128 + number
        report = json.loads((workplace / "out" / "report.json").read_text())
        assert 1 <= len(report["checks"]) < 12

    @pytest.mark.slow
    def test_at_many_moments(self, workplace):
        (workplace / "models.py").write_text(MODELS.replace("WITH_EXIT", "False"))
        began = time.monotonic()
        assert outcome("models", "--report", "out", cwd=workplace)[0] == 0
        took = time.monotonic() - began
        generator = random.Random(1)
        found = []
        for _ in range(25):
            number = generator.choice([signal.SIGINT, signal.SIGTERM])
            found.append(self.stop(workplace, number, generator.uniform(0.0, 1.1) * took))
        assert sum(status > 128 for status in found) > 5

    def test_while_files_are_written_they_are_all_written(self, tmp_path, monkeypatch):
        replaced = []
        real = Path.replace

        def replace(self, target):
            replaced.append(target)
            if len(replaced) == 2:
                signal.raise_signal(signal.SIGINT)
            return real(self, target)

        monkeypatch.setattr(files.Path, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            write_report(small(), tmp_path / "out")
        assert_whole(tmp_path / "out")
        assert len(replaced) > 5

    def test_signals_that_are_ignored_stay_ignored(self):
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with uninterrupted():
                signal.raise_signal(signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        finally:
            signal.signal(signal.SIGINT, before)

    def test_an_interruption_when_handlers_are_put_back_leaves_all_of_them_put_back(self):
        from gradcheck.render.uninterrupted import uninterrupted

        def call():
            with uninterrupted():
                pass

        state = settings_of_the_process()
        moments, error = 0, KeyboardInterrupt()
        while error is not None:
            moments += 1
            _, error = interrupted_at(moments, call)
            assert settings_of_the_process() == state, moments
        assert moments > 10

    def test_what_was_held_back_nested_comes_once_and_at_the_end(self):
        steps = []

        def held_back():
            with uninterrupted():
                with uninterrupted():
                    signal.raise_signal(signal.SIGINT)
                    steps.append("inner")
                steps.append("outer")

        with pytest.raises(KeyboardInterrupt):
            held_back()
        assert steps == ["inner", "outer"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class TestTargets:
    @pytest.mark.parametrize("name", ["exits_later", "ends_process"])
    def test_one_that_exits_is_no_pass(self, targets, name):
        status, text = check_target(name, cwd=targets)
        assert status == 2
        assert "a target must return" in text

    def test_one_that_ends_the_process_from_a_thread_is_no_pass(self, targets):
        status, text = check_target("ends_process_in_a_thread", cwd=targets)
        assert status == 2
        assert "a thread of the target ended the process" in text

    def test_processes_that_it_forks_may_end_as_they_wish(self, targets):
        status, text = check_target("forking", "--entries", "2", cwd=targets)
        assert (status, "pass" in text) == (0, True), text

    def test_one_of_several_that_exits_is_an_error_and_the_others_go_on(self, workplace):
        (workplace / "models.py").write_text(MODELS.replace("WITH_EXIT", "True"))
        status, text = outcome("models", "--json", "out.json", "--no-report", cwd=workplace)
        assert status == 2, text
        checks = json.loads((workplace / "out.json").read_text())["checks"]
        verdicts = {check["name"]: check["verdict"] for check in checks}
        assert verdicts["exits"] == "error"
        assert verdicts["last"] == "pass"
        assert len(verdicts) == 6

    def test_no_memory_is_an_error_of_the_machine_and_not_of_the_point(self, targets):
        status, text = check_target("out_of_memory_later", cwd=targets)
        assert status == 2
        assert "raised MemoryError" in text

    @pytest.mark.slow
    def test_a_limit_on_memory(self, targets):
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000, 1_500_000_000))

        status, text = check_target("right", cwd=targets, preexec_fn=limit)
        assert status == 0, text
        status, text = check_target("two_gigabytes", cwd=targets, preexec_fn=limit)
        assert status == 2
        assert "raised MemoryError" in text

    def test_one_that_hangs_is_stopped(self, targets):
        status, text = check_target("hangs", "--timeout", "0.5", cwd=targets, timeout=30)
        assert status == 2
        assert "timed_out" in text

    def test_one_that_hangs_in_a_worker_is_stopped(self, targets):
        options = ("--workers", "2", "--timeout", "0.5")
        status, text = check_target("worker_hangs", *options, cwd=targets, timeout=30)
        assert status == 2
        assert "timed_out" in text

    @pytest.mark.parametrize(
        "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
    )
    def test_an_interruption_does_not_wait_for_workers_that_hang(self, targets, number):
        arguments = ("targets:worker_hangs", "--inputs", "targets:inputs", "--workers", "2")
        process = command(*arguments, cwd=targets, start_new_session=True)
        try:
            wait_for(targets / "hanging")
            process.send_signal(number)
            text, _ = process.communicate(timeout=20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == 128 + number, text
        assert "what was finished follows" in text

    @pytest.mark.slow
    def test_the_time_of_a_check_does_not_wait_for_them_either(self, targets):
        options = ("--workers", "2", "--time", "1")
        status, text = check_target("worker_hangs", *options, cwd=targets, timeout=30)
        assert status == 3
        assert "not_checked" in text

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            pytest.param("worker_exits", "worker processes keep dying", marks=pytest.mark.slow),
            ("worker_killed", "worker processes keep dying"),
            pytest.param("worker_sys_exits", "a target must return", marks=pytest.mark.slow),
        ],
    )
    def test_one_that_ends_its_worker(self, targets, name, said):
        status, text = check_target(name, "--workers", "2", cwd=targets)
        assert status == 2
        assert said in " ".join(text.split())


class TestFolders:
    def test_a_report_that_cannot_be_written_is_said_before_anything_is_checked(self, targets):
        (targets / "taken").write_text("x")
        for place in ("taken", "taken/below"):
            status, text = check_target("right", "--report", place, cwd=targets)
            assert status == 2
            assert "is a file; name a directory" in " ".join(text.split())
            assert "loss evaluations" not in text
        assert contents(targets)["taken"] == b"x"

    @pytest.mark.parametrize("option", ["--json", "--junit"])
    def test_a_directory_is_no_file_to_write(self, targets, option):
        status, text = check_target("right", option, str(targets), cwd=targets)
        assert status == 2
        assert "this is a directory; name a file" in " ".join(text.split())

    def test_what_was_found_is_shown_although_it_cannot_be_written(self, targets):
        (targets / "out").mkdir()
        (targets / "out" / "index.html").write_text("<html>precious</html>")
        status, text = check_target(
            "right", "--report", "out", "--json", "found.json", "--junit", "found.xml", cwd=targets
        )
        assert status == 2
        assert "1.4e-08" in text or "pass" in text
        assert "was not written by gradcheck" in " ".join(text.split())
        assert "Report:" not in text
        assert contents(targets / "out") == {"index.html": b"<html>precious</html>"}
        assert json.loads((targets / "found.json").read_text())["checks"][0]["verdict"] == "pass"
        assert (targets / "found.xml").read_text().startswith("<?xml")

    @pytest.mark.parametrize(
        "name", ["assets/tables.js", "assets/gradcheck.css", "assets/plotly.min.js", "a.0.html"]
    )
    def test_nobody_elses_file_is_replaced(self, tmp_path, name):
        mine = tmp_path / name
        mine.parent.mkdir(exist_ok=True)
        mine.write_text("/* mine */")
        (tmp_path / "notes.txt").write_text("mine, too")
        with pytest.raises(UsageError, match="not written by gradcheck"):
            write_report(small(), tmp_path)
        assert contents(tmp_path) == {name: b"/* mine */", "notes.txt": b"mine, too"}

    def test_assets_of_an_earlier_version_are_replaced(self, tmp_path):
        write_report(small(), tmp_path)
        new = contents(tmp_path)
        for name in ("tables.js", "plots.js", "gradcheck.css", "plotly.min.js"):
            path = tmp_path / "assets" / name
            path.write_text(path.read_text()[:2000] + "\n/* as it was */\n")
        write_report(small(), tmp_path)
        assert contents(tmp_path) == new

    def test_a_link_in_the_folder_is_not_followed_out_of_it(self, tmp_path):
        (tmp_path / "elsewhere.html").write_text("")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "index.html").symlink_to(tmp_path / "elsewhere.html")
        write_report(small(), tmp_path / "out")
        assert (tmp_path / "elsewhere.html").read_text() == ""
        assert_whole(tmp_path / "out")

    def test_a_link_named_as_the_file_is(self, tmp_path):
        (tmp_path / "real.json").write_text("old")
        (tmp_path / "link.json").symlink_to("real.json")
        write_text(tmp_path / "link.json", "new")
        assert (tmp_path / "link.json").is_symlink()
        assert (tmp_path / "real.json").read_text() == "new"

    def test_devices_and_pipes_are_written_to_and_never_replaced(self, tmp_path):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
        write_text(pipe, "through")
        assert reader.communicate(timeout=10)[0] == b"through"
        assert pipe.is_fifo()
        (tmp_path / "null").symlink_to(os.devnull)
        write_text(tmp_path / "null", "gone")
        assert Path(os.devnull).is_char_device()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["null", "pipe"]

    @pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser may mount")
    @pytest.mark.slow
    def test_a_place_that_is_only_read(self, tmp_path, targets):
        disk = tmp_path / "disk"
        with mounted(disk, "ro,size=100k"):
            status, text = check_target("right", "--report", str(disk / "out"), cwd=targets)
        assert status == 2
        assert "cannot be written" in " ".join(text.split())


@contextlib.contextmanager
def mounted(folder: Path, options: str):
    """A small file system of its own, in memory."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


class TestFullDisk:
    def test_no_file_appears_before_there_is_room_for_all(self, tmp_path, monkeypatch):
        write_report(small("old"), tmp_path)
        before = contents(tmp_path)
        written = []
        real = Path.write_bytes

        def write(self, content):
            written.append(self)
            if len(written) == 3:
                real(self, content[: len(content) // 2])
                raise OSError(28, "No space left on device")
            return real(self, content)

        monkeypatch.setattr(files.Path, "write_bytes", write)
        with pytest.raises(UsageError, match="No space left on device"):
            write_report(small("new"), tmp_path)
        assert contents(tmp_path) == before

    def test_a_limit_on_the_size_of_files(self, targets):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

        status, text = check_target("right", "--report", "out", cwd=targets, preexec_fn=limit)
        assert status == 2
        assert "cannot write" in " ".join(text.split())
        assert "✓ pass" in text
        assert not contents(targets / "out")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser may mount")
    @pytest.mark.slow
    def test_a_disk_that_is_full(self, tmp_path, targets):
        disk = tmp_path / "disk"
        with mounted(disk, "size=200k"):
            (disk / "old.json").write_text("{}")
            status, text = check_target(
                *("right", "--report", str(disk / "out"), "--json", str(disk / "found.json")),
                cwd=targets,
            )
            assert status == 2
            assert "No space left on device" in " ".join(text.split())
            assert "✓ pass" in text
            assert set(contents(disk)) == {"old.json", "found.json"}
            json.loads((disk / "found.json").read_text())


class TestSeveralRuns:
    WRITER = """
import sys
sys.path.insert(0, {tests!r})
import sample_reports
from gradcheck.render.files import write_report
report = sample_reports.report(*(sample_reports.error_check(f"c{{k}}") for k in range(3)))
from dataclasses import replace
report = replace(report, tool={{"name": "gradcheck", "version": sys.argv[1]}})
for _ in range(12):
    write_report(report, "out")
"""

    def test_writing_at_once_the_last_one_stands_whole(self, tmp_path):
        script = self.WRITER.format(tests=str(Path(__file__).parent))
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", script, version],
                cwd=tmp_path,
                env=environment(),
                stderr=subprocess.PIPE,
                text=True,
            )
            for version in ("11.11", "22.22")
        ]
        report = tmp_path / "out" / "report.json"
        seen = set()
        while any(writer.poll() is None for writer in writers):
            if report.exists():
                seen.add(json.loads(report.read_text())["tool"]["version"])
            time.sleep(0.002)
        for writer in writers:
            assert writer.communicate()[1] == ""
            assert writer.returncode == 0
        assert seen <= {"11.11", "22.22"}
        assert_whole(tmp_path / "out")
        last = json.loads(report.read_text())["tool"]["version"]
        other = ({"11.11", "22.22"} - {last}).pop()
        for name, content in contents(tmp_path / "out").items():
            if name.endswith(".html"):
                assert last.encode() in content, name
                assert other.encode() not in content, name


class TestHalfWrittenBefore:
    @pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.5, 0.99])
    def test_a_report_cut_short_is_replaced(self, tmp_path, share):
        write_report(small(), tmp_path)
        new = contents(tmp_path)
        for name, content in new.items():
            (tmp_path / name).write_bytes(content[: int(share * len(content))])
        write_report(small(), tmp_path)
        assert contents(tmp_path) == new

    def test_what_a_killed_run_left_is_in_nobodys_way(self, tmp_path):
        left = tmp_path / ".gradcheck-0123456789ab.tmp"
        left.write_text("half")
        write_report(small(), tmp_path)
        assert left.read_text() == "half"
        left.unlink()
        assert_whole(tmp_path)

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
    def test_it_is_refused_as_something_to_read(self, workplace, share):
        write_report(small(), workplace / "out")
        path = workplace / "out" / "report.json"
        text = path.read_text()
        path.write_text(text[: int(share * len(text))])
        from gradcheck.cli import run_command

        assert run_command(["--render", str(path)]) == 2
        assert path.read_text() == text[: int(share * len(text))]


def test_pytest_says_that_a_report_could_not_be_written(tmp_path):
    from gradcheck.pytest_plugin import Collector

    (tmp_path / "index.html").write_text("precious")
    collector = Collector(str(tmp_path))
    collector.checks = list(small().checks)
    collector.pytest_sessionfinish(SimpleNamespace(config=SimpleNamespace()))
    lines = []
    collector.pytest_terminal_summary(SimpleNamespace(write_line=lines.append))
    assert "the report was not written: " in lines[0]
    assert "choose another folder" in lines[0]
    assert contents(tmp_path) == {"index.html": b"precious"}
