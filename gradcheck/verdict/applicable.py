"""Which oracles cannot speak for a target at all, and why."""

from __future__ import annotations

from gradcheck.problem import Problem
from gradcheck.report import Notice
from gradcheck.settings import Settings


def inapplicable(problem: Problem) -> dict[str, str]:
    """Return the reason for each oracle that does not apply to this kind of target."""
    found: dict[str, str] = {}
    if problem.kind == "torch":
        found["complex"] = "it is for NumPy targets, and this one is torch's"
        found["autograd"] = (
            "the gradient of a torch target is autograd's own, which is on trial: central and "
            "forward judge it"
        )
    else:
        found["forward"] = "it is for torch targets, and this one is NumPy's"
    if problem.facts.spread > 0:
        random = "the loss differs from call to call, so that one call gives no exact derivative"
        found.setdefault("complex", random)
        found.setdefault("forward", random)
    return found


def refusals(problem: Problem, settings: Settings) -> tuple[Notice, ...]:
    """Say of each oracle that was asked for by name, but does not apply, why."""
    reasons = inapplicable(problem)
    return tuple(
        Notice("oracle_not_applicable", f"the oracle {oracle} does not apply: {reasons[oracle]}")
        for oracle in settings.oracles or ()
        if oracle in reasons
    )


def without_effect(problem: Problem, settings: Settings) -> list[str]:
    """Return what was asked for, but does not exist for this target."""
    found = []
    if settings.audit and problem.kind != "torch":
        found.append(
            "audit=True (--audit) is for the backward pass of a torch target; leave it out"
        )
    if settings.order == 2 and problem.hessian_product is None:
        if problem.kind == "torch":
            why = "double backward is for real parameters and a gradient that autograd computes"
        else:
            why = "give the second derivatives as hess= (--hess module:function)"
        found.append(f"order=2 (--order 2) has nothing to check: {why}")
    return found


def needless(problem: Problem, settings: Settings) -> tuple[Notice, ...]:
    """Say which options had nothing to do."""
    found = []
    asked = settings.repeats is not None or settings.confidence != Settings().confidence
    if asked and problem.facts.spread == 0:
        found.append(
            "repeats and confidence are for a loss that differs from call to call; this one does "
            "not, so that each was evaluated once"
        )
    elsewhere = settings.dask is not None or settings.workers not in (None, 1)
    if elsewhere and problem.evaluator.in_batches:
        found.append("workers had nothing to do: the entries are evaluated in batches, by vmap")
    return tuple(Notice("option_without_effect", text) for text in found)
