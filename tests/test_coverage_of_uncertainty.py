"""The error bars of central differences: the truth lies within them, and they are not huge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from closed_forms import SMOOTH, ClosedForm

import gradcheck
from gradcheck.noise import loss_noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.oracles.central import central_differences
from gradcheck.oracles.estimate import Estimate

FACTORS = (1.0, 1.0001, 1.3, 0.0)
"""Of the right gradient: what is claimed. All but the right one make the entries climb."""
DRAWS = 12
BY_NAME = {form.name: form for form in SMOOTH}


@dataclass(frozen=True)
class Sample:
    """Errors and uncertainties of the entries of many draws."""

    errors: np.ndarray
    uncertainties: np.ndarray
    truths: np.ndarray

    @property
    def missed(self) -> int:
        """Entries whose error exceeds the uncertainty (and the rounding of the closed form)."""
        eps = 4 * np.finfo(float).eps
        return int((~(self.errors <= self.uncertainties + eps * np.abs(self.truths))).sum())

    @property
    def generosity(self) -> float:
        """Median ratio of uncertainty to error."""
        return float(np.median(self.uncertainties / np.maximum(self.errors, 1e-300)))


def estimate_of(loss: Callable, claimed: Callable, x: np.ndarray, seed: int) -> Estimate:
    problem = numpy_problem(lambda x: (loss(x), claimed(x)), x)
    generator = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        noise = loss_noise(problem, generator)
        found = central_differences(problem, noise, generator, selection={"x": np.arange(x.size)})
    return found["x"]


def scaled(gradient: Callable[[Any], Any], factor: float) -> Callable[[Any], Any]:
    """Return a claim that is ``factor`` times a gradient."""
    return lambda x: factor * gradient(x)


def sample(forms: list[ClosedForm], factors: tuple[float, ...]) -> Sample:
    errors, uncertainties, truths = [], [], []
    for form in forms:
        for factor in factors:
            for seed in range(DRAWS):
                x = form.draw(np.random.default_rng(seed))
                truth = form.gradient(x)
                found = estimate_of(form.loss, scaled(form.gradient, factor), x, seed)
                errors.append(np.abs(found.value - truth))
                uncertainties.append(found.uncertainty)
                truths.append(truth)
    return Sample(np.concatenate(errors), np.concatenate(uncertainties), np.concatenate(truths))


# A claim of zero says nothing of the lengths in an array of mixed sizes.
EXPECTED = [form for form in SMOOTH if form.name != "mixed sizes"]


def test_the_true_error_lies_within_the_uncertainty_in_999_of_1000_draws():
    found = sample(EXPECTED, FACTORS)
    assert found.errors.size > 4000
    assert found.missed <= 1e-3 * found.errors.size
    # And they do not cover by being huge.
    assert found.generosity < 1000


# Of a loss that oscillates, a wrong claim is seen long before its slope is sharp.
SHARP = [
    (form.name, factor)
    for form in EXPECTED
    for factor in FACTORS
    if factor == 1.0 or form.name != "fast oscillation"
]


@pytest.mark.parametrize(("name", "factor"), SHARP)
def test_the_median_uncertainty_is_within_a_thousand_times_the_error(name, factor):
    assert sample([BY_NAME[name]], (factor,)).generosity < 1000


def test_mixed_sizes_in_one_array_are_covered_where_the_claim_gives_their_lengths():
    found = sample([BY_NAME["mixed sizes"]], (1.0, 1.0001, 1.3))
    assert found.missed <= 2


def test_bars_that_are_too_short_would_be_noticed():
    found = sample([BY_NAME["sines"]], (1.0,))
    shrunk = Sample(found.errors, found.uncertainties / 1e3, found.truths)
    assert shrunk.missed > 0.3 * found.errors.size


@pytest.mark.parametrize("slope", [0.3, -2.0])
@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6])
def test_beside_a_kink_the_bars_hold_too(distance, slope):
    """Claims of either side, and of neither, at seeded points on both sides of a kink."""
    missed = total = 0
    for seed in range(8):
        generator = np.random.default_rng(seed)
        x = generator.normal(size=4)
        at = x + distance * np.abs(x) * generator.choice((-1.0, 1.0), 4)

        def loss(x, at=at):
            return float(np.sum(np.where(x > at, x - at, slope * (x - at)) + np.sin(x)))

        truth = np.where(x > at, 1.0, slope) + np.cos(x)
        for claim in (truth, truth + 0.01, truth + (slope - 1.0) * np.sign(x - at)):
            found = estimate_of(loss, lambda x, claim=claim: claim, x, seed)
            reference = np.where(found.kinks, np.clip(truth, found.lower, found.upper), found.value)
            error = np.abs(reference - truth)
            missed += int((~(error <= found.uncertainty + 1e-15 * np.abs(truth))).sum())
            total += truth.size
    assert total == 96
    assert missed == 0


@pytest.mark.parametrize("distance", [0.0, 1e-9, 1e-6, 1e-3])
def test_where_the_curvature_jumps_the_bars_hold_and_right_gradients_pass(distance):
    """Two parabolas meet at or near the point: the differences' error grows like the step."""
    verdicts = []
    for seed in range(12):
        generator = np.random.default_rng(seed)
        x = generator.normal(size=4)
        at = x + distance * np.abs(x) * generator.choice((-1.0, 1.0), 4)
        upper, lower = generator.uniform(0.1, 5.0, (2, 4))

        def loss(x, at=at, upper=upper, lower=lower):
            bend = np.where(x > at, upper, -lower) * (x - at) ** 2
            return float(np.sum(bend + np.sin(x)))

        def gradient(x, at=at, upper=upper, lower=lower):
            return 2 * np.where(x > at, upper, -lower) * (x - at) + np.cos(x)

        found = estimate_of(loss, gradient, x, seed)
        truth = gradient(x)
        assert (np.abs(found.value - truth) <= found.uncertainty).all()
        verdicts += [
            gradcheck.check(
                loss, {"x": x}, grad=scaled(gradient, factor), autograd=False
            ).verdict.value
            for factor in (1.0, 1.0001)
        ]
    assert verdicts == ["pass", "fail"] * 12
