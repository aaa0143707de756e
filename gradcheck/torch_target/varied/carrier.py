"""The tensors that a target is called with to be evaluated many times at once.

To the target they are ordinary tensors, of the shape of one evaluation's; each of torch's functions
that is given one is evaluated for all evaluations.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.elementwise import elsewhere, is_plain, of_wholes
from gradcheck.torch_target.varied.operations import (
    evaluated,
    evaluated_elsewhere,
    evaluated_whole,
)
from gradcheck.torch_target.varied.scattered import Part, parts_of
from gradcheck.torch_target.varied.tensor import NoRuleError, RefusedError, unchanged

if TYPE_CHECKING:
    from torch import Tensor


WRITING = frozenset(
    f"__{name}__"
    for name in (
        *("setitem", "iadd", "isub", "imul", "idiv", "itruediv", "ifloordiv", "imod", "ipow"),
        *("imatmul", "iand", "ior", "ixor", "ilshift", "irshift"),
    )
)
"""Python's operators that write into their first operand."""
PRODUCTS = frozenset(("matmul", "__matmul__", "__rmatmul__"))
RECURRENT = frozenset(
    (
        *("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"),
        *("lstm", "gru", "rnn_tanh", "rnn_relu"),
    )
)
"""Torch's recurrent functions, given the input and the states first."""


@functools.cache
def _carrier_type() -> Any:
    import torch
    from torch.utils._pytree import tree_leaves, tree_map

    same_size = torch.ops.aten.is_same_size.default
    same_memory = torch.ops.aten._has_same_storage_numel.default

    def bare(value: Any) -> Any:
        if isinstance(value, Carrier):
            return value.varied.base if value.varied.tally.over else value.varied
        return [bare(one) for one in value] if isinstance(value, list) else value

    def settled(value: Any) -> Any:
        """Of evaluations that are over, only what they started from is left."""
        is_over = isinstance(value, Carrier) and value.varied.tally.over
        return value.varied.base if is_over else value

    def dressed(value: Any) -> Any:
        return Carrier(value) if isinstance(value, Part) else value

    def viewed(value: Any) -> None:
        if isinstance(value, Carrier):
            value.has_views = True
        elif isinstance(value, list | tuple):
            for one in value:
                viewed(one)

    class Carrier(torch.Tensor):
        """A tensor without memory that stands for a ``Varied``."""

        @staticmethod
        def __new__(cls: Any, varied: Part) -> Any:
            base = varied.base
            return torch.Tensor._make_wrapper_subclass(
                cls,
                base.size(),
                strides=base.stride(),
                storage_offset=base.storage_offset(),
                dtype=base.dtype,
                device=base.device,
            )

        def __init__(self, varied: Part) -> None:
            self.varied = varied
            self.has_views = False

        @classmethod
        def __torch_function__(
            cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            with torch._C.DisableTorchFunctionSubclass():
                args, name = [settled(one) for one in args], getattr(function, "__name__", "")
                try:
                    if name in RECURRENT and not kwargs:
                        return recurrent(function, args)
                    if name in PRODUCTS and (product := _of_vector(name, args)) is not None:
                        return product
                    return function(*args, **(kwargs or {}))
                except NoRuleError:
                    everything = (list(args), dict(kwargs or {}))
                    if _writes(function, everything[1]):
                        raise RefusedError(f"{function} writes into a tensor") from None
                    found, shared = evaluated_whole(function, *tree_map(bare, everything))
                    result = tree_map(dressed, found)
                    if shared:
                        tree_map(viewed, (everything, result))
                    return result

        @classmethod
        def __torch_dispatch__(  # type: ignore[override]
            cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if function is same_size:
                return args[0].shape == args[1].shape
            if function is same_memory:
                # Asked of a tangent and its tensor: a carrier has no memory that could differ.
                return True
            # Of the basic operations the arguments are tensors and lists of them, named or not.
            bases, known = [bare(one) for one in args], _known(function)
            if known.mutates and not is_free(args[0]):
                # Inside a function of torch, it may be a tensor of that function's own.
                raise NoRuleError(f"{function} writes into a tensor")
            if known.of_each is not None and not kwargs:
                found = of_wholes(known.of_each, bases)
                if found is not None:
                    return put(args[0], found, function) if known.mutates else Carrier(found)
            named = {key: bare(value) for key, value in (kwargs or {}).items()}
            if not parts_of((bases, *named.values())):
                return function(*bases, **named)
            if known.mutates:
                return put(args[0], evaluated_elsewhere(function, bases, named), function)
            found = evaluated(function, bases, named)
            result = Carrier(found) if isinstance(found, Part) else tree_map(dressed, found)
            if known.shares:
                viewed(result)
                for one in args:
                    viewed(one)
            return result

    def recurrent(function: Any, args: Sequence[Any]) -> Any:
        """Call a recurrent function without what it does in place to what is not varied.

        It adds to what it computes of the states that it starts from, which are made varied here,
        without a change; and it turns batches that come first.
        """
        leaves = [one for one in tree_leaves(list(args)) if isinstance(one, Carrier)]
        if len(args) < 3 or not leaves:
            return function(*args)
        # The second argument, or the third after the sizes of packed batches.
        at = 2 if isinstance(args[1], torch.Tensor) and not args[1].is_floating_point() else 1

        def state(one: Any) -> Any:
            plain = isinstance(one, torch.Tensor) and not isinstance(one, Carrier) and one.numel()
            return Carrier(unchanged(one, leaves[0].varied.tally)) if plain else one

        given = [*args[:at], tree_map(state, args[at]), *args[at + 1 :]]
        tally = leaves[0].varied.tally
        tally.by_columns = True
        try:
            if given[-1] is not True or at == 2:
                return function(*given)
            found, *states = function(given[0].transpose(0, 1), *given[1:-1], False)
            return found.transpose(0, 1), *states
        finally:
            tally.by_columns = False

    def is_free(target: Any) -> bool:
        """Whether a tensor may be given other values: nothing else is a view of it."""
        return isinstance(settled(target), Carrier) and not target.has_views

    def put(target: Any, found: Any, function: Any) -> Any:
        """Give a tensor the values that are written into it."""
        if found is None or not _alike(found.base, target.varied.base):
            raise NoRuleError(f"{function} writes into a tensor")
        target.varied = found
        return target

    return Carrier


@dataclass(frozen=True)
class _Known:
    """What there is to know of one of torch's basic operations.

    Attributes:
        shares: what it returns is a view.
        mutates: it writes into its first argument.
        of_each: itself, or what it would write, as a function of each entry; None for all else.
    """

    shares: bool
    mutates: bool
    of_each: Any


@functools.cache
def _known(function: Any) -> _Known:
    shares = any(one.alias_info is not None for one in function._schema.returns)
    mutates = bool(function._schema.is_mutable)
    other = elsewhere(function) if mutates else function
    return _Known(shares, mutates, other if other is not None and is_plain(other) else None)


def _writes(function: Any, kwargs: Mapping[str, Any]) -> bool:
    """Whether a function of torch writes into a tensor that it is given, by its name."""
    name = getattr(function, "__name__", "")
    in_place = name in WRITING or (name.endswith("_") and not name.endswith("__"))
    return in_place or kwargs.get("out") is not None or bool(kwargs.get("inplace"))


def _of_vector(name: str, args: Sequence[Any]) -> Tensor | None:
    """Return a vector times a matrix; of anything else None.

    Torch writes it as a matrix with one row, of which it takes away a dimension in place.
    """
    import torch

    if len(args) != 2:
        return None
    vector, matrix = args[::-1] if name == "__rmatmul__" else args
    if not all(isinstance(one, torch.Tensor) for one in args) or vector.dim() != 1:
        return None
    return torch.mv(matrix.t(), vector) if matrix.dim() == 2 else None


def _alike(one: Tensor, two: Tensor) -> bool:
    return one.shape == two.shape and one.dtype == two.dtype


def carrier(varied: Part) -> Any:
    """Return a tensor that stands for a varied one."""
    return _carrier_type()(varied)


def varied_of(tensor: Any) -> Part | None:
    """Return what a carrier stands for; None for any other tensor."""
    found = getattr(tensor, "varied", None)
    return found if isinstance(found, Part) else None
