"""What random directions say beside the point, where at the point itself kinks hide the gradient.

Directions speak for the entries that got no central difference of their own. Where the loss has
kinks at the point, its slopes along a direction differ from side to side, and between them any
claim is as good as another. Off the kinks the target's own code has one right answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradcheck.noise import Noise
from gradcheck.oracles.directions import DirectionResult, check_directions
from gradcheck.problem import Problem
from gradcheck.report import Diagnosis
from gradcheck.sweep.off_kinks import off_kinks, radii

ENOUGH = 2
"""Points that have to say the same."""


def directions_beside(
    problem: Problem, noise: Noise, generator: np.random.Generator
) -> tuple[DirectionResult, ...]:
    """Take a direction at each of some points beside, until as many as are enough say the same.

    Returns:
        Those; none if too few tell anything. Each takes some eight evaluations.
    """
    seen: dict[bool, list[DirectionResult]] = {True: [], False: []}
    for radius in radii(problem, noise):
        for _ in range(ENOUGH):
            with off_kinks(problem, noise, generator, radius) as there:
                if there is None:
                    break
                [one] = check_directions(*there, generator, n=1, longest=radius / 4)
            if one.agree is None:
                break
            seen[one.agree].append(one)
            if len(seen[one.agree]) == ENOUGH:
                return tuple(seen[one.agree])
    return ()


def wrong_somewhere(names: Sequence[str]) -> Diagnosis:
    """Say that an entry that nobody looked at is wrong beside the point."""
    return Diagnosis(
        "unexplained",
        names[0] if len(names) == 1 else "",
        "Right beside the point, which lies on kinks, the loss does not change along random "
        f"directions as the gradient of {', '.join(names)} there says, although every entry looked "
        "at is right: a wrong one is among the others.",
        "likely",
        remedy="Check every entry with --entries all, at a point off the kinks (--jitter 0.01).",
    )


def nothing_told(names: Sequence[str]) -> Diagnosis:
    """Say that kinks hide the entries that were left out."""
    return Diagnosis(
        "kink",
        names[0] if len(names) == 1 else "",
        f"Most entries of {', '.join(names)} got no central difference of their own, and the "
        "random directions that speak for them tell nothing: the loss has kinks at the point, "
        "between whose slopes any claim would pass, and no point beside it was found where the "
        "target's gradient could be held against a slope.",
        "exact",
        remedy="Check every entry with --entries all, or move off the kinks with --jitter 0.01.",
    )
