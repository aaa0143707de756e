"""Trees of arrays (dicts, lists, tuples, dataclasses), with a pasteable path to each leaf."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import optree

NAMESPACE = "gradcheck"


@dataclass(frozen=True, eq=False, slots=True)
class Leaf:
    """One leaf of a tree and how Python code reaches it, such as ``params['W1']``."""

    path: str
    keys: tuple[Any, ...]
    value: Any


def _register_dataclass(cls: type) -> None:
    names = tuple(field.name for field in dataclasses.fields(cls))

    def flatten(node: Any) -> tuple[tuple[Any, ...], None, tuple[str, ...]]:
        return tuple(getattr(node, name) for name in names), None, names

    def unflatten(_: Any, children: Any) -> Any:
        node: Any = object.__new__(cls)
        for name, child in zip(names, children, strict=True):
            object.__setattr__(node, name, child)
        return node

    try:
        optree.register_pytree_node(
            cls,
            flatten,
            unflatten,
            path_entry_type=optree.GetAttrEntry,
            namespace=NAMESPACE,
        )
    except ValueError as error:
        if "already registered" not in str(error):
            raise


def _learn_dataclasses(tree: Any, seen: set[int]) -> None:
    if id(tree) in seen:
        return
    seen.add(id(tree))
    if isinstance(tree, dict):
        children = list(tree.values())
    elif isinstance(tree, list | tuple):
        children = list(tree)
    elif dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        _register_dataclass(type(tree))
        children = [getattr(tree, field.name) for field in dataclasses.fields(tree)]
    else:
        return
    for child in children:
        _learn_dataclasses(child, seen)


def leaves(tree: Any, root: str) -> list[Leaf]:
    """Return the leaves of ``tree`` in the order in which its containers list them.

    ``root`` is the Python name of the tree. ``None`` counts as a leaf, so that a forgotten
    gradient is seen where it was forgotten.
    """
    _learn_dataclasses(tree, set())
    with optree.dict_insertion_ordered(True, namespace=NAMESPACE):
        accessors, values, _ = optree.tree_flatten_with_accessor(
            tree, none_is_leaf=True, namespace=NAMESPACE
        )
    return [
        Leaf(accessor.codify(root), tuple(accessor.path), value)
        for accessor, value in zip(accessors, values, strict=True)
    ]


def map_leaves(function: Any, tree: Any) -> Any:
    """Return a tree of the same structure with ``function`` applied to each leaf, in order."""
    _learn_dataclasses(tree, set())
    with optree.dict_insertion_ordered(True, namespace=NAMESPACE):
        return optree.tree_map(function, tree, none_is_leaf=True, namespace=NAMESPACE)
