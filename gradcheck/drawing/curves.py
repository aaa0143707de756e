"""How the error of a central difference of one entry depends on the step, as plain data.

The form that ``error_curve`` returns, an element of ``ParameterResult.curves`` (the caller adds
``"index"`` and what else it wants shown)::

    {"analytic": 0.5, "chosen_step": 6e-06, "uncertainty": 1e-10, "evaluations": 109,
     "step": [...], "error": [...],         # |central difference(step) - analytic|
     "roundoff": {"coefficient": 1e-16},    # noise / step
     "truncation": None or {"coefficient": 0.3},  # coefficient * step^2
     "offset": [...], "loss": [...],        # the loss less its value at the point
     "loss_at_point": 1.5,
     "kink": None or {"left_slope": 0.0, "right_slope": 1.0}}
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.drawing.cells import four_digits
from gradcheck.report import JsonValue

_STEPS_PER_DECADE = 2
_LINE_POINTS = 41
_KINK_DIVISORS = (1.0, 4.0)


def error_curve(
    loss_at: Callable[[float], float],
    analytic: float,
    *,
    scale: float,
    noise: float,
    chosen_step: float,
    uncertainty: float,
) -> dict[str, JsonValue]:
    """Return the V-curve of one entry and the loss along it (form: see the module).

    Args:
        loss_at: the loss with the entry moved by an offset (not to it); NaN where the loss cannot
            be evaluated. What it raises passes through.
        analytic: the user's value of the derivative.
        scale: size of the entry, above zero: steps run from about 1e-13 of it to a third of it.
        noise: absolute noise of the loss.
        chosen_step: the step at which the oracle took its value.
        uncertainty: of the oracle's value, drawn as a band.
    """
    evaluations = 0

    def counted(offset: float) -> float:
        nonlocal evaluations
        evaluations += 1
        return float(loss_at(offset))

    steps = scale * 10.0 ** (np.arange(-13 * _STEPS_PER_DECADE, 0) / _STEPS_PER_DECADE)
    center = counted(0.0)
    slopes = np.array([_central(counted, float(step)) for step in steps])
    width = max(0.1 * scale, 20 * chosen_step)
    offsets = np.linspace(-width, width, _LINE_POINTS)
    line = np.array([counted(float(offset)) for offset in offsets]) - center
    kink = _kink(counted, center, noise, chosen_step)
    return {
        "analytic": four_digits(analytic),
        "chosen_step": four_digits(chosen_step),
        "uncertainty": four_digits(uncertainty),
        "evaluations": evaluations,
        "step": [four_digits(step) for step in steps],
        "error": [four_digits(error) for error in np.abs(slopes - analytic)],
        "roundoff": {"coefficient": four_digits(noise)},
        "truncation": None if kink else _truncation(steps, slopes, noise),
        "offset": [four_digits(offset) for offset in offsets],
        "loss": [four_digits(value) for value in line],
        "loss_at_point": four_digits(center),
        "kink": kink,
    }


def _central(loss_at: Callable[[float], float], step: float) -> float:
    return float((loss_at(step) - loss_at(-step)) / (2 * step))


def _truncation(
    steps: NDArray[Any], slopes: NDArray[Any], noise: float
) -> dict[str, JsonValue] | None:
    """Fit ``coefficient * step^2`` where neighbouring steps differ by far more than the noise."""
    coefficients = []
    for fine, coarse in itertools.pairwise(range(len(steps))):
        change = abs(slopes[coarse] - slopes[fine])
        if change > 10 * noise / steps[fine] and math.isfinite(change):
            coefficients.append(change / (steps[coarse] ** 2 - steps[fine] ** 2))
    # the smallest steps that see the truncation at all are nearest to the asymptotic slope
    return {"coefficient": four_digits(np.median(coefficients[:4]))} if coefficients else None


def _kink(
    loss_at: Callable[[float], float], center: float, noise: float, step: float
) -> dict[str, JsonValue] | None:
    """Return the one-sided slopes if their gap does not shrink with the step."""
    gaps = []
    slopes = (0.0, 0.0)
    for divisor in _KINK_DIVISORS:
        h = step / divisor
        slopes = ((center - loss_at(-h)) / h, (loss_at(h) - center) / h)
        gap = abs(slopes[1] - slopes[0])
        if not gap > 8 * noise / h:
            return None
        gaps.append(gap)
    if gaps[-1] < 0.6 * gaps[0]:
        return None
    return {"left_slope": four_digits(slopes[0]), "right_slope": four_digits(slopes[1])}
