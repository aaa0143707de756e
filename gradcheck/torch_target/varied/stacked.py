"""Tensors put together along a new dimension, which are copied there only where that is needed.

A recurrent network stacks what it gives at each step; often only the last step is used.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gradcheck.torch_target.varied.tensor import Varied

if TYPE_CHECKING:
    from torch import Tensor


class Stacked(Varied):
    """A tensor that changes as a whole, of which each position along ``axis`` is one of ``pieces``.

    ``joined`` puts them together.
    """

    pieces: tuple[Varied, ...]
    axis: int

    def __init__(
        self,
        base: Tensor,
        pieces: Sequence[Varied],
        axis: int,
        joined: Callable[[Sequence[Varied], int], Varied],
    ) -> None:
        own = {"base": base, "places": {}, "tally": pieces[0].tally, "offset": None}
        # The fields of a Varied, of which ``given`` is made when it is asked for.
        self.__dict__.update(own, pieces=tuple(pieces), axis=axis, _joined=joined)

    @functools.cached_property
    def given(self) -> Tensor:
        """The values."""
        found: Varied = self.__dict__["_joined"](self.pieces, self.axis)
        return found.loosened().values

    def permuted(self, order: Sequence[int]) -> Varied:
        """Return the same with its dimensions in another order."""
        rank = self.base.dim()
        order = [d % rank for d in order]
        inner = [d - (d > self.axis) for d in order if d != self.axis]
        return Stacked(
            self.base.permute(order),
            [one.permuted(inner) for one in self.pieces],
            order.index(self.axis),
            self.__dict__["_joined"],
        )
