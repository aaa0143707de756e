"""Logarithms of a softmax, and the losses that take of them those of the labels."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.differences import Difference
from gradcheck.torch_target.varied.elementwise import combined
from gradcheck.torch_target.varied.normalising import softmax
from gradcheck.torch_target.varied.tensor import Varied, taken

if TYPE_CHECKING:
    from torch import Tensor

MANY = 8
"""Scores of each example from which on single ones are sooner had alone."""


class Shares(Difference):
    """Logarithms of a softmax of scores that all change.

    If it is asked for single ones, what is subtracted from the scores is enough.
    """

    def __init__(self, function: Any, scores: Varied, dim: int) -> None:
        own = {"places": scores.places, "tally": scores.tally, "offset": None}
        self.__dict__.update(own, base=function(scores.base, dim, False))
        self.__dict__.update(first=scores, dim=dim, _function=function)

    @functools.cached_property
    def given(self) -> Tensor:
        """The values."""
        found = softmax(self.__dict__["_function"], self.first, self.dim, False)
        assert found is not None
        return found.values

    @functools.cached_property
    def second(self) -> Varied:  # type: ignore[override]
        """The logarithms of the sums of the scores' exponentials."""
        import torch

        scores, dim = self.first, self.dim
        axis = 1 + scores.free.index(dim)
        peak = taken(scores.base.amax(dim, keepdim=True), scores.places)
        shares = (scores.values - (peak if scores.places else peak.unsqueeze(0))).exp_()
        last = shares.movedim(axis, -1)
        sums = (last @ last.new_ones(last.shape[-1])).unsqueeze(axis)
        least, most = _least(sums), torch.finfo(sums.dtype).max
        if bool(((sums > least) & (sums < most)).all()):
            found = sums.log_().add_(peak)
        else:
            found = scores.values.logsumexp(axis, keepdim=True)
        return scores.new(scores.base.logsumexp(dim, keepdim=True), found, scores.places)


def log_softmax(function: Any, x: Varied, dim: int, half: bool) -> Varied | None:
    """``log_softmax``: where one score of several changes, the sums of all others stay."""
    import torch

    if not x.base.dim() or half or x.base.dtype not in (torch.float64, torch.float32):
        return softmax(function, x, dim, half)
    dim = dim % x.base.dim()
    found = _of_one_score(function, x, dim) if dim in x.places else None
    if found is None and x.base.shape[dim] >= MANY:
        found = Shares(function, x.loosened([d for d in x.places if d != dim]), dim)
    return softmax(function, x, dim, half) if found is None else found


def _of_one_score(function: Any, x: Varied, dim: int) -> Difference | None:
    """Subtract the logarithms of the sums; None where these are not to be had so."""
    import torch

    kept = x.tally.kept(("others", id(x.base), dim), lambda: _others(x.base, dim), x.base)
    if kept is None:
        return None
    peak, others = kept
    places = {d: at for d, at in x.places.items() if d != dim}
    axis = 1 + sum(d not in places for d in range(dim))
    highest = taken(peak, places)
    highest = highest if places else highest.unsqueeze(0)
    above = x.values.unsqueeze(axis) - highest
    farthest = math.log(torch.finfo(x.base.dtype).max) - 10
    if not bool((above <= farthest).all()):
        return None
    sums = above.exp_().add_(taken(others, x.places).unsqueeze(axis))
    base = x.base.logsumexp(dim, keepdim=True)
    less = x.new(base, sums.log_().add_(highest), places)
    return Difference(function(x.base, dim, False), x, less, dim)


def _others(base: Tensor, dim: int) -> tuple[Tensor, Tensor] | None:
    """Return the largest score, and for each score the sum of all others' exponentials below it.

    Each is a sum of what there is before and behind, and none is lost beside the score itself.
    None if a score is not finite, or so far above all others that theirs vanish.
    """
    import torch

    if not base.shape[dim]:
        return None
    peak = base.amax(dim, keepdim=True)
    shares = (base - peak).exp_()
    nothing = torch.zeros_like(peak)
    size = base.shape[dim] - 1
    before = torch.cat([nothing, shares.narrow(dim, 0, size).cumsum(dim)], dim)
    behind = torch.cat([nothing, shares.narrow(dim, 1, size).flip(dim).cumsum(dim)], dim).flip(dim)
    others = before + behind
    usable = bool(base.isfinite().all()) and bool((others > _least(others)).all())
    return (peak, others) if usable else None


def _least(sums: Tensor) -> float:
    """Return the smallest number beside which none that counts is lost."""
    import torch

    kind = torch.finfo(sums.dtype)
    return kind.tiny / kind.eps


def negative_log_likelihood(
    function: Any, x: Any, target: Any, weight: Any, reduction: int, ignored: int
) -> Any:
    """``nll_loss``: what an evaluation has of the examples that change, and their sum or mean."""
    import torch

    varied = isinstance(x, Varied) and not isinstance(target, Varied)
    if not varied or isinstance(weight, Varied) or x.base.dim() != 2 or reduction == 0:
        return None
    base, weights = function(x.base, target, weight, reduction, ignored)
    kept = target != ignored
    label = target.where(kept, 0)
    factor = kept.to(x.base.dtype) if weight is None else weight[label] * kept
    chosen = _chosen(x, label)
    # Nothing times what is not counted, which may be infinite.
    counted = chosen.base.where(kept, 0) * factor
    if 0 in chosen.places and bool(counted.isfinite().all()):
        at = chosen.places[0]
        own = chosen.values.where(kept[at], 0) * factor[at]
        sums = -(counted.sum() + (own - counted[at]))
    else:
        sums = -(chosen.loosened().values.where(kept, 0) @ factor)
    found = x.new(base, sums / weights if reduction == 1 else sums, {})
    return found, torch.clone(weights)


def _chosen(x: Varied, label: Tensor) -> Varied:
    """Return the entry of each row that is in the column of its label."""
    import torch

    if isinstance(x, Difference) and x.dim == 1:
        less = x.second.reshaped(x.base.shape[:1])
        found: Varied = combined(torch.ops.aten.sub.Tensor, _chosen(x.first, label), less)
        return found
    base = x.base.gather(1, label.unsqueeze(1)).squeeze(1)
    row, column = x.places.get(0), x.places.get(1)
    places = {} if row is None else {0: row}
    if column is None:
        own = label.expand(len(x.values), -1) if row is None else label[row].unsqueeze(1)
        chosen = x.values.gather(-1, own.unsqueeze(2) if row is None else own).squeeze(-1)
    elif row is None:
        chosen = torch.where(label == column.unsqueeze(1), x.values, base)
    else:
        chosen = torch.where(label[row] == column, x.values, base[row])
    return x.new(base, chosen, places)
