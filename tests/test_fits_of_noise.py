"""Polynomials through noisy losses: which are believed, and how far their slopes may be off."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.polynomial import polynomial

from gradcheck.oracles.averaged import KINKS, fits

REACH = 0.25
LEVEL = 1e-6


def places(n: int = 32) -> Any:
    draw = np.random.default_rng(0)
    steps = (np.arange(n) + draw.uniform(size=(2, n))) / n * REACH
    return np.concatenate([steps[0], -steps[1]])


MOVES = places()
WHITE = LEVEL * np.random.default_rng(1).normal(size=MOVES.size)


def line(x: Any) -> Any:
    return 7.0 + 2.0 * x


def slopes(losses: Any, level: float = LEVEL) -> list[float]:
    return [fit.value for fit in fits(MOVES, losses, level, REACH)]


# Values


def test_a_line_has_its_slope_by_polynomials_of_three_degrees() -> None:
    found = fits(MOVES, line(MOVES) + WHITE, LEVEL, REACH)
    assert len(found) == 3
    for fit, degree in zip(found, (4, 6, 8), strict=True):
        x = MOVES / REACH
        expected = polynomial.polyfit(x, line(MOVES) + WHITE, degree)[1] / REACH
        assert fit.value == pytest.approx(expected, rel=1e-9)
        assert fit.reach == REACH
        assert abs(fit.value - 2.0) < fit.uncertainty


@pytest.mark.parametrize(("power", "degrees"), [(2, 3), (3, 2), (5, 1), (7, 0), (9, 0)])
def test_each_degree_takes_one_odd_power_more_than_the_losses_show(
    power: int, degrees: int
) -> None:
    bent = line(MOVES) + 1e-2 * (MOVES / REACH) ** power + WHITE
    found = slopes(bent)
    assert len(found) == degrees
    assert found == pytest.approx([2.0] * degrees, abs=1e-4)


def worth(power: int, degree: int) -> float:
    """By how many deviations of its noise the slope of a degree changes from that of the last."""
    x = np.sort(MOVES) / REACH
    before, after = (
        np.linalg.inv(v.T @ v)[1] @ v.T
        for v in (np.vander(x, d + 1, increasing=True) for d in (degree - 2, degree))
    )
    change = after - before
    return float(abs(change @ x**power) / np.linalg.norm(change))


@pytest.mark.parametrize(("times", "believed"), [(3.9, True), (4.1, False)])
def test_four_deviations_of_noise_settle_a_degree(times: float, believed: bool) -> None:
    # without noise in the losses themselves, what is left of a cubic by degree 4 is nothing
    size = times * LEVEL / worth(3, 4)
    found = fits(MOVES, line(MOVES) + size * (MOVES / REACH) ** 3, LEVEL, REACH)
    assert len(found) == (3 if believed else 2)


# Uncertainties


def hidden(left: Any, degree: int, spread: float) -> tuple[float, float]:
    """What kinks within noise may have done to a slope, and their largest size in deviations."""
    x = np.sort(MOVES) / REACH
    most = largest = 0.0
    for distance in KINKS:
        for side in (1.0, -1.0):
            kink = np.maximum(side * x - distance, 0.0)
            fitted = polynomial.polyfit(x, kink, degree)
            outside = kink - polynomial.polyval(x, fitted)
            norm = float(np.linalg.norm(outside))
            size = abs(float(left @ outside)) / norm**2
            most = max(most, abs(float(fitted[1])) * (size + spread / norm))
            largest = max(largest, size * norm / spread)
    return most, largest


@pytest.mark.parametrize("level", [1e-12, LEVEL, 1e-5])
def test_the_uncertainty_covers_a_kink_that_noise_hides(level: float) -> None:
    x, losses = np.sort(MOVES) / REACH, (line(MOVES) + WHITE)[np.argsort(MOVES)]
    found = fits(MOVES, line(MOVES) + WHITE, level, REACH)
    assert len(found) == 3
    for fit, degree in zip(found, (4, 6, 8), strict=True):
        left = losses - polynomial.polyval(x, polynomial.polyfit(x, losses, degree))
        spread = max(level, float(np.sqrt(left @ left / (64 - degree - 1))))
        assert fit.uncertainty == pytest.approx(hidden(left, degree, spread)[0] / REACH, rel=1e-6)


@pytest.mark.parametrize("at", [0.0, 0.1, -0.2])
def test_a_kink_that_shows_is_no_polynomial(at: float) -> None:
    x = np.sort(MOVES)
    kink = np.maximum(x - at, 0.0)
    left = kink - polynomial.polyval(x, polynomial.polyfit(x, kink, 8))
    seen = hidden(left, 8, LEVEL)[1]
    order = np.argsort(np.argsort(MOVES))
    assert slopes(line(MOVES) + 8.0 * kink[order] / seen + WHITE) == []
    assert len(slopes(line(MOVES) + 1.0 * kink[order] / seen + WHITE)) >= 2


# What is not white, or not noise at all


def test_residuals_that_go_together_are_no_noise() -> None:
    draw = np.random.default_rng(3)
    alike = np.repeat(draw.choice((-1.0, 1.0), MOVES.size // 2), 2)
    opposed = np.tile((-1.0, 1.0), MOVES.size // 2)
    order = np.argsort(np.argsort(MOVES))
    assert slopes(line(MOVES) + LEVEL * opposed[order]) != []
    assert slopes(line(MOVES) + LEVEL * alike[order]) == []


@pytest.mark.parametrize(("distinct", "believed"), [(32, True), (31, False)])
def test_half_of_the_losses_differ(distinct: int, believed: bool) -> None:
    order = np.argsort(np.argsort(MOVES))
    draw = np.random.default_rng(5)
    values = 7.0 + LEVEL * draw.uniform(-1, 1, distinct)
    losses = values[np.arange(64) % distinct]
    assert len(np.unique(losses)) == distinct
    assert bool(fits(MOVES, losses[order], LEVEL, REACH)) is believed
