"""Functions rebuilt from their own source, with hooks in them.

The whole file is parsed, rewritten and compiled once, never executed; the function's code object
is looked up in the result. The rebuilt function shares globals, closure cells, defaults and
attributes with the original, which stays as it is: nothing in the user's module is touched, so
that there is nothing to restore and other threads notice nothing.
"""

from __future__ import annotations

import ast
import linecache
import sysconfig
import types
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from gradcheck.tracing import syntax

_NEVER_REWRITTEN = ("torch", "numba", "jax", "gradcheck.tracing")
_HERE = str(Path(__file__).parent)


def _standard_library() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({paths["stdlib"], paths["platstdlib"]})


_STANDARD_LIBRARY = _standard_library()


@lru_cache(maxsize=4096)
def _is_open(filename: str, module: str) -> bool:
    """Whether functions of this file may be rewritten: all but torch and the standard library."""
    if module in _NEVER_REWRITTEN or module.startswith(tuple(f"{m}." for m in _NEVER_REWRITTEN)):
        return False
    if "site-packages" in filename or "dist-packages" in filename:
        return True
    return not filename.startswith((*_STANDARD_LIBRARY, _HERE, "<frozen"))


def _code_objects(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _code_objects(constant)


def _group(code: types.CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def _with_hooks(code: types.CodeType) -> types.CodeType:
    """Return ``code`` with the marker among its constants replaced by the hooks themselves."""
    from gradcheck.tracing import hooks

    constants: list[Any] = []
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            constants.append(_with_hooks(constant))
        else:
            constants.append(hooks if constant == syntax.MARKER else constant)
    return code.replace(co_consts=tuple(constants))


@lru_cache(maxsize=64)
def _statements(filename: str, source: str) -> tuple[list[ast.stmt], list[tuple[int, int]]]:
    """Return a file's ``from __future__`` imports, and the lines of its top-level statements."""
    body = ast.parse(source, filename).body
    future: list[ast.stmt] = [
        s for s in body if isinstance(s, ast.ImportFrom) and s.module == "__future__"
    ]
    return future, [(_first_line(s), s.end_lineno or s.lineno) for s in body]


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


Group = tuple[str, int]
"""Name and first line of a function; only lambdas on one line share them."""


@lru_cache(maxsize=1024)
def _compiled(
    filename: str, source: str, first: int, last: int, *, hooked: bool
) -> dict[Group, list[types.CodeType]]:
    """Return the functions in a statement, with hooks or as written, in order.

    The statement is parsed by itself, behind as many empty lines as there are lines before it.
    """
    future = _statements(filename, source)[0]
    text = "\n" * (first - 1) + "\n".join(source.split("\n")[first - 1 : last])
    module = ast.Module([*future, *ast.parse(text, filename).body], [])
    if hooked:
        module = syntax.rewrite(module)
    code = compile(module, filename, "exec", dont_inherit=True)
    found: dict[Group, list[types.CodeType]] = {}
    for inner in _code_objects(_with_hooks(code) if hooked else code):
        found.setdefault(_group(inner), []).append(inner)
    return found


def _signature(code: types.CodeType) -> tuple[Any, ...]:
    """Return what a function's source has in common with it, unless it has changed since."""
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return names, code.co_argcount, code.co_flags & 0x2C, code.co_freevars


def _end(code: types.CodeType) -> tuple[int, int]:
    """Return where the text of a function's body ends; tells lambdas on a line apart."""
    ends = ((line, column) for _, line, _, column in code.co_positions())
    return max((line or 0, column or 0) for line, column in ends)


def _hooked_code(function: types.FunctionType) -> types.CodeType | None:
    code = function.__code__
    lines = linecache.getlines(code.co_filename, function.__globals__)
    if not lines:
        return None
    source = "".join(lines)
    try:
        extents = _statements(code.co_filename, source)[1]
        around = [e for e in extents if e[0] <= code.co_firstlineno <= e[1]]
        found: list[types.CodeType] = []
        for extent in around:
            found += _candidates(code, source, extent)
    except SyntaxError:
        return None
    return next((one for one in found if _signature(one) == _signature(code)), None)


def _candidates(code: types.CodeType, source: str, extent: tuple[int, int]) -> list[types.CodeType]:
    """Return the functions with hooks that may be ``code``; of several lambdas, the one in place.

    The hooks change the positions in the code, so that lambdas on one line are told apart by their
    text as written, and found with hooks by their order.
    """
    group = _group(code)
    hooked = _compiled(code.co_filename, source, *extent, hooked=True).get(group, [])
    if len(hooked) < 2:
        return hooked
    plain = _compiled(code.co_filename, source, *extent, hooked=False)[group]
    place = _end(code)
    return [h for p, h in zip(plain, hooked, strict=True) if _end(p) == place]


class Rebuilder:
    """Rebuilt functions by original, so that a function is rebuilt once in a trace."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, types.CodeType], types.CodeType | None] = {}

    def is_open(self, function: types.FunctionType) -> bool:
        """Whether the function may be rebuilt at all (not torch's, not the standard library's)."""
        return _is_open(function.__code__.co_filename, function.__module__ or "")

    def rebuild(self, function: types.FunctionType) -> types.FunctionType | None:
        """Return ``function`` with hooks; ``None`` where its source cannot be found."""
        code = function.__code__
        if self.has_hooks(code):
            return function
        key = (code.co_filename, code)
        if key not in self._codes:
            self._codes[key] = _hooked_code(function)
        hooked = self._codes[key]
        if hooked is None:
            return None
        rebuilt = types.FunctionType(
            hooked,
            function.__globals__,
            function.__name__,
            function.__defaults__,
            function.__closure__,
        )
        rebuilt.__kwdefaults__ = function.__kwdefaults__
        rebuilt.__qualname__ = function.__qualname__
        rebuilt.__dict__.update(function.__dict__)
        return rebuilt

    def has_hooks(self, code: types.CodeType) -> bool:
        """Whether ``code`` has the hooks already (a function defined inside a rebuilt one)."""
        from gradcheck.tracing import hooks

        return any(constant is hooks for constant in code.co_consts)
