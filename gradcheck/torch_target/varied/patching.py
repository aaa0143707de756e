"""Whole tensors put together with parts of others, without whole copies of these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.pending import defers, pending
from gradcheck.torch_target.varied.tensor import Varied

if TYPE_CHECKING:
    from torch import Tensor


def postponed(product: Tensor, base: Tensor, bias: Tensor, like: Varied) -> Varied:
    """Return a whole product to which a bias has still to be added in all evaluations."""
    like.tally.count(product.numel() * product.element_size())
    return Varied(base, product, {}, like.tally, bias.expand(base.shape))


def added(function: Any, one: Any, other: Any, *, alpha: float = 1) -> Varied | None:
    """``add``, where all of one tensor changes and a part of the other, or nothing.

    None for anything else.
    """
    if isinstance(other, Varied) and not other.places:
        one, other = other, one
    if alpha != 1 or not isinstance(one, Varied) or one.places:
        return None
    if one.tally.of_tangents and _is_nothing(other, one):
        return one
    if isinstance(other, Varied) and other.places:
        return _with_part(function, one, other)
    return None if one.offset is None else _with_constant(function, one, other)


def _is_nothing(other: Any, one: Varied) -> bool:
    """Whether what is added to a tensor are zeros."""
    import torch

    plain = isinstance(other, torch.Tensor) and other.shape == one.base.shape
    return plain and other.dtype == one.base.dtype and not bool(other.any())


def _with_constant(function: Any, one: Varied, other: Any) -> Varied | None:
    """Add what is the same in all evaluations, later."""
    import torch

    if not isinstance(other, torch.Tensor) or one.base.dtype != other.dtype or one.offset is None:
        return None
    base = function(one.base, other)
    if base.shape != one.base.shape:
        return None
    one.tally.count(one.given.numel() * one.given.element_size())
    return Varied(base, one.given, {}, one.tally, (one.offset + other).expand(base.shape))


def _with_part(function: Any, one: Varied, other: Varied) -> Varied | None:
    """Add the tensor at the point itself, and the change where there is one."""
    import torch

    if other.base.shape != one.base.shape or one.base.dtype != other.base.dtype:
        return None
    if defers(one):
        return _patched(function, one, other)
    values = one.given + (other.base if one.offset is None else one.offset + other.base)
    order = [0, *(1 + d for d in (*other.places, *other.free))]
    rows = torch.arange(one.tally.rows, device=values.device)
    values.permute(order)[(rows, *other.places.values())] += other.change
    return one.new(function(one.base, other.base), values, {})


def _patched(function: Any, one: Varied, other: Varied) -> Varied:
    """Note the sum with a tensor of which a part changes."""
    import torch

    order = [0, *(1 + d for d in (*other.places, *other.free))]
    base = other.base

    def onto(total: Tensor, change: Tensor, *places: Tensor) -> Tensor:
        if len(places) == 1:
            (dim,) = other.places
            change = change.unsqueeze(1 + dim)
            at = places[0].reshape(-1, *[1] * base.dim()).expand(change.shape)
            return total.scatter_add_(1 + dim, at, change)
        rows = torch.arange(len(total), device=total.device)
        total.permute(order)[(rows, *places)] += change
        return total

    def run(x: Tensor, *part: Tensor) -> Tensor:
        return onto(x + base, *part)

    def over(x: Tensor, *part: Tensor) -> Tensor:
        return onto(x.add_(base), *part)

    given = (other.change, *other.places.values())
    return pending(one, function(one.base, base), run, *given, over={0: over})
