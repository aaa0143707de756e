"""How far a gradient's own rounding may have moved it: it is computed again a rounding away.

Moving every parameter by about one unit in its last place moves a right gradient by its condition
number times that unit: the error that its own arithmetic may have made (stochastic arithmetic
after Vignes, "A stochastic arithmetic for reliable scientific computation", Math. Comput. Simul.
35, 1993, with two samples).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from gradcheck.noise import ORDINARY, Noise, half_ulp
from gradcheck.numpy_target.problem import quiet
from gradcheck.problem import FloatArray, Parameter
from gradcheck.scales import entry_scales, own_size, rms

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
    """
    moves: tuple[tuple[float, ...], ...] = ((1.0, 2.0), (-1.0, -2.0))
    if base is not None:
        moves = ((1.0,),)
    if base is None:
        base = gradient()
    signs = [generator.choice((-1.0, 1.0), parameter.value.shape) for parameter in parameters]
    changes: dict[str, list[FloatArray]] = {name: [] for name in base}
    saved = [parameter.value.copy() for parameter in parameters]
    try:
        for units in moves:
            nearby = [] if len(units) == 2 else [base]
            for distance in units:
                for parameter, start, sign in zip(parameters, saved, signs, strict=True):
                    np.copyto(parameter.value, start * (1.0 + distance * unit * sign))
                try:
                    with quiet():
                        nearby.append(gradient())
                except Exception:
                    # Outside the domain: this side says nothing about rounding.
                    break
            if len(nearby) == 2:
                for name in base:
                    changes[name].append(np.abs(nearby[1][name] - nearby[0][name]))
    finally:
        for parameter, start in zip(parameters, saved, strict=True):
            np.copyto(parameter.value, start)
    floors = {
        one.name: cancellation_floor(one, base[one.name], noise)
        for one in parameters
        if one.name in base
    }
    size = sum(one.value.size for one in parameters)
    typical = {
        one.name: own_size(one, rms(base[one.name]), noise.variation, size)
        for one in parameters
        if one.name in base
    }
    return {
        name: _bound(values, changes[name], unit, typical[name]) + floors[name]
        for name, values in base.items()
    }


def cancellation_floor(parameter: Parameter, gradient: FloatArray, noise: Noise) -> FloatArray:
    """Return what cancelling terms may leave of rounding in each entry of a gradient.

    A loss of this noise has terms that large, and so has its gradient, over the entry's scale.
    """
    reach = entry_scales(gradient, parameter.scales, noise.loss)
    floor = FLOOR * noise.level / np.maximum(reach, parameter.magnitudes)
    return np.asarray(floor + grain(noise) * np.abs(gradient))


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
    values: FloatArray, changes: Sequence[FloatArray], unit: float, typical: FloatArray
) -> FloatArray:
    seen = np.min(changes, axis=0) if changes else np.zeros(values.shape)
    seen = np.where(np.isfinite(seen), seen, 0.0)
    floor = unit * (SAFETY * np.abs(values) + 2.0 * typical)
    return np.asarray(SAFETY * seen + floor)


def is_single_precision(gradient: FloatArray, noise: Noise) -> bool:
    """Return whether the arithmetic behind a float64 gradient was single.

    Then every entry is a float32 number, and the loss jitters accordingly.
    """
    nonzero = gradient[gradient != 0]
    if noise.level <= SINGLE * _size(noise) or nonzero.size < 3:
        return False
    return bool((nonzero.astype(np.float32) == nonzero).all())


def is_mere_rounding(gradient: FloatArray, rounding: FloatArray, floor: FloatArray) -> bool:
    """Return whether a claimed gradient is zero but for rounding, as at an optimum.

    A definite small claim does not change when the point is moved by a rounding; ``floor``, which
    was added for cancelling terms, is no measurement and does not count.
    """
    measured = np.maximum(rounding - floor, 0.0)
    return rms(gradient) <= 2.0 * rms(measured)
