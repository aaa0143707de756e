"""Slight errors of a gradient whose loss runs a solver of SciPy's that stops at a tolerance.

Such a solver adapts its steps, or their number, to the point. Differences of the loss and autograd
of it see that; sensitivities and adjoints, which are no less right, leave it out. The two lie apart
by what the tolerance makes of the loss.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from types import FrameType
from typing import Any

import numpy as np

from gradcheck.blocks import BLOCK
from gradcheck.problem import Problem
from gradcheck.report import Diagnosis
from gradcheck.scales import rms
from gradcheck.sentences import accepting
from gradcheck.verdict.compare import FAIL, INCONCLUSIVE
from gradcheck.verdict.judging import ParameterFindings, reference_of

SLIGHT = 1e-4
"""Part of a parameter's root mean square gradient up to which an error may come of a tolerance."""

SOLVERS = {
    "scipy.integrate": "solve_ivp odeint solve_bvp quad quad_vec dblquad tplquad nquad",
    "scipy.optimize": "minimize minimize_scalar root root_scalar fsolve newton brentq brenth "
    "bisect ridder toms748 fixed_point least_squares leastsq curve_fit broyden1 broyden2 anderson "
    "newton_krylov fmin fmin_bfgs fmin_cg fmin_l_bfgs_b fmin_ncg fmin_slsqp fmin_tnc fminbound "
    "brent golden",
    "scipy.sparse.linalg": "cg cgs bicg bicgstab gmres lgmres minres qmr gcrotmk tfqmr lsqr lsmr "
    "eigs eigsh lobpcg svds",
}
"""What stops at a tolerance, by the package that it is called from."""

Parameters = Mapping[str, ParameterFindings]


def left_open(
    problem: Problem, parameters: Parameters
) -> tuple[dict[str, ParameterFindings], tuple[Diagnosis, ...]]:
    """Leave open what fails, where all of it is slight and a solver runs inside, and say so.

    One evaluation of the loss tells whether one does.
    """
    found = dict(parameters)
    wrong = {name: one for name, one in parameters.items() if one.is_wrong}
    if not wrong or not all(_is_slight(problem, name, one) for name, one in wrong.items()):
        return found, ()
    solver = _solver_inside(problem)
    if solver is None:
        return found, ()
    diagnoses = tuple(_diagnosis(problem, name, one, solver) for name, one in wrong.items())
    return found | {name: _opened(one) for name, one in wrong.items()}, diagnoses


def _is_slight(problem: Problem, name: str, one: ParameterFindings) -> bool:
    """Whether no failing entry is off by more than a small part of the typical gradient."""
    claimed = problem.analytic[name]
    if claimed.size > BLOCK:
        return False
    value, _ = reference_of(one)
    off = np.abs(claimed - value)[one.combined.codes == FAIL]
    return bool((off <= SLIGHT * rms(value)).all())


def _solver_inside(problem: Problem) -> str | None:
    """Name the first solver that an evaluation of the loss calls; None where none is seen."""
    if sys.getprofile() is not None or problem.evaluator.exhausted:
        return None  # somebody else's profiler would not come back
    names = {name: package for package, listed in SOLVERS.items() for name in listed.split()}
    seen: list[str] = []  # the first, once there is one

    def watch(frame: FrameType, event: str, _: Any) -> None:
        called = frame.f_code.co_name
        if event == "call" and not seen and called in names:
            module = str(frame.f_globals.get("__name__", ""))
            if module.startswith(f"{names[called]}."):
                seen.append(f"{names[called]}.{called}")

    sys.setprofile(watch)
    try:
        problem.evaluator.current()
    finally:
        sys.setprofile(None)
    return seen[0] if seen else None


def _opened(one: ParameterFindings) -> ParameterFindings:
    comparisons = {
        name: replace(judged, codes=np.where(judged.codes == FAIL, INCONCLUSIVE, judged.codes))
        for name, judged in one.comparisons.items()
    }
    codes = np.where(one.combined.codes == FAIL, INCONCLUSIVE, one.combined.codes)
    return replace(one, comparisons=comparisons, combined=replace(one.combined, codes=codes))


def _diagnosis(problem: Problem, name: str, one: ParameterFindings, solver: str) -> Diagnosis:
    value, _ = reference_of(one)
    claimed, wrong = problem.analytic[name], one.combined.codes == FAIL
    size = np.fmax(np.abs(claimed), np.abs(value))[wrong]
    worst = float((np.abs(claimed - value)[wrong] / size).max())
    return Diagnosis(
        "precision_limited",
        name,
        f"The gradient of {name} is off by at most {worst:.1g} of its size at {int(wrong.sum())} "
        f"of {wrong.size} entries. {solver} runs inside and stops at a tolerance: that leaves "
        "errors of this size in the loss, in its gradient, or between the two.",
        "likely",
        evidence={"relative_error": worst, "solver": solver},
        remedy=f"Tighten the tolerance of {solver}: an error that falls with it is its own"
        f"{accepting(worst)}.",
    )
