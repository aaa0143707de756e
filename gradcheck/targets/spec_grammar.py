"""The grammar of input specs: parsed as an expression, judged node by node, never evaluated."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gradcheck.errors import UsageError
from gradcheck.settings import near_name

# Draws whose positional arguments are the shape.
SHAPED = ("randn", "rand", "zeros", "ones")
# Draws with a size, and the names of their positional arguments before it.
DRAWS: dict[str, tuple[str, ...]] = {
    "normal": ("loc", "scale"),
    "standard_normal": (),
    "random": (),
    "uniform": ("low", "high"),
    "integers": ("low", "high"),
    "exponential": ("scale",),
    "standard_exponential": (),
    "gamma": ("shape", "scale"),
    "beta": ("a", "b"),
    "lognormal": ("mean", "sigma"),
    "laplace": ("loc", "scale"),
    "poisson": ("lam",),
    "binomial": ("n", "p"),
    "permutation": ("x",),
    "choice": ("a",),
}
MADE = ("array", "arange", "linspace", "eye", "full")
CONSTANTS = {"nan": math.nan, "inf": math.inf, "pi": math.pi}
OPERATORS: dict[type[ast.operator], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
_SYMBOL = re.compile(r"[A-Z][A-Za-z0-9_]*\Z")
LEVELS = 100
"""Values of a spec are within one another at most so deeply, in every version of Python."""


@dataclass(frozen=True)
class Spec:
    """A parsed spec; ``name`` is the input's, for the messages."""

    name: str
    text: str
    node: ast.expr

    def symbols(self) -> list[str]:
        """The symbolic sizes, in the order in which they are written."""
        return [name for node in walk(self.node) if (name := symbol(node))]

    def numbers(self) -> set[int]:
        """The whole numbers written in the spec."""
        return {
            node.value
            for node in walk(self.node)
            if isinstance(node, ast.Constant) and type(node.value) is int
        }


def parse(name: str, text: str) -> Spec:
    """Parse the spec of the input ``name``.

    Raises:
        UsageError: the text is not a spec; the message says what one looks like.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
        parts = list(walk(node))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UsageError(
            f"{name}={text}: cannot be read as a spec; write a literal such as 0.1, 'mean' (with "
            "its quotes) or [1.0, 2.0], or a draw such as randn(4,8), uniform(-1,1,size=5), "
            "integers(3, size=20)"
        ) from None
    spec = Spec(name, text.strip(), node)
    for part in parts:
        _check_names(spec, part)
    return spec


def parse_sizes(texts: Iterable[str]) -> dict[str, int]:
    """Read ``("N=20", ...)`` as ``{"N": 20}``.

    Raises:
        UsageError: not of the form NAME=number, or not positive.
    """
    sizes: dict[str, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if not _SYMBOL.match(name.strip()) or not number.strip().isdigit() or int(number) < 1:
            raise UsageError(f"--size {text}: write --size N=20, a symbol and a positive number")
        sizes[name.strip()] = int(number)
    return sizes


def _check_names(spec: Spec, node: ast.expr) -> None:
    """Refuse every construction that is not part of the grammar."""
    fault = ""
    if isinstance(node, ast.Call):
        fault = _call_fault(node)
    elif isinstance(node, ast.Name):
        known = symbol(node) or node.id in CONSTANTS or _is_dtype(node.id)
        if not known:
            fault = (
                f"{node.id!r} is not known here; a string needs its quotes ('{node.id}'), a size "
                "is a capital letter (N), a draw has parentheses (randn(4,8))"
            )
    elif isinstance(node, ast.BinOp):
        if type(node.op) not in OPERATORS:
            fault = "only + - * / // may join numbers and draws"
    elif isinstance(node, ast.UnaryOp):
        if not isinstance(node.op, (ast.USub, ast.UAdd)):
            fault = "only - and + may stand before a value"
    elif isinstance(node, ast.Dict):
        if any(key is None for key in node.keys):
            fault = "** has no place in a spec"
    elif not isinstance(node, (ast.Constant, ast.List, ast.Tuple)):
        fault = (
            "a spec is a literal or a draw such as randn(4,8); it is not evaluated as Python code. "
            "For anything else write a factory and give --inputs module:factory"
        )
    if fault:
        raise UsageError(f"{spec.name}={spec.text}: {fault}")


def _call_fault(node: ast.Call) -> str:
    known = [*SHAPED, *DRAWS, *MADE]
    if not isinstance(node.func, ast.Name):
        written = ast.unparse(node.func)
        return f"{written}(...) is not a draw; write the bare name, such as randn(4,8)"
    if node.func.id not in known:
        near = near_name(node.func.id, known)
        return f"there is no draw {node.func.id!r}{near}; the draws are {', '.join(known)}"
    if any(isinstance(item, ast.Starred) for item in node.args) or any(
        item.arg is None for item in node.keywords
    ):
        return "* and ** have no place in a spec"
    return ""


def walk(node: ast.expr, levels: int = LEVELS) -> Iterator[ast.expr]:
    """The values within a spec, in the order in which they are written; not functions' names.

    Raises:
        RecursionError: they are nested in more than ``levels``.
    """
    if not levels:
        raise RecursionError("nested too deeply")
    yield node
    children: list[ast.expr | None]
    if isinstance(node, ast.Call):
        children = [*node.args, *(item.value for item in node.keywords)]
    elif isinstance(node, (ast.List, ast.Tuple)):
        children = [*node.elts]
    elif isinstance(node, ast.Dict):
        children = [*node.keys, *node.values]
    elif isinstance(node, ast.UnaryOp):
        children = [node.operand]
    elif isinstance(node, ast.BinOp):
        children = [node.left, node.right]
    else:
        children = []
    for child in children:
        if child is not None:
            yield from walk(child, levels - 1)


def symbol(node: ast.expr) -> str | None:
    """The symbolic size that ``node`` names, if it is one."""
    return node.id if isinstance(node, ast.Name) and _SYMBOL.match(node.id) else None


def _is_dtype(name: str) -> bool:
    return re.fullmatch(r"(float|complex|int|uint)(8|16|32|64|128)?|bool", name) is not None
