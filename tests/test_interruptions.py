"""Ctrl-C and SIGTERM at any moment: parameters are as before, files whole or not there."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from faulty_targets import MODELS, assert_whole, command, outcome, small, wait_for

import gradcheck
from gradcheck.errors import Interrupted
from gradcheck.render import files
from gradcheck.render.files import write_report
from gradcheck.render.uninterrupted import uninterrupted


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

    def ignored(unraisable):
        # A generator closed as it is dropped counts as entered, where no signal would be seen yet.
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            sys.setprofile(count)
        else:
            hook(unraisable)

    before, handler = sys.getprofile(), signal.getsignal(signal.SIGINT)
    hook, sys.unraisablehook = sys.unraisablehook, ignored
    sys.setprofile(count)
    try:
        call()
    except BaseException as found:
        return gone_by, found
    finally:
        sys.setprofile(before)
        sys.unraisablehook = hook
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
