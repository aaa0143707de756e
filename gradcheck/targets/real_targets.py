"""Real numbers for what a regression subtracts from its prediction, in place of labels.

By name, the labels of a classifier and the values of a regression look alike, and a loss that takes
numbers takes labels, too. But 0 and 1 are their own squares: a mistake may not show at them.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from gradcheck.targets.guesses import is_label

_DRAW = re.compile(r"(?:2 \* )?integers\(\d+, size=\(?([\d,]+?),?\)?\)(?: - 1)?")
_CLASSES = re.compile(
    r"log|exp|sigm|softmax|entropy|==|!=|one_?hot|argmax|maximum|hinge|\bint(?:\d+)?\b|\bbool"
)
"""What tells of classes: likelihoods, comparisons, margins."""


def with_real_targets(target: Callable[..., Any], specs: Mapping[str, str]) -> dict[str, str]:
    """Return ``specs`` with real draws for what the target's own code subtracts like a number.

    Unchanged where the code cannot be read, or where anything in it tells of classes.
    """
    changed = dict(specs)
    try:
        code = _code(target)
    except (OSError, TypeError):
        return changed
    if _CLASSES.search(code):
        return changed
    for name, text in specs.items():
        draw = _DRAW.fullmatch(text)
        if draw and is_label(name.lower()) and re.search(rf"- ?{name}\b|\b{name} ?-", code):
            changed[name] = f"randn({draw[1]})"
    return changed


def _code(target: Callable[..., Any]) -> str:
    """The source without comments and docstring."""
    import ast

    lines = textwrap.dedent(inspect.getsource(target))
    try:
        tree = ast.parse(lines)
    except SyntaxError:  # a lambda amid an expression
        return lines
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
