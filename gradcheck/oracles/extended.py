"""Central differences of the loss in extended precision, where float64 cannot tell.

Beside a kink the step has to be short, and then the roundoff of a float64 loss hides small entries
of the gradient. NumPy code that follows the dtype of its parameters can be evaluated in
``numpy.longdouble``, which carries 64 bits on common processors instead of 53: its roundoff is two
thousand times smaller. Only the change of the loss against its value at the point is kept, so that
it fits a float64. The method proves itself by its noise: a loss that computes in float64 somewhere
inside has the noise of float64, and is refused.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.noise import Noise, half_ulp, loss_noise
from gradcheck.oracles.central import central_differences
from gradcheck.oracles.estimate import Estimate
from gradcheck.oracles.parted import as_whole
from gradcheck.problem import Problem
from gradcheck.sweep.evaluator import Evaluator

GAIN = 0.05
"""Noise, in units of that of float64, above which nothing would be gained."""
CLIMB = 8
"""Evaluations that an entry takes, about."""
PATIENCE = 20.0
"""Seconds that the entries of a problem may take together, to a factor of three."""


@dataclass(frozen=True, eq=False)
class Extended:
    """A problem whose loss is evaluated in extended precision, its noise, and seconds a loss."""

    problem: Problem
    noise: Noise
    seconds: float

    @property
    def affordable(self) -> int:
        """Entries that can be looked at.

        Only the power of ten nearest to the time of a loss counts, so that a second run, whose
        clock differs by some per cent, looks at the same ones.
        """
        seconds = 10.0 ** round(math.log10(max(self.seconds, 1e-6)))
        return int(PATIENCE / (CLIMB * seconds))


def in_extended_precision(
    problem: Problem, noise: Noise, generator: np.random.Generator
) -> Extended | None:
    """Return the problem with its loss in extended precision; None where that gains nothing.

    It does not where ``numpy.longdouble`` is float64, the target takes no such arrays, works in
    lower precision or jumps, draws at random, or drops the additional digits, and where the limits
    leave no evaluations to prove otherwise.
    """
    loss = problem.extended_loss
    longer = np.finfo(np.longdouble).eps < 0.1 * np.finfo(np.float64).eps
    low = any(parameter.value.dtype != np.float64 for parameter in problem.parameters)
    if loss is None or not longer or low or noise.dtype != np.float64 or problem.facts.spread > 0:
        return None
    if noise.jumps is not None:
        return None
    values = problem.evaluator.values
    try:
        base = loss([value.astype(np.longdouble) for value in values])
        rounded = _is_double(base) and _is_double(loss(_beside(values, generator)))
    except Exception:
        # Linear algebra, for one, knows no such numbers: float64 is what there is, then.
        return None
    allowed = 64 * noise.level + 1e-10 * abs(problem.facts.value)
    if rounded or not abs(float(base) - problem.facts.value) <= allowed:
        return None
    shifted = replace(
        problem,
        evaluator=_evaluator(problem, base),
        facts=replace(problem.facts, value=0.0, offset=problem.facts.value),
    )
    began = time.process_time()
    found = loss_noise(shifted, generator, exact=True)
    seconds = (time.process_time() - began) / max(1, shifted.evaluator.count)
    floor = 0.5 * float(np.spacing(abs(base)))
    problem.evaluator.count += 1 + shifted.evaluator.count
    shifted.evaluator.count = 0
    level = max(found.level, floor)
    plain = max(noise.level, half_ulp(np.array(base), noise.dtype).item())
    if not found.measured or not level <= GAIN * plain:
        return None
    return Extended(shifted, Noise(level, 0.0, noise.dtype, noise.variation), seconds)


def _is_double(value: np.longdouble) -> bool:
    """Whether a number needs no more digits than float64 has: by chance, one in thousands does."""
    return bool(np.longdouble(float(value)) == value)


def _beside(
    values: Sequence[NDArray[Any]], generator: np.random.Generator
) -> list[NDArray[np.longdouble]]:
    """Return parameters of which each is another one in its last digits.

    At a point of few digits the loss may need few, too. Elsewhere it does not, unless it is rounded
    to float64 at last; a difference table does not always show that.
    """
    spread = 2.0**-20
    return [
        value.astype(np.longdouble) * (1 + spread * generator.uniform(-1.0, 1.0, value.shape))
        for value in values
    ]


def _evaluator(problem: Problem, base: np.longdouble) -> Evaluator:
    """An evaluator of how much the loss differs from ``base``, within the limits that are left."""
    own, loss = problem.evaluator, problem.extended_loss
    if loss is None:
        raise ValueError("the problem has no loss in extended precision")

    def change() -> float:
        return float(loss([value.astype(np.longdouble) for value in own.values]) - base)

    # What the loss was compared with here is an evaluation, too.
    budget = None if own.budget is None else max(0, own.budget - own.count - 1)
    evaluator = Evaluator(change, own.values, budget=budget, deadline=own.deadline)
    evaluator.finishes = own.finishes
    return evaluator


def refine(
    problem: Problem,
    extended: Extended,
    generator: np.random.Generator,
    central: Mapping[str, Estimate],
    chosen: Mapping[str, NDArray[np.intp]],
) -> dict[str, Estimate]:
    """Return the estimates with the chosen entries (flat, C order) seen in extended precision.

    An entry takes the new value where that is more certain. A parameter of which two values
    contradict each other keeps its own: the target then does another thing at other dtypes.
    """
    finer = central_differences(
        extended.problem,
        extended.noise,
        generator,
        selection={name: entries for name, entries in chosen.items() if entries.size},
        thorough=True,
    )
    used = extended.problem.evaluator
    problem.evaluator.count += used.count
    if used.interrupted is not None:
        problem.evaluator.interrupt(used.interrupted)
    return {
        name: _merged(one, as_whole(finer[name])) if name in finer else one
        for name, one in central.items()
    }


def _merged(coarse: Estimate, fine: Estimate) -> Estimate:
    """Take the entries of ``fine`` that are more certain into ``coarse``."""
    both = np.isfinite(coarse.uncertainty) & np.isfinite(fine.uncertainty)
    both &= ~coarse.kinks & ~fine.kinks
    apart = np.abs(coarse.value - fine.value) > 2 * (coarse.uncertainty + fine.uncertainty)
    if (both & apart).any():
        return coarse
    known = np.isfinite(fine.uncertainty) & np.isfinite(fine.value)
    better = known & ~(fine.uncertainty >= coarse.uncertainty)

    def pick(new: Any, old: Any) -> Any:
        return np.where(better, new, old)

    return replace(
        coarse,
        value=pick(fine.value, coarse.value),
        uncertainty=pick(fine.uncertainty, coarse.uncertainty),
        kinks=pick(fine.kinks, coarse.kinks),
        lower=pick(fine.lower, coarse.lower),
        upper=pick(fine.upper, coarse.upper),
        edges=pick(fine.edges, coarse.edges),
        steps=pick(fine.steps, coarse.steps),
        flat=pick(fine.flat, coarse.flat),
    )
