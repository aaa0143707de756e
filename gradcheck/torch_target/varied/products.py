"""Matrices that change by a column times a row, which is not written out until that is needed.

Of a matrix product of which one column of the first factor changes, or one row of the second, all
entries change: by the product of two vectors. What is linear in them takes one of these alone.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied import linear
from gradcheck.torch_target.varied.crossing import crossed
from gradcheck.torch_target.varied.tensor import Tally, Varied, groups

if TYPE_CHECKING:
    from torch import Tensor

Factors = tuple["Tensor", "Tensor"]


class Outer(Varied):
    """A tensor that changes as a whole, by the product of two ``factors``.

    These are broadcast: a row for each evaluation, then the dimensions of ``base``, of which each
    has the size there, or 1.
    """

    factors: Factors

    def __init__(self, base: Tensor, factors: Factors, tally: Tally) -> None:
        own = {"base": base, "places": {}, "tally": tally, "offset": None}
        # The fields of a Varied, of which ``given`` is made when it is asked for.
        self.__dict__.update(own, factors=factors)

    @functools.cached_property
    def given(self) -> Tensor:
        """The values."""
        return self.onto(self.base)

    def onto(self, base: Tensor) -> Tensor:
        """Return what the change gives added to a tensor, for each evaluation."""
        values = base.addcmul(*self.factors)
        self.tally.count(values.numel() * values.element_size())
        return values

    def other(self, base: Tensor, factors: Sequence[Tensor]) -> Outer:
        """Return another tensor of the same evaluations that changes by a product."""
        first, second = factors
        return Outer(base, (first, second), self.tally)

    def is_wide(self, factor: Tensor, dim: int) -> bool:
        """Whether a factor has more than one position along a dimension of the tensor."""
        return factor.shape[1 + dim] != 1

    def reshaped(self, shape: Sequence[int]) -> Varied:
        """Return the same under another shape with as many entries."""
        base = self.base.reshape(shape)
        pairs = list(groups(self.base.shape, base.shape))
        found = []
        for factor in self.factors:
            sizes = []
            for before, after in pairs:
                wide = [self.is_wide(factor, d) for d in before if self.base.shape[d] != 1]
                if any(wide) and not all(wide):
                    return super().reshaped(shape)
                sizes += [base.shape[d] if any(wide) else 1 for d in after]
            found.append(factor.reshape(len(factor), *sizes))
        return self.other(base, found)

    def permuted(self, order: Sequence[int]) -> Varied:
        """Return the same with its dimensions in another order."""
        order = [d % self.base.dim() for d in order]
        turned = [factor.permute(0, *(1 + d for d in order)) for factor in self.factors]
        return self.other(self.base.permute(order), turned)


def mm(function: Any, a: Any, b: Any) -> Any:
    """Matrix times matrix."""
    found = crossed(a, b) or _multiplied(a, b)
    return linear.mm(function, a, b) if found is None else found


def addmm(function: Any, bias: Any, a: Any, b: Any, **kwargs: Any) -> Any:
    """A bias that stays, and a product."""
    import torch

    ones = all(kwargs.get(name, 1) == 1 for name in ("alpha", "beta"))
    found = _multiplied(a, b) if ones and isinstance(bias, torch.Tensor) else None
    if found is None:
        return linear.addmm(function, bias, a, b, **kwargs)
    return found.other(found.base + bias, found.factors)


def _multiplied(a: Any, b: Any) -> Outer | None:
    """Return the product of two matrices of which one stays, if it changes by a product."""
    if isinstance(a, Varied) and not isinstance(b, Varied):
        if isinstance(a, Outer):
            return _times(a, b)
        if list(a.places) != [1]:
            return None
        row = b.index_select(0, a.places[1])
        return Outer(a.base @ b, (a.change.unsqueeze(2), row.unsqueeze(1)), a.tally)
    if isinstance(b, Varied) and not isinstance(a, Varied):
        if isinstance(b, Outer):
            turned = b.permuted([1, 0])
            found = _times(turned, a.T) if isinstance(turned, Outer) else None
            return None if found is None else _turned(found, a @ b.base)
        if list(b.places) != [0]:
            return None
        column = a.T.index_select(0, b.places[0])
        return Outer(a @ b.base, (column.unsqueeze(2), b.change.unsqueeze(1)), b.tally)
    return None


def _turned(one: Outer, base: Tensor) -> Outer:
    return one.other(base, [factor.transpose(1, 2) for factor in one.factors])


def _times(one: Outer, b: Tensor) -> Outer | None:
    """Multiply a matrix that changes by a column times a row: the row."""
    wide = [one.is_wide(factor, 1) for factor in one.factors]
    if wide.count(True) != 1:
        return None
    row, rest = one.factors[wide.index(True)], one.factors[wide.index(False)]
    if one.is_wide(row, 0):
        return None
    return one.other(one.base @ b, (rest, (row.squeeze(1) @ b).unsqueeze(1)))
