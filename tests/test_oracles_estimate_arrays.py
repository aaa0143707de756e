"""Estimates as arrays: what counts as looked at, and how they are cut, spread and joined."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradcheck.blocks import BLOCK, parts
from gradcheck.oracles.estimate import Estimate, smooth_estimate
from gradcheck.oracles.parted import ARRAYS, as_whole, joined, sampled, shaped, spread

NAN = float("nan")


def estimate(n: int, start: int = 0) -> Estimate:
    """An estimate whose every array tells its entries apart."""
    counting = np.arange(start, start + n, dtype=float)
    marks = np.arange(start, start + n)
    return Estimate(
        "central",
        counting,
        counting + 0.1,
        marks % 2 == 0,
        counting - 1,
        counting + 1,
        marks % 3 == 0,
        counting + 0.5,
        marks % 5 == 0,
        ("a note",),
    )


def same(one: Estimate, two: Estimate) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
    assert (one.oracle, one.notes) == (two.oracle, two.notes)


def test_entries_with_a_value_kinks_and_edges_were_looked_at() -> None:
    found = replace(
        smooth_estimate("central", np.array([1.0, NAN, NAN, NAN, NAN]), np.ones(5)),
        kinks=np.array([False, True, False, True, False]),
        edges=np.array([False, False, True, True, False]),
    )
    assert found.checked.tolist() == [True, True, True, True, False]
    assert found.size == 5


@pytest.mark.parametrize(
    "values", [[0.0, 1.0, -0.0, NAN], [-1.0, 0.0, 2.0, 3.0], [1.0, 2.0, 3.0, NAN], [0.0] * 4]
)
def test_of_a_smooth_estimate_zeros_are_flat_and_nothing_is_a_kink(values: Any) -> None:
    value = np.array(values)
    found = smooth_estimate("complex", value, np.ones(4))
    assert found.flat is not None
    assert np.broadcast_to(found.flat, (4,)).tolist() == (value == 0.0).tolist()
    assert not found.kinks.any()
    assert not found.edges.any()
    assert np.isnan(found.steps).all()
    assert found.lower is value
    assert found.upper is value


def test_a_part_counts_in_c_order() -> None:
    square = shaped(estimate(6), (2, 3))
    assert square.value.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    same(square.part(slice(2, 5)), estimate(3, 2))
    one = replace(square, flat=True)
    assert one.part(slice(2, 5)).flat is True
    assert shaped(replace(estimate(6), flat=False), (3, 2)).flat is False


def test_a_part_copies_no_more_than_itself() -> None:
    found = smooth_estimate("autograd", np.arange(1.0, 5e4).reshape(-1, 1), np.ones((49_999, 1)))
    part = found.part(slice(BLOCK, BLOCK + 9))
    for name in ("value", "uncertainty", "kinks", "lower", "upper", "edges", "steps"):
        # What is one number for all entries stays one: a copy of it would be of all of them.
        assert np.shares_memory(getattr(part, name), getattr(found, name)), name
    lines = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert smooth_estimate("autograd", lines, lines).part(slice(2, 5)).value.tolist() == [2, 3, 4]


def test_an_estimate_of_some_entries_is_spread_over_all() -> None:
    found = spread(estimate(2, 3), np.array([1, 4]), 6)
    np.testing.assert_array_equal(found.value, [NAN, 3.0, NAN, NAN, 4.0, NAN])
    np.testing.assert_array_equal(found.steps, [NAN, 3.5, NAN, NAN, 4.5, NAN])
    assert found.kinks.tolist() == [False, False, False, False, True, False]
    assert found.edges.tolist() == [False, True, False, False, False, False]
    assert found.flat.tolist() == [False] * 6
    assert found.notes == ("a note",)
    assert spread(replace(estimate(2), flat=True), np.array([1, 4]), 6).flat.tolist() == [
        *(False, True, False, False, True, False),
    ]


def test_estimates_one_after_the_other_are_one() -> None:
    same(joined([estimate(2), estimate(3, 2)]), estimate(5))


def test_a_sample_of_a_large_parameter_is_given_part_by_part() -> None:
    n = 2 * BLOCK + 7
    indices = np.array([0, BLOCK - 1, BLOCK, n - 1])
    found = sampled(estimate(4), indices, (n, 1))
    assert found.size == n
    whole = as_whole(found)
    assert whole.value.shape == (n, 1)
    assert whole.value[indices, 0].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert np.flatnonzero(found.checked).tolist() == indices.tolist()
    for name in ("value", "uncertainty", "kinks", "edges", "steps"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    same(
        joined([found.part(at) for at in parts(n)]),
        replace(shaped(whole, (n,)), notes=("a note",)),
    )
    assert not found.is_empty(slice(0, 1))
    assert found.is_empty(slice(1, BLOCK - 1))
    assert not found.is_empty(slice(1, BLOCK))
    assert found.is_empty(slice(BLOCK + 1, n - 1))
    assert as_whole(whole) is whole
    for name in ARRAYS:  # what was not looked at takes no memory
        assert getattr(found.part(slice(BLOCK + 1, n - 1)), name).strides == (0,), name
