"""A call that only looks: what a function returns, with nothing left changed by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gradcheck.calling import random_state
from gradcheck.calling.calls import BoundInputs, copy_inputs
from gradcheck.calling.choose import live_parameters
from gradcheck.calling.live import LiveState
from gradcheck.calling.quiet import quiet


def scouted(function: Callable[..., Any], bound: BoundInputs, around: Any = None) -> Any:
    """Return what ``function`` returns for private copies of the inputs; nothing stays changed.

    Raises:
        Exception: whatever the function raises.
    """
    private = copy_inputs(bound)
    with unchanged(function, around), quiet():
        return function(*private.args, **private.kwargs)


@contextmanager
def unchanged(function: Callable[..., Any], around: Any = None) -> Iterator[None]:
    """Put back what calls of ``function`` change besides their inputs.

    That is the state of the global random generators, the parameters of a method's object, and the
    arrays in ``around``, a tree.
    """
    states = random_state.snapshot()
    trees = [tree for tree in (live_parameters(function, None), around) if tree]
    held = [LiveState(tree, getattr(function, "__self__", None)) for tree in trees]
    try:
        yield
    finally:
        for state in held:
            state.restore()
        random_state.restore(states)
