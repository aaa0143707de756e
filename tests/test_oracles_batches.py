"""How many entries in doubt are looked at together where a target evaluates many at a time."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcheck.noise import Noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.oracles.central import _ladder_cap, central_differences

SIZE = 2000


class Together:
    """Evaluates a straight line of given slopes; remembers how many entries go together."""

    def __init__(self, weights: Any, *, batches: bool = True) -> None:
        self.weights, self.in_batches = weights, batches
        self.exhausted = False
        self.sizes: list[int] = []

    def entries(self, number: int, indices: Any, values: Any) -> Any:
        self.sizes.append(len(np.unique(indices)))
        return 1.0 + self.weights[indices] * (values - 1.0)

    def holding_back(self, wanted: int) -> Any:
        return nullcontext()


def looked_at(wrong: Any = (), *, batches: bool = True) -> list[int]:
    """Have every entry looked at again; return how many were at a time, after the first pass."""
    weights = np.geomspace(1.0, 3.0, SIZE)
    claims = weights.copy()
    claims[list(wrong)] *= 2.0
    problem = numpy_problem(lambda x: (1.0, claims), np.ones(SIZE))
    evaluator = Together(weights, batches=batches)
    problem = replace(problem, evaluator=evaluator)
    central_differences(
        problem,
        Noise(1e-12, 1.0, np.dtype(float)),
        np.random.default_rng(0),
        selection={"x": np.arange(SIZE)},
        suspected={"x": np.ones(SIZE, dtype=bool)},
    )
    assert evaluator.sizes[0] == SIZE
    return evaluator.sizes[1:]


def test_twice_as_many_follow_those_of_which_none_was_wrong_up_to_512() -> None:
    sizes = looked_at()
    assert sizes == [8, 16, 32, 64, 128, 256, 512, 512, SIZE - 504 - 2 * 512]


def test_after_a_wrong_one_they_are_eight_again() -> None:
    # of each eight, the first and every other are the worst
    assert looked_at([70])[:3] == [8, 8, 16]
    assert looked_at(range(7))[:4] == [8, 8, 8, 16]


def test_they_end_with_the_eighth_that_is_wrong() -> None:
    assert looked_at(range(8)) == [8, 8]
    assert looked_at(range(SIZE)) == [8]


def test_else_it_is_eight_at_a_time() -> None:
    assert looked_at(batches=False) == [8] * (SIZE // 8)


@pytest.mark.parametrize(
    ("size", "parameters", "most"),
    [
        *((0, 0, 8), (0, 1, 8), (36, 16, 8), (35, 16, 7), (0, 62, 2), (0, 63, 2), (0, 1000, 2)),
        (10_500, 125, 8),
        (10_499, 125, 7),
    ],
)
def test_one_evaluation_an_entry_is_shared_among_parameters(
    size: int, parameters: int, most: int
) -> None:
    problem: Any = SimpleNamespace(size=size)
    assert _ladder_cap(problem, parameters) == most
