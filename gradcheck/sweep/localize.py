"""Group testing: which entries of a gradient are wrong, among millions, in hundreds of losses.

The error ``r = claimed - true`` of a gradient is seen through sums ``r . v`` over boxes of entries,
each the claimed slope along a random direction less the measured one. A box whose sum is not zero
is halved; one half is measured, the other follows, since both are parts of the same direction.
``s`` wrong entries among ``P`` take about ``4 s log2(P)`` evaluations. A box of which all eighths
along an axis are wrong is searched along its other axes instead, so that wrong rows, columns and
whole parameters are found as such. Directions are drawn anew, without what has been found, until
two of them see nothing.

Where the loss has kinks at the point, its slopes along a direction differ from side to side, and
any claim between them passes. There, the search is made at a point beside it, off the kinks, with
the gradient that the target gives there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from gradcheck.noise import Noise
from gradcheck.problem import Problem
from gradcheck.sweep.at_kinks import some_at_kinks
from gradcheck.sweep.off_kinks import off_kinks, radii
from gradcheck.sweep.sums import Box, EnoughError, Part, Sight
from gradcheck.sweep.wrong_blocks import WrongBlock, kind_of, merged

PROBES = 6
"""Entries of a box wrong along all its axes that are looked at one by one."""
EIGHTHS = 3
"""Halvings after which a box with no right part counts as wrong along the axis."""
MOSTLY, SMALL = 0.3, 64
"""Share of wrong probes from which a box of more entries than this is reported as a whole."""
ROUNDS = 30
CLEAN = 2
"""Directions in a row that must see nothing."""
UNRESOLVED = 8
"""Boxes wrong in sum, without a half that is, after which the search ends."""
FOUND = 300
"""Wrong entries after which the search ends."""


@dataclass(frozen=True)
class Localisation:
    """Where a gradient is wrong.

    Attributes:
        entries: wrong entries, ``(parameter, flat index)`` in C order: each one found alone, and
            those probed within ``blocks``.
        blocks: rows, columns, parameters and other boxes that are wrong as wholes.
        unresolved: boxes that are wrong in sum, while no part of them could be told to be.
        evaluations: loss evaluations spent.
        resolution: by parameter, the smallest error of a typical entry, relative to it, that a
            direction through all parameters would have seen; at 1 and above, not even a zero.
        agreed: whether the last directions, through all that was not found wrong, saw nothing.
        complete: whether the search came to its end within its limits.
        beside: whether it was made at a point beside, since there are kinks at this one.
        hidden: whether there are kinks, and no point beside where it could have been made.
        suspects: some entries at kinks, right beside the point, that may be wrong there alone.
    """

    entries: tuple[tuple[str, int], ...]
    blocks: tuple[WrongBlock, ...]
    unresolved: tuple[WrongBlock, ...]
    evaluations: int
    resolution: dict[str, float]
    agreed: bool
    complete: bool
    beside: bool = False
    hidden: bool = False
    suspects: tuple[tuple[str, int], ...] = ()

    @property
    def found_nothing(self) -> bool:
        """Whether the gradient agrees with the loss as far as was seen."""
        return self.agreed and not (self.entries or self.blocks or self.unresolved)


def localise(
    problem: Problem,
    noise: Noise,
    generator: np.random.Generator,
    *,
    max_evaluations: int | None = None,
) -> Localisation:
    """Find the entries in which the analytic gradient is wrong.

    Spends at most about ``40 + 6 s log2(P)`` evaluations on ``s`` wrong entries among ``P``, and
    never more than ``max_evaluations``.
    """
    search = _Search(Sight(problem, noise, max_evaluations), generator)
    first = search.begin()
    if first is None or search.sight.kink is None:
        search.run(first)
        return _result(search)
    beside = _beside(search)
    if beside is None:
        search.run(first)
        return replace(_result(search), hidden=True)
    # What may still be wrong is the choice of slopes at the kinks: some of these are looked at.
    suspects = some_at_kinks(problem, noise, generator) if beside.found_nothing else ()
    return replace(beside, evaluations=search.sight.spent, suspects=suspects)


def _beside(search: _Search) -> Localisation | None:
    """Search at a point off the kinks; None where none is found that has none itself."""
    sight = search.sight
    for radius in radii(sight.problem, sight.noise):
        with off_kinks(sight.problem, sight.noise, search.generator, radius) as there:
            if there is None:
                continue
            limit = sight.max_evaluations
            left = None if limit is None else limit - sight.spent
            other = _Search(Sight(*there, left, longest=radius / 4), search.generator)
            first = other.begin()
            if first is not None and other.sight.kink is None:
                other.run(first)
                return replace(_result(other), beside=True)
    return None


@dataclass
class _Search:
    """One search: the direction in use, and what was found so far."""

    sight: Sight
    generator: np.random.Generator
    found: list[Part] = field(default_factory=list)
    blocks: list[tuple[Part, int, int]] = field(default_factory=list)
    unresolved: list[Part] = field(default_factory=list)
    agreed: bool = False
    complete: bool = False

    @property
    def excluded(self) -> list[Part]:
        return [*self.found, *(part for part, _, _ in self.blocks), *self.unresolved]

    def begin(self) -> tuple[float, float] | None:
        """Measure a first direction; None where the limits do not allow it."""
        try:
            return self._fresh()
        except EnoughError:
            return None

    def _fresh(self) -> tuple[float, float]:
        self.sight.turn(self.generator, self.excluded)
        return self.sight.sum_of_all()

    def run(self, first: tuple[float, float] | None) -> None:
        """Search until two fresh directions in a row see nothing, or the limits are met.

        ``first`` is what the direction in use has shown; None to draw one.
        """
        clean, seen = 0, first
        try:
            for _ in range(ROUNDS):
                before = len(self.excluded)
                error, bound = self._fresh() if seen is None else seen
                seen = None
                wrong = abs(error) > bound
                clean = 0 if wrong else clean + 1
                if wrong:
                    self._search_parameters(self.sight.wholes(), error, bound)
                if clean >= CLEAN or (wrong and len(self.excluded) == before):
                    break
            self.agreed = clean >= CLEAN
            self.complete = True
        except EnoughError:
            self.agreed = False

    def _search_parameters(self, places: list[tuple[int, Box]], error: float, bound: float) -> None:
        """Halve the list of parameters down to the wrong ones."""
        if len(places) == 1:
            self._search_box(Part(*places[0], error, bound), frozenset())
            return
        middle = len(places) // 2
        one, two = self._split(places[:middle], places[middle:], error, bound)
        for half, (half_error, half_bound) in ((places[:middle], one), (places[middle:], two)):
            if abs(half_error) > half_bound:
                self._search_parameters(half, half_error, half_bound)

    def _split(
        self,
        first: list[tuple[int, Box]],
        second: list[tuple[int, Box]],
        error: float,
        bound: float,
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        """Measure the first of two parts; the second is the rest, unless that leaves doubts."""
        one = self.sight.measure(first)
        rest, rest_bound = error - one[0], bound + one[1]
        doubtful = 0.25 * rest_bound < abs(rest) < 4 * rest_bound
        neither = abs(one[0]) <= one[1] and abs(rest) <= rest_bound
        if doubtful or neither or not math.isfinite(rest_bound):
            return one, self.sight.measure(second)
        return one, (rest, rest_bound)

    def _search_box(self, part: Part, dense: frozenset[int]) -> None:
        """Search a wrong box; along the axes in ``dense``, all of it looks wrong."""
        if part.size == 1:
            self._leaf(part)
            return
        axes = [axis for axis, n in enumerate(part.shape) if n > 1 and axis not in dense]
        if not axes:
            self._probe(part)
            return
        axis = max(axes, key=lambda one: part.shape[one])
        pieces = [part]
        for _ in range(EIGHTHS):
            pieces, all_wrong = self._halve_all(pieces, axis)
            if not all_wrong:
                break
        else:
            pieces, dense = [part], dense | {axis}
        for piece in pieces:
            self._search_box(piece, dense)

    def _halve_all(self, pieces: list[Part], axis: int) -> tuple[list[Part], bool]:
        """Halve pieces along an axis; return the wrong halves, and whether all are wrong."""
        wrong: list[Part] = []
        all_wrong = True
        for piece in pieces:
            if piece.shape[axis] == 1:
                wrong.append(piece)
                continue
            boxes = piece.halves(axis)
            k = piece.number
            seen = self._split([(k, boxes[0])], [(k, boxes[1])], piece.error, piece.bound)
            halves = [Part(k, box, *one) for box, one in zip(boxes, seen, strict=True)]
            hit = [half for half in halves if half.is_wrong]
            if not hit:
                self._leave(piece)
            all_wrong = all_wrong and hit == halves
            wrong += hit
        return wrong, all_wrong

    def _leaf(self, part: Part) -> None:
        """Measure a single entry by itself; keep it if it is wrong."""
        part = self._entry(part.number, tuple(one.start for one in part.box))
        if part.is_wrong:
            self._keep(part)
        else:
            self._leave(part)

    def _entry(self, number: int, index: tuple[int, ...]) -> Part:
        box = tuple(slice(i, i + 1) for i in index)
        error, bound = self.sight.measure([(number, box)])
        return Part(number, box, error, max(bound, self.sight.smallest(number, box)))

    def _keep(self, part: Part) -> None:
        self.found.append(part)
        if len(self.found) >= FOUND:
            raise EnoughError

    def _leave(self, part: Part) -> None:
        self.unresolved.append(part)
        if len(self.unresolved) >= UNRESOLVED:
            raise EnoughError

    def _probe(self, part: Part) -> None:
        """Look at single entries of a box that looks wrong along all axes."""
        n = min(PROBES, part.size)
        drawn = np.sort(self.generator.choice(part.size, n, replace=False))
        probes = []
        for position in drawn.tolist():
            inner = np.unravel_index(position, part.shape)
            index = tuple(int(i) + one.start for i, one in zip(inner, part.box, strict=True))
            probes.append(self._entry(part.number, index))
        wrong = [probe for probe in probes if probe.is_wrong]
        if n == part.size:
            for probe in wrong:
                self._keep(probe)
            if len(wrong) == n:
                self.blocks.append((part, n, n))
            elif not wrong:
                self._leave(part)
        elif len(wrong) == n or (len(wrong) >= MOSTLY * n and part.size > SMALL):
            self.blocks.append((part, n, len(wrong)))
            self.found += wrong
        elif abs(part.error) < math.sqrt(part.size) * max(probe.bound for probe in probes):
            # Spread over the box, the error is below what can be seen of one entry.
            self._leave(part)
        else:
            axis = max(range(len(part.shape)), key=lambda one: part.shape[one])
            for half in self._halve_all([part], axis)[0]:
                self._search_box(half, frozenset())


def _result(search: _Search) -> Localisation:
    problem = search.sight.problem

    def named(part: Part, probed: int = 0, wrong: int = 0) -> WrongBlock:
        parameter = problem.parameters[part.number]
        box = tuple((one.start, one.stop) for one in part.box)
        kind = kind_of(box, parameter.value.shape)
        return WrongBlock(parameter.name, kind, box, probed, wrong)

    entries = {(part.number, _flat(part, problem)) for part in search.found}
    blocks = merged([named(*one) for one in search.blocks], problem)
    # A few neighbours, each seen by itself, are entries, unless they are a row or a whole.
    blocks = [one for one in blocks if one.kind != "block" or one.probed < one.size]
    return Localisation(
        tuple((problem.parameters[k].name, flat) for k, flat in sorted(entries)),
        tuple(blocks),
        tuple(named(part) for part in search.unresolved),
        search.sight.spent,
        search.sight.resolution,
        search.agreed,
        search.complete,
    )


def _flat(part: Part, problem: Problem) -> int:
    shape = problem.parameters[part.number].value.shape
    index = [one.start for one in part.box]
    return int(np.ravel_multi_index(index, shape)) if shape else 0
