"""Functions of each entry: evaluated at the places that change in any of their arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.patching import added
from gradcheck.torch_target.varied.pending import Pending, defers, pending, source
from gradcheck.torch_target.varied.reduced import REDUCED
from gradcheck.torch_target.varied.scattered import Part
from gradcheck.torch_target.varied.tensor import Varied, taken

if TYPE_CHECKING:
    from torch import Tensor

COMMUTATIVE = frozenset({"aten::add", "aten::mul"})
RULED = frozenset({"aten::clone", "aten::max", "aten::min"})
"""Functions of each entry, or called as such are, for which there are rules."""


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
    alike = function._schema.name in REDUCED
    if alike:
        fits = all(one.base.shape == base.shape for one in operands)
    else:
        fits = all(one.base.dim() == base.dim() for one in operands)
    if fits and defers(*operands):
        return _later(function, base, args, kwargs)
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
    if fits and not places:
        wholes = [one.loosened() if isinstance(one, Varied) else one for one in args]
        if defers(*(one for one in wholes if isinstance(one, Varied))):
            return _later(function, base, wholes, kwargs)

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


def of_wholes(function: Any, args: Sequence[Any]) -> Varied | None:
    """Evaluate a function of each entry of tensors that all change as a whole.

    None for other arguments, and where parts of them are put off.
    """
    import torch

    bases, one = list(args), None
    for k, arg in enumerate(args):
        if type(arg) is Varied or type(arg) is Pending:
            put_off = arg.offset is not None and function is torch.ops.aten.add.Tensor
            if arg.places or put_off or arg.tally.of_tangents:
                return None
            if one is not None and arg.base.shape != one.base.shape:
                return None
            one, bases[k] = arg, arg.base
        elif isinstance(arg, Part | list | tuple):
            return None
    base = function(*bases)
    if one is None or not isinstance(base, torch.Tensor) or base.shape != one.base.shape:
        return None
    if defers(one):
        return _later(function, base, args, {})
    values = [arg.values if isinstance(arg, Varied) else _aligned(arg, base) for arg in args]
    return one.new(base, function(*values), {})


@functools.cache
def is_plain(function: Any) -> bool:
    """Whether an operation is a function of each entry, of which nothing else is known."""
    import torch

    tags, draws = function.tags, torch.Tag.nondeterministic_seeded
    if torch.Tag.pointwise not in tags or draws in tags or function._schema.is_mutable:
        return False
    return function._schema.name not in RULED


@functools.cache
def elsewhere(function: Any) -> Any:
    """Return what gives the values that an operation writes into its first argument."""
    import torch

    name = function._schema.name.removeprefix("aten::")
    changes = [one.alias_info is not None for one in function._schema.arguments]
    if not name.endswith("_") or any(changes[1:]):
        return None
    return getattr(getattr(torch.ops.aten, name[:-1], None), function._overloadname, None)


def _later(function: Any, base: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Varied:
    """Note a function of each entry that is to be evaluated of whole tensors."""
    import torch

    at = [k for k, one in enumerate(args) if isinstance(one, Varied)]
    fixed = [one for one in args if isinstance(one, torch.Tensor)]
    aligned = [_aligned(one, base) for one in args]
    # Losses with targets take these in the shape of what is held against them.
    alike = function._schema.name in REDUCED

    def filled(values: Sequence[Tensor]) -> list[Any]:
        own = list(aligned)
        for k, one in zip(at, values, strict=True):
            own[k] = one
        if alike:
            own = [_as_wide(one, values[0]) for one in own]
        return own

    def run(*values: Tensor) -> Any:
        return function(*filled(values), **kwargs)

    def over(written: Any, k: int, *values: Tensor) -> Any:
        own = filled(values)
        own[0], own[k] = own[k], own[0]
        return written(*own, **kwargs)

    places: dict[int, Callable[..., Any]] = {}
    written = None if alike else _in_place(function)
    for number, k in enumerate(at if written is not None else ()):
        commutes = function._schema.name in COMMUTATIVE and kwargs.get("alpha", 1) == 1
        same = args[k].base.dtype == base.dtype and args[k].base.shape == base.shape
        if same and (k == 0 or commutes):
            places[number] = functools.partial(over, written, k)
    first, *others = (args[k] for k in at)
    return pending(first, base, run, *map(source, others), over=places, fixed=fixed)


def _aligned(one: Any, base: Tensor) -> Any:
    """Return an argument to stand beside many evaluations; nothing for a varied one."""
    import torch

    if isinstance(one, torch.Tensor) and one.dim():
        return one.reshape(*[1] * (base.dim() - one.dim()), *one.shape)
    return None if isinstance(one, Varied) else one


def _as_wide(one: Any, like: Tensor) -> Any:
    import torch

    return one.expand(like.shape) if isinstance(one, torch.Tensor) and one.dim() else one


@functools.cache
def _in_place(function: Any) -> Any:
    """Return what writes the results of one of torch's basic operations into its first argument."""
    import torch

    packet = getattr(torch.ops.aten, function._schema.name.removeprefix("aten::") + "_", None)
    return getattr(packet, function._overloadname, None)


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
