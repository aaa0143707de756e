"""How far the search for a cause may go: bounds by size, in counts that every machine shares.

An altered backward pass costs as much as the parameters and what flows between the operations are
large. The search for the cause of a small mistake need not be counted; that of ten million
parameters would take longer than the check, and hold a hundred times the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gradcheck.blocks import MANY
from gradcheck.tracing.contract import Operation

DEFAULT_PASSES = 200
FEWEST_PASSES = 16
MOST_MOVED = 100_000_000
"""Numbers that all altered backward passes together may move: passes times size."""

EACH = 256
"""Numbers that would take as long to move as any operation does, however small, in such a pass."""

EACH_WRITTEN = 6
"""The same for each number where derivatives are written down, in place of all of the above."""

MORE_WRITTEN = 3
"""Passes with written derivatives that may be made in place of one through the trace."""

MOST_OPERATIONS = 120_000
"""Operations of a trace in which altered passes are made at all."""

MOST_LOOKED_AT = 60_000
"""Operations that are also looked at one by one: for what each hands on, and the values it has."""

LEAST_WRITTEN = 200
"""Operations from which on derivatives are written down: fewer are passed quickly as they are."""

MOST_WRITTEN = 4_000_000
"""Numbers in the derivatives of all operations, up to which they are written down."""

MOST_STORED = 50_000_000
"""Numbers that tangents, and as many that the changes of single alterations, may hold."""

STORED_OF_MANY = 4_000_000
"""The same with more than ``MANY`` parameters, where there is less to spare."""

LARGEST_OF_MANY = 1 << 18
"""Numbers in an array up to which rules for what one operation hands on are tried there."""

SAMPLE = 1 << 15
"""Entries that stand for the whole of a gradient of more than ``MANY``."""

LEAST_OF_EACH = 1 << 8
"""Entries of each parameter in a sample, at least."""

MOST_PROBED = 100_000_000
"""Numbers in the gradients that other values and cotangents are tried in, with so many entries."""


@dataclass(frozen=True)
class Limits:
    """How much the search for a cause may look at.

    Attributes:
        passes: altered backward passes.
        stored: numbers that tangents, and that the changes of single alterations, may hold.
        sampled: entries of each parameter at which altered gradients are compared; what matches
            there is compared entry by entry as well. None: all of them.
        largest: numbers in an array up to which it is looked at by itself. None: no bound.
        probed: numbers in the gradients that other values are tried in. None: no bound.
        singly: whether operations are looked at one by one as well, or only altered.
    """

    passes: int = DEFAULT_PASSES
    stored: int = MOST_STORED
    sampled: int | None = None
    largest: int | None = None
    probed: int | None = None
    singly: bool = True


def limits_for(
    n_entries: int,
    n_parameters: int,
    n_flowing: int,
    n_operations: int = 0,
    *,
    max_passes: int = DEFAULT_PASSES,
    n_written: int | None = None,
) -> Limits:
    """Return the limits for ``n_entries`` in ``n_parameters``, ``n_flowing`` numbers traced.

    The operations that these flow between are counted as well: a loop of many steps has many.
    Where derivatives are written down, ``n_written`` is how many numbers there are in all.
    """
    moved = n_entries + n_flowing + EACH * n_operations
    if n_written is not None:
        moved, max_passes = EACH_WRITTEN * n_written, MORE_WRITTEN * max_passes
    # A few passes are always made of large arrays; of very many operations they would take minutes.
    fewest = min(FEWEST_PASSES, MOST_MOVED // max(EACH * n_operations, 1))
    affordable = max(fewest, MOST_MOVED // max(moved, 1))
    passes = min(max_passes, affordable) if n_operations <= MOST_OPERATIONS else 0
    singly = n_operations <= MOST_LOOKED_AT
    if n_entries <= MANY:
        return Limits(passes, singly=singly)
    of_each = max(LEAST_OF_EACH, SAMPLE // max(n_parameters, 1))
    return Limits(passes, STORED_OF_MANY, of_each, LARGEST_OF_MANY, MOST_PROBED, singly)


def flowing(operations: Sequence[Operation]) -> int:
    """Return how many numbers the results of some operations are."""
    return sum(numbers(operation.output_shape) for operation in operations)


def numbers(shape: tuple[int, ...]) -> int:
    """Return how many numbers an array of a shape has."""
    return math.prod(shape)


def untried(
    limits: Limits,
    operations: Sequence[Operation],
    n_entries: int,
    *,
    ran_out: bool,
    unsketched: bool,
) -> str:
    """Say what a search with these limits has left out; empty where it left out nothing.

    ``ran_out`` says that there was more to try, ``unsketched`` that rules were not tried at all.
    """
    arrays = [shape for op in operations for shape in (op.output_shape, *op.input_shapes)]
    largest = max(map(numbers, arrays), default=0)
    left_out = []
    if not limits.passes:
        left_out.append("no altered backward passes were made")
    elif ran_out:
        left_out.append(f"no more than {limits.passes} altered backward passes could be made")
    if unsketched:
        left_out.append("wrong rules for what a single operation hands on were not tried")
    elif limits.largest is not None and largest > limits.largest:
        left_out.append(
            "wrong rules for what a single operation hands on were tried only where arrays have "
            f"at most {limits.largest:,} numbers"
        )
    if not left_out:
        return ""
    return (
        f"with {n_entries:,} entries of the gradient, and {flowing(operations):,} numbers in "
        f"{len(operations):,} traced operations, {' and '.join(left_out)}"
    )
