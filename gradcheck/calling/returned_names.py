"""What a function's own ``return`` calls the gradients: ``return loss, dW, db`` means W and b."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

_PREFIX = re.compile(r"(?:grad(?:ient)?s?_?|nabla_?|delta_?|d[a-zA-Z]_d|d_?|g_)(?=.)")
_SUFFIX = re.compile(r"(?<=.)_?(?:grad(?:ient)?s?|prime|der)\Z", re.IGNORECASE)


def returned_names(function: Callable[..., Any]) -> list[str]:
    """Return the names in the last ``return`` of a function, empty where a part has none.

    A return of one expression is a list of one name. Where the source cannot be read there are
    none.
    """
    try:
        text = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
        tree = ast.parse(text)
    except (OSError, TypeError, SyntaxError, ValueError):
        return []
    returns = [node.value for node in _own_statements(tree) if isinstance(node, ast.Return)]
    if not returns or returns[-1] is None:
        return []
    last = returns[-1]
    parts = last.elts if isinstance(last, ast.Tuple | ast.List) else [last]
    return [_name(part) for part in parts]


def _own_statements(tree: ast.Module) -> list[ast.stmt]:
    """The statements of the outermost function in the order of the source, not of inner ones."""
    outer = next((node for node in tree.body if isinstance(node, ast.FunctionDef)), None)
    found: list[ast.stmt] = []
    pending: list[ast.stmt] = list(outer.body) if outer is not None else []
    while pending:
        statement = pending.pop(0)
        found.append(statement)
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        inner = [child for child in ast.iter_child_nodes(statement) if isinstance(child, ast.stmt)]
        pending = inner + pending
    return found


def _name(node: ast.expr) -> str:
    while isinstance(node, ast.Subscript | ast.Call | ast.BinOp):
        if isinstance(node, ast.BinOp):
            node = node.left
        elif isinstance(node, ast.Subscript):
            return ""
        elif isinstance(node.func, ast.Attribute):
            # ``dW.copy()`` is still dW.
            node = node.func.value
        else:
            return ""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def meant(name: str, known: Sequence[str]) -> str | None:
    """Return the parameter among ``known`` whose gradient a variable of this name holds, or None.

    ``dW``, ``grad_W``, ``W_grad`` and ``nabla_W`` mean ``W``, whatever the case of its letters.
    """
    bare = (_PREFIX.sub("", name, count=1), _SUFFIX.sub("", name))
    wanted = {one.strip("_") for one in bare if one != name}
    exact = [one for one in known if one.strip("_") in wanted]
    lower = {one.lower() for one in wanted}
    found = exact or [one for one in known if one.strip("_").lower() in lower]
    return found[0] if len(found) == 1 else None


def variables_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a function's own variables, its arguments first."""
    plain = inspect.unwrap(function)
    code = getattr(getattr(plain, "__func__", plain), "__code__", None)
    return () if code is None else code.co_varnames
