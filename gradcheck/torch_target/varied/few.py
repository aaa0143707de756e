"""Functions of each entry, of tensors of which each evaluation changes a few."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.moving import spread
from gradcheck.torch_target.varied.reduced import REDUCED
from gradcheck.torch_target.varied.scattered import (
    MOST_PAIRS,
    Part,
    Scattered,
    changed,
    entries,
    parts_of,
    scattered,
    united,
    values_at,
)
from gradcheck.torch_target.varied.tensor import DEARER, is_few

if TYPE_CHECKING:
    from torch import Tensor

UNTAGGED = frozenset(
    f"aten::{name}"
    for name in ("_prelu_kernel", "hardswish", "hardswish_backward", "log_sigmoid_backward")
)
"""Functions of each entry that torch does not call so."""


def is_entrywise(function: Any, args: Sequence[Any]) -> bool:
    """Whether an operation is a function of each entry by itself."""
    if _is_pointwise(function):
        return True
    at = REDUCED.get(function._schema.name, len(args))
    return at < len(args) and args[at] == 0


@functools.cache
def _is_pointwise(function: Any) -> bool:
    import torch

    return torch.Tag.pointwise in function.tags or function._schema.name in UNTAGGED


def of_each(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Evaluate a function of each entry at those that change in any argument.

    Args:
        function: one of torch's basic operations.
        args: its arguments, tensors among them to be broadcast.
        kwargs: named arguments.

    Returns:
        The result; None where this is not the way to do it.
    """
    import torch

    operands = parts_of(args)
    base = function(*(_base(one) for one in args), **kwargs)
    if not isinstance(base, torch.Tensor) or not base.numel():
        return None
    whole = base.numel() // _shared_positions(operands, base)
    if not _are_few(operands, base.numel(), whole):
        return None
    aligned = [_broadcast(one, base) for one in args]
    if any(found is None for found, one in zip(aligned, args, strict=True) if one is not None):
        return None
    few = [one for one in aligned if isinstance(one, Scattered)]
    places = few[0].places
    for one in few[1:]:
        key = ("or", base.numel(), id(places), id(one.places))
        among = few[0].tally.kept(key, _either(places, one, base.numel()), places, one.places)
        if among is None:
            return None
        places = among

    def part(one: Any) -> Any:
        if isinstance(one, Scattered):
            return values_at(one, one.base, places)
        if isinstance(one, torch.Tensor) and one.dim():
            return entries(one, places)
        return one

    return few[0].new(base, places, function(*(part(one) for one in aligned), **kwargs))


def _shared_positions(operands: Sequence[Part], base: Tensor) -> int:
    """Return of how many parts of the result an evaluation changes one, all operands alike."""
    alike: dict[int, int] | None = None
    for one in operands:
        lead = base.dim() - one.base.dim()
        places = {} if isinstance(one, Scattered) else one.places
        own = {d + lead: id(at) for d, at in places.items()}
        alike = {d: at for d, at in (alike or own).items() if own.get(d) == at}
        if not alike:
            return 1
    return math.prod(base.shape[d] for d in alike or {})


def _are_few(operands: Sequence[Part], size: int, whole: int) -> bool:
    """Whether the entries that change in any operand are few enough."""
    counts: dict[Any, int] = {}
    for one in operands:
        places = (one.places,) if isinstance(one, Scattered) else one.places.values()
        key = (one.base.shape, *map(id, places))
        counts[key] = changed(one) * (size // max(one.base.numel(), 1))
    *_, second, first = sorted([1, *counts.values()])
    pairs = first * second if second > 1 else 0
    return is_few(sum(counts.values()) + pairs // DEARER, whole) and pairs <= MOST_PAIRS


def _either(places: Tensor, one: Scattered, size: int) -> Callable[[], Tensor | None]:
    return lambda: united(places, one.places, size)


def _base(one: Any) -> Any:
    return one.base if isinstance(one, Part) else one


def _broadcast(one: Any, base: Tensor) -> Any:
    """Return an argument in the shape of the result; None where that takes too many entries."""
    import torch

    if isinstance(one, torch.Tensor):
        return one.expand(base.shape) if one.dim() else one
    if not isinstance(one, Part):
        return one
    if one.base.shape == base.shape:
        return scattered(one)
    if one.base.numel() == base.numel():
        few = scattered(one)
        return few.new(one.base.reshape(base.shape), few.places, few.values)
    return spread(scattered(one), base.shape)
