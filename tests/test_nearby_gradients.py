"""Gradients near the point, compared with each other in little memory."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.blocks import BLOCK, MANY, parts
from gradcheck.verdict.nearby import Kept, Least, Signs, moved

LARGE = MANY + 500


def whole(function, size):
    return np.concatenate([function(at) for at in parts(size)])


@pytest.mark.parametrize("size", [1, 7, 8, 9, BLOCK, BLOCK + 3])
def test_signs_are_drawn_once_for_each_entry(size):
    signs = Signs(np.random.default_rng(0), size)
    every = np.concatenate([signs.part(at) for at in parts(size)])
    assert every.shape == (size,)
    assert set(every.tolist()) <= {-1, 1}
    np.testing.assert_array_equal(signs.part(slice(0, size)), every)
    if size > 16:
        np.testing.assert_array_equal(signs.part(slice(8, 13)), every[8:13])
        assert abs(every.mean()) < 0.05


@pytest.mark.parametrize("shape", [(4, 5), (LARGE,)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_an_array_is_a_rounding_away_and_put_back_to_the_bit(shape, dtype):
    value = np.random.default_rng(0).normal(size=shape).astype(dtype)
    start, unit = value.copy(), 1e-3
    signs = Signs(np.random.default_rng(1), value.size)
    every = signs.part(slice(0, value.size)).reshape(shape)
    with moved(value, unit, signs):
        np.testing.assert_allclose(value, start * (1 + unit * every), rtol=1e-6)
    np.testing.assert_array_equal(value, start)
    with pytest.raises(ValueError, match="outside"), moved(value, unit, signs):
        raise ValueError("outside")
    np.testing.assert_array_equal(value, start)


def test_an_array_in_another_order_of_memory_moves_as_well():
    value = np.asfortranarray(np.arange(1.0, 7.0).reshape(2, 3))
    start = value.copy()
    with moved(value, 0.5, Signs(np.random.default_rng(1), 6)):
        assert (np.abs(value - start) == 0.5 * start).all()
    assert (value == start).all()


def test_few_differences_are_kept_to_the_bit_and_few_sizes():
    draw = np.random.default_rng(0)
    about, one, other = draw.normal(size=(3, 50))
    np.testing.assert_array_equal(Kept(one, about).apart(other)(slice(0, 50)), np.abs(other - one))
    least = Least(50)
    least.lower(lambda at: np.abs(one[at]))
    np.testing.assert_array_equal(least.part(slice(0, 50)), np.abs(one))


def test_many_sizes_are_kept_in_two_bytes_rounded_up_unless_that_cannot_hold_them():
    sizes = np.full(LARGE, 1 / 3)
    sizes[BLOCK : 2 * BLOCK : 2] = 1e-12  # a part of sizes too far apart
    least = Least(LARGE)
    least.lower(lambda at: sizes[at])
    found = whole(least.part, LARGE)
    assert 1.0 < found[0] / sizes[0] < 1.001
    assert (found[BLOCK : 2 * BLOCK] == sizes[BLOCK : 2 * BLOCK]).all()
    assert (found[2 * BLOCK :] == found[0]).all()
    tiny = Least(LARGE)
    tiny.lower(lambda at: np.full(at.stop - at.start, 5e-324))
    assert (whole(tiny.part, LARGE) == 5e-324).all()


@pytest.mark.parametrize("scale", [1.0, 2.0**-40])
def test_two_bytes_hold_sizes_over_nine_orders_of_magnitude(scale):
    # from just below a power of two down to two billionths of that; less is kept as it is
    sizes = scale * np.array([0.9999, 0.9985 * 2.0**-29, 0.9985 * 2.0**-30, 0.0])
    for held in ([0, 1, 3], [0, 2, 3]):
        every = np.resize(sizes[held], LARGE)
        least = Least(LARGE)
        least.lower(lambda at, every=every: every[at])
        found = least.part(slice(0, BLOCK))[:2] / sizes[held[:2]]
        assert (found <= 1.001).all()
        assert (found > 1.0).all() if held[1] == 1 else (found == 1.0).all()


@pytest.mark.parametrize("size", [5, LARGE])
@pytest.mark.parametrize("scale", [1.0, 1e200, 1e-200])
def test_how_far_two_gradients_are_apart(size, scale):
    draw = np.random.default_rng(0)
    about = scale * draw.normal(size=size)
    one, other = (about * (1 + 1e-9 * draw.normal(size=size)) for _ in range(2))
    expected = np.abs(one - other)
    kept = Kept(one, about)
    one[:] = 7.0  # the target may write into it
    found = whole(kept.apart(other), size)
    np.testing.assert_allclose(found, expected, atol=1e-6 * 1e-9 * scale * 5)


def test_many_differences_are_kept_in_single_precision():
    about = np.zeros(LARGE)
    about[::2] = 3.0
    one = about + 1e-9
    found = whole(Kept(one, about).apart(about), LARGE)
    np.testing.assert_allclose(found, 1e-9, rtol=1e-6)
    nothing = whole(Kept(np.full(LARGE, 1e-9), np.zeros(LARGE)).apart(np.zeros(LARGE)), LARGE)
    np.testing.assert_allclose(nothing, 1e-9, rtol=1e-6)


def test_the_gradient_at_the_point_stays_as_it_is():
    base = np.arange(6.0)
    found = Kept(base).apart(base + np.array([0.0, 1, -2, 0, 0, 5]))
    assert found(slice(0, 6)).tolist() == [0.0, 1.0, 2.0, 0.0, 0.0, 5.0]
    assert found(slice(4, 6)).tolist() == [0.0, 5.0]


@pytest.mark.parametrize("size", [10, LARGE])
@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
def test_the_least_of_several_sizes_is_kept_a_little_rounded_up(size, scale):
    draw = np.random.default_rng(0)
    sizes = scale * np.abs(draw.normal(size=(3, size)))
    sizes[1, 3] = np.nan
    least = Least(size)
    for one in sizes:
        least.lower(lambda at, one=one: one[at])
    found, expected = whole(least.part, size), sizes.min(axis=0)
    assert np.isnan(found[3])
    known = ~np.isnan(expected)
    assert (found[known] >= expected[known]).all()
    most = 1.0 if size == 10 else 1.003
    assert (found[known] <= most * expected[known] + 1e-6 * scale).all()
