"""The record of one traced call: which values have a tensor, and which operations made them.

NumPy computes every value, on the user's own arrays, just as in a plain call. Beside it, the
recorder keeps a *shadow* (a torch tensor with the same values) for every value that depends on a
parameter: arrays are recognised by their memory, scalars by their identity.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck.tracing.agreement import close
from gradcheck.tracing.contents import contents
from gradcheck.tracing.contract import Site
from gradcheck.tracing.errors import NotTraceable, UnsupportedError
from gradcheck.tracing.memory import Memory, Positions, Shadow, owner_of, to_tensor
from gradcheck.tracing.operands import NUMBERS, Substitution, plain_keywords, snapshot
from gradcheck.tracing.operation import Context, Recorded, Rule, Tie
from gradcheck.tracing.rules.complex_numbers import PARTIAL_VIEWS, own_memory, refuse_unless_covered
from gradcheck.tracing.sites import Sites
from gradcheck.tracing.source import Rebuilder

_FAILURES = (UnsupportedError, TypeError, ValueError, RuntimeError, IndexError, KeyError)
"""What a rule or torch raises for arguments that they do not cover."""


class Recorder:
    """Shadows and operations of one traced call."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self.operations: list[Recorded] = []
        self.ties: list[Tie] = []
        self.positions = Positions()
        self.rebuilder = Rebuilder()
        self.sites = Sites()
        self._scalars: dict[int, tuple[Any, Shadow]] = {}
        self._memories: dict[int, tuple[Memory, Any]] = {}
        self._opaque: dict[int, tuple[Any, NotTraceable]] = {}
        self._dtypes = {
            np.dtype(np.float64): torch.float64,
            np.dtype(np.float32): torch.float32,
            np.dtype(np.float16): torch.float16,
            np.dtype(np.complex128): torch.complex128,
            np.dtype(np.complex64): torch.complex64,
        }

    # shadows

    def torch_dtype(self, value: Any) -> Any:
        """Return the torch dtype for a NumPy value's; raises where there is none."""
        dtype = getattr(value, "dtype", None)
        if dtype is None:
            return self.torch.complex128 if isinstance(value, complex) else self.torch.float64
        found = self._dtypes.get(dtype)
        if found is None:
            raise UnsupportedError(f"results of dtype {dtype} have no derivative here")
        return found

    def shadow(self, value: Any) -> Shadow | None:
        """Return the shadow of an array or a number, or ``None`` if it depends on no parameter."""
        if isinstance(value, NUMBERS):
            found = self._scalars.get(id(value))
            return found[1] if found is not None else None
        if isinstance(value, np.ndarray):
            owner = owner_of(value)
            known = self._memories.get(id(owner))
            if known is not None and value.size:
                return known[0].read(owner, value, self)
        return None

    def is_tracked(self, value: Any) -> bool:
        """Whether a value depends on a parameter, without making its tensor."""
        if isinstance(value, NUMBERS):
            return id(value) in self._scalars
        if isinstance(value, np.ndarray):
            return id(owner_of(value)) in self._memories and bool(value.size)
        return False

    def memory(self, array: Any, *, create: bool = False) -> tuple[Memory | None, Any]:
        """Return the record of an array's memory block and the array that owns it."""
        owner = owner_of(array)
        known = self._memories.get(id(owner))
        if known is not None:
            return known[0], owner
        if not create:
            return None, owner
        memory = Memory(owner)
        number = id(owner)
        memories = self._memories
        reference = weakref.ref(owner, lambda _: memories.pop(number, None))
        memories[number] = (memory, reference)
        return memory, owner

    def track(self, value: Any, shadow: Shadow, *, wrote: bool = True) -> None:
        """Remember the shadow of a new value, or of what was written into an array.

        With ``wrote=False`` the value may be a view of memory that has a shadow already: then the
        memory keeps it, and only the view's own tensor is remembered.
        """
        if isinstance(value, np.ndarray):
            if value.size == 0:
                return
            known = self.is_tracked(value)
            memory, _ = self.memory(value, create=True)
            assert memory is not None
            key = memory.key(value)
            if key is None:
                memory.lost = NotTraceable("view", None, "memory is written as another dtype")
            elif known and not wrote:
                memory.remember(key, shadow)
            else:
                memory.write(key, shadow, self.positions)
        elif isinstance(value, NUMBERS):
            self._scalars[id(value)] = (value, shadow)

    def constant_write(self, array: Any) -> None:
        """Note that ``array`` was overwritten by values that depend on no parameter."""
        if self.is_tracked(array):
            self.track(array, self.constant(array))

    def constant(self, array: Any) -> Shadow:
        """Return the shadow of values that depend on no parameter and were written just here."""
        tensor = to_tensor(self.torch, array)
        return Shadow(tensor, ("constant", ""), site=self.sites.here())

    def lose(
        self,
        value: Any,
        reason: NotTraceable,
        *,
        wrote: bool = False,
        known: frozenset[int] = frozenset(),
    ) -> None:
        """Mark the floats in ``value`` as depending on parameters in an unknown way.

        What is known already stays so, unless it is ``value`` itself and was overwritten; so do
        objects whose identity is among ``known``.
        """
        for one in contents([value], known):
            if isinstance(one, np.ndarray | NUMBERS):
                written = wrote and one is value
                if _has_floats(one) and (written or not self.is_tracked(one)):
                    self.track(one, Shadow(None, ("constant", ""), reason))
            elif _is_opaque(one):
                self._opaque[id(one)] = (one, reason)

    def hidden_in(self, value: Any) -> NotTraceable | None:
        """Return why what an object hands out is lost: a library made it of traced values."""
        found = self._opaque.get(id(value)) if self._opaque else None
        return found[1] if found is not None else None

    def check_unchanged(self, value: Any, reason: NotTraceable) -> None:
        """Give up on an array that code which cannot be followed has written into."""
        shadow = self.shadow(value) if isinstance(value, np.ndarray) else None
        if shadow is None or shadow.lost is not None:
            return
        if not np.array_equal(shadow.tensor.detach().numpy(), value, equal_nan=True):
            self.track(value, Shadow(None, ("constant", ""), reason))

    # operations

    def assemble(self, pieces: list[Shadow], build: Callable[[list[Any]], Any]) -> Shadow:
        """Record the reading of an array that was written to in pieces."""
        operation = Recorded("assemble", self._last_written(pieces[1:]) or self.sites.here())
        tensors = [self.edge(operation, piece) for piece in pieces]
        with self.torch.enable_grad():
            tensor = build(tensors)
        if not tensor.requires_grad:
            return Shadow(tensor, ("constant", ""))
        operation.outputs.append(tensor)
        self.operations.append(operation)
        return Shadow(tensor, ("operation", len(self.operations) - 1))

    def _last_written(self, pieces: list[Shadow]) -> Site | None:
        """Return where the last of several pieces was written into an array."""
        for piece in reversed(pieces):
            if piece.site is not None:
                return piece.site
            kind, number = piece.origin
            if kind == "operation":
                return self.operations[int(number)].site
        return None

    @staticmethod
    def edge(operation: Recorded, shadow: Shadow) -> Any:
        """Return a node of autograd's graph for what one operand hands to one operation."""
        tensor = shadow.tensor
        varies = tensor.requires_grad
        edge = tensor.view_as(tensor) if varies else tensor
        operation.inputs.append(shadow.origin if varies else ("constant", "array"))
        operation.shapes.append(tuple(tensor.shape))
        operation.edges.append(edge if varies else None)
        operation.operands.append(tensor)
        return edge

    def apply(
        self,
        name: str,
        rule: Rule,
        native: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        all_operands: bool = False,
        written: Any = None,
        parameter_names: Sequence[str] = (),
    ) -> Any:
        """Run ``native(*args, **kwargs)`` and record it with ``rule`` for its derivative.

        ``written`` is the array that the operation writes into, if it does; ``all_operands`` lists
        constant numbers, too, among the operation's inputs.
        """
        operation = Recorded(name, _NOWHERE)
        substitute = Substitution(self, operation, all_operands=all_operands)
        new_args = [substitute(argument) for argument in args]
        new_kwargs = {key: substitute(value) for key, value in kwargs.items()}
        if not substitute.traced:
            result = native(*args, **kwargs)
            if written is not None:
                self.constant_write(written)
            return result
        if written is not None:
            new_args = [snapshot(argument) for argument in new_args]
            new_kwargs = {key: snapshot(argument) for key, argument in new_kwargs.items()}
        value = native(*args, **kwargs)
        if name in PARTIAL_VIEWS:
            value = own_memory(name, value)
        target = value if written is None else written
        if not _has_floats(target):
            return value
        operation.site = self.sites.here()
        operation.keywords = plain_keywords(args, kwargs, parameter_names)
        if substitute.lost is not None:
            self.lose(target, substitute.lost, wrote=written is not None)
            return value
        context = Context(self, operation, target)
        try:
            refuse_unless_covered(name, operation.operands)
            with self.torch.enable_grad():
                tensors = rule(context, *new_args, **new_kwargs)
                self._finish(context, target, tensors, wrote=written is not None)
        except _FAILURES as error:
            lost = NotTraceable(name, operation.site, str(error).split("\n")[0])
            self.lose(target, lost, wrote=written is not None)
        return value

    def _finish(self, context: Context, target: Any, tensors: Any, *, wrote: bool) -> None:
        """Check the rule's tensors against NumPy's values and make them the values' shadows."""
        operation = context.operation
        index = len(self.operations)
        several = isinstance(tensors, list | tuple)
        pairs = list(zip(target, tensors, strict=True)) if several else [(target, tensors)]
        settled = []
        for value, tensor in pairs:
            if tensor is None or not _has_floats(value):
                continue
            settled.append((value, self._settle(context, value, tensor)))
        if not any(tensor.requires_grad for _, tensor in settled):
            if settled and any(edge is not None for edge in context.operation.edges):
                raise UnsupportedError("torch does not know its derivative")
            for value, tensor in settled:
                if isinstance(value, np.ndarray) and self.is_tracked(value):
                    self.track(value, Shadow(tensor, ("constant", "")), wrote=wrote)
            return
        for value, tensor in settled:
            operation.outputs.append(tensor)
            self.track(value, Shadow(tensor, ("operation", index)), wrote=wrote)
        for weight, choices in context.ties:
            self.ties.append(Tie(index, weight, choices))
        self.operations.append(operation)

    def _settle(self, context: Context, value: Any, tensor: Any) -> Any:
        """Return ``tensor`` holding just NumPy's value, so that both agree to the last bit."""
        torch = self.torch
        dtype = self.torch_dtype(value)
        if tensor.dtype != dtype:
            tensor = tensor.to(dtype)
        shape = np.shape(value)
        if tuple(tensor.shape) != shape:
            raise UnsupportedError(f"shape {tuple(tensor.shape)} in torch, {shape} in NumPy")
        exact = to_tensor(torch, value)
        data = tensor.data  # detach() would share the version counter that autograd checks
        if torch.equal(data, exact):
            return tensor
        operation = context.operation
        if context.checked and not close(torch, data, exact, operation.name, operation.operands):
            raise UnsupportedError("torch and NumPy disagree about its value")
        if data.is_contiguous() and tensor._base is None:
            data.copy_(exact)
            return tensor
        missing = exact - data
        return tensor + torch.where(torch.isfinite(missing), missing, torch.zeros_like(missing))


_NOWHERE = Site("", 0, "")


_HIDING = frozenset(
    {"numpy", "scipy", "pandas", "torch", "jax", "fractions", "decimal", "statistics", "array"}
)
"""Libraries whose objects compute: what they hand out is not what they were given."""


def _is_opaque(value: Any) -> bool:
    if isinstance(value, np.generic | np.dtype):
        return False
    if isinstance(value, Iterator | memoryview):
        return True
    return type(value).__module__.split(".")[0] in _HIDING


def _has_floats(value: Any) -> bool:
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.kind in "fcOV"
    if isinstance(value, float | complex):
        return True
    return isinstance(value, list | tuple) and any(_has_floats(item) for item in value)
