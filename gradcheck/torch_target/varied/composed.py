"""Operations put together of others, for which there are rules.

Each rule is given the function that evaluates those others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.elementwise import combined
from gradcheck.torch_target.varied.reduced import REDUCED
from gradcheck.torch_target.varied.scattered import Part, Scattered, scattered
from gradcheck.torch_target.varied.tensor import Varied, is_few

if TYPE_CHECKING:
    from torch import Tensor

WITH_LOGITS = "aten::binary_cross_entropy_with_logits"
Evaluate = Callable[[Any, Sequence[Any], Any], Any]


class _Operations:
    """Torch's basic operations, of varied tensors."""

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate

    def __call__(self, name: str, *args: Any) -> Any:
        import torch

        packet, _, overload = name.partition(".")
        function = getattr(getattr(torch.ops.aten, packet), overload or "default")
        if any(isinstance(one, Part) for one in args):
            return self._evaluate(function, args, {})
        return function(*args)

    def sum(self, one: Any, dims: Any, keepdim: bool = False) -> Any:
        return self("sum.dim_IntList", one, dims, keepdim)


def _dims(one: Part, dims: Any) -> list[int]:
    rank = one.base.dim()
    given = [dims] if isinstance(dims, int) else dims
    return sorted({d % rank for d in given}) if given else list(range(rank))


def _across(one: Part, dims: Sequence[int]) -> bool:
    """Whether an evaluation changes a part alone of what is taken together."""
    return isinstance(one, Scattered) or any(d in one.places for d in dims)


def reduced(evaluate: Evaluate, function: Any, args: Sequence[Any], kwargs: Any) -> Any:
    """A loss of each entry, and the mean or the sum over them."""
    name, at = function._schema.name, REDUCED[function._schema.name]
    mean = len(args) <= at or args[at] == 1
    padded = [*args, *[None] * (at - len(args))]
    do, kind = _Operations(evaluate), "mean" if mean else "sum"
    if name == WITH_LOGITS and (less := _less_of_logits(*padded[:at])) is not None:
        return do("neg", do(kind, less))
    return do(kind, evaluate(function, [*padded[:at], 0, *args[at + 1 :]], kwargs))


def _less_of_logits(x: Any, target: Any, weight: Any, positive: Any) -> Varied | None:
    """Less the cross entropies of logits: what is the same in all evaluations is computed once."""
    import torch

    others = (target, weight, positive)
    if not isinstance(x, Varied) or any(isinstance(one, Part) for one in others):
        return None
    aten = torch.ops.aten
    likely = combined(aten.log_sigmoid.default, x)
    if positive is not None:
        likely = combined(aten.mul.Tensor, likely, (positive - 1) * target + 1)
    less = combined(aten.addcmul.default, likely, x, target - 1)
    found: Varied = less if weight is None else combined(aten.mul.Tensor, less, weight)
    return found


def log_sum_exp(evaluate: Evaluate, one: Any, dims: Any, keepdim: bool = False) -> Any:
    """``logsumexp``, less the largest entries at the point itself."""
    dims = _dims(one, dims)
    if not _across(one, dims) or not one.base.numel():
        return None
    do = _Operations(evaluate)
    peak = one.base.amax(dims, keepdim=True)
    if not bool(peak.isfinite().all()):
        return None
    sums = do.sum(do("exp", do("sub.Tensor", one, peak)), dims, keepdim)
    return do("add.Tensor", do("log", sums), peak if keepdim else peak.squeeze(dims))


def norm(
    evaluate: Evaluate,
    one: Any,
    order: Any = 2,
    dims: Any = None,
    keepdim: bool = False,
    **kwargs: Any,
) -> Any:
    """``linalg_vector_norm``, of the first and the second order."""
    dims = _dims(one, dims)
    if order not in (1, 2) or any(kwargs.values()) or not _across(one, dims):
        return None
    do = _Operations(evaluate)
    if order == 1:
        return do.sum(do("abs", one), dims, keepdim)
    return do("sqrt", do.sum(do("mul.Tensor", one, one), dims, keepdim))


def variance(
    evaluate: Evaluate,
    one: Any,
    dims: Any = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
) -> Any:
    """``var``, by the sums of how far entries are from the mean at the point itself."""
    dims = _dims(one, dims)
    if not _across(one, dims) or not one.base.numel():
        return None
    do = _Operations(evaluate)
    apart = do("sub.Tensor", one, one.base.mean(dims, keepdim=True))
    first = do.sum(apart, dims, keepdim)
    second = do.sum(do("mul.Tensor", apart, apart), dims, keepdim)
    count = one.base.numel() / max(first.base.numel(), 1)
    less = do("div.Tensor", do("mul.Tensor", first, first), count)
    freedom = count - (1 if correction is None else correction)
    return do("div.Tensor", do("sub.Tensor", second, less), freedom) if freedom > 0 else None


def deviation(evaluate: Evaluate, one: Any, dims: Any = None, **kwargs: Any) -> Any:
    """``std``."""
    found = variance(evaluate, one, dims, **kwargs)
    return None if found is None else _Operations(evaluate)("sqrt", found)


def dot(evaluate: Evaluate, a: Any, b: Any) -> Any:
    """``dot``."""
    do = _Operations(evaluate)
    return do("sum", do("mul.Tensor", a, b))


def trilinear(
    evaluate: Evaluate,
    a: Any,
    b: Any,
    c: Any,
    more_a: Sequence[int],
    more_b: Sequence[int],
    more_c: Sequence[int],
    dims: Sequence[int],
    *_: int,
) -> Any:
    """A sum over the products of three tensors, as ``bilinear`` has it."""
    do = _Operations(evaluate)

    def widened(one: Any, more: Sequence[int]) -> Any:
        for d in more:
            one = do("unsqueeze", one, d)
        return one

    product = do("mul.Tensor", widened(a, more_a), widened(b, more_b))
    return do.sum(do("mul.Tensor", product, widened(c, more_c)), list(dims))


def largest(_: Evaluate, one: Any, dims: Any = None, keepdim: bool = False) -> Any:
    """``max`` of everything: of the entries that change, and of the largest that does not."""
    return _extreme(one, dims, keepdim, 1)


def smallest(_: Evaluate, one: Any, dims: Any = None, keepdim: bool = False) -> Any:
    """``min`` of everything."""
    return _extreme(one, dims, keepdim, -1)


def _extreme(one: Any, dims: Any, keepdim: bool, sign: int) -> Any:
    import torch

    whole = one.base.numel()
    if keepdim or (dims not in (None, []) and len(_dims(one, dims)) < one.base.dim()):
        return None
    few = scattered(one)
    count = few.places.shape[1]
    if not is_few(count, whole):
        return None
    top = (sign * one.base.reshape(-1)).topk(count + 1)
    moved = (top.indices[:, None] == few.places[:, None, :]).any(2)
    rest = torch.where(moved, -torch.inf, top.values).amax(1)
    own = torch.where(few.places < whole, sign * few.values, -torch.inf).amax(1)
    base: Tensor = one.base.max() if sign > 0 else one.base.min()
    return few.whole(base, sign * torch.maximum(rest, own))


COMPOSED: dict[str, Callable[..., Any]] = {
    "aten::logsumexp": log_sum_exp,
    "aten::linalg_vector_norm": norm,
    "aten::var.correction": variance,
    "aten::std.correction": deviation,
    "aten::dot": dot,
    "aten::_trilinear": trilinear,
    "aten::amax": largest,
    "aten::max": largest,
    "aten::amin": smallest,
    "aten::min": smallest,
}
"""The rules by name and overload; each returns None for what it does not cover."""
