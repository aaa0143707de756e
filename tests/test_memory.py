"""A check holds a few times its parameters at most: what is derived of them goes part by part."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import gradcheck
from gradcheck.blocks import BLOCK, MANY, SumOfSquares, in_little, parts
from gradcheck.report import Verdict
from gradcheck.verdict.nearby import Signs, moved

SWEEP = {"entries": "all", "oracles": ("central",)}
TIMES, CONSTANT = 3.0, 3_500_000
"""What a full sweep takes at most: so many times its parameters, and so many bytes beside."""


def loss(w):
    head = w[:50]
    return float(head @ head)


def sweep(n, **options):
    """Return a sweep of ``n`` entries and its peak, beyond the arrays of the user."""
    w = np.random.default_rng(0).uniform(0.5, 1.5, size=n)
    own = np.zeros(n)

    def gradient(w):
        np.multiply(w[:50], 2.0, out=own[:50])
        return own

    tracemalloc.start(1)
    try:
        found = gradcheck.check(loss, (w,), [0], grad=gradient, **SWEEP, **options)
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_full_sweep_holds_three_times_its_parameters():
    sweep(20_000, budget=500)  # what is imported stays
    n = 150_000
    found, peak = sweep(n)
    assert found.verdict is Verdict.PASS
    assert found.parameter_results[0].checked == n
    assert peak <= TIMES * 8 * n + CONSTANT


def test_of_many_parameters_too():
    """The sweep itself ends soon here, but all that it keeps of an entry is kept."""
    sweep(20_000, budget=500)
    n = 1_200_000
    found, peak = sweep(n, budget=1000)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.parameter_results[0].entries == n
    assert peak <= TIMES * 8 * n + CONSTANT


def wrong_at(n, *positions, factor=1.5):
    w = np.random.default_rng(1).uniform(0.5, 1.5, size=n)
    weights = np.zeros(n)
    weights[::97] = 1.0

    def target(w):
        claimed = 2 * weights * w
        for position in positions:
            claimed[position] *= factor
        return float((weights * w) @ w), claimed

    return gradcheck.check(target, (w,), [0], **SWEEP)


@pytest.mark.parametrize("position", [0, 97 * 200, 97 * 206])
def test_an_entry_that_is_wrong_is_found_in_whatever_part_it_lies(position):
    n = BLOCK + BLOCK // 4
    (result,) = wrong_at(n, position).parameter_results
    compared = result.comparisons["analytic~central"]
    assert result.verdict is Verdict.FAIL
    assert (compared.checked, compared.failing_entries) == (n, 1)
    worst = compared.worst[0]
    assert worst.index == (position,)
    assert worst.reference == pytest.approx(worst.analytic / 1.5, rel=1e-7)


def test_parts_tell_what_the_whole_would():
    """A parameter of one entry more than a part is judged in two, with the same figures."""
    results = [wrong_at(n, 0, 97).parameter_results[0] for n in (BLOCK, BLOCK + 1)]
    one, two = (result.comparisons["analytic~central"] for result in results)
    assert one.failing_entries == two.failing_entries == 2
    assert one.below_noise == pytest.approx(two.below_noise, abs=1)
    assert one.max_relative_error == pytest.approx(two.max_relative_error, rel=1e-6)
    assert one.norm_relative_error == pytest.approx(two.norm_relative_error, rel=0.2)


@pytest.mark.parametrize(
    ("dtype", "unit"), [(np.float64, 2.0**-52), (np.float64, 2.0**-23), (np.float32, 2.0**-23)]
)
def test_a_move_is_undone_to_the_bit(dtype, unit):
    n, draw = MANY + 7, np.random.default_rng(2)
    value = (draw.normal(size=n) * 10.0 ** draw.integers(-30, 30, n)).astype(dtype)
    value[:5] = [0.0, -0.0, np.inf, np.nan, np.finfo(dtype).max]
    before = value.tobytes()
    with np.errstate(all="ignore"), moved(value, unit, Signs(draw, n)):
        assert value.tobytes() != before
    assert value.tobytes() == before


def test_bounds_in_little_memory_are_no_smaller():
    bounds = np.random.default_rng(3).uniform(size=2 * MANY) ** 9 + 1e-12
    small = in_little(bounds.shape, lambda at: bounds[at], bound=True)
    assert small.dtype == np.float32
    assert (small >= bounds).all()
    np.testing.assert_allclose(small, bounds, rtol=2e-7)


def test_sizes_that_single_precision_cannot_hold_stay_double():
    bounds = np.full(2 * MANY, 1.0)
    bounds[-1] = 1e-60
    kept = in_little(bounds.shape, lambda at: bounds[at], bound=True)
    assert kept.dtype == np.float64
    np.testing.assert_array_equal(kept, bounds)


def test_sums_of_squares_in_parts_neither_overflow_nor_vanish():
    for scale in (1e-200, 1.0, 1e200):
        values = scale * np.random.default_rng(4).normal(size=3 * BLOCK)
        squares = SumOfSquares()
        for at in parts(values.size):
            squares.add(values[at])
        expected = scale * np.sqrt(np.mean(np.square(values / scale)))
        assert squares.mean_root == pytest.approx(expected, rel=1e-12)
