"""Estimates of a large parameter that are made anew, part by part, from the little kept of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import FloatArray, parts
from gradcheck.oracles.estimate import Estimate

ARRAYS = ("value", "uncertainty", "kinks", "lower", "upper", "edges", "steps", "flat")
"""The arrays of an estimate."""


@dataclass(frozen=True, eq=False)
class PartedEstimate:
    """An estimate with the attributes of ``Estimate``, each made when it is asked for.

    Attributes:
        shape: of the parameter.
        part: returns the estimate of a part of the entries (flat, C order) that lies within one of
            ``gradcheck.blocks.parts``.
        is_empty: whether no entry of such a part was looked at.
    """

    oracle: str
    shape: tuple[int, ...]
    part: Callable[[slice], Estimate]
    is_empty: Callable[[slice], bool]
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape))

    def whole(self) -> Estimate:
        """Return everything at once, which takes about fifty bytes an entry."""
        arrays: dict[str, Any] = {name: self._joined(name) for name in ARRAYS}
        return Estimate(oracle=self.oracle, notes=self.notes, **arrays)

    @property
    def value(self) -> FloatArray:
        """As of ``Estimate``."""
        return self._joined("value")

    @property
    def uncertainty(self) -> FloatArray:
        """As of ``Estimate``."""
        return self._joined("uncertainty")

    @property
    def kinks(self) -> NDArray[np.bool_]:
        """As of ``Estimate``."""
        return self._joined("kinks")

    @property
    def edges(self) -> NDArray[np.bool_]:
        """As of ``Estimate``."""
        return self._joined("edges")

    @property
    def steps(self) -> FloatArray:
        """As of ``Estimate``."""
        return self._joined("steps")

    @property
    def checked(self) -> NDArray[np.bool_]:
        """As of ``Estimate``."""
        return self._joined("checked")

    def _joined(self, name: str) -> NDArray[Any]:
        pieces = [getattr(self.part(at), name) for at in parts(self.size)]
        return np.concatenate(pieces).reshape(self.shape)


AnyEstimate = Estimate | PartedEstimate


def spread(found: Estimate, indices: NDArray[np.intp], size: int) -> Estimate:
    """Return an estimate of ``size`` entries from one of those at ``indices``."""

    def full(values: Any) -> FloatArray:
        whole = np.full(size, np.nan)
        whole[indices] = values
        return whole

    def marks(values: Any) -> NDArray[np.bool_]:
        whole = np.zeros(size, dtype=bool)
        whole[indices] = values
        return whole

    return Estimate(
        found.oracle,
        full(found.value),
        full(found.uncertainty),
        marks(found.kinks),
        full(found.lower),
        full(found.upper),
        marks(found.edges),
        full(found.steps),
        marks(found.flat),
        found.notes,
    )


def nothing(oracle: str, size: int, notes: tuple[str, ...] = ()) -> Estimate:
    """Return the estimate of entries none of which was looked at; it is not to be written to."""
    nan, none = np.broadcast_to(np.nan, size), np.broadcast_to(np.False_, size)
    return Estimate(oracle, nan, nan, none, nan, nan, none, nan, none, notes)


def shaped(found: Estimate, shape: tuple[int, ...]) -> Estimate:
    """Return a flat estimate in the parameter's shape."""

    def in_shape(values: Any) -> Any:
        return values.reshape(shape)

    return Estimate(
        found.oracle,
        in_shape(found.value),
        in_shape(found.uncertainty),
        in_shape(found.kinks),
        in_shape(found.lower),
        in_shape(found.upper),
        in_shape(found.edges),
        in_shape(found.steps),
        found.flat if isinstance(found.flat, bool) else in_shape(found.flat),
        found.notes,
    )


def sampled(found: Estimate, indices: NDArray[np.intp], shape: tuple[int, ...]) -> PartedEstimate:
    """Return the estimate of a large parameter of which a few entries (ascending) were seen."""

    def within(at: slice) -> slice:
        first, last = np.searchsorted(indices, (at.start, at.stop))
        return slice(int(first), int(last))

    def part(at: slice) -> Estimate:
        seen = within(at)
        if seen.start == seen.stop:
            return nothing(found.oracle, at.stop - at.start, found.notes)
        return spread(found.part(seen), indices[seen] - at.start, at.stop - at.start)

    def is_empty(at: slice) -> bool:
        seen = within(at)
        return bool(seen.start == seen.stop)

    return PartedEstimate(found.oracle, shape, part, is_empty, found.notes)


def joined(pieces: Sequence[Estimate]) -> Estimate:
    """Return flat estimates one after the other."""
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in pieces]) for name in ARRAYS
    }
    return Estimate(oracle=pieces[0].oracle, notes=pieces[0].notes, **arrays)


def as_whole(estimate: AnyEstimate) -> Estimate:
    """Return an estimate as arrays of the parameter's shape."""
    return estimate.whole() if isinstance(estimate, PartedEstimate) else estimate
