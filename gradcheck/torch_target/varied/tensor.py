"""A tensor in many evaluations, of which each changes a part: only the parts are kept."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


DEARER = 8
"""How much longer an entry takes by its place than in a tensor that is computed whole."""


class RefusedError(RuntimeError):
    """The target does what cannot be done for many evaluations at once."""


class NoRuleError(RuntimeError):
    """An operation takes the whole tensors: nothing is known of what a part of them does."""


class WastefulError(RuntimeError):
    """A rule would make a whole tensor of a few entries, which another way may not."""


class Tally:
    """How many evaluations run together, and how; and the memory that their tensors take.

    Attributes:
        rows: the number of evaluations.
        limit: no whole tensors are made of parts that take more bytes for all evaluations,
        sparing: nor, meanwhile, of much smaller parts.
        by_columns: products are laid out in memory column by column: parts of rows, which have
            functions of their own, are then computed as fast as whole rows.
        of_tangents: many tensors are nothing but zeros.
        defers: whole tensors are not computed before they are needed (see ``pending``).
        keeps: of what is computed so, all that may be needed again is kept.
        repeats: something was computed for the second time, since it was not kept.
        waits: what is needed is being computed; afterwards, this failed.
        over: what a target has kept of these evaluations stands for its ``base`` alone.
        made: bytes of all tensors that are kept until nothing reads them any more.
        largest: bytes of the largest of them.
    """

    def __init__(self, rows: int, limit: float = math.inf) -> None:
        self.rows = rows
        self.limit = limit
        self.sparing = False
        self.by_columns = False
        self.of_tangents = False
        self.defers = False
        self.waits = False
        self.keeps = False
        self.repeats = False
        self.over = False
        self.made = 0
        self.largest = 0
        self._kept: dict[Any, tuple[Any, tuple[Tensor, ...]]] = {}

    def count(self, size: int) -> None:
        """Take notice of a tensor of so many bytes."""
        self.made += size
        self.largest = max(self.largest, size)

    def spare(self, few: int, many: int) -> None:
        """Note that of a few entries many are made.

        Raises:
            WastefulError: while sparing, if it is faster to compute each of the few by its place.
        """
        if self.sparing and is_few(few, many):
            raise WastefulError

    def kept(self, key: Any, made: Callable[[], Any], *tensors: Tensor) -> Any:
        """Return what ``made`` returned at the first call with this key.

        ``tensors`` are those whose ``id`` is in the key, which have to live as long.
        """
        if key not in self._kept:
            self._kept[key] = (made(), tensors)
        return self._kept[key][0]


def is_few(count: int, whole: int) -> bool:
    """Whether it is faster to compute so many entries by their places than all of a tensor."""
    return 0 < count * DEARER <= whole


@dataclass(frozen=True, eq=False)
class Varied:
    """A tensor in each of ``tally.rows`` evaluations.

    Attributes:
        base: the tensor at the point itself.
        places: the dimensions of ``base`` along which an evaluation changes one position alone,
            each with these positions, one for each evaluation; in ascending order.
        values: what is at the positions: a row for each evaluation, then the other dimensions of
            ``base`` in their order. All of the tensor, if there are no ``places``.
        given: the values, or what they are with ``offset`` added.
        offset: what is the same in all evaluations and not added yet, of the shape of ``base``:
            where more is added, it is all added at once. Only without ``places``.
    """

    base: Tensor
    given: Tensor
    places: Mapping[int, Tensor]
    tally: Tally = field(repr=False)
    offset: Tensor | None = None

    @functools.cached_property
    def values(self) -> Tensor:
        """What is at the positions."""
        return self.given if self.offset is None else self.given + self.offset

    @property
    def free(self) -> list[int]:
        """The dimensions that change as a whole."""
        return [d for d in range(self.base.dim()) if d not in self.places]

    @property
    def change(self) -> Tensor:
        """By how much the values differ from the tensor at the point itself."""
        return self.values - taken(self.base, self.places)

    def new(
        self, base: Tensor, values: Tensor, places: Mapping[int, Tensor], *, made: bool = True
    ) -> Varied:
        """Return another tensor of the same evaluations; ``made`` if its values take memory.

        Raises:
            RefusedError: the values are of another type or shape than ``base`` says.
        """
        if len(places) > 1:
            places = dict(sorted(places.items()))
        shape = [size for d, size in enumerate(base.shape) if d not in places]
        if values.dtype != base.dtype or values.shape != (self.tally.rows, *shape):
            raise RefusedError("an operation gives another type or shape for many evaluations")
        if made:
            self.tally.count(values.numel() * values.element_size())
        return Varied(base, values, places, self.tally)

    def loosened(self, keep: Collection[int] = (), *, first: int | None = None) -> Varied:
        """Return the same with fewer dimensions in ``places``: those in ``keep`` at most.

        In memory, the dimension ``first`` of whole tensors comes before the evaluations.

        Raises:
            RefusedError: that is too large.
        """
        import torch

        kept = {d: at for d, at in self.places.items() if d in keep}
        if len(kept) == len(self.places):
            return self
        free = [d for d in range(self.base.dim()) if d not in kept]
        size = math.prod(self.base.shape[d] for d in free)
        self.tally.spare(math.prod(self.values.shape[1:]), size)
        if size * self.base.element_size() * self.tally.rows > self.tally.limit:
            raise RefusedError("copies of a whole tensor would take too much memory")
        if self.tally.defers and not kept:
            from gradcheck.torch_target.varied.pending import loosened_later

            return loosened_later(self)
        if kept:
            whole = taken(self.base, kept)
        else:
            whole = self.base.expand(self.tally.rows, *self.base.shape)
            at = 0 if first is None else 1 + first
            whole = whole.movedim(at, 0).clone(memory_format=torch.contiguous_format).movedim(0, at)
        dropped = {d: at for d, at in self.places.items() if d not in kept}
        order = [free.index(d) for d in (*dropped, *self.free)]
        written(whole, order, self.values, *dropped.values())
        return self.new(self.base, whole, kept)

    def reshaped(self, shape: Sequence[int]) -> Varied:
        """Return the same under another shape with as many entries."""
        base = self.base.reshape(shape)
        places: dict[int, Tensor] = {}
        keep: list[int] = []
        for before, after in groups(self.base.shape, base.shape):
            wide = [d for d in before if self.base.shape[d] != 1]
            if not wide or not all(d in self.places for d in wide):
                continue
            # One position in all of these together: it is one under any shape.
            flat = self.places[wide[0]]
            for d in wide[1:]:
                flat = flat * self.base.shape[d] + self.places[d]
            keep += wide
            new = [d for d in after if base.shape[d] != 1]
            one_each = unravelled(flat, [base.shape[d] for d in new]) if len(new) > 1 else [flat]
            places.update(zip(new, one_each, strict=True))
        kept = self.loosened(keep)
        sizes = [size for d, size in enumerate(base.shape) if d not in places]
        return self.new(base, kept.values.reshape(self.tally.rows, *sizes), places, made=False)

    def permuted(self, order: Sequence[int]) -> Varied:
        """Return the same with its dimensions in another order."""
        order = [d % self.base.dim() for d in order]
        places = {new: self.places[d] for new, d in enumerate(order) if d in self.places}
        free = self.free
        values = self.values.permute(0, *(1 + free.index(d) for d in order if d in free))
        return self.new(self.base.permute(order), values, places, made=False)


def written(whole: Tensor, order: Sequence[int], values: Tensor, *places: Tensor) -> Tensor:
    """Write values into many tensors, at a position of each along the first in ``order``."""
    import torch

    rows = torch.arange(len(whole), device=whole.device)
    whole.permute(0, *(1 + d for d in order))[(rows, *places)] = values
    return whole


def unchanged(tensor: Tensor, tally: Tally) -> Varied:
    """Return a tensor that is the same in all evaluations: each changes one entry by nothing."""
    import torch

    none = torch.zeros(tally.rows, dtype=torch.int64, device=tensor.device)
    values = tensor.reshape(-1)[none]
    return Varied(tensor, values, dict.fromkeys(range(tensor.dim()), none), tally)


def taken(tensor: Tensor, places: Mapping[int, Tensor]) -> Tensor:
    """Return the tensor at positions along some dimensions: one row for each position."""
    if not places:
        return tensor
    if list(places) == [0]:
        return tensor.index_select(0, places[0])
    rest = [d for d in range(tensor.dim()) if d not in places]
    return tensor.permute(*places, *rest)[tuple(places.values())]


def unravelled(flat: Tensor, shape: Sequence[int]) -> list[Tensor]:
    """Return the position along each dimension of entries counted in C order."""
    places = []
    for size in reversed(shape):
        places.append(flat % size)
        flat = flat // size
    return places[::-1]


def groups(old: Sequence[int], new: Sequence[int]) -> Iterator[tuple[range, range]]:
    """Yield runs of dimensions of two shapes that hold the same entries, the shortest there are."""
    if 0 in old:
        return
    i = j = 0
    while i < len(old) or j < len(new):
        first, second = i, j
        i, j = min(i + 1, len(old)), min(j + 1, len(new))
        one, two = math.prod(old[first:i]), math.prod(new[second:j])
        while one != two:
            if one < two:
                one, i = one * old[i], i + 1
            else:
                two, j = two * new[j], j + 1
        yield range(first, i), range(second, j)
