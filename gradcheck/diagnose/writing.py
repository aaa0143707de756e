"""Writing down the derivatives of all operations of a trace, and whether they give its gradient."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.jacobians import Block, Blocks, Indices, Jacobians, added_at
from gradcheck.diagnose.limits import MOST_WRITTEN, numbers
from gradcheck.diagnose.written import Layout, WrittenTrace
from gradcheck.tracing.contract import DetailedTrace

_AGREE = 1e-9


def written(trace: DetailedTrace, gradient: Mapping[str, Array]) -> WrittenTrace | None:
    """Write down the derivatives of a trace; None where they are too many, or not real doubles.

    ``gradient`` is what its backward pass gives, by parameter: what is written down has to give
    the same.
    """
    if not getattr(trace, "in_doubles", False) or not trace.operations:
        return None
    layout = _laid_out(trace, gradient)
    if layout is None:
        return None
    for known in (True, False):
        found = _written(trace, layout, Jacobians(trace, known))
        if found is not None and _gives(found, gradient):
            return found
    return None


def _written(trace: DetailedTrace, layout: Layout, jacobians: Jacobians) -> WrittenTrace | None:
    blocks: dict[int, Blocks] = {}
    total = 0
    for operation in trace.operations:
        found = jacobians.of(operation)
        total += sum(one.values.size for one in found or () if one is not None)
        if found is None or total > MOST_WRITTEN:
            return None
        blocks[operation.index] = found
    joined = _joined(trace, layout, blocks)
    if joined is None:
        return None
    spans, out, into, values = joined
    # The loss is what nothing else was computed from.
    ends = [i for i in layout.starts if not layout.used[i]]
    if len(ends) != 1 or numbers(layout.shapes[ends[0]]) != 1 or not np.isfinite(values).all():
        return None
    source = np.zeros(layout.size)
    source[layout.starts[ends[0]]] = 1.0
    return WrittenTrace(trace, layout, blocks, spans, out, into, values, source)


def _gives(found: WrittenTrace, gradient: Mapping[str, Array]) -> bool:
    """Say whether a gradient is what the written derivatives give, entry by entry.

    Sums in another order differ by the rounding of their terms.
    """
    given = found.backward()
    largest = found.layout.named(added_at(found.into, found.sizes(), found.layout.size))
    return all(
        bool((np.abs(given[name] - part) <= _AGREE * (largest[name] + np.abs(part))).all())
        for name, part in gradient.items()
    )


def _laid_out(trace: DetailedTrace, gradient: Mapping[str, Array]) -> Layout | None:
    parameters, start = {}, 0
    for name, array in gradient.items():
        parameters[name] = (start, array.shape)
        start += array.size
    starts, shapes, used = {}, {}, {}
    for operation in trace.operations:
        if trace.n_results(operation.index) != 1:
            return None
        index, shape = operation.index, operation.output_shape
        starts[index], shapes[index], used[index] = start, shape, False
        start += numbers(shape)
        for kind, source in operation.inputs:
            if kind == "operation":
                used[int(source)] = True
    return Layout(starts, shapes, parameters, used, start)


def _joined(
    trace: DetailedTrace, layout: Layout, blocks: Mapping[int, Blocks]
) -> tuple[dict[tuple[int, int], slice], Indices, Indices, Array] | None:
    """Return all blocks' entries as one, and where each block's are."""
    keys: list[tuple[int, int]] = []
    parts: list[Block] = []
    firsts: list[tuple[int, int]] = []
    for operation in trace.operations:
        own = layout.starts[operation.index]
        for operand, block in enumerate(blocks[operation.index]):
            if block is None:
                continue
            kind, name = operation.inputs[operand]
            if kind == "constant":
                continue
            start = layout.source(kind, name)
            if start >= own:
                return None
            keys.append((operation.index, operand))
            parts.append(block)
            firsts.append((own, start))
    sizes = np.array([part.values.size for part in parts], dtype=np.int64)
    ends = np.concatenate([[0], np.cumsum(sizes)]).tolist()
    spans = {key: slice(*ends_) for key, ends_ in zip(keys, pairwise(ends), strict=True)}
    if not parts:
        return None
    shift = np.repeat(np.array(firsts, dtype=np.int64), sizes, axis=0)
    out = np.concatenate([part.out for part in parts]) + shift[:, 0]
    into = np.concatenate([part.into for part in parts]) + shift[:, 1]
    return spans, out, into, np.concatenate([part.values for part in parts])
