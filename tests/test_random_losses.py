"""Losses that draw at random: error bars of the confidence asked for, and more calls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from quartic import X4, keys, quartic

from gradcheck.calling.stochastic import Repetition
from gradcheck.pipeline import check
from gradcheck.report import Verdict
from gradcheck.settings import Settings


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
