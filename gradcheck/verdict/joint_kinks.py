"""Kinks that several entries share: slopes that are valid each alone, but not together.

At a tie every entry alone has the slopes 0 and 1, and a gradient with 1 at both passes entry by
entry; moved together, though, they move the loss by one slope, not by two. A derivative times a
direction ``d`` lies between the one-sided slopes along ``d`` where no point nearby has a slope
along it beyond these (there the loss is regular, Clarke 1983, section 2.3). That is looked for:
elsewhere, as with rectifiers of which some count with a minus, nothing can be said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck.noise import Noise
from gradcheck.oracles.kinked import Kinked, kinked
from gradcheck.oracles.parted import AnyEstimate
from gradcheck.problem import FloatArray, Problem
from gradcheck.report import Diagnosis

PAIRS = 4
"""Neighbouring pairs of many entries that are looked at, and as many drawn pairs."""
FEW = 6
"""Entries up to which every pair is looked at."""
CLOSER = 6
"""Directions that are looked at more closely, at most."""
HALVED = 16
"""Sets of entries of which the halves are looked at, to find those that contradict the loss."""
SLACK = 0.1
"""Part of an entry's kink, and of the range of the slopes, by which a claim may be beyond these."""
FARTHER = 8.0
"""How much longer the steps are of the second look."""


REACH = 2.0
"""Times the standard deviation of a sum of many, and the root of their number, that it reaches."""


@dataclass(frozen=True, eq=False)
class Together:
    """Entries whose claimed slopes contradict the loss along a direction.

    Attributes:
        entries: flat positions by parameter name.
        shapes: of these parameters.
        lower, upper: one-sided slopes along the direction, in order of size.
        claimed: the claimed slope along it.
    """

    entries: Mapping[str, NDArray[np.intp]]
    shapes: Mapping[str, tuple[int, ...]]
    lower: float
    upper: float
    claimed: float


def diagnoses_of(found: Sequence[Together]) -> tuple[Diagnosis, ...]:
    """Say what is wrong, once for each set of parameters."""
    by_names: dict[tuple[str, ...], list[Together]] = {}
    for one in found:
        by_names.setdefault(tuple(one.entries), []).append(one)
    return tuple(_diagnosis(alike) for alike in by_names.values())


def _diagnosis(alike: Sequence[Together]) -> Diagnosis:
    one = alike[0]
    names = ", ".join(one.entries)
    shared = {(name, i) for each in alike for name, at in each.entries.items() for i in at.tolist()}
    first = " and ".join(f"{name}{_index(one, name)}" for name in one.entries)
    slope = f"a slope of {one.upper:.4g}"
    if one.upper - one.lower > 1e-3 * max(abs(one.upper), abs(one.lower)):
        slope = f"slopes between {one.lower:.4g} and {one.upper:.4g}"
    return Diagnosis(
        "kink",
        names if len(one.entries) == 1 else "",
        f"At kinks that {len(shared)} entries of {names} share, the gradient is a valid slope of "
        f"each alone, but not of them together: where {first} move together, the loss has {slope}, "
        f"and the gradient claims {one.claimed:.4g}.",
        "exact",
        evidence={"lower": one.lower, "upper": one.upper, "claimed": one.claimed},
        remedy="Of equals, hand the gradient on to one, or to each its share: a mask such as "
        "`x == x.max()` hands all of it to each. At the kink of a norm, 0 is right in every entry.",
    )


def _index(one: Together, name: str) -> str:
    """Return the first few indices of a parameter's entries, as ``[1, 0], [1, 1]``."""
    indices = np.stack(np.unravel_index(one.entries[name], one.shapes[name]), axis=-1).tolist()
    shown = ", ".join(str(index) for index in indices[:3])
    return f"{shown} ..." if len(indices) > 3 else shown


def contradicted_together(
    problem: Problem,
    noise: Noise,
    generator: np.random.Generator,
    *,
    differences: Mapping[str, AnyEstimate],
    accepted: Mapping[str, NDArray[np.bool_]],
    choices: Iterator[Mapping[str, FloatArray]] | None = None,
) -> tuple[Together, ...]:
    """Find entries at kinks whose claims are valid each alone, and contradict the loss together.

    A few directions that move several of them are taken, two evaluations each; one along which the
    claim lies beyond the one-sided slopes is looked at more closely, for some thirty.

    ``differences`` are the central ones as they were measured, ``accepted`` marks the entries at
    kinks whose claim passes. ``choices`` are the gradients by the operations' own choices of a
    subgradient, where these are known: what lies between them along a direction is valid there.
    """
    found = kinked(problem, noise, differences, accepted)
    if found is None:
        return ()
    search = _Search(found, generator, choices)
    pairs = search.contradictions(_pairs(found.size, generator))
    free = np.ones(found.size, dtype=bool)
    for pair in pairs:
        free[pair != 0] = False
    groups = [np.where(free, one, 0.0) for one in _groups(found, generator)]
    worst = search.contradictions(groups if found.size > 2 and free.any() else [])[:1]
    return tuple(search.told(one) for one in _merged(pairs, search.parts(worst)))


def _pairs(size: int, generator: np.random.Generator) -> list[FloatArray]:
    """Return directions that move two entries, either alike or against each other."""
    if size <= FEW:
        chosen = [(i, j) for i in range(size) for j in range(i)]
    else:
        starts = generator.choice(size - 1, PAIRS, replace=False).tolist()
        chosen = [(i, i + 1) for i in starts]
        for _ in range(PAIRS):
            i, j = generator.choice(size, 2, replace=False).tolist()
            chosen.append((i, j))
    found = []
    for i, j in chosen:
        for sign in (1.0, -1.0):
            direction = np.zeros(size)
            direction[i], direction[j] = 1.0, sign
            found.append(direction)
    return found


def _groups(found: Kinked, generator: np.random.Generator) -> list[FloatArray]:
    """Return directions that move all: alike, by the signs of the claim, and drawn."""
    alike = np.ones(found.size)
    by_claim = np.where(found.claimed < 0, -1.0, 1.0)
    drawn = [generator.choice((-1.0, 1.0), found.size) for _ in range(2)]
    return [alike, *([by_claim] if (found.claimed < 0).any() else []), *drawn]


def _merged(pairs: Sequence[FloatArray], groups: Sequence[FloatArray]) -> Iterator[FloatArray]:
    """Yield the directions of which each moves an entry that none before it does."""
    seen: set[int] = set()
    for direction in (*pairs, *groups):
        moved = set(np.flatnonzero(direction).tolist())
        if not moved <= seen:
            seen |= moved
            yield direction


def _is_far(claim: float, slopes: FloatArray, moved: int) -> bool:
    """Whether a slope lies beyond all that may occur, of which some were drawn.

    Of two entries every case is among these. A sum of more that switch on and off by themselves
    reaches further than the few that are drawn: by the root of their number in standard deviations.
    """
    if moved == 2:
        return True
    return bool(abs(claim - slopes.mean()) > REACH * slopes.std() * np.sqrt(moved))


class _Search:
    """Directions of several entries, and whether the claim along them contradicts the loss."""

    def __init__(
        self,
        found: Kinked,
        generator: np.random.Generator,
        choices: Iterator[Mapping[str, FloatArray]] | None,
    ) -> None:
        self._found = found
        self._generator = generator
        self._choices = choices
        self._chosen: FloatArray | None = None

    def contradictions(self, directions: Sequence[FloatArray]) -> list[FloatArray]:
        """Return the directions along which the claim is wrong for certain, the worst first."""
        beyond = [self._beyond(one) for one in directions]
        worst = np.argsort(-np.array(beyond), kind="stable")
        suspects = [directions[k] for k in worst if beyond[k] > 0.0]
        suspects = [one for one in suspects if not self._is_chosen(one)]
        return [one for one in suspects[:CLOSER] if self._is_certain(one)]

    def parts(self, directions: Sequence[FloatArray]) -> list[FloatArray]:
        """Return the smallest parts of these directions along which the claim is wrong, too."""
        pending, smallest, halved = list(directions), [], 0
        while pending:
            direction = pending.pop(0)
            moved = np.flatnonzero(direction)
            wrong = []
            if len(moved) > 2 and halved < HALVED:
                halved += 1
                for half in np.array_split(moved, 2):
                    part = np.zeros(direction.size)
                    part[half] = direction[half]
                    if self._is_certain(part):
                        wrong.append(part)
            pending += wrong
            smallest += [] if wrong else [direction]
        return smallest

    def told(self, direction: FloatArray) -> Together:
        """Return what is known of a direction, with its largest component as unit of length."""
        found = self._found
        lower, upper = found.sides(direction, found.step)
        moved = direction != 0
        unit = float(found.units[moved].max())
        claimed = found.claim(direction)
        shapes = {one.name: one.value.shape for one in found.problem.parameters}
        return Together(found.entries(moved), shapes, lower / unit, upper / unit, claimed / unit)

    def _beyond(self, direction: FloatArray, times: float = 1.0) -> float:
        """How far the claim lies beyond the one-sided slopes, less what is allowed; NaN of none."""
        found = self._found
        lower, upper = found.sides(direction, times * found.step)
        claim = found.claim(direction)
        return max(lower - claim, claim - upper) - self._allowed(direction, lower, upper)

    def _allowed(self, direction: FloatArray, lower: float, upper: float) -> float:
        found = self._found
        return SLACK * (found.kink + upper - lower) + found.error(direction)

    def _is_certain(self, direction: FloatArray) -> bool:
        """Whether no slope nearby lies beyond the one-sided ones.

        Those nearby are seen at two distances, and what changes with it is curvature.
        """
        found = self._found
        if not all(self._beyond(direction, times) > 0.0 for times in (1.0, FARTHER)):
            return False
        offsets = found.offsets(direction, self._generator)
        near, far = (
            found.nearby(direction, times * found.step, offsets) for times in (1.0, FARTHER)
        )
        nearest = near + (near - far) / (FARTHER - 1.0)
        lower, upper = found.sides(direction, found.step)
        allowed = self._allowed(direction, lower, upper)
        if not ((nearest >= lower - allowed) & (nearest <= upper + allowed)).all():
            return False
        return _is_far(found.claim(direction), nearest, int((direction != 0).sum()))

    def _is_chosen(self, direction: FloatArray) -> bool:
        """Whether the operations' own choices of a subgradient allow the claim."""
        found = self._found
        if self._choices is None:
            return False
        if self._chosen is None:
            self._chosen = np.stack([found.picked(one) for one in self._choices])
        slopes = self._chosen @ (found.units * direction)
        slack = SLACK * found.kink + found.error(direction)
        claim = found.claim(direction)
        return bool(slopes.min() - slack <= claim <= slopes.max() + slack)
