"""How far a gradient's own rounding may have moved it: it is computed again a rounding away.

Moving every parameter by about one unit in its last place moves a right gradient by its condition
number times that unit: the error that its own arithmetic may have made (stochastic arithmetic
after Vignes, "A stochastic arithmetic for reliable scientific computation", Math. Comput. Simul.
35, 1993, with two samples).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import numpy as np

from gradcheck.blocks import SumOfSquares, flat, in_little, kept_if_same, parts
from gradcheck.calling.quiet import quiet
from gradcheck.noise import ORDINARY, Noise, half_ulp
from gradcheck.problem import FloatArray, Parameter
from gradcheck.scales import entry_scales, own_size_in_parts, rms
from gradcheck.verdict.nearby import Kept, Least, Signs, moved

SAFETY = 8.0
FLOOR = 4.0
SINGLE = 1e-9
"""Relative noise below which no loss was computed in single precision."""
MAGNIFIED = 1024.0
"""How much more of its relative precision a derivative may lose than the loss."""


def rounding_error(
    gradient: Callable[[], Mapping[str, FloatArray]],
    parameters: Sequence[Parameter],
    generator: np.random.Generator,
    unit: float,
    noise: Noise,
    *,
    base: Mapping[str, FloatArray] | None = None,
    about: Mapping[str, FloatArray] | None = None,
) -> dict[str, FloatArray]:
    """Estimate the rounding error of each entry of ``gradient()``, by parameter name.

    On either side of the point the gradients one and two units away are compared, and the smaller
    change counts, so that a mask which flips at a kink is not taken for rounding. Where the moved
    point cannot be evaluated, the change counts as none. The parameters are put back.

    Args:
        gradient: computes it at the parameters' present values.
        parameters: moved, and put back.
        generator: draws the signs of the moves.
        unit: relative rounding unit of the arithmetic, such as 2.2e-16.
        noise: of the loss; terms that cancel in the gradient are rounded as those of the loss
            are, so that an entry is no better known than this over its scale.
        base: the gradient at the point, if it is known already and comes from a method that
            settles kinks by itself: then one move is enough, and compared with this.
        about: what it is expected to be at the point, so that it need not be kept twice.
    """
    start = None
    if base is None:
        own = about or {}
        base = {name: kept_if_same(own.get(name), array) for name, array in gradient().items()}
    else:
        start = {name: Kept(array) for name, array in base.items()}
    changes = _changes(gradient, parameters, generator, unit, base, start)
    size = sum(one.value.size for one in parameters)
    return {
        one.name: _bound(one, base[one.name], changes.pop(one.name, None), unit, noise, size)
        for one in parameters
        if one.name in base
    }


def _changes(
    gradient: Callable[[], Mapping[str, FloatArray]],
    parameters: Sequence[Parameter],
    generator: np.random.Generator,
    unit: float,
    base: Mapping[str, FloatArray],
    start: Mapping[str, Kept] | None,
) -> dict[str, Least]:
    """Return the smaller change of each entry, of those that could be measured.

    Each side compares two moves, or, where ``start`` is given, one side one move with this.
    """
    sides = ((1.0, 2.0), (-1.0, -2.0)) if start is None else ((1.0,),)
    signs = [Signs(generator, parameter.value.size) for parameter in parameters]
    changes: dict[str, Least] = {}
    for units in sides:
        nearby = start
        for distance in units:
            with ExitStack() as stack:
                for parameter, sign in zip(parameters, signs, strict=True):
                    stack.enter_context(moved(parameter.value, distance * unit, sign))
                try:
                    with quiet():
                        found = gradient()
                    if nearby is None:
                        nearby = {name: Kept(found[name], base[name]) for name in base}
                    else:
                        _lower(changes, nearby, found)
                    del found
                except Exception:
                    # Outside the domain: this side says nothing about rounding.
                    break
    return changes


def _lower(
    changes: dict[str, Least], one: Mapping[str, Kept], other: Mapping[str, FloatArray]
) -> None:
    """Take how far two gradients are apart where that is smaller than what was seen before."""
    for name, kept in one.items():
        least = changes.setdefault(name, Least(other[name].size))
        least.lower(kept.apart(other[name]))


def cancellation_floor(
    parameter: Parameter, gradient: FloatArray, noise: Noise
) -> Callable[[slice], FloatArray]:
    """Return what cancelling terms may leave of rounding in each entry of a gradient, in parts.

    A loss of this noise has terms that large, and so has its gradient, over the entry's scale.
    """
    typical, coarse = parameter.typical, grain(noise)

    def of_part(at: slice) -> FloatArray:
        magnitude, claimed = parameter.magnitude(at), flat(gradient, at)
        reach = entry_scales(claimed, np.maximum(magnitude, typical), noise.loss)
        floor = FLOOR * noise.level / np.maximum(reach, magnitude)
        return np.asarray(floor + coarse * np.abs(claimed))

    return of_part


def grain(noise: Noise) -> float:
    """Return the relative error that a coarse grain of the loss leaves in its exact derivative.

    A loss that loses digits inside (by cancellation, or in lower precision) loses them in its
    derivative too, and more of them; 0 where the noise is that of plain roundoff. What it loses is
    measured against its variation, too: a loss may be near zero and its derivative be exact.
    """
    if noise.level <= ORDINARY * float(half_ulp(np.array([noise.loss]), noise.dtype)[0]):
        return 0.0
    size = _size(noise)
    return MAGNIFIED * noise.level / size if size > 0 else 0.0


def _size(noise: Noise) -> float:
    """What the noise is measured against: the loss, or its variation where it is near zero."""
    return max(abs(noise.loss), noise.variation)


def _bound(
    parameter: Parameter,
    values: FloatArray,
    changes: Least | None,
    unit: float,
    noise: Noise,
    size: int,
) -> FloatArray:
    floor = cancellation_floor(parameter, values, noise)
    typical = own_size_in_parts(parameter, rms(values), noise.variation, size)

    def of_part(at: slice) -> FloatArray:
        bound = unit * (SAFETY * np.abs(flat(values, at)) + 2.0 * typical(at))
        if changes is not None:
            seen = changes.part(at)
            bound = SAFETY * np.where(np.isfinite(seen), seen, 0.0) + bound
        return np.asarray(bound + floor(at))

    return in_little(values.shape, of_part, bound=True)


def is_single_precision(gradient: FloatArray, noise: Noise) -> bool:
    """Return whether the arithmetic behind a float64 gradient was single.

    Then every entry is a float32 number, and the loss jitters accordingly.
    """
    if noise.level <= SINGLE * _size(noise):
        return False
    n_nonzero = 0
    for at in parts(gradient.size):
        part = flat(gradient, at)
        n_nonzero += int(np.count_nonzero(part))
        with np.errstate(over="ignore"):
            if not np.array_equal(part.astype(np.float32), part):
                return False
    return n_nonzero >= 3


def is_mere_rounding(
    gradient: FloatArray, rounding: FloatArray, floor: Callable[[slice], FloatArray]
) -> bool:
    """Return whether a claimed gradient is zero but for rounding, as at an optimum.

    A definite small claim does not change when the point is moved by a rounding; ``floor``, which
    was added for cancelling terms, is no measurement and does not count.
    """
    measured = SumOfSquares()
    for at in parts(gradient.size):
        excess = np.maximum(flat(rounding, at) - floor(at), 0.0)
        measured.add(excess[np.isfinite(excess)])
    return rms(gradient) <= 2.0 * measured.mean_root
