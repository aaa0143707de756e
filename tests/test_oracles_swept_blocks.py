"""What is kept of a block of a sweep: the entries of which more is known than their pair says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_oracles_batches import Together

from gradcheck.noise import Noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.oracles.central import Refinement
from gradcheck.oracles.climb import ORDINARY
from gradcheck.oracles.estimate import Estimate
from gradcheck.oracles.first_pass import prepare
from gradcheck.oracles.parted import ARRAYS
from gradcheck.oracles.swept import Kept, Swept

SIZE = 100
EVERY = slice(0, SIZE)


def swept(claims_over: Any = 1.0, change: Any = lambda found: found) -> tuple[Any, Any, Estimate]:
    """Sweep one block; return what is kept of it, the sweep's estimate, and what came in."""
    weights = np.geomspace(1.0, 3.0, SIZE)
    claims = weights * claims_over
    problem = numpy_problem(lambda x: (1.0, claims), np.ones(SIZE))
    problem = replace(problem, evaluator=Together(weights))
    noise = Noise(1e-12, 1.0, np.dtype(float))
    prepared = prepare(problem, noise, 0)
    changes = prepared.changes(EVERY)
    first = prepared.evaluated(EVERY, changes)
    refinement = Refinement(problem, noise, np.random.default_rng(0), 8, ORDINARY)
    found, left, truncation = refinement.of(first, None)
    found = change(found)
    sweep = Swept(prepared)
    sweep.add(EVERY, changes, first, (found, left, truncation))
    (block,) = sweep._blocks
    return block, sweep.estimate(), found


def same(one: Estimate, two: Estimate) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True) for name in ARRAYS
    )


def test_of_entries_that_agree_nothing_is_kept_besides() -> None:
    block, estimate, found = swept()
    assert isinstance(block, Kept)
    assert block.positions.size == 0
    # the claim tells the differences of the losses but for some units in their last place
    assert block.known.losses.missed.dtype == np.int8
    assert np.abs(block.known.losses.missed).max() <= 2
    assert same(estimate.part(EVERY), found)
    assert estimate.shape == (SIZE,)


def test_of_wrong_ones_those_that_were_looked_at_again_are() -> None:
    block, estimate, found = swept(2.0)
    assert isinstance(block, Kept)
    assert block.positions.size == 8  # the others have the truncation that these have shown
    assert same(estimate.part(EVERY), found)


def changed(name: str, value: Any, count: int) -> Any:
    def change(found: Estimate) -> Estimate:
        new = np.array(getattr(found, name))
        new[3 : 3 + count] = value
        return replace(found, **{name: new})

    return change


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("value", 7.0), ("value", np.nan), ("uncertainty", 7.0), ("uncertainty", np.nan)),
        *(("lower", 7.0), ("upper", 7.0), ("steps", 7.0), ("kinks", True), ("edges", True)),
    ],
)
def test_each_array_counts(name: str, value: Any) -> None:
    block, estimate, found = swept(change=changed(name, value, 2))
    assert isinstance(block, Kept)
    assert block.positions.tolist() == [3, 4]
    assert same(estimate.part(EVERY), found)
    for part in (slice(0, 3), slice(4, 5), slice(2, 60), slice(5, SIZE)):
        assert same(estimate.part(part), found.part(part))


@pytest.mark.parametrize(("count", "apart"), [(12, True), (13, False)])
def test_where_more_than_an_eighth_are_all_of_the_block_is_kept(count: int, apart: bool) -> None:
    block, estimate, found = swept(change=changed("lower", 7.0, count))
    assert isinstance(block, Kept) is apart
    assert same(estimate.part(EVERY), found)
    assert same(estimate.part(slice(10, 20)), found.part(slice(10, 20)))
    if apart:
        assert block.apart.size == count
