"""What the entries of a parameter, taken together, say of how well each of them is known.

The steps that a noisy loss asks for span kinks that no sequence of steps shows one by one: a
network of rectifiers in single precision has hundreds within a thousandth. Then two estimates of
one entry agree by chance now and again, and its uncertainty is too small. Those of the other
entries show how far that goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from gradcheck.oracles.estimate import Estimate
from gradcheck.oracles.parted import AnyEstimate, as_whole
from gradcheck.problem import Problem

SHARE = 0.95
"""Quantile of the uncertainties of a parameter's entries that counts as theirs together."""
TIMES = 8.0
"""As often that may an entry be off by chance."""
MOST = 0.5
"""Part of the entries that may be off so; more of them are no chance."""
FEWEST = 16
"""Entries of a parameter below which chance is not to be reckoned with."""
LARGEST = 1 << 17
"""Entries of a parameter above which it is left as it is."""


def by_companions(problem: Problem, central: Mapping[str, AnyEstimate]) -> dict[str, AnyEstimate]:
    """Leave entries of a coarse loss open that are off the claim by no more than chance explains.

    Their uncertainty becomes their own size: a claim that they contradict is not to pass by it.
    """
    return {
        name: one if one.size > LARGEST else _widened(problem, name, as_whole(one))
        for name, one in central.items()
    }


def _widened(problem: Problem, name: str, estimate: Estimate) -> Estimate:
    uncertainty = estimate.uncertainty
    known = np.isfinite(uncertainty) & np.isfinite(estimate.value)
    known &= ~(estimate.kinks | estimate.edges)
    if known.sum() < FEWEST:
        return estimate
    chance = TIMES * float(np.quantile(uncertainty[known], SHARE))
    off = np.abs(estimate.value - problem.analytic[name])
    with np.errstate(invalid="ignore"):
        apart = known & (off > uncertainty)
    explained = apart & (off <= chance)
    if not explained.any() or apart.sum() > MOST * known.sum():
        return estimate
    own = np.maximum(np.abs(estimate.value), np.abs(problem.analytic[name]))
    return replace(estimate, uncertainty=np.where(explained, np.maximum(own, off), uncertainty))
