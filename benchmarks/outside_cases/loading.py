"""A case's text as a module, imported from a temporary file."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any


@contextmanager
def imported(name: str, text: str) -> Iterator[ModuleType]:
    """Give the text as an imported module, whose file lasts as long as the block."""
    with TemporaryDirectory(prefix="outside_case_") as folder:
        path = Path(folder) / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        full = f"outside_case_{name}"
        spec = importlib.util.spec_from_file_location(full, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        try:
            spec.loader.exec_module(module)
            yield module
        finally:
            del sys.modules[full]


def target(module: ModuleType) -> Callable[..., Any]:
    """What is checked: the module's ``target``, or its ``loss`` where it names none."""
    return getattr(module, "target", None) or module.loss


def separate_gradient(module: ModuleType) -> Callable[..., Any] | None:
    """The function of the gradient alone, where the module has one."""
    return getattr(module, module.GRAD) if hasattr(module, "GRAD") else None
