"""An oracle that contradicts central differences beyond both uncertainties: it is not used then."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gradcheck.oracles.parted import AnyEstimate


def contradiction(
    estimates: Mapping[str, AnyEstimate], central: Mapping[str, AnyEstimate], reason: str
) -> str | None:
    """Say on how many entries an oracle contradicts central differences, if it does.

    Entries at kinks do not count. ``reason`` says what makes the oracle do so.
    """
    for name, estimate in estimates.items():
        reference = central.get(name)
        if reference is None:
            continue
        both = np.isfinite(reference.uncertainty) & estimate.checked & ~reference.kinks
        apart = np.abs(estimate.value - reference.value)
        wrong = both & (apart > 2 * (reference.uncertainty + estimate.uncertainty))
        if wrong.any():
            return (
                f"it disagrees with central differences on {int(wrong.sum())} of "
                f"{int(both.sum())} entries of {name}: {reason}"
            )
    return None
