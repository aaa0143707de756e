"""Functions of each entry: evaluated at the places that change in any of their arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.patching import added
from gradcheck.torch_target.varied.reduced import REDUCED
from gradcheck.torch_target.varied.tensor import Varied, taken

if TYPE_CHECKING:
    from torch import Tensor


def elementwise(function: Any, *args: Any, **kwargs: Any) -> Varied | None:
    """Evaluate a function of each entry at the places that change in any of its arguments."""
    import torch

    if function is torch.ops.aten.add.Tensor:
        found = added(function, *args, **kwargs)
        if found is not None:
            return found
    base = function(*bases_of(args), **kwargs)
    operands = [one for one in args if isinstance(one, Varied)]
    if not isinstance(base, torch.Tensor) or not operands:
        return None
    rank = base.dim()
    shifted = [
        {
            d + rank - one.base.dim(): at
            for d, at in one.places.items()
            if one.base.shape[d] == base.shape[d + rank - one.base.dim()]
        }
        for one in operands
    ]
    places = {d: at for d, at in shifted[0].items() if all(s.get(d) is at for s in shifted)}

    def part(one: Any) -> Any:
        if isinstance(one, Varied):
            lead = rank - one.base.dim()
            kept = one.loosened([d - lead for d in places])
            shape = kept.values.shape
            return kept.values.reshape(shape[0], *[1] * lead, *shape[1:]) if lead else kept.values
        if isinstance(one, torch.Tensor) and one.dim():
            aligned = one.reshape(*[1] * (rank - one.dim()), *one.shape)
            found = _taken_where_wide(aligned, places)
            # Losses with targets take these in the shape of what is held against them.
            alike = not places and function._schema.name in REDUCED
            return found.expand(operands[0].tally.rows, *base.shape) if alike else found
        return one

    values = function(*(part(one) for one in args), **kwargs)
    free = [size for d, size in enumerate(base.shape) if d not in places]
    if list(values.shape[1:]) != free:
        values = values.expand(values.shape[0], *free)
    return operands[0].new(base, values, places)


def combined(function: Any, *args: Any) -> Any:
    """Evaluate a function of each entry, whether an argument is varied or none."""
    if any(isinstance(one, Varied) for one in args):
        return elementwise(function, *args)
    return function(*args)


def _taken_where_wide(tensor: Tensor, places: Mapping[int, Tensor]) -> Tensor:
    """Return a tensor that may be broadcast at positions along some of its dimensions."""
    wide = {d: at for d, at in places.items() if tensor.shape[d] != 1}
    narrow = [d for d in places if d not in wide]
    found = taken(tensor, wide)
    if not narrow:
        return found
    free = [d for d in range(tensor.dim()) if d not in wide]
    lead = 1 if wide else 0
    return found.squeeze(tuple(lead + free.index(d) for d in narrow))


def bases_of(args: Sequence[Any]) -> list[Any]:
    """Return arguments with each varied tensor as it is at the point itself."""
    return [one.base if isinstance(one, Varied) else one for one in args]
