"""Running sums of a vector, which change by the same number from the entry on that is moved.

The steps of most entries are powers of two, and few of these: from its entry on an evaluation has
what all others with the same change have there. A function of each entry is evaluated once for each
change, wherever it begins.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.along import along
from gradcheck.torch_target.varied.few import is_entrywise
from gradcheck.torch_target.varied.tensor import RefusedError, Varied

if TYPE_CHECKING:
    from torch import Tensor

SHARED = 8
"""Evaluations with the same change at least, as how many run together is reckoned."""


class Onward(Varied):
    """A vector that each evaluation changes from a position on.

    ``starts`` are these positions, of which ``first`` is the smallest. From there on ``tails`` has
    a row for each change that there is, and ``which`` says which of them an evaluation has.
    """

    starts: Tensor
    which: Tensor
    tails: Tensor
    first: int

    def __init__(self, base: Tensor, tails: Tensor, like: Onward | Mapping[str, Any]) -> None:
        kept = like if isinstance(like, Mapping) else like.__dict__
        names = ("tally", "starts", "which", "first")
        self.__dict__.update({name: kept[name] for name in names})
        # The fields of a Varied, of which ``given`` is made when it is asked for.
        self.__dict__.update(base=base, places={}, offset=None, tails=tails)
        rows = max(1, min(len(tails), self.tally.rows // SHARED))
        self.tally.count(rows * tails.shape[1] * tails.element_size())

    @functools.cached_property
    def given(self) -> Tensor:
        """The values.

        Raises:
            RefusedError: they are too many.
        """
        import torch

        size = self.base.numel() * self.base.element_size()
        if size * self.tally.rows > self.tally.limit:
            raise RefusedError("copies of a whole tensor would take too much memory")
        whole = self.base.expand(self.tally.rows, -1).clone()
        behind = whole[:, self.first :]
        at = torch.arange(self.first, self.base.numel(), device=whole.device)
        changed = at >= self.starts.unsqueeze(1)
        behind.copy_(torch.where(changed, self.tails[self.which], behind))
        self.tally.count(whole.numel() * whole.element_size())
        return whole


def running_sum(function: Any, one: Varied, dim: int, **kwargs: Any) -> Any:
    """``cumsum``.

    Raises:
        RefusedError: there are so many changes that it takes too much memory.
    """
    import torch

    floating = one.base.dtype in (torch.float64, torch.float32)
    if one.base.dim() != 1 or not one.places or any(kwargs.values()) or not floating:
        return along(function, one, dim, **kwargs)
    base, starts = function(one.base, dim), one.places[0]
    changes, which = torch.unique(one.change, return_inverse=True)
    first = int(starts.min())
    if len(changes) * base[first:].numel() * base.element_size() > one.tally.limit:
        raise RefusedError("copies of a whole tensor would take too much memory")
    kept = {"tally": one.tally, "starts": starts, "which": which, "first": first}
    return Onward(base, base[first:] + changes.unsqueeze(1), kept)


def of_onward(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Evaluate an operation of what changes from a position on; None without a rule."""
    if is_entrywise(function, args):
        return _of_each(function, args, kwargs)
    if function._schema.name in ("aten::sum", "aten::mean") and not kwargs:
        return _total(function, *args)
    return None


def _of_each(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Onward | None:
    """Evaluate a function of each entry for each change."""
    import torch

    like = next(one for one in args if isinstance(one, Onward))
    bases: list[Any] = []
    tails: list[Any] = []
    for one in args:
        if isinstance(one, Varied):
            if not isinstance(one, Onward) or one.which is not like.which:
                return None
            bases.append(one.base)
            tails.append(one.tails)
        elif isinstance(one, torch.Tensor) and one.dim():
            if one.shape not in (like.base.shape, (1,)):
                return None
            bases.append(one)
            tails.append(one.expand(like.base.shape)[like.first :].expand(like.tails.shape))
        else:
            bases.append(one)
            tails.append(one)
    base, found = function(*bases, **kwargs), function(*tails, **kwargs)
    if base.shape != like.base.shape or found.dtype != base.dtype:
        return None
    return Onward(base, found, like)


def _total(function: Any, one: Onward, dims: Any = None, keepdim: bool = False) -> Varied | None:
    """Add up what there is before each position, and what there is of its change from there on."""
    import torch

    if keepdim or dims not in (None, [], [0], [-1], 0, -1) or not one.base.is_floating_point():
        return None
    last = int(one.starts.max())
    nothing = one.base.new_zeros(1)
    between = torch.cat([nothing, one.base[one.first : last].cumsum(0)])
    before = one.base[: one.first].sum() + between
    behind = one.tails[:, last - one.first :].sum(1, keepdim=True)
    backwards = one.tails[:, : last - one.first].flip(1).cumsum(1).flip(1)
    behind = torch.cat([backwards, torch.zeros_like(behind)], 1) + behind
    at = one.starts - one.first
    sums, base = before[at] + behind[one.which, at], one.base.sum()
    if "mean" in function._schema.name:
        sums, base = sums / one.base.numel(), base / one.base.numel()
    return one.new(base, sums, {})
