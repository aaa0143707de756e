"""How far the search for a cause goes, and what it says that it left out."""

from __future__ import annotations

from typing import Any

import pytest

from gradcheck.blocks import MANY
from gradcheck.diagnose.limits import Limits, flowing, limits_for, numbers, untried
from gradcheck.tracing.contract import Operation, Site


def operation(output: tuple[int, ...], *inputs: tuple[int, ...]) -> Operation:
    return Operation(0, "add", Site("f.py", 1, "loss"), (), inputs, output, {})


def test_numbers_that_flow_are_those_of_all_results() -> None:
    assert numbers(()) == 1
    assert numbers((3, 4)) == 12
    assert numbers((3, 0)) == 0
    assert flowing([operation((3, 4), (100,)), operation(()), operation((5,))]) == 18
    assert flowing([]) == 0


@pytest.mark.parametrize(
    ("entries", "flow", "passes"),
    [
        (0, 0, 200),
        (250_000, 250_000, 200),
        (300_000, 200_001, 199),
        (3_000_000, 2_000_000, 20),
        (6_000_000, 0, 16),
        (10**9, 10**9, 16),
    ],
)
def test_passes_times_numbers_are_bounded(entries: int, flow: int, passes: int) -> None:
    assert limits_for(entries, 1, flow).passes == passes


def test_few_entries_are_all_compared() -> None:
    assert limits_for(MANY, 3, 0) == Limits(200, 50_000_000, None, None, None)


@pytest.mark.parametrize(
    ("parameters", "sampled"), [(0, 1 << 15), (1, 1 << 15), (3, 10_922), (128, 256), (1000, 256)]
)
def test_of_many_a_sample_of_each_parameter_is(parameters: int, sampled: int) -> None:
    found = limits_for(MANY + 1, parameters, 0)
    assert found == Limits(200, 4_000_000, sampled, 1 << 18, 100_000_000)


def told(limits: Limits, *operations: Operation, **said: bool) -> str:
    known: dict[str, Any] = {"ran_out": False, "unsketched": False}
    return untried(limits, operations, 1_234_567, **(known | said))


LARGEST = Limits(17, largest=1000)


def test_nothing_left_out_is_nothing_said() -> None:
    assert told(Limits()) == ""
    assert told(Limits(), operation((10**6,), (10**7,))) == ""
    assert told(LARGEST, operation((1000,), (10, 100), ())) == ""
    assert told(LARGEST) == ""


def test_what_was_left_out_is_said_with_the_sizes_that_made_it_so() -> None:
    assert told(LARGEST, operation((5,), (5,)), ran_out=True) == (
        "with 1,234,567 entries of the gradient, and 5 numbers in 1 traced operations, "
        "no more than 17 altered backward passes could be made"
    )
    rules = "wrong rules for what a single operation hands on were "
    found = told(LARGEST, unsketched=True)
    assert found.endswith(f"and 0 numbers in 0 traced operations, {rules}not tried")
    found = told(LARGEST, operation((2000,), (5,)), ran_out=True, unsketched=True)
    assert found.endswith(f"passes could be made and {rules}not tried")


@pytest.mark.parametrize("shapes", [((1001,), (5,)), ((5,), (5,), (7, 143))])
def test_the_largest_array_counts_among_results_and_operands(shapes: Any) -> None:
    found = told(LARGEST, operation((3,)), operation(*shapes))
    assert found.endswith("were tried only where arrays have at most 1,000 numbers")
