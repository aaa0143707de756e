"""The first call of a target, on private copies of its inputs: its loss, gradient and manners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.calling import random_state
from gradcheck.calling.calls import BoundInputs, copy_inputs, same
from gradcheck.calling.live import LiveState
from gradcheck.calling.quiet import quiet
from gradcheck.calling.returns import NOT_GIVEN, loss_as_number, split_result
from gradcheck.calling.tree import leaves, map_leaves
from gradcheck.report import Notice


@dataclass(frozen=True, eq=False)
class Functions:
    """The user's functions, and how to read what they return."""

    target: Callable[..., Any]
    gradient: Callable[..., Any] | None

    def loss_of(self, result: Any) -> Any:
        """Return the loss in what the target returned."""
        return split_result(result, gradient_elsewhere=self.gradient is not None)[0]


@dataclass(frozen=True, eq=False)
class Changes:
    """What a call did to its inputs and to the parameters read from elsewhere.

    Attributes:
        overwritten: positions, among the leaves of all inputs, of arrays that hold other values.
        rearranged: containers among the inputs got other members.
        live_overwritten: arrays read from elsewhere that were overwritten.
        live_rearranged: their containers got other members.
        paths: names of all that changed.
    """

    overwritten: frozenset[int] = frozenset()
    rearranged: bool = False
    live_overwritten: tuple[NDArray[Any], ...] = ()
    live_rearranged: bool = False
    paths: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """Whether anything outside the inputs changed."""
        return bool(self.live_overwritten) or self.live_rearranged


@dataclass(frozen=True, eq=False)
class FirstCall:
    """What one call showed. ``draws``: the target draws from a global random generator."""

    loss: np.floating[Any]
    grads: Any
    changes: Changes
    draws: bool


def first_call(
    functions: Functions,
    bound: BoundInputs,
    live: LiveState | None,
    seed: int,
    states: tuple[Any, ...],
) -> FirstCall:
    """Call the target once in the user's own precision, and the gradient function if there is one.

    A target that draws from a global generator is called again from the seed, so that loss and
    gradient belong to the same draw. The generators are put to ``states`` at the end.

    Raises:
        TargetError: what the target returned holds no loss.
    """
    private = copy_inputs(bound)
    before = random_state.snapshot()
    result, changes = _observed(functions.target, bound, private, live)
    draws = random_state.differ(before, random_state.snapshot())
    if draws:
        random_state.seed_all(seed)
        result, changes = _observed(functions.target, bound, copy_inputs(bound), live)
    loss, grads = split_result(result, gradient_elsewhere=functions.gradient is not None)
    number, grads = loss_as_number(loss), _detached(grads)
    if functions.gradient is not None:
        if draws:
            random_state.seed_all(seed)
        grads, more = _observed(functions.gradient, bound, copy_inputs(bound), live)
        grads, changes = _detached(grads), _both(changes, more)
    random_state.restore(states)
    return FirstCall(number, grads, changes, draws)


def _observed(
    function: Callable[..., Any], bound: BoundInputs, private: BoundInputs, live: LiveState | None
) -> tuple[Any, Changes]:
    """Call ``function`` on private inputs; return its result and what it changed, put back."""
    held = [leaf for label, value in private.items() for leaf in leaves(value, label)]
    with quiet():
        result = function(*private.args, **private.kwargs)
    result = map_leaves(_kept_value, result) if live is not None else result
    originals = [leaf for label, value in bound.items() for leaf in leaves(value, label)]
    overwritten = frozenset(
        position
        for position, (one, two) in enumerate(zip(held, originals, strict=True))
        if isinstance(one.value, np.ndarray) and not same(one.value, two.value)
    )
    after = [leaf for label, value in private.items() for leaf in leaves(value, label)]
    now = {leaf.path: id(leaf.value) for leaf in after}
    then = {leaf.path: id(leaf.value) for leaf in held}
    moved = [path for path in {**then, **now} if now.get(path) != then.get(path)]
    paths = [held[position].path for position in sorted(overwritten)]
    if live is None:
        return result, Changes(overwritten, bool(moved), paths=(*paths, *moved))
    live_overwritten, live_rearranged = live.overwritten(), live.rearranged()
    live.restore()
    paths += [*moved, *live_overwritten]
    if live_rearranged and not live_overwritten:
        paths.append("params")
    return result, Changes(
        overwritten, bool(moved), tuple(live_overwritten.values()), live_rearranged, tuple(paths)
    )


def _kept_value(leaf: Any) -> Any:
    """Copy an array, which may be a view of live state that is about to be put back."""
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf


def _both(one: Changes, two: Changes) -> Changes:
    arrays = {id(array): array for array in (*one.live_overwritten, *two.live_overwritten)}
    return Changes(
        one.overwritten | two.overwritten,
        one.rearranged or two.rearranged,
        tuple(arrays.values()),
        one.live_rearranged or two.live_rearranged,
        tuple(dict.fromkeys((*one.paths, *two.paths))),
    )


def _detached(grads: Any) -> Any:
    """Copy the gradient's arrays: the target may reuse its buffers in the next call."""
    if grads is None or grads is NOT_GIVEN:
        return grads
    return map_leaves(_kept_value, grads)


def mutation_notice(changes: Changes) -> Notice:
    """Say which inputs a call changed, and why that matters."""
    names = ", ".join(changes.paths[:8]) + (", ..." if len(changes.paths) > 8 else "")
    return Notice(
        "mutates_input",
        f"the target changes its input {names}; every evaluation here starts from the original "
        "values, but a second call on the same objects may compute something else: work on a copy",
    )
