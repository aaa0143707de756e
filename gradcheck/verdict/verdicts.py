"""What several oracles say of the same entries, brought to one verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import flat, parts
from gradcheck.oracles.estimate import Estimate
from gradcheck.oracles.parted import AnyEstimate, as_whole
from gradcheck.report import Verdict
from gradcheck.verdict.compare import FAIL, INCONCLUSIVE, PASS, UNCHECKED, Judged

_VERDICTS = {PASS: Verdict.PASS, INCONCLUSIVE: Verdict.INCONCLUSIVE, FAIL: Verdict.FAIL}


@dataclass(frozen=True, eq=False)
class Combined:
    """The verdict of each entry of a parameter, and which oracle it rests on most.

    ``contested`` marks entries on which the oracles contradict each other beyond what they
    claim to know.
    """

    codes: NDArray[np.int8]
    best: str | None
    contested: NDArray[np.bool_]

    @property
    def verdict(self) -> Verdict:
        """The worst of the entries; nothing checked is inconclusive."""
        worst = int(self.codes.max(initial=UNCHECKED))
        return _VERDICTS.get(worst, Verdict.INCONCLUSIVE)


def share_kinks(estimate: AnyEstimate, central: AnyEstimate | None) -> AnyEstimate:
    """Let an oracle that knows one side of a kink accept the other valid values there too."""
    if central is None or not central.kinks.any():
        return estimate
    estimate, central = as_whole(estimate), as_whole(central)
    kinks = central.kinks
    lower = np.where(kinks, np.fmin(central.lower, estimate.value), estimate.lower)
    upper = np.where(kinks, np.fmax(central.upper, estimate.value), estimate.upper)
    uncertainty = np.where(
        kinks, np.fmax(estimate.uncertainty, central.uncertainty), estimate.uncertainty
    )
    return replace(
        estimate,
        kinks=kinks,
        lower=lower,
        upper=upper,
        uncertainty=uncertainty,
    )


def combine(judged: Sequence[Judged], estimates: Mapping[str, Estimate]) -> Combined:
    """Combine the comparisons of one parameter's analytic gradient, entry by entry.

    The oracle with the smallest uncertainty decides an entry, unless another one contradicts its
    value beyond both uncertainties and its verdict too: then the entry is inconclusive.
    """
    if not judged:
        raise ValueError("no comparison to combine")
    shape = judged[0].codes.shape
    if len(judged) == 1:
        return Combined(judged[0].codes, best_of(judged), np.zeros(shape, dtype=bool))
    allowed = np.stack([_rank(one) for one in judged])
    codes = np.stack([one.codes for one in judged])
    finest = np.argmin(allowed, axis=0)
    decided = np.take_along_axis(codes, finest[None], axis=0)[0]
    contested = np.zeros(shape, dtype=bool)
    for i, one in enumerate(judged):
        for other in judged[i + 1 :]:
            contested |= _contradict(one, other, estimates)
    opposite = (codes == PASS).any(axis=0) & (codes == FAIL).any(axis=0)
    decided = np.where(contested & opposite, INCONCLUSIVE, decided)
    return Combined(decided.astype(np.int8), best_of(judged), contested)


def _rank(one: Judged) -> NDArray[np.float64]:
    """Uncertainty to choose by: an oracle that says nothing of an entry comes last."""
    usable = (one.codes != UNCHECKED) & np.isfinite(one.allowed)
    ranked = np.where(usable, one.allowed, 1e300)
    return np.asarray(np.where(one.codes == UNCHECKED, np.inf, ranked))


def _contradict(one: Judged, other: Judged, estimates: Mapping[str, Estimate]) -> NDArray[np.bool_]:
    a, b = estimates[one.oracle], estimates[other.oracle]
    # Forward mode stops where the backward pass does, at a detach(): it is doubted sooner.
    margin = 1 if "forward" in (one.oracle, other.oracle) else 2
    both = (one.codes != UNCHECKED) & (other.codes != UNCHECKED) & ~one.kinks & ~other.kinks
    with np.errstate(all="ignore"):
        apart = np.abs(a.value - b.value)
        known = margin * (a.uncertainty + b.uncertainty)
        size = np.maximum(np.abs(a.value), np.abs(b.value))
        return np.asarray(both & (apart > known) & (apart > 1e-9 * size))


class _Compared(Protocol):
    """A comparison, whole or in parts."""

    @property
    def oracle(self) -> str: ...

    @property
    def codes(self) -> NDArray[np.int8]: ...

    @property
    def coarsest(self) -> float: ...


def best_of(judged: Sequence[_Compared]) -> str | None:
    """Return the oracle with the smallest resolution, of those that checked the most entries.

    One that settled a few entries may know these well: it says nothing of the others.
    """
    known = [one for one in judged if np.isfinite(one.coarsest)]
    if len(known) > 1:
        counted = [_n_checked(one) for one in known]
        most = max(counted)
        known = [one for one, n in zip(known, counted, strict=True) if n == most]
    if not known:
        return judged[0].oracle if judged else None
    return min((one.coarsest, one.oracle) for one in known)[1]


def _n_checked(one: _Compared) -> int:
    return sum(
        int(np.count_nonzero(flat(one.codes, at) != UNCHECKED)) for at in parts(one.codes.size)
    )
