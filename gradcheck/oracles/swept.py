"""A full sweep of a large parameter, kept in a byte or two an entry.

Its steps follow from the claim and need not be kept; neither do the uncertainties, which follow
from the steps and the noise, but for the entries of which more is known. What is kept of each is
by how much its pair of losses misses the claim (``counted``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import BLOCK, FloatArray, flat
from gradcheck.oracles.counted import Counted, counted, packed, unpacked
from gradcheck.oracles.estimate import Estimate
from gradcheck.oracles.first_pass import FirstPass, Prepared, truncation_of
from gradcheck.oracles.ladder import KAPPA
from gradcheck.oracles.parted import ARRAYS, PartedEstimate

MOST = 8
"""One in so many entries of a block may be kept apart; else all of the block is kept as it is."""

Marks = bool | NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Known:
    """What is kept of the first pass over one block.

    Attributes:
        changes: what the steps of its first pass follow from (see ``Prepared.changes``).
        losses: the differences of its pairs of losses.
        left: which entries are in doubt, but were left to the first pass.
        flat: at which the loss did not change.
        evaluated: which were evaluated.
        truncation: of the entries left in doubt, in the units of ``truncation_of``.
    """

    changes: float
    losses: Counted
    left: Marks
    flat: Marks
    evaluated: Marks
    truncation: float


@dataclass(frozen=True, eq=False)
class Kept:
    """What is kept of one block: ``apart`` knows more of its entries at ``positions``."""

    known: Known
    positions: NDArray[np.intp]
    apart: Estimate


class Swept:
    """The sweep of one parameter: blocks are added in order, and given back as an estimate."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        name = prepared.problem.parameters[prepared.number].name
        self._claimed = prepared.problem.analytic[name]
        self._blocks: list[Kept | Estimate] = []

    def add(
        self,
        at: slice,
        changes: float,
        first: FirstPass,
        refined: tuple[Estimate, NDArray[np.bool_], float],
    ) -> None:
        """Keep the estimate of the next block.

        Args:
            at: its entries.
            changes: what the steps of its first pass follow from.
            first: the first pass.
            refined: what came of it: the estimate, the entries that are in doubt but were left to
                the first pass, and the truncation error of these.
        """
        found, left, truncation = refined
        spans = first.up + first.down
        with np.errstate(invalid="ignore"):
            losses = counted(first.loss_up - first.loss_down, self._expected(at, spans))
        evaluated = np.isfinite(found.value) | found.edges
        marks = (packed(left), packed(np.asarray(found.flat)), packed(evaluated))
        known = Known(changes, losses, *marks, truncation)
        positions = np.flatnonzero(_differ(found, self._rebuilt(at, known, spans)))
        if positions.size * MOST > at.stop - at.start:
            self._blocks.append(found)
        else:
            apart = _taken(found, positions)  # no views of it
            self._blocks.append(Kept(known, positions, apart))

    def estimate(self) -> PartedEstimate:
        """Return what was swept."""
        return PartedEstimate("central", self._claimed.shape, self._part, _none_empty)

    def _expected(self, at: slice, spans: FloatArray) -> FloatArray:
        """By how much the loss changes over these spans, according to the claim."""
        claimed = flat(self._claimed, at)
        with np.errstate(over="ignore"):
            changes = np.where(np.isfinite(claimed), claimed, 0.0) * spans
        return np.where(np.isfinite(changes), changes, 0.0)

    def _part(self, at: slice) -> Estimate:
        block = self._blocks[at.start // BLOCK]
        if isinstance(block, Estimate):
            return block.part(_inner(at))
        up, down = self._prepared.steps(at, block.known.changes)
        found, inner = self._rebuilt(at, block.known, up + down), _inner(at)
        first, last = np.searchsorted(block.positions, (inner.start, inner.stop))
        places = block.positions[first:last] - inner.start
        apart = block.apart.part(slice(int(first), int(last)))
        for name in ARRAYS:
            getattr(found, name)[places] = getattr(apart, name)
        return found

    def _rebuilt(self, at: slice, block: Known, spans: FloatArray) -> Estimate:
        """Return the estimate of a part as the first pass alone gives it, by its steps' lengths."""
        inner = _inner(at)
        value = block.losses.differences(self._expected(at, spans), inner) / spans
        uncertainty = 2 * KAPPA * self._prepared.noise.level / spans
        left = unpacked(block.left, inner)
        if left.any():
            scales = self._prepared.lengths(at)
            more = truncation_of(value, self._prepared.typical, spans, scales)
            uncertainty = np.where(left, uncertainty + block.truncation * more, uncertainty)
        return Estimate(
            "central",
            value,
            uncertainty,
            np.zeros(value.shape, dtype=bool),
            value.copy(),
            value.copy(),
            unpacked(block.evaluated, inner) & ~np.isfinite(value),
            0.5 * spans,
            unpacked(block.flat, inner),
        )


def _inner(at: slice) -> slice:
    """Count the entries of a part within its block."""
    begin = at.start // BLOCK * BLOCK
    return slice(at.start - begin, at.stop - begin)


def _taken(found: Estimate, positions: NDArray[np.intp]) -> Estimate:
    arrays: dict[str, Any] = {name: getattr(found, name)[positions] for name in ARRAYS}
    return Estimate(oracle=found.oracle, **arrays)


def _differ(one: Estimate, two: Estimate) -> NDArray[np.bool_]:
    """Where two estimates are not the same to the bit."""
    off = one.kinks | (one.edges != two.edges)
    for name in ("value", "uncertainty", "lower", "upper", "steps"):
        a, b = getattr(one, name), getattr(two, name)
        off |= (a != b) & ~(np.isnan(a) & np.isnan(b))
    return np.asarray(off)


def _none_empty(_: slice) -> bool:
    """Every entry was looked at."""
    return False
