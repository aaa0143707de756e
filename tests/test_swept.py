"""A sweep of a large parameter is kept in little, and nothing of it is lost."""

from __future__ import annotations

import numpy as np
import pytest

import gradcheck
from gradcheck.blocks import BLOCK, parts
from gradcheck.oracles.counted import counted, packed, unpacked
from gradcheck.oracles.parted import ARRAYS
from gradcheck.oracles.swept import Swept
from gradcheck.verdict.nearby import Least

EVERY = slice(None)


# Differences of losses


@pytest.mark.parametrize(
    ("loss", "noise", "kind"),
    [(3.0, 1e-16, np.int8), (1e8, 1e-8, np.int8), (3.0, 1e-13, np.int16), (3.0, 1e-9, np.int32)],
)
def test_a_difference_of_losses_takes_as_many_bytes_as_its_noise_wants(loss, noise, kind):
    draw = np.random.default_rng(0)
    expected = 1e-6 * draw.normal(size=1000)
    pairs = [loss + side * expected + noise * draw.normal(size=1000) for side in (0.5, -0.5)]
    differences = pairs[0] - pairs[1]
    kept = counted(differences, expected)
    assert kept.missed.dtype == kind
    assert kept.differences(expected, EVERY).tobytes() == differences.tobytes()
    some = slice(17, 401)
    assert kept.differences(expected[some], some).tobytes() == differences[some].tobytes()


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1.0, 1e300])
def test_differences_of_any_size_come_back(scale):
    draw = np.random.default_rng(1)
    differences = draw.normal(size=500) * scale * 10.0 ** draw.integers(-40, 5, 500)
    differences[::7] = 0.0
    for expected in (np.zeros(500), differences, np.full(500, 1e200)):
        kept = counted(differences, expected)
        np.testing.assert_array_equal(kept.differences(expected, EVERY), differences)


def test_what_is_not_finite_comes_back_as_no_number():
    differences = np.array([np.nan, 1.0, np.inf, -0.5, -np.inf])
    kept = counted(differences, np.ones(5))
    np.testing.assert_array_equal(
        kept.differences(np.ones(5), EVERY), [np.nan, 1.0, np.nan, -0.5, np.nan]
    )
    nothing = counted(np.full(3, np.nan), np.zeros(3))
    assert nothing.missed.nbytes == 3
    assert np.isnan(nothing.differences(np.zeros(3), EVERY)).all()


def test_marks_take_a_bit_or_none():
    mixed = np.arange(100) % 3 == 0
    assert unpacked(packed(mixed), slice(0, 100)).tolist() == mixed.tolist()
    assert unpacked(packed(mixed), slice(9, 42)).tolist() == mixed[9:42].tolist()
    assert packed(np.ones(50, dtype=bool)) is True
    assert packed(np.zeros(50, dtype=bool)) is False
    assert unpacked(True, slice(3, 5)).tolist() == [True, True]


# The smaller of two changes of a gradient


def test_small_changes_take_two_bytes_and_are_hardly_larger():
    n = 10 * BLOCK
    draw = np.random.default_rng(2)
    sizes = [np.abs(draw.normal(size=n)) * 1e-17 for _ in range(2)]
    least = Least(n)
    for one in sizes:
        least.lower(lambda at, one=one: one[at])
    exact = np.minimum(*sizes)
    kept = np.concatenate([least.part(at) for at in parts(n)])
    assert (kept >= exact).all()
    assert (kept <= 1.0025 * exact).all()
    assert all(small.dtype == np.float16 for _, small in least._parts)


def test_whole_units_in_the_last_place_are_kept_to_the_bit():
    n = 10 * BLOCK
    sizes = np.random.default_rng(3).integers(0, 2000, n) * 2.0**-60
    least = Least(n)
    least.lower(lambda at: sizes[at])
    np.testing.assert_array_equal(np.concatenate([least.part(at) for at in parts(n)]), sizes)


@pytest.mark.parametrize("strange", [1e-30, np.nan, np.inf])
def test_sizes_that_half_precision_cannot_hold_stay_as_they_are(strange):
    n = 10 * BLOCK
    sizes = np.full(n, 1.0)
    sizes[5] = strange
    least = Least(n)
    least.lower(lambda at: sizes[at])
    np.testing.assert_array_equal(least.part(slice(0, BLOCK)), sizes[:BLOCK])


# The sweep


def bumps(w):
    few = w[::97]
    found = np.zeros(w.size)
    found[::97] = -2 * few * np.exp(-few * few)
    return float(np.exp(-few * few).sum()), found


def wrong_in_part(w):
    value, found = bumps(w)
    found[: 97 * 40 : 97] *= 1.1
    return value, found


def wrong_in_whole(w):
    value, found = bumps(w)
    return value, 2 * found


def with_kinks(w):
    few = w[::97]
    found = np.zeros(w.size)
    found[::97] = np.sign(few)
    return float(np.abs(few).sum()), found


def with_edges(w):
    few = w[::97]
    found = np.zeros(w.size)
    with np.errstate(all="ignore"):
        found[::97] = np.where(few >= 0, 0.5 / np.sqrt(few), 0.0)
        return float(np.sqrt(few[few >= 0]).sum()), found


@pytest.mark.parametrize(
    "target",
    [bumps, wrong_in_part, wrong_in_whole, with_kinks, with_edges],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("budget", [None, 20_000], ids=["whole", "cut short"])
def test_what_was_swept_comes_back_to_the_bit(monkeypatch, target, budget):
    n = BLOCK + 500
    w = np.random.default_rng(4).normal(size=n)
    w[::970] = 0.0
    swept = []

    def add(self, at, changes, first, refined, plain=Swept.add):
        plain(self, at, changes, first, refined)
        swept.append((self, at, refined[0]))

    monkeypatch.setattr(Swept, "add", add)
    gradcheck.check(target, (w,), [0], entries="all", oracles=("central",), budget=budget)
    assert len(swept) == 2
    for one, at, found in swept:
        again = one.estimate().part(at)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(again, name), getattr(found, name), err_msg=name)
