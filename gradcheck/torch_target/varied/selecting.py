"""Parts of tensors of which each evaluation changes a part, and tensors put together of others.

Where the position that an evaluation changes is not in the part, there is a position of the part
that keeps its value: every evaluation has one position alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.pending import defers, pending, source, viewed
from gradcheck.torch_target.varied.stacked import Stacked
from gradcheck.torch_target.varied.tensor import Varied, taken

if TYPE_CHECKING:
    from torch import Tensor


def sliced(
    function: Any,
    one: Varied,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Varied | None:
    """``x[start:end:step]`` along a dimension."""
    size, dim = one.base.shape[dim], dim % one.base.dim()
    chosen = range(size)[start:end:step]
    base = function(one.base, dim, start, end, step)
    if dim in one.places:
        return _within(one, base, dim, chosen)
    if one.offset is not None:
        offset = function(one.offset, dim, start, end, step)
        return Varied(base, function(one.given, 1 + dim, start, end, step), {}, one.tally, offset)
    if defers(one):
        return viewed(one, base, lambda x: function(x, 1 + dim, start, end, step))
    values = function(one.values, 1 + one.free.index(dim), start, end, step)
    return one.new(base, values, one.places, made=False)


def _within(one: Varied, base: Tensor, dim: int, chosen: range) -> Varied | None:
    """Return a slice along a dimension of which each evaluation changes one position."""
    import torch

    if not chosen:
        return None
    at = one.places[dim]
    place = torch.div(at - chosen.start, chosen.step, rounding_mode="floor")
    inside = (at >= chosen.start) & (at <= chosen[-1]) & ((at - chosen.start) % chosen.step == 0)
    places = {**one.places, dim: torch.where(inside, place, 0)}
    return one.new(base, _where(inside, one.values, taken(base, places)), places)


def _where(inside: Tensor, values: Tensor, unchanged: Tensor) -> Tensor:
    """Return the values of evaluations ``inside``; others keep what is there."""
    import torch

    if bool(inside.all()):
        return values
    return torch.where(inside.reshape(-1, *[1] * (values.dim() - 1)), values, unchanged)


def selected(function: Any, one: Varied, dim: int, index: int) -> Varied:
    """``x[index]`` along a dimension."""
    dim = dim % one.base.dim()
    if isinstance(one, Stacked) and dim == one.axis:
        return one.pieces[index]
    base = function(one.base, dim, index)
    others = {d - (d > dim): at for d, at in one.places.items() if d != dim}
    if defers(one):
        return viewed(one, base, lambda x: function(x, 1 + dim, index))
    if dim not in one.places:
        return one.new(
            base, function(one.values, 1 + one.free.index(dim), index), others, made=False
        )
    inside = one.places[dim] == index % one.base.shape[dim]
    unchanged = taken(base, others)
    return one.new(base, _where(inside, one.values, unchanged), others)


def unbound(_: Any, one: Varied, dim: int = 0) -> list[Varied]:
    """``unbind``: every position of a dimension."""
    import torch

    select = torch.ops.aten.select.int
    return [selected(select, one, dim, k) for k in range(one.base.shape[dim])]


def split(function: Any, one: Varied, sizes: int | Sequence[int], dim: int = 0) -> Any:
    """``split``, ``chunk``: one part after the other."""
    import torch

    pieces, start = [], 0
    for piece in function(one.base, sizes, dim):
        end = start + piece.shape[dim]
        pieces.append(sliced(torch.ops.aten.slice.Tensor, one, dim, start, end))
        start = end
    return None if any(piece is None for piece in pieces) else pieces


def picked(one: Varied, dim: int, index: Tensor, base: Tensor) -> Varied:
    """Return what a tensor of integers picks along a dimension; ``base`` is it at the point."""
    import torch

    size, more = one.base.shape[dim], index.dim() - 1
    index = index % size
    others = {d + more * (d > dim): at for d, at in one.places.items() if d != dim}
    if dim not in one.places:
        axis = 1 + one.free.index(dim)
        rows = one.values.index_select(axis, index.reshape(-1))
        values = rows.reshape(*rows.shape[:axis], *index.shape, *rows.shape[axis + 1 :])
        return one.new(base, values, others)
    one.tally.spare(one.values[0].numel(), base.numel())
    before = sum(d < dim for d in one.free)
    after = len(one.free) - before
    hit = index == one.places[dim].reshape(-1, *[1] * index.dim())
    hit = hit.reshape(-1, *[1] * before, *index.shape, *[1] * after)
    shape = one.values.shape
    values = one.values.reshape(
        shape[0], *shape[1 : 1 + before], *[1] * index.dim(), *shape[1 + before :]
    )
    return one.new(base, torch.where(hit, values, taken(base, others)), others)


def _is_picking(index: Any) -> bool:
    """Whether an index is a tensor of integers that stays, and not of nothing."""
    import torch

    return (
        isinstance(index, torch.Tensor)
        and index.dtype in (torch.int64, torch.int32)
        and index.dim() > 0
    )


def embedding(function: Any, weight: Any, index: Any, *args: Any) -> Varied | None:
    """Rows of a table."""
    if not isinstance(weight, Varied) or not _is_picking(index):
        return None
    return picked(weight, 0, index, function(weight.base, index, *args))


def embedding_bag(function: Any, weight: Any, indices: Any, *args: Any) -> Any:
    """Sums, means, or largest of rows of a table, where one column changes: this one's.

    The other results, which serve the backward pass alone, are those at the point itself.
    """
    weighted = len(args) > 4 and args[4] is not None
    if not isinstance(weight, Varied) or weighted or 1 not in weight.places:
        return None
    base, *others = function(weight.base, indices, *args)
    kept = weight.loosened([1])
    values = function(kept.values.T.contiguous(), indices, *args)[0]
    return weight.new(base, values.T, kept.places), *others


def index_select(function: Any, one: Any, dim: int, index: Any) -> Varied | None:
    """Positions along a dimension."""
    if not isinstance(one, Varied) or not _is_picking(index):
        return None
    return picked(one, dim % one.base.dim(), index, function(one.base, dim, index))


def indexed(function: Any, one: Any, indices: Sequence[Any]) -> Varied | None:
    """``x[index]`` with one tensor of integers."""
    given = [d for d, index in enumerate(indices) if index is not None]
    if not isinstance(one, Varied) or len(given) != 1 or not _is_picking(indices[given[0]]):
        return None
    return picked(one, given[0], indices[given[0]], function(one.base, indices))


def expanded(function: Any, one: Varied, shape: Sequence[int], **kwargs: Any) -> Varied:
    """``expand``: along dimensions of size 1, and new ones."""
    base = function(one.base, shape, **kwargs)
    lead = base.dim() - one.base.dim()
    kept = one.loosened([d for d in one.places if one.base.shape[d] == base.shape[d + lead]])
    places = {d + lead: at for d, at in kept.places.items()}
    free = [size for d, size in enumerate(base.shape) if d not in places]
    rows, *rest = kept.values.shape
    values = kept.values.reshape(rows, *[1] * lead, *rest).expand(rows, *free)
    return one.new(base, values, places, made=False)


def joined(function: Any, tensors: Sequence[Any], dim: int = 0) -> Varied | None:
    """``cat``: tensors of which some are varied, one after the other."""
    import torch

    # Torch leaves out vectors of no entries, whatever the others are.
    given = [one for one in tensors if _base(one).shape != (0,)]
    base = function([_base(one) for one in tensors], dim)
    varied = [one for one in given if isinstance(one, Varied)]
    if not varied:
        return None
    dim = dim % base.dim()
    if len(varied) == 1 and dim in varied[0].places:
        (one,) = varied
        before = given[: next(k for k, other in enumerate(given) if other is one)]
        offset = sum(_base(other).shape[dim] for other in before)
        return one.new(base, one.values, {**one.places, dim: one.places[dim] + offset})
    first = varied[0].places
    places = {
        d: at
        for d, at in first.items()
        if d != dim and all(one.places.get(d) is at for one in varied)
    }
    if not places and varied[0].tally.defers:
        return _joined_later(given, base, dim)
    rows = varied[0].tally.rows
    axis = 1 + [d for d in range(base.dim()) if d not in places].index(dim)

    def part(one: Any) -> Tensor:
        if isinstance(one, Varied):
            return one.loosened(places).values
        return taken(one, places) if places else one.expand(rows, *one.shape)

    return varied[0].new(base, torch.cat([part(one) for one in given], axis), places)


def _joined_later(tensors: Sequence[Any], base: Tensor, dim: int) -> Varied:
    """Note whole tensors that are to be put one after the other."""
    import torch

    wholes = [one.loosened() for one in tensors if isinstance(one, Varied)]
    others = [None if isinstance(one, Varied) else one for one in tensors]
    fixed = [one for one in others if one is not None]

    def run(*values: Tensor) -> Tensor:
        own, rows = iter(values), len(values[0])
        parts = [next(own) if one is None else one.expand(rows, *one.shape) for one in others]
        return torch.cat(parts, 1 + dim)

    return pending(wholes[0], base, run, *map(source, wholes[1:]), fixed=fixed)


def stacked(function: Any, tensors: Sequence[Any], dim: int = 0) -> Any:
    """``stack``: the same along a new dimension."""
    base = function([_base(one) for one in tensors], dim)
    dim = dim % base.dim()
    varied = [one for one in tensors if isinstance(one, Varied)]
    shared = varied[0].places.items()
    apart = not any(all(one.places.get(d) is at for one in varied) for d, at in shared)
    if apart and len(varied) == len(tensors) > 1:
        return Stacked(base, varied, dim, _put_together)
    return _put_together(tensors, dim)


def _put_together(tensors: Sequence[Any], dim: int) -> Any:
    import torch

    def unsqueezed(one: Any) -> Any:
        shape = list(_base(one).shape)
        shape.insert(dim, 1)
        return one.reshaped(shape) if isinstance(one, Varied) else one.reshape(shape)

    if len(tensors) == 1:
        return unsqueezed(tensors[0])
    return joined(torch.ops.aten.cat.default, [unsqueezed(one) for one in tensors], dim)


def _base(one: Any) -> Tensor:
    return one.base if isinstance(one, Varied) else one
