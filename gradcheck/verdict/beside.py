"""The target's own gradient at a point drawn beside this one, and slopes of its loss there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from gradcheck.calling.quiet import quiet
from gradcheck.problem import FloatArray, Problem
from gradcheck.sweep.moves import Block, moved_blocks

NARROW = 1.0
"""Orders of magnitude by which some entries move less, in half of the points: narrow pieces of a
loss are met so."""


@dataclass(frozen=True, eq=False)
class Beside:
    """What was found at a point.

    Attributes:
        gradient: the target's own, by parameter name.
        before, after: slopes of the loss along a direction, to either side of the point.
        products: the gradient times the direction, entry by entry.
        nearer: the target's own gradient at part of the distance, where that was asked for.
    """

    gradient: Mapping[str, FloatArray]
    before: float
    after: float
    products: FloatArray
    nearer: Mapping[str, FloatArray] | None = None

    @property
    def slope(self) -> float:
        """The slope of the loss; of no meaning where it has a kink."""
        return 0.5 * (self.before + self.after)

    @property
    def claimed(self) -> float:
        """The slope that the gradient claims."""
        return float(self.products.sum())

    def has_kink(self, allowed: float) -> bool:
        """Whether the slopes of the two sides differ, or are none."""
        return not abs(self.after - self.before) <= 2.0 * allowed

    def is_wrong(self, allowed: float) -> bool:
        """Whether the claimed slope differs from that of the loss."""
        return abs(self.slope - self.claimed) > allowed


def look_beside(
    problem: Problem,
    generator: np.random.Generator,
    directions: Sequence[FloatArray],
    radius: float,
    step: float,
    *,
    part: float = 0.0,
) -> Beside | None:
    """Return what is found at a drawn point; None outside the domain, or beyond the limits.

    It takes four evaluations, or five. The parameters are put back.

    Args:
        problem: with the target's gradient at other points (``gradient_at``).
        generator: draws the point, and the signs of the direction.
        directions: how far each entry of each parameter moves along it, but for the sign.
        radius: largest distance of the point, in units of the parameters' scales.
        step: of the slopes, in units of the radius.
        part: ask for the gradient at this part of the distance, too.
    """
    own = problem.gradient_at
    if own is None or not problem.evaluator.spend(2 if part else 1):
        return None
    nearer = None
    along = [one * generator.choice((-1.0, 1.0), one.shape) for one in directions]
    with quiet(), _moved(problem, generator, radius) as move:
        try:
            if part:
                move(part)
                nearer = {name: np.array(one) for name, one in own().items()}
                move(1.0)
            gradient = {name: np.array(one) for name, one in own().items()}
        except Exception:
            # Outside the domain: that point tells nothing.
            return None
        length = step * radius
        down, here, up = problem.evaluator.along(along, (-length, 0.0, length))
    names = [one.name for one in problem.parameters]
    if set(gradient) != set(problem.analytic) or not np.isfinite([down, here, up]).all():
        return None
    products = [
        (gradient[name] * steps).reshape(-1)
        for name, steps in zip(names, along, strict=True)
        if name in gradient
    ]
    slopes = ((here - down) / length, (up - here) / length)
    return Beside(gradient, *slopes, np.concatenate(products), nearer)


@contextmanager
def _moved(
    problem: Problem, generator: np.random.Generator, radius: float
) -> Iterator[Callable[[float], None]]:
    """Move every entry by a drawn part of the radius, and back."""
    orders = float(generator.choice((0.0, NARROW)))
    blocks = []
    for number, one in enumerate(problem.parameters):
        size = 10.0 ** -generator.uniform(0.0, orders, one.value.shape)
        offset = radius * one.scales * size * generator.uniform(-1.0, 1.0, one.value.shape)
        blocks.append(Block(number, (), offset))
    moves = moved_blocks([one.value for one in problem.parameters], blocks)
    try:
        with moves as move:
            move(1.0)
            yield move
    finally:
        moves.undo()
