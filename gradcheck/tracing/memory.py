"""What a block of array memory holds, as a torch tensor.

NumPy's views and aliases are windows on a block of memory that one array owns. The tracer keeps
one tensor for the block; a view's tensor is cut out of it at the view's own offset and strides, and
a write through any view changes the block's tensor for all of them (by making a new one:
autograd's graph is never written to). Writes are collected and put in all at once when somebody
reads, so that filling an array element by element costs no copy of the array per element.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gradcheck.tracing.contract import Site
from gradcheck.tracing.errors import NotTraceable

Array = NDArray[Any]
Key = tuple[int, tuple[int, ...], tuple[int, ...]]
Origin = tuple[str, int | str]


class Shadow:
    """The tensor that stands for a value, and where it came from.

    ``lost`` is set, and ``tensor`` is ``None``, where the value came out of an operation that
    cannot be differentiated.
    """

    __slots__ = ("lost", "origin", "site", "tensor")

    def __init__(
        self,
        tensor: Any,
        origin: Origin,
        lost: NotTraceable | None = None,
        site: Site | None = None,
    ) -> None:
        self.tensor = tensor
        self.origin = origin
        self.lost = lost
        self.site = site  # of what was written into an array: where it was written


class Assembler(Protocol):
    """What a memory needs to put writes together."""

    torch: Any
    positions: Positions

    def assemble(self, pieces: list[Shadow], build: Callable[[list[Any]], Any]) -> Shadow:
        """Return the shadow of ``build(tensors of the pieces)``, recorded as an operation."""


class Positions:
    """Index arrays: for each element of a view, its place in the memory block."""

    def __init__(self) -> None:
        self._counting: NDArray[np.int64] = np.arange(1024)

    def counting(self, size: int) -> NDArray[np.int64]:
        """Return ``arange(size)``; not to be written to."""
        if size > self._counting.size:
            self._counting = np.arange(size)
        return self._counting[:size]

    def of(self, key: Key, span: int) -> NDArray[np.int64]:
        """Return the places of a view's elements in a block of ``span`` elements."""
        offset, shape, strides = key
        counting = self.counting(span)
        return np.ndarray(
            shape, np.int64, buffer=counting, offset=8 * offset, strides=[8 * s for s in strides]
        )


def owner_of(array: Array) -> Array:
    """Return the array that owns the memory which ``array`` looks at."""
    while True:
        base = array.base
        if not isinstance(base, np.ndarray):
            base = getattr(base, "base", None)  # as_strided puts an object of its own in between
        if not isinstance(base, np.ndarray):
            return array
        array = base


def address_of(array: Array) -> int:
    """Return the address of the first element."""
    address: int = array.__array_interface__["data"][0]
    return address


def holds(array: Array, content: Array) -> bool:
    """Whether an array holds just these numbers; what is no number equals itself."""
    # Looking at nan takes ten times as long as comparing, and there seldom is any.
    return np.array_equal(array, content) or np.array_equal(array, content, equal_nan=True)


def to_tensor(torch: Any, array: Any) -> Any:
    """Return a tensor with a copy of the array's values: torch never sees the user's memory."""
    return torch.from_numpy(np.array(array, order="C", copy=True))


def _extent(array: Array) -> tuple[int, int]:
    """Return the lowest address of an array's elements, and how many elements it spans."""
    reach = [(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)]
    low = address_of(array) + sum(min(r, 0) for r in reach)
    return low, sum(abs(r) for r in reach) // array.itemsize + 1


class Memory:
    """The tensor for one block of memory, with the writes and views since it was made."""

    __slots__ = (
        "address",
        "base",
        "dtype",
        "elements",
        "flat",
        "lost",
        "pending",
        "span",
        "views",
    )

    def __init__(self, owner: Array) -> None:
        self.address, self.span = _extent(owner)
        self.dtype = owner.dtype
        self.flat: Any = None
        self.base: Origin = ("constant", "")
        self.pending: list[tuple[NDArray[np.int64], Shadow]] = []
        self.views: dict[Key, tuple[Shadow, int, int]] = {}
        self.elements: dict[int, Shadow] = {}
        self.lost: NotTraceable | None = None

    def key(self, view: Array) -> Key | None:
        """Return offset, shape and strides in elements; ``None`` for a view of other dtype."""
        size = self.dtype.itemsize
        offset, rest = divmod(address_of(view) - self.address, size)
        strides = view.strides
        if rest or view.dtype != self.dtype or any(stride % size for stride in strides):
            return None
        return offset, view.shape, tuple([stride // size for stride in strides])

    @staticmethod
    def _bounds(key: Key) -> tuple[int, int]:
        reach = [(length - 1) * stride for length, stride in zip(key[1], key[2], strict=True)]
        return key[0] + sum(min(r, 0) for r in reach), key[0] + sum(max(r, 0) for r in reach)

    def _covers(self, key: Key) -> bool:
        """Whether a view holds every element of the block, each once."""
        size = 1
        for stride, length in sorted(zip(map(abs, key[2]), key[1], strict=True)):
            if length > 1 and stride != size:
                return False
            size *= length
        return size == self.span

    def remember(self, key: Key, shadow: Shadow) -> None:
        """Keep the tensor of a view for the next reader."""
        if not key[1] and self.span > 1:
            self.elements[key[0]] = shadow
            return
        low, high = self._bounds(key)
        self.views[key] = (shadow, low, high)

    def known(self, key: Key) -> Shadow | None:
        """Return the tensor of a view that was read or written before, if it still holds."""
        if not key[1] and self.span > 1:
            return self.elements.get(key[0])
        found = self.views.get(key)
        return found[0] if found is not None else None

    def write(self, key: Key, shadow: Shadow, positions: Positions) -> None:
        """Note that the view now holds ``shadow`` (of the view's shape)."""
        if self._covers(key):
            self.views.clear()
            self.elements.clear()
            self.pending.clear()
            self.flat = None
            self.lost = shadow.lost
        else:
            low, high = self._bounds(key)
            self._forget(low, high)
            if shadow.lost is not None:
                self.lost = shadow.lost
            else:
                places = positions.of(key, self.span).ravel()
                self.pending.append((places, shadow))
        self.remember(key, shadow)

    def scatter(self, places: NDArray[np.int64], shadow: Shadow) -> None:
        """Note that the elements at ``places`` (each once) now hold ``shadow`` (of that shape)."""
        self._forget(int(places.min()), int(places.max()))
        if shadow.lost is not None:
            self.lost = shadow.lost
        else:
            self.pending.append((places.ravel(), shadow))

    def _forget(self, low: int, high: int) -> None:
        """Drop the views that overlap a range, keeping one that everything can be cut from."""
        if low == high:
            self.elements.pop(low, None)
        else:
            for place in [place for place in self.elements if low <= place <= high]:
                del self.elements[place]
        overlapping = [k for k, (_, lo, hi) in self.views.items() if lo <= high and low <= hi]
        for key in overlapping:
            shadow = self.views[key][0]
            if self.flat is None and shadow.lost is None and self._covers(key):
                self.flat = self._in_memory_order(key, shadow.tensor)
                self.base = shadow.origin
            del self.views[key]

    @staticmethod
    def _in_memory_order(key: Key, tensor: Any) -> Any:
        strides = key[2]
        order = sorted(range(len(strides)), key=lambda axis: -abs(strides[axis]))
        flipped = [axis for axis in order if strides[axis] < 0]
        if flipped:
            tensor = tensor.flip(flipped)
        return tensor.permute(order).flatten()

    def read(self, owner: Array, view: Array, assembler: Assembler) -> Shadow:
        """Return the shadow of ``view``, a view of ``owner``."""
        key = self.key(view)
        if key is not None:
            found = self.known(key)
            if found is not None:
                return found
        if self.lost is not None:
            return Shadow(None, self.base, self.lost)
        if key is None:
            lost = NotTraceable("view", None, "the memory is looked at as another dtype")
            return Shadow(None, self.base, lost)
        flat = self._current(owner, assembler)
        shadow = Shadow(_cut(key, flat, assembler.torch, assembler.positions), self.base)
        self.remember(key, shadow)
        return shadow

    def _current(self, owner: Array, assembler: Assembler) -> Any:
        """Return the block's tensor with all writes in it, one-dimensional, in memory order."""
        if self.flat is None:
            for key, (shadow, _, _) in self.views.items():
                if self._covers(key):
                    self.flat = self._in_memory_order(key, shadow.tensor)
                    self.base = shadow.origin
                    break
            else:
                self.flat = self._copy(owner, assembler.torch, assembler.positions)
                self.base = ("constant", "")
        if self.pending:
            self._put_together(assembler)
        return self.flat

    def _put_together(self, assembler: Assembler) -> None:
        """Put the writes since the last reader into the block's tensor; of several, the last."""
        torch = assembler.torch
        places = np.concatenate([written for written, _ in self.pending])
        order = assembler.positions.counting(places.size)
        last = np.empty(self.span, np.int64)
        last[places] = order
        kept = np.flatnonzero(last[places] == order)
        some = kept.size < places.size
        index = torch.from_numpy(places[kept])

        def build(tensors: list[Any]) -> Any:
            base, *pieces = tensors
            values = torch.cat([piece.flatten() for piece in pieces])
            if some:
                values = values.index_select(0, torch.from_numpy(kept))
            return base.index_copy(0, index, values)

        base = Shadow(self.flat, self.base)
        whole = assembler.assemble([base, *(piece for _, piece in self.pending)], build)
        self.flat, self.base = whole.tensor, whole.origin
        self.pending.clear()

    def _copy(self, owner: Array, torch: Any, positions: Positions) -> Any:
        key = self.key(owner)
        assert key is not None
        block = np.zeros(self.span, owner.dtype)
        block[positions.of(key, self.span)] = owner
        return torch.from_numpy(block)


def _cut(key: Key, flat: Any, torch: Any, positions: Positions) -> Any:
    """Return the part of a block's tensor that a view looks at."""
    offset, shape, strides = key
    if all(stride >= 0 for stride in strides):
        if flat.storage_offset() or flat.stride(0) != 1:
            flat = flat.clone()  # as_strided counts from the start of the storage
        return torch.as_strided(flat, shape, strides, offset)
    places = positions.of(key, flat.numel())
    picked = flat.index_select(0, torch.from_numpy(np.array(places).ravel()))
    return picked.reshape(shape)
