"""What is known of operations on tensors of which each evaluation changes a few entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradcheck.torch_target.varied.adding import total
from gradcheck.torch_target.varied.few import is_entrywise, of_each
from gradcheck.torch_target.varied.moving import MOVING, moved, spread
from gradcheck.torch_target.varied.scattered import Part, Scattered, scattered
from gradcheck.torch_target.varied.taps import convolved

REORDERING = frozenset(
    f"aten::{name}"
    for name in (
        *("view", "_unsafe_view", "_reshape_alias", "reshape", "unsqueeze", "squeeze"),
        *("detach", "alias", "clone"),
    )
)
"""Operations whose result has the same entries in C order."""
SUMMING = {"aten::sum": total, "aten::mean": total}
FEW = MOVING | {"aten::convolution"}
"""Operations that are better given a few entries than whole tensors."""


def few(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Evaluate one of torch's basic operations, entry by entry; None if that is not the way."""
    name = function._schema.name
    if name in REORDERING:
        one = scattered(args[0])
        return one.new(function(one.base, *args[1:], **kwargs), one.places, one.values)
    if name in ("aten::_to_copy", "aten::copy"):
        return _copied(function, args, kwargs)
    if name == "aten::expand":
        one = scattered(args[0])
        return spread(one, function(one.base, *args[1:], **kwargs).shape)
    if name in MOVING:
        return moved(function, args, kwargs)
    if name == "aten::convolution":
        return convolved(function, *args, **kwargs)
    if name in SUMMING and isinstance(args[0], Scattered):
        return SUMMING[name](function, *args, **kwargs)
    if is_entrywise(function, args):
        return of_each(function, args, kwargs)
    return None


def _copied(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return a copy, of another type of number or in the layout of another tensor."""
    one = args[-1] if function._schema.name == "aten::_to_copy" else args[1]
    if not isinstance(one, Scattered):
        return None
    base = function(*(part.base if isinstance(part, Part) else part for part in args), **kwargs)
    if base.device != one.base.device or base.shape != one.base.shape:
        return None
    if base.element_size() < one.base.element_size():
        return None
    return one.new(base, one.places, one.values.to(base.dtype))
