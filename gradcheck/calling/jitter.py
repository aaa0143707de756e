"""Moving the parameters off a degenerate point before anything is examined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcheck.calling.calls import BoundInputs
from gradcheck.calling.choose import Chosen
from gradcheck.calling.tree import leaves, map_leaves
from gradcheck.problem import FloatArray, Parameter
from gradcheck.report import Notice

NEAREST = 0.5
"""Smallest share of the jitter by which an entry moves: none stays where it was."""


def displacements(values: Sequence[Any], jitter: float, seed: int) -> list[FloatArray]:
    """Return how far each entry moves: between half of and the whole ``jitter``, times its scale.

    The scale of an entry is the larger of its magnitude and the root mean square of its array; 1
    where all are zero. Sign and size are drawn from ``seed``.
    """
    generator = np.random.default_rng((seed, 0x317))
    found = []
    for value in values:
        array = np.asarray(value, dtype=np.float64)
        scales = Parameter("", "", array, array.dtype).scales
        size = generator.uniform(NEAREST, 1.0, array.shape)
        found.append(jitter * scales * size * generator.choice((-1.0, 1.0), array.shape))
    return found


def moved_inputs(bound: BoundInputs, chosen: Chosen, jitter: float, seed: int) -> BoundInputs:
    """Return inputs with the chosen ones moved; the arrays handed in stay as they are.

    Parameters that are read from elsewhere are moved in place.
    """
    moves = displacements([leaf.value for leaf in chosen.leaves], jitter, seed)
    paths = [leaf.path for label, value in bound.items() for leaf in leaves(value, label)]
    by_path = {
        leaf.path: move for leaf, move in zip(chosen.leaves, moves, strict=True) if not leaf.live
    }
    for leaf, move in zip(chosen.leaves, moves, strict=True):
        if leaf.live:
            leaf.value[...] = leaf.value + move
    position = iter(paths)

    def shifted(value: Any) -> Any:
        move = by_path.get(next(position))
        return value if move is None else _shifted(value, move)

    args, kwargs = map_leaves(shifted, (bound.args, dict(bound.kwargs)))
    return BoundInputs(args, kwargs, bound.names)


def _shifted(value: Any, move: FloatArray) -> Any:
    """Return ``value + move`` as what it was: an array of its class and dtype, or a number."""
    if isinstance(value, np.ndarray):
        result = value.copy(order="K")
        np.copyto(result, np.asarray(value) + move, casting="same_kind")
        return result
    if isinstance(value, np.generic):
        return value.dtype.type(float(value) + float(move))
    return float(value) + float(move)


def jitter_notice(jitter: float) -> Notice:
    """Say that another point was checked than the one handed in."""
    return Notice(
        "moved_point",
        f"every entry of the parameters was moved by up to {jitter:g} of its scale (--jitter) "
        "before the check; the figures are those of the moved point",
    )
