"""One call under the trace beside the same call in plain NumPy, and its derivative.

NumPy computes every value under the trace, too; what is on trial is the tensor that stands for each
array: its values, shape and dtype, after the call, after a write through the result, and after a
write into the argument. If two arrays share memory, their tensors have to tell so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gradcheck.tracing.errors import NotTraceable
from gradcheck.tracing.hooks import hook_call, recording
from gradcheck.tracing.memory import Shadow, to_tensor
from gradcheck.tracing.recorder import Recorder

LAYOUTS = ("C", "F", "reversed", "strided", "offset", "transposed")


@dataclass(frozen=True)
class Spec:
    """An array: the same numbers whenever it is built, in memory laid out as said."""

    shape: tuple[int, ...]
    dtype: str = "float64"
    layout: str = "C"
    seed: int = 0
    low: float = -2.0
    high: float = 2.0

    def build(self) -> np.ndarray:
        """Return the array, in memory of its own."""
        rng = np.random.default_rng(self.seed)
        shape = self.shape[::-1] if self.layout == "transposed" else self.shape
        values = rng.uniform(self.low, self.high, size=shape)
        # distinct to seven digits, so that rounding to float32 makes no ties
        values = np.asarray(np.round(values, 5))
        array = values.astype(self.dtype) if self.dtype != "bool" else values > 0
        if self.layout == "F":
            return np.asfortranarray(array) if array.ndim else array
        if self.layout == "transposed":
            return array.T
        everywhere = (slice(None, None, -1),) * array.ndim
        if self.layout == "reversed":
            return np.ascontiguousarray(array[everywhere])[everywhere] if array.ndim else array
        wide = np.zeros([2 * n + 1 for n in array.shape], array.dtype)
        inside = tuple(
            slice(1, 2 * n, 2) if self.layout == "strided" else slice(1, n + 1) for n in array.shape
        )
        if self.layout not in ("strided", "offset") or not array.ndim:
            return array
        wide[inside] = array
        return wide[inside]


@dataclass(frozen=True)
class Place:
    """Stands for one of the arrays among the arguments of a call."""

    number: int


A, B, C = Place(0), Place(1), Place(2)


@dataclass(frozen=True)
class Call:
    """A function, or the name of a method of the first argument, and its arguments."""

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)


def filled(value: Any, arrays: Sequence[np.ndarray]) -> Any:
    """Return an argument with the arrays in their places."""
    if isinstance(value, Place):
        return arrays[value.number]
    if type(value) in (list, tuple):
        return type(value)(filled(item, arrays) for item in value)
    return value


def invoke(call: Call, arrays: Sequence[np.ndarray]) -> Any:
    """Run a call: a function, or a method by name."""
    args = filled(call.args, arrays)
    kwargs = {name: filled(value, arrays) for name, value in call.kwargs.items()}
    if isinstance(call.function, str):
        return getattr(args[0], call.function)(*args[1:], **kwargs)
    return call.function(*args, **kwargs)


def float_arrays(value: Any) -> Iterator[np.ndarray]:
    """Yield the float arrays and scalars in a result."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from float_arrays(item)
    elif isinstance(value, np.ndarray):
        if value.dtype.kind == "f":
            yield value
    elif isinstance(value, float | np.floating):
        yield value


def write_through(result: Any) -> None:
    """Change what a call returned, in place: a view changes its argument."""
    for part in float_arrays(result):
        if isinstance(part, np.ndarray) and part.flags.writeable:
            part *= 1.5


def write_into(array: np.ndarray) -> None:
    """Change an argument, in place: views of it change."""
    if array.dtype.kind == "f":
        array += 0.25
        if array.ndim and len(array):
            array[-1] = 0.5 * array[0]


def weighted(*parts: Any) -> Any:
    """One number from all results, by weights that no two entries share."""
    total = 0.0
    for part in parts:
        for number, piece in enumerate(float_arrays(part)):
            flat = np.ravel(piece)
            if flat.size:
                total = total + np.sum(flat * np.cos(np.arange(flat.size) + number))
    return total


@dataclass
class Outcome:
    """What came out of one call: values (or the kind of exception), and what shares memory."""

    result: Any = None
    sharing: list[bool] = field(default_factory=list)
    raised: type[BaseException] | None = None


def plain(call: Call, specs: Sequence[Spec]) -> Outcome:
    """Run a call in plain NumPy."""
    arrays = [spec.build() for spec in specs]
    try:
        result = invoke(call, arrays)
    except Exception as error:
        return Outcome(raised=type(error))
    return Outcome(result, shared(result, arrays))


def shared(result: Any, arrays: Sequence[np.ndarray]) -> list[bool]:
    """Return which results share memory with which arguments."""
    parts = [part for part in float_arrays(result) if isinstance(part, np.ndarray)]
    return [np.shares_memory(part, array) for part in parts for array in arrays]


class Lost(Exception):
    """The trace gave up on the call: an honest answer, to be counted."""


class Traced:
    """A call under the trace, with everything about its tensors asserted on the way."""

    def __init__(self, call: Call, specs: Sequence[Spec]) -> None:
        import torch

        self.torch = torch
        self.call = call
        self.recorder = Recorder(torch)
        self.arrays = [spec.build() for spec in specs]
        self.leaves: dict[int, Any] = {}
        for number, array in enumerate(self.arrays):
            if array.dtype.kind == "f":
                leaf = to_tensor(torch, array).requires_grad_(True)
                self.leaves[number] = leaf
                self.recorder.track(array, Shadow(leaf, ("parameter", str(number))))

    def run(self) -> tuple[Outcome, Any]:
        """Run the call and two writes after it; return the result and the weighted sum."""
        with recording(self.recorder):
            try:
                result = hook_call(invoke, self.call, self.arrays)
            except NotTraceable as lost:
                raise Lost(str(lost)) from lost
            except Exception as error:
                return Outcome(raised=type(error)), None
            outcome = Outcome(_frozen(result), shared(result, self.arrays))
            self.agree(result)
            hook_call(write_through, result)
            self.agree(result)
            if self.arrays[0].flags.writeable:
                hook_call(write_into, self.arrays[0])
            self.agree(result)
            total = hook_call(weighted, result, self.arrays)
        return outcome, total

    def agree(self, result: Any) -> None:
        """Assert that each tensor holds what its array holds."""
        for part in (*float_arrays(result), *self.arrays):
            shadow = self.recorder.shadow(part)
            if shadow is None:
                continue
            if shadow.lost is not None:
                raise Lost(str(shadow.lost))
            tensor = shadow.tensor.detach()
            assert tuple(tensor.shape) == np.shape(part), "shape"
            assert tensor.dtype == self.recorder.torch_dtype(part), "dtype"
            assert self.torch.equal(
                tensor.nan_to_num(7e77), to_tensor(self.torch, part).nan_to_num(7e77)
            ), "values"

    def gradient(self, total: Any) -> dict[int, np.ndarray]:
        """Return the derivative of the weighted sum by each float array."""
        shadow = self.recorder.shadow(total)
        zeros = {n: np.zeros(tuple(leaf.shape)) for n, leaf in self.leaves.items()}
        if shadow is None or not shadow.tensor.requires_grad:
            return zeros
        found = self.torch.autograd.grad(
            shadow.tensor, list(self.leaves.values()), allow_unused=True
        )
        return {
            number: zeros[number] if part is None else part.double().numpy()
            for number, part in zip(self.leaves, found, strict=True)
        }


def _frozen(result: Any) -> Any:
    """Return a copy of a result as it is now: type, layout, flags and values."""
    if isinstance(result, list | tuple):
        items = [_frozen(item) for item in result]
        return type(result)(*items) if hasattr(result, "_fields") else type(result)(items)
    if not isinstance(result, np.ndarray):
        return result
    return Frozen(result.shape, result.strides, result.dtype, result.flags.writeable, result.copy())


@dataclass(frozen=True)
class Frozen:
    """An array as it was."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype
    writeable: bool
    values: np.ndarray


def as_computed(value: Any, frozen: Any) -> bool:
    """Whether a plain result is what the traced call returned."""
    if isinstance(frozen, Frozen):
        return (
            isinstance(value, np.ndarray)
            and (value.shape, value.dtype) == (frozen.shape, frozen.dtype)
            and (value.size == 0 or value.strides == frozen.strides)
            and value.flags.writeable == frozen.writeable
            and np.array_equal(value, frozen.values, equal_nan=value.dtype.kind in "fc")
        )
    if isinstance(frozen, list | tuple):
        return (
            type(value) is type(frozen)
            and len(value) == len(frozen)
            and all(as_computed(a, b) for a, b in zip(value, frozen, strict=True))
        )
    if isinstance(frozen, float | np.floating):
        return type(value) is type(frozen) and (value == frozen or (value != value != frozen))
    return type(value) is type(frozen) and (value is frozen or bool(np.all(value == frozen)))


def numeric_gradient(call: Call, specs: Sequence[Spec], number: int, step: float) -> np.ndarray:
    """Return fourth-order differences of the weighted sum after the same writes."""

    def total(place: tuple[int, ...], move: float) -> float:
        arrays = [spec.build() for spec in specs]
        arrays[number][place] += move
        with np.errstate(all="ignore"):
            result = invoke(call, arrays)
            write_through(result)
            if arrays[0].flags.writeable:
                write_into(arrays[0])
            return float(weighted(result, arrays))

    found = np.zeros(specs[number].shape)
    for place in np.ndindex(found.shape):
        one = total(place, step) - total(place, -step)
        two = total(place, 2 * step) - total(place, -2 * step)
        found[place] = (8 * one - two) / (12 * step)
    return found


TOLERANCES = {"float64": 1e-6, "float32": 3e-3, "float16": 0.3}


def compare(call: Call, specs: Sequence[Spec]) -> str:
    """Run a call both ways and compare everything; return what could be compared.

    ``"raised"``: NumPy refuses the call, and so does the traced one. ``"lost"``: the trace says
    that it cannot follow. ``"values"``: values, shapes, dtypes and sharing agree. ``"gradient"``:
    the derivative agrees, too.
    """
    with np.errstate(all="ignore"):
        expected = plain(call, specs)
        traced = Traced(call, specs)
        try:
            found, total = traced.run()
        except Lost:
            return "lost"
    assert found.raised == expected.raised, (found.raised, expected.raised)
    if expected.raised is not None:
        return "raised"
    assert as_computed(expected.result, found.result), (expected.result, found.result)
    assert found.sharing == expected.sharing
    if traced.recorder.ties or not np.all(np.isfinite(np.asarray(total))):
        return "values"
    wide = [replace(s, dtype="float64") if s.dtype.startswith("float") else s for s in specs]
    if plain(call, wide).sharing != expected.sharing:
        return "values"  # in float64 the same call makes no copy: another function
    dtypes = [spec.dtype for spec in specs]
    dtypes += [str(np.asarray(part).dtype) for part in float_arrays(expected.result)]
    tolerance = max(TOLERANCES.get(dtype, 0.0) for dtype in dtypes)
    for number, values in traced.gradient(total).items():
        numeric = numeric_gradient(call, wide, number, 1e-3)
        if far_apart(values, numeric, tolerance).any():
            finer = numeric_gradient(call, wide, number, 2.5e-4)
            smooth = ~far_apart(numeric, finer, 1e-7)
            assert not np.any(far_apart(values, finer, tolerance) & smooth), (values, finer)
    return "gradient"


def far_apart(one: np.ndarray, other: np.ndarray, tolerance: float) -> np.ndarray:
    """Where two gradients differ by more than the tolerance, or are no numbers."""
    size = max(1.0, float(np.abs(other).max(initial=0.0)))
    return np.asarray(~(np.abs(one - other) <= tolerance * size))
