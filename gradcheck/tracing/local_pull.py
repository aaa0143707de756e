"""What one operation makes of a cotangent, by its own few nodes of the recorded graph.

``torch.autograd.grad`` looks through all that was recorded before an operation, each time it is
asked about one; in a loop of a hundred steps that takes a hundred times as long as the operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MOST_NODES = 64
"""Nodes that an operation consists of, at most."""


def local_pull(
    torch: Any, output: Any, edges: Sequence[Any], cotangent: Any
) -> tuple[Any, ...] | None:
    """Return what a cotangent of ``output`` becomes at each of some tensors it was computed from.

    An element is None where no path leads there. None where that has to be left to
    ``torch.autograd.grad``: the operation has many nodes, or one that is written in Python, or
    this torch (before 2.4) does not say what a node expects.
    """
    wanted = [(edge.grad_fn, edge.output_nr) for edge in edges]
    order = _order(output.grad_fn, {node for node, _ in wanted})
    if order is None:
        return None
    arrived: dict[Any, list[Any]] = {output.grad_fn: _nothing(output.grad_fn)}
    arrived[output.grad_fn][output.output_nr] = cotangent
    with torch.no_grad():
        for node in order:
            given = arrived.pop(node, None)
            if given is None or all(one is None for one in given):
                continue
            found = node(*given)
            found = found if isinstance(found, tuple) else (found,)
            for part, (later, number) in zip(found, node.next_functions, strict=True):
                if part is None or later is None:
                    continue
                slots = arrived.setdefault(later, _nothing(later))
                part = _fitting(part, later._input_metadata[number])
                slots[number] = part if slots[number] is None else slots[number] + part
    return tuple(arrived[node][number] if node in arrived else None for node, number in wanted)


def _nothing(node: Any) -> list[Any]:
    return [None] * len(node._input_metadata)


def _fitting(part: Any, metadata: Any) -> Any:
    """Sum over what was broadcast, in the dtype of what it belongs to, as torch does on the way."""
    if part.shape != metadata.shape:
        part = part.sum_to_size(metadata.shape)
    if part.dtype != metadata.dtype:
        part = part.to(metadata.dtype)
    return part


def _order(first: Any, ends: set[Any]) -> list[Any] | None:
    """Return the nodes from ``first`` up to ``ends``, users before what they use; None if many."""
    after: list[Any] = []
    seen = {first}
    waiting = [(first, iter(first.next_functions))]
    while waiting:
        node, further = waiting[-1]
        later = next((one for one, _ in further if one not in seen and _leads_on(one)), None)
        if later is None:
            after.append(node)
            waiting.pop()
        elif later not in ends:
            seen.add(later)
            if len(seen) > MOST_NODES or not _can_run(later):
                return None
            waiting.append((later, iter(later.next_functions)))
    return after[::-1] if _can_run(first) and first not in ends else None


def _leads_on(node: Any) -> bool:
    """Whether there is a node, and more behind it: the last one writes to somebody's ``grad``."""
    return node is not None and bool(node.next_functions)


def _can_run(node: Any) -> bool:
    return callable(node) and hasattr(node, "_input_metadata")
