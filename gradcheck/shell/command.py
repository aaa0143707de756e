"""What a command does: find the target and its inputs, check, write the outcome, say the status."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradcheck.errors import Interrupted, UsageError
from gradcheck.render.text import visible
from gradcheck.render.uninterrupted import uninterrupted
from gradcheck.report import Check, Report
from gradcheck.settings import near_name
from gradcheck.shell.outcome import Outputs, exit_status, read_report, show, write_outputs
from gradcheck.shell.progress import Progress, progress_bar
from gradcheck.shell.users_code import Printed, Terminated, UsersError, guarded, interruptible
from gradcheck.sweep.allowance import Allowance
from gradcheck.targets.target import Declared, Resolved, callable_target, declared_checks, resolve

if TYPE_CHECKING:
    from gradcheck.case import Case
    from gradcheck.cli import Command
    from gradcheck.targets.input_sources import Plan

# Options that describe a single target; a package's checks carry their own.
_SINGLE = ("inputs", "arg", "size", "params", "wrt", "grad", "vjp", "hess", "torch", "search")


def run(command: Command) -> int:
    """Carry out the command and return the exit status.

    Raises:
        UsageError: the command cannot be carried out as written.
    """
    if command.render is not None or command.compare is not None:
        return _without_target(command)
    if command.target is None:
        raise UsageError(
            "name a target, such as homework:loss or path/to/file.py:loss; --help says more"
        )
    outputs = Outputs.of(command)
    try:
        with interruptible():
            return _check_target(command, command.target, outputs)
    except UsersError as error:
        click.echo(visible(str(error), keep="\n\t"), err=True)
        return 2
    except Terminated:
        click.echo("gradcheck: terminated", err=True)
        return 143


def _check_target(command: Command, text: str, outputs: Outputs) -> int:
    printed = Printed()
    with guarded(f"importing {text}", verbose=command.verbose, printed=printed):
        resolved = resolve(text)
        declared = declared_checks(resolved)
    if declared is not None:
        found = _check_declared(command, declared, outputs, printed)
    else:
        if command.only is not None:
            raise UsageError("--only chooses among the checks of a package; this is one target")
        found = _check_single(command, resolved, outputs, printed)
    note = printed.note()
    if note and not command.quiet:
        click.echo(textwrap.fill(f"gradcheck: {note}", 80, break_on_hyphens=False), err=True)
    with uninterrupted():
        failed = write_outputs(found.report, outputs)
        show(found.report, replace(outputs, report=None) if "report" in failed else outputs)
        if found.ready_test:
            click.echo(f"\nAs a test:\n\n{found.ready_test}", err=outputs.json == "-", nl=False)
        for reason in failed.values():
            click.echo(f"gradcheck: {reason}", err=True)
    return found.interrupted or exit_status(found.report.checks, unwritten=bool(failed))


@dataclass(frozen=True)
class _Found:
    """A report; the exit status of an interruption, if any; a test that a search found, if any."""

    report: Report
    interrupted: int = 0
    ready_test: str = ""


def _check_single(
    command: Command, resolved: Resolved, outputs: Outputs, printed: Printed
) -> _Found:
    from gradcheck import pipeline
    from gradcheck.targets.beside import gradient_beside, refuse_gradient_alone

    module, text = resolved.module, resolved.text
    with guarded(f"preparing the inputs of {text}", verbose=command.verbose, printed=printed):
        target = callable_target(resolved)
        options, plan = _prepared(command, resolved, target)
        inputs = plan.draw(command.settings.seed)
    if plan.from_module and not command.quiet:
        names = ", ".join(f"{module.__name__}.{name}" for name in plan.from_module)
        said = f"gradcheck: the inputs are those at the top of the module: {names}"
        click.echo(textwrap.fill(said, 80), err=True)
    options |= {
        "wrt": _names(command.wrt),
        "learning_rate": command.learning_rate,
        "settings": command.settings,
        "name": resolved.attribute or text,
        "pictures": outputs.draws,
    }
    with (
        progress_bar(wanted=not (command.no_progress or command.quiet)) as progress,
        guarded(text, verbose=command.verbose, printed=printed),
    ):
        test, interrupted, partner = "", 0, None
        try:
            partner = gradient_beside(target, inputs, resolved, options)
            if partner is not None:
                options[partner.option] = partner.function
            if command.search:
                from gradcheck.shell.search import search

                place = (module.__name__, resolved.attribute)
                check, test = search(
                    target, plan, options, command.search, progress=progress, place=place
                )
            else:
                check = pipeline.check(target, inputs, progress=progress, **options)
            refuse_gradient_alone(check, resolved, target)
        except Interrupted as error:
            click.echo("gradcheck: interrupted; what was finished follows", err=True)
            check, interrupted = error.check, _status(error)
    check = replace(check, target=text, reproduce=command.reproduce)
    if partner is not None:
        from gradcheck.targets.partners import with_partner

        check = with_partner(check, partner, resolved.attribute)
    if outputs.draws or outputs.junit is not None:
        from gradcheck.assemble import make_report

        return _Found(make_report([check]), interrupted, test)
    # The terminal shows nothing of the environment, which takes time to find out.
    return _Found(Report((check,), seconds=check.seconds), interrupted, test)


def _prepared(
    command: Command, resolved: Resolved, target: Callable[..., Any]
) -> tuple[dict[str, Any], Plan]:
    """Import the functions that the command names, and find out where the inputs come from."""
    from gradcheck.targets.input_sources import load_inputs, plan_inputs

    home = resolved.module
    given = load_inputs(command.inputs, home=home, target=target) if command.inputs else None
    options = _functions(command, resolved)
    plan = plan_inputs(
        target,
        module=home,
        given=given,
        args=command.arg,
        sizes=_sizes(command.size),
        name=resolved.text,
        typed=command.reproduce,
    )
    return options, plan


def _functions(command: Command, resolved: Resolved) -> dict[str, Any]:
    """Import what ``--grad``, ``--vjp``, ``--torch``, ``--hess`` and ``--params`` name."""
    from gradcheck.targets.target import resolve_function

    if command.torch is not None and not command.settings.autograd:
        raise UsageError(
            "--torch names a twin for the autograd oracle, which --no-autograd excludes: leave one "
            "of them out"
        )
    found: dict[str, Any] = {}
    for option in ("grad", "vjp", "hess", "torch"):
        text = getattr(command, option)
        if text is not None:
            found[option] = resolve_function(text, option=f"--{option}", home=resolved.module)
    if command.params is not None:
        found["params"] = resolve(command.params, home=resolved.module).value
    return found


def _check_declared(
    command: Command, declared: Declared, outputs: Outputs, printed: Printed
) -> _Found:
    from gradcheck.assemble import make_report

    for option in _SINGLE:
        if getattr(command, option):
            raise UsageError(
                f"--{option} describes a single target; the checks of {command.target} carry their "
                "own. Name one of its functions instead, package.module:function"
            )
    cases = _select(declared.cases, command.only)
    interrupted = 0
    with (
        progress_bar(wanted=not (command.no_progress or command.quiet)) as progress,
        guarded(str(command.target), verbose=command.verbose, printed=printed),
    ):
        checks, interrupted = _run(cases, command, progress, pictures=outputs.draws)
        whole = command.only is None and not interrupted
        traces = declared.traces() if whole and outputs.report else ()
    names = {check.name for check in checks}
    checks = [replace(check, reproduce=_reproduce(command, check)) for check in checks]
    stories = tuple(story for story in declared.stories if story.check in names)
    return _Found(make_report(checks, stories=stories, traces=traces), interrupted)


def _run(
    cases: Sequence[Case], command: Command, progress: Progress | None, *, pictures: bool
) -> tuple[list[Check], int]:
    """Check one case after the other; an interruption keeps what was finished."""
    from gradcheck.declared import run_case

    checks: list[Check] = []
    allowance = Allowance(command.settings)
    try:
        for done, case in enumerate(cases):
            if progress is not None:
                progress(done, len(cases), case.name)
            if case.learning_rate is None:
                case = replace(case, learning_rate=command.learning_rate)
            checks.append(run_case(case, allowance.left(), pictures=pictures))
            allowance.spend(checks[-1])
    except KeyboardInterrupt as error:
        note = f"gradcheck: interrupted after {len(checks)} of {len(cases)} checks"
        checks += _partial(error)
        if not checks:
            raise
        click.echo(note, err=True)
        return checks, _status(error)
    return checks, 0


def _partial(error: KeyboardInterrupt) -> list[Check]:
    """What was finished of the check that was interrupted."""
    return [error.check] if isinstance(error, Interrupted) else []


def _status(error: BaseException) -> int:
    """143 for SIGTERM, 130 for Ctrl-C."""
    terminated = isinstance(error, Terminated) or isinstance(error.__cause__, Terminated)
    return 143 if terminated else 130


def _select(cases: Sequence[Case], pattern: str | None) -> list[Case]:
    """The cases of exactly that name, or else those whose name contains or matches the pattern."""
    import fnmatch

    if pattern is None:
        return list(cases)
    names = [case.name for case in cases]
    if pattern in names:
        return [case for case in cases if case.name == pattern]
    chosen = [
        case
        for case in cases
        if pattern.lower() in case.name.lower() or fnmatch.fnmatch(case.name, pattern)
    ]
    if not chosen:
        raise UsageError(
            f"--only {pattern}: no check has such a name{near_name(pattern, names)}; there are "
            + ", ".join(names[:6])
            + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        )
    return chosen


def _reproduce(command: Command, check: Check) -> str:
    import shlex

    base = command.reproduce
    if command.only is not None:
        base = _without_only(base)
    return f"{base} --only {shlex.quote(check.name)} --no-report"


def _without_only(line: str) -> str:
    """Return the command ``line`` without its ``--only`` option."""
    import shlex

    words = shlex.split(line)
    at = words.index("--only")
    return shlex.join(words[:at] + words[at + 2 :])


def _without_target(command: Command) -> int:
    if command.target is not None:
        option = "--render" if command.render is not None else "--compare"
        raise UsageError(f"{option} takes no target; leave {command.target} out")
    if command.render is not None:
        report = read_report(command.render)
        directory = command.report or str(Path(command.render).parent)
        outputs = replace(Outputs.of(command), report=directory)
        failed = write_outputs(report, outputs)
        if failed:
            raise UsageError("; ".join(failed.values()))
        show(report, outputs)
        return 0
    from gradcheck.render.compare_reports import compare

    assert command.compare is not None
    old, new = map(read_report, command.compare)
    text, worse = compare(old, new)
    click.echo(text, nl=False)
    return int(worse)


def _sizes(texts: Sequence[str]) -> dict[str, int]:
    from gradcheck.targets.spec_grammar import parse_sizes

    return parse_sizes(texts)


def _names(text: str | None) -> list[str] | None:
    """Split ``W1,params["a, b"],b`` at the commas outside brackets."""
    if text is None:
        return None
    names, depth, current = [], 0, ""
    for character in text:
        depth += (character in "[(") - (character in "])")
        if character == "," and depth == 0:
            names.append(current.strip())
            current = ""
        else:
            current += character
    names.append(current.strip())
    if not all(names):
        raise UsageError(f"--wrt {text}: write names with commas between them, such as --wrt W,b")
    return names
