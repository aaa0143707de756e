"""Arrays moved in place for a while, and put back to the bit, also after Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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


class Undoable(Protocol):
    """An array, or a part of one, that moves and is put back."""

    def undo(self) -> None:
        """Put the values back; what a signal has left half done is done when called again."""


class Moves:
    """What moves together, by a distance, and is put back to the bit.

    As a context manager it gives ``move``, and puts everything back at the end. Ctrl-C may come on
    the way into that, where nothing in here sees it: whoever moves parameters calls ``undo`` once
    more in a ``finally`` around the block.

    Args:
        each: what moves, each with the function that moves it by a distance.
    """

    def __init__(self, each: Sequence[tuple[Undoable, Callable[[float], None]]]) -> None:
        self._each = each
        self._away = False

    def move(self, distance: float) -> None:
        """Move everything by this distance from where it was at first."""
        self._away = True
        for _, change in self._each:
            change(distance)

    def undo(self) -> None:
        """Put everything back, once; a signal that comes meanwhile waits until that is done."""
        came = None
        while self._away:
            try:
                for one, _ in self._each:
                    one.undo()
                self._away = False
            except KeyboardInterrupt as error:
                came = error
        if came is not None:
            raise came

    def __enter__(self) -> Callable[[float], None]:
        return self.move

    def __exit__(self, *_: object) -> None:
        self.undo()


def moved_blocks(values: Sequence[NDArray[Any]], blocks: Sequence[Block]) -> Moves:
    """Return the moves of blocks of arrays."""
    each: list[tuple[Undoable, Callable[[float], None]]] = []
    for block in blocks:
        place: Any = (*block.box, ...)
        view = values[block.parameter][place]
        if not block.box and can_undo(view) and view.dtype == np.float64:
            large = InPlace(view)
            each.append((large, _along(large, block.steps.ravel())))
        else:
            small = _Copied(view, block.steps)
            each.append((small, small.move))
    return Moves(each)


def moved_entries(
    array: NDArray[Any], indices: NDArray[np.intp], steps: NDArray[np.float64]
) -> Moves:
    """Return the moves of some entries of an array (flat, C order), by ``steps`` at distance 1."""
    entries = _Entries(array, indices, steps)
    return Moves([(entries, entries.move)])


class _Entries:
    """Some entries of an array, of which a copy is kept."""

    def __init__(
        self, array: NDArray[Any], indices: NDArray[np.intp], steps: NDArray[np.float64]
    ) -> None:
        self._flat: Any = array.ravel() if array.flags.c_contiguous else array.flat
        self._indices, self._steps = indices, steps
        self._start = np.array(self._flat[indices])

    def move(self, distance: float) -> None:
        """Write ``start + distance * steps``."""
        moved = self._start + distance * self._steps
        self._flat[self._indices] = moved.astype(self._start.dtype)

    def undo(self) -> None:
        """Put the values back."""
        self._flat[self._indices] = self._start


class _Copied:
    """An array that moves, of which a copy is kept."""

    def __init__(self, view: NDArray[Any], steps: NDArray[Any]) -> None:
        self._view, self._start, self._steps = view, view.copy(), steps
        if steps.size <= CAST:
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
    merely made backwards: a byte or two, and nothing of a part in which none would be off.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self._entries = array.ravel()
        self._bits = np.dtype(BITS[array.dtype.itemsize])
        self._parts = list(parts(array.size))
        self._ways_back: list[tuple[Change, NDArray[Any] | None] | None]
        self._ways_back = [None] * len(self._parts)
        self._between: tuple[int, NDArray[Any]] | None = None

    def move(self, forth: Change, back: Change) -> None:
        """Move from where the array was at first, by what ``back`` undoes about."""
        self._settle()
        dtype, bits = self._entries.dtype, self._bits
        for k, at in enumerate(self._parts):
            before = self._before(k)
            after = forth(at, before).astype(dtype, copy=False)
            about = back(at, after).astype(dtype, copy=False)
            way = back, _off(before.view(bits), about.view(bits))
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
        if off is None:
            return about.copy() if np.may_share_memory(about, self._entries) else about
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
        latest: list[Any] = [None, None]

        def change(at: slice) -> NDArray[Any]:
            if latest[0] is not at:  # the way there and the way back ask one after the other
                latest[:] = at, np.multiply(steps[at], distance, dtype=np.float64)
            return np.asarray(latest[1])

        array.move(lambda at, values: change(at) + values, lambda at, values: values - change(at))

    return move


def unchanged(_: slice, values: NDArray[Any]) -> NDArray[Any]:
    """Return the values: the way back from a move of a few units in the last place."""
    return values


def _off(bits: NDArray[Any], about: NDArray[Any]) -> NDArray[Any] | None:
    """Return by how much some bits are off, in as few bytes as hold it; None where none are."""
    if np.array_equal(bits, about):
        return None
    numbers = bits - about
    low, high = int(numbers.min()), int(numbers.max())
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.asarray(numbers.astype(kind))
    return np.asarray(numbers)
