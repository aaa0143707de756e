"""The call that the oracles repeat: private inputs in the working precision, parameters exposed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.calling import random_state
from gradcheck.calling.calls import LOW_PRECISION, BoundInputs, Call, copy_inputs
from gradcheck.calling.choose import Chosen, ChosenLeaf
from gradcheck.calling.live import LiveState
from gradcheck.calling.tree import leaves, map_leaves
from gradcheck.errors import UsageError
from gradcheck.numpy_target.first_call import FirstCall, Functions


@dataclass(frozen=True, eq=False)
class Working:
    """A call and the parameters that it reads.

    Attributes:
        values: for each parameter the plain array that the oracles perturb in place; the target
            reads the same memory, perhaps as a subclass such as ``numpy.matrix``.
        positions: the parameter at each position among the leaves of all inputs.
    """

    call: Call
    values: tuple[NDArray[Any], ...]
    positions: Mapping[int, int]


def working_call(
    functions: Functions,
    bound: BoundInputs,
    chosen: Chosen,
    first: FirstCall,
    live: LiveState | None,
    seed: int | None,
    *,
    upcast: bool = True,
) -> Working:
    """Make the inputs that the oracles perturb, and the call that reads them.

    Arguments that are one array under two names become two: the gradient is by each argument.

    Raises:
        UsageError: a parameter read from elsewhere cannot be perturbed in place.
    """
    private = copy_inputs(bound)
    positions = _positions(bound, chosen)
    values: list[Any] = [_live_array(leaf) if leaf.live else None for leaf in chosen.leaves]
    scalars: dict[int, NDArray[Any]] = {}
    overwritten: set[int] = set()
    shared = Counter(id(leaf.value) for leaf in leaves((private.args, private.kwargs), "x"))
    counter = iter(range(1_000_000_000))

    def adopt(leaf: Any) -> Any:
        position = next(counter)
        made = _converted(leaf, upcast=upcast)
        if position in positions:
            if isinstance(made, np.ndarray):
                made = made.copy(order="K") if shared[id(leaf)] > 1 else made
                values[positions[position]] = made.view(np.ndarray)
            else:
                cell = np.array(made if isinstance(made, np.generic) else float(made))
                scalars[position] = values[positions[position]] = cell
        if position in first.changes.overwritten:
            overwritten.add(id(made))
        return made

    args, kwargs = map_leaves(adopt, (private.args, dict(private.kwargs)))
    inside = [leaf.value for leaf in leaves((args, kwargs), "x")]
    generators = random_state.generators_of(inside)
    call = Call(
        functions.target,
        BoundInputs(args, kwargs, bound.names),
        scalars,
        frozenset(overwritten),
        first.changes.rearranged,
        [(generator, random_state.state_of(generator)) for generator in generators],
        seed,
        live if first.changes.live else None,
        first.changes.live_overwritten,
    )
    return Working(call, tuple(values), positions)


def _positions(bound: BoundInputs, chosen: Chosen) -> dict[int, int]:
    """Map the position of a leaf among all inputs to the parameter that it is."""
    paths = [leaf.path for label, value in bound.items() for leaf in leaves(value, label)]
    where = {path: i for i, path in enumerate(paths)}
    return {where[leaf.path]: k for k, leaf in enumerate(chosen.leaves) if not leaf.live}


def _converted(leaf: Any, *, upcast: bool) -> Any:
    if isinstance(leaf, np.ndarray) and upcast and leaf.dtype.name in LOW_PRECISION:
        return leaf.astype(np.float64)
    if isinstance(leaf, np.generic) and upcast and leaf.dtype.name in LOW_PRECISION:
        return np.float64(leaf)
    return leaf


def _live_array(leaf: ChosenLeaf) -> NDArray[Any]:
    if not isinstance(leaf.value, np.ndarray):
        raise UsageError(
            f"{leaf.path} is the number {leaf.value!r}; parameters read from elsewhere must be "
            "arrays, which can be perturbed in place: use numpy.array(...)"
        )
    if not leaf.value.flags.writeable:
        raise UsageError(f"{leaf.path} is read-only; parameters read from elsewhere are perturbed")
    return leaf.value.view(np.ndarray)
