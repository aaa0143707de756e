"""Small entries of noisy losses: their noise is averaged out, and no error in them passes."""

from __future__ import annotations

import numpy as np
import pytest

import gradcheck
from gradcheck.oracles.averaged import PAIRS, fits
from gradcheck.oracles.estimate import smooth_estimate
from gradcheck.verdict.compare import INCONCLUSIVE, PASS, judge, thresholds_for


def single_inside(small, spoil, offset=0.0, n=40):
    """A loss in single precision with one entry of small gradient, which is ``spoil`` off."""
    factors = np.ones(n)
    factors[3] = small

    def loss(w):
        inside = w.astype(np.float32)
        value = np.sum(factors.astype(np.float32) * np.sin(inside)) + np.float32(offset)
        gradient = factors * np.cos(w)
        gradient[3] *= 1 + spoil
        return value, gradient

    return loss


def weights(seed, n=40):
    w = np.random.default_rng(seed).normal(size=n)
    w[3] = 0.3
    return w


@pytest.mark.parametrize(("offset", "small"), [(0, 2.5e-3), (0, 1e-2), (1, 1.2e-3), (1, 2.5e-3)])
def test_a_small_entry_of_a_single_precision_loss_is_told_right_from_wrong(offset, small):
    w = weights(1)
    right = gradcheck.check(single_inside(small, 0.0, offset), w, autograd=False)
    assert right.verdict == "pass"
    for spoil in (0.03, 0.1, 0.5):
        wrong = gradcheck.check(single_inside(small, spoil, offset), w, autograd=False)
        assert wrong.verdict == "fail", spoil


def test_an_error_of_a_hundredth_does_not_pass_where_the_resolution_is_finer():
    for seed in range(4):
        found = gradcheck.check(single_inside(1.5e-3, 0.015, 10.0), weights(seed), autograd=False)
        assert found.verdict != "pass", seed


LIMITS = thresholds_for(np.dtype(np.float32))


def code(analytic, reference, uncertainty, typical=1.0, limits=LIMITS):
    found = smooth_estimate("central", np.array([reference]), np.array([uncertainty]))
    return judge(np.array([analytic]), np.zeros(1), found, limits, typical=typical)


def test_an_entry_above_a_thousandth_of_the_typical_one_is_judged_by_its_own_size():
    assert code(2e-3, 2e-3, 0.9e-5).codes[0] == PASS
    assert code(2e-3, 2e-3, 0.9e-5).resolution[0] == pytest.approx(4.5e-3)
    assert code(2e-3, 2e-3, 2.1e-5).codes[0] == INCONCLUSIVE
    assert code(2e-3, 2e-3, 2.1e-5).resolution[0] == pytest.approx(1.05e-2)
    # what may be off by a hundredth at most is known as well as what agrees within half of that
    assert code(2e-3, 2e-3, 1.9e-5).codes[0] == PASS
    assert code(2e-3, 2e-3 + 2e-6, 1.9e-5).codes[0] == INCONCLUSIVE


def test_an_entry_that_lies_below_it_with_its_uncertainty_is_judged_by_the_typical_one():
    assert code(0.0, 1e-4, 8.9e-4).codes[0] == PASS
    assert code(0.0, 1e-4, 8.9e-4).resolution[0] == pytest.approx(8.9e-4)
    assert code(0.0, 1e-4, 9.1e-4).codes[0] == INCONCLUSIVE


def drawn_loss(generator, kinked):
    """A loss around 0 in single precision, its slope there, and the noise that it has."""
    slope = 10 ** generator.uniform(-4, 0) * generator.choice((-1.0, 1.0))
    bend, offset = generator.normal(size=4), generator.uniform(0.5, 10.0)
    places = generator.uniform(1e-3, 1.0, 3) * generator.choice((-1.0, 1.0), 3)
    jumps = slope * 10 ** generator.uniform(-6, 0, 3) * kinked

    def loss(x):
        value = slope * (np.sin(x) + sum(b * x ** (k + 2) for k, b in enumerate(bend)))
        for place, jump in zip(places, jumps, strict=True):
            value = value + jump * np.maximum(np.sign(place) * (x - place), 0.0)
        return np.float32(offset + value).astype(float)

    return loss, slope, 0.5 * float(np.spacing(np.float32(offset)))


@pytest.mark.parametrize("kinked", [False, True], ids=["smooth", "kinked"])
def test_the_slope_lies_within_the_uncertainty_of_a_fit(kinked):
    generator = np.random.default_rng(5)
    ratios = []
    for _ in range(500):
        loss, slope, level = drawn_loss(generator, kinked)
        for reach in (0.25, 0.0625):
            steps = (np.arange(PAIRS) + generator.uniform(size=PAIRS)) / PAIRS * reach
            moves = np.concatenate([steps, -steps])
            for fit in fits(moves, loss(moves), level, reach):
                ratios.append(abs(fit.value - slope) / fit.uncertainty)
    assert len(ratios) > 500
    assert np.mean(np.array(ratios) > 1.0) <= 0.001
    assert np.median(ratios) > 1e-3


def test_many_points_know_a_slope_better_than_a_pair():
    generator = np.random.default_rng(0)
    moves = 0.25 * generator.uniform(-1, 1, 64)
    losses = 3e-3 * np.sin(moves) + 1e-6 * generator.normal(size=64)
    best = min(fits(moves, losses, 1e-6, 0.25), key=lambda fit: fit.uncertainty)
    assert abs(best.value - 3e-3) < best.uncertainty < 8e-5
    sharp = losses + 1e-3 * np.abs(moves - 0.02)
    assert fits(moves, sharp, 1e-6, 0.25) == []


def test_nothing_is_averaged_below_the_grain_of_a_loss():
    moves = 0.25 * np.random.default_rng(0).uniform(-1, 1, 64)
    assert fits(moves, np.round(7.0 + 1e-3 * moves, 4), 1e-5, 0.25) == []


def located(spoil):
    """A loss of too many entries to step in each, one of which is small and ``spoil`` off."""

    def loss(w, offset):
        gradient = np.cos(w)
        gradient[7] *= 1 + spoil
        return np.sum(np.sin(w)) + offset, {"w": gradient}

    w = np.random.default_rng(0).normal(size=6000)
    w[7] = np.arccos(1.5e-3)
    return gradcheck.check(loss, {"w": w, "offset": 1e8}, "w", autograd=False)


def test_the_resolution_of_a_parameter_covers_the_entries_left_out():
    # an error of 1% in an entry of 1.5e-3 of the typical one
    found = located(0.01)
    parameter = found.parameters["w"]
    assert parameter.checked < 6000
    assert found.verdict == "fail" or parameter.resolution > 1.5e-5
    assert located(0.0).verdict == "pass"
    assert located(30.0).verdict == "fail"
