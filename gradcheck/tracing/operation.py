"""One recorded operation, and what a rule is given to differentiate it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gradcheck.tracing.contract import Site
from gradcheck.tracing.errors import UnsupportedError
from gradcheck.tracing.memory import Origin, to_tensor

if TYPE_CHECKING:
    from gradcheck.tracing.recorder import Recorder

Rule = Callable[..., Any]


@dataclass(slots=True)
class Recorded:
    """One operation as it was recorded, with the tensors that the backward pass needs."""

    name: str
    site: Site
    inputs: list[Origin] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    edges: list[Any] = field(default_factory=list)
    operands: list[Any] = field(default_factory=list)
    keywords: dict[str, Any] = field(default_factory=dict)
    outputs: list[Any] = field(default_factory=list)
    factors: tuple[Any, Any] | None = None


@dataclass(slots=True)
class Tie:
    """A weight that autograd multiplies with, free to choose where an operation sits on a kink.

    ``choices`` are alternative contents of ``weight``; the first is what it holds by itself.
    """

    operation: int
    weight: Any
    choices: dict[str, Any]


class Context:
    """What a rule is given besides the arguments."""

    __slots__ = ("_recorder", "checked", "operation", "ties", "torch", "value")

    def __init__(self, recorder: Recorder, operation: Recorded, value: Any) -> None:
        self.torch = recorder.torch
        self.value = value
        self.operation = operation
        self.checked = True
        self.ties: list[tuple[Any, dict[str, Any]]] = []
        self._recorder = recorder

    @property
    def dtype(self) -> Any:
        """The torch dtype of the result."""
        return self._recorder.torch_dtype(self.value)

    def dtype_of(self, value: Any) -> Any:
        """The torch dtype for a NumPy value's."""
        return self._recorder.torch_dtype(value)

    def tensor(self, value: Any, dtype: Any = None) -> Any:
        """Return ``value`` (tensor, array, number, nested list) as a tensor of ``dtype``."""
        if isinstance(value, list | tuple) and _holds_tensor(value, self.torch):
            wanted = dtype or self.dtype
            return self.torch.stack([self.tensor(v, wanted) for v in value])
        if not isinstance(value, self.torch.Tensor):
            value = to_tensor(self.torch, value)
        if value.is_complex() and dtype is not None and not dtype.is_complex:
            raise UnsupportedError("complex numbers are not covered")
        return value if dtype is None or value.dtype == dtype else value.to(dtype)

    def weight(self, content: Any, choices: dict[str, Any]) -> Any:
        """Return a factor for autograd whose content may be chosen anew at a kink."""
        if choices:
            content = content.clone()
            self.ties.append((content, {"default": content.clone(), **choices}))
        return content


def _holds_tensor(value: Sequence[Any], torch: Any) -> bool:
    for item in value:
        if isinstance(item, torch.Tensor):
            return True
        if isinstance(item, list | tuple) and _holds_tensor(item, torch):
            return True
    return False
