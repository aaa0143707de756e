"""Rewriting right backward passes into wrong ones, mechanically, with the mistake known.

Every operator here takes one annotated line of a backward pass (see ``networks``) and yields wrong
versions of it, each with the cause key and the forward line that a diagnosis should name. Cause and
line come from the operator and the annotation alone, before anything is run.
"""

from __future__ import annotations

import ast
import copy
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

Place = tuple[str, int]
"""A file and a line number."""


@dataclass(frozen=True)
class Mutant:
    """A wrong version of a module: which function, what was done, and what should be found."""

    operator: str
    line: int
    text: str
    cause: str
    places: tuple[Place, ...]
    tree: ast.Module


@dataclass(frozen=True)
class Annotated:
    """A module's source with the annotations of its lines and the places of its labels."""

    file: str
    tree: ast.Module
    annotations: Mapping[int, Mapping[str, str]]
    labels: Mapping[str, Place]


Rewrite = tuple[str, str, str, Callable[[ast.Module], bool]]
"""Operator, cause, label, and what it does to the tree (False where it does not apply)."""


def annotate(file: str, source: str, first: int = 1, last: int | None = None) -> Annotated:
    """Read the annotations in the comments of the lines ``first`` to ``last``.

    Of the module's functions the tree keeps those that begin in these lines.
    """
    annotations: dict[int, dict[str, str]] = {}
    labels: dict[str, Place] = {}
    for number, text in enumerate(source.splitlines(), start=1):
        if number < first or (last is not None and number > last):
            continue
        label = re.search(r"# @(\w+)", text)
        if label:
            labels[label.group(1)] = (file, number)
        pairs = re.findall(r"(\w+)=([^\s]+)", text.split("  # ", 1)[1]) if "  # " in text else []
        if pairs:
            annotations[number] = dict(pairs)
    tree = ast.parse(source)
    tree.body = [
        node
        for node in tree.body
        if not isinstance(node, ast.FunctionDef)
        or (node.lineno >= first and (last is None or node.lineno <= last))
    ]
    return Annotated(file, tree, annotations, labels)


def mutants(module: Annotated) -> Iterator[Mutant]:
    """Yield every mutant that the operators make of the annotated lines."""
    for line, notes in module.annotations.items():
        for operator, cause, label, rewrite in _rewrites(line, notes):
            tree = copy.deepcopy(module.tree)
            if rewrite(tree):
                ast.fix_missing_locations(tree)
                places = tuple(module.labels[name] for name in label.split(","))
                yield Mutant(operator, line, _shown(tree, line), cause, places, tree)


def _rewrites(line: int, notes: Mapping[str, str]) -> Iterator[Rewrite]:
    yield from _whole_line(line, notes)
    yield from _averages(line, notes)
    yield from _factors(line, notes)
    yield from _summands(line, notes)
    yield from _particular(line, notes)


def _whole_line(line: int, notes: Mapping[str, str]) -> Iterator[Rewrite]:
    label = notes.get("of") or notes.get("out") or notes.get("data")
    if label is None:
        return
    if "reg" not in notes:
        yield "negate", "sign", label, on_value(line, lambda e: ast.UnaryOp(ast.USub(), e))
        yield "double", "scale", label, on_value(line, lambda e: times(2, e))
        yield "halve", "scale", label, on_value(line, lambda e: times(0.5, e))
    if "reg" not in notes and "out" in notes:
        yield "zero", "zero_gradient", label, on_value(line, lambda e: times(0, e))
    if "data" in notes:
        yield "zero", "path_detached", label, on_value(line, lambda e: times(0, e))
    yield "transpose result", "transpose", label, on_value(line, transposed)
    yield "transpose factor", "transpose", label, on_value(line, without_transpose)
    if "out" in notes:
        yield "= for +=", "term_missing", label, on_statement(line, overwrite)


def _averages(line: int, notes: Mapping[str, str]) -> Iterator[Rewrite]:
    label = notes.get("avg")
    if label is None:
        return
    yield "drop / n", "batch_not_divided", label, on_division(line, lambda e: e.left)
    yield (
        "/ n twice",
        "batch_divided_twice",
        label,
        on_division(line, lambda e: ast.BinOp(e, ast.Div(), copy.deepcopy(e.right))),
    )
    yield (
        "n - 1 for n",
        "scale",
        label,
        on_division(
            line,
            lambda e: ast.BinOp(e.left, ast.Div(), ast.BinOp(e.right, ast.Sub(), ast.Constant(1))),
        ),
    )


def _factors(line: int, notes: Mapping[str, str]) -> Iterator[Rewrite]:
    if "mask" in notes:
        drop = either(on_value(line, drop_factor), on_statement(line, delete))
        yield "drop mask", "activation_mask_missing", notes["mask"], drop
    if "act" in notes:
        label = notes["act"]
        if "extra" in notes:
            extra = ast.parse(notes["extra"], mode="eval").body
            yield (
                "derivative on top",
                "extra_activation_derivative",
                label,
                on_value(line, lambda e: ast.BinOp(e, ast.Mult(), extra)),
            )
        else:
            yield (
                "drop derivative",
                "activation_derivative_missing",
                label,
                on_value(line, drop_factor),
            )
            yield (
                "derivative twice",
                "extra_activation_derivative",
                label,
                on_value(line, repeat_factor),
            )
    if "fac" in notes:
        yield "drop factor", "factor_missing", notes["fac"], on_value(line, drop_factor)


def _summands(line: int, notes: Mapping[str, str]) -> Iterator[Rewrite]:
    causes = {"reg": "reg_missing", "term": "term_missing", "path": "path_detached"}
    for role, cause in causes.items():
        if role not in notes:
            continue
        label = notes[role]
        drop = either(on_value(line, drop_summand), on_statement(line, delete_augmented))
        yield f"drop {role}", cause, label, drop
        if role == "reg":
            yield "double reg", "reg_scale", label, on_summand(line, lambda e: times(2, e))
            yield "halve reg", "reg_scale", label, on_summand(line, lambda e: times(0.5, e))
        else:
            yield (
                f"flip sign of {role}",
                "sign",
                label,
                either(on_value(line, flip_summand), on_statement(line, flip_augmented)),
            )


def _particular(line: int, notes: Mapping[str, str]) -> Iterator[Rewrite]:
    if "sum" in notes:
        yield "wrong axis", "wrong_axis", notes["sum"], on_value(line, other_axis)
        yield "mean for sum", "batch_divided_twice", notes["sum"], on_value(line, mean_for_sum)
    if "stale" in notes:
        old, new = notes["stale"].split(">")
        cause, label = notes["skips"].split("@")
        yield "stale variable", cause, label, on_value(line, lambda e: renamed(e, old, new))
    if "recur" in notes:
        yield (
            "drop recurrence",
            "path_detached",
            notes["recur"],
            on_value(line, lambda e: times(0, e)),
        )
    if "indices" in notes:
        yield "x[idx] += g", "duplicate_indices", notes["indices"], on_statement(line, plain_add)
    if "last" in notes:
        yield "skip last step", "last_step_missing", notes["last"], on_value(line, skip_last)
    if "over" in notes:
        cause, label = notes["over"].split("@")
        yield "= for +=", cause, label, on_statement(line, overwrite)


def exchanges(module: Annotated) -> Iterator[Mutant]:
    """Yield mutants that return two parameters' gradients under each other's name."""
    functions = [node for node in module.tree.body if isinstance(node, ast.FunctionDef)]
    for function in functions:
        made = {
            node.targets[0].id: notes.get("out") or notes.get("data")
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            if (notes := module.annotations.get(node.lineno, {}))
        }
        for node in ast.walk(function):
            value = getattr(node, "value", None)
            pair = isinstance(value, ast.Tuple) and len(value.elts) == 2
            if not (isinstance(node, ast.Return) and pair):
                continue
            returned = node.value.elts[1]
            if isinstance(returned, ast.Dict):
                yield from _exchanges(module, node.lineno, returned, made)


def _exchanges(
    module: Annotated, line: int, returned: ast.Dict, made: Mapping[str, str | None]
) -> Iterator[Mutant]:
    names = [value.id if isinstance(value, ast.Name) else "" for value in returned.values]
    for i, j in itertools.combinations(range(len(names)), 2):
        labels = [made.get(names[k]) for k in (i, j)]
        if None in labels:
            continue
        tree = copy.deepcopy(module.tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict) and node.lineno == line:
                node.values[i], node.values[j] = node.values[j], node.values[i]
        places = tuple(module.labels[label] for label in labels if label is not None)
        text = f"return {names[i]} and {names[j]} exchanged"
        yield Mutant("exchange", line, text, "swapped_parameters", places, tree)


# Where a rewriting takes place


def on_value(line: int, change: Callable[[ast.expr], ast.expr | None]) -> Callable[..., bool]:
    """Apply ``change`` to the expression assigned (or listed, or looped over) on a line."""

    def rewrite(tree: ast.Module) -> bool:
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign | ast.AugAssign) and node.lineno == line:
                new = change(node.value)
                if new is not None:
                    node.value = new
                return new is not None
            if isinstance(node, ast.For) and node.lineno == line:
                new = change(node.iter)
                if new is not None:
                    node.iter = new
                return new is not None
            if isinstance(node, ast.Dict) and node.lineno != line:
                for k, value in enumerate(node.values):
                    if value.lineno == line:
                        new = change(value)
                        if new is not None:
                            node.values[k] = new
                        return new is not None
        return False

    return rewrite


def on_statement(line: int, change: Callable[[ast.stmt], ast.stmt | None]) -> Callable[..., bool]:
    """Replace the statement on a line by what ``change`` makes of it."""

    def rewrite(tree: ast.Module) -> bool:
        for node in ast.walk(tree):
            for body in (getattr(node, "body", None), getattr(node, "orelse", None)):
                for k, statement in enumerate(body if isinstance(body, list) else []):
                    simple = isinstance(statement, ast.Assign | ast.AugAssign | ast.Expr)
                    if simple and statement.lineno == line:
                        new = change(statement)
                        if new is not None:
                            body[k] = ast.copy_location(new, statement)
                        return new is not None
        return False

    return rewrite


def on_division(line: int, change: Callable[[ast.BinOp], ast.expr]) -> Callable[..., bool]:
    """Apply ``change`` to the last division on a line; ``x /= n`` counts as ``x = x / n``."""

    def in_value(value: ast.expr) -> ast.expr | None:
        found = [n for n in ast.walk(value) if isinstance(n, ast.BinOp)]
        divisions = [n for n in found if isinstance(n.op, ast.Div)]
        return replaced(value, divisions[0], change(divisions[0])) if divisions else None

    def in_statement(statement: ast.stmt) -> ast.stmt | None:
        if not (isinstance(statement, ast.AugAssign) and isinstance(statement.op, ast.Div)):
            return None
        load = copy.deepcopy(statement.target)
        load.ctx = ast.Load()
        return ast.Assign([statement.target], change(ast.BinOp(load, ast.Div(), statement.value)))

    return either(on_statement(line, in_statement), on_value(line, in_value))


def on_summand(line: int, change: Callable[[ast.expr], ast.expr]) -> Callable[..., bool]:
    """Apply ``change`` to the last summand of a line, or to what ``+=`` adds."""

    def in_statement(statement: ast.stmt) -> ast.stmt | None:
        if not (isinstance(statement, ast.AugAssign) and isinstance(statement.op, ast.Add)):
            return None
        statement.value = change(statement.value)
        return statement

    def in_value(value: ast.expr) -> ast.expr | None:
        if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
            value.right = change(value.right)
            return value
        return None

    return either(on_statement(line, in_statement), on_value(line, in_value))


def either(first: Callable[..., bool], second: Callable[..., bool]) -> Callable[..., bool]:
    """Apply the first rewriting or, where it does not apply, the second."""
    return lambda tree: first(tree) or second(tree)


# What is done to an expression


def times(number: float, expression: ast.expr) -> ast.expr:
    """Multiply by a number."""
    return ast.BinOp(ast.Constant(number), ast.Mult(), expression)


def transposed(expression: ast.expr) -> ast.expr:
    """Transpose the result."""
    return ast.Attribute(expression, "T", ast.Load())


def without_transpose(expression: ast.expr) -> ast.expr | None:
    """Forget the ``.T`` of the right factor of a matrix product."""
    for node in ast.walk(expression):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            right = node.right
            if isinstance(right, ast.Attribute) and right.attr == "T":
                node.right = right.value
                return expression
    return None


def drop_factor(expression: ast.expr) -> ast.expr | None:
    """Leave out the last factor."""
    if isinstance(expression, ast.BinOp) and isinstance(expression.op, ast.Mult):
        return expression.left
    return None


def repeat_factor(expression: ast.expr) -> ast.expr | None:
    """Multiply by the last factor once more."""
    if isinstance(expression, ast.BinOp) and isinstance(expression.op, ast.Mult):
        return ast.BinOp(expression, ast.Mult(), copy.deepcopy(expression.right))
    return None


def drop_summand(expression: ast.expr) -> ast.expr | None:
    """Leave out the last summand."""
    if isinstance(expression, ast.BinOp) and isinstance(expression.op, ast.Add | ast.Sub):
        return expression.left
    return None


def flip_summand(expression: ast.expr) -> ast.expr | None:
    """Subtract the last summand instead of adding it, or the reverse."""
    if isinstance(expression, ast.BinOp) and isinstance(expression.op, ast.Add | ast.Sub):
        expression.op = ast.Sub() if isinstance(expression.op, ast.Add) else ast.Add()
        return expression
    return None


def other_axis(expression: ast.expr) -> ast.expr | None:
    """Sum over axis 1 instead of axis 0."""
    for node in ast.walk(expression):
        if isinstance(node, ast.keyword) and node.arg == "axis":
            node.value = ast.Constant(1)
            return expression
    return None


def mean_for_sum(expression: ast.expr) -> ast.expr | None:
    """Average instead of summing."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Attribute) and node.attr == "sum":
            node.attr = "mean"
            return expression
    return None


def renamed(expression: ast.expr, old: str, new: str) -> ast.expr:
    """Read one variable instead of another."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Name) and node.id == old:
            node.id = new
    return expression


def skip_last(expression: ast.expr) -> ast.expr | None:
    """Let ``range(n)`` end one step earlier."""
    for node in ast.walk(expression):
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if is_call and node.func.id == "range":
            node.args[-1] = ast.BinOp(node.args[-1], ast.Sub(), ast.Constant(1))
            return expression
    return None


def replaced(root: ast.expr, old: ast.expr, new: ast.expr) -> ast.expr:
    """Return the expression with one node replaced by another."""
    if root is old:
        return new
    for node in ast.walk(root):
        if node is new:
            continue
        for field, value in ast.iter_fields(node):
            if value is old:
                setattr(node, field, new)
                return root
            if isinstance(value, list) and old in value:
                value[value.index(old)] = new
                return root
    raise ValueError("the node to replace is not in the expression")


# What is done to a statement


def delete(statement: ast.stmt) -> ast.stmt | None:
    """Leave the statement out."""
    return ast.Pass() if isinstance(statement, ast.Assign | ast.AugAssign | ast.Expr) else None


def delete_augmented(statement: ast.stmt) -> ast.stmt | None:
    """Leave an ``x += ...`` out."""
    return ast.Pass() if isinstance(statement, ast.AugAssign) else None


def flip_augmented(statement: ast.stmt) -> ast.stmt | None:
    """Write ``-=`` for ``+=``, or the reverse."""
    if isinstance(statement, ast.AugAssign) and isinstance(statement.op, ast.Add | ast.Sub):
        statement.op = ast.Sub() if isinstance(statement.op, ast.Add) else ast.Add()
        return statement
    return None


def overwrite(statement: ast.stmt) -> ast.stmt | None:
    """Write ``=`` for ``+=``."""
    if isinstance(statement, ast.AugAssign) and isinstance(statement.op, ast.Add):
        return ast.Assign([statement.target], statement.value)
    return None


def plain_add(statement: ast.stmt) -> ast.stmt | None:
    """Write ``x[idx] += g`` for ``np.add.at(x, idx, g)``."""
    if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)):
        return None
    target, index, value = statement.value.args
    return ast.AugAssign(ast.Subscript(target, index, ast.Store()), ast.Add(), value)


def _shown(tree: ast.Module, line: int) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.Expr) and node.lineno == line:
            return ast.unparse(node)
        if isinstance(node, ast.For) and node.lineno == line:
            return f"for ... in {ast.unparse(node.iter)}"
    return "(left out)"
