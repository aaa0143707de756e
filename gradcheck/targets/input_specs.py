"""Inputs described in NumPy Generator terms: ``randn(N, D)``, ``integers(K, size=N)``, ``0.1``.

A spec is parsed as an expression and interpreted here, node by node; nothing is ever evaluated as
Python code. What is drawn comes from a *source*: NumPy's generator for a check, Hypothesis for a
search.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping
from typing import Any, Protocol
from zlib import crc32

import numpy as np

from gradcheck.errors import UsageError
from gradcheck.targets.spec_grammar import (
    CONSTANTS,
    DRAWS,
    MADE,
    OPERATORS,
    SHAPED,
    Spec,
    symbol,
    walk,
)

PRIMES = (7, 5, 3, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59)
"""Sizes for unbound symbols, in the order of use: distinct, so that a transposition shows."""

MAX_ENTRIES = 2**28


class Source(Protocol):
    """Where random values come from."""

    def __call__(self, kind: str, arguments: Mapping[str, Any], shape: tuple[int, ...]) -> Any:
        """Return an array of ``shape`` drawn from the distribution ``kind``."""


def choose_sizes(specs: Iterable[Spec], bound: Mapping[str, int]) -> dict[str, int]:
    """Give every symbol of ``specs`` a size: the bound one, or a small prime used nowhere else.

    Raises:
        UsageError: a bound size belongs to no symbol.
    """
    specs = list(specs)
    symbols = list(dict.fromkeys(name for spec in specs for name in spec.symbols()))
    for name in bound:
        if name not in symbols:
            raise UsageError(
                f"--size {name}={bound[name]}: no input has a size {name}"
                + (f"; the sizes are {', '.join(symbols)}" if symbols else "")
            )
    used = set(bound.values()).union(*(spec.numbers() for spec in specs), {1})
    free = iter([prime for prime in PRIMES if prime not in used])
    try:
        return {name: bound[name] if name in bound else next(free) for name in symbols}
    except StopIteration:
        raise UsageError(
            f"there are {len(symbols)} symbolic sizes: bind some with --size N=20"
        ) from None


def draw_inputs(
    specs: Iterable[Spec], *, seed: int = 0, sizes: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Draw every input; the same seed and name give the same array, whatever the others are.

    Raises:
        UsageError: a spec asks for something that NumPy refuses, such as a negative size.
    """
    specs = list(specs)
    chosen = choose_sizes(specs, sizes or {})
    return {spec.name: evaluate(spec, chosen, generator_source(seed, spec.name)) for spec in specs}


def generator_source(seed: int, name: str) -> Source:
    """Return a source that draws from NumPy's generator, seeded by ``seed`` and the name."""
    generator = np.random.default_rng([seed, crc32(name.encode())])

    def source(kind: str, arguments: Mapping[str, Any], shape: tuple[int, ...]) -> Any:
        if kind == "permutation":
            return generator.permutation(arguments["x"])
        return getattr(generator, kind)(**arguments, size=shape)

    return source


def evaluate(spec: Spec, sizes: Mapping[str, int], source: Source) -> Any:
    """Return the value of one spec.

    Raises:
        UsageError: the spec cannot be drawn; the message quotes it.
    """
    try:
        value = _value(spec.node, sizes, source)
    except UsageError as error:
        raise UsageError(f"{spec.name}={spec.text}: {error}") from None
    except (TypeError, ValueError, ArithmeticError, MemoryError, LookupError) as error:
        raise UsageError(f"{spec.name}={spec.text}: {error}") from None
    return _as_array(value) if isinstance(value, list) else value


def _as_array(value: list[Any]) -> Any:
    """A list of numbers is an array: there is no other way to write one in a few characters."""
    try:
        array = np.array(value)
    except ValueError:
        return value
    return array if array.dtype.kind in "bifc" and array.size else value


def _value(node: ast.expr, sizes: Mapping[str, int], source: Source) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return sizes[node.id] if node.id in sizes else CONSTANTS.get(node.id, node.id)
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_value(item, sizes, source) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    if isinstance(node, ast.Dict):
        return {
            _value(key, sizes, source): _value(item, sizes, source)
            for key, item in zip(node.keys, node.values, strict=True)
            if key is not None
        }
    if isinstance(node, ast.UnaryOp):
        operand = _value(node.operand, sizes, source)
        return -operand if isinstance(node.op, ast.USub) else +operand
    if isinstance(node, ast.BinOp):
        left = _value(node.left, sizes, source)
        right = _value(node.right, sizes, source)
        return OPERATORS[type(node.op)](left, right)
    assert isinstance(node, ast.Call)
    return _call(node, sizes, source)


def _call(node: ast.Call, sizes: Mapping[str, int], source: Source) -> Any:
    assert isinstance(node.func, ast.Name)
    kind = node.func.id
    positional = [_value(item, sizes, source) for item in node.args]
    named = {str(item.arg): _value(item.value, sizes, source) for item in node.keywords}
    dtype = np.dtype(named.pop("dtype")) if "dtype" in named else None
    if kind in MADE:
        made = getattr(np, kind)(*positional, **named)
        return made if dtype is None else made.astype(dtype)
    symbolic = bool(node.args) and any(symbol(part) for arg in node.args for part in walk(arg))
    if kind in SHAPED or (symbolic and kind in ("normal", "uniform", "random", "standard_normal")):
        shape = _shape(_size_argument(kind, positional, named))
        arguments: dict[str, Any] = {
            "loc" if key == "mean" else key: value for key, value in named.items()
        }
    else:
        shape, arguments = _sized(kind, positional, named)
    if kind == "choice":
        drawn = _chosen(arguments["a"], shape, source)
    elif kind in ("zeros", "ones"):
        drawn = np.full(shape, float(kind == "ones"))
    else:
        drawn = source(
            {"randn": "standard_normal", "rand": "random"}.get(kind, kind), arguments, shape
        )
    if shape == () and isinstance(drawn, np.ndarray) and drawn.ndim == 0:
        drawn = drawn[()]
    return drawn if dtype is None else np.asarray(drawn, dtype=dtype)


def _chosen(values: Any, shape: tuple[int, ...], source: Source) -> Any:
    """Draw among the given values; a number stands for those below it."""
    among = np.arange(values) if isinstance(values, int) else np.asarray(values)
    return among[source("integers", {"low": 0, "high": len(among)}, shape)]


def _size_argument(kind: str, positional: list[Any], named: dict[str, Any]) -> Any:
    if "size" in named and positional:
        raise UsageError(f"{kind} takes its shape once: either {kind}(4,8) or {kind}(size=(4,8))")
    size = named.pop("size", named.pop("shape", None))
    if size is not None:
        return size
    return positional[0] if len(positional) == 1 else tuple(positional)


def _sized(
    kind: str, positional: list[Any], named: dict[str, Any]
) -> tuple[tuple[int, ...], dict[str, Any]]:
    names = DRAWS[kind]
    if len(positional) > len(names) + 1:
        raise UsageError(
            f"{kind} takes at most {len(names) + 1} arguments: {', '.join(names)}, size"
        )
    arguments = dict(zip((*names, "size"), positional, strict=False))
    for name, value in named.items():
        if name not in (*names, "size"):
            raise UsageError(f"{kind} has no argument {name!r}: it has {', '.join(names)}, size")
        if name in arguments:
            raise UsageError(f"{kind} got {name} twice")
        arguments[name] = value
    size = arguments.pop("size", ())
    if (
        names
        and kind in ("integers", "permutation", "poisson", "binomial", "choice")
        and not arguments
    ):
        raise UsageError(f"{kind} needs {names[0]}: write {kind}(3, size=20)")
    return _shape(() if size is None else size), arguments


def _shape(size: Any) -> tuple[int, ...]:
    items = size if isinstance(size, (tuple, list)) else (size,)
    for item in items:
        if isinstance(item, bool) or not isinstance(item, int):
            raise UsageError(f"a size must be a whole number, not {item!r}: randn(4,8), size=(4,8)")
        if item < 0:
            raise UsageError(f"a size cannot be negative: {item}")
    if math.prod(items) > MAX_ENTRIES:
        raise UsageError(f"{math.prod(items):,} entries are too many for an input made by a spec")
    return tuple(items)
