"""Operations along dimensions: sorting, running sums, transforms, of what changes elsewhere.

Where an evaluation changes a row, the operation along it takes this row alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.pending import defers, pending
from gradcheck.torch_target.varied.tensor import Varied, taken

if TYPE_CHECKING:
    from torch import Tensor

ALONG = {
    **dict.fromkeys(
        (
            *("aten::cumsum", "aten::cumprod", "aten::logcumsumexp", "aten::cummax"),
            *("aten::cummin", "aten::sort", "aten::amax", "aten::amin", "aten::max", "aten::min"),
            *("aten::prod", "aten::var", "aten::std", "aten::flip", "aten::logsumexp"),
            *("aten::median", "aten::argmax", "aten::argmin"),
            *("aten::_fft_r2c", "aten::_fft_c2r", "aten::_fft_c2c"),
        ),
        0,
    ),
    **dict.fromkeys(
        ("aten::roll", "aten::topk", "aten::linalg_vector_norm", "aten::norm", "aten::kthvalue"), 1
    ),
}
"""Operations, and which argument after the tensor has the dimensions."""


def along(function: Any, one: Varied, *args: Any, **kwargs: Any) -> Any:
    """Evaluate an operation along dimensions; None where it takes all of the tensor."""
    import torch

    at = ALONG[function._schema.name]
    given = args[at] if len(args) > at else None
    if given is None or given == [] or not one.base.dim():
        return None
    rank, single = one.base.dim(), isinstance(given, int)
    dims = [d % rank for d in ([given] if single else given)]
    kept = one.loosened([d for d in one.places if d not in dims])
    shifted = [1 + kept.free.index(d) for d in dims]
    inside = [*args[:at], shifted[0] if single else shifted, *args[at + 1 :]]
    bases = function(one.base, *args, **kwargs)
    if defers(kept) and isinstance(bases, torch.Tensor):
        return pending(kept, bases, lambda x: function(x, *inside, **kwargs))
    many = function(kept.values, *inside, **kwargs)

    def new(base: Tensor, values: Tensor) -> Varied:
        lost = dims if base.dim() < rank else []
        places = {d - sum(e < d for e in lost): where for d, where in kept.places.items()}
        return one.new(base, values, places)

    if isinstance(bases, torch.Tensor):
        return new(bases, many)
    return tuple(new(*pair) for pair in zip(bases, many, strict=True))


def added_at(
    function: Any, one: Any, dim: int, index: Any, source: Any, **kwargs: Any
) -> Varied | None:
    """``index_add`` and ``scatter_add`` of what changes elsewhere than along the dimension."""
    if isinstance(one, Varied) or not isinstance(source, Varied) or isinstance(index, Varied):
        return None
    dim = dim % max(one.dim(), 1)
    each = "scatter" in function._schema.name
    if not one.dim() or (each and index.shape != source.base.shape):
        return None
    as_wide = [d for d in source.places if one.shape[d] == source.base.shape[d]]
    kept = source.loosened([d for d in as_wide if d != dim])
    start, axis = _of_each(one, kept), 1 + kept.free.index(dim)
    values = function(start, axis, _of_each(index, kept) if each else index, kept.values, **kwargs)
    return source.new(function(one, dim, index, source.base, **kwargs), values, kept.places)


def gathered_along(function: Any, one: Any, dim: int, index: Any, **kwargs: Any) -> Varied | None:
    """``gather`` of what changes elsewhere than along the dimension."""
    if not isinstance(one, Varied) or isinstance(index, Varied) or not one.base.dim():
        return None
    dim = dim % one.base.dim()
    kept = one.loosened([d for d in one.places if d != dim and index.shape[d] == one.base.shape[d]])
    values = kept.values.gather(1 + kept.free.index(dim), _of_each(index, kept))
    return one.new(function(one.base, dim, index, **kwargs), values, kept.places)


def _of_each(tensor: Tensor, kept: Varied) -> Tensor:
    """Return, for each evaluation, what a tensor that stays has where another changes."""
    rows = len(kept.values)
    return taken(tensor, kept.places) if kept.places else tensor.expand(rows, *tensor.shape)
