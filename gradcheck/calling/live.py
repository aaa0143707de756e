"""Parameters that a target reads from elsewhere: what a call did to them, undone.

The oracles perturb the arrays themselves. A target may meanwhile overwrite them, put other arrays
into their containers, or keep a cache there; all of that is put back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.calling.named import Elsewhere
from gradcheck.calling.tree import leaves


class LiveState:
    """A tree of arrays outside the inputs, as it was when this was made.

    Args:
        tree: dicts, lists, tuples and dataclasses that hold the arrays.
        owner: the object whose attribute ``params`` the tree is, if there is one.
    """

    def __init__(self, tree: Any, owner: Any = None) -> None:
        self.tree = tree
        self._owner = owner if getattr(owner, "params", None) is tree else None
        self._containers = _containers_of(tree)
        found = [leaf for leaf in leaves(tree, "params") if isinstance(leaf.value, np.ndarray)]
        self._arrays = [(leaf.path, leaf.value, leaf.value.copy()) for leaf in found]

    def overwritten(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that hold other values now, by path."""
        return {
            path: array for path, array, before in self._arrays if not _same_values(array, before)
        }

    def rearranged(self) -> bool:
        """Whether a container holds other objects now, or the owner another tree."""
        moved = self._owner is not None and self._owner.params is not self.tree
        return moved or any(_differs(container, held) for container, held in self._containers)

    def restore(self) -> None:
        """Put containers and values back to what they were when this was made."""
        self._put_back_containers()
        for _, array, before in self._arrays:
            if not _same_values(array, before):
                np.copyto(array, before)

    @contextmanager
    def kept(self, arrays: Collection[NDArray[Any]]) -> Iterator[None]:
        """Put the containers, and these arrays with their present values, back at the end."""
        present = [(array, array.copy()) for array in arrays]
        try:
            yield
        finally:
            self._put_back_containers()
            for array, before in present:
                np.copyto(array, before)

    def _put_back_containers(self) -> None:
        for container, held in self._containers:
            if _differs(container, held):
                _refill(container, held)
        if self._owner is not None and self._owner.params is not self.tree:
            self._owner.params = self.tree


def _same_values(one: NDArray[Any], two: NDArray[Any]) -> bool:
    return bool(np.array_equal(one, two, equal_nan=one.dtype.kind in "fc"))


def _containers_of(tree: Any) -> list[tuple[Any, Any]]:
    """List the mutable containers of a tree, each with a shallow copy of what it holds."""
    if isinstance(tree, dict):
        return [(tree, dict(tree)), *(c for value in tree.values() for c in _containers_of(value))]
    if isinstance(tree, list):
        return [(tree, list(tree)), *(c for value in tree for c in _containers_of(value))]
    if isinstance(tree, tuple):
        return [c for value in tree for c in _containers_of(value)]
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        held = {field.name: getattr(tree, field.name) for field in dataclasses.fields(tree)}
        return [(tree, held), *(c for value in held.values() for c in _containers_of(value))]
    return []


def _differs(container: Any, held: Any) -> bool:
    if isinstance(container, Elsewhere) and container.rebound():
        return True
    if isinstance(container, list):
        return len(container) != len(held) or any(
            one is not two for one, two in zip(container, held, strict=True)
        )
    if isinstance(container, dict):
        return list(container) != list(held) or any(container[k] is not held[k] for k in held)
    return any(getattr(container, name) is not value for name, value in held.items())


def _refill(container: Any, held: Any) -> None:
    if isinstance(container, list):
        container[:] = held
    elif isinstance(container, Elsewhere):
        container.rebind(held)
    elif isinstance(container, dict):
        container.clear()
        container.update(held)
    else:
        for name, value in held.items():
            object.__setattr__(container, name, value)
