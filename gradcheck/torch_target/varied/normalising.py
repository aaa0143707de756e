"""Softmax and normalisation of tensors of which each evaluation changes a part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradcheck.torch_target.varied.blocks import viewed
from gradcheck.torch_target.varied.elementwise import combined
from gradcheck.torch_target.varied.linear import total
from gradcheck.torch_target.varied.pending import defers, pending
from gradcheck.torch_target.varied.pending import viewed as waiting_view
from gradcheck.torch_target.varied.tensor import Varied


def softmax(function: Any, x: Varied, dim: int, half: bool) -> Varied | None:
    """``softmax`` and its logarithm."""
    if not x.base.dim():
        return None
    dim = dim % x.base.dim()
    # Along the first dimension it is vectorised over all others, however few there are of it.
    one = x.loosened([d for d in x.places if d != dim], first=dim)
    at = 1 + one.free.index(dim)
    if defers(one):
        return pending(
            one,
            function(one.base, dim, half),
            lambda x: function(x.movedim(at, 0).contiguous(), 0, half).movedim(0, at),
        )
    values = function(one.values.movedim(at, 0).contiguous(), 0, half).movedim(0, at)
    return one.new(function(one.base, dim, half), values, one.places)


def layer_norm(
    function: Any, x: Any, shape: Sequence[int], weight: Any, bias: Any, eps: float
) -> Any:
    """``layer_norm``, with the means and the inverse deviations."""
    if not isinstance(x, Varied):
        found, *others = function(x, shape, None, None, eps)
        return _affine(found, weight, bias), *others
    lead = x.base.dim() - len(shape)
    one = x.loosened([d for d in x.places if d < lead])
    inside = [None if isinstance(given, Varied) else given for given in (weight, bias)]
    if inside != [weight, bias]:
        inside = [None, None]
    if defers(one):
        fixed = [given for given in inside if given is not None]
        found, *others = (
            pending(one, base, lambda x, k=k: function(x, shape, *inside, eps)[k], fixed=fixed)
            for k, base in enumerate(function(one.base, shape, *inside, eps))
        )
        return (found if inside == [weight, bias] else _affine(found, weight, bias)), *others
    bases, many = (function(tensor, shape, *inside, eps) for tensor in (one.base, one.values))
    found, *others = (one.new(*pair, one.places) for pair in zip(bases, many, strict=True))
    if inside == [weight, bias]:
        return found, *others
    return _affine(found, weight, bias), *others


def group_norm(
    function: Any, x: Any, weight: Any, bias: Any, count: int, channels: int, *args: Any
) -> Any:
    """``group_norm``: a ``layer_norm`` of each picture's groups, then what each channel has.

    The other results, which serve the backward pass alone, are those at the point itself.
    """
    import torch

    inner, groups, eps = args
    bases = [one.base if isinstance(one, Varied) else one for one in (x, weight, bias)]
    base, *others = function(*bases, count, channels, *args)
    shape = (count, groups, channels // groups, inner)

    def grouped(one: Any, sizes: Sequence[int]) -> Any:
        if one is None:
            return None
        return one.reshaped(sizes) if isinstance(one, Varied) else one.reshape(sizes)

    normed = torch.ops.aten.native_layer_norm.default
    found, *_ = layer_norm(normed, grouped(x, shape), shape[2:], None, None, eps)
    found = _affine(found, *(grouped(one, (*shape[1:3], 1)) for one in (weight, bias)))
    return viewed(found, base.shape), *others


def _affine(one: Any, weight: Any, bias: Any) -> Any:
    import torch

    if weight is not None:
        one = combined(_mul(), one, weight)
    return one if bias is None else combined(torch.ops.aten.add.Tensor, one, bias)


def batch_norm(
    function: Any,
    x: Any,
    weight: Any,
    bias: Any,
    mean: Any,
    variance: Any,
    training: bool,
    momentum: float,
    eps: float,
) -> Any:
    """``batch_norm``, by running statistics or, where none are kept, by those of the batch.

    The other results, which serve the backward pass alone, are those at the point itself.
    """
    kept = mean is not None or variance is not None
    if training is kept or isinstance(mean, Varied) or isinstance(variance, Varied):
        return None
    bases = [one.base if isinstance(one, Varied) else one for one in (x, weight, bias)]
    base, *others = function(*bases, mean, variance, training, momentum, eps)
    wide = [-1, *[1] * (base.dim() - 2)]

    def aligned(one: Any) -> Any:
        """Return what there is of each channel, to be broadcast."""
        if one is None:
            return None
        return one.reshaped(wide) if isinstance(one, Varied) else one.reshape(wide)

    if training:
        x, inverse = _by_the_batch(x, eps)
        mean = None
    else:
        inverse = aligned((variance + eps).rsqrt())
    scale = inverse if weight is None else combined(_mul(), aligned(weight), inverse)
    found = combined(_mul(), x if mean is None else combined(_sub(), x, aligned(mean)), scale)
    found = _affine(found, None, aligned(bias))
    if defers(found):
        return waiting_view(found, base, lambda x: x), *others
    return (found.new(base, found.values, found.places), *others)


def _by_the_batch(x: Any, eps: float) -> tuple[Any, Any]:
    """Return how far each entry is from its channel's mean, and the inverse deviations."""
    import torch

    rank = x.base.dim() if isinstance(x, Varied) else x.dim()
    over = [0, *range(2, rank)]

    def mean(one: Any) -> Any:
        if isinstance(one, Varied):
            return total(torch.ops.aten.mean.dim, one, over, True)
        return one.mean(over, keepdim=True)

    apart = combined(_sub(), x, mean(x))
    variance = mean(combined(_mul(), apart, apart))
    wide = combined(torch.ops.aten.add.Tensor, variance, eps)
    return apart, combined(torch.ops.aten.rsqrt.default, wide)


def _mul() -> Any:
    import torch

    return torch.ops.aten.mul.Tensor


def _sub() -> Any:
    import torch

    return torch.ops.aten.sub.Tensor
