"""How rounding in low precision scatters a gradient about that of the same code in float64.

A gradient whose large terms cancel, at an optimum or in front of a normalisation, is in low
precision nothing but what the rounding of these terms leaves. Its own size does not tell how much
that is, nor does the loss where it cancels likewise. But the two precisions can be compared at many
points: rounding scatters from point to point, while what one precision computes wrongly stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.calling.calls import LOW_PRECISION
from gradcheck.calling.quiet import quiet
from gradcheck.calling.tree import leaves
from gradcheck.numpy_target.working_call import Working
from gradcheck.problem import FloatArray
from gradcheck.scales import rms

POINTS = 12
"""Points beside the one checked at which the two precisions are compared."""
FEWEST = 6
"""Of these, the points that have to be in the domain."""
FARTHEST = 64
"""Units in the last place by which the points lie apart at the most."""
USUAL = 0.75
"""Share of the points at which the scatter is within its level; a mask that flips at one of the
others in one precision alone is no rounding."""
SAFETY = 4.0
"""Times the level that the difference at the point checked may be."""

Gradient = Callable[[], Mapping[str, FloatArray]]
Pair = tuple[NDArray[Any], NDArray[Any]]
"""An array in its own precision, and the one that holds its values in float64."""


def scatter(low: Gradient, wide: Gradient, pairs: Sequence[Pair]) -> dict[str, FloatArray]:
    """Return how far rounding scatters each entry of ``low()`` about ``wide()``, by name.

    Both are computed at the same points, which ``low`` can represent, some units in the last place
    about the present one; what they differ by on average does not count. Empty where too few of
    the points lie in the domain. The arrays are put back.
    """
    generator = np.random.default_rng(0)
    differences: dict[str, list[FloatArray]] = {}
    for _ in range(POINTS):
        with _moved(pairs, generator):
            try:
                with quiet():
                    one = {name: array.copy() for name, array in low().items()}
                    two = wide()
                    apart = {name: one[name] - two[name] for name in one if name in two}
            except Exception:
                # Outside the domain: that point tells nothing.
                continue
        for name, difference in apart.items():
            if np.isfinite(difference).all():
                differences.setdefault(name, []).append(difference)
    return {
        name: SAFETY * _level(np.stack(found))
        for name, found in differences.items()
        if len(found) >= FEWEST
    }


def _level(differences: FloatArray) -> FloatArray:
    """Return the scatter over the first axis; entries that few points move have the typical one."""
    n = len(differences)
    middle = np.sort(differences, axis=0)[n // 2]
    level = np.sort(np.abs(differences - middle), axis=0)[int(USUAL * n)]
    return np.asarray(np.maximum(level, rms(level)))


@contextmanager
def _moved(pairs: Sequence[Pair], generator: np.random.Generator) -> Iterator[None]:
    """Move the arrays of each pair alike, by units in the last place of the lower precision.

    Zeros move where all of an array is zero: elsewhere they are often what the others are not.
    """
    start = [(low.copy(), wide.copy()) for low, wide in pairs]
    try:
        for low, _ in pairs:
            units = generator.integers(-FARTHEST, FARTHEST + 1, low.shape)
            size = low if low.any() else np.ones_like(low)
            moved = low + units.astype(low.dtype) * np.finfo(low.dtype).eps * size
            np.copyto(low, moved, casting="same_kind")
        for low, wide in pairs:  # an array of two names is one in its own precision alone
            np.copyto(wide, low)
        yield
    finally:
        for (low, wide), (own, other) in zip(pairs, start, strict=True):
            np.copyto(low, own)
            np.copyto(wide, other)


def pairs_of(low: Working, wide: Working) -> list[Pair]:
    """Return the arrays of low precision that one call reads, each with that of the other.

    Data that hold whole numbers alone, such as labels and masks, are left where they are.
    """
    parameters = zip(low.values, wide.values, strict=True)
    data = zip(_data(low), _data(wide), strict=True)
    both = [*parameters, *(pair for pair in data if not (pair[0] == np.rint(pair[0])).all())]
    return [
        (one, two)
        for one, two in both
        if one.dtype.name in LOW_PRECISION and one.flags.writeable and two.flags.writeable
    ]


def _data(working: Working) -> list[NDArray[Any]]:
    """All arrays of numbers that a call is given besides its parameters."""
    inputs = working.call.inputs
    handed = enumerate(leaves((inputs.args, dict(inputs.kwargs)), "inputs"))
    found = [leaf.value for k, leaf in handed if k not in working.positions]
    return [
        one.view(np.ndarray)
        for one in found
        if isinstance(one, np.ndarray) and one.dtype.kind == "f"
    ]
