"""What passes at kinks is held against the loss right beside the point, where it has a slope.

At a kink any of several slopes is valid, and a wrong gradient may happen to be one: where every
margin of a perceptron is 0, so may be that of the other sign. Beside the point the same code gives
gradients of which only one is right. They also tell a mistake from a value that lies outside the
slopes of a kink for its operations' own choices there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck.noise import Noise
from gradcheck.problem import FloatArray, Problem
from gradcheck.report import Diagnosis
from gradcheck.scales import norm
from gradcheck.verdict.beside import Beside, look_beside

RADIUS = 2.0**-13
"""Distance of the points, in units of the parameters' scales."""
MOST = 1 << 20
"""Entries of a problem up to which this is done."""
SHORTEST, LONGEST = 2.0**-12, 2.0**-7
"""Steps of the slopes there, in units of that distance: of many kinks some lie on a long one."""
HIDDEN = 1e-5
"""Part of the claimed slopes that noise may hide, where a step is long enough for that."""
POINTS = 8
"""Points that are drawn, at most, for there may be kinks on them as well."""
ENOUGH = 2
"""Points that have to say the same."""
NOISE = 8.0
"""Standard deviations that an error of a slope spans."""


@dataclass(frozen=True, eq=False)
class WrongBeside:
    """A parameter whose gradient is wrong beside the point.

    Attributes:
        name: of the parameter.
        entries: flat positions (C order) of those at kinks.
        slope, claimed: of the loss, and of the gradient, along a direction of these at a point.
    """

    name: str
    entries: NDArray[np.intp]
    slope: float
    claimed: float


def wrong_beside(
    problem: Problem,
    noise: Noise,
    accepted: Mapping[str, NDArray[np.bool_]],
    tolerances: Mapping[str, float],
) -> tuple[WrongBeside, ...]:
    """Find the parameters with kinks whose gradient is wrong at points beside this one.

    Two points that agree are enough; together they take eight evaluations.

    Args:
        problem: with the target's gradient at other points.
        noise: of the loss.
        accepted: marks the entries at kinks that do not fail, by parameter name.
        tolerances: relative difference of slopes that counts as none, by parameter name.
    """
    names = [one.name for one in problem.parameters if one.name in accepted]
    if problem.gradient_at is None or not names or problem.size > MOST:
        return ()
    search = _Search(problem, noise, accepted, tolerances)
    if search.first_wrong(names) is None:
        return ()
    found = []
    for name in names:
        seen = search.first_wrong([name])
        if seen is not None:
            entries = np.flatnonzero(accepted[name])
            found.append(WrongBeside(name, entries, seen.slope, seen.claimed))
    return tuple(found)


def diagnosis_of(found: WrongBeside) -> Diagnosis:
    """Say what is wrong with a parameter."""
    several = found.entries.size > 1
    return Diagnosis(
        "kink",
        found.name,
        f"{found.entries.size} {'entries' if several else 'entry'} of {found.name} "
        f"{'sit on kinks' if several else 'sits on a kink'} of the loss, where any of several "
        "slopes is valid. Right beside the point, where only one is, the gradient is wrong: along "
        f"a direction that moves {'them' if several else 'it'} the loss has the slope "
        f"{found.slope:.4g}, and the gradient claims {found.claimed:.4g}.",
        "exact",
        evidence={"slope": found.slope, "claimed": found.claimed},
        remedy="Check at a point off the kinks, with --jitter 0.01: it tells which entries are "
        "wrong there, and why.",
    )


class _Search:
    """Points beside the one that is checked, and whether the gradient is wrong at them."""

    def __init__(
        self,
        problem: Problem,
        noise: Noise,
        accepted: Mapping[str, NDArray[np.bool_]],
        tolerances: Mapping[str, float],
    ) -> None:
        self._problem, self._accepted, self._tolerances = problem, accepted, tolerances
        level = NOISE * noise.at(np.array([problem.facts.value])).item() / RADIUS
        size = max(
            norm(problem.analytic[one.name] * one.scales)
            for one in problem.parameters
            if one.name in accepted
        )
        wanted = level / (HIDDEN * size) if size else LONGEST
        self._step = min(max(SHORTEST, wanted), LONGEST)
        self._error = level / self._step

    def first_wrong(self, names: list[str]) -> Beside | None:
        """Return the first of several points where the gradient is wrong along some parameters."""
        generator = np.random.default_rng(0)
        directions = [
            self._direction(one.name, one.scales, names) for one in self._problem.parameters
        ]
        tolerance = max(self._tolerances[name] for name in names)
        wrong: list[Beside] = []
        right = 0
        for _ in range(POINTS):
            found = look_beside(self._problem, generator, directions, RADIUS, self._step)
            if found is None:
                continue
            size = norm(found.products)
            allowed = tolerance * max(size, abs(found.slope)) + self._error
            if found.has_kink(allowed) or not np.isfinite(found.claimed):
                continue
            if found.is_wrong(allowed):
                wrong.append(found)
            else:
                right += 1
            if max(len(wrong), right) == ENOUGH:
                break
        return wrong[0] if len(wrong) >= ENOUGH else None

    def _direction(self, name: str, scales: FloatArray, names: list[str]) -> FloatArray:
        if name not in names:
            return np.zeros(scales.shape)
        return np.where(self._accepted[name], scales, 0.0)
