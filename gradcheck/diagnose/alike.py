"""Which alterations must change the gradient alike: one backward pass tells of all of them."""

from __future__ import annotations

from collections.abc import Mapping

from gradcheck.diagnose.graph import Graph, detailed
from gradcheck.tracing.contract import Alteration, Operation, Trace

Key = tuple[int, str, int | None, float]
"""An operation, and the kind, the operand and the factor of how it is altered."""

COMMUTING = frozenset({"add", "multiply"})
OF_VECTORS = frozenset({"dot", "inner", "matmul", "vdot"})
"""Operations that give the same with their operands exchanged; the second of vectors alone."""

WHOLE = frozenset({"constant", "scale"})
OF_AN_OPERAND = frozenset({"drop_operand", "identity", "scale_operand", "twice"})


def key_of(alterations: Mapping[int, Alteration], graph: Graph, trace: Trace) -> Key | None:
    """Return what is the same of alterations that must change the gradient alike.

    ``x * x`` hands the same to both of its operands. What cuts, or multiplies, all that an
    operation hands on does so to all that arrives at the one before, where nothing else uses it.
    None where there are several alterations, or one of a kind of which nothing is known.
    """
    if len(alterations) != 1:
        return None
    ((index, alteration),) = alterations.items()
    if index not in graph.by_index:
        return None
    operand = alteration.operand
    if alteration.kind in WHOLE and operand is None:
        index = _last_of_a_row(index, graph)
    elif alteration.kind in OF_AN_OPERAND and operand is not None:
        operand = _first_of_equals(graph.by_index[index], operand, trace)
    else:
        return None
    return index, alteration.kind, operand, alteration.factor


def _last_of_a_row(index: int, graph: Graph) -> int:
    """Return the last operation through which all goes, and nothing else, that one hands on."""
    while True:
        uses = graph.consumers.get(index, ())
        users = {user for user, _ in uses}
        if len(users) != 1:
            return index
        (user,) = users
        if {position for _, position in uses} != set(graph.paths_in(user)):
            return index
        index = user


def _first_of_equals(operation: Operation, operand: int, trace: Trace) -> int:
    """Return the first operand that is the same as one, of an operation in which they commute."""
    vectors = all(len(shape) == 1 for shape in operation.input_shapes)
    commute = operation.name in COMMUTING or (operation.name in OF_VECTORS and vectors)
    if not commute or len(operation.inputs) != 2:
        return operand
    (kind, source), other = operation.inputs
    full = detailed(trace)
    # Of several results of one operation it is not known which is meant.
    single = kind == "parameter" or (full is not None and full.n_results(int(source)) == 1)
    return 0 if (kind, source) == other and kind != "constant" and single else operand
