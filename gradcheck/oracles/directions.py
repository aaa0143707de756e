"""Central differences along random directions: a gradient of any size in a few evaluations.

The claimed gradient times a direction is held against the slope of the loss along it, which the
ladder of steps (``ladder``) reads with its uncertainty. The same losses give the Taylor test: what
the claim leaves of ``loss(x + h v) - loss(x)`` falls with the square of ``h`` where the claim is
right, and with ``h`` where it is wrong. A direction sees the sum of all errors, each with a random
sign, and so resolves one of ``n`` entries about ``sqrt(n)`` times worse than a step in it alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.noise import Noise
from gradcheck.oracles.ladder import KAPPA, RATIO, Rung, read_ladder
from gradcheck.problem import FloatArray, Parameter, Problem
from gradcheck.report import JsonValue
from gradcheck.sweep.moves import Block

BUFFER = 1 << 16
"""Entries of an array that are worked on at a time."""
DRAWN = 1 << 13
"""Entries of a direction that are drawn at a time: few enough for the processor's cache."""
LONGEST = 2.0**-3
"""Largest distance, in units of the parameters' scales."""
WALKS = 6
"""Steps at most that are added to the first two."""
TAYLOR_STEPS = 4


@dataclass(frozen=True, eq=False, slots=True)
class DirectionResult:
    """One random direction.

    Attributes:
        parameter: the parameter that moves; empty where all do.
        claimed: the claimed gradient times the direction.
        numeric: slope of the loss along it.
        uncertainty: bound on the error of ``numeric`` together with the rounding of ``claimed``.
        agree: whether the two are the same; None where the loss does not resolve it.
        steps: distances of the Taylor test, in units of the parameters' scales.
        residuals: ``|loss(x + h v) - loss(x) - h claimed|`` at each.
        order: slope of the residuals over the steps: 2 where the claim is right, 1 where wrong;
            None where they are lost in noise.
        size: ``claimed`` as large as it is typically, over directions.
    """

    parameter: str
    claimed: float
    numeric: float
    uncertainty: float
    agree: bool | None
    steps: tuple[float, ...]
    residuals: tuple[float, ...]
    order: float | None
    size: float

    def to_plain(self) -> dict[str, JsonValue]:
        """Return plain data, for ``ParameterResult.taylor``."""
        return {
            "parameter": self.parameter,
            "claimed": _plain(self.claimed),
            "numeric": _plain(self.numeric),
            "uncertainty": _plain(self.uncertainty),
            "agree": self.agree,
            "steps": [_plain(step) for step in self.steps],
            "residuals": [_plain(residual) for residual in self.residuals],
            "order": None if self.order is None else _plain(self.order),
        }


@dataclass(frozen=True, eq=False, slots=True)
class Projection:
    """A gradient seen along a direction.

    ``dot`` is the sum of its products with the direction, ``size`` the root of the sum of their
    squares, ``rounding`` what the gradient's own rounding may have moved ``dot`` by.
    """

    dot: float
    size: float
    rounding: float


@dataclass(frozen=True, eq=False, slots=True)
class Slope:
    """The slope of the loss along a direction.

    ``settled`` says whether neighbouring steps agree, ``noise_limited`` whether within noise.
    """

    value: float
    bound: float
    distance: float
    settled: bool
    noise_limited: bool


@dataclass(eq=False)
class Walk:
    """Losses along one direction at steps ``base * RATIO**level``, and the slope they show."""

    problem: Problem
    noise: Noise
    blocks: Sequence[Block]
    base: float
    rungs: dict[float, Rung] = field(default_factory=dict)

    def look(self, levels: Sequence[float]) -> None:
        """Evaluate the loss on both sides at these levels."""
        steps = [self.base * RATIO**level for level in levels]
        losses = self.problem.evaluator.moved(self.blocks, [t for h in steps for t in (h, -h)])
        for j, (level, step) in enumerate(zip(levels, steps, strict=True)):
            self.rungs[level] = Rung(step, step, float(losses[2 * j]), float(losses[2 * j + 1]))

    @property
    def level_noise(self) -> float:
        """Noise of the losses at the two smallest steps."""
        near = [self.rungs[level] for level in sorted(self.rungs)[:2]]
        losses = [abs(x) for r in near for x in (r.loss_up, r.loss_down) if math.isfinite(x)]
        return float(self.noise.at(np.array([max(losses, default=0.0)]))[0])

    def best(self) -> Slope:
        """Return the slope from the two neighbouring steps that leave the least doubt.

        They must agree within noise or come together as those of a smooth loss do; otherwise three
        times the spread of the slopes so far is the bound. A slope at longer steps must not
        contradict those at shorter ones, lest a kink or an oscillation between them be taken for
        the slope.
        """
        rungs = [self.rungs[level] for level in sorted(self.rungs)]
        rungs = [r for r in rungs if math.isfinite(r.loss_up) and math.isfinite(r.loss_down)]
        slopes = [(r.loss_up - r.loss_down) / (r.up + r.down) for r in rungs]
        bends = [(r.loss_up - 2 * self.noise.loss + r.loss_down) / r.up for r in rungs]
        noises = [KAPPA * self.level_noise / r.up for r in rungs]
        best = Slope(math.nan, math.inf, self.base, settled=False, noise_limited=False)
        for k in range(len(rungs) - 1):
            apart = abs(slopes[k] - slopes[k + 1])
            calm = apart <= noises[k] + noises[k + 1]
            smooth = _comes_together(slopes[k : k + 3], bends[k : k + 3], noises[k])
            spread = max(slopes[: k + 3]) - min(slopes[: k + 3])
            doubt = 0.0 if calm else (0.25 * apart if smooth else 3.0 * spread)
            bound = noises[k] + doubt
            agrees = all(abs(slopes[k] - slopes[j]) <= bound + noises[j] for j in range(k))
            if agrees and bound < best.bound:
                best = Slope(
                    slopes[k], bound, rungs[k].up, settled=calm or smooth, noise_limited=calm
                )
        return best

    def kink(self) -> tuple[float, float] | None:
        """Return the slopes on both sides, in order of size, where they differ at the point."""
        if len(self.rungs) < 2:
            return None
        reading = read_ladder(self.rungs, self.noise.loss, self.level_noise)
        if not reading.kink:
            return None
        return reading.lower - reading.uncertainty, reading.upper + reading.uncertainty

    def go(self, goal: float) -> Slope:
        """Walk to the steps that bring the bound down to ``goal``, if any do."""
        self.look([0, 1])
        best = self.best()
        for _ in range(WALKS):
            lowest, highest = min(self.rungs), max(self.rungs)
            shortest = self.rungs[lowest].up / RATIO
            if best.bound <= goal or self.problem.evaluator.exhausted:
                break
            descends = KAPPA * self.level_noise / shortest < best.bound
            if not best.settled and descends:
                self.look([lowest - 1])
            elif best.noise_limited and self.rungs[highest].up * RATIO <= LONGEST:
                self.look([highest + 1])
            else:
                break
            before, best = best, self.best()
            if before.settled and best.bound > 0.7 * before.bound:
                break
        return best


def _comes_together(slopes: Sequence[float], bends: Sequence[float], noise: float) -> bool:
    """Whether three slopes, by rising step, approach each other like those of a smooth loss.

    Their differences fall with the square of the step, and the bends (the differences of the
    one-sided slopes) with the step itself.
    """
    if len(slopes) < 3:
        return False
    near, far = abs(slopes[0] - slopes[1]), abs(slopes[1] - slopes[2])
    square = far / 32 - 2 * noise <= near <= far / 8 + 2 * noise
    straight = abs(bends[0] - bends[1] / RATIO) <= 0.1 * abs(bends[1]) / RATIO + 4 * noise
    return square and straight


def draw_steps(value: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
    """Draw a direction for one parameter: random signs, each entry about as long as its scale.

    An entry is a power of two times a number of ten bits, so that ``x + h v`` is exact for most
    ``x`` and every ``h`` that is a power of two, and half as many bytes as the parameter suffice.
    Lengths vary too, since equal errors at equal lengths would cancel each other half the time.
    """
    typical = _typical(value)
    smallest = np.float32 if 1e-25 < typical < 1e25 else np.float64
    steps = np.empty(value.shape, dtype=smallest)
    source = value.reshape(-1) if value.flags.c_contiguous else value.flat
    target = steps.reshape(-1)
    for begin in range(0, value.size, DRAWN):
        part = slice(begin, begin + DRAWN)
        magnitude = np.abs(np.asarray(source[part], dtype=np.float64))
        np.maximum(magnitude, typical, out=magnitude)
        drawn = generator.integers(-512, 512, len(magnitude), dtype=np.int16)
        drawn += 512 + 1023 * (drawn >> 15)  # of size 512 to 1023, negative where it was
        target[part] = drawn * (_nearest_power(magnitude) * 2.0**-10)
    return steps


def _nearest_power(magnitude: FloatArray) -> FloatArray:
    """Return the power of two nearest to each positive number, by the ratio between them.

    0 for what is not finite: that does not move.
    """
    if not 1e-300 < magnitude.min() <= magnitude.max() < 1e300:
        fraction, exponent = np.frexp(magnitude)
        power = np.ldexp(np.where(fraction >= math.sqrt(0.5), 1.0, 0.5), exponent)
        return np.where(np.isfinite(magnitude), power, 0.0)
    # The bits of a float are its sign, its exponent and its fraction: without the last one, it is
    # the power of two below it.
    bits = (magnitude * math.sqrt(2.0)).view(np.int64)
    bits &= _EXPONENT
    return bits.view(np.float64)


_EXPONENT = np.int64(0x7FF << 52)


def _typical(value: NDArray[Any]) -> float:
    """Root mean square of the non-zero entries, in one pass without a copy; 1 where all are 0."""
    largest = max(abs(float(value.max())), abs(float(value.min())))
    if not 0.0 < largest < math.inf:
        return 1.0
    total, count = 0.0, 0
    source = value.reshape(-1) if value.flags.c_contiguous else value.flat
    for begin in range(0, value.size, BUFFER):
        part = np.asarray(source[begin : begin + BUFFER], dtype=np.float64) / largest
        total += float(part @ part)
        count += int(np.count_nonzero(part))
    return largest * math.sqrt(total / count)


def project(
    claimed: Sequence[FloatArray], rounding: Sequence[FloatArray], steps: Sequence[NDArray[Any]]
) -> Projection:
    """Multiply a gradient, given in parts, with the steps of a direction."""
    dots: list[float] = []
    squares = blurs = 0.0
    for parts in zip(claimed, rounding, steps, strict=True):
        with np.nditer(
            parts,
            flags=["external_loop", "buffered", "zerosize_ok"],
            op_dtypes=[np.float64] * 3,
            buffersize=BUFFER,
        ) as chunks:
            for a, error, v in chunks:
                with np.errstate(invalid="ignore"):
                    product = np.multiply(a, v)
                if not math.isfinite(float(product.sum())):
                    # Entries that are not numbers are judged by themselves; they do not move.
                    product[v == 0.0] = 0.0
                dots.append(float(product.sum()))
                squares += float(product @ product)
                blur = np.multiply(error, v)
                blurs += float(blur @ blur)
    size = math.sqrt(squares)
    unit = float(np.finfo(np.float64).eps)
    return Projection(math.fsum(dots), size, KAPPA * math.sqrt(blurs) + 16 * unit * size)


def first_distance(problem: Problem, noise: Noise, size: float) -> float:
    """Return the first distance to try: noise against a loss with ordinary third derivatives."""
    change = size if size > 0 else abs(noise.loss)
    guess = math.cbrt(3 * noise.level / change) if change > 0 else 2.0**-17
    coarsest = max(float(np.finfo(p.value.dtype).eps) for p in problem.parameters)
    shortest = min(2.0**-5, max(2.0**-36, coarsest * 2**10))
    return float(2.0 ** round(math.log2(min(max(guess, shortest), 2.0**-7))))


def check_directions(
    problem: Problem,
    noise: Noise,
    generator: np.random.Generator,
    *,
    n: int = 3,
    parameters: Sequence[str] | None = None,
    claimed: Mapping[str, FloatArray] | None = None,
) -> tuple[DirectionResult, ...]:
    """Hold a gradient against the loss along ``n`` random directions; six evaluations each.

    Moves all parameters together, or each of ``parameters`` alone, ``n`` times. ``claimed`` is the
    gradient by parameter name, by default that of the problem. At a kink along the direction a
    claim between the two slopes is not called right, only not wrong.
    """
    gradient = problem.analytic if claimed is None else claimed
    numbers = {p.name: k for k, p in enumerate(problem.parameters) if p.name in gradient}
    names = [name for name in numbers if parameters is None or name in parameters]
    groups = [("", names)] if parameters is None else [(name, [name]) for name in names]
    results = []
    for label, members in groups:
        start = None
        for _ in range(n if members else 0):
            chosen = [problem.parameters[numbers[name]] for name in members]
            blocks = [
                Block(numbers[p.name], (), _finite_steps(p, gradient[p.name], generator))
                for p in chosen
            ]
            result, start = _one_direction(problem, noise, blocks, gradient, label, start)
            results.append(result)
    return tuple(results)


def _finite_steps(
    parameter: Parameter, gradient: FloatArray, generator: np.random.Generator
) -> NDArray[Any]:
    steps = draw_steps(parameter.value, generator)
    if not math.isfinite(float(gradient.sum())):
        steps[~np.isfinite(gradient)] = 0.0
    return steps


def _one_direction(
    problem: Problem,
    noise: Noise,
    blocks: Sequence[Block],
    gradient: Mapping[str, FloatArray],
    label: str,
    start: float | None,
) -> tuple[DirectionResult, float]:
    names = [problem.parameters[block.parameter].name for block in blocks]
    seen = project(
        [gradient[name] for name in names],
        [problem.analytic_rounding.get(name, np.zeros(())) for name in names],
        [block.steps for block in blocks],
    )
    base = first_distance(problem, noise, seen.size) if start is None else start
    walk = Walk(problem, noise, blocks, base)
    slope = walk.go(1e-6 * seen.size)
    allowed = slope.bound + seen.rounding
    steps, residuals = _taylor(walk, seen)
    result = DirectionResult(
        label,
        seen.dot,
        slope.value,
        allowed,
        None if walk.kink() else _agrees(seen, slope.value, allowed),
        steps,
        residuals,
        _order(steps, residuals, walk.level_noise, seen.rounding),
        seen.size,
    )
    return result, slope.distance


def _agrees(seen: Projection, slope: float, allowed: float) -> bool | None:
    if not math.isfinite(allowed):
        return None
    scale = max(abs(slope), seen.size)
    difference = abs(seen.dot - slope)
    if difference > allowed and difference > 1e-6 * scale:
        return False
    return True if difference <= allowed <= 1e-3 * scale else None


def _taylor(walk: Walk, seen: Projection) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Residuals of the claim's first-order Taylor polynomial, on the side of positive steps."""
    losses = {rung.up: rung.loss_up for rung in walk.rungs.values()}
    further = max(losses)
    more: list[float] = []
    while len(losses) + len(more) < TAYLOR_STEPS and further * RATIO <= LONGEST:
        further *= RATIO
        more.append(further)
    if more:
        found = walk.problem.evaluator.moved(walk.blocks, more).tolist()
        losses |= dict(zip(more, found, strict=True))
    steps = tuple(step for step in sorted(losses) if math.isfinite(losses[step]))
    residuals = tuple(abs(losses[h] - walk.noise.loss - h * seen.dot) for h in steps)
    return steps, residuals


def _order(
    steps: Sequence[float], residuals: Sequence[float], noise: float, rounding: float
) -> float | None:
    """Order of convergence between the two smallest steps whose residuals are above noise."""
    shown = [
        (h, r)
        for h, r in zip(steps, residuals, strict=True)
        if r > 2 * (KAPPA * noise + h * rounding)
    ]
    if len(shown) < 2:
        return None
    (h1, r1), (h2, r2) = shown[0], shown[1]
    return math.log(r2 / r1) / math.log(h2 / h1)


def _plain(number: float) -> float | str:
    if math.isfinite(number):
        return float(number)
    return "nan" if math.isnan(number) else ("inf" if number > 0 else "-inf")
