"""What a limit, or an oracle that does not apply, has left unchecked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradcheck.problem import Problem
from gradcheck.report import Diagnosis, Notice
from gradcheck.verdict.compare import UNCHECKED
from gradcheck.verdict.judging import ParameterFindings


def cut_short(problem: Problem, one: ParameterFindings) -> bool:
    """Whether a limit was reached before the parameter got all of its central differences."""
    if not problem.evaluator.exhausted:
        return False
    central = one.comparisons.get("analytic~central")
    none = central is None or not (central.codes != UNCHECKED).any()
    return none or one.left_out


def not_checked(
    problem: Problem, name: str, one: ParameterFindings, notices: Sequence[Notice] = ()
) -> Diagnosis | None:
    """Say why a parameter was not checked, or not in full; None if it was."""
    if cut_short(problem, one):
        remedy = _MORE if problem.evaluator.interrupted is None else _AGAIN
        return Diagnosis("not_checked", name, _reached(problem, name, one), "exact", remedy=remedy)
    if one.estimates:
        return None
    reasons = "; ".join(notice.message for notice in notices if notice.key in _REASONS)
    return Diagnosis(
        "not_checked",
        name,
        f"No oracle that was asked for could check {name}: {reasons or 'none ran'}.",
        "exact",
        remedy="Leave out --oracle (oracles=): what applies is then chosen by itself.",
    )


_MORE = "Raise --budget or --time."
_AGAIN = "Run it again; with --checkpoint FILE it would go on from what was finished."
_REASONS = (
    *("oracle_not_applicable", "forward_refused", "complex_step_refused"),
    *("not_traceable", "trace_discarded"),
)


def _reached(problem: Problem, name: str, one: ParameterFindings) -> str:
    central = one.comparisons.get("analytic~central")
    n = 0 if central is None else int((central.codes != UNCHECKED).sum())
    what = (
        "The check was interrupted"
        if problem.evaluator.interrupted is not None
        else "The limit on evaluations or time was reached"
    )
    return (
        f"{what} before {name} was checked in full: {n:,} of {one.combined.codes.size:,} entries "
        "got a central difference."
    )


def limit_notices(
    problem: Problem, parameters: Mapping[str, ParameterFindings]
) -> tuple[Notice, ...]:
    """Say what a limit left out, beside errors that were found before it was reached."""
    return tuple(
        Notice("not_checked", _reached(problem, name, one))
        for name, one in parameters.items()
        if cut_short(problem, one)
    )
