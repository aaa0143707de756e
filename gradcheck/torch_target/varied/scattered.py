"""A tensor in many evaluations, of which each changes a few entries, wherever these are.

A ``Varied`` has one position along a dimension. What is computed of neighbouring entries changes at
several: those of ``v[1:] - v[:-1]`` are the entry's own and the one before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.tensor import RefusedError, Tally, Varied, unravelled

if TYPE_CHECKING:
    from torch import Tensor

MOST_PAIRS = 4096
"""Most pairs of places that an evaluation compares with one another."""


@dataclass(frozen=True, eq=False)
class Scattered:
    """A tensor in each of ``tally.rows`` evaluations.

    Attributes:
        base: the tensor at the point itself.
        places: a row for each evaluation: which entries it changes, counted in C order, each once;
            ``base.numel()`` stands for none.
        values: what is there; at none, anything.
    """

    base: Tensor
    places: Tensor
    values: Tensor
    tally: Tally = field(repr=False)

    @property
    def change(self) -> Tensor:
        """By how much the values differ from the tensor at the point itself; zero at none."""
        import torch

        apart = self.values - entries(self.base, self.places)
        return torch.where(self.places < self.base.numel(), apart, 0)

    def new(self, base: Tensor, places: Tensor, values: Tensor) -> Scattered:
        """Return another tensor of the same evaluations.

        Raises:
            RefusedError: the values are of another type or shape than the places say.
        """
        if values.dtype != base.dtype or values.shape != places.shape:
            raise RefusedError("an operation gives another type or shape for many evaluations")
        self.tally.count(values.numel() * (values.element_size() + places.element_size()))
        return Scattered(base, places, values, self.tally)

    def loosened(self) -> Varied:
        """Return the whole tensor in each evaluation.

        Raises:
            RefusedError: that is too large.
        """
        import torch

        size = self.base.numel()
        if size * self.base.element_size() * self.tally.rows > self.tally.limit:
            raise RefusedError("copies of a whole tensor would take too much memory")
        # One entry more behind all evaluations, into which goes what is at none.
        rows = self.tally.rows
        flat = self.base.new_empty(rows * size + 1)
        found = flat[:-1].view(rows, *self.base.shape)
        found.copy_(self.base)
        firsts = torch.arange(rows, device=flat.device).unsqueeze(1) * size
        places = torch.where(self.places < size, self.places + firsts, rows * size)
        flat.scatter_(0, places.reshape(-1), self.values.reshape(-1))
        return self.whole(self.base, found)

    def whole(self, base: Tensor, values: Tensor) -> Varied:
        """Return a tensor of the same evaluations all of which changes."""
        self.tally.count(values.numel() * values.element_size())
        return Varied(base, values, {}, self.tally)


Part = Varied | Scattered
"""A tensor of many evaluations, in one of the two ways of keeping it."""


def entries(tensor: Tensor, places: Tensor) -> Tensor:
    """Return the entries at places counted in C order; at none, the last one."""
    return tensor.reshape(-1)[places.clamp(max=tensor.numel() - 1)]


def changed(one: Part) -> int:
    """Return how many entries of a tensor an evaluation changes."""
    if isinstance(one, Scattered):
        return one.places.shape[1]
    one = _in_blocks(one)
    return math.prod(one.base.shape[d] for d in one.free)


def scattered(one: Part) -> Scattered:
    """Return the same, entry by entry."""
    if isinstance(one, Scattered):
        return one
    own = _in_blocks(one)
    key = (own.base.shape, *((d, id(at)) for d, at in own.places.items()))
    flat = own.tally.kept(key, lambda: _flat(own), *own.places.values())
    return Scattered(one.base, flat, own.values.reshape(own.tally.rows, -1), own.tally)


def _in_blocks(one: Varied) -> Varied:
    """Return what has the same entries in C order, and positions where ``one`` has none."""
    from gradcheck.torch_target.varied.blocks import Blocks

    return one.inner if isinstance(one, Blocks) else one


def _flat(one: Varied) -> Tensor:
    """Return the places of what an evaluation changes, counted in C order."""
    import torch

    shape, rows = one.base.shape, one.tally.rows
    steps = [shape[d + 1 :].numel() for d in range(len(shape))]
    places = torch.zeros(rows, dtype=torch.int64, device=one.base.device)
    for d, at in one.places.items():
        places = places + at * steps[d]
    places = places.reshape(rows, *[1] * len(one.free))
    for k, d in enumerate(one.free):
        along = torch.arange(shape[d], device=places.device) * steps[d]
        places = places + along.reshape(-1, *[1] * (len(one.free) - k - 1))
    return places.reshape(rows, -1)


def gathered(one: Scattered) -> Part:
    """Return the same with a position along each dimension, if it is one entry that changes."""
    if one.places.shape[1] != 1 or bool((one.places == one.base.numel()).any()):
        return one
    places = dict(enumerate(unravelled(one.places[:, 0], one.base.shape)))
    return Varied(one.base, one.values[:, 0], places, one.tally)


def in_slabs(one: Scattered) -> Varied | None:
    """Return the same with positions along dimensions, if each evaluation changes all of a slab."""
    shape, places = one.base.shape, one.places
    if not places.numel() or not _divides(places.shape[1], shape):
        return None
    if bool((places == one.base.numel()).any()):
        return None
    ordered, order = places.sort(1)
    along = unravelled(ordered, shape)
    single = [d for d, at in enumerate(along) if shape[d] > 1 and bool((at == at[:, :1]).all())]
    free = [size for d, size in enumerate(shape) if d not in single]
    if not single or math.prod(free) != places.shape[1]:
        return None
    values = one.values.gather(1, order).reshape(len(places), *free)
    return Varied(one.base, values, {d: _known(along[d][:, 0], one) for d in single}, one.tally)


def _divides(count: int, shape: Sequence[int]) -> bool:
    """Whether some of the dimensions have so many entries together."""
    products = {1}
    for size in shape:
        products |= {size * one for one in products}
    return count in products


def _known(at: Tensor, one: Scattered) -> Tensor:
    """Return positions, the same tensor wherever they are the same."""
    import torch

    known: list[Tensor] = one.tally.kept("positions in slabs", list)
    for other in known:
        if torch.equal(other, at):
            return other
    known.append(at)
    return at


def present(places: Tensor, size: int, *others: Tensor) -> tuple[Tensor, ...]:
    """Return places, and others beside them, without columns in which no evaluation has any."""
    kept = (places < size).any(0)
    if bool(kept.all()):
        return (places, *others)
    kept[0] |= ~kept.any()
    return tuple(one[:, kept] for one in (places, *others))


def united(first: Tensor, second: Tensor, size: int) -> Tensor | None:
    """Return the places in either; ``first`` itself if it has all. None if they are too many."""
    import torch

    if first is second:
        return first
    if first.shape[1] * second.shape[1] > MOST_PAIRS:
        return None
    known = (second.unsqueeze(2) == first.unsqueeze(1)).any(2)
    (more,) = present(torch.where(known, size, second), size)
    return first if bool((more == size).all()) else torch.cat([first, more], 1)


def values_at(one: Scattered, base: Tensor, places: Tensor) -> Tensor:
    """Return what a tensor has at other places; ``base`` is the tensor at the point itself."""
    import torch

    if one.places is places:
        return one.values
    same = places.unsqueeze(2) == one.places.unsqueeze(1)
    which = same.to(torch.uint8).argmax(2)
    return torch.where(same.any(2), one.values.gather(1, which), entries(base, places))


def parts_of(args: Sequence[Any]) -> list[Part]:
    """Return the varied tensors among arguments, and in lists of them."""
    found: list[Part] = []
    for one in args:
        if isinstance(one, Part):
            found.append(one)
        elif isinstance(one, list | tuple):
            found += parts_of(one)
    return found


def wholes_of(args: Sequence[Any]) -> list[Any]:
    """Return arguments with tensors that change in slabs, or as a whole, for those of entries."""
    found: list[Any] = []
    for one in args:
        if isinstance(one, Scattered):
            found.append(in_slabs(one) or one.loosened())
        else:
            found.append(wholes_of(one) if isinstance(one, list | tuple) else one)
    return found
