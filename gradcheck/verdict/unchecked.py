"""What a limit, or an oracle that does not apply, has left unchecked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradcheck.problem import Problem
from gradcheck.report import Diagnosis, Notice
from gradcheck.verdict.compare import INCONCLUSIVE, UNCHECKED
from gradcheck.verdict.in_parts import AnyJudged
from gradcheck.verdict.judging import ParameterFindings

MOST_NAMED = 6
"""Parameters that one sentence names, at most."""


def cut_short(problem: Problem, one: ParameterFindings) -> bool:
    """Whether a limit was reached before the parameter got all of its central differences.

    Where the complex step alone was asked for, it counts instead.
    """
    if not problem.evaluator.exhausted:
        return False
    steps = _steps(one)[0]
    none = steps is None or not (steps.codes != UNCHECKED).any()
    return none or one.left_out


def _steps(one: ParameterFindings) -> tuple[AnyJudged | None, str]:
    """The comparison with the oracle that takes an evaluation or two an entry, and its word."""
    central = one.comparisons.get("analytic~central")
    alone = one.comparisons.get("analytic~complex") if central is None else None
    return (central, "central difference") if alone is None else (alone, "complex step")


def left_by_limits(
    problem: Problem, parameters: Mapping[str, ParameterFindings]
) -> tuple[Diagnosis, tuple[str, ...]] | None:
    """Say what a limit left out, or kept from a second look, and of which parameters.

    None where no limit was reached, or it left out nothing.
    """
    short = _cut(problem, parameters)
    doubtful = {
        name: n
        for name, one in parameters.items()
        if name not in short and (n := _in_doubt(problem, one))
    }
    if not short and not doubtful:
        return None
    message = _reached(problem, short) if short else ""
    if doubtful:
        listed = [f"{n:,} of {name}" for name, n in doubtful.items()]
        message += f" {_until(problem)} entries in doubt got a second look: {_listing(listed)}."
    names = (*short, *doubtful)
    stopped = problem.evaluator.interrupted is not None
    remedy = _AGAIN if stopped else f"Raise {_option(problem)}."
    about = ", ".join(names) if len(names) <= MOST_NAMED else ""
    return Diagnosis("not_checked", about, message.strip(), "exact", remedy=remedy), names


def no_oracle(
    name: str, one: ParameterFindings, notices: Sequence[Notice] = ()
) -> Diagnosis | None:
    """Say why no oracle could check a parameter; None if one did."""
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


def beyond_the_domain(problem: Problem, name: str, one: ParameterFindings) -> str | None:
    """Say of how many open entries the loss has no value on either side; None if of none."""
    central = one.estimates.get("central")
    n = 0 if central is None else int((central.edges & (one.combined.codes == INCONCLUSIVE)).sum())
    if n == 0:
        return None
    raised = problem.evaluator.first_error
    entries = "1 entry" if n == 1 else f"{n:,} entries"
    text = f"At {entries} of {name} the loss is not finite on either side of the point"
    return f"{text}: {raised}." if raised else f"{text}."


def edge_notices(
    problem: Problem, parameters: Mapping[str, ParameterFindings]
) -> tuple[Notice, ...]:
    """Say where the loss has no value beside the point, besides errors that were found."""
    said = (beyond_the_domain(problem, name, one) for name, one in parameters.items())
    return tuple(Notice("domain_edge", text) for text in said if text is not None)[:MOST_NAMED]


def limit_notices(
    problem: Problem, parameters: Mapping[str, ParameterFindings]
) -> tuple[Notice, ...]:
    """Say what a limit left out, beside errors that were found before it was reached."""
    short = _cut(problem, parameters)
    return (Notice("not_checked", _reached(problem, short)),) if short else ()


_AGAIN = "Run it again; with --checkpoint FILE it would go on from what was finished."
_REASONS = (
    *("oracle_not_applicable", "forward_refused", "complex_step_refused"),
    *("not_traceable", "trace_discarded"),
)


def _cut(
    problem: Problem, parameters: Mapping[str, ParameterFindings]
) -> dict[str, ParameterFindings]:
    return {name: one for name, one in parameters.items() if cut_short(problem, one)}


def _in_doubt(problem: Problem, one: ParameterFindings) -> int:
    """How many entries are open since a limit came first; 0 where the point itself is the cause."""
    central = one.estimates.get("central")
    if not problem.evaluator.exhausted or central is None or problem.facts.spread > 0:
        return 0
    open_ = one.combined.codes == INCONCLUSIVE
    return int((open_ & ~central.edges & ~central.kinks).sum())


def _reached(problem: Problem, short: Mapping[str, ParameterFindings]) -> str:
    counted = {name: _counted(one) for name, one in short.items()}
    by_complex = any(_steps(one)[1] == "complex step" for one in short.values())
    word = "complex step" if by_complex else "central difference"
    if len(counted) == 1:
        ((name, count),) = counted.items()
        return f"{_until(problem)} {name} was checked in full: {count} entries got a {word}."
    listed = _listing([f"{name} ({count})" for name, count in counted.items()])
    return (
        f"{_until(problem)} {len(counted)} parameters were checked in full; entries that got a "
        f"{word}: {listed}."
    )


def _counted(one: ParameterFindings) -> str:
    steps = _steps(one)[0]
    n = 0 if steps is None else int((steps.codes != UNCHECKED).sum())
    return f"{n:,} of {one.combined.codes.size:,}"


def _until(problem: Problem) -> str:
    if problem.evaluator.interrupted is not None:
        return "The check was interrupted before"
    what = {"--budget": "evaluations", "--time": "time"}.get(
        _option(problem), "evaluations or time"
    )
    return f"The limit on {what} was reached before"


def _option(problem: Problem) -> str:
    """The option to raise: both where both were given."""
    given = {"--budget": problem.evaluator.budget, "--time": problem.evaluator.deadline}
    return " or ".join([name for name, limit in given.items() if limit is not None] or given)


def _listing(parts: Sequence[str]) -> str:
    if len(parts) > MOST_NAMED:
        return ", ".join(parts[:MOST_NAMED]) + f" and {len(parts) - MOST_NAMED} more"
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + f" and {parts[-1]}"
