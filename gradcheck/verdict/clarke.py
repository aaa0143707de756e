"""Claims that differ from the slope along each entry, and are subgradients all the same.

A function of equal numbers may be flat along every one of them and still have no derivative: of
three equal numbers the median stays where any one of them moves, and follows where all do. What
code returns there is the gradient of one of the smooth pieces that meet at the point, or a mean of
several: an element of the generalised gradient, the convex hull of the limits of gradients nearby
(Clarke, "Optimization and Nonsmooth Analysis", 1983, theorem 2.5.1).

Such points are drawn beside the point. The target's own gradient is held there against slopes of
the loss along what seemed wrong: a mistake shows at the first of them. If it is right at all of
them, the claim is looked for in the convex hull of what it is there. Of pieces that meet at the
point the gradient does not change on the way to it. Where it does, they meet beside the point, or
the loss varies on a smaller scale than the distance of the points: these tell nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gradcheck.noise import Noise
from gradcheck.oracles.parted import as_whole
from gradcheck.problem import FloatArray, Problem
from gradcheck.scales import norm, rms
from gradcheck.verdict.beside import look_beside
from gradcheck.verdict.compare import DOUBLE, FAIL, INCONCLUSIVE, PASS, Judged
from gradcheck.verdict.in_parts import AnyJudged
from gradcheck.verdict.judging import ParameterFindings

RADIUS = 2.0**-20
"""Distance of the points, in units of the parameters' scales."""
NEARER, HALFWAY = 2.0**-13, 0.5
"""Parts of it at which each piece is still itself; the second in lower precision than double."""
STEP = 2.0**-7
"""Step of the slopes there, in units of that distance."""
MOST = 5000
"""Entries of a problem up to which this is tried."""
ROUND, FEWEST, MOST_ROUNDS = 8, 13, 50
"""Points that are drawn between two looks at them, and how often, at least and at most.

There is a round for each entry whose gradient changes: that many times the number of pieces show
nearly all of them."""
SMOOTH = 3
"""Rounds of points of the same gradient from which no pieces meet."""
DIGITS = 5
"""To which gradients of one piece are the same."""
OFTEN = 3.0
"""Times the share of the pieces that were not seen, that it may be."""
RESOLVED = 1e-4
"""Part of what seemed wrong at the point that has to stand out of the noise of slopes nearby."""
EXACT = 1e-6
"""Relative difference of a slope nearby, and of the sizes it is summed of, that counts as none."""
INSIDE = 1e-5
"""Distance of a claim from the subgradients, relative to the largest, that counts as none."""
LEFT = 0.01
"""Part of what seemed wrong at an entry that pieces may leave unexplained there."""
NOISE = 8.0
"""Standard deviations that an error of a slope spans."""


def with_subgradients(
    problem: Problem, noise: Noise, parameters: Mapping[str, ParameterFindings]
) -> dict[str, ParameterFindings]:
    """Accept what fails, or is open at a kink, if the claimed gradient is a subgradient.

    It stays undecided where too many pieces meet. Nothing is tried where not every entry of theirs
    has its central difference. A wrong gradient costs four evaluations, as a rule.

    Returns:
        The findings of the parameters of which some have changed; none if nothing has.
    """
    unsure = problem.facts.spread or noise.jumps or problem.gradient_problems
    if unsure or problem.size > MOST or problem.gradient_at is None:
        return {}
    failing = {name: one for name, one in parameters.items() if _in_doubt(one).any()}
    central = {name: one.estimates.get("central") for name, one in failing.items()}
    slopes = {name: as_whole(one) for name, one in central.items() if one is not None}
    whole = all(name in slopes and slopes[name].checked.all() for name in failing)
    if not failing or not whole:
        return {}
    wrong = {name: _in_doubt(one) for name, one in failing.items()}
    search = _Search(problem, noise, {name: one.value for name, one in slopes.items()}, wrong)
    code = _code_of(search, problem) if search.resolved else FAIL
    if code == FAIL:
        return {}
    return {name: _revised(one, _settled(one), code) for name, one in failing.items()}


def _code_of(search: _Search, problem: Problem) -> int:
    """Return ``PASS`` where the claim lies among the gradients nearby, and these are right.

    ``INCONCLUSIVE`` where it may lie among those that were not drawn.
    """
    generator = np.random.default_rng(0)
    found: list[FloatArray] = []
    pieces, drawn = None, 0
    for _ in range(MOST_ROUNDS):
        for nearby in (search.at(generator) for _ in range(ROUND)):
            if nearby is None:
                continue
            if not nearby.size:
                return FAIL
            found.append(nearby)
        drawn += ROUND
        if not found:
            if drawn >= SMOOTH * ROUND:
                return FAIL
            continue
        pieces = Pieces.of(search.claim, found, search.misses)
        if pieces.meet and pieces.contain():
            return PASS
        if not pieces.meet and len(found) >= SMOOTH * ROUND:
            return FAIL
        wanted = max(FEWEST, int(pieces.changing.sum()))
        if len(found) >= wanted * ROUND or problem.evaluator.exhausted:
            break
    return INCONCLUSIVE if pieces is not None and pieces.may_contain() else FAIL


@dataclass(frozen=True, eq=False)
class Pieces:
    """A claim, and the gradients of the smooth pieces of a loss that meet at its point.

    Attributes:
        claim, rows: in units of the largest gradient; one row for each gradient that was seen.
        seen: how often.
        left: how far from a convex combination each entry of the claim may be.
        changing: marks the entries that are not the same in all rows.
    """

    claim: FloatArray
    rows: FloatArray
    seen: NDArray[np.intp]
    left: FloatArray
    changing: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        claim: FloatArray,
        gradients: Sequence[FloatArray],
        misses: FloatArray | float = np.inf,
    ) -> Pieces:
        """Gather gradients at points beside that of the claim.

        ``misses`` tells by how much each entry of the claim seems to be wrong; infinity where it
        does not.
        """
        every = np.stack(gradients)
        unit = float(np.abs(every).max()) or 1.0
        every = every / unit
        changing = np.ptp(every, axis=0) > 2.0 * INSIDE
        kinds = np.round(every[:, changing], DIGITS)
        _, first, seen = np.unique(kinds, axis=0, return_index=True, return_counts=True)
        left = np.minimum(INSIDE, np.broadcast_to(LEFT * misses / unit, claim.shape))
        return cls(claim / unit, every[first], seen, left, changing)

    @property
    def meet(self) -> bool:
        """Whether there are several."""
        return bool(self.changing.any())

    def contain(self) -> bool:
        """Whether the claim is a convex combination of the rows, but for ``INSIDE``."""
        from scipy.optimize import nnls

        same = ~self.changing
        if not (np.abs(self.claim - self.rows.mean(axis=0)) <= self.left)[same].all():
            return False
        ones = np.ones((1, len(self.rows)))
        rows, claim = self.rows[:, self.changing].T, self.claim[self.changing]
        shares, off = nnls(np.vstack([rows, ones]), np.append(claim, 1.0))
        apart = np.abs(rows @ shares - claim)
        return bool(off <= INSIDE and (apart <= self.left[self.changing]).all())

    def may_contain(self) -> bool:
        """Whether others that were not seen may be missing, as those seen but once suggest.

        Their share of all pieces is that of these among the points (Good, "The population
        frequencies of species", Biometrika 40, 1953). No entry of the claim lies farther than
        that beyond the rows, then, and the sum of all entries not at all.
        """
        unseen = int((self.seen == 1).sum()) / int(self.seen.sum())
        if not (unseen and self.meet):
            return False
        low, high, total = self.rows.min(axis=0), self.rows.max(axis=0), self.rows.sum(axis=1)
        slack = np.where(self.changing, 0.0, OFTEN * unseen) + self.left
        within = (self.claim >= low - slack) & (self.claim <= high + slack)
        sums = INSIDE * np.sqrt(self.claim.size)
        alike = total.min() - sums <= self.claim.sum() <= total.max() + sums
        return bool(within.all() and alike)


class _Search:
    """The point, what seemed wrong there, and points beside it."""

    def __init__(
        self,
        problem: Problem,
        noise: Noise,
        slopes: Mapping[str, FloatArray],
        wrong: Mapping[str, NDArray[np.bool_]],
    ) -> None:
        self._problem = problem
        self._directions = []
        misses = []
        for one in problem.parameters:
            marks = wrong.get(one.name)
            direction = np.zeros(one.value.shape)
            if marks is not None:
                direction = np.where(marks, one.scales, 0.0)
            self._directions.append(direction)
            if one.name in problem.analytic:
                miss = np.full(one.value.shape, np.inf)
                if marks is not None:
                    apart = np.abs(problem.analytic[one.name] - slopes[one.name]) * one.scales
                    miss[marks] = apart[marks]
                misses.append(miss.reshape(-1))
        self.misses = np.concatenate(misses)
        self._missed = np.where(np.isinf(self.misses), 0.0, self.misses).max()
        level = noise.at(np.array([problem.facts.value])).item()
        self._error = NOISE * level / (STEP * RADIUS)
        self.claim = self._scaled(problem.analytic)
        coarsest = max(float(np.finfo(one.value.dtype).eps) for one in problem.parameters)
        self._part = NEARER if coarsest < NEARER * RADIUS else HALFWAY

    @property
    def resolved(self) -> bool:
        """Whether noise leaves enough of a slope nearby to see there what seemed wrong here.

        What is no number is wrong whatever the slopes are.
        """
        return bool(np.isfinite(self.claim).all() and self._error < RESOLVED * self._missed)

    def at(self, generator: np.random.Generator) -> FloatArray | None:
        """Return the target's gradient, times the scales, at a point that is drawn.

        None where nothing can be said there, for a kink lies on it too; an empty one where the
        gradient is wrong there.
        """
        problem, directions = self._problem, self._directions
        found = look_beside(problem, generator, directions, RADIUS, STEP, part=self._part)
        if found is None or found.nearer is None:
            return None
        scaled, nearer = self._scaled(found.gradient), self._scaled(found.nearer)
        if not np.abs(scaled - nearer).max() <= INSIDE * np.abs(scaled).max():
            return None
        allowed = EXACT * norm(found.products) + self._error
        if not np.isfinite(scaled).all() or found.has_kink(allowed):
            return None
        return np.zeros(0) if found.is_wrong(allowed) else scaled

    def _scaled(self, gradient: Mapping[str, FloatArray]) -> FloatArray:
        scaled = [
            (gradient[one.name] * one.scales).reshape(-1)
            for one in self._problem.parameters
            if one.name in gradient
        ]
        return np.concatenate(scaled)


def _in_doubt(findings: ParameterFindings) -> NDArray[np.bool_]:
    """Mark what fails, and what lies outside the slopes of a kink."""
    return np.asarray((findings.combined.codes == FAIL) | findings.open_kinks)


def _settled(findings: ParameterFindings) -> NDArray[np.bool_]:
    """Mark what fails, and what agrees but was not decided for want of a gradient to measure it by.

    Central differences see no slope at such a point; that of the claim is known to be one now.
    """
    codes = findings.combined.codes
    central = findings.comparisons["analytic~central"]
    value = as_whole(findings.estimates["central"]).value
    allowed, claimed = central.allowed, central.analytic
    agree = (np.abs(claimed - value) <= allowed) & (allowed <= DOUBLE * rms(claimed))
    return np.asarray(_in_doubt(findings) | ((codes == INCONCLUSIVE) & agree))


def _revised(findings: ParameterFindings, marks: NDArray[np.bool_], code: int) -> ParameterFindings:
    """Return the findings with the marked entries at a kink, and the verdict on them."""
    comparisons = {
        key: _revised_comparison(judged, marks, code) if key.startswith("analytic~") else judged
        for key, judged in findings.comparisons.items()
    }
    codes = np.where(marks, np.int8(code), findings.combined.codes)
    combined = replace(findings.combined, codes=codes)
    estimates = dict(findings.estimates)
    if code == INCONCLUSIVE:
        central = as_whole(estimates["central"])
        estimates["central"] = replace(central, kinks=central.kinks | marks)
    return replace(findings, estimates=estimates, comparisons=comparisons, combined=combined)


def _revised_comparison(judged: AnyJudged, marks: NDArray[np.bool_], code: int) -> AnyJudged:
    if not isinstance(judged, Judged):
        return judged
    found = replace(
        judged,
        codes=np.where(marks, np.int8(code), judged.codes),
        kinks=judged.kinks | marks,
    )
    if code != PASS:
        return found
    return replace(
        found,
        reference=np.where(marks, judged.analytic, judged.reference),
        relative_error=np.where(marks, 0.0, judged.relative_error),
        resolution=np.where(marks, INSIDE, judged.resolution),
    )
