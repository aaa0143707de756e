"""What is subtracted from all entries along a dimension, which is not done before that is needed.

Of the logarithms of a softmax a loss takes one entry for each example: the scores change in one
column, and what is subtracted from them for each example, not all of the difference.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.elementwise import elementwise
from gradcheck.torch_target.varied.tensor import RefusedError, Varied, taken

if TYPE_CHECKING:
    from torch import Tensor


class Difference(Varied):
    """A tensor ``first`` less another one, ``second``, of size 1 along the dimension ``dim``.

    Both change at the same places, but that ``first`` may have one along ``dim``, too.
    """

    first: Varied
    second: Varied
    dim: int

    def __init__(self, base: Tensor, first: Varied, second: Varied, dim: int) -> None:
        own = {"base": base, "places": second.places, "tally": first.tally, "offset": None}
        # The fields of a Varied, of which ``given`` is made when it is asked for.
        self.__dict__.update(own, first=first, second=second, dim=dim)

    @functools.cached_property
    def given(self) -> Tensor:
        """The values.

        Raises:
            RefusedError: they are too many.
        """
        import torch

        at = self.first.places.get(self.dim)
        less = self.second.values
        if at is None:
            found = self.first.values - less
        else:
            size = self.base.numel() // math.prod(self.base.shape[d] for d in self.places)
            if size * self.base.element_size() * self.tally.rows > self.tally.limit:
                raise RefusedError("copies of a whole tensor would take too much memory")
            found = taken(self.first.base, self.places) - less
            axis = self.free.index(self.dim)
            own = self.first.values - less.squeeze(1 + axis)
            rows = torch.arange(len(found), device=found.device)
            found.movedim(1 + axis, 1)[rows, at] = own
        self.tally.count(found.numel() * found.element_size())
        return found

    def permuted(self, order: Sequence[int]) -> Varied:
        """Return the same with its dimensions in another order."""
        order = [d % self.base.dim() for d in order]
        both = (self.first.permuted(order), self.second.permuted(order))
        return Difference(self.base.permute(order), *both, order.index(self.dim))


def subtracted(function: Any, first: Any, second: Any, **kwargs: Any) -> Varied | None:
    """``sub``: of numbers that are the same along a dimension, later."""
    if not kwargs and isinstance(first, Varied) and isinstance(second, Varied):
        dim = _narrow(first, second)
        if dim is not None:
            return Difference(function(first.base, second.base), first, second, dim)
    return elementwise(function, first, second, **kwargs)


def _narrow(first: Varied, second: Varied) -> int | None:
    """Return the dimension along which one number is subtracted from all, of which one changes."""
    one, other = first.base.shape, second.base.shape
    if len(one) != len(other) or first.base.dtype != second.base.dtype:
        return None
    apart = [d for d, size in enumerate(one) if size != other[d]]
    if len(apart) != 1 or other[apart[0]] != 1 or apart[0] not in first.places:
        return None
    return apart[0] if _alike(first.places, second.places, apart[0]) else None


def _alike(first: Mapping[int, Tensor], second: Mapping[int, Tensor], dim: int) -> bool:
    rest = {d: at for d, at in first.items() if d != dim}
    return rest.keys() == second.keys() and all(second[d] is at for d, at in rest.items())
