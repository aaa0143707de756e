"""What Python's own containers and iterators take out of what they are given: traced items."""

from __future__ import annotations

import collections
import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gradcheck.tracing.recorder import Recorder
from gradcheck.tracing.users_classes import advanced, iterated

ITERATING: frozenset[Any] = frozenset(
    {zip, enumerate, list, tuple, reversed, iter, sorted, set, frozenset, collections.deque}
    | {max, min, any, all, next}
)
"""What hands on the items of what it is given, unchanged."""

CALLBACK_AT: dict[Any, int] = {
    **dict.fromkeys((map, filter, functools.reduce), 0),
    **dict.fromkeys((itertools.starmap, itertools.takewhile, itertools.dropwhile), 0),
    itertools.filterfalse: 0,
    itertools.accumulate: 1,
}
"""Which argument is called with the items."""

TAKING_APART = frozenset({"extend", "extendleft", "update", "union", "__iadd__", "__ior__"})
"""Methods of containers that take the items of their argument; others take it as it is."""

OF_NUMBERS = ("math", "statistics")
"""Modules whose functions take their numbers out of whatever can be iterated over."""

_ITERATES_ALL: frozenset[Any] = frozenset(
    {zip, itertools.chain, itertools.product, itertools.zip_longest}
)

_ITERATED: dict[Any, tuple[int, ...]] = {
    **dict.fromkeys((filter, functools.reduce, itertools.starmap), (1,)),
    **dict.fromkeys((itertools.takewhile, itertools.dropwhile, itertools.filterfalse), (1,)),
    itertools.repeat: (),
    next: (),
}
"""Which arguments are iterated over, where it is not the first one."""


def taken_apart(recorder: Recorder, function: Any, args: Sequence[Any]) -> list[Any]:
    """Return the arguments, those that ``function`` iterates over as iterators of traced items."""
    if function in (max, min) and len(args) > 1:
        return list(args)
    places: Sequence[int] = _ITERATED.get(function, (0,))
    if function in _ITERATES_ALL:
        places = range(len(args))
    if function is map:
        places = range(1, len(args))
    if function is next:
        return [advanced(recorder, args[0]), *args[1:]]
    return [iterated(recorder, a) if k in places else a for k, a in enumerate(args)]


def listed(recorder: Recorder, argument: Any) -> Any:
    """Return the items of a generator, or of a container that is no array, as a list."""
    if isinstance(argument, np.ndarray | list | tuple) or not isinstance(argument, Iterable):
        return argument
    return list(iterated(recorder, argument))
