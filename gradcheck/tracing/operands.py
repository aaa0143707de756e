"""The operands of an operation: which of its arguments are traced, and their tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.tracing.errors import NotTraceable
from gradcheck.tracing.operation import Recorded

if TYPE_CHECKING:
    from gradcheck.tracing.recorder import Recorder

NUMBERS = float | complex | np.inexact
"""Scalars that may depend on a parameter."""


def snapshot(argument: Any) -> Any:
    """Return a copy of an array that an operation is about to write into."""
    return argument.copy() if isinstance(argument, np.ndarray) else argument


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_plain(item) for item in value)
    return value is None or type(value) in (int, str, bool)


def plain_keywords(
    args: Sequence[Any], kwargs: Mapping[str, Any], names: Sequence[str]
) -> dict[str, Any]:
    """Return the arguments that are plain data (``axis``, ``keepdims`` ...), by name."""
    keywords = {
        name: value
        for name, value in zip(names[1:], args[1:], strict=False)
        if value is not None and _is_plain(value)
    }
    for name, value in kwargs.items():
        if value is not None and _is_plain(value):
            keywords[name] = value
    return keywords


class Substitution:
    """Replaces the traced values among an operation's arguments by tensors of their own.

    Each gets a node of its own in autograd's graph (an edge), so that a backward pass can alter
    what this operation hands to just this operand.
    """

    __slots__ = ("_all_operands", "_operation", "_recorder", "lost", "traced")

    def __init__(self, recorder: Recorder, operation: Recorded, *, all_operands: bool) -> None:
        self._recorder = recorder
        self._operation = operation
        self._all_operands = all_operands
        self.traced = False
        self.lost: NotTraceable | None = None

    def __call__(self, argument: Any) -> Any:
        """Return ``argument`` with tensors in place of traced values, and note these."""
        kind = type(argument)
        if kind is list or kind is tuple:
            items = [self(item) for item in argument]
            if any(new is not old for new, old in zip(items, argument, strict=True)):
                return items if kind is list else tuple(items)
            return argument
        is_array = isinstance(argument, np.ndarray)
        if not is_array and not isinstance(argument, NUMBERS):
            if self._all_operands and kind in (int, bool):
                self._constant(argument)
            return argument
        shadow = self._recorder.shadow(argument)
        if shadow is None:
            if is_array or self._all_operands:
                self._constant(argument)
            return argument
        self.traced = True
        if shadow.lost is not None:
            self.lost = self.lost or shadow.lost
            return argument
        return self._recorder.edge(self._operation, shadow)

    def _constant(self, argument: Any) -> None:
        shape = np.shape(argument)
        if isinstance(argument, np.ndarray):
            description = f"array {shape}"
        else:
            description = repr(argument.item() if isinstance(argument, np.generic) else argument)
        self._operation.inputs.append(("constant", description))
        self._operation.shapes.append(shape)
        self._operation.edges.append(None)
        self._operation.operands.append(np.array(argument))
