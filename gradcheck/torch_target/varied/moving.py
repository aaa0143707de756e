"""Operations that move entries without computing: slices, shifts, padding, reshaping, indices.

Where each entry comes from is told by the operation itself: it is given the entries' numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.scattered import (
    Part,
    Scattered,
    changed,
    parts_of,
    present,
    scattered,
)
from gradcheck.torch_target.varied.tensor import is_few, unravelled

if TYPE_CHECKING:
    from torch import Tensor

MOVING = frozenset(
    f"aten::{name}"
    for name in (
        *("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "t", "transpose", "permute"),
        *("slice", "select", "unbind", "split", "split_with_sizes", "unsafe_split"),
        *("unsafe_split_with_sizes", "unsafe_chunk", "detach", "alias", "clone", "diagonal"),
        *("index", "index_select", "gather", "take", "masked_select", "flip", "roll", "unfold"),
        *("constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad1d"),
        *("replication_pad2d", "repeat", "tril", "triu", "diag_embed", "im2col"),
        *("upsample_nearest1d", "upsample_nearest2d", "pixel_shuffle", "pixel_unshuffle"),
        *("cat", "stack", "slice_scatter", "select_scatter", "diagonal_scatter", "index_copy"),
        *("embedding", "_unsafe_index", "channel_shuffle"),
    )
)
"""Operations whose results' entries are each one of an argument's, or a constant."""
MOST = 1024
"""Most entries of an evaluation that are moved by their places."""
PASSES = 8
"""Most goals of an entry that are found one after the other, which is faster than sorting."""


def moved(function: Any, args: Sequence[Any], kwargs: Any) -> Any:
    """Return what an operation gives that moves entries; None where it is not the way to do it."""
    import torch

    operands = list({id(one): one for one in parts_of(args)}.values())
    if any(not one.base.numel() or not one.base.is_floating_point() for one in operands):
        return None
    base = function(*_filled(args, lambda one: one.base), **kwargs)
    several = not isinstance(base, torch.Tensor)
    bases = list(base) if several else [base]
    if not any(is_few(min(map(changed, operands)), one.numel()) for one in bases):
        return None
    found: list[Any] = [None] * len(bases)
    for one in operands:
        sources = _sources(function, args, kwargs, one)
        for k, source in enumerate(sources if several else [sources]):
            before, found[k] = found[k], _arrived(one, source, bases[k])
            if found[k] is None:
                return None
            if before is not None:
                places = torch.cat([before.places, found[k].places], 1)
                values = torch.cat([before.values, found[k].values], 1)
                found[k] = before.new(bases[k], *present(places, bases[k].numel(), values))
    return found if several else found[0]


def _filled(value: Any, given: Any) -> Any:
    """Return arguments with something else in the place of varied tensors."""
    if isinstance(value, Part):
        return given(value)
    if isinstance(value, list | tuple):
        return type(value)(_filled(one, given) for one in value)
    return value


def _sources(function: Any, args: Sequence[Any], kwargs: Any, one: Part) -> Any:
    """Return the number of the entry of ``one``, counted from 1, that each entry is; 0 if none."""
    import torch

    def numbered(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(numbered(item) for item in value)
        if value is one:
            count, device = one.base.numel(), one.base.device
            numbers = torch.arange(1, count + 1, dtype=torch.float64, device=device)
            return numbers.reshape(one.base.shape)
        # Whatever else is moved is none of these entries.
        tensor = value.base if isinstance(value, Part) else value
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
            return torch.zeros_like(tensor, dtype=torch.float64)
        return value

    if function._schema.name == "aten::constant_pad_nd":
        args = args[:2]
    return function(*numbered(list(args)), **kwargs)


def _arrived(one: Part, source: Tensor, base: Tensor) -> Scattered | None:
    """Return the entries that are moved where they go."""
    few = scattered(one)
    table = _targets(source.reshape(-1).long(), one.base.numel())
    count = few.places.shape[1] * table.shape[1]
    if count > MOST or not is_few(count, base.numel()):
        return None
    rows = len(few.places)
    places = table[few.places].reshape(rows, count)
    values = few.values.unsqueeze(2).expand(-1, -1, table.shape[1]).reshape(rows, count)
    return few.new(base, *present(places, base.numel(), values))


def _targets(source: Tensor, size: int) -> Tensor:
    """Return where each of ``size`` entries goes, one row each, and a row of none."""
    import torch

    count = len(source)
    many = torch.bincount(source, minlength=size + 1)
    many[0] = 0
    most = max(int(many.max()), 1)
    table = torch.full((size + 1, most), count, dtype=torch.int64, device=source.device)
    if most == 1:
        table[source - 1, 0] = torch.arange(count, device=source.device)
        table[size] = count
        return table
    if most > PASSES:
        order = source.argsort(stable=True)
        ordered = source[order]
        within = torch.arange(count, device=source.device) - torch.searchsorted(ordered, ordered)
        kept = ordered > 0
        table[ordered[kept] - 1, within[kept]] = order[kept]
        return table
    left = source.nonzero().squeeze(1)
    for k in range(most):
        # Of several that come from one entry, one is written, whichever it is.
        at = source[left] - 1
        table[at, k] = left
        left = left[table[at, k] != left]
    return table


def spread(one: Scattered, shape: Sequence[int]) -> Scattered | None:
    """Return the entries wherever a tensor has them that it is broadcast to."""
    import torch

    base = one.base.expand(shape)
    lead = base.dim() - one.base.dim()
    old, size = [1] * lead + list(one.base.shape), one.base.numel()
    places, goals = one.places.unsqueeze(2), torch.zeros_like(one.places).unsqueeze(2)
    for d, position in enumerate(unravelled(places, old)):
        step = base.shape[d + 1 :].numel()
        if old[d] == base.shape[d]:
            goals = goals + position * step
        else:
            along = torch.arange(base.shape[d], device=goals.device) * step
            goals = (goals.unsqueeze(3) + along).flatten(2)
    goals = torch.where(places < size, goals, base.numel())
    count = goals[0].numel()
    if count > MOST or not is_few(count, base.numel()):
        return None
    values = one.values.unsqueeze(2).expand(goals.shape).flatten(1)
    return one.new(base, goals.flatten(1), values)
