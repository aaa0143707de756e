"""The noise level of a loss: how far roundoff makes its computed values jitter.

Difference tables along a random direction, after More and Wild, "Estimating computational noise",
SIAM J. Sci. Comput. 33 (2011), section 3: the k-th differences of a smooth function vanish like
the k-th power of the spacing, those of noise do not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import in_little
from gradcheck.oracles.ladder import KAPPA
from gradcheck.problem import FloatArray, Parameter, Problem
from gradcheck.scales import lengths_in_parts

if TYPE_CHECKING:
    from gradcheck.jumps import Jumps

POINTS = 8
TABLES = 12
WIDEST = 0.05
"""Largest spacing of a table, in units of the parameters' scales."""
FINEST = 64.0 * float(np.finfo(np.float64).eps)
"""Spacing below which the points of a table, rounded as they are, lie on no line."""
CONVERTED = 4.0
"""Half units in the last place that are left of a difference of longer numbers."""
STEPPED = 0.1
"""Part of the noise of wide tables below which that of a narrow one tells of another scale."""
COARSE = 1e-10
"""Noise of a loss, relative to it, above which the steps that it asks for are long."""
ORDINARY = 64.0
"""Half units in the last place up to which a noise level is taken for plain roundoff."""


@dataclass(frozen=True, eq=False, slots=True)
class Noise:
    """Standard deviation of the loss's roundoff, absolute, and the loss value it was found at.

    ``variation`` is how much the loss changes when all parameters move by their scales. Where it
    is not ``measured``, no table could be made, and ``level`` is what the dtype alone says. Of a
    loss that ``jumps`` all along it is how far it jitters across the jumps. ``drift`` is how far
    the loss at the point was from its value once others had been evaluated. Where it has
    ``treads``, it is constant between steps of its parameters: that nothing changes over small
    moves is no want of digits then.
    """

    level: float
    loss: float
    dtype: np.dtype[Any]
    variation: float = 0.0
    measured: bool = True
    jumps: Jumps | None = None
    drift: float = 0.0
    treads: bool = False

    @property
    def coarse(self) -> bool:
        """Whether it is far above float64's: the steps it asks for may span many kinks."""
        return self.level > COARSE * abs(self.loss)

    def at(self, losses: NDArray[np.float64]) -> FloatArray:
        """Return the noise level at other values of the loss, which scales with their size."""
        magnitude = np.abs(losses)
        own = half_ulp(np.array(self.loss), self.dtype).item()
        # More than that is not roundoff of the value: it does not grow with it.
        ratio = self.level / own if own and self.loss else 1.0
        scaled = half_ulp(magnitude, self.dtype) * min(ratio, ORDINARY)
        grown = magnitude > 2 * abs(self.loss)
        return np.where(grown, np.maximum(scaled, self.level), self.level)


def half_ulp(values: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
    """Return half a unit in the last place of each value, in the given dtype."""
    kept = dtype.newbyteorder("=") if dtype.kind == "f" else np.dtype(np.float64)
    with np.errstate(all="ignore"):
        spacing = np.spacing(np.abs(values).astype(kept)).astype(np.float64)
    return np.asarray(np.where(np.isfinite(spacing), 0.5 * spacing, 0.0))


def power_of_two(lengths: FloatArray) -> FloatArray:
    """Return the power of two nearest to each length; 0 for 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.exp2(np.round(np.log2(np.abs(lengths)))))


def table_levels(losses: Sequence[float]) -> FloatArray:
    """Return the noise estimates of the orders 1, 2, ... of a difference table (eq. 3.3)."""
    differences = np.asarray(losses, dtype=np.float64)
    # By a power of two, which changes no digit: the squares stay within the range of floats.
    unit = float(np.ldexp(1.0, int(np.frexp(np.abs(differences).max(initial=0.0))[1])))
    differences, levels = differences / unit, []
    for order in range(1, len(differences)):
        differences = np.diff(differences)
        gamma = math.factorial(order) ** 2 / math.factorial(2 * order)
        levels.append(math.sqrt(gamma * float(np.mean(np.square(differences)))))
    return unit * np.array(levels)


def table_noise(losses: Sequence[float]) -> float:
    """Return the noise estimate of one table: the smallest among its higher orders."""
    return float(table_levels(losses)[4:].max())


def _stays(levels: Sequence[float]) -> bool:
    return all(later > 0.3 * earlier for earlier, later in itertools.pairwise(levels))


def _is_rough(losses: FloatArray) -> bool:
    """Return whether a table shows no curvature but noise, kinks or jumps: all orders alike."""
    higher = table_levels(losses.tolist())[2:6]
    return bool(higher.min() > 0.1 * higher.max())


def is_flat(losses: FloatArray) -> bool:
    """Return whether most neighbours in a table are equal: its spacing is below the grain."""
    return bool((np.diff(losses) == 0).mean() > 0.5)


def _direction(
    problem: Problem, parameter: Parameter, generator: np.random.Generator
) -> NDArray[Any]:
    """Draw a direction in which each entry moves by about itself, or its scale where it is 0."""
    lengths = lengths_in_parts(problem, parameter)

    def drawn(at: slice) -> FloatArray:
        magnitude, n = parameter.magnitude(at), at.stop - at.start
        size = np.where(magnitude > 0, magnitude, lengths(at))
        return np.asarray(size * generator.uniform(0.5, 1.0, n) * generator.choice((-1.0, 1.0), n))

    return in_little(parameter.value.shape, drawn)


def _grain(losses: FloatArray) -> float:
    """Half of the largest power of two that divides all values: the grain they are rounded to.

    A last addition that cancels leaves a grain coarser than that of the result. Regular spacing
    may hide it: the rounding errors of a straight line repeat themselves.
    """
    mantissas, exponents = np.frexp(losses[losses != 0.0])
    whole = (mantissas * 2.0**53).astype(np.int64)
    lowest = np.log2((whole & -whole).astype(np.float64)) + exponents - 53
    return 0.5 * float(np.exp2(lowest.min()))


def _of_steps(losses: FloatArray) -> float:
    """Standard deviation of rounding in steps that a table shows; 0 if it shows none.

    Neighbours are equal then, or a step apart: a table of few steps shows too little of them.
    """
    apart = np.abs(np.diff(losses))
    return 0.0 if apart.all() else float(apart[apart > 0].min()) / math.sqrt(12.0)


def shows_steps(problem: Problem, noise: Noise) -> bool:
    """Whether a loss may be one of steps: more than plain roundoff, or flat where a claim is not.

    In double precision, and without draws.
    """
    double = np.dtype(np.float64).itemsize
    inside = problem.precision_inside or problem.facts.dtype
    if min(inside.itemsize, problem.facts.dtype.itemsize) < double or problem.facts.spread > 0:
        return False
    if not noise.measured:
        return any(claimed.any() for claimed in problem.analytic.values())
    return noise.level > ORDINARY * half_ulp(np.array(noise.loss), noise.dtype).item()


def _drift(problem: Problem, direction: Sequence[FloatArray]) -> float:
    """How far the loss at the point is from what it was, now that others were evaluated.

    A solver that starts where it last ended returns there by another way.
    """
    again = problem.evaluator.along(direction, [0.0]).item()
    return abs(again - problem.facts.value) if math.isfinite(again) else 0.0


@dataclass(frozen=True, eq=False, slots=True)
class _Table:
    """Losses at 1, 2, ... spacings from the point.

    ``noise`` is what they show, ``plain`` up to what that is roundoff of values of their size.
    """

    spacing: float
    losses: FloatArray
    noise: float
    plain: float


def loss_noise(problem: Problem, generator: np.random.Generator, *, exact: bool = False) -> Noise:
    """Estimate the noise level of a problem's loss at its point.

    It is what the last of some difference tables shows. If that one shows none because it lies
    between two of many jumps, the jumps are the noise. It is no less than half the grain of the
    values, as far as plain roundoff or a wider table has shown one.

    With ``exact``, the points of a table are floats that lie on a straight line to the last bit:
    a loss of more digits than its parameters would show their rounding as its noise.
    """
    facts = problem.facts
    floor = half_ulp(np.array(facts.value), facts.dtype).item()
    if facts.spread > 0:
        # The error bar of a slope is then as many of its standard deviations as were asked for.
        level = facts.spread * facts.quantile / (math.sqrt(2.0) * KAPPA)
        return Noise(max(floor, level), facts.value, facts.dtype)
    direction = [_direction(problem, parameter, generator) for parameter in problem.parameters]
    if exact:
        # Towards zero no bit is lost.
        signs = [np.where(p.value != 0, -np.sign(p.value), 1.0) for p in problem.parameters]
        direction = [s * power_of_two(d) for s, d in zip(signs, direction, strict=True)]
    tables, settled = _tables(problem, direction, floor, exact=exact)
    if not tables:
        return Noise(floor, facts.value, facts.dtype, measured=False)
    jumps = None if exact else _jumps(problem, direction, tables, floor, settled=settled)
    found = [table.noise for table in tables]
    if jumps is not None:
        found = [min(found[:-1])]
    elif settled and not exact and _is_stepped(problem, direction, tables, floor):
        found = [max(found)]
    drift = _drift(problem, direction)
    level = max(floor, found[-1], drift)
    if not exact:
        last, grain = tables[-1], min(_grain(table.losses) for table in tables)
        level = max(level, min(grain, max(last.plain, *found)))
        if jumps is None and last.noise > last.plain:
            level = max(level, _of_steps(last.losses))
    return Noise(level, facts.value, facts.dtype, jumps=jumps, drift=drift)


def _tables(
    problem: Problem, direction: Sequence[FloatArray], floor: float, *, exact: bool
) -> tuple[list[_Table], bool]:
    """Make difference tables until one shows the noise; and say whether it settled.

    The spacing of the table begins wide, where a loss that computes in lower precision inside
    shows its steps, and narrows tenfold until the estimate is that of plain roundoff or stays the
    same three times, and then also at a far narrower spacing: kinks and curvature shrink with the
    spacing, an oscillation is resolved at last, noise does neither. A table whose values hardly
    change lies within one step of a staircase: the noise is that of the wider ones.
    """
    spacing = 1e-3 / math.sqrt(problem.size)
    made: list[_Table] = []
    widened = settled = False
    for _ in range(TABLES):
        unit = float(power_of_two(np.array(spacing))) if exact else spacing
        losses = problem.evaluator.along(direction, [unit * j for j in range(1, POINTS + 1)])
        if not np.isfinite(losses).all():
            spacing /= 10
            continue
        if is_flat(losses):
            spacing *= 30
            if made or spacing > WIDEST:
                break
            widened = True
            continue
        largest = half_ulp(np.array(np.abs(losses).max()), problem.facts.dtype).item()
        plain = ORDINARY * max(floor, largest)
        if exact:
            longer = 0.5 * float(np.spacing(np.longdouble(abs(problem.facts.offset))))
            plain = ORDINARY * max(floor, longer) + CONVERTED * largest
        made.append(_Table(unit, losses, table_noise(losses.tolist()), plain))
        if widened or made[-1].noise <= plain:
            break
        if len(made) >= 3 and _stays([table.noise for table in made[-3:]]):
            if settled:
                break
            settled = True
            spacing = max(spacing / 1e3, 10 * FINEST)
        spacing /= 10
        if settled and spacing >= made[-1].spacing:
            break
    return made, settled


def _is_stepped(
    problem: Problem, direction: Sequence[FloatArray], tables: Sequence[_Table], floor: float
) -> bool:
    """Whether the last table lies within a step of a staircase that the settled ones show.

    As of ``log(1 - p + eps)`` near p = 1, where ``1 - p`` is a few units in the last place of 1.
    """
    rough, last = tables[2], tables[-1]
    if not last.noise < STEPPED * rough.noise:
        return False
    from gradcheck.jumps import is_staircase

    length = POINTS * rough.spacing
    return is_staircase(problem, direction, length, max(floor, last.noise))


def _jumps(
    problem: Problem,
    direction: Sequence[FloatArray],
    tables: Sequence[_Table],
    floor: float,
    *,
    settled: bool,
) -> Jumps | None:
    """Return what the loss does that is rough in wide tables, and plain between its jumps."""
    first, last = tables[0], tables[-1]
    rough = settled or (len(tables) > 1 and _is_rough(first.losses))
    if not rough or not last.noise <= last.plain:
        return None
    from gradcheck.jumps import find_jumps

    wide, length = (first.spacing, first.losses), POINTS * last.spacing
    return find_jumps(problem, direction, wide, length, max(floor, last.noise))
