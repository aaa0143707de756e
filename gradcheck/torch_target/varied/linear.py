"""Products and sums of tensors of which each evaluation changes a part.

What such an operation gives is what it gives at the point itself, and what it gives for the change.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.elementwise import combined, elementwise
from gradcheck.torch_target.varied.patching import postponed
from gradcheck.torch_target.varied.pending import defers, pending, source
from gradcheck.torch_target.varied.tensor import Varied, taken

if TYPE_CHECKING:
    from torch import Tensor


def product(a: Any, b: Any, bias: Tensor | None = None) -> Any:
    """Multiply two matrices of which one is varied, or both.

    ``bias`` is a vector that is added to every row.
    """
    if isinstance(a, Varied) and isinstance(b, Varied):
        if not b.places and a.places:
            found = _both(b.permuted([1, 0]), a.permuted([1, 0])).permuted([1, 0])
        else:
            found = _both(a, b)
        return found if bias is None else _biased(found, bias)
    return _left_product(a, b, bias) if isinstance(a, Varied) else _right_product(a, b, bias)


def _both(a: Varied, b: Varied) -> Varied:
    """Multiply by the matrix as it is at the point, and add what its change gives."""
    import torch

    if not b.places:
        base = a.base @ b.base
        if defers(a, b):
            return pending(a, base, torch.matmul, source(b))
        return a.new(base, a.loosened().values @ b.values, {})
    found = _left_product(a, b.base, None).loosened()
    axes = [d for d in (0, 1) if d in b.places]

    def changed(values: Tensor, whole: Tensor, change: Tensor, *places: Tensor) -> Tensor:
        at = dict(zip(axes, places, strict=True))
        rows = torch.arange(len(whole), device=whole.device)
        term = whole[rows, :, at[0]] if 0 in at else (whole @ change.unsqueeze(-1)).squeeze(-1)
        if 1 not in at:
            return values.addcmul_(term.unsqueeze(-1), change.unsqueeze(-2))
        values[rows, :, at[1]] += term * change.unsqueeze(-1) if 0 in at else term
        return values

    def onto_copy(values: Tensor, *args: Tensor) -> Tensor:
        return changed(values.clone(), *args)

    places = [b.places[d] for d in axes]
    if defers(found):
        whole = source(a.loosened())
        return pending(found, found.base, onto_copy, whole, b.change, *places, over={0: changed})
    changed(found.values, a.loosened().values, b.change, *places)
    return found


def _left_product(a: Varied, b: Tensor, bias: Tensor | None) -> Varied:
    """Multiply a varied matrix by one that stays."""
    if defers(a):
        run = _columns_times if a.tally.by_columns else _rows_times
        found = pending(a, a.base @ b, functools.partial(run, b=b), fixed=[b])
        return found if bias is None else _biased(found, bias)
    base, places = _plus(a.base @ b, bias), a.places
    row, column = places.get(0), places.get(1)
    if column is None:
        # Whole rows of the product, or all of it.
        rows = a.values.reshape(-1, a.values.shape[-1])
        if row is None and a.tally.by_columns:
            turned = _columns_times(a.values, b)
            return a.new(base, turned, {}) if bias is None else postponed(turned, base, bias, a)
        if bias is not None and row is None:
            return postponed((rows @ b).reshape(*a.values.shape[:-1], -1), base, bias, a)
        values = rows @ b if bias is None else bias.addmm(rows, b)
        return a.new(base, values.reshape(*a.values.shape[:-1], -1), places)
    factor, change = b.index_select(0, column), a.change
    if row is not None:
        return a.new(base, base.index_select(0, row).addcmul_(change[:, None], factor), {0: row})
    return a.new(base, base.addcmul(change[:, :, None], factor[:, None, :]), {})


def _biased(one: Varied, bias: Tensor) -> Varied:
    found: Varied = combined(_add(), one, bias)
    return found


def _rows_times(x: Tensor, b: Tensor) -> Tensor:
    return (x.reshape(-1, x.shape[-1]) @ b).view(*x.shape[:-1], -1)


def _columns_times(x: Tensor, b: Tensor) -> Tensor:
    turned = b.T @ x.reshape(-1, x.shape[-1]).T
    return turned.reshape(-1, *x.shape[:-1]).permute(1, 2, 0)


def _right_product(a: Tensor, b: Varied, bias: Tensor | None) -> Varied:
    """Multiply a matrix that stays by a varied one."""
    import torch

    if defers(b):
        found = pending(b, a @ b.base, functools.partial(torch.matmul, a), fixed=[a])
        return found if bias is None else _biased(found, bias)
    base, places = _plus(a @ b.base, bias), b.places
    row, column = places.get(0), places.get(1)
    if row is not None:
        factor, change = a.T.index_select(0, row), b.change
        if column is None:
            return b.new(base, base.addcmul(factor[:, :, None], change[:, None, :]), {})
        own = base.T.index_select(0, column)
        return b.new(base, own.addcmul_(change[:, None], factor), {1: column})
    if column is None:
        return b.new(base, _plus(a @ b.values, bias), {})
    own = b.values @ a.T
    return b.new(base, own if bias is None else own + bias[column][:, None], places)


def _plus(tensor: Tensor, bias: Tensor | None) -> Tensor:
    return tensor if bias is None else tensor + bias


def _add() -> Any:
    import torch

    return torch.ops.aten.add.Tensor


def mm(_: Any, a: Any, b: Any) -> Any:
    """Matrix times matrix."""
    return product(a, b)


def addmm(_: Any, bias: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """A bias and a product."""
    import torch

    if (beta, alpha) != (1, 1):
        return None
    if not (isinstance(a, Varied) or isinstance(b, Varied)):
        return elementwise(_add(), bias, a @ b)
    if isinstance(bias, torch.Tensor) and bias.dim() == 1:
        return product(a, b, bias)
    return elementwise(_add(), bias, product(a, b))


def mv(_: Any, a: Any, vector: Any) -> Any:
    """Matrix times vector."""
    found = product(a, vector.reshaped((-1, 1)) if isinstance(vector, Varied) else vector[:, None])
    return found.reshaped(found.base.shape[:1])


def total(
    function: Any, one: Varied, dims: Any = None, keepdim: bool = False, **kwargs: Any
) -> Any:
    """``sum`` and ``mean``."""
    import torch

    if any(kwargs.values()) or not one.base.is_floating_point():
        return None
    rank = one.base.dim()
    given = [dims] if isinstance(dims, int) else dims
    dropped = {d % rank for d in given} if given else set(range(rank))
    shape = [1 if d in dropped else size for d, size in enumerate(one.base.shape)]
    if defers(one) and dropped:
        along = [1 + d for d in sorted(dropped)]
        reduce = torch.mean if "mean" in function._schema.name else torch.sum
        base = reduce(one.base, tuple(sorted(dropped)), keepdim)
        return pending(one, base, lambda x: reduce(x, along, keepdim))
    base = one.base.sum(tuple(dropped), keepdim=True) if dropped else one.base
    free = [1 + k for k, d in enumerate(one.free) if d in dropped]
    kept = {d: at for d, at in one.places.items() if d not in dropped}
    fewer = one.change if len(kept) < len(one.places) else one.values
    fewer = fewer.sum(free, keepdim=True) if free else fewer
    if len(kept) < len(one.places):
        lost = [d for d in one.places if d not in kept]
        for d in lost:
            fewer = fewer.unsqueeze(1 + sum(e not in kept for e in range(d)))
        fewer = fewer + _row(base, kept)
    found = one.new(base, fewer, kept)
    if "mean" in function._schema.name:
        count = one.base.numel() / max(base.numel(), 1)
        found = one.new(base / count, fewer / count, kept)
    if keepdim:
        return found
    return found.reshaped([size for d, size in enumerate(shape) if d not in dropped])


def _row(base: Tensor, places: Mapping[int, Tensor]) -> Tensor:
    return taken(base, places) if places else base.unsqueeze(0)
