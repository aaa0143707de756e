"""Calling a target safely: private copies of its inputs, put back after each call where needed."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.calling import random_state
from gradcheck.calling.live import LiveState
from gradcheck.calling.tree import leaves, map_leaves
from gradcheck.errors import UsageError

LOW_PRECISION = ("float16", "float32")


@dataclass(frozen=True, eq=False, slots=True)
class BoundInputs:
    """A target's arguments, with the name of each.

    ``names`` holds, for each positional argument, the parameter's name in the signature;
    ``defaults`` the numbers that arguments left out have by default.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    names: tuple[str, ...]
    defaults: Mapping[str, float] = field(default_factory=dict)

    def items(self) -> list[tuple[str, Any]]:
        """Return ``(name, value)`` of every argument, positional ones first."""
        return [*zip(self.names, self.args, strict=True), *self.kwargs.items()]


def bind_inputs(target: Callable[..., Any], inputs: Any) -> BoundInputs:
    """Read ``inputs`` as a call: a dict by keyword, a tuple by position, else one argument.

    Raises:
        UsageError: the target cannot be called with these.
    """
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    if inputs is None:
        pass
    elif isinstance(inputs, Mapping):
        kwargs = inputs
    elif isinstance(inputs, tuple) and not hasattr(inputs, "_fields"):
        args = inputs
    else:
        args = (inputs,)
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return BoundInputs(args, kwargs, tuple(f"argument_{i}" for i in range(len(args))))
    if any(not isinstance(key, str) for key in kwargs):
        # Not keyword arguments: the dict itself is the one argument.
        args, kwargs = (inputs,), {}
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        alone = _dict_as_argument(signature, inputs)
        if alone is None:
            raise UsageError(
                f"{_name_of(target)}{signature} cannot be called with these inputs: {error}; "
                "give a dict for keyword arguments or a tuple for positional ones"
            ) from None
        args, kwargs = alone
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [one.name for one in signature.parameters.values() if one.kind in kinds]
    names = names[: len(args)] + [f"argument_{i}" for i in range(len(names), len(args))]
    arrays, numbers = _defaults(signature, args, kwargs)
    return BoundInputs(args, {**kwargs, **arrays}, tuple(names), numbers)


def _defaults(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, float]]:
    """Defaults of the arguments left out: arrays, which may be parameters, and numbers."""
    given = signature.bind(*args, **kwargs).arguments
    arrays: dict[str, Any] = {}
    numbers: dict[str, float] = {}
    for name, one in signature.parameters.items():
        if name in given or one.kind is inspect.Parameter.POSITIONAL_ONLY:
            continue
        if isinstance(one.default, np.ndarray):
            arrays[name] = one.default
        elif isinstance(one.default, int | float) and not isinstance(one.default, bool):
            if given or arrays:
                numbers[name] = float(one.default)
            else:
                arrays[name] = one.default
    return arrays, numbers


def _dict_as_argument(
    signature: inspect.Signature, inputs: Any
) -> tuple[tuple[Any, ...], Mapping[str, Any]] | None:
    """Take a dict of parameters as the single argument where it cannot be keywords."""
    if not isinstance(inputs, Mapping):
        return None
    try:
        signature.bind(inputs)
    except TypeError:
        return None
    return (inputs,), {}


def _name_of(target: Callable[..., Any]) -> str:
    return getattr(target, "__qualname__", type(target).__name__)


def copy_inputs(inputs: BoundInputs) -> BoundInputs:
    """Return a deep copy in which arrays that were one object stay one object.

    Raises:
        UsageError: an input cannot be copied.
    """
    try:
        args, kwargs = copy.deepcopy((inputs.args, dict(inputs.kwargs)))
    except (TypeError, NotImplementedError, RecursionError) as error:
        raise UsageError(
            f"the inputs cannot be copied ({error}); pass plain arrays, numbers and containers, "
            "or a factory that makes them"
        ) from None
    return BoundInputs(args, kwargs, inputs.names)


def arrays_of(value: Any) -> list[NDArray[Any]]:
    """Return the NumPy arrays among the leaves of ``value``."""
    return [leaf.value for leaf in leaves(value, "x") if isinstance(leaf.value, np.ndarray)]


def same(one: NDArray[Any], two: NDArray[Any]) -> bool:
    """Return whether two arrays hold the same values, NaN counting as equal to itself."""
    if one.shape != two.shape or one.dtype != two.dtype:
        return False
    if np.array_equal(one, two):
        return True
    return one.dtype.kind in "fc" and bool(np.array_equal(one, two, equal_nan=True))


@dataclass(eq=False)
class Call:
    """A target with private inputs, called again and again at whatever they hold then.

    Attributes:
        scalars: for each number under check, the position of its place among the leaves and the
            0-d array that holds its value; the arguments are rebuilt from these.
        overwritten: identities of the arrays that the target was seen to change: it is handed
            copies of them.
        rearranged: the target was seen to change containers: it is handed new ones each time.
        generators: random generators among the inputs with their states.
        seed: the seed for the global generators before each call; None leaves them alone.
        live: parameters that the target reads from elsewhere and was seen to change.
        live_overwritten: the arrays among them that it overwrites.
    """

    target: Callable[..., Any]
    inputs: BoundInputs
    scalars: Mapping[int, NDArray[Any]] = field(default_factory=dict)
    overwritten: frozenset[int] = frozenset()
    rearranged: bool = False
    generators: Sequence[tuple[Any, Any]] = ()
    seed: int | None = None
    live: LiveState | None = None
    live_overwritten: Sequence[NDArray[Any]] = ()

    @property
    def is_plain(self) -> bool:
        """Whether nothing has to be done around a call of the target."""
        rebuilt = self.scalars or self.overwritten or self.rearranged
        return not (rebuilt or self.generators or self.seed is not None or self.live)

    def arguments(self) -> BoundInputs:
        """Return the inputs as the target is handed them at this moment."""
        if not (self.scalars or self.overwritten or self.rearranged):
            return self.inputs
        position = iter(range(1_000_000_000))

        def current(leaf: Any) -> Any:
            cell = self.scalars.get(next(position))
            if cell is not None:
                return _number(cell, leaf)
            return leaf.copy() if id(leaf) in self.overwritten else leaf

        args, kwargs = map_leaves(current, (self.inputs.args, dict(self.inputs.kwargs)))
        return BoundInputs(args, kwargs, self.inputs.names)

    def rewind(self) -> None:
        """Put the random generators to where they are before each call."""
        if self.seed is not None:
            random_state.seed_all(self.seed)
        for generator, state in self.generators:
            random_state.set_state(generator, state)

    def __call__(self) -> Any:
        """Call the target and return what it returns."""
        if self.seed is None:
            return self._called()
        with random_state.TURNS:
            return self._called()

    def _called(self) -> Any:
        self.rewind()
        inputs = self.arguments()
        if self.live is None:
            return self.target(*inputs.args, **inputs.kwargs)
        with self.live.kept(self.live_overwritten):
            return self.target(*inputs.args, **inputs.kwargs)


def _number(cell: NDArray[Any], original: Any) -> Any:
    """The value of a cell as the kind of number that the user handed in."""
    if isinstance(original, np.generic):
        return cell[()]
    return complex(cell[()]) if cell.dtype.kind == "c" else float(cell[()])
