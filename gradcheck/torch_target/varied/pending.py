"""Whole tensors of many evaluations that are not computed before they are needed.

A layer, its bias and its activation are steps that wait; they are taken together when values are
asked for (see ``turns``), and only those are kept of all evaluations, or that may be asked for.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gradcheck.torch_target.varied.tensor import Tally, Varied, written
from gradcheck.torch_target.varied.turns import Run, Step, in_turn

if TYPE_CHECKING:
    from torch import Tensor


class Pending(Varied):
    """A tensor that changes as a whole, whose values a ``step`` gives when they are asked for."""

    step: Step

    def __init__(self, step: Step, tally: Tally) -> None:
        own = {"base": step.base, "places": {}, "tally": tally, "offset": None}
        # The fields of a Varied, of which ``given`` is made when it is asked for.
        self.__dict__.update(own, step=step)
        step.users.append(weakref.ref(self))

    @functools.cached_property
    def given(self) -> Tensor:
        """The values."""
        found = self.step.kept
        return in_turn(self.step, self.tally) if found is None else found

    def reshaped(self, shape: Sequence[int]) -> Varied:
        """Return the same under another shape with as many entries."""
        if self.step.kept is not None:
            return super().reshaped(shape)
        base = self.base.reshape(shape)
        run = functools.partial(_reshaped, sizes=base.shape)
        return Pending(Step(run, (self.step,), base, is_view=True), self.tally)

    def permuted(self, order: Sequence[int]) -> Varied:
        """Return the same with its dimensions in another order."""
        if self.step.kept is not None:
            return super().permuted(order)
        rank = self.base.dim()
        own = [0, *(1 + d % rank for d in order)]
        base = self.base.permute([d % rank for d in order])
        step = Step(lambda x: x.permute(own), (self.step,), base, is_view=True)
        return Pending(step, self.tally)


def _reshaped(x: Tensor, sizes: Sequence[int]) -> Tensor:
    return x.reshape(len(x), *sizes)


def defers(*operands: Varied) -> bool:
    """Whether what is computed of whole tensors may wait."""
    tally = operands[0].tally
    return tally.defers and not any(one.places for one in operands)


def source(one: Varied) -> Step | Tensor:
    """Return what gives the values of a tensor that changes as a whole."""
    from gradcheck.torch_target.varied.products import Outer

    known: Tensor | None = one.__dict__.get("values", one.__dict__.get("given"))
    if known is not None and (one.offset is None or "values" in one.__dict__):
        return known
    if isinstance(one, Pending):
        return one.step if one.step.kept is None else one.step.kept
    if isinstance(one, Outer):
        step: Step | None = one.__dict__.get("step")
        if step is None:
            step = Step(one.base.addcmul, one.factors, one.base, is_cheap=True)
            one.__dict__["step"] = step
        return step if step.kept is None else step.kept
    return one.values


def pending(
    one: Varied,
    base: Tensor,
    run: Run,
    *others: Step | Tensor,
    over: Mapping[int, Run] | None = None,
    fixed: Sequence[Tensor] = (),
) -> Pending:
    """Return a tensor whose values ``run`` gives, later, from those of ``one`` and ``others``."""
    return Pending(Step(run, (source(one), *others), base, over=over, fixed=fixed), one.tally)


def viewed(one: Varied, base: Tensor, run: Run) -> Pending:
    """Return a tensor whose values ``run`` gives, later, as a view of those of ``one``."""
    return Pending(Step(run, (source(one),), base, is_view=True), one.tally)


def loosened_later(one: Varied) -> Pending:
    """Return a tensor that changes as a whole, for one of which each evaluation changes a part."""
    import torch

    order, base = [*one.places, *one.free], one.base

    def run(values: Tensor, *places: Tensor) -> Tensor:
        whole = base.expand(len(values), *base.shape)
        return written(whole.clone(memory_format=torch.contiguous_format), order, values, *places)

    return Pending(Step(run, (one.values, *one.places.values()), base), one.tally)
