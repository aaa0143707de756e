"""A report for the terminal: one table, then what is to be known of whatever did not pass."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from gradcheck.render.excerpt import ExcerptLine, excerpt, place
from gradcheck.render.terminal_table import STYLES, add_tables
from gradcheck.render.text import (
    clip,
    count_text,
    error_text,
    index_text,
    name_of,
    seconds_text,
    value_text,
)
from gradcheck.render.words import (
    GLYPHS,
    check_sentence,
    expectation_sentence,
    headline,
    references_by_oracle,
)
from gradcheck.report import Check, Comparison, Diagnosis, ParameterResult, Report, Verdict

if TYPE_CHECKING:
    from rich.console import Console
    from rich.padding import Padding

_WORST_SHOWN = 5
_PARAMETERS_SHOWN = 8


def render(report: Report, *, width: int = 80, color: bool = False, verbose: bool = False) -> str:
    """Return the report as text for a terminal.

    Args:
        report: what to show.
        width: columns there are; fewer than 30 count as 30.
        color: whether to use ANSI colours; pass False when piped or ``NO_COLOR`` is set.
        verbose: show everything about checks that are wrong as declared, too.
    """
    from rich.console import Console

    output = io.StringIO()
    console = Console(
        file=output,
        width=max(30, width),
        force_terminal=color,
        no_color=not color,
        color_system="standard" if color else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        _environ={},
    )
    add_tables(console, report)
    for check in report.checks:
        whole = all(result.checked == result.entries for result in check.parameter_results)
        passed = check.verdict is Verdict.PASS and check.as_expected
        if passed and whole and not check.warnings:
            continue
        _add_details(console, check, in_full=verbose or not check.as_expected)
    console.print()
    console.print(_closing(report), style="bold", soft_wrap=False)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"


def _closing(report: Report) -> str:
    evaluations = sum(check.evaluations for check in report.checks)
    spent = f" {count_text(evaluations, 'loss evaluation')}"
    if report.seconds:
        spent += f" in {seconds_text(report.seconds)}"
    return f"{headline(report)}.{spent}."


def _add_details(console: Console, check: Check, *, in_full: bool) -> None:
    from rich.text import Text

    console.print()
    title = Text(f"{GLYPHS[check.verdict]} ", style=STYLES[check.verdict])
    title.append(name_of(check.name), style="bold")
    title.append(f"  {check_sentence(check)}")
    console.print(title)
    unlike = expectation_sentence(check)
    if unlike:
        console.print(_indented(unlike, style="bold red"))
    if in_full:
        _add_worst_entries(console, check)
    for diagnosis in check.diagnoses if in_full else check.diagnoses[:1]:
        _add_diagnosis(console, diagnosis, in_full=in_full)
    for notice in check.warnings:
        console.print(_indented(f"warning ({name_of(notice.key)}): {clip(notice.message, 1000)}"))
    if check.reproduce and check.verdict is not Verdict.PASS:
        console.print(_indented("reproduce:"))
        # kept on one line, however long, so that it can be copied
        for line in clip(check.reproduce).splitlines():
            console.print(Text("    " + line), soft_wrap=True)


def _add_worst_entries(console: Console, check: Check) -> None:
    shown = [r for r in check.parameter_results if r.verdict is not Verdict.PASS]
    for result in shown[:_PARAMETERS_SHOWN]:
        best = result.best_comparison
        if best is None or not best.worst:
            continue
        if not best.failing_entries and not best.inconclusive_entries:
            # Undecided for what was left out, not for any entry that could be shown.
            continue
        console.print()
        counted = _counted(best)
        console.print(_indented(f"{name_of(result.name)}: {counted} of {result.checked:,} checked"))
        _add_worst_table(console, result, best)
    if len(shown) > _PARAMETERS_SHOWN:
        left = count_text(len(shown) - _PARAMETERS_SHOWN, "further parameter")
        console.print(_indented(f"({left} not shown)"))


def _counted(best: Comparison) -> str:
    wrong = count_text(best.failing_entries, "wrong entry", "wrong entries")
    undecided = f"{best.inconclusive_entries:,} undecided"
    if not best.inconclusive_entries:
        return wrong
    return f"{wrong}, {undecided}" if best.failing_entries else undecided


def _add_worst_table(console: Console, result: ParameterResult, best: Comparison) -> None:
    """Print a row per entry; where the terminal is too narrow, a sentence per entry."""
    references = references_by_oracle(result)
    heads = ["index", "analytic", *(name_of(oracle, 12) for oracle in references), "rel. error"]
    rows = [heads]
    for entry in best.worst[:_WORST_SHOWN]:
        found = [values.get(entry.index) for values in references.values()]
        cells = ["-" if value is None else value_text(value) for value in found]
        error = error_text(entry.relative_error)
        rows.append([index_text(entry.index), value_text(entry.analytic), *cells, error])
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    if 4 + sum(widths) + 2 * len(widths) > console.width:
        for row in rows[1:]:
            facts = ", ".join(f"{h} {cell}" for h, cell in zip(heads[1:], row[1:], strict=True))
            console.print(_indented(f"{row[0]}: {facts}"))
        return
    for number, row in enumerate(rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        console.print(f"    {'  '.join(cells)}", style="dim" if number == 0 else "")


def _add_diagnosis(console: Console, diagnosis: Diagnosis, *, in_full: bool) -> None:
    console.print()
    about = f" in {name_of(diagnosis.parameter)}" if diagnosis.parameter else ""
    console.print(
        _indented(
            f"{name_of(diagnosis.cause)}{about} ({name_of(diagnosis.confidence)})", style="bold"
        )
    )
    console.print(_indented(clip(diagnosis.message, 2000)))
    if diagnosis.location is not None:
        console.print(_indented(place(diagnosis.location)))
        for line in excerpt(diagnosis.location):
            if in_full or line.marked:
                _add_source_line(console, line)
    if diagnosis.remedy:
        console.print(_indented(f"remedy: {clip(diagnosis.remedy, 1000)}"))


def _add_source_line(console: Console, line: ExcerptLine) -> None:
    from rich.cells import cell_len
    from rich.text import Text

    number = f"{'>' if line.marked else ' '}{line.number:>6} | "
    text = Text("  " + number, style="" if line.marked else "dim")
    text.append(line.before)
    text.append(line.operation, style="bold red")
    text.append(line.after)
    console.print(text, soft_wrap=True)
    if line.operation:
        carets = " " * (2 + len(number) + cell_len(line.before)) + "^" * cell_len(line.operation)
        console.print(Text(carets, style="bold red"), soft_wrap=True)


def _indented(text: str, *, style: str = "") -> Padding:
    from rich.padding import Padding
    from rich.text import Text

    return Padding(Text(text, style=style), (0, 0, 0, 2))
