"""Which of the entries that an exact gradient contradicts get a central difference in any case."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcheck.blocks import BLOCK
from gradcheck.oracles.estimate import smooth_estimate
from gradcheck.oracles.parted import sampled
from gradcheck.sweep.selection import SUSPECTS, _farthest

SIZES = (1, SUSPECTS, SUSPECTS + 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5)


def farthest(error: Any, marks: Any) -> list[int]:
    claimed = np.linspace(1.0, 2.0, error.size)
    exact = smooth_estimate("autograd", claimed + error, np.full(error.size, 1e-9))
    return sorted(_farthest(exact, claimed, marks).tolist())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_they_are_those_that_are_farthest_off(size: int, share: float) -> None:
    draw = np.random.default_rng(size)
    error, marks = draw.normal(size=size), draw.random(size) <= share
    marks[draw.integers(size)] = True
    wanted = np.argsort(np.where(marks, -np.abs(error), 1.0))[:SUSPECTS]
    assert farthest(error, marks) == sorted(wanted[marks[wanted]].tolist())


def test_what_is_not_marked_is_none_however_far_it_is() -> None:
    error = np.zeros(2 * BLOCK)
    error[3], error[BLOCK + 1] = 1e-3, 1e3
    marks = error == 1e-3
    assert farthest(error, marks) == [3]


def test_an_estimate_in_parts_is_looked_at_where_it_was_made() -> None:
    indices = np.array([7, BLOCK + 2])
    two = smooth_estimate("autograd", np.array([1.0, 2.0]), np.ones(2))
    few = sampled(two, indices, (3, BLOCK))
    marks = np.zeros((3, BLOCK), dtype=bool)
    marks.reshape(-1)[indices] = True
    assert sorted(_farthest(few, np.zeros((3, BLOCK)), marks).tolist()) == indices.tolist()
