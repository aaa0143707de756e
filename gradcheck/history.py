"""A loss that remembers: what it is at a point depends on where it was evaluated before.

A solver that starts where it last ended stops as soon as its steps are small. From a point close by
it makes hardly a step, so that differences over short distances show the slope of one step of the
solver. If every evaluation is preceded by one far away, all of them start alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.noise import ORDINARY, Noise, half_ulp
from gradcheck.problem import FloatArray, Parameter, Problem
from gradcheck.report import Notice
from gradcheck.scales import rms
from gradcheck.sweep.moves import Block, moved_blocks

AFAR = 0.1
"""Distance of the point that is evaluated before, in units of the parameters' scales."""
TOLERANT = 64.0
"""Times the change of such a loss, over a parameter's scale, that its gradient may be off: both are
as good as the tolerance at which a solver stops."""
SAME = 1e-2
"""Part of the spread of a loss that may be left of it where all evaluations start alike."""
MOST = 1 << 14
"""Entries of a problem up to which that is done."""


def remembers(problem: Problem, noise: Noise) -> bool:
    """Whether the loss at the point is another one after others were evaluated."""
    if problem.facts.spread or problem.size > MOST:
        return False
    roundoff = half_ulp(np.array([problem.facts.value]), problem.facts.dtype).item()
    return noise.drift > ORDINARY * roundoff


def from_afar(problem: Problem) -> Problem:
    """Return the problem with every evaluation of its loss preceded by one far away."""
    evaluator = problem.evaluator
    evaluator.loss = FromAfar(evaluator.loss, evaluator.values)
    evaluator.calls *= 2
    return replace(problem, facts=replace(problem.facts, value=evaluator.current()))


def notice_of(change: float) -> Notice:
    """Say by how much the loss changed, and what is done about it."""
    return Notice(
        "loss_remembers",
        f"the loss at the point changes by {change:.1g} with what was evaluated before, as one "
        "does whose solver starts where it last ended; every evaluation was preceded by one at a "
        "point farther away, so that all start alike",
    )


class FromAfar:
    """A function of the parameters' present values that is called elsewhere before.

    Args:
        function: called at both places.
        values: the parameters' arrays, which are moved, and put back.
    """

    def __init__(self, function: Callable[[], Any], values: Sequence[NDArray[Any]]) -> None:
        generator = np.random.default_rng(0)
        self._function, self._values = function, values
        self._blocks = [
            Block(
                number,
                (),
                AFAR
                * np.where(value != 0, np.abs(value), rms(value) or 1.0)
                * generator.choice((-1.0, 1.0), value.shape),
            )
            for number, value in enumerate(values)
        ]

    def __call__(self) -> Any:
        """Call the function at both places, and return what it says of the present values."""
        moves = moved_blocks(self._values, self._blocks)
        try:
            with moves as move:
                move(1.0)
                self._function()
        except MemoryError:
            raise
        except Exception:
            # Off the domain: what it starts from is where it last ended, then.
            pass
        finally:
            moves.undo()
        return self._function()


def approximate(
    rounding: Mapping[str, FloatArray], parameters: Sequence[Parameter], change: float
) -> dict[str, FloatArray]:
    """Add to the bounds of a gradient's rounding what the tolerance of a solver may leave."""
    return {
        one.name: rounding[one.name] + TOLERANT * change / one.scales
        for one in parameters
        if one.name in rounding
    }


def settled(loss: Callable[[], float], spread: float) -> float | None:
    """Return the value of a loss that is the same each time, far below a spread; None if not."""
    values = [loss() for _ in range(3)]
    return values[0] if max(values) - min(values) <= SAME * spread else None
