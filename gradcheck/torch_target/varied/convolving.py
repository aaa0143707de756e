"""Convolutions and pooling of tensors of which each evaluation changes a channel or a filter."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.elementwise import elementwise
from gradcheck.torch_target.varied.products import Outer
from gradcheck.torch_target.varied.tensor import Varied, taken

if TYPE_CHECKING:
    from torch import Tensor

BY_TAPS = 2
"""Filters up to which numbers one after the other are faster than a product of matrices."""


def convolution(function: Any, x: Any, weight: Any, bias: Any, *args: Any) -> Any:
    """A convolution of which the input is varied, or the filters.

    ``args`` are stride, padding, dilation, whether it is transposed, output padding, groups.
    """
    import torch

    transposed, groups = args[3], args[5]
    if transposed or (isinstance(x, Varied) and isinstance(weight, Varied)):
        return None
    if isinstance(x, Varied):
        found: Any = _of_input(function, x, weight, args)
    elif isinstance(weight, Varied):
        found = _of_filters(function, x, weight, args, groups)
    else:
        found = function(x, weight, None, *args)
    if found is None or bias is None:
        return found
    ones = [1] * (weight.base.dim() - 2 if isinstance(weight, Varied) else weight.dim() - 2)
    bias = bias.reshaped((-1, *ones)) if isinstance(bias, Varied) else bias.reshape(-1, *ones)
    return elementwise(torch.ops.aten.add.Tensor, found, bias)


def _of_filters(
    function: Any, x: Tensor, weight: Varied, args: Sequence[Any], groups: int
) -> Varied | None:
    """Of the filters an evaluation changes one: a channel of the result."""
    if x.dim() == weight.base.dim() and len(weight.places) == weight.base.dim():
        return _of_one_tap(function(x, weight.base, None, *args), x, weight, args, groups)
    filters = weight.loosened([0])
    if not filters.places:
        return None
    plain, at = function(x, weight.base, None, *args), filters.places[0]
    if groups == 1:
        values = function(x, filters.values, None, *args).movedim(1, 0)
        return weight.new(plain, values, {1: at})
    # Each evaluation's filter meets the channels of its own group.
    width = weight.base.shape[1]
    parts = x.reshape(x.shape[0], groups, width, *x.shape[2:])
    chosen = parts.index_select(1, at // (weight.base.shape[0] // groups)).flatten(1, 2)
    values = function(chosen, filters.values, None, *args[:5], len(at)).movedim(1, 0)
    return weight.new(plain, values, {1: at})


def _of_one_tap(
    plain: Tensor, x: Tensor, weight: Varied, args: Sequence[Any], groups: int
) -> Varied:
    """Of a filter one number changes: what it is multiplied with, times the change."""
    out, channel, *tap = weight.places.values()
    if groups > 1:
        count, width, *_ = weight.base.shape
        channel = channel + out // (count // groups) * width
    met = windows(x, weight.base.shape[2:], args)[(channel, *tap)]
    change = weight.change.reshape(-1, *[1] * (x.dim() - 1))
    values = plain.movedim(1, 0).index_select(0, out).addcmul_(change, met)
    return weight.new(plain, values, {1: out})


def windows(x: Tensor, taps: Sequence[int], args: Sequence[Any]) -> Tensor:
    """Return what each number of a filter is multiplied with, without a copy.

    Its dimensions are those of ``x``'s channels, of the ``taps``, of the pictures, and of the
    result's positions.
    """
    import torch

    strides, padding, dilation = args[:3]
    around = [size for one in reversed(padding) for size in (one, one)]
    padded = torch.nn.functional.pad(x, around).contiguous()
    spans = [1 + (size - 1) * step for size, step in zip(taps, dilation, strict=True)]
    goals = zip(padded.shape[2:], spans, strides, strict=True)
    sizes = [(size - span) // step + 1 for size, span, step in goals]
    own = padded.stride()
    steps = [one * step for one, step in zip(own[2:], dilation, strict=True)]
    jumps = [one * step for one, step in zip(own[2:], strides, strict=True)]
    shape = (x.shape[1], *taps, x.shape[0], *sizes)
    return padded.as_strided(shape, (own[1], *steps, own[0], *jumps))


def _of_input(function: Any, x: Varied, weight: Tensor, args: Sequence[Any]) -> Varied | None:
    """Of the input an evaluation changes one channel, or all: what this change gives."""
    if x.base.dim() != weight.dim():
        return None
    one = x.loosened([d for d in x.places if d == 1])
    base = function(x.base, weight, None, *args)
    rows, count = len(one.values), x.base.shape[0]
    if not one.places:
        values = function(one.values.flatten(0, 1), weight, None, *args)
        return x.new(base, values.reshape(rows, count, *values.shape[1:]), {})
    if args[5] == 1:
        return _of_channel(base, one, weight, args)
    if weight.shape[1] != 1 or weight.shape[0] != args[5]:
        return None
    at = one.places[1]
    met = windows(one.change.movedim(0, 1), weight.shape[2:], args)
    start = taken(base, {1: at}).unsqueeze(2)
    return x.new(base, _over_taps(start, met, weight.index_select(0, at)).squeeze(2), {1: at})


def _of_channel(base: Tensor, x: Varied, weight: Tensor, args: Sequence[Any]) -> Varied:
    """Add to all channels what the change of one gives, in each evaluation."""
    import torch

    rows, taps = len(x.values), weight.shape[2:]
    factors = weight.index_select(1, x.places[1]).movedim(1, 0)
    met = windows(x.change.movedim(0, 1), taps, args)
    if taps.numel() == 1:
        # A number for each channel of the result times a picture.
        picture = met.reshape(rows, base.shape[0], 1, *base.shape[2:])
        return Outer(base, (factors.reshape(rows, 1, *factors.shape[1:]), picture), x.tally)
    if len(weight) <= BY_TAPS:
        return x.new(base, _over_taps(base.repeat(rows, *[1] * base.dim()), met, factors), {})
    given = factors.flatten(2) @ met.reshape(rows, taps.numel(), -1)
    given = given.reshape(rows, -1, base.shape[0], *base.shape[2:]).movedim(1, 2)
    values = base.new_empty(given.shape)
    return x.new(base, torch.add(base, given, out=values), {})


def _over_taps(start: Tensor, met: Tensor, factors: Tensor) -> Tensor:
    """Add, in place, what each number of filters is multiplied with, times that number.

    Args:
        start: evaluations, pictures, filters, positions.
        met: what is multiplied with, as ``windows`` has it.
        factors: evaluations, filters, and their numbers.
    """
    ones = [1] * (start.dim() - 3)
    for tap in itertools.product(*(range(size) for size in factors.shape[2:])):
        where: Any = (slice(None), *tap)
        number: Any = (..., *tap)
        own = factors[number].reshape(-1, 1, factors.shape[1], *ones)
        start.addcmul_(met[where].unsqueeze(2), own)
    return start


def on_channels(function: Any, x: Varied, *args: Any) -> Any:
    """Pooling and its like, where the pictures of some channels change: these are pooled."""
    import torch

    inside = next(size for size in (1, 2, 3) if f"{size}d" in function._schema.name)
    if x.base.dim() != 2 + inside or not x.places.keys() <= {0, 1}:
        return None
    free = [d for d in (0, 1) if d not in x.places]
    lead = 1 + len(free)
    shape = x.values.shape
    flat = x.values.reshape(shape[:lead].numel(), 1, *shape[lead:])
    base, found = function(x.base, *args), function(flat, *args)

    def new(one: Tensor, many: Tensor) -> Varied:
        return x.new(one, many.reshape(*shape[:lead], *many.shape[2:]), x.places)

    if isinstance(base, torch.Tensor):
        return new(base, found)
    return tuple(new(one, many) for one, many in zip(base, found, strict=True))
