"""All parameters' gradients as one vector, each parameter on its own scale."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import flat, parts
from gradcheck.diagnose.evidence import Array, Evidence, Facts, Mask, largest_of
from gradcheck.diagnose.matching import NEAR, SLACK


@dataclass(frozen=True, eq=False)
class Space:
    """The vector space in which altered gradients are compared.

    Entries are divided by the parameter's largest gradient entry, so that no parameter drowns
    another. ``residual`` is analytic minus traced gradient; entries that are not known are 0.
    ``picks`` holds the flat indices of the entries that stand for a large parameter.
    """

    names: tuple[str, ...]
    slices: Mapping[str, slice]
    scale: Array
    known: Mask
    residual: Array
    tolerance: Array
    failing: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    picks: Mapping[str, NDArray[np.intp]] = field(default_factory=dict)

    def pick(self, name: str, array: Array) -> Array:
        """Return the entries of one parameter that the space has, flat."""
        entries = np.asarray(array, dtype=np.float64).ravel()
        return entries[self.picks[name]] if name in self.picks else entries

    def vector(self, gradients: Mapping[str, Array]) -> Array:
        """Flatten gradients by name into a vector of this space."""
        entries = [self.pick(name, gradients[name]) for name in self.names]
        return np.where(self.known, np.concatenate(entries) / self.scale, 0.0)

    def moved(self, vector: Array) -> dict[str, Array]:
        """Return the move of the parameters that changes gradients' products by a vector's."""
        found = {}
        for name, shape in self.shapes.items():
            here = self.slices[name]
            along = vector[here] / self.scale[here]
            if name in self.picks:
                whole = np.zeros(int(np.prod(shape)))
                whole[self.picks[name]] = along
                along = whole
            found[name] = along.reshape(shape)
        return found

    def part(self, vector: Array, name: str) -> Array:
        """Return the part of a vector that belongs to one parameter, flat and scaled."""
        return vector[self.slices[name]]

    def _any(self, marks: Mask) -> frozenset[str]:
        return frozenset(name for name in self.names if marks[self.slices[name]].any())

    def changed(self, change: Array) -> frozenset[str]:
        """Return the parameters whose gradient a change really alters."""
        return self._any(np.abs(change) > SLACK * self.tolerance)

    def matched(self, change: Array) -> frozenset[str]:
        """Return the parameters whose residual equals the change within the tolerance.

        A wrong one of which most of the residual is within the tolerance would match too much: it
        matches nothing.
        """
        off = np.abs(self.residual - change) > SLACK * self.tolerance
        return frozenset(self.names) - self._any(off) - self._blurred

    def nearly(self, change: Array) -> bool:
        """Say whether the change takes away 99% of the error of every failing parameter."""
        left = self.residual - change
        return all(
            np.linalg.norm(self.part(left, name))
            <= NEAR * np.linalg.norm(self.part(self.residual, name))
            for name in self.failing
        )

    @cached_property
    def _blurred(self) -> frozenset[str]:
        """The failing parameters of which more of the residual is within the tolerance than not."""
        seen = np.abs(self.residual) > SLACK * self.tolerance
        clear, dim = np.where(seen, self.residual, 0.0), np.where(seen, 0.0, self.residual)
        return frozenset(
            name
            for name in self.failing
            if not np.linalg.norm(self.part(clear, name)) > np.linalg.norm(self.part(dim, name))
        )

    @cached_property
    def wrong(self) -> frozenset[str]:
        """The failing parameters, as a set."""
        return frozenset(self.failing)


def make_space(evidence: Evidence, traced: Container[str], *, sampled: int | None = None) -> Space:
    """Build the space of the parameters that the trace knows, around its own gradient.

    Of a parameter with more than ``sampled`` entries, so many stand for all.
    """
    names = tuple(name for name in evidence.names if name in traced)
    slices, scales, known, residual, tolerance, start = {}, [], [], [], [], 0
    picks = {}
    for name in names:
        facts = evidence.facts[name]
        some: slice | NDArray[np.intp] = slice(None)
        if sampled is not None and facts.value.size > sampled:
            some = picks[name] = _sample(facts, sampled)
        here = facts.known.reshape(-1)[some]
        slices[name] = slice(start, start + here.size)
        start += here.size
        largest = max(
            largest_of(facts.reference, facts.known), largest_of(facts.analytic, facts.known)
        )
        unit = largest or 1.0
        scales.append(np.full(here.size, unit))
        known.append(here)
        residual.append(facts.residual.reshape(-1)[some] / unit)
        tolerance.append(facts.tolerance.reshape(-1)[some] / unit)
    return Space(
        names=names,
        slices=slices,
        scale=_joined(scales),
        known=np.concatenate(known) if known else np.zeros(0, bool),
        residual=_joined(residual),
        tolerance=np.maximum(_joined(tolerance), 1e-13),
        failing=tuple(f.name for f in evidence.failing_facts if f.name in traced),
        shapes={name: evidence.facts[name].value.shape for name in names},
        picks=picks,
    )


def _sample(facts: Facts, n: int) -> NDArray[np.intp]:
    """Return flat indices of some entries: wrong ones for half of them, any for the rest."""
    size, n_wrong = facts.value.size, int(np.count_nonzero(facts.support))
    step = 1 + 2 * n_wrong // n
    wrong, seen = [], 0
    for at in parts(size):
        here = np.flatnonzero(flat(facts.support, at))
        wrong.append(at.start + here[-seen % step :: step])
        seen += here.size
    some = np.random.default_rng(19).integers(size, size=n - sum(part.size for part in wrong))
    return np.unique(np.concatenate([*wrong, some]))


def _joined(parts: list[Array]) -> Array:
    return np.concatenate(parts) if parts else np.zeros(0)
