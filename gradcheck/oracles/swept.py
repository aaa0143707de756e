"""A full sweep of a large parameter, kept in five bytes an entry.

Its steps follow from the claim and need not be kept; neither do the uncertainties, which follow
from the steps and the noise, but for the entries of which more is known. What is kept of each is
how far its slope is from the claim, in single precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import BLOCK, FloatArray, flat
from gradcheck.oracles.estimate import Estimate
from gradcheck.oracles.first_pass import Prepared
from gradcheck.oracles.ladder import KAPPA
from gradcheck.oracles.parted import ARRAYS, PartedEstimate

LEFT, FLAT, EVALUATED = 1, 2, 4
"""Marks of an entry: in doubt, but left to the first pass; the loss did not change; evaluated."""
ROUNDED = float(np.finfo(np.float32).eps)
"""Relative error of a difference in single precision."""
MOST = 8
"""One in so many entries of a block may be kept apart; else all of the block is kept as it is."""


@dataclass(frozen=True, eq=False)
class Known:
    """What is kept of one block beside each entry's own five bytes.

    Attributes:
        changes: what the steps of its first pass follow from (see ``Prepared.changes``).
        truncation: of the entries left in doubt, relative to slope and typical gradient.
        positions: entries, counted in the block, that ``apart`` knows better.
        apart: the estimate of these.
    """

    changes: float
    truncation: float
    positions: NDArray[np.intp]
    apart: Estimate


class Swept:
    """The sweep of one parameter: blocks are added in order, and given back as an estimate."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        name = prepared.problem.parameters[prepared.number].name
        self._claimed = claimed = prepared.problem.analytic[name]
        typical = prepared.typical
        self._unit = math.ldexp(1.0, math.frexp(typical)[1]) if typical > 0 else 1.0
        self._error = np.empty(claimed.size, dtype=np.float32)
        self._marks = np.empty(claimed.size, dtype=np.uint8)
        self._blocks: list[Known | Estimate] = []

    def add(
        self,
        at: slice,
        found: Estimate,
        left: NDArray[np.bool_],
        truncation: float,
        changes: float,
    ) -> None:
        """Keep the estimate of the next block, of which ``left`` were judged by the first pass."""
        with np.errstate(all="ignore"):
            self._error[at] = (found.value - self._base(at)) / self._unit
        evaluated = np.isfinite(found.value) | found.edges
        flat_ones = np.asarray(found.flat)
        self._marks[at] = LEFT * left + FLAT * flat_ones + EVALUATED * evaluated
        none = np.zeros(0, dtype=np.intp)
        plain = Known(changes, truncation, none, _taken(found, none))  # no views of it
        self._blocks.append(plain)
        kept = self._rebuilt(at, plain)
        rounding = ROUNDED * self._unit * np.abs(self._error[at].astype(np.float64))
        positions = np.flatnonzero(_differ(found, kept, rounding))
        if positions.size * MOST > at.stop - at.start:
            self._blocks[-1] = found
        elif positions.size:
            apart = _taken(found, positions)
            self._blocks[-1] = Known(changes, truncation, positions, apart)

    def estimate(self) -> PartedEstimate:
        """Return what was swept."""
        return PartedEstimate("central", self._claimed.shape, self._part, _none_empty)

    def _base(self, at: slice) -> FloatArray:
        claimed = flat(self._claimed, at)
        return np.where(np.isfinite(claimed), claimed, 0.0)

    def _part(self, at: slice) -> Estimate:
        block = self._blocks[at.start // BLOCK]
        offset = at.start // BLOCK * BLOCK
        inner = slice(at.start - offset, at.stop - offset)
        if isinstance(block, Estimate):
            return block.part(inner)
        found = self._rebuilt(at, block)
        first, last = np.searchsorted(block.positions, (inner.start, inner.stop))
        places = block.positions[first:last] - inner.start
        apart = block.apart.part(slice(int(first), int(last)))
        for name in ARRAYS:
            getattr(found, name)[places] = getattr(apart, name)
        return found

    def _rebuilt(self, at: slice, block: Known) -> Estimate:
        """Return the estimate of a part as the first pass alone gives it."""
        up, down = self._prepared.steps(at, block.changes)
        marks = self._marks[at]
        difference = self._error[at].astype(np.float64) * self._unit
        value = self._base(at) + difference
        uncertainty = 2 * KAPPA * self._prepared.noise.level / (up + down)
        uncertainty += ROUNDED * np.abs(difference)
        left = (marks & LEFT) > 0
        if left.any():
            more = block.truncation * (np.abs(value) + self._prepared.typical)
            uncertainty = np.where(left, uncertainty + more, uncertainty)
        evaluated = (marks & EVALUATED) > 0
        none = np.zeros(value.shape, dtype=bool)
        return Estimate(
            "central",
            value,
            uncertainty,
            none,
            value.copy(),
            value.copy(),
            evaluated & ~np.isfinite(value),
            0.5 * (up + down),
            (marks & FLAT) > 0,
        )


def _taken(found: Estimate, positions: NDArray[np.intp]) -> Estimate:
    arrays: dict[str, Any] = {name: getattr(found, name)[positions] for name in ARRAYS}
    return Estimate(oracle=found.oracle, **arrays)


def _differ(one: Estimate, two: Estimate, rounding: FloatArray) -> NDArray[np.bool_]:
    """Where two estimates say different things, beyond the rounding of what is kept."""
    with np.errstate(all="ignore"):
        apart = np.abs(one.uncertainty - two.uncertainty)
        off = ~(apart <= 1e-6 * two.uncertainty + 2 * rounding)
    off &= ~(np.isnan(one.uncertainty) & np.isnan(two.uncertainty))
    for a, b in ((one.lower, one.value), (one.upper, one.value), (one.steps, two.steps)):
        off |= (a != b) & ~(np.isnan(a) & np.isnan(b))
    return np.asarray(off | one.kinks | (one.edges != two.edges))


def _none_empty(_: slice) -> bool:
    """Every entry was looked at."""
    return False
