"""Entries that sit on kinks, told by the target's own gradient: it changes at once there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import flat, parts
from gradcheck.noise import Noise
from gradcheck.problem import FloatArray, Problem
from gradcheck.scales import rms
from gradcheck.sweep.off_kinks import off_kinks

AT_ONCE = 8.0
"""Units in the last place of the scale over which a gradient changes at once at a kink."""
CHANGED, TYPICAL = 1e-6, 1e-9
"""Part of an entry, and of a typical one, that rounding does not change."""
PAIRS = 6
"""Entries of a parameter that are chosen with the next one, which may share its kink."""


def some_at_kinks(
    problem: Problem, noise: Noise, generator: np.random.Generator
) -> tuple[tuple[str, int], ...]:
    """Choose a few entries of each parameter that sit on kinks; in four evaluations.

    The parameters move along a drawn direction and against it: what is switched off and stays so
    on one side is switched on on the other.

    Returns:
        Pairs of the parameter's name and the flat position (C order).
    """
    unit = max(float(np.finfo(one.value.dtype).eps) for one in problem.parameters)
    seed = int(generator.integers(1 << 32))
    changed: dict[str, NDArray[np.intp]] = {}
    for side in (AT_ONCE * unit, -AT_ONCE * unit):
        with off_kinks(problem, noise, np.random.default_rng(seed), side) as there:
            gradients = {} if there is None else there[0].analytic
            for name, gradient in gradients.items():
                found = _changed(problem.analytic[name], gradient)
                changed[name] = np.union1d(changed.get(name, found), found)
    chosen: list[tuple[str, int]] = []
    for name, entries in changed.items():
        few = entries
        if entries.size > 2 * PAIRS:
            starts = generator.choice(entries.size - 1, PAIRS, replace=False)
            few = entries[np.union1d(starts, starts + 1)]
        chosen += [(name, int(index)) for index in few]
    return tuple(chosen)


def _changed(before: FloatArray, after: FloatArray) -> NDArray[np.intp]:
    """Return the flat positions at which two gradients differ by more than rounding."""
    least = TYPICAL * rms(before)
    found = []
    for at in parts(before.size):
        one, two = flat(before, at), flat(after, at)
        size = np.maximum(np.abs(one), np.abs(two))
        found.append(at.start + np.flatnonzero(np.abs(two - one) > CHANGED * size + least))
    return np.concatenate(found)
