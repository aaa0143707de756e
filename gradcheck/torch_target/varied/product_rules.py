"""What is linear in tensors that change by a product takes one of its factors alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.products import Outer
from gradcheck.torch_target.varied.tensor import Varied

if TYPE_CHECKING:
    from torch import Tensor


def of_product(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Evaluate an operation of which an argument changes by a product; None without a rule."""
    rule = RULES.get(function._schema.name)
    return None if rule is None else rule(function, *args, **kwargs)


def total(
    function: Any, one: Outer, dims: Any = None, keepdim: bool = False, **kwargs: Any
) -> Outer | None:
    """``sum`` and ``mean``, along dimensions of which one factor has more than one position."""
    if any(kwargs.values()):
        return None
    rank, given = one.base.dim(), [dims] if isinstance(dims, int) else dims
    dropped = sorted({d % rank for d in given}) if given else list(range(rank))
    factors = list(one.factors)
    for d in dropped:
        wide = [k for k, factor in enumerate(factors) if one.is_wide(factor, d)]
        if len(wide) == 2:
            return None
        if wide:
            factors[wide[0]] = factors[wide[0]].sum(1 + d, keepdim=True)
        else:
            factors[0] = factors[0] * one.base.shape[d]
    kept = one.base.sum(tuple(dropped), keepdim=True)
    if "mean" in function._schema.name:
        count = one.base.numel() / max(kept.numel(), 1)
        kept, factors[0] = kept / count, factors[0] / count
    found = one.other(kept, factors)
    if keepdim:
        return found
    left = found.reshaped([size for d, size in enumerate(kept.shape) if d not in dropped])
    return left if isinstance(left, Outer) else None


def plus(function: Any, first: Any, second: Any, **kwargs: Any) -> Varied | None:
    """``add`` and ``sub``: of what stays, of the same factor, or of what changes in a part."""
    if kwargs.get("alpha", 1) != 1:
        return None
    sign = -1 if "sub" in function._schema.name else 1
    if isinstance(first, Outer) and not isinstance(second, Varied):
        return _of_base(first, function(first.base, second), 1)
    if isinstance(second, Outer) and not isinstance(first, Varied):
        return _of_base(second, function(first, second.base), sign)
    if not isinstance(first, Varied) or not isinstance(second, Varied):
        return None
    if first.base.shape != second.base.shape or first.base.dtype != second.base.dtype:
        return None
    base = function(first.base, second.base)
    if isinstance(first, Outer) and isinstance(second, Outer):
        common = _common(first, second)
        if common is None:
            return None
        one, other, shared = common
        return first.other(base, (one + sign * other, shared))
    whole, part = (first, second) if isinstance(first, Outer) else (second, first)
    if sign < 0 or not isinstance(whole, Outer) or not part.places:
        return None
    # The change of a part is added where it is.
    import torch

    values = whole.onto(base)
    order = [0, *(1 + d for d in (*part.places, *part.free))]
    rows = torch.arange(part.tally.rows, device=values.device)
    values.permute(order)[(rows, *part.places.values())] += part.change
    return part.new(base, values, {}, made=False)


def _of_base(one: Outer, base: Tensor, sign: int) -> Outer | None:
    """Return another tensor with the change of one, or the opposite change."""
    if base.shape != one.base.shape or base.dtype != one.base.dtype:
        return None
    first, second = one.factors
    return one.other(base, (first if sign > 0 else -first, second))


def _common(one: Outer, other: Outer) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return a factor of each, and the factor that both have."""
    for k in (1, 0):
        if one.factors[k] is other.factors[k]:
            return one.factors[1 - k], other.factors[1 - k], one.factors[k]
    return None


def times(function: Any, first: Any, second: Any, **kwargs: Any) -> Outer | None:
    """``mul`` by what stays, and ``div``: of the factor that is as wide as this."""
    import torch

    if any(kwargs.values()):
        return None
    if isinstance(first, Outer) and not isinstance(second, Varied):
        one, other = first, second
    elif isinstance(second, Outer) and not isinstance(first, Varied) and _is_product(function):
        one, other = second, first
    else:
        return None
    base = function(one.base, other)
    if base.shape != one.base.shape or base.dtype != one.base.dtype:
        return None
    sizes = other.shape if isinstance(other, torch.Tensor) else ()
    for k in sorted((0, 1), key=lambda k: one.factors[k].numel()):
        shape = one.factors[k].shape[1:]
        aligned = zip(reversed(shape), reversed(sizes), strict=False)
        if len(sizes) <= len(shape) and all(size in (1, own) for own, size in aligned):
            factors = list(one.factors)
            factors[k] = function(factors[k], other)
            return one.other(base, factors)
    return None


def _is_product(function: Any) -> bool:
    return bool(function._schema.name == "aten::mul")


def opposite(function: Any, one: Outer) -> Outer | None:
    """``neg``."""
    return _of_base(one, function(one.base), -1)


def same(function: Any, one: Outer, **kwargs: Any) -> Outer | None:
    """``clone``, ``detach``, ``alias``, and copies of the same type."""
    return _of_base(one, function(one.base, **kwargs), 1)


def picked(function: Any, one: Outer, *args: Any) -> Outer | None:
    """``index``, with one tensor of whole numbers, and ``index_select``."""
    import torch

    if len(args) == 2:
        dim, index = args
    else:
        given = [d for d, which in enumerate(args[0]) if which is not None]
        if len(given) != 1:
            return None
        dim, index = given[0], args[0][given[0]]
    whole = isinstance(index, torch.Tensor) and index.dtype in (torch.int64, torch.int32)
    if not whole or not index.dim():
        return None
    dim, found = dim % one.base.dim(), []
    for factor in one.factors:
        if not one.is_wide(factor, dim) and index.dim() == 1:
            # The same tensor: two that have one in common are added as one.
            found.append(factor)
            continue
        sizes: Sequence[int] = [1] * index.dim()
        if one.is_wide(factor, dim):
            sizes = index.shape
            factor = factor.index_select(1 + dim, index.reshape(-1) % factor.shape[1 + dim])
        found.append(factor.reshape(*factor.shape[: 1 + dim], *sizes, *factor.shape[2 + dim :]))
    return one.other(function(one.base, *args), found)


def gathered_in(
    function: Any, start: Any, dim: int, index: Any, source: Any, **kwargs: Any
) -> Outer | None:
    """``index_add``, and ``scatter_add`` of whole rows: of the factor that has them."""
    if not isinstance(source, Outer) or kwargs.get("alpha", 1) != 1:
        return None
    dim = dim % source.base.dim()
    if "scatter" in function._schema.name:
        alike = all(index.stride(d) == 0 for d in range(index.dim()) if d != dim)
        if not alike or index.shape != source.base.shape:
            return None
        index = index[tuple(slice(None) if d == dim else 0 for d in range(index.dim()))]
    shared = _starting(start, source, dim)
    if shared is None or source.is_wide(shared[1], dim):
        return None
    begun, common, one = shared
    sizes = list(one.shape)
    sizes[1 + dim] = _base(start).shape[dim]
    begun = one.new_zeros(sizes) if begun is None else begun.expand(sizes)
    one = one.expand(*one.shape[: 1 + dim], source.base.shape[dim], *one.shape[2 + dim :])
    base = _base(start).index_add(dim, index, source.base)
    return source.other(base, (begun.index_add(1 + dim, index, one), common))


def _starting(start: Any, source: Outer, dim: int) -> tuple[Tensor | None, Tensor, Tensor] | None:
    """Return a factor of what is added to, if it changes, the one that both have, the source's."""
    if isinstance(start, Outer):
        common = _common(start, source)
        return None if common is None else (common[0], common[2], common[1])
    if isinstance(start, Varied):
        return None
    narrow, wide = sorted(source.factors, key=lambda one: source.is_wide(one, dim))
    return None, narrow, wide


def _base(one: Any) -> Any:
    return one.base if isinstance(one, Varied) else one


RULES: Mapping[str, Callable[..., Any]] = {
    "aten::sum": total,
    "aten::mean": total,
    "aten::add": plus,
    "aten::sub": plus,
    "aten::mul": times,
    "aten::div": times,
    "aten::neg": opposite,
    "aten::clone": same,
    "aten::detach": same,
    "aten::alias": same,
    "aten::_to_copy": same,
    "aten::index": picked,
    "aten::index_select": picked,
    "aten::index_add": gathered_in,
    "aten::scatter_add": gathered_in,
}
"""The rules by name; each returns None for what it does not cover."""
