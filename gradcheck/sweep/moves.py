"""Arrays moved in place for a while, and put back to the bit, also after Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import MANY, parts

BITS = {2: np.int16, 4: np.int32, 8: np.int64}
CAST = 1 << 17
"""Steps up to which they are made float64 once, and not anew in each evaluation."""

Change = Callable[[slice, NDArray[Any]], NDArray[Any]]
"""Makes other values of the values of a part."""


@dataclass(frozen=True, eq=False, slots=True)
class Block:
    """A part of one parameter that moves: a box of it, and by how much each entry does.

    Attributes:
        parameter: position of the parameter.
        box: one slice an axis, of step 1; empty for the whole.
        steps: change of each entry at distance 1, of the box's shape.
    """

    parameter: int
    box: tuple[slice, ...]
    steps: NDArray[Any]


@contextmanager
def moved_blocks(
    values: Sequence[NDArray[Any]], blocks: Sequence[Block]
) -> Iterator[Callable[[float], None]]:
    """Give what moves the blocks of arrays by a distance; put their values back at the end."""
    moves: list[_Copied | InPlace] = []
    changes: list[Callable[[float], None]] = []
    for block in blocks:
        place: Any = (*block.box, ...)
        view = values[block.parameter][place]
        if not block.box and can_undo(view) and view.dtype == np.float64:
            large = InPlace(view)
            moves.append(large)
            changes.append(_along(large, block.steps.reshape(-1)))
        else:
            small = _Copied(view, block.steps)
            moves.append(small)
            changes.append(small.move)

    def move(distance: float) -> None:
        for change in changes:
            change(distance)

    try:
        yield move
    finally:
        # A signal that comes between two arrays waits until all of them are put back.
        came = None
        while True:
            try:
                for one in moves:
                    one.undo()
                break
            except KeyboardInterrupt as error:
                came = error
        if came is not None:
            raise came


class _Copied:
    """An array that moves, of which a copy is kept."""

    def __init__(self, view: NDArray[Any], steps: NDArray[Any]) -> None:
        self._view, self._start, self._steps = view, view.copy(), steps
        if view.dtype == np.float64 and steps.size <= CAST:
            self._steps = steps.astype(np.float64, copy=False)

    def move(self, distance: float) -> None:
        """Write ``start + distance * steps``; float64 arrays without a temporary."""
        if self._view.dtype == np.float64:
            np.multiply(self._steps, distance, out=self._view, dtype=np.float64)
            np.add(self._view, self._start, out=self._view)
        else:
            np.copyto(self._view, self._start + distance * self._steps, casting="same_kind")

    def undo(self) -> None:
        """Put the values back."""
        np.copyto(self._view, self._start)


def can_undo(array: NDArray[Any]) -> bool:
    """Whether ``InPlace`` is for this array: a large one of floats, in one piece of memory."""
    plain = array.flags.c_contiguous and array.dtype.kind == "f" and array.dtype.isnative
    return bool(plain and array.dtype.itemsize in BITS and array.size > MANY)


class InPlace:
    """A large array that moves, of which no copy is kept.

    What is kept of an entry is how many units in the last place it would be off if the move were
    merely made backwards: a byte or two.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self._entries = array.reshape(-1)
        self._bits = np.dtype(BITS[array.dtype.itemsize])
        self._parts = list(parts(array.size))
        self._ways_back: list[tuple[Change, NDArray[Any]] | None] = [None] * len(self._parts)
        self._between: tuple[int, NDArray[Any]] | None = None

    def move(self, forth: Change, back: Change) -> None:
        """Move from where the array was at first, by what ``back`` undoes about."""
        self._settle()
        dtype, bits = self._entries.dtype, self._bits
        for k, at in enumerate(self._parts):
            before = self._before(k)
            after = forth(at, before).astype(dtype, copy=False)
            about = back(at, after).astype(dtype, copy=False)
            way = back, _in_few_bytes(before.view(bits) - about.view(bits))
            self._between = k, before
            self._entries[at] = after
            self._ways_back[k] = way
            self._between = None

    def undo(self) -> None:
        """Put the values back; what a signal has left half done is done when called again."""
        self._settle()
        for k in range(len(self._parts)):
            if self._ways_back[k] is not None:
                self._between = k, self._before(k)
                self._settle()

    def _before(self, k: int) -> NDArray[Any]:
        """Return the values of a part before it moved."""
        at, way = self._parts[k], self._ways_back[k]
        if way is None:
            return self._entries[at].copy()
        back, off = way
        about = back(at, self._entries[at]).astype(self._entries.dtype, copy=False)
        return np.asarray((about.view(self._bits) + off).view(about.dtype))

    def _settle(self) -> None:
        """Put back the part that a signal came upon between two states."""
        if self._between is not None:
            k, values = self._between
            self._entries[self._parts[k]] = values
            self._ways_back[k] = None
            self._between = None


def _along(array: InPlace, steps: NDArray[Any]) -> Callable[[float], None]:
    """Return what moves an array by a distance along these steps."""

    def move(distance: float) -> None:
        def change(at: slice) -> NDArray[Any]:
            return np.asarray(np.multiply(steps[at], distance, dtype=np.float64))

        array.move(lambda at, values: change(at) + values, lambda at, values: values - change(at))

    return move


def unchanged(_: slice, values: NDArray[Any]) -> NDArray[Any]:
    """Return the values: the way back from a move of a few units in the last place."""
    return values


def _in_few_bytes(numbers: NDArray[Any]) -> NDArray[Any]:
    low, high = int(numbers.min()), int(numbers.max())
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return numbers.astype(kind)
    return numbers
