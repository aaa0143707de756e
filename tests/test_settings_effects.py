"""Every option changes what a check does, or is refused: none is passed over in silence."""

from __future__ import annotations

import time
from concurrent.futures import Executor, Future

import numpy as np
import pytest
import torch
from quartic import X4, causes, keys, quartic

import gradcheck
from gradcheck.case import Case
from gradcheck.cli import run_command
from gradcheck.declared import run_cases
from gradcheck.errors import GradientError, UsageError
from gradcheck.pipeline import check
from gradcheck.report import Verdict
from gradcheck.settings import Settings

RNG = np.random.default_rng(5)


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
