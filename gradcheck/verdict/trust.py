"""Whether a trace is to be believed beside the central differences of the same loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradcheck.blocks import flat, parts
from gradcheck.noise import Noise
from gradcheck.oracles.parted import AnyEstimate, PartedEstimate
from gradcheck.oracles.torch_autograd import Autograd
from gradcheck.problem import Problem
from gradcheck.report import Notice
from gradcheck.verdict.judging import excluded

SEEN = 8.0
"""Standard deviations of noise by which a loss has to change where it depends on an entry."""
MOST = 0.5
"""Share of the entries at which it has to, where the trace sees no path to their parameter."""


def unfaithful(
    problem: Problem,
    noise: Noise,
    autograd: Autograd,
    found: Mapping[str, Mapping[str, AnyEstimate]],
) -> Notice | None:
    """Say why autograd of the traced code is not to be used; None where it may be.

    It is not where it contradicts the central differences, and where it sees no path from a
    parameter to a loss that they see change with it: ``round``, for one, leads through a string
    of digits, and what it makes of a slope is to be seen across its steps alone.
    """
    if autograd.source != "trace":
        return None
    reached = _parameters_reached(autograd.trace)
    for name, estimates in found.items():
        if "autograd" not in estimates or "central" not in estimates:
            continue
        exact, central = estimates["autograd"], estimates["central"]
        n_off = _contradictions(exact, central)
        if n_off:
            return _discarded(
                f"disagrees with central differences on {n_off} entries of {name}: something in "
                "the target does not trace faithfully"
            )
        if name not in reached and _changes(problem, noise, name, exact, central):
            return _discarded(
                f"sees no path from {name} to the loss, which changes with it: the value passes "
                "through something that has no derivative, such as round() or an integer"
            )
    return None


def _discarded(why: str) -> Notice:
    text = f"autograd of the traced code {why}, so that autograd of it was not used"
    return Notice("trace_discarded", text)


def _parameters_reached(trace: Any) -> frozenset[str]:
    """Names of the parameters that some operation of the trace takes."""
    inputs = (one for operation in trace.operations for one in operation.inputs)
    return frozenset(str(source) for kind, source in inputs if kind == "parameter")


def _changes(
    problem: Problem, noise: Noise, name: str, exact: AnyEstimate, central: AnyEstimate
) -> bool:
    """Whether the loss changes with most entries of a parameter that it is said not to depend on.

    Those of them count whose claim is not zero: of the others nobody expects a slope.
    """
    if problem.facts.spread:
        return False
    claimed = problem.analytic[name]
    looked = changing = 0
    for at in parts(exact.size):
        if isinstance(central, PartedEstimate) and central.is_empty(at):
            continue
        one = central.part(at)
        if exact.part(at).value.any():
            return False
        asked = one.checked & (flat(claimed, at) != 0.0)
        steepest = np.fmax(np.abs(one.value), np.fmax(np.abs(one.lower), np.abs(one.upper)))
        moved = ~np.broadcast_to(one.flat, asked.shape)
        moved = moved & (steepest * one.steps > SEEN * noise.level)
        looked += int(asked.sum())
        changing += int((asked & moved).sum())
    return changing > MOST * looked


def _contradictions(one: AnyEstimate, two: AnyEstimate) -> int:
    """Count the entries at which two oracles contradict each other by far."""
    count = 0
    for at in parts(one.size):
        if isinstance(two, PartedEstimate) and two.is_empty(at):
            continue
        a, b = one.part(at), two.part(at)
        known = np.isfinite(b.uncertainty) & ~b.kinks
        apart = np.abs(a.value - b.value)
        off = known & (apart > 4 * (a.uncertainty + b.uncertainty))
        # A zero that is something else a rounding away comes from no derivative.
        off |= excluded(a, b) & (a.value == 0.0)
        off |= known & (a.value == 0.0) & (a.uncertainty > apart) & (apart > 4 * b.uncertainty)
        off &= apart > 1e-6 * np.fmax(np.abs(a.value), np.abs(b.value))
        count += int(off.sum())
    return count
