"""Mistakes in the passes of a loop: contributions overwritten, a value of another moment of a pass.

What reads one array several times hands it one contribution each time. ``=`` for ``+=`` keeps the
last one wherever they overlap; so does ``x[idx] += g`` for an index that occurs more than once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from gradcheck.diagnose.evidence import Array, Evidence, Facts, Mask
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.operations import PRODUCTS
from gradcheck.diagnose.probe import Probe, Use, explains, finding_at, other_factor, product
from gradcheck.diagnose.sites import in_words, location
from gradcheck.tracing.contract import DetailedTrace, Operation

MOST_ENTRIES = 4_000_000
"""Contributions are kept one by one up to this many entries."""

_LOOKUPS = ("getitem", "take")


@dataclass(frozen=True, eq=False)
class _Piece:
    """One contribution to an array, and the entries that it is written to."""

    value: Array
    written: Mask


def overwritten(facts: Facts, _: Evidence, probe: Probe) -> Finding | None:
    """Find contributions of which only the last one was kept where several meet."""
    for uses in _by_expression(probe.uses(facts.name), probe.graph):
        operation = uses[0].operation
        known = np.sum([use.contribution for use in uses], axis=0)
        for cause, groups in _readings(uses, probe):
            for step in (1, -1):
                kept = sum((_assigned(g[::step], known.shape) for g in groups), -known)
                grade = explains(facts, kept)
                if grade is None:
                    continue
                where = in_words(operation)
                if cause == "duplicate_indices":
                    message = (
                        f"The gradient of {facts.name} is exactly what `x[idx] += g` gives for "
                        f"{where}: entries that the index names more than once got only one of "
                        "their contributions."
                    )
                    remedy = f"Add with np.add.at(d{facts.name}, idx, g)."
                else:
                    message = (
                        f"The gradient of {facts.name} is exactly what you get when the "
                        f"contributions of the {len(uses)} runs of {where} overwrite each other "
                        "instead of being added."
                    )
                    remedy = f"Add each contribution to the gradient of {facts.name} with `+=`."
                return finding_at(cause, facts, message, remedy, grade, operation)
    return None


def _by_expression(uses: list[Use], graph: Graph) -> Iterator[list[Use]]:
    groups: dict[tuple[object, ...], list[Use]] = defaultdict(list)
    for use in uses:
        groups[(*graph.expression(use.operation.index), use.operand)].append(use)
    yield from groups.values()


def _readings(uses: list[Use], probe: Probe) -> Iterator[tuple[str, list[list[_Piece]]]]:
    """Yield groups of contributions that overwrite each other; what groups make is added.

    First one run at a time; then, for look-ups, one index at a time in each run and in all.
    """
    size = uses[0].contribution.size
    if 1 < len(uses) <= MOST_ENTRIES // max(size, 1):
        yield "term_missing", [[_piece(use, use.cotangent, 1.0, probe) for use in uses]]
    if any(use.operation.name not in _LOOKUPS for use in uses):
        return
    if sum(_rows(use) for use in uses) * size > MOST_ENTRIES:
        return
    single = [list(_one_by_one(use, probe)) for use in uses]
    if any(len(pieces) > 1 for pieces in single):
        yield "duplicate_indices", single
        yield "duplicate_indices", [[piece for pieces in single for piece in pieces]]


def _one_by_one(use: Use, probe: Probe) -> Iterator[_Piece]:
    rows = _rows(use)
    for k in range(rows):
        chosen = np.zeros((rows, use.cotangent.size // rows))
        chosen[k] = 1.0
        mark = chosen.reshape(use.cotangent.shape)
        yield _piece(use, use.cotangent * mark, mark, probe)


def _rows(use: Use) -> int:
    """Return how many entries of the first axes an index array picks at a time."""
    taken, read = use.cotangent.shape, use.contribution.shape
    shared = 0
    while shared < min(len(taken), len(read) - 1) and taken[-1 - shared] == read[-1 - shared]:
        shared += 1
    return int(np.prod(taken[: len(taken) - shared]))


def _piece(use: Use, cotangent: Array, mark: Array | float, probe: Probe) -> _Piece:
    index, operand = use.operation.index, use.operand
    value = probe.trace.local(index, cotangent)[operand]
    # A positive cotangent shows where a look-up writes; other operations write everywhere.
    shown = probe.trace.local(index, np.ones_like(use.cotangent) * mark)[operand]
    assert value is not None
    assert shown is not None
    everywhere = use.operation.name not in _LOOKUPS
    return _Piece(value, np.ones(value.shape, bool) if everywhere else shown != 0.0)


def _assigned(pieces: list[_Piece], shape: tuple[int, ...]) -> Array:
    result = np.zeros(shape)
    for piece in pieces:
        result[piece.written] = piece.value[piece.written]
    return result


def overwritten_results(
    trace: DetailedTrace, graph: Graph, cotangents: Mapping[int, Array]
) -> Iterator[tuple[Operation, dict[int, Array]]]:
    """Yield what ``=`` for ``+=`` changes in the gradients of results that a loop reads often.

    Each is an operation that reads them, and what comes in addition for each result read.
    """
    probe = Probe(trace, graph, dict(cotangents))
    readers: dict[tuple[object, ...], dict[int, list[Use]]] = defaultdict(dict)
    spent = 0
    for operation in graph.operations:
        users = graph.consumers.get(operation.index, ())
        spent += len(users) * int(np.prod(operation.output_shape))
        if spent > MOST_ENTRIES:
            return
        for user, operand in users if len(users) > 1 else ():
            use = None if user not in cotangents else _use(user, operand, probe)
            if use is not None and user in graph.in_loop:
                key = (*graph.expression(user), operand)
                readers[key].setdefault(operation.index, []).append(use)
    for read in readers.values():
        extra: dict[int, Array] = {}
        for index, uses in read.items():
            if len(uses) > 1:
                pieces = [_piece(use, use.cotangent, 1.0, probe) for use in uses]
                known = np.sum([use.contribution for use in uses], axis=0)
                shape = uses[0].contribution.shape
                extra[index] = _assigned(pieces, shape) - known
        if any(part.any() for part in extra.values()):
            yield next(iter(read.values()))[0].operation, extra
    yield from _overwritten_by_pass(readers, graph)


def _overwritten_by_pass(
    readers: Mapping[tuple[object, ...], Mapping[int, list[Use]]], graph: Graph
) -> Iterator[tuple[Operation, dict[int, Array]]]:
    """Yield the same where several expressions of one pass read a result, and a pass is kept."""
    by_maker: dict[tuple[object, ...], dict[int, list[list[Use]]]] = defaultdict(dict)
    for read in readers.values():
        for index, uses in read.items():
            by_maker[graph.expression(index)].setdefault(index, []).append(uses)
    for made in by_maker.values():
        extra: dict[int, Array] = {}
        for index, expressions in made.items():
            runs = {len(uses) for uses in expressions}
            if len(expressions) > 1 and len(runs) == 1 and runs != {1}:
                earlier = (use.contribution for uses in expressions for use in uses[:-1])
                extra[index] = -np.sum(list(earlier), axis=0)
        if any(part.any() for part in extra.values()):
            yield graph.by_index[next(iter(extra))], extra


def _use(user: int, operand: int, probe: Probe) -> Use | None:
    cotangent = probe.cotangents[user]
    part = probe.trace.local(user, cotangent)[operand]
    return None if part is None else Use(probe.graph.by_index[user], operand, cotangent, part)


def stale_in_loop(facts: Facts, _: Evidence, probe: Probe) -> Finding | None:
    """Find a loop whose gradient takes another value, or another gradient, of each pass."""
    for uses in _by_expression(probe.uses(facts.name), probe.graph):
        if len(uses) < 2:
            continue
        found = _unmultiplied(facts, uses, probe)
        if found is not None:
            return found
        known = np.sum([use.contribution for use in uses], axis=0)
        for run in probe.graph.loops:
            if len(run) != len(uses):
                continue
            for what, total in _exchanged(facts, uses, run, probe):
                grade = None if total.shape != known.shape else explains(facts, total - known)
                if grade is None:
                    continue
                operation, other = uses[0].operation, probe.graph.by_index[run[0]]
                message = (
                    f"The gradient of {facts.name} at {in_words(operation)} is exactly what you "
                    f"get with {what} {in_words(other)} of the same pass of the loop, in place "
                    "of its own."
                )
                remedy = f"Use what line {operation.site.line} itself reads and hands on."
                places = (location(other.site),)
                return finding_at("stale_value", facts, message, remedy, grade, operation, places)
    return None


def _unmultiplied(facts: Facts, uses: list[Use], probe: Probe) -> Finding | None:
    """Find a factor of a loop that is taken before it was multiplied by another one."""
    makers = [_maker_of_factor(use, probe) for use in uses]
    known = np.sum([use.contribution for use in uses], axis=0)
    (first, *others) = makers
    if first is None or first.name not in PRODUCTS or len(first.inputs) != 2:
        return None
    if any(o is None or o.name != first.name or o.site != first.site for o in others):
        return None
    for position in range(2):
        values = [probe.trace.operand_values(o.index)[position] for o in makers if o is not None]
        total = _added(product(value, use) for value, use in zip(values, uses, strict=True))
        if total is None or total.shape != known.shape:
            continue
        grade = explains(facts, total - known)
        if grade is not None:
            message = (
                f"The gradient of {facts.name} at {in_words(uses[0].operation)} is exactly what "
                f"you get with the factor as it is before {in_words(first)} multiplies it."
            )
            remedy = f"Multiply by the result of line {first.site.line}, not by what goes into it."
            places = (location(first.site),)
            operation = uses[0].operation
            return finding_at("factor_missing", facts, message, remedy, grade, operation, places)
    return None


def _maker_of_factor(use: Use, probe: Probe) -> Operation | None:
    """Return the operation whose result a parameter is multiplied by."""
    if other_factor(use, probe) is None:
        return None
    kind, source = use.operation.inputs[1 - use.operand]
    return probe.graph.by_index.get(int(source)) if kind == "operation" else None


def _exchanged(
    facts: Facts, uses: list[Use], run: tuple[int, ...], probe: Probe
) -> Iterator[tuple[str, Array]]:
    """Yield a parameter's contributions with the values, or gradients, of another loop's runs."""
    if not all(probe.may_try(facts) for _ in uses):
        return
    pairs = list(zip(uses, run, strict=True))
    factors = [other_factor(use, probe) for use in uses]
    if all(
        factor is not None and factor.shape == probe.graph.by_index[index].output_shape
        for factor, index in zip(factors, run, strict=True)
    ):
        total = _added(product(probe.trace.value(index), use) for use, index in pairs)
        if total is not None:
            yield "the result of", total
    if all(
        index in probe.cotangents and probe.cotangents[index].shape == use.cotangent.shape
        for use, index in pairs
    ):
        handed = _added(
            probe.trace.local(use.operation.index, probe.cotangents[index])[use.operand]
            for use, index in pairs
        )
        if handed is not None:
            yield "the gradient by the result of", handed


def _added(parts: Iterable[Array | None]) -> Array | None:
    """Return the sum of arrays of one shape, None where one is missing."""
    known: list[Array] = []
    for part in parts:
        if part is None or (known and part.shape != known[0].shape):
            return None
        known.append(part)
    return np.asarray(np.sum(known, axis=0))
