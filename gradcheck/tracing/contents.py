"""What is inside a value: itself, and what lists, dicts and their like hold at any depth."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

_CONTAINERS = (list, tuple, dict, set, frozenset, deque)


def contents(values: Iterable[Any], known: frozenset[int] = frozenset()) -> Iterator[Any]:
    """Yield each of some values, and what the containers among them hold, once.

    ``known`` are identities of what is left out, together with all that it holds.
    """
    seen = set(known)
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, _CONTAINERS):
            waiting.extend(value.values() if isinstance(value, dict) else value)
        elif isinstance(value, np.ndarray) and value.dtype.kind == "O":
            waiting.extend(value.flat)
