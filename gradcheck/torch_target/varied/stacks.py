"""Products of stacks of matrices, and attention, where each evaluation changes a part of a tensor.

Matrices of a stack that an evaluation does not change are not multiplied again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.elementwise import combined
from gradcheck.torch_target.varied.normalising import softmax
from gradcheck.torch_target.varied.tensor import Varied, taken

if TYPE_CHECKING:
    from torch import Tensor


def product(a: Any, b: Any) -> Any:
    """Multiply stacks of matrices with the same leading dimensions."""
    if isinstance(a, Varied):
        return _both(a, b) if isinstance(b, Varied) else _left(a, b)
    if isinstance(b, Varied):
        return _turned(_left(_turned(b), a.transpose(-1, -2)))
    return a @ b


def bmm(_: Any, a: Any, b: Any) -> Any:
    """``bmm``."""
    return product(a, b)


def baddbmm(_: Any, bias: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """``baddbmm``: something else and a product."""
    import torch

    if (beta, alpha) != (1, 1):
        return None
    return combined(torch.ops.aten.add.Tensor, bias, product(a, b))


def _turned(one: Any) -> Any:
    """Return the transpose of each matrix."""
    if not isinstance(one, Varied):
        return one.transpose(-1, -2)
    rank = one.base.dim()
    return one.permuted([*range(rank - 2), rank - 1, rank - 2])


def _left(a: Varied, b: Tensor) -> Varied:
    """Multiply varied matrices by ones that stay."""
    base, rank = a.base @ b, a.base.dim()
    stack = {d: at for d, at in a.places.items() if d < rank - 2}
    row, column = a.places.get(rank - 2), a.places.get(rank - 1)
    kept = stack if row is None else {**stack, rank - 2: row}
    if column is not None:
        # What it gives for the change: a column times a row.
        factor = taken(b.transpose(-1, -2), {**stack, rank - 1: column})
        factor = factor.unsqueeze(-2) if row is None else factor
        found = taken(base, kept).addcmul(a.change.unsqueeze(-1), factor)
        return a.new(base, found, kept)
    values = a.values if row is None else a.values.unsqueeze(-2)
    if stack or rank != 3:
        found = values @ taken(b, stack)
    else:
        # The rows of all evaluations below each other.
        n = values.shape[-2]
        found = values.transpose(0, 1).reshape(len(b), -1, values.shape[-1]) @ b
        found = found.reshape(len(b), -1, n, found.shape[-1]).transpose(0, 1)
    return a.new(base, found if row is None else found.squeeze(-2), kept)


def _both(a: Varied, b: Varied) -> Varied:
    """Multiply varied matrices by varied ones: all that an evaluation changes in either."""
    leading = range(a.base.dim() - 2)
    common = {d: at for d, at in a.places.items() if d in leading and b.places.get(d) is at}
    values = a.loosened(common).values @ b.loosened(common).values
    return a.new(a.base @ b.base, values, common)


def attention(
    function: Any,
    query: Any,
    key: Any,
    value: Any,
    dropout: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Any = None,
    scale: float | None = None,
) -> Any:
    """Scaled dot-product attention without dropout, written out.

    The second result, the logarithms of the sums, is that at the point itself: it serves the
    backward pass alone.
    """
    import torch

    if dropout or isinstance(attn_mask, Varied):
        return None
    add, mul = torch.ops.aten.add.Tensor, torch.ops.aten.mul.Tensor
    bases = [one.base if isinstance(one, Varied) else one for one in (query, key, value)]
    base, logarithms = function(*bases, dropout, is_causal, attn_mask=attn_mask, scale=scale)
    factor = bases[0].shape[-1] ** -0.5 if scale is None else scale
    scores = product(combined(mul, query, factor), _turned(key))
    if is_causal:
        shape = (bases[0].shape[-2], bases[1].shape[-2])
        later = torch.ones(shape, dtype=torch.bool, device=base.device).triu(1)
        attn_mask = torch.zeros(shape, dtype=base.dtype, device=base.device)
        attn_mask = attn_mask.masked_fill(later, -torch.inf)
    if attn_mask is not None:
        scores = combined(add, scores, attn_mask)
    softened = torch.ops.aten._softmax.default
    weights = (
        softmax(softened, scores, -1, False) if isinstance(scores, Varied) else scores.softmax(-1)
    )
    found = product(weights, value)
    return found.new(base, found.values, found.places), logarithms
