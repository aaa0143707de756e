"""Convolutions of pictures of which each evaluation changes a few entries."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.adding import accumulated
from gradcheck.torch_target.varied.moving import MOST
from gradcheck.torch_target.varied.scattered import Part, scattered
from gradcheck.torch_target.varied.tensor import is_few, unravelled

if TYPE_CHECKING:
    from torch import Tensor


def convolved(
    function: Any,
    x: Part,
    weight: Any,
    bias: Any,
    strides: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    *args: Any,
) -> Any:
    """What the change of an entry gives where a filter meets it; None if that is not the way."""
    transposed, _, groups = args
    stays = not isinstance(weight, Part) and not isinstance(bias, Part) and isinstance(x, Part)
    if transposed or not stays or x.base.dim() != weight.dim() or not x.base.numel():
        return None
    one, filters = scattered(x), weight.shape[0] // groups
    count = one.places.shape[1] * filters * weight.shape[2:].numel()
    base = function(x.base, weight, bias, strides, padding, dilation, *args)
    if count > MOST or not is_few(count, base.numel()):
        return None
    n, channel, *positions = unravelled(one.places, x.base.shape)
    own = (channel // weight.shape[1] * filters).unsqueeze(2) + _count(filters, weight)
    place = n.unsqueeze(2) * base.shape[1] + own
    among = (channel % weight.shape[1]).unsqueeze(2)
    steps = zip(
        positions, strides, padding, dilation, base.shape[2:], weight.shape[2:], strict=True
    )
    along = [list(_meetings(*each)) for each in steps]
    places, changes, exists = [], [], one.places.unsqueeze(2) < x.base.numel()
    for taps in itertools.product(*(range(size) for size in weight.shape[2:])):
        where, met = place, exists
        for d, tap in enumerate(taps):
            at, inside = along[d][tap]
            where = where * base.shape[2 + d] + at.unsqueeze(2)
            met = met & inside.unsqueeze(2)
        places.append(where.where(met, base.numel()))
        changes.append(weight[(own, among, *taps)] * one.change.unsqueeze(2) * met)
    return accumulated(base, _joined(places), _joined(changes), one)


def _meetings(at: Tensor, stride: int, padding: int, dilation: int, size: int, taps: int) -> Any:
    """Yield, for each tap, the position of the filter that meets an entry, and whether there is."""
    for tap in range(taps):
        start = at + padding - tap * dilation
        found = start.div(stride, rounding_mode="floor")
        yield found, (start % stride == 0) & (found >= 0) & (found < size)


def _count(size: int, like: Tensor) -> Tensor:
    import torch

    return torch.arange(size, device=like.device)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    import torch

    return torch.cat([one.flatten(1) for one in parts], 1)
