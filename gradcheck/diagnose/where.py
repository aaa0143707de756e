"""In words, where in a parameter the wrong entries lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradcheck.diagnose.evidence import Mask

LISTED = 6
"""At most this many indices are written out."""


@dataclass(frozen=True)
class Place:
    """A set of entries: ``kind`` is ``all``, ``slices``, ``block``, ``few`` or ``scattered``.

    ``words`` reads after "in": "column 0", "rows 1 and 3", "17 of 40 entries". ``region`` marks
    the whole slices or the whole block.
    """

    kind: str
    words: str
    region: Mask


def place(mask: Mask, consider: Mask | None = None) -> Place:
    """Describe the marked entries of ``mask``.

    Args:
        mask: the wrong entries.
        consider: the entries where a wrong value would show; a slice counts as wholly wrong when
            all of these are wrong in it, and there is more than one unless it has no others.
    """
    shows = np.ones(mask.shape, bool) if consider is None else consider | mask
    wrong = int(mask.sum())
    if wrong == int(shows.sum()):
        return Place("all", "all entries", np.ones(mask.shape, bool))
    for axis in range(mask.ndim) if mask.ndim > 1 else ():
        hit = np.asarray(mask.any(axis=tuple(k for k in range(mask.ndim) if k != axis)))
        region = np.zeros(mask.shape, bool)
        np.moveaxis(region, axis, 0)[hit] = True
        enough = wrong >= 2 * hit.sum() or wrong == region.sum()
        if enough and not hit.all() and (mask == (region & shows)).all():
            return Place("slices", _slices(mask.ndim, axis, hit), region)
    if wrong <= LISTED:
        listed = [_index(index) for index in np.argwhere(mask)]
        return Place("few", ("entry " if wrong == 1 else "entries ") + _and(listed), mask)
    block = _block(mask)
    if mask.ndim > 1 and (mask == (block & shows)).all():
        spans = (f"{a}:{b + 1}" for a, b in _spans(mask))
        return Place("block", f"the block [{', '.join(spans)}]", block)
    return Place("scattered", f"{wrong} of {mask.size} entries", mask)


def _slices(ndim: int, axis: int, hit: Mask) -> str:
    noun = ("row", "column")[axis] if ndim == 2 else f"index of axis {axis}"
    plural = f"{noun}s" if ndim == 2 else f"indices of axis {axis}"

    def listed(indices: np.ndarray) -> str:
        return f"{noun if len(indices) == 1 else plural} {_and([str(i) for i in indices])}"

    inside, outside = np.flatnonzero(hit), np.flatnonzero(~hit)
    if len(outside) < len(inside) and len(outside) <= 2:
        return f"all {plural} but {listed(outside)}"
    return listed(inside) if len(inside) <= LISTED else f"{len(inside)} {plural}"


def _block(mask: Mask) -> Mask:
    block = np.zeros(mask.shape, bool)
    block[tuple(slice(a, b + 1) for a, b in _spans(mask))] = True
    return block


def _spans(mask: Mask) -> Iterator[tuple[int, int]]:
    """Yield the first and the last marked index along each axis."""
    for axis in range(mask.ndim):
        hit = np.flatnonzero(mask.any(axis=tuple(k for k in range(mask.ndim) if k != axis)))
        yield int(hit[0]), int(hit[-1])


def _index(index: np.ndarray) -> str:
    return f"[{', '.join(str(int(i)) for i in index)}]"


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
