"""Why nothing could be decided of some entries, and what would decide it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gradcheck.noise import Noise
from gradcheck.oracles.ladder import KAPPA
from gradcheck.oracles.torch_autograd import Autograd
from gradcheck.problem import FloatArray, Problem
from gradcheck.report import Diagnosis, Notice, Verdict
from gradcheck.scales import median
from gradcheck.sentences import accepting
from gradcheck.verdict.compare import FAIL, INCONCLUSIVE
from gradcheck.verdict.judging import ParameterFindings, precision_of, reference_of
from gradcheck.verdict.rounding import cancellation_floor
from gradcheck.verdict.unchecked import (
    beyond_the_domain,
    cut_short,
    left_by_limits,
    no_oracle,
)

BEYOND = 100.0
"""Times what noise makes of a slope, from which it is not what makes it uncertain."""


def open_questions(
    problem: Problem,
    parameters: Mapping[str, ParameterFindings],
    autograd: Autograd,
    noise: Noise,
    notices: Sequence[Notice],
) -> list[Diagnosis]:
    """Say why nothing could be decided, and what would decide it."""
    open_ = [
        name
        for name, one in parameters.items()
        if one.combined.verdict is Verdict.INCONCLUSIVE or cut_short(problem, one)
    ]
    if not open_:
        return []
    contested = [name for name in open_ if parameters[name].combined.contested.any()]
    if contested and autograd.source == "twin":
        return [_wrong_twin(problem, parameters, contested, autograd)]
    limited = left_by_limits(problem, parameters)
    found, told = ([], ()) if limited is None else ([limited[0]], limited[1])
    others = [name for name in open_ if name not in told][:3]
    return found + [_open(problem, name, parameters[name], noise, notices) for name in others]


def _wrong_twin(
    problem: Problem,
    parameters: Mapping[str, ParameterFindings],
    contested: Sequence[str],
    autograd: Autograd,
) -> Diagnosis:
    values = (
        f"the twin's loss is {autograd.loss:.10g}, the target's {problem.facts.value:.10g}"
        if not autograd.agrees_on_loss(problem)
        else "the two losses agree at this point, but not around it"
    )
    names = ", ".join(contested)
    message = (
        f"The analytic gradient agrees with central differences of the target's own loss, but "
        f"PyTorch autograd of the twin gives another gradient for {names}: {values}. The two "
        "compute different losses."
    )
    remedy = "Compare the twin's forward pass with the target's, term by term."
    if any(_contradicted(parameters[name]) for name in contested):
        message = (
            f"Central differences of the target's own loss contradict the analytic gradient of "
            f"{names}, and PyTorch autograd of the twin agrees with it: either both leave out the "
            "same, or the loss is not what the two differentiate."
        )
        remedy = (
            "Look in the twin for what stops a gradient (detach(), no_grad(), a conversion to "
            "NumPy), and in the gradient for the same; leave the twin out to be told where."
        )
    return Diagnosis(
        "wrong_twin",
        contested[0] if len(contested) == 1 else "",
        message,
        "likely",
        evidence={"loss": problem.facts.value, "twin_loss": autograd.loss},
        remedy=remedy,
    )


def _contradicted(one: ParameterFindings) -> bool:
    """Whether central differences contradict the claim at an entry that is contested."""
    central = one.comparisons.get("analytic~central")
    return central is not None and bool((central.codes == FAIL)[one.combined.contested].any())


def _open(
    problem: Problem,
    name: str,
    one: ParameterFindings,
    noise: Noise,
    notices: Sequence[Notice],
) -> Diagnosis:
    central = one.estimates.get("central")
    unclear = one.combined.codes == INCONCLUSIVE
    count = int(unclear.sum())
    unasked = no_oracle(name, one, notices)
    if unasked is not None:
        return unasked
    beyond = beyond_the_domain(problem, name, one)
    if beyond is not None:
        remedy = "Choose a point inside the loss's domain, or try --jitter 0.01."
        return Diagnosis("domain_edge", name, beyond, "exact", remedy=remedy)
    if problem.facts.spread > 0:
        return _random(problem, name, one)
    if central is not None and (central.kinks & unclear).any() and not _steps_inside(problem):
        return Diagnosis(
            "kink",
            name,
            f"{int((central.kinks & unclear).sum())} entries of {name} sit on a kink of the loss, "
            "and the analytic value lies outside the one-sided slopes.",
            "likely",
            remedy="Move off the kink with --jitter 0.01: at a smooth point the answer is clear.",
        )
    slight = _slight(one)
    if slight is not None:
        return Diagnosis(
            "precision_limited",
            name,
            f"The gradient of {name} is off by at most {slight:.1g} of its size at {count} of "
            f"{unclear.size} entries: more than rounding explains, less than a mistake in a "
            "formula makes.",
            "likely",
            evidence={"relative_error": slight},
            remedy="Where the gradient or the loss is itself an approximation (finite differences, "
            "an iteration that stops), tighten its tolerance: an error that falls with it is its "
            f"own{accepting(slight)}.",
        )
    return _hidden(problem, name, one, noise)


def _steps_inside(problem: Problem) -> bool:
    """Whether the loss was seen to keep values in half precision, whose steps look like kinks."""
    return problem.precision_inside == np.float16


def _random(problem: Problem, name: str, one: ParameterFindings) -> Diagnosis:
    """Say of a loss that differs from call to call what makes it tell more."""
    unclear = one.combined.codes == INCONCLUSIVE
    spread, calls = problem.facts.spread, problem.evaluator.calls
    mean = f", the mean of {calls} calls each time," if calls > 1 else ""
    generators = "torch's" if problem.kind == "torch" else "NumPy's"
    return Diagnosis(
        "precision_limited",
        name,
        f"The loss {problem.facts.value:.4g}{mean} is random: at one and the same point it spreads "
        f"by {spread:.1g}, which hides the gradient of {int(unclear.sum())} of {unclear.size} "
        f"entries of {name}.",
        "exact",
        evidence={"noise": spread, "loss": problem.facts.value},
        remedy="Let every call draw the same: pass the generator or the draws as an input, seed "
        f"the generator anew within the loss, or draw from {generators} global one. Without that, "
        f"averaging more calls (--repeats {max(100, 10 * calls)}) tells coarse mistakes, and "
        "seldom enough for a pass.",
    )


def _hidden(problem: Problem, name: str, one: ParameterFindings, noise: Noise) -> Diagnosis:
    """Say what hides the open entries: the gradient's rounding, the loss's noise, or neither."""
    unclear = one.combined.codes == INCONCLUSIVE
    listed = f"{int(unclear.sum())} of {unclear.size} entries of {name}"
    evidence = {"noise": noise.level, "loss": noise.loss}
    error = _usual(reference_of(one)[1][unclear])
    rounding = _usual(_rounding(problem, name, noise)[unclear])
    if rounding > error and any(one.key == "nondeterministic" for one in problem.notices):
        return _unsteady(name, listed, rounding)
    if rounding > error:
        dtype = _dtype_of_gradient(problem, name, noise)
        message = (
            f"The arithmetic cannot tell: rounding may have moved the analytic gradient, computed "
            f"in {dtype}, by {rounding:.1g}, which hides {listed}."
        )
        remedy = "Compute the gradient in float64, or scale the loss."
        return Diagnosis(
            *("precision_limited", name, message, "exact"),
            evidence=evidence | {"rounding": rounding},
            remedy=remedy,
        )
    if error > BEYOND * _of_noise(one, noise, unclear) and not _steps_inside(problem):
        message = (
            f"Differences of the loss at steps of different length do not settle on a slope at "
            f"{listed}, by more than the noise of the loss ({noise.level:.1g}) explains: a kink or "
            "an oscillation lies close by."
        )
        remedy = "Check at a point beside this one, with --jitter 0.01."
        return Diagnosis(
            "precision_limited", name, message, "likely", evidence=evidence, remedy=remedy
        )
    inside = ", kept in half precision on its way," if _steps_inside(problem) else ""
    return Diagnosis(
        "precision_limited",
        name,
        f"The arithmetic cannot tell: the loss {noise.loss:.4g}{inside} jitters by "
        f"{noise.level:.1g}, which hides the gradient of {listed}.",
        "exact",
        evidence=evidence,
        remedy="Evaluate in float64, scale the loss, or leave out large constant terms.",
    )


def _unsteady(name: str, listed: str, error: float) -> Diagnosis:
    """Say that the gradient is another one at each call, of a loss that is always the same."""
    return Diagnosis(
        "precision_limited",
        name,
        f"The gradient of {name} differs from call to call at the same point: its mean is known to "
        f"{error:.1g}, which hides {listed}.",
        "exact",
        evidence={"error": error},
        remedy="Let every call return the same: keep nothing from call to call, or let it draw the "
        "same; more calls tell more (--repeats 100).",
    )


def _rounding(problem: Problem, name: str, noise: Noise) -> FloatArray:
    """Rounding of the analytic gradient beyond what the noise of the loss suggests of it."""
    parameter = next(one for one in problem.parameters if one.name == name)
    bound = problem.analytic_rounding[name]
    guess = cancellation_floor(parameter, problem.analytic[name], noise)(slice(0, bound.size))
    return np.asarray(bound - guess.reshape(bound.shape))


def _usual(values: FloatArray) -> float:
    """Median of the finite ones; 0 of none."""
    finite = values[np.isfinite(values)]
    return median(finite) if finite.size else 0.0


def _of_noise(one: ParameterFindings, noise: Noise, unclear: NDArray[np.bool_]) -> float:
    """What the noise of the loss makes of the slopes of the open entries; infinite if unknown."""
    central = one.estimates.get("central")
    if central is None:
        return np.inf
    return KAPPA * noise.level / (_usual(central.steps[unclear]) or np.nan)


def _dtype_of_gradient(problem: Problem, name: str, noise: Noise) -> str:
    """What the user calls the precision of a gradient."""
    found = next(one.dtype_name for one in problem.parameters if one.name == name)
    return found or precision_of(problem, name, noise).name


def _slight(one: ParameterFindings) -> float | None:
    """Largest relative error of the open entries, if every one of them is seen to be off."""
    open_ = one.combined.codes == INCONCLUSIVE
    seen = np.zeros(open_.shape, dtype=bool)
    worst = 0.0
    for name, judged in one.comparisons.items():
        if not name.startswith("analytic~"):
            continue
        difference = np.abs(judged.analytic - judged.reference)
        here = open_ & (difference > judged.allowed) & ~judged.kinks
        seen |= here
        worst = max(worst, float(judged.relative_error[here].max(initial=0.0)))
    return worst if np.isfinite(worst) and bool((seen | ~open_).all()) and worst < 1e-3 else None
