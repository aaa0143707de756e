"""Maxima that several entries share: code may hand the gradient to each of them, or to one.

Where that makes no difference, as behind a mask that is zero there, it does once the mask is
forgotten as well.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.operations import EXTREMES
from gradcheck.tracing.contract import Alteration, DetailedTrace


def to_all_that_share(trace: DetailedTrace, graph: Graph) -> dict[int, Alteration]:
    """Return the alterations by which each entry that shares an extreme gets the whole gradient."""
    tied = frozenset(getattr(trace, "ties", ()))
    found: dict[int, Alteration] = {}
    for operation in graph.operations:
        paths = graph.paths_in(operation.index)
        if operation.name not in EXTREMES or operation.index not in tied or len(paths) != 1:
            continue
        taken, result = (
            trace.operand_values(operation.index)[paths[0]],
            trace.value(operation.index),
        )
        axis = operation.keywords.get("axis")
        axes = () if axis is None or result.ndim == taken.ndim else axis
        found[operation.index] = Alteration(
            "rule", operand=paths[0], rule=_whole(taken, result, axes)
        )
    return found


def _whole(taken: Array, result: Array, axes: int | tuple[int, ...]) -> Callable[[Array], Array]:
    shared = taken == np.expand_dims(result, axes)
    return lambda c: np.asarray(np.where(shared, np.expand_dims(c, axes), 0.0))
