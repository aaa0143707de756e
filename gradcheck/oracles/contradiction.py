"""An oracle that contradicts central differences beyond both uncertainties: it is not used then."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gradcheck.oracles.parted import AnyEstimate
from gradcheck.problem import FloatArray


def contradiction(
    estimates: Mapping[str, AnyEstimate],
    central: Mapping[str, AnyEstimate],
    reason: str,
    rounding: Mapping[str, FloatArray] | None = None,
) -> str | None:
    """Say on how many entries an oracle contradicts central differences, if it does.

    Entries at kinks do not count. ``reason`` says what makes the oracle do so. ``rounding`` is that
    of the claimed gradient: a first difference that agrees with it is not refined any further than
    that.
    """
    for name, estimate in estimates.items():
        reference = central.get(name)
        if reference is None:
            continue
        both = np.isfinite(reference.uncertainty) & estimate.checked & ~reference.kinks
        apart = np.abs(estimate.value - reference.value)
        slack = 0.0 if rounding is None else rounding.get(name, 0.0)
        wrong = both & (apart > 2 * (reference.uncertainty + estimate.uncertainty) + slack)
        if wrong.any():
            return (
                f"it disagrees with central differences on {int(wrong.sum())} of "
                f"{int(both.sum())} entries of {name}: {reason}"
            )
    return None
