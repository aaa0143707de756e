"""What a case of the library gradients is: an objective, its derivative and a point.

Everything of a library is imported when the case is made, by ``from library import name``, so that
what a version does not have shows as ``ImportError`` of that case alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Function = Callable[[np.ndarray], Any]


@dataclass(frozen=True)
class Objective:
    """A loss of one array, the gradient that the library gives for it, and a point.

    Args:
        loss: returns one number.
        gradient: returns an array in the shape of the point.
        point: where it is checked, of dtype float64.
    """

    loss: Function
    gradient: Function
    point: np.ndarray


@dataclass(frozen=True)
class LibraryCase:
    """One objective of one library.

    Args:
        name: unique, such as ``"scipy.optimize.rosen_der"``.
        make: imports what it needs and returns the objective.
        mistake: what is wrong with the library's derivative or loss, where something is.
        repaired: the same objective with the wrong side written anew; it is right.
    """

    name: str
    make: Callable[[], Objective]
    mistake: str = ""
    repaired: Callable[[], Objective] | None = None

    @property
    def library(self) -> str:
        """The package that ships the derivative."""
        return self.name.split(".", 1)[0]


def generator(seed: int = 0) -> np.random.Generator:
    """Return the source of a case's data."""
    return np.random.default_rng(seed)


def weights(size: int) -> np.ndarray:
    """Return weights between 0.5 and 1.5, no two of which are alike."""
    return 1 + 0.5 * np.sin(1.7 * np.arange(1, size + 1))


def elementwise(function: Function, derivative: Function, point: Any) -> Objective:
    """Return the weighted sum of an elementwise function, and the same of its derivative."""
    x = np.array(point, dtype=float)
    w = weights(x.size).reshape(x.shape)
    return Objective(
        lambda z: np.sum(w * function(z)),
        lambda z: w * derivative(z),
        x,
    )


def negated(objective: Objective) -> Objective:
    """Return the negative of an objective: a log-likelihood as a loss."""
    return Objective(
        lambda z: -objective.loss(z),
        lambda z: -np.asarray(objective.gradient(z)),
        objective.point,
    )
