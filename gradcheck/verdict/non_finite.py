"""Say where a gradient is nan or infinite although the loss is finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.report import Diagnosis


def non_finite_gradients(analytic: Mapping[str, NDArray[Any]]) -> list[Diagnosis]:
    """Return a diagnosis for each parameter whose analytic gradient is not finite everywhere.

    Args:
        analytic: the gradient that was returned, by parameter, at a point with a finite loss.
    """
    found = []
    for name, gradient in analytic.items():
        bad = np.argwhere(~np.isfinite(gradient))
        if not len(bad):
            continue
        where = [int(i) for i in bad[0]]
        first = float(gradient[tuple(where)])
        count = f"{len(bad):,} of {gradient.size:,} entries, first at {where} ({first})"
        found.append(
            Diagnosis(
                "non_finite_gradient",
                name,
                f"The gradient of {name} is not finite in {count}, at a point where the loss is.",
                "exact",
                evidence={"entries": len(bad), "first": list(where)},
                remedy="Look in the backward pass for a division by 0, 0 times infinity, the "
                "logarithm or root of 0, or an overflow.",
            )
        )
    return found
