"""All parameters' gradients as one vector, each parameter on its own scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from gradcheck.diagnose.evidence import Array, Evidence, Mask
from gradcheck.diagnose.matching import NEAR, SLACK


@dataclass(frozen=True, eq=False)
class Space:
    """The vector space in which altered gradients are compared.

    Entries are divided by the parameter's largest gradient entry, so that no parameter drowns
    another. ``residual`` is analytic minus traced gradient; entries that are not known are 0.
    """

    names: tuple[str, ...]
    slices: Mapping[str, slice]
    scale: Array
    known: Mask
    residual: Array
    tolerance: Array
    failing: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def vector(self, gradients: Mapping[str, Array]) -> Array:
        """Flatten gradients by name into a vector of this space."""
        flat = [np.asarray(gradients[name], dtype=np.float64).ravel() for name in self.names]
        return np.where(self.known, np.concatenate(flat) / self.scale, 0.0)

    def part(self, vector: Array, name: str) -> Array:
        """Return the part of a vector that belongs to one parameter, flat and scaled."""
        return vector[self.slices[name]]

    def _any(self, marks: Mask) -> frozenset[str]:
        return frozenset(name for name in self.names if marks[self.slices[name]].any())

    def changed(self, change: Array) -> frozenset[str]:
        """Return the parameters whose gradient a change really alters."""
        return self._any(np.abs(change) > SLACK * self.tolerance)

    def matched(self, change: Array) -> frozenset[str]:
        """Return the parameters whose residual equals the change within the tolerance."""
        off = np.abs(self.residual - change) > SLACK * self.tolerance
        return frozenset(self.names) - self._any(off)

    def nearly(self, change: Array) -> bool:
        """Say whether the change takes away 99% of the error of every failing parameter."""
        left = self.residual - change
        return all(
            np.linalg.norm(self.part(left, name))
            <= NEAR * np.linalg.norm(self.part(self.residual, name))
            for name in self.failing
        )

    @cached_property
    def wrong(self) -> frozenset[str]:
        """The failing parameters, as a set."""
        return frozenset(self.failing)


def make_space(evidence: Evidence, traced: Mapping[str, Array]) -> Space:
    """Build the space of the parameters that the trace knows, around its own gradient."""
    names = tuple(name for name in evidence.names if name in traced)
    slices, scales, known, residual, tolerance, start = {}, [], [], [], [], 0
    for name in names:
        facts = evidence.facts[name]
        size = facts.value.size
        slices[name] = slice(start, start + size)
        start += size
        here = facts.known.ravel()
        largest = max(
            np.max(np.abs(facts.reference.ravel()), initial=0.0, where=here),
            np.max(np.abs(facts.analytic.ravel()), initial=0.0, where=here),
        )
        unit = float(largest) or 1.0
        scales.append(np.full(size, unit))
        known.append(here)
        residual.append(facts.residual.ravel() / unit)
        tolerance.append(facts.tolerance.ravel() / unit)
    return Space(
        names=names,
        slices=slices,
        scale=_joined(scales),
        known=np.concatenate(known) if known else np.zeros(0, bool),
        residual=_joined(residual),
        tolerance=np.maximum(_joined(tolerance), 1e-13),
        failing=tuple(f.name for f in evidence.failing_facts if f.name in traced),
        shapes={name: evidence.facts[name].value.shape for name in names},
    )


def _joined(parts: list[Array]) -> Array:
    return np.concatenate(parts) if parts else np.zeros(0)
