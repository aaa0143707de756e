"""What is known of single operations of torch, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gradcheck.torch_target.varied.aligning import connectionist
from gradcheck.torch_target.varied.along import ALONG, added_at, along, gathered_along
from gradcheck.torch_target.varied.blocks import viewed
from gradcheck.torch_target.varied.convolving import convolution, on_channels
from gradcheck.torch_target.varied.crossing import pairs
from gradcheck.torch_target.varied.differences import subtracted
from gradcheck.torch_target.varied.elementwise import elementwise
from gradcheck.torch_target.varied.likelihood import log_softmax, negative_log_likelihood
from gradcheck.torch_target.varied.linear import mv, total
from gradcheck.torch_target.varied.matrices import ON_MATRICES, distances, on_matrices
from gradcheck.torch_target.varied.normalising import batch_norm, group_norm, layer_norm, softmax
from gradcheck.torch_target.varied.onward import running_sum
from gradcheck.torch_target.varied.products import addmm, mm
from gradcheck.torch_target.varied.selecting import (
    embedding,
    embedding_bag,
    expanded,
    index_select,
    indexed,
    joined,
    selected,
    sliced,
    split,
    stacked,
    unbound,
)
from gradcheck.torch_target.varied.stacks import attention, baddbmm, bmm
from gradcheck.torch_target.varied.tensor import RefusedError, Varied, unchanged

Rule = Callable[..., Any]


def reshaped(function: Any, one: Varied, *args: Any) -> Varied | None:
    """``view`` and its like: a copy under the same number of entries."""
    return viewed(one, function(one.base, *args).shape)


def transposed(_: Any, one: Varied, *dims: int) -> Varied:
    """``t``, ``transpose``."""
    rank = one.base.dim()
    order = list(range(rank))
    first, second = (d % rank for d in dims) if dims else (0, rank - 1)
    order[first], order[second] = order[second], order[first]
    return one.permuted(order)


def permuted(_: Any, one: Varied, order: Sequence[int]) -> Varied:
    """``permute``."""
    return one.permuted(order)


def same(function: Any, one: Varied, **kwargs: Any) -> Varied:
    """``detach``, ``alias``, ``clone``: nothing is written to later on."""
    return one.new(function(one.base, **kwargs), one.values, one.places, made=False)


def cast(function: Any, one: Varied, **kwargs: Any) -> Varied | None:
    """``to``, ``double``: a type of number that is as precise, or a copy.

    In lower precision, parts are not rounded as the whole is.
    """
    base = function(one.base, **kwargs)
    if base.device != one.base.device or base.element_size() < one.base.element_size():
        return None
    return one.new(base, one.values.to(base.dtype), one.places)


def copied(function: Any, target: Any, source: Any, *args: Any) -> Varied | None:
    """``copy``: a tensor's values in the place of another's, of which the layout is kept."""
    before = target.base if isinstance(target, Varied) else target
    if not isinstance(source, Varied):
        return unchanged(function(before, source, *args), target.tally)
    if source.base.shape != before.shape or source.base.dtype != before.dtype:
        return None
    return source.new(function(before, source.base, *args), source.values, source.places)


def zeros_alike(function: Any, one: Any, other: Any, *args: Any) -> Varied:
    """Return zeros in the layout of another tensor, into which a tangent is written."""
    return unchanged(function(one.base, other, *args), one.tally)


def sloped(function: Any, x: Any, slope: Any) -> Varied | None:
    """``prelu``, of which the result has the shape of ``x``."""
    import torch

    if isinstance(x, Varied):
        return elementwise(function, x, slope)
    below = elementwise(torch.ops.aten.mul.Tensor, x, slope)
    return elementwise(torch.ops.aten.where.self, x > 0, x, below)


def log_sigmoid(function: Any, one: Varied) -> Any:
    """``logsigmoid``.

    The other result, which serves the backward pass alone, is that at the point itself.
    """
    (base, other), (values, _) = function(one.base), function(one.values)
    return one.new(base, values, one.places), other


def gated(_: Any, one: Varied, dim: int = -1) -> Varied | None:
    """``glu``: one half times the logistic function of the other."""
    import torch

    do, size, dim = torch.ops.aten, one.base.shape[dim] // 2, dim % one.base.dim()
    halves = [sliced(do.slice.Tensor, one, dim, k * size, (k + 1) * size) for k in (0, 1)]
    if any(half is None for half in halves):
        return None
    return elementwise(do.mul.Tensor, halves[0], elementwise(do.sigmoid.default, halves[1]))


def by_strides(*_: Any) -> Any:
    """``as_strided``: what it returns depends on where entries lie, which no carrier has."""
    raise RefusedError("a tensor is read by its strides")


ON_CHANNELS = tuple(
    f"aten::{name}"
    for name in (
        *("max_pool2d_with_indices", "max_pool3d_with_indices", "avg_pool1d", "avg_pool2d"),
        *("avg_pool3d", "_adaptive_avg_pool2d", "adaptive_max_pool2d", "upsample_nearest1d"),
        *("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d", "upsample_linear1d"),
        *("reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d"),
    )
)
"""Operations on each channel of each picture by itself."""
RULES: dict[str, Rule] = {
    **dict.fromkeys(ALONG, along),
    "aten::cumsum": running_sum,
    "aten::index_add": added_at,
    "aten::scatter_add": added_at,
    "aten::gather": gathered_along,
    "aten::view": reshaped,
    "aten::_unsafe_view": reshaped,
    "aten::_reshape_alias": reshaped,
    "aten::reshape": reshaped,
    "aten::unsqueeze": reshaped,
    "aten::squeeze": reshaped,
    "aten::t": transposed,
    "aten::transpose": transposed,
    "aten::permute": permuted,
    "aten::detach": same,
    "aten::alias": same,
    "aten::clone": same,
    "aten::_to_copy": cast,
    "aten::copy": copied,
    "aten::_new_zeros_with_same_feature_meta": zeros_alike,
    "aten::expand": expanded,
    "aten::slice": sliced,
    "aten::select": selected,
    "aten::unbind": unbound,
    "aten::split": split,
    "aten::split_with_sizes": split,
    "aten::unsafe_split": split,
    "aten::unsafe_split_with_sizes": split,
    "aten::embedding": embedding,
    "aten::_embedding_bag": embedding_bag,
    "aten::_embedding_bag_forward_only": embedding_bag,
    "aten::index_select": index_select,
    "aten::index": indexed,
    "aten::as_strided": by_strides,
    "aten::cat": joined,
    "aten::stack": stacked,
    "aten::bmm": bmm,
    "aten::baddbmm": baddbmm,
    "aten::mm": mm,
    "aten::addmm": addmm,
    "aten::mv": mv,
    "aten::sub": subtracted,
    "aten::sum": total,
    "aten::mean": total,
    "aten::_softmax": softmax,
    "aten::_log_softmax": log_softmax,
    "aten::_scaled_dot_product_flash_attention_for_cpu": attention,
    "aten::native_layer_norm": layer_norm,
    "aten::native_batch_norm": batch_norm,
    "aten::native_group_norm": group_norm,
    "aten::_ctc_loss": connectionist,
    "aten::convolution": convolution,
    **dict.fromkeys(ON_CHANNELS, on_channels),
    **dict.fromkeys(ON_MATRICES, on_matrices),
    "aten::_cdist_forward": distances,
    "aten::_euclidean_dist": distances,
    "aten::_pdist_forward": pairs,
    "aten::_prelu_kernel": sloped,
    "aten::log_sigmoid_forward": log_sigmoid,
    "aten::glu": gated,
    "aten::nll_loss_forward": negative_log_likelihood,
}
"""How each operation is evaluated by name; a rule returns None for what it does not cover."""
