"""A limit on the time of an evaluation, and interruptions: what was finished is reported."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from conftest import environment
from quartic import X4, causes, quartic

from gradcheck.errors import Interrupted, UsageError
from gradcheck.pipeline import check
from gradcheck.report import Verdict

RNG = np.random.default_rng(5)


class Hanging:
    """Hangs at one call, and takes no notice of exceptions."""

    def __init__(self, at):
        self.at = at
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        if self.calls == self.at:
            try:
                while True:
                    time.sleep(0.01)
            except Exception:
                pass
        return np.sum(x**2), 2 * x


def interrupted_while_limited(moment):
    """Have Ctrl-C come at a moment while a limit is set and lifted; whether it came."""
    from gradcheck.calling.time_limit import time_limits

    gone_by = 0

    def count(frame, event, argument):
        nonlocal gone_by
        if event in ("call", "c_return"):
            gone_by += 1
            if gone_by == moment:
                sys.setprofile(None)
                raise KeyboardInterrupt

    profile = sys.getprofile()
    try:
        sys.setprofile(count)
        with time_limits(5.0):
            pass
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(profile)
    return False


class TestTimeout:
    @pytest.mark.parametrize("at", [1, 30])
    def test_an_evaluation_that_hangs_is_stopped(self, at):
        before = signal.getsignal(signal.SIGALRM)
        result = check(Hanging(at), X4, timeout=0.1)
        assert (result.verdict, causes(result)) == (Verdict.ERROR, ["timed_out"])
        assert "0.1 seconds" in result.diagnoses[0].message
        assert signal.getsignal(signal.SIGALRM) is before

    def test_many_short_ones_together_may_take_longer(self):
        def loss(x):
            time.sleep(0.002)
            return quartic(x)

        assert check(loss, X4, timeout=0.05).verdict is Verdict.PASS

    def test_a_torch_target_is_stopped_too(self):
        def loss(x):
            time.sleep(5)
            return x.sum()

        x = torch.ones(2, dtype=torch.float64, requires_grad=True)
        assert causes(check(loss, x, timeout=0.1)) == ["timed_out"]

    def test_parameters_are_put_back(self):
        params = {"w": np.ones(3)}
        hanging = Hanging(25)
        result = check(lambda: hanging(params["w"]), None, params=params, timeout=0.1)
        assert causes(result) == ["timed_out"]
        assert (params["w"] == 1).all()

    def test_an_alarm_that_was_set_before_still_comes(self):
        came = []
        before = signal.signal(signal.SIGALRM, lambda *_: came.append(1))
        earlier = signal.setitimer(signal.ITIMER_REAL, 0.3)
        try:
            check(quartic, X4, timeout=5)
            time.sleep(0.4)
        finally:
            signal.setitimer(signal.ITIMER_REAL, *earlier)
            signal.signal(signal.SIGALRM, before)
        assert came == [1]

    def test_nor_is_it_lost_to_an_interruption_at_any_moment(self):
        earlier = signal.setitimer(signal.ITIMER_REAL, 60)
        before = signal.getsignal(signal.SIGALRM)
        moments, interrupted = 0, True
        try:
            while interrupted:
                moments += 1
                interrupted = interrupted_while_limited(moments)
                assert signal.getitimer(signal.ITIMER_REAL)[0] > 0, moments
                assert signal.getsignal(signal.SIGALRM) == before, moments
        finally:
            signal.setitimer(signal.ITIMER_REAL, *earlier)
        assert moments > 10

    def test_it_is_refused_where_no_signal_arrives(self):
        raised = []

        def elsewhere():
            try:
                check(quartic, X4, timeout=1)
            except UsageError as error:
                raised.append(str(error))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert "main thread" in raised[0]
        with ThreadPoolExecutor(1) as threads, pytest.raises(UsageError, match="timeout"):
            check(quartic, X4, timeout=1, executor=threads)


class TestInterruption:
    @pytest.mark.parametrize("at", [60, 120])
    def test_what_was_finished_comes_with_it(self, at):
        params = {"w": RNG.normal(size=50)}
        before = params["w"].copy()
        calls = []

        def loss():
            calls.append(1)
            if len(calls) == at:
                raise KeyboardInterrupt
            return quartic(params["w"])

        with pytest.raises(Interrupted) as caught:
            check(loss, None, params=params, autograd=False)
        found = caught.value.check
        assert found.verdict is Verdict.INCONCLUSIVE
        assert causes(found) == ["not_checked"]
        assert "interrupted" in found.diagnoses[0].message
        assert (params["w"] == before).all()
        assert isinstance(caught.value, KeyboardInterrupt)

    @pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_command_reports_it(self, tmp_path, number, status):
        (tmp_path / "m.py").write_text(
            "import os, numpy as np\n"
            "calls = []\n"
            "def loss(x):\n"
            "    calls.append(1)\n"
            f"    if len(calls) == 300: os.kill(os.getpid(), {int(number)})\n"
            "    return np.sum(x**4), 4 * x**3\n"
            "gradcheck_inputs = {'x': np.linspace(1, 2, 400)}\n"
        )
        result = subprocess.run(
            [sys.executable, "-m", "gradcheck", "m:loss", "--no-autograd", "--json", "out.json"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == status, result.stderr
        assert "interrupted" in result.stdout
        assert "inconclusive" in (tmp_path / "out.json").read_text()
