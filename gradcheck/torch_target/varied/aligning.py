"""The likelihood of sequences without alignment (connectionist temporal classification).

All evaluations' alignments are summed together: by products and sums of shares, which are made as
large as one after each step, in place of sums of logarithms (Graves et al. 2006, section 4.1).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.differences import Difference
from gradcheck.torch_target.varied.tensor import Varied

if TYPE_CHECKING:
    from torch import Tensor

RANGE = 0.8
"""Part of the range of numbers, in logarithms, within which no alignment that counts is lost."""


@dataclass(frozen=True)
class Sequences:
    """What is aligned: ``labels`` (sequences, most labels), and how many of them, and of steps."""

    labels: Tensor
    wanted: list[int]
    steps: list[int]


def connectionist(
    function: Any, x: Any, targets: Any, given: Any, wanted: Any, blank: int = 0, *args: Any
) -> Any:
    """``ctc_loss``: the sequences of all evaluations side by side.

    The other result, which serves the backward pass alone, is that at the point itself.
    """
    if not isinstance(x, Varied) or x.base.dim() != 3 or isinstance(targets, Varied):
        return None
    base, other = function(x.base, targets, given, wanted, blank, *args)
    losses = _by_shares(x, _sequences(targets, given, wanted), blank)
    if losses is not None:
        return x.new(base, losses, {}), other
    rows, whole = x.tally.rows, x.loosened().values.transpose(0, 1).flatten(1, 2)

    def repeated(one: Any) -> Any:
        if not _is_tensor(one):
            return list(one) * rows
        return one.repeat(rows, *[1] * (one.dim() - 1))

    many, _ = function(whole, *map(repeated, (targets, given, wanted)), blank, *args)
    return x.new(base, many.reshape(rows, -1), {}), other


def _is_tensor(one: Any) -> bool:
    import torch

    return isinstance(one, torch.Tensor)


def _sequences(targets: Tensor, given: Any, wanted: Any) -> Sequences:
    """Return the labels one sequence below the other, however they are given."""
    steps, counts = ([int(size) for size in one] for one in (given, wanted))
    if targets.dim() == 2:
        return Sequences(targets[:, : max(counts)].long(), counts, steps)
    labels = targets.new_zeros(len(counts), max(counts)).long()
    ends = itertools.accumulate(counts)
    for row, count, end in zip(labels, counts, ends, strict=True):
        row[:count] = targets[end - count : end]
    return Sequences(labels, counts, steps)


def _by_shares(x: Varied, those: Sequences, blank: int) -> Tensor | None:
    """Return the losses (evaluations, sequences); None where shares are too far apart for it."""
    import torch

    if not those.labels.shape[1] or x.base.dtype is not torch.float64 or min(those.steps) < 1:
        return None
    labels = those.labels.to(x.base.device)
    columns = torch.nn.functional.pad(labels, (1, 0), value=blank)
    index = columns.expand(x.base.shape[0], -1, -1)
    peak = x.base.gather(2, index).amax(2, keepdim=True)
    shares = (_picked(x, index) - peak).exp_().permute(1, 3, 2, 0).contiguous()
    far = shares.flatten(1).amax(1).mul_(3).log_().cumsum(0)
    height = peak.squeeze(2).cumsum(0)
    skips = (labels[:, 1:] != labels[:, :-1]).to(shares.dtype).T.unsqueeze(2)
    between, at = torch.zeros_like(shares[0]), torch.zeros_like(shares[0, 1:])
    between[0], at[0] = shares[0, :2]
    size = torch.zeros_like(shares[0, 0])
    losses: dict[int, Tensor] = {}
    for step in range(max(those.steps)):
        if step:
            between, at = _advanced(between, at, shares[step], skips)
        sums = between.sum(0).add_(at.sum(0))
        between, at = between / sums, at / sums
        size = size + sums.log_()
        for k in (k for k, count in enumerate(those.steps) if count == step + 1):
            count = those.wanted[k]
            last = between[count, k] + at[count - 1, k] if count else between[0, k]
            reached = last.log_() + size[k]
            bound = RANGE * math.log(torch.finfo(shares.dtype).max)
            if not bool((far[step] - reached < bound).all()):
                return None
            losses[k] = -(reached + height[step, k])
    return torch.stack([losses[k] for k in range(len(those.steps))], 1)


def _advanced(between: Tensor, at: Tensor, shares: Tensor, skips: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shares of alignments that are ``between`` labels, and ``at`` each, a step on."""
    after = between.clone()
    after[1:] += at
    on = at + between[:-1]
    on[1:].addcmul_(at[:-1], skips)
    return after.mul_(shares[0]), on.mul_(shares[1:])


def _picked(x: Varied, index: Tensor) -> Tensor:
    """Return for each evaluation the entries of columns ``index`` (steps, sequences, columns)."""
    import torch

    if isinstance(x, Difference) and x.dim == 2:
        return _picked(x.first, index) - x.second.loosened().values
    if list(x.places) == [2]:
        hit = index == x.places[2].reshape(-1, 1, 1, 1)
        return torch.where(hit, x.values.unsqueeze(3), x.base.gather(2, index))
    return x.loosened().values.gather(3, index.expand(x.tally.rows, *index.shape))
