"""What the place of an alteration says about it: a mean, a division, a recurrence, a last step."""

from __future__ import annotations

import numpy as np

from gradcheck.diagnose.factors import Factor
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.operations import EXTREMES, MEANS
from gradcheck.diagnose.plan import Trial


def averaged(trial: Trial, factor: Factor, graph: Graph) -> str | None:
    """Return the cause if the factor is how many entries a mean at this place takes together."""
    for index in trial.sites:
        operation = graph.by_index[index]
        if operation.name in MEANS and operation.input_shapes:
            taken = int(np.prod(operation.input_shapes[0])) // max(
                int(np.prod(operation.output_shape)), 1
            )
            if taken > 2 and abs(factor.value - taken) <= 1e-9 * taken:
                return "batch_not_divided"
            if taken > 2 and abs(factor.value * taken - 1.0) <= 1e-9:
                return "batch_divided_twice"
    return None


def of_extreme(trial: Trial, factor: Factor, graph: Graph) -> bool:
    """Say whether the factor is one over how many entries a maximum at this place looks at."""
    for index in trial.sites:
        operation = graph.by_index[index]
        if operation.name in EXTREMES and operation.input_shapes:
            looked = int(np.prod(operation.input_shapes[0])) / max(
                int(np.prod(operation.output_shape)), 1
            )
            if looked > 1 and abs(factor.value * looked - 1.0) <= 1e-9:
                return True
    return False


def spreads(index: int, trial: Trial, factor: Factor | None, graph: Graph) -> bool:
    """Say whether a parameter is broadcast here along as many entries as the factor divides by."""
    operation = graph.by_index[index]
    if factor is None or factor.kind != "inverse_size" or factor.size is None:
        return False
    for source, shape in zip(operation.inputs, operation.input_shapes, strict=False):
        copies = int(np.prod(operation.output_shape)) // max(int(np.prod(shape)), 1)
        if operation.name in ("add", "subtract") and copies == factor.size and copies > 1:
            kind, maker = source
            reads = kind == "parameter" or (
                kind == "operation"
                and ("parameter" in {k for k, _ in graph.by_index[int(maker)].inputs})
            )
            if reads and index in trial.sites:
                return True
    return False


def divides(trial: Trial, graph: Graph) -> bool:
    """Say whether the loss averages or divides at this place."""
    return any(
        graph.by_index[index].name in MEANS | {"divide", "true_divide"} for index in trial.sites
    )


def is_recurrence(trial: Trial, graph: Graph) -> bool:
    """Say whether what is cut in a loop is each pass's dependence on the pass before it."""
    cut = sorted(trial.alterations)
    if trial.operand is None or len(cut) != trial.n_runs - 1:
        return False
    for index in cut:
        kind, source = graph.by_index[index].inputs[trial.operand]
        earlier = [i for run in graph.loops if index in run for i in run if i < index]
        if kind != "operation" or not earlier:
            return False
        if source not in earlier and not graph.reaches(earlier[-1], int(source)):
            return False
    return True


def is_last_run(trial: Trial, graph: Graph) -> bool:
    """Say whether what is cut is one use of what the last run of a loop of steps made."""
    last = {run[-1] for run in graph.loops if len(run) > 2}
    inputs = graph.by_index[trial.sites[0]].inputs
    if trial.operand is None or trial.operand >= len(inputs):
        # Of a loop that stacks numbers and results, the first run may have fewer of the latter.
        return False
    kind, source = inputs[trial.operand]
    return kind == "operation" and source in last
