"""What is known of operations on tensors of which each evaluation changes a few entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradcheck.torch_target.varied.adding import total
from gradcheck.torch_target.varied.few import is_entrywise, of_each
from gradcheck.torch_target.varied.moving import MOVING, moved, spread
from gradcheck.torch_target.varied.scattered import Scattered, scattered
from gradcheck.torch_target.varied.taps import convolved

REORDERING = frozenset(
    f"aten::{name}"
    for name in (
        *("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze"),
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
