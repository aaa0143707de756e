"""The gradient by PyTorch autograd: of a torch twin, or of the traced NumPy target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradcheck.blocks import flat, parts
from gradcheck.calling.quiet import quiet
from gradcheck.calling.time_limit import limited
from gradcheck.noise import Noise
from gradcheck.oracles.estimate import Estimate, smooth_estimate
from gradcheck.problem import FloatArray, Parameter, Problem
from gradcheck.report import Notice
from gradcheck.scales import rms
from gradcheck.verdict.gradient_noise import measured_rounding
from gradcheck.verdict.rounding import cancellation_floor, rounding_error

LOSS_TOLERANCE = 1e-9
"""Relative difference up to which two ways of computing a loss give the same value."""
SATURATING = ("tanh", "expit")
"""Functions whose derivatives are computed of their values, and lose digits next to 1."""
ERRORS = 2.0
"""Times such a loss that a derivative is known to: two ways of computing it may both have one."""
LONG = 2000
"""Operations from which a target is not traced again to measure what rounding leaves: a table of it
takes as long as eight traces, and these some seconds. The guess is larger, and stays."""
PATIENCE = 10.0
"""How much longer than a plain evaluation a traced one may take, where that has a limit."""


@dataclass(frozen=True, eq=False)
class Autograd:
    """The estimates by parameter name, or why there are none.

    ``source`` is ``"twin"`` or ``"trace"``; ``loss`` the value that it computed; ``trace`` the
    recorded operations, where the target was traced; ``again`` computes the gradient anew at the
    parameters' present values.
    """

    estimates: Mapping[str, Estimate]
    source: str = ""
    loss: float = float("nan")
    trace: Any = None
    again: Callable[[], Mapping[str, FloatArray]] | None = None
    notices: tuple[Notice, ...] = ()

    def agrees_on_loss(self, problem: Problem) -> bool:
        """Whether the loss is the target's own to within roundoff."""
        allowed = LOSS_TOLERANCE * max(abs(self.loss), abs(problem.facts.value))
        return abs(self.loss - problem.facts.value) <= allowed


NONE = Autograd({})


def autograd_of_twin(problem: Problem, noise: Noise, generator: np.random.Generator) -> Autograd:
    """Differentiate the problem's torch twin."""
    twin = problem.twin_gradient
    if twin is None:
        return NONE
    with quiet():
        loss, gradients = twin()
    estimates = _estimates(problem, gradients, lambda: twin()[1], noise, generator)
    return Autograd(estimates, "twin", loss, again=lambda: twin()[1])


def autograd_of_trace(
    problem: Problem, noise: Noise, generator: np.random.Generator, *, estimate: bool = True
) -> Autograd:
    """Trace the target's own NumPy code on torch tensors and differentiate that.

    What cannot be traced leaves a notice that names the operation and the line. Without
    ``estimate`` only the trace is returned.
    """
    request = problem.trace_request
    if request is None:
        return NONE
    from gradcheck.tracing import NotTraceable, trace

    def run() -> Any:
        args, kwargs, parameters = request.prepare()
        seconds = None if request.timeout is None else PATIENCE * request.timeout
        try:
            return limited(trace, seconds)(
                request.target, args, kwargs, parameters, loss_of=request.pick_loss
            )
        finally:
            request.restore()

    try:
        with quiet():
            traced = run()
            gradients = traced.backward()
    except NotTraceable as error:
        return Autograd({}, notices=(Notice("not_traceable", str(error)),))
    except Exception as error:
        # The plain call went well: whatever this is, it concerns the tracing alone.
        text = f"tracing the target raised {type(error).__name__}: {error}"
        return Autograd({}, notices=(Notice("not_traceable", text),))
    found = Autograd({}, "trace", traced.loss, traced)
    if not found.agrees_on_loss(problem):
        return Autograd({}, notices=(_discarded_for_loss(problem, traced.loss),))
    if not estimate:
        return found
    short = len(traced.operations) <= LONG
    estimates = _estimates(
        problem, gradients, lambda: run().backward(), noise, generator, measured=short
    )
    estimates = _with_saturation(problem, estimates, traced)
    return Autograd(estimates, "trace", traced.loss, traced, lambda: run().backward())


def _with_saturation(
    problem: Problem, estimates: dict[str, Estimate], traced: Any
) -> dict[str, Estimate]:
    """Add what is lost in the derivatives of functions that are saturated.

    Of the two ways of computing these, each as right as the other, the one nearer to the analytic
    gradient gives the value, entry by entry. A zero of both stays exact.
    """
    if not any(one.name in SATURATING for one in traced.operations):
        return estimates
    from gradcheck.tracing.saturated import exact_where_saturated

    found = dict(estimates)
    for name, exact in exact_where_saturated(traced).items():
        if name not in problem.analytic or name not in estimates:
            continue
        own, claimed = estimates[name], problem.analytic[name]
        nearer = np.abs(claimed - exact) < np.abs(claimed - own.value)
        lost = np.where(nearer | (own.value != 0.0), ERRORS * np.abs(exact - own.value), 0.0)
        value = np.where(nearer, exact, own.value)
        found[name] = replace(
            smooth_estimate("autograd", value, own.uncertainty + lost), flat=own.flat & ~nearer
        )
    return found


def _discarded_for_loss(problem: Problem, loss: float) -> Notice:
    return Notice(
        "trace_discarded",
        f"the traced loss is {loss!r}, the plain one {problem.facts.value!r}: something in the "
        "target does not trace faithfully, so that autograd of it was not used",
    )


def _estimates(
    problem: Problem,
    gradients: Mapping[str, FloatArray],
    again: Callable[[], Mapping[str, FloatArray]],
    noise: Noise,
    generator: np.random.Generator,
    *,
    measured: bool = True,
) -> dict[str, Estimate]:
    unit = float(np.finfo(np.float64).eps)
    if problem.in_low_precision:
        unit = float(np.finfo(np.float32).eps)
    errors = rounding_error(again, problem.parameters, generator, unit, noise, base=gradients)
    if measured:
        errors = measured_rounding(problem, again, gradients, errors, noise, generator)
    found = {
        name: smooth_estimate("autograd", np.asarray(value, dtype=np.float64), errors[name])
        for name, value in gradients.items()
    }
    return found | {
        parameter.name: _without_lost_zeros(found[parameter.name], parameter, noise)
        for parameter in problem.parameters
        if parameter.name in found
    }


def _without_lost_zeros(estimate: Estimate, parameter: Parameter, noise: Noise) -> Estimate:
    """Take no zero for exact that is another number a rounding away: it comes from no derivative.

    A cache that is found by the bytes of the parameters, for one, gives a constant.
    """
    if not np.asarray(estimate.flat).any():
        return estimate
    floor = cancellation_floor(parameter, estimate.value, noise)
    slight = 32.0 * float(np.finfo(np.float64).eps) * rms(estimate.value)
    still = np.empty(estimate.size, dtype=bool)
    for at in parts(estimate.size):
        still[at] = flat(estimate.uncertainty, at) <= 2.0 * floor(at) + slight
    return replace(estimate, flat=estimate.flat & still.reshape(estimate.value.shape))
