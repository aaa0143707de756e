"""``package.module:attr`` and ``path/to/file.py:attr`` to the object that is meant."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from gradcheck.case import Case
from gradcheck.errors import UsageError
from gradcheck.report import Story, TrainingTrace
from gradcheck.settings import near_name


@dataclass(frozen=True, eq=False)
class Resolved:
    """What a target text names.

    Attributes:
        text: the text as it was written.
        value: the object: a callable, or the module itself when no attribute was named.
        module: the module in which it was found.
        attribute: the dotted attribute within the module; empty for the module itself.
    """

    text: str
    value: Any
    module: ModuleType
    attribute: str


@dataclass(frozen=True, eq=False)
class Declared:
    """The checks that a package or module lists, and what its report tells besides.

    ``traces`` computes the training curves when a report wants them.
    """

    cases: tuple[Case, ...]
    stories: tuple[Story, ...] = ()
    traces: Callable[[], tuple[TrainingTrace, ...]] = tuple


def resolve(text: str, *, home: ModuleType | None = None) -> Resolved:
    """Import what ``text`` names.

    Args:
        text: ``package.module:attr``, ``path/to/file.py:attr`` (dotted attributes allowed), or a
            package, module or file alone.
        home: module in which a plain name without a module is looked for.

    Raises:
        UsageError: the module or the attribute does not exist; near names are suggested.
        Exception: whatever the user's module raises while it is imported.
    """
    place, colon, attribute = text.rpartition(":") if ":" in text else (text, "", "")
    if home is not None and not colon:
        place, attribute = "", text
    elif not place or (colon and not attribute):
        raise UsageError(
            f"{text!r} names no target: write package.module:function, "
            "path/to/file.py:function, or a package that lists its checks in __gradcheck__"
        )
    module = home if home is not None and not place else import_module(place)
    value: Any = module
    for position, name in enumerate(attribute.split(".") if attribute else []):
        try:
            value = getattr(value, name)
        except AttributeError:
            owner = ".".join([place or module.__name__, *attribute.split(".")[:position]])
            raise UsageError(_no_attribute(value, owner, name)) from None
    return Resolved(text, value, module, attribute)


def resolve_function(text: str, *, option: str, home: ModuleType | None = None) -> Any:
    """Return the callable that ``text`` names for a command line option such as ``--grad``."""
    value = resolve(text, home=home).value
    if not callable(value):
        raise UsageError(f"{option} {text}: {_kind(value)} cannot be called; name a function")
    return value


def callable_target(resolved: Resolved) -> Callable[..., Any]:
    """Return the function under check.

    Raises:
        UsageError: the target is a class, or cannot be called.
    """
    value = resolved.value
    if isinstance(value, type) and not is_torch_function(value):
        from gradcheck.targets.unbound import describe_unbound

        raise UsageError(describe_unbound(value, resolved.text, resolved.module))
    if not callable(value):
        from gradcheck.targets.unbound import methods_of

        method = methods_of(type(value))
        advice = f"name its method, {resolved.text}{method}" if method else "name a function"
        raise UsageError(
            f"{resolved.text} is {_kind(value)}, which cannot be called: {advice}"
            + ("" if method else " that returns (loss, gradient)")
        )
    function: Callable[..., Any] = value
    return function


def declared_checks(resolved: Resolved) -> Declared | None:
    """Return the checks that the target declares, or None if it is a single target.

    A module declares them as ``__gradcheck__``; an attribute may be a :class:`Case` or a sequence
    of cases itself.

    Raises:
        UsageError: a module without ``__gradcheck__``, or one that holds something else.
    """
    value = resolved.value
    if isinstance(value, ModuleType):
        if not hasattr(value, "__gradcheck__"):
            raise UsageError(_no_checks(resolved.text, value))
        return Declared(
            _cases(f"{resolved.text}.__gradcheck__", value.__gradcheck__),
            tuple(getattr(value, "__gradcheck_stories__", ())),
            _traces(getattr(value, "__gradcheck_traces__", ())),
        )
    if isinstance(value, Case):
        return Declared((value,))
    if isinstance(value, (list, tuple)) and value and all(isinstance(x, Case) for x in value):
        return Declared(_cases(resolved.text, value))
    return None


def _traces(value: Any) -> Callable[[], tuple[TrainingTrace, ...]]:
    """Training curves take time to compute: a module may give them as a function."""
    return lambda: tuple(value() if callable(value) else value)


def _cases(where: str, value: Any) -> tuple[Case, ...]:
    if callable(value):
        value = value()
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes)):
        raise UsageError(f"{where} is {_kind(value)}: make it a list of gradcheck.Case")
    cases = tuple(value)
    for case in cases:
        if not isinstance(case, Case):
            raise UsageError(f"{where} holds {_kind(case)}: every element must be a gradcheck.Case")
    if not cases:
        raise UsageError(f"{where} is empty: there is nothing to check")
    names = [case.name for case in cases]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{where} lists two checks named {name!r}: give each its own name")
    return cases


def import_module(place: str) -> ModuleType:
    """Import a module by its dotted name, or by the path of its file.

    The current directory is importable; a file's own directory (its package's root) is, too.

    Raises:
        UsageError: there is no such module or file.
        Exception: whatever the module raises while it is imported.
    """
    here = str(Path.cwd())
    if "" not in sys.path and here not in sys.path:
        sys.path.insert(0, here)
    if place.endswith(".py") or os.sep in place:
        return _import_file(Path(place))
    if not all(part.isidentifier() for part in place.split(".")):
        raise UsageError(
            f"{place!r} is neither a module's name nor a path that ends in .py: "
            "write package.module:function or path/to/file.py:function"
        )
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if place == missing or place.startswith(f"{missing}."):
            raise UsageError(_no_module(place, missing)) from None
        raise


def _import_file(path: Path) -> ModuleType:
    if path.is_dir():
        path = path / "__init__.py"
    if not path.is_file():
        folder = path.parent
        files = (
            [str(folder / p.name) for p in sorted(folder.glob("*.py"))] if folder.is_dir() else []
        )
        raise UsageError(f"there is no file {str(path)!r}{near_name(str(path), files)}")
    path = path.resolve()
    names = [] if path.name == "__init__.py" else [path.stem]
    root = path.parent
    while (root / "__init__.py").is_file() and root.name.isidentifier():
        names.insert(0, root.name)
        root = root.parent
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    name = ".".join(names)
    if len(names) > 1 or (names and path.name == "__init__.py"):
        return importlib.import_module(name)
    return _load(path, name)


def _load(path: Path, name: str) -> ModuleType:
    """Load a file that stands alone, under its own name unless that is taken by another module."""
    known = sys.modules.get(name)
    if known is not None and _same_file(getattr(known, "__file__", None), path):
        return known
    taken = known is not None or name in sys.stdlib_module_names or not name.isidentifier()
    module_name = f"gradcheck_target_{name}" if taken else name
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{str(path)!r} cannot be imported: is it a Python file?")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _same_file(first: str | None, second: Path) -> bool:
    return first is not None and Path(first).resolve() == second


def _no_module(place: str, missing: str) -> str:
    parent, _, name = missing.rpartition(".")
    if parent:
        folders = [Path(p) for p in getattr(sys.modules.get(parent), "__path__", [])]
    else:
        folders = [Path.cwd()]
    names = sorted(
        {p.stem for folder in folders if folder.is_dir() for p in folder.glob("*.py")}
        | {
            p.parent.name
            for folder in folders
            if folder.is_dir()
            for p in folder.glob("*/__init__.py")
        }
    )
    where = f"in the package {parent}" if parent else "in the current directory or installed"
    return f"there is no module {place!r} {where}{near_name(name, names)}"


def _no_attribute(owner_value: Any, owner: str, name: str) -> str:
    names = [item for item in dir(owner_value) if not item.startswith("_")]
    message = f"{owner} has no attribute {name!r}{near_name(name, names)}"
    functions = _functions(owner_value)
    if functions and not near_name(name, names):
        message += f"; it has {', '.join(functions[:8])}"
    return message


def _no_checks(text: str, module: ModuleType) -> str:
    functions = _functions(module)
    message = f"{text} lists no checks (__gradcheck__): name the function to check"
    if functions:
        message += ", such as " + " or ".join(f"{text}:{name}" for name in functions[:3])
    else:
        message += f", {text}:function"
    return message


def _functions(owner: Any) -> list[str]:
    """Public functions of a module (its own, not imported ones), in the order of definition."""
    module = getattr(owner, "__name__", None)
    return [
        name
        for name, member in getattr(owner, "__dict__", {}).items()
        if inspect.isfunction(member) and not name.startswith("_") and member.__module__ == module
    ]


def is_torch_function(value: Any) -> bool:
    """Whether ``value`` is a ``torch.autograd.Function``; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return (
        torch is not None and isinstance(value, type) and issubclass(value, torch.autograd.Function)
    )


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
