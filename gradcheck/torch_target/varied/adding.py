"""Sums of tensors of which each evaluation changes a few entries: only the changes are added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.scattered import (
    MOST_PAIRS,
    Part,
    Scattered,
    entries,
    gathered,
    present,
)
from gradcheck.torch_target.varied.tensor import Varied, is_few

if TYPE_CHECKING:
    from torch import Tensor


def total(
    function: Any, one: Scattered, dims: Any = None, keepdim: bool = False, **kwargs: Any
) -> Any:
    """``sum`` and ``mean``: the sums at the point itself, and those of the changes."""
    import torch

    if any(kwargs.values()) or not one.base.is_floating_point():
        return None
    rank = one.base.dim()
    given = [dims] if isinstance(dims, int) else dims
    dropped = {d % rank for d in given} if given else set(range(rank))
    base = one.base.sum(tuple(dropped), keepdim=keepdim) if dropped else one.base
    kept = [1 if d in dropped else size for d, size in enumerate(one.base.shape)]
    numbers = torch.arange(base.numel(), device=base.device).reshape(kept)
    found = added(base, one, numbers.expand(one.base.shape))
    if found is not None and "mean" in function._schema.name:
        count = one.base.numel() / max(base.numel(), 1)
        if isinstance(found, Varied):
            return found.new(base / count, found.values / count, found.places)
        return found.new(base / count, found.places, found.values / count)
    return found


def added(base: Tensor, one: Scattered, target: Tensor) -> Part | None:
    """Add the changes of a tensor to ``base``, each to the entry whose number ``target`` has."""
    import torch

    numbers = torch.nn.functional.pad(target.reshape(-1), (0, 1), value=base.numel())
    return accumulated(base, numbers[one.places], one.change, one)


def accumulated(base: Tensor, places: Tensor, change: Tensor, like: Scattered) -> Part | None:
    """Add changes to ``base``, of which several may have the same place.

    None if the result takes too much memory.
    """
    import torch

    size, rows, count = base.numel(), like.tally.rows, places.shape[1]
    if size == 1:
        values = base.reshape(-1) + change.sum(1, keepdim=True)
        return like.whole(base, values.reshape(rows, *base.shape))
    if is_few(count, size) and (count**2 <= MOST_PAIRS or like.places.shape[1] == 1):
        if like.places.shape[1] > 1:
            same = places.unsqueeze(2) == places.unsqueeze(1)
            first = same.to(torch.uint8).argmax(2) == torch.arange(count, device=places.device)
            change = (same.to(change.dtype) @ change.unsqueeze(2)).squeeze(2)
            places, change = present(torch.where(first, places, size), size, change)
        return gathered(like.new(base, places, entries(base, places) + change))
    if size * rows * base.element_size() > like.tally.limit:
        return None
    sums = change.new_zeros(rows, size + 1).scatter_add_(1, places, change)[:, :size]
    return like.whole(base, (sums + base.reshape(-1)).reshape(rows, *base.shape))
