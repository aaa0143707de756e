"""Which arguments a target takes, whatever kind of callable it is."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gradcheck.errors import UsageError
from gradcheck.settings import near_name
from gradcheck.targets.target import is_torch_function

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True, eq=False)
class Signature:
    """Which arguments a target takes; ``parameters`` is None where Python cannot tell."""

    parameters: tuple[inspect.Parameter, ...] | None
    keywords: bool = True

    @classmethod
    def of(cls, target: Callable[..., Any]) -> Signature:
        """Read the signature of a function, a method, a module or a ``torch.autograd.Function``."""
        torch = sys.modules.get("torch")
        function: Any = target
        kind: Any = target
        keywords, context = True, 0
        if torch is not None and isinstance(target, torch.nn.Module):
            function = kind.forward
        elif is_torch_function(target):
            function, keywords = kind.forward, False
            base = sys.modules["torch"].autograd.Function.setup_context
            context = int(getattr(kind, "setup_context", base) is base)
        try:
            parameters = tuple(inspect.signature(function).parameters.values())[context:]
        except (TypeError, ValueError):
            return cls(None, False)
        positional_only = any(p.kind is p.POSITIONAL_ONLY for p in parameters)
        return cls(parameters, keywords and not positional_only)

    def names(self) -> list[str]:
        """Names of the arguments that stand for one value each."""
        return [p.name for p in self.parameters or () if p.kind not in VARIADIC]

    def missing(self, values: Mapping[str, Any]) -> list[str]:
        """Arguments without a default and without a value."""
        return [
            p.name
            for p in self.parameters or ()
            if p.kind not in VARIADIC and p.default is p.empty and p.name not in values
        ]

    def open(self, values: Mapping[str, Any]) -> list[str]:
        """Arguments without a value that have no default, or None for one."""
        return [
            p.name
            for p in self.parameters or ()
            if p.kind not in VARIADIC
            and (p.default is p.empty or p.default is None)
            and p.name not in values
        ]

    def knows(self, name: str) -> bool:
        """Whether an input of that name can be passed."""
        variadic = any(p.kind in VARIADIC for p in self.parameters or ())
        return self.parameters is None or variadic or name in self.names()

    def accepts(self, values: Mapping[str, Any]) -> bool:
        """Whether every input can be passed and none is missing."""
        return all(self.knows(name) for name in values) and not self.missing(values)

    def takes_one(self) -> bool:
        """Whether the target can be called with a single argument."""
        names = self.names()
        return bool(names) and not set(self.missing({})) - {names[0]}

    def refuse_unknown(self, values: Mapping[str, Any], target: str) -> None:
        """Raise a UsageError for the first input that the target does not take."""
        for name in values:
            if not self.knows(name):
                names = self.names()
                takes = f"takes {', '.join(names)}" if names else "takes no arguments"
                raise UsageError(
                    f"{target} has no argument {name!r}{near_name(name, names)}; it {takes}"
                )

    def positional(self, values: Mapping[str, Any]) -> tuple[str, ...] | None:
        """The names in the order of the call, where inputs cannot be passed by keyword."""
        if self.parameters is None:
            return tuple(values)
        kinds = {p.kind for p in self.parameters}
        starred = inspect.Parameter.VAR_POSITIONAL in kinds
        extra = [name for name in values if name not in self.names()]
        if starred and extra and inspect.Parameter.VAR_KEYWORD not in kinds:
            return (*self.names(), *extra)
        return None if self.keywords else tuple(self.names())
