"""How far the rounding of its own arithmetic may have moved a torch target's gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.calling.quiet import quiet
from gradcheck.numpy_target.preflight import scattered
from gradcheck.problem import FloatArray, Parameter
from gradcheck.scales import rms
from gradcheck.torch_target.claim import Claim
from gradcheck.torch_target.precision_inside import lowest_in_backward

Gradient = Callable[[], Mapping[str, FloatArray]]

TINY = 1e-9
"""Change of the loss over a parameter's scale, relative to the loss, below which a gradient may be
nothing but rounding."""
CANCELLED = 8.0
"""Units in the last place of the loss that cancelling terms may leave in its gradient."""
BACKWARD = 8.0
"""Units in the last place that a backward pass in lower precision may be off by."""
MOVES = 12
"""Times that such a gradient is computed again, each time a rounding away."""


def low_precision_rounding(
    claim: Claim,
    parameters: Sequence[Parameter],
    gradient: Gradient,
    *,
    mixed: bool,
    half: bool,
    scatter: Gradient = dict,
) -> dict[str, FloatArray]:
    """How far the gradient in its own low precision is from the same code's in float64.

    With ``mixed``, the target reads tensors of low precision besides its parameters, and all
    gradients are compared, as with ``half``, where it computes in half precision inside. More than
    a thousandth of the entry (or of the parameter's typical entry), a twentieth in half precision,
    is not taken for rounding, unless the rounding of a loss of this size leaves as much where its
    terms cancel, or it is no more than the smallest number of the dtype, or ``scatter()`` says
    that rounding moves the entry as far.
    """
    dtypes = {one.name: one.dtype for one in parameters}
    scales = {one.name: one.scales for one in parameters}
    rounding = {name: np.zeros(array.shape) for name, array in claim.arrays.items()}
    unexplained: dict[str, NDArray[np.bool_]] = {}
    low = [name for name in claim.arrays if mixed or half or dtypes[name] != np.float64]
    if not low:
        return rounding
    with quiet():
        precise = gradient()
    for name in low:
        if name not in precise:
            continue
        reference = precise[name]
        share = 0.05 if half or dtypes[name] == np.float16 else 1e-3
        cap = share * np.maximum(np.abs(reference), rms(reference))
        unit = float(np.finfo(np.float32 if dtypes[name] == np.float64 else dtypes[name]).eps)
        cap = np.maximum(cap, CANCELLED * unit * abs(claim.loss) / scales[name])
        # Below the normal numbers of a dtype the spacing stays what it is.
        cap = np.maximum(cap, float(np.finfo(dtypes[name]).smallest_subnormal))
        apart = np.abs(claim.arrays[name].astype(np.float64) - reference)
        if (apart > cap).any():
            unexplained[name] = apart > cap
        rounding[name] = np.minimum(apart, cap)
    return rounding | scattered(rounding, unexplained, claim.arrays, scatter)


def of_backward(
    rounding: Mapping[str, FloatArray],
    analytic: Mapping[str, FloatArray],
    gradient: Gradient,
    inside: np.dtype[Any],
) -> dict[str, FloatArray]:
    """Add what a backward pass leaves that computes in lower precision than the loss (``inside``).

    Both computations of the gradient round alike there, so that comparing them does not show it.
    """
    lowest = lowest_in_backward(gradient)
    if lowest.itemsize >= inside.itemsize:
        return dict(rounding)
    unit = BACKWARD * float(np.finfo(lowest).eps)
    return {
        name: one + unit * np.maximum(np.abs(analytic[name]), rms(analytic[name]))
        for name, one in rounding.items()
    }


def with_residue(
    rounding: Mapping[str, FloatArray],
    parameters: Sequence[Parameter],
    analytic: Mapping[str, FloatArray],
    gradient: Gradient,
    loss: float,
) -> dict[str, FloatArray]:
    """Add to the rounding what a gradient that is nothing else jumps by from point to point.

    Where large terms cancel, as in the normalisation of a single number, a gradient that should be
    0 is a few units in the last place of these terms, the same ones at many neighbouring points:
    the two samples that every gradient gets may see no change. A definite small gradient does not
    jump.
    """
    tiny = [one for one in parameters if _is_tiny(one, analytic.get(one.name), loss)]
    total = dict(rounding)
    if not tiny:
        return total
    jumps = {one.name: np.zeros(one.value.shape) for one in tiny}
    generator = np.random.default_rng(0)
    start = [one.value.copy() for one in parameters]
    try:
        for _ in range(MOVES):
            for one, value in zip(parameters, start, strict=True):
                units = generator.integers(-4, 5, value.shape) * np.finfo(value.dtype).eps
                np.copyto(one.value, value * (1.0 + units), casting="same_kind")
            with quiet():
                found = gradient()
            for name, jump in jumps.items():
                if name in found:
                    np.fmax(jump, np.abs(found[name] - analytic[name]), out=jump)
    finally:
        for one, value in zip(parameters, start, strict=True):
            np.copyto(one.value, value)
    for name, jump in jumps.items():
        total[name] = total[name] + 2.0 * np.where(np.isfinite(jump), jump, 0.0)
    return total


def _is_tiny(parameter: Parameter, gradient: FloatArray | None, loss: float) -> bool:
    if gradient is None or parameter.dtype != np.float64 or not np.isfinite(gradient).all():
        return False
    change = rms(gradient) * rms(parameter.scales)
    return 0.0 < change < TINY * abs(loss)
