"""Rewriting of a module's syntax tree, so that every operation goes through a hook.

In ``f(x)``, ``a @ b``, ``-a``, ``a[i]``, ``a[i] = v``, ``a += v``, ``obj.name``, iteration and
unpacking, Python hands a value to code that makes a new one. These are all the places where a
number can turn into another one, so that a tracer which sees them all sees every operation. Order
of evaluation, names, line numbers and columns stay as they are; comparisons, branches, loops,
``def``, ``yield``, ``with``, ``try`` need no change.

The hooks are reached through one constant, a marker string that ``source.py`` replaces in
the compiled code; nothing is added to the user's module.
"""

from __future__ import annotations

import ast
from typing import Any

MARKER = "<gradcheck.tracing.hooks>"

_BINARY = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.MatMult: "matmul",
    ast.Pow: "power",
    ast.Mod: "remainder",
    ast.FloorDiv: "floor_divide",
}
_UNARY = {ast.USub: "negative", ast.UAdd: "positive"}

_FRAME_BOUND = frozenset(
    {"super", "locals", "globals", "vars", "dir", "eval", "exec", "breakpoint", "__import__"}
)
"""Builtins that look at the frame which calls them; a hook in between would be that frame."""


def _hook(name: str, arguments: list[ast.expr], keywords: list[ast.keyword] | None = None) -> Any:
    function = ast.Attribute(ast.Constant(MARKER), f"hook_{name}", ast.Load())
    return ast.Call(function, arguments, keywords or [])


def _pattern(target: ast.expr) -> ast.expr:
    """Return the shape of an unpacking target.

    ``None`` stands for a name, ``"*"`` for a starred one, a tuple for a nested target.
    """
    if isinstance(target, ast.Starred):
        return ast.Constant("*")
    if not isinstance(target, ast.Tuple | ast.List):
        return ast.Constant(None)
    return ast.Tuple([_pattern(element) for element in target.elts], ast.Load())


def _is_plain_target(target: ast.expr) -> bool:
    return not any(isinstance(node, ast.Subscript) for node in ast.walk(target))


class Rewriter(ast.NodeTransformer):
    """Puts hooks into a syntax tree, in place."""

    def __init__(self) -> None:
        self._temporaries = 0

    def _temporary(self) -> str:
        self._temporaries += 1
        return f"_gradcheck_{self._temporaries}"

    def _expression(self, node: ast.expr | None) -> Any:
        return self.visit(node) if node is not None else ast.Constant(None)

    def _at(self, new: Any, old: ast.AST) -> Any:
        # What is new below it has no place yet, and gets this one in the end (see ``rewrite``).
        return ast.copy_location(new, old)

    # expressions

    def visit_Call(self, node: ast.Call) -> Any:
        arguments = [self.visit(argument) for argument in node.args]
        keywords = [self.visit(keyword) for keyword in node.keywords]
        if isinstance(node.func, ast.Name) and node.func.id in _FRAME_BOUND:
            return self._at(ast.Call(node.func, arguments, keywords), node)
        function: ast.expr
        if isinstance(node.func, ast.Attribute):
            receiver = self.visit(node.func.value)
            function = self._at(ast.Attribute(receiver, node.func.attr, ast.Load()), node.func)
        else:
            function = self.visit(node.func)
        return self._at(_hook("call", [function, *arguments], keywords), node)

    def visit_Starred(self, node: ast.Starred) -> Any:
        if not isinstance(node.ctx, ast.Load):
            return node
        unpacked = _hook("unpack", [self.visit(node.value), ast.Tuple([], ast.Load())])
        return self._at(ast.Starred(unpacked, ast.Load()), node)

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        name = _BINARY.get(type(node.op))
        if name is None or (
            isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant)
        ):
            return self.generic_visit(node)
        return self._at(_hook(name, [self.visit(node.left), self.visit(node.right)]), node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        name = _UNARY.get(type(node.op))
        if name is None or isinstance(node.operand, ast.Constant):
            return self.generic_visit(node)
        return self._at(_hook(name, [self.visit(node.operand)]), node)

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        value = self.visit(node.value)
        if not isinstance(node.ctx, ast.Load) or node.attr.startswith("__"):
            return self._at(ast.Attribute(value, node.attr, node.ctx), node)
        return self._at(_hook("attribute", [value, ast.Constant(node.attr)]), node)

    def _index(self, node: ast.expr) -> Any:
        """Return an index as an ordinary expression, slices spelled as ``slice(...)``."""
        if isinstance(node, ast.Slice):
            bounds = [self._expression(part) for part in (node.lower, node.upper, node.step)]
            return self._at(_hook("slice", bounds), node)
        if isinstance(node, ast.Tuple):
            return self._at(ast.Tuple([self._index(e) for e in node.elts], ast.Load()), node)
        return self.visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        if not isinstance(node.ctx, ast.Load):
            return self.generic_visit(node)
        return self._at(_hook("getitem", [self.visit(node.value), self._index(node.slice)]), node)

    def visit_comprehension(self, node: ast.comprehension) -> Any:
        node.ifs = [self.visit(condition) for condition in node.ifs]
        iterated = self.visit(node.iter)
        if not node.is_async:
            iterated = self._at(_hook("iterate", [iterated, _pattern(node.target)]), node.iter)
        node.iter = iterated
        return node

    # statements

    def visit_Assign(self, node: ast.Assign) -> Any:
        value = self.visit(node.value)
        if len(node.targets) == 1:
            return self._bind(node.targets[0], value, node)
        temporary = self._temporary()
        statements = [self._at(ast.Assign([ast.Name(temporary, ast.Store())], value), node)]
        for target in node.targets:
            bound = self._bind(target, ast.Name(temporary, ast.Load()), node)
            statements.extend(bound if isinstance(bound, list) else [bound])
        return statements

    def _bind(self, target: ast.expr, value: ast.expr, node: ast.stmt) -> Any:
        """Return the statement or statements that bind ``value`` to ``target``."""
        if isinstance(target, ast.Subscript):
            arguments = [value, self.visit(target.value), self._index(target.slice)]
            return self._at(ast.Expr(self._at(_hook("setitem", arguments), node)), node)
        if not isinstance(target, ast.Tuple | ast.List):
            return self._at(ast.Assign([self.visit(target)], value), node)
        unpacked = self._at(_hook("unpack", [value, _pattern(target)]), node)
        if _is_plain_target(target):
            plain = self._store_target(target)
            return self._at(ast.Assign([plain], unpacked), node)
        names: list[ast.expr] = []
        statements: list[ast.stmt] = []
        for element in target.elts:
            temporary = self._temporary()
            name: ast.expr = ast.Name(temporary, ast.Store())
            inner = element.value if isinstance(element, ast.Starred) else element
            names.append(
                ast.Starred(name, ast.Store()) if isinstance(element, ast.Starred) else name
            )
            bound = self._bind(inner, ast.Name(temporary, ast.Load()), node)
            statements.extend(bound if isinstance(bound, list) else [bound])
        first = ast.Assign([ast.Tuple(names, ast.Store())], unpacked)
        return [self._at(first, node), *statements]

    def _store_target(self, target: ast.expr) -> Any:
        """Rewrite the expressions inside a target without subscripts (``obj().name = ...``)."""
        if isinstance(target, ast.Tuple | ast.List):
            target.elts = [self._store_target(element) for element in target.elts]
            return target
        if isinstance(target, ast.Starred):
            target.value = self._store_target(target.value)
            return target
        return self.visit(target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return node
        if isinstance(node.target, ast.Name):
            node.value = self.visit(node.value)
            return node
        return self._bind(node.target, self.visit(node.value), node)

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        name = _BINARY.get(type(node.op))
        if name is None:
            return self.generic_visit(node)
        inplace = f"inplace_{name}"
        if isinstance(node.target, ast.Subscript):
            arguments = [
                ast.Constant(name),
                self.visit(node.target.value),
                self._index(node.target.slice),
                self.visit(node.value),
            ]
            call = self._at(_hook("augmented_setitem", arguments), node)
            return self._at(ast.Expr(call), node)
        if isinstance(node.target, ast.Name):
            old: ast.expr = ast.Name(node.target.id, ast.Load())
            result = self._at(_hook(inplace, [old, self.visit(node.value)]), node)
            return self._at(ast.Assign([node.target], result), node)
        temporary = self._temporary()
        owner = ast.Assign([ast.Name(temporary, ast.Store())], self.visit(node.target.value))
        old = ast.Attribute(ast.Name(temporary, ast.Load()), node.target.attr, ast.Load())
        new = ast.Attribute(ast.Name(temporary, ast.Load()), node.target.attr, ast.Store())
        result = self._at(_hook(inplace, [old, self.visit(node.value)]), node)
        return [self._at(owner, node), self._at(ast.Assign([new], result), node)]

    def visit_For(self, node: ast.For) -> Any:
        iterated = _hook("iterate", [self.visit(node.iter), _pattern(node.target)])
        node.iter = self._at(iterated, node.iter)
        body: list[ast.stmt] = []
        if not _is_plain_target(node.target):
            temporary = self._temporary()
            bound = self._bind(node.target, ast.Name(temporary, ast.Load()), node)
            body.extend(bound if isinstance(bound, list) else [bound])
            node.target = self._at(ast.Name(temporary, ast.Store()), node.target)
        node.body = body + self._statements(node.body)
        node.orelse = self._statements(node.orelse)
        return node

    def visit_With(self, node: ast.With) -> Any:
        for item in node.items:
            managed = _hook("context", [self.visit(item.context_expr)])
            item.context_expr = self._at(managed, item.context_expr)
        node.body = self._statements(node.body)
        return node

    def _statements(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        rewritten: list[ast.stmt] = []
        for statement in statements:
            new = self.visit(statement)
            rewritten.extend(new if isinstance(new, list) else [new])
        return rewritten

    # parts that are not evaluated, or not as expressions

    def visit_match_case(self, node: ast.match_case) -> Any:
        if node.guard is not None:
            node.guard = self.visit(node.guard)
        node.body = self._statements(node.body)
        return node

    def visit_arg(self, node: ast.arg) -> Any:
        return node

    def _function(self, node: Any) -> Any:
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        node.args = self.visit(node.args)
        node.body = self._statements(node.body)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> Any:
        return self._function(node)

    def visit_TypeAlias(self, node: ast.AST) -> Any:
        return node


def rewrite(tree: ast.Module) -> ast.Module:
    """Return ``tree`` with every operation going through a hook; ``tree`` itself is changed."""
    result: ast.Module = Rewriter().visit(tree)
    return ast.fix_missing_locations(result)
