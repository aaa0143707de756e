"""Every option changes what a check does, or is refused: none is passed over in silence."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import numpy as np
import pytest
import torch
from conftest import environment

import gradcheck
from gradcheck.calling.stochastic import Repetition
from gradcheck.case import Case
from gradcheck.cli import run_command
from gradcheck.declared import run_cases
from gradcheck.errors import GradientError, Interrupted, UsageError
from gradcheck.pipeline import check
from gradcheck.report import Verdict
from gradcheck.settings import Settings

RNG = np.random.default_rng(5)
X4 = RNG.normal(size=4)


def quartic(x):
    return np.sum(x**4), 4 * x**3


def wrong_at_zero(x):
    """A dead ReLU hides the missing factor of 2 at zero and below."""
    return np.sum(np.maximum(x, 0.0) ** 2), np.maximum(x, 0.0)


def keys(result):
    return [notice.key for notice in result.warnings]


def causes(result):
    return [one.cause for one in result.diagnoses]


class TestJitter:
    def test_a_point_where_nothing_shows_is_left(self):
        assert check(wrong_at_zero, np.zeros(6)).verdict is Verdict.PASS
        moved = check(wrong_at_zero, np.zeros(6), jitter=0.01)
        assert moved.verdict is Verdict.FAIL
        assert "moved_point" in keys(moved)

    def test_the_vacuous_point_offers_it(self):
        still = check(wrong_at_zero, np.zeros(6))
        assert "vacuous_point" in keys(still)
        assert "--jitter 0.01" in next(
            one.message for one in still.warnings if one.key == "vacuous_point"
        )

    def test_the_way_is_the_jitter_times_the_scale_and_drawn_from_the_seed(self):
        seen = []

        def loss(x):
            seen.append(x.copy())
            return np.sum(x**2), 2 * x

        start = np.array([3.0, -4.0, 0.0])
        first = check(loss, start, jitter=1e-2, autograd=False)
        scale = np.maximum(np.abs(start), np.sqrt((9 + 16) / 2))
        near = next(one for one in seen if (one != start).all())
        moves = np.abs(near - start) / scale
        assert (moves >= 0.5e-2 * (1 - 1e-9)).all()
        assert (moves <= 1e-2 * (1 + 1e-9)).all()
        assert check(loss, start, jitter=1e-2, autograd=False).loss == first.loss
        assert check(loss, start, jitter=1e-2, autograd=False, seed=1).loss != first.loss

    def test_it_leaves_a_point_at_which_the_loss_is_not_finite(self):
        def loss(x):
            return np.sum(x * np.log(x * x)), np.log(x * x) + 2

        assert causes(check(loss, np.zeros(3))) == ["non_finite_loss"]
        assert check(loss, np.zeros(3), jitter=0.1).verdict is Verdict.PASS

    def test_parameters_read_from_elsewhere_are_moved_and_put_back(self):
        params = {"w": np.zeros(3)}
        seen = []

        def loss():
            seen.append(params["w"].copy())
            return np.sum(params["w"] ** 2), {"w": 2 * params["w"]}

        result = check(loss, None, params=params, jitter=0.1)
        assert result.verdict is Verdict.PASS
        assert result.loss > 1e-3
        assert (params["w"] == 0).all()

    def test_numbers_trees_and_low_precision_move_as_what_they_are(self):
        def loss(p, c):
            return float(np.sum(p["a"]) * c), {
                "p": {"a": np.full(2, np.float32(c))},
                "c": p["a"].sum(),
            }

        inputs = {"p": {"a": np.zeros(2, dtype=np.float32)}, "c": 0.5}
        result = check(loss, inputs, ["p", "c"], jitter=0.1)
        assert result.verdict is Verdict.PASS
        assert result.loss != 0.0
        assert inputs["p"]["a"].dtype == np.float32
        assert not inputs["p"]["a"].any()

    def test_torch_parameters_are_moved_and_put_back(self):
        module = torch.nn.Linear(3, 1, bias=False, dtype=torch.float64)
        torch.nn.init.zeros_(module.weight)
        x = torch.ones(2, 3, dtype=torch.float64)
        assert check(module, (x,)).loss == 0.0
        result = check(module, (x,), jitter=0.1)
        assert result.verdict is Verdict.PASS
        assert result.loss != 0.0
        assert not module.weight.any()

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.complex128])
    def test_torch_tensors_of_every_kind_are_moved(self, dtype):
        x = torch.zeros(3, dtype=dtype, requires_grad=True)
        result = check(lambda x: (x * x.conj()).real.sum(), x, jitter=0.5)
        assert result.verdict is Verdict.PASS
        assert result.loss > 0
        assert not x.any()


class Drawing:
    """A loss with noise of its own, of relative size 1e-5, and its calls counted."""

    def __init__(self, factor=1.0):
        self.generator = np.random.default_rng(3)
        self.calls = 0
        self.factor = factor

    def __call__(self, x):
        self.calls += 1
        noise = 1 + 1e-5 * self.generator.normal(size=1 + x.size)
        return np.sum(x**2) * noise[0], self.factor * 2 * x * noise[1:]


class TestRandomLosses:
    def test_more_calls_at_a_point_see_finer(self):
        few = check(Drawing(), X4, repeats=4, oracles=("central",))
        many = check(Drawing(), X4, repeats=100, oracles=("central",))
        assert many.parameters["x"].resolution < few.parameters["x"].resolution / 3
        assert many.evaluations > 10 * few.evaluations

    def test_more_calls_tell_a_wrong_gradient(self):
        assert check(Drawing(1.001), X4, repeats=4).verdict is Verdict.INCONCLUSIVE
        assert check(Drawing(1.001), X4, repeats=100).verdict is Verdict.FAIL

    def test_less_confidence_makes_shorter_error_bars(self):
        def resolution(confidence):
            settings = Settings(repeats=20, confidence=confidence, oracles=("central",))
            return check(Drawing(), X4, settings=settings).parameters["x"].resolution

        assert resolution(0.5) < 0.7 * resolution(0.9999)

    def test_the_quantile_is_that_of_student_for_the_check_as_a_whole(self):
        from scipy.stats import t

        assert Repetition(8, 0.99).quantile(5) == pytest.approx(t.isf(0.01 / 20, df=7))

    def test_right_gradients_are_called_wrong_no_more_often_than_the_confidence_says(self):
        rng = np.random.default_rng(0)
        repetition = Repetition(5, 0.9)
        missed = 0
        for _ in range(400):
            draws = list(rng.normal(size=(5, 6)))
            mean, error = repetition.mean(draws, entries=6)
            missed += bool((np.abs(mean) > error).any())
        # Half of the allowance of 10% is for the gradient, the other half for the loss.
        assert 4 <= missed <= 36

    def test_an_exact_oracle_is_not_believed_of_a_random_loss(self):
        result = check(Drawing(), X4, oracles=("central", "complex"))
        assert result.oracles == ("central",)
        assert "oracle_not_applicable" in keys(result)

    def test_torch_losses_count_too(self):
        generator = np.random.default_rng(0)

        def loss(x):
            return (x**2).sum() * (1 + 1e-6 * generator.normal())

        x = torch.ones(3, dtype=torch.float64, requires_grad=True)
        few, many = (check(loss, x, repeats=n, oracles=("central",)) for n in (4, 60))
        assert many.parameters["x"].resolution < few.parameters["x"].resolution / 5

    def test_a_loss_that_repeats_itself_says_that_there_was_nothing_to_do(self):
        assert "option_without_effect" in keys(check(quartic, X4, repeats=5))
        assert "option_without_effect" in keys(check(quartic, X4, confidence=0.9))
        assert keys(check(quartic, X4)) == []


class TestJudging:
    def test_rtol_judges_alone(self):
        def loss(x):
            return np.sum(x**2), 2 * x * (1 + 1e-4)

        assert check(loss, X4).verdict is Verdict.FAIL
        assert check(loss, X4, rtol=1e-3).verdict is Verdict.PASS
        assert check(loss, X4, rtol=1e-5).verdict is Verdict.FAIL

    def test_a_learning_rate_is_judged_against_the_curvature(self):
        def loss(x):
            return 50 * np.sum(x**2), 100 * x

        assert "step_too_long" in keys(check(loss, X4, learning_rate=0.03))
        assert keys(check(loss, X4, learning_rate=0.01)) == []

    def test_a_learning_rate_that_cannot_be_judged_is_said_to_be_so(self):
        def loss(x):
            return np.sum(x**2), x

        assert "step_not_judged" in keys(check(loss, X4, learning_rate=0.1))
        with pytest.raises(UsageError, match="learning_rate=-1"):
            check(loss, X4, learning_rate=-1)

    def test_inconclusive_is_accepted_only_on_request(self):
        with pytest.raises(GradientError):
            gradcheck.assert_gradients(quartic, X4, budget=30)
        for given in (
            {"allow_inconclusive": True},
            {"settings": Settings(allow_inconclusive=True)},
        ):
            found = gradcheck.assert_gradients(quartic, X4, **given, budget=20)
            assert found.verdict is Verdict.INCONCLUSIVE

    def test_the_seed_is_that_of_the_draws(self):
        def loss(x):
            return np.sum(x**2) * np.random.random(), None

        def noisy(x):
            factor = np.random.random()
            return factor * np.sum(x**2), factor * 2 * x

        one, again, other = (check(noisy, X4, seed=seed).loss for seed in (1, 1, 2))
        assert one == again != other


class TestEntries:
    W = RNG.normal(size=(30, 20))

    def test_a_number_is_the_number_checked(self):
        result = check(quartic, self.W, entries=7, autograd=False)
        assert (result.verdict, result.parameters["x"].checked) == (Verdict.PASS, 7)

    def test_all_and_auto_check_each_of_a_few(self):
        for entries in ("all", "auto"):
            assert check(quartic, self.W, entries=entries).parameters["x"].checked == 600

    def test_auto_locates_among_many_and_all_does_not(self, monkeypatch):
        """By their number, however long they would take, so that every machine does the same."""
        monkeypatch.setattr("gradcheck.sweep.selection.FULL_SWEEP", 100)
        auto = check(quartic, self.W, autograd=False)
        assert "located" in keys(auto)
        assert "--entries all checks each" in auto.warnings[0].message
        assert auto.parameters["x"].checked < 600
        whole = check(quartic, self.W, autograd=False, entries="all")
        assert "located" not in keys(whole)
        assert whole.parameters["x"].checked == 600


class TestLimits:
    def test_what_the_budget_leaves_out_is_not_checked(self):
        result = check(quartic, TestEntries.W, budget=300, autograd=False)
        assert result.verdict is Verdict.INCONCLUSIVE
        assert result.evaluations <= 300
        assert 0 < result.parameters["x"].checked < 600
        assert causes(result) == ["not_checked"]
        assert f"{result.parameters['x'].checked} of 600" in result.diagnoses[0].message

    def test_autograd_alone_does_not_make_up_for_the_budget(self):
        result = check(quartic, X4, budget=10)
        assert (result.verdict, causes(result)) == (Verdict.INCONCLUSIVE, ["not_checked"])

    def test_an_error_that_was_found_stands_and_the_rest_is_named(self):
        def loss(x):
            return np.sum(x**4), 2 * x**3

        result = check(loss, TestEntries.W, budget=300)
        assert result.verdict is Verdict.FAIL
        assert "not_checked" in keys(result)

    def test_time_is_a_limit(self):
        def slow(x):
            time.sleep(0.005)
            return quartic(x)

        began = time.monotonic()
        result = check(slow, TestEntries.W, time=0.4, autograd=False)
        assert time.monotonic() - began < 2
        assert (result.verdict, causes(result)) == (Verdict.INCONCLUSIVE, ["not_checked"])

    def test_limits_hold_for_all_checks_together(self):
        cases = [Case(f"a.{n}", quartic, X4.copy) for n in range(3)]
        free = run_cases(cases, Settings(autograd=False))
        first = free.checks[0].evaluations
        bound = run_cases(cases, Settings(autograd=False, budget=first + 5))
        verdicts = [one.verdict for one in bound.checks]
        assert verdicts == [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE]
        late = run_cases(cases, Settings(autograd=False, time=1e-9))
        assert {one.verdict for one in late.checks} == {Verdict.INCONCLUSIVE}


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


class TestOracles:
    @pytest.mark.parametrize("oracle", ["central", "autograd", "complex"])
    def test_each_runs_alone(self, oracle):
        result = check(quartic, X4, oracles=(oracle,))
        assert (result.verdict, result.oracles) == (Verdict.PASS, (oracle,))
        assert set(result.parameters["x"].comparisons) == {f"analytic~{oracle}"}

    def test_forward_runs_alone(self):
        x = torch.ones(3, dtype=torch.float64, requires_grad=True)
        result = check(lambda x: (x**3).sum(), x, oracles=("forward",))
        assert (result.verdict, result.oracles) == (Verdict.PASS, ("forward",))

    @pytest.mark.parametrize("oracle", ["complex", "autograd"])
    def test_one_that_is_not_for_torch_says_so(self, oracle):
        x = torch.ones(3, dtype=torch.float64, requires_grad=True)
        result = check(lambda x: (x**3).sum(), x, oracles=(oracle,))
        assert (result.verdict, causes(result)) == (Verdict.INCONCLUSIVE, ["not_checked"])
        assert f"the oracle {oracle} does not apply" in result.diagnoses[0].message

    def test_one_that_is_not_for_numpy_says_so(self):
        result = check(quartic, X4, oracles=("forward",))
        assert (result.verdict, causes(result)) == (Verdict.INCONCLUSIVE, ["not_checked"])
        assert "it is for torch targets" in result.diagnoses[0].message
        beside = check(quartic, X4, oracles=("central", "forward"))
        assert (beside.verdict, keys(beside)) == (Verdict.PASS, ["oracle_not_applicable"])

    def test_one_that_the_code_does_not_allow_says_why(self):
        def loss(x):
            x = np.array([float(one) for one in x])
            return np.sum(x**4), 4 * x**3

        result = check(loss, X4, oracles=("complex",))
        assert (result.verdict, causes(result)) == (Verdict.INCONCLUSIVE, ["not_checked"])
        assert "complex step not available" in result.diagnoses[0].message

    def test_no_autograd_is_none(self):
        assert check(quartic, X4, autograd=False).oracles == ("central",)


class TestSecondOrder:
    @staticmethod
    def hess(x):
        return np.diag(12 * x**2)

    def test_a_right_hessian_passes(self):
        result = check(quartic, X4, hess=self.hess)
        assert result.verdict is Verdict.PASS
        assert list(result.parameters) == ["x", "H x"]
        assert result.parameters["H x"].comparisons["analytic~central"].checked == 4

    def test_a_wrong_entry_is_found_in_its_row(self):
        def wrong(x):
            matrix = self.hess(x)
            matrix[2, 1] += 1e-3
            return matrix

        result = check(quartic, X4, hess=wrong)
        assert result.verdict is Verdict.FAIL
        assert result.parameters["x"].verdict is Verdict.PASS
        worst = result.parameters["H x"].comparisons["analytic~central"].worst[0]
        assert worst.index == (2,)

    def test_a_product_with_a_direction_is_taken_too(self):
        assert check(quartic, X4, hess=lambda x, p: 12 * x**2 * p).verdict is Verdict.PASS
        assert check(quartic, X4, hess=lambda x, p: 6 * x**2 * p).verdict is Verdict.FAIL

    def test_scipys_objectives_bring_theirs(self):
        from scipy.optimize import rosen, rosen_der, rosen_hess, rosen_hess_prod

        point = np.array([1.3, 0.7, 0.8, 1.9, 1.2])
        for hess in (rosen_hess, rosen_hess_prod):
            assert check(rosen, point, jac=rosen_der, hess=hess).verdict is Verdict.PASS

    def test_several_parameters_make_one_matrix(self):
        def loss(a, b):
            return np.sum(a) * np.sum(b**2), {"a": np.full(2, np.sum(b**2)), "b": 2 * a.sum() * b}

        def hess(a, b, wrong=0.0):
            matrix = np.zeros((5, 5))
            matrix[:2, 2:] = 2 * b
            matrix[2:, :2] = matrix[:2, 2:].T
            matrix[2:, 2:] = 2 * a.sum() * np.eye(3) * (1 + wrong)
            return matrix

        inputs = {"a": RNG.normal(size=2), "b": RNG.normal(size=3)}
        assert check(loss, inputs, hess=hess).verdict is Verdict.PASS
        wrong = check(loss, inputs, hess=lambda a, b: hess(a, b, 0.1))
        assert wrong.parameters["H a"].verdict is Verdict.PASS
        assert wrong.parameters["H b"].verdict is Verdict.FAIL

    def test_torchs_double_backward_is_checked(self):
        class Half(torch.autograd.Function):
            """Its backward is right, but detaches: the second derivative is lost."""

            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x**3

            @staticmethod
            def backward(ctx, cotangent):
                (x,) = ctx.saved_tensors
                return cotangent * 3 * x.detach() ** 2

        x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
        right = check(lambda x: (x**3).sum(), x, order=2)
        assert (right.verdict, list(right.parameters)) == (Verdict.PASS, ["x", "H x"])
        wrong = check(lambda x: Half.apply(x).sum(), x, order=2)
        assert wrong.parameters["x"].verdict is Verdict.PASS
        assert wrong.parameters["H x"].verdict is Verdict.FAIL

    def test_a_backward_that_is_differentiable_once_loses_the_second_derivative(self):
        class Once(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x**2

            @staticmethod
            @torch.autograd.function.once_differentiable
            def backward(ctx, cotangent):
                return cotangent * 2 * ctx.saved_tensors[0]

        x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
        result = check(lambda x: Once.apply(x).sum(), x, order=2)
        assert (result.verdict, causes(result)) == (Verdict.FAIL, ["zero_gradient"])

    def test_a_backward_that_cannot_be_differentiated_says_so(self):
        class Slope(torch.autograd.Function):
            @staticmethod
            def forward(ctx, cotangent, x):
                return cotangent * 2 * x

            @staticmethod
            def backward(ctx, cotangent):
                raise RuntimeError("no second derivative here")

        class Square(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x**2

            @staticmethod
            def backward(ctx, cotangent):
                return Slope.apply(cotangent, *ctx.saved_tensors)

        x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
        assert check(lambda x: Square.apply(x).sum(), x).verdict is Verdict.PASS
        result = check(lambda x: Square.apply(x).sum(), x, order=2)
        assert (result.verdict, causes(result)) == (Verdict.ERROR, ["second_order_impossible"])
        assert "no second derivative here" in result.diagnoses[0].message

    def test_there_must_be_something_to_check(self):
        with pytest.raises(UsageError, match="--hess"):
            check(quartic, X4, order=2)
        with pytest.raises(UsageError, match="direction"):
            check(quartic, X4, hess=lambda a, b, c: None)
        x = torch.ones(2, dtype=torch.float64, requires_grad=True)
        with pytest.raises(UsageError, match="NumPy targets"):
            check(lambda x: x.sum(), x, hess=self.hess)

    def test_a_matrix_of_another_shape_fails(self):
        result = check(quartic, X4, hess=lambda x: np.ones((3, 3)))
        assert (result.verdict, causes(result)) == (Verdict.FAIL, ["shape_mismatch"])


class Immediate(Executor):
    """Evaluates at once, and counts what it is given."""

    def __init__(self):
        self.tasks = 0

    def submit(self, function, /, *args, **kwargs):
        self.tasks += 1
        future = Future()
        future.set_result(function(*args, **kwargs))
        return future


class TestElsewhere:
    def test_an_executor_is_given_the_work(self):
        executor = Immediate()
        result = check(quartic, X4, executor=executor, autograd=False)
        assert result.verdict is Verdict.PASS
        assert executor.tasks > 0

    def test_workers_that_are_not_needed_are_named(self):
        x = torch.ones(3, dtype=torch.float64, requires_grad=True)
        result = check(lambda x: (x**3).sum(), x, workers=2)
        assert "option_without_effect" in keys(result)

    def test_the_contract_of_a_backward_pass_is_torchs(self):
        with pytest.raises(UsageError, match="audit"):
            check(quartic, X4, audit=True)
        x = torch.ones(3, dtype=torch.float64, requires_grad=True)
        plain = check(lambda x: (x**3).sum(), x)
        audited = check(lambda x: (x**3).sum(), x, audit=True)
        assert audited.verdict is Verdict.PASS
        assert audited != plain

    def test_of_declared_checks_an_option_is_for_those_that_it_fits(self):
        cases = [Case("a.numpy", quartic, X4.copy)]
        for option in ({"audit": True}, {"order": 2}):
            (found,) = run_cases(cases, Settings(**option)).checks
            assert (found.verdict, keys(found)) == (Verdict.PASS, ["option_without_effect"])

    def test_functions_that_exclude_each_other_are_refused(self):
        with pytest.raises(UsageError, match="give one"):
            check(quartic, X4, grad=quartic, vjp=quartic)
        x = torch.ones(2, dtype=torch.float64, requires_grad=True)
        with pytest.raises(UsageError, match="torch="):
            check(lambda x: x.sum(), x, torch=lambda x: x.sum())

    def test_progress_comes_to_its_end(self):
        told = []
        check(quartic, TestEntries.W, entries=50, progress=lambda *one: told.append(one))
        done, total, _ = told[-1]
        assert done == total
        assert all(0 < done <= total for done, total, _ in told)
        assert told[0][1] < 400


HESS = """
import numpy as np
from gradcheck import Case

def loss(x):
    return np.sum(x**4), 4 * x**3

def hess(x):
    return np.diag(12 * x**2)

def wrong_hess(x):
    return np.diag(6 * x**2)

def dead(x):
    return np.sum(np.maximum(x, 0.0) ** 2), np.maximum(x, 0.0)

def steep(x):
    return 50 * np.sum(x**2), 100 * x

gradcheck_inputs = {"x": np.zeros(4)}
"""


class TestCommandLine:
    @pytest.fixture
    def run(self, workplace, capsys):
        (workplace / "effects.py").write_text(HESS)
        (workplace / "pack.py").write_text(
            "from effects import steep\nimport numpy as np\nfrom gradcheck import Case\n"
            "__gradcheck__ = [Case('a.steep', steep, lambda: np.ones(2))]\n"
        )

        def command(*arguments):
            status = run_command(["--no-progress", *arguments])
            captured = capsys.readouterr()
            return status, captured.out + captured.err

        return command

    def test_jitter(self, run):
        assert run("effects:dead")[0] == 0
        assert run("effects:dead", "--jitter", "0.01")[0] == 1

    def test_search(self, run):
        status, text = run("effects:dead", "--arg", "x=randn(3)", "--search", "50")
        assert status == 1
        assert "As a test:" in text

    def test_hess(self, run):
        loss = ("effects:loss", "--arg", "x=randn(3)")
        assert run(*loss, "--order", "2", "--hess", "effects:hess")[0] == 0
        status, text = run(*loss, "--hess", "effects:wrong_hess")
        assert (status, "H x" in text) == (1, True)
        assert run(*loss, "--order", "2")[0] == 2

    def test_budget_and_oracle(self, run):
        loss = ("effects:loss", "--arg", "x=randn(9)")
        status, text = run(*loss, "--budget", "20")
        assert (status, "not_checked" in text or "before x was checked" in text) == (3, True)
        status, text = run(*loss, "--oracle", "forward")
        assert (status, "does not apply" in text) == (3, True)

    def test_learning_rate_is_for_the_checks_of_a_package_too(self, run):
        text = run("pack", "--learning-rate", "0.03", "--no-report")[1]
        assert "learning rate" in text or "step" in text
        assert run("pack", "--no-report")[1] != text

    @pytest.mark.parametrize(
        "arguments",
        [
            ("effects:loss", "--self-contained"),
            ("effects:loss", "--torch", "effects:loss", "--no-autograd", "--arg", "x=randn(3)"),
            ("effects:loss", "--audit", "--arg", "x=randn(3)"),
            ("--compare", "a.json", "b.json", "--seed", "3"),
            ("--render", "a.json", "--rtol", "1e-3"),
        ],
    )
    def test_what_has_nothing_to_do_is_refused(self, run, arguments):
        status, text = run(*arguments)
        assert status == 2
        assert any(one in text for one in arguments if one.startswith("--"))
