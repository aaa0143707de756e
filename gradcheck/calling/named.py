"""Arrays that a target reads by name from an object or a module, as a tree that can be written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import numpy as np
import optree

from gradcheck.calling.tree import NAMESPACE, leaves


class Elsewhere(dict[str, Any]):
    """Some of the names bound in ``home``: an object's ``__dict__`` or a module's globals.

    A value that is set here is bound there, too, which is where the target looks it up.
    """

    def __init__(self, home: MutableMapping[str, Any], names: Iterable[str]) -> None:
        super().__init__((name, home[name]) for name in names)
        self.home = home

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self.home[name] = value

    def rebound(self) -> bool:
        """Whether a name means another object at home than it does here."""
        return any(self.home.get(name) is not value for name, value in self.items())

    def rebind(self, held: Mapping[str, Any]) -> None:
        """Make the names mean these objects again, here and at home."""
        for name, value in held.items():
            self[name] = value


def _flatten(node: Elsewhere) -> tuple[tuple[Any, ...], tuple[str, ...], tuple[str, ...]]:
    return tuple(node.values()), tuple(node), tuple(node)


def _unflatten(names: tuple[str, ...], children: Iterable[Any]) -> dict[str, Any]:
    return dict(zip(names, children, strict=True))


# Its stubs know a node as a collection of its children only, not of keys and children.
_register: Any = optree.register_pytree_node
_register(Elsewhere, _flatten, _unflatten, path_entry_type=optree.MappingEntry, namespace=NAMESPACE)


def is_float_tree(value: Any) -> bool:
    """Whether ``value`` is an array of floats with entries, or a list or dict of nothing else."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f" and value.size > 0
    if not isinstance(value, dict | list) or not value:
        return False
    held = [leaf.value for leaf in leaves(value, "x")]
    return bool(held) and all(isinstance(one, np.ndarray) and is_float_tree(one) for one in held)
