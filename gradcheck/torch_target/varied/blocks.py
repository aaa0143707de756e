"""Tensors in which a block of several positions changes, as in a group of channels.

Under another shape a block has no position along a dimension. So it is kept under the shape under
which it has one, and written out only where something is asked for that it is not known for.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.elementwise import elementwise
from gradcheck.torch_target.varied.few import is_entrywise
from gradcheck.torch_target.varied.linear import total
from gradcheck.torch_target.varied.reduced import REDUCED
from gradcheck.torch_target.varied.tensor import Varied, groups, taken, unravelled

if TYPE_CHECKING:
    from torch import Tensor

RESHAPING = frozenset(
    f"aten::{name}"
    for name in (
        *("view", "_unsafe_view", "_reshape_alias", "reshape", "unsqueeze", "squeeze"),
        *("clone", "detach", "alias"),
    )
)
"""Operations whose result has the same entries in C order."""
MOST = 64
"""Most blocks of which each is multiplied by itself."""


class Blocks(Varied):
    """A tensor that has the entries of ``inner``, in C order, under another shape."""

    inner: Varied

    def __init__(self, base: Tensor, inner: Varied) -> None:
        own = {"base": base, "places": {}, "tally": inner.tally, "offset": None}
        # The fields of a Varied, of which ``given`` is made when it is asked for.
        self.__dict__.update(own, inner=inner)

    @functools.cached_property
    def given(self) -> Tensor:
        """The values.

        Raises:
            WastefulError: while sparing, if it is faster to compute each entry by its place.
        """
        few = math.prod(self.inner.base.shape[d] for d in self.inner.free)
        self.tally.spare(few, self.base.numel())
        return self.inner.loosened().values.reshape(self.tally.rows, *self.base.shape)

    def reshaped(self, shape: Sequence[int]) -> Varied:
        """Return the same under another shape with as many entries."""
        return viewed(self.inner, shape)


def viewed(one: Varied, shape: Sequence[int]) -> Varied:
    """Return the same under another shape, whichever positions it has there."""
    base = one.base.reshape(shape)
    wide = math.prod(one.base.shape[d] for d in one.places)
    if isinstance(one, Blocks) or wide <= 1 or not base.dim():
        return one.reshaped(shape)
    if base.shape == one.base.shape or _keeps_places(one, shape):
        return one.reshaped(shape)
    return Blocks(base, one)


def _keeps_places(one: Varied, shape: Sequence[int]) -> bool:
    """Whether an evaluation changes one position of the dimensions of another shape, too."""
    for before, _ in groups(one.base.shape, shape):
        wide = [d in one.places for d in before if one.base.shape[d] != 1]
        if any(wide) and not all(wide):
            return False
    return True


def of_blocks(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Evaluate an operation of which an argument changes in blocks; None without a rule."""
    name = function._schema.name
    if name in RESHAPING and isinstance(args[0], Blocks):
        base = function(args[0].base, *args[1:], **kwargs)
        return viewed(args[0].inner, base.shape) if base.dtype == args[0].base.dtype else None
    if name in ("aten::sum", "aten::mean") and not any(args[1:]):
        return total(function, args[0].inner, **kwargs)
    if is_entrywise(function, args) and name not in REDUCED:
        return _of_each(function, args, kwargs)
    rule = PRODUCTS.get(name)
    return None if rule is None else rule(function, *args, **kwargs)


def _of_each(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Blocks | None:
    """Evaluate a function of each entry in the blocks."""
    import torch

    first = next(one for one in args if isinstance(one, Blocks))
    shape, inside = first.base.shape, first.inner.base.shape
    given: list[Any] = []
    for one in args:
        if isinstance(one, Varied):
            if not isinstance(one, Blocks) or one.base.shape != shape:
                return None
            if one.inner.base.shape != inside:
                return None
            given.append(one.inner)
        elif isinstance(one, torch.Tensor) and one.dim():
            if torch.broadcast_shapes(one.shape, shape) != shape:  # type: ignore[no-untyped-call]
                return None
            given.append(one.expand(shape).reshape(inside))
        else:
            given.append(one)
    found = elementwise(function, *given, **kwargs)
    return None if found is None else Blocks(found.base.reshape(shape), found)


def _mm(_: Any, a: Any, b: Any) -> Varied | None:
    """Multiply a matrix that changes in blocks of columns by one that stays."""
    if not isinstance(a, Blocks) or isinstance(b, Varied):
        return None
    inner, rows, lead = a.inner, a.base.shape[0], 0
    while lead < inner.base.dim() and inner.base.shape[:lead].numel() < rows:
        lead += 1
    if inner.base.shape[:lead].numel() != rows or min(inner.places) < lead:
        return None
    split = b.reshape(*inner.base.shape[lead:], b.shape[1])

    def product(change: Tensor, block: Mapping[int, Tensor]) -> Tensor:
        own = taken(split, {d - lead: at for d, at in block.items()}).reshape(-1, b.shape[1])
        return change.reshape(-1, own.shape[0]) @ own

    return _of_changes(inner, a.base @ b, product)


def _addmm(function: Any, bias: Any, a: Any, b: Any, **kwargs: Any) -> Varied | None:
    """Add such a product to a bias that stays."""
    if isinstance(bias, Varied) or any(one != 1 for one in kwargs.values()):
        return None
    found = _mm(function, a, b)
    return None if found is None else found.new(found.base + bias, found.values + bias, {})


def _convolution(function: Any, x: Any, weight: Any, bias: Any, *args: Any) -> Varied | None:
    """A convolution of pictures of which an evaluation changes a block of channels."""
    if not isinstance(x, Blocks) or isinstance(weight, Varied) or isinstance(bias, Varied):
        return None
    inner, transposed, groups = x.inner, args[3], args[5]
    if list(inner.places) != [1] or transposed or groups != 1 or x.base.dim() != weight.dim():
        return None
    (count, blocks, *rest), (pictures, channels, *sizes) = inner.base.shape, x.base.shape
    width = channels // blocks
    if count != pictures or channels % blocks or not rest or rest[0] != width:
        return None

    def given(change: Tensor, block: Mapping[int, Tensor]) -> Tensor:
        own = weight.narrow(1, int(block[1]) * width, width)
        found: Tensor = function(change.reshape(-1, width, *sizes), own, None, *args)
        return found

    return _of_changes(inner, function(x.base, weight, bias, *args), given)


def _of_changes(
    one: Varied, base: Tensor, given: Callable[[Tensor, Mapping[int, Tensor]], Tensor]
) -> Varied | None:
    """Add to a tensor what the changes of blocks give, of all evaluations of a block together."""
    sizes = [one.base.shape[d] for d in one.places]
    first, *others = one.places.values()
    flat = first
    for size, at in zip(sizes[1:], others, strict=True):
        flat = flat * size + at
    found, blocks = base.new_empty(one.tally.rows, *base.shape), sorted(set(flat.tolist()))
    if len(blocks) > MOST:
        return None
    for block in blocks:
        # All of them, without a copy, if there is no other block.
        which = (flat == block).nonzero().squeeze(1) if len(blocks) > 1 else slice(None)
        places = dict(zip(one.places, unravelled(flat.new_tensor([block]), sizes), strict=True))
        more = given(one.values[which] - taken(one.base, places), places)
        found[which] = more.reshape(-1, *base.shape).add_(base)
    return one.new(base, found, {})


PRODUCTS: Mapping[str, Callable[..., Varied | None]] = {
    "aten::mm": _mm,
    "aten::addmm": _addmm,
    "aten::convolution": _convolution,
}
"""Products of a block by what stays; each returns None for what it does not cover."""
