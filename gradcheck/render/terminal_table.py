"""The terminal's table: a row per parameter, under a line per check where there are several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradcheck.render.text import error_text, name_of, shape_text, shorten
from gradcheck.render.words import GLYPHS, against, expectation_word, oracle_keys
from gradcheck.report import Check, ParameterResult, Report, Verdict

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

STYLES = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.ERROR: "bold magenta",
}
_INDENT = 2
_SHAPE = 20


@dataclass(frozen=True, slots=True)
class _Layout:
    """Titles and widths of the columns, and the space between two."""

    titles: tuple[str, ...]
    widths: tuple[int, ...]
    gap: int


def add_tables(console: Console, report: Report) -> None:
    """Print one table for all checks, its columns aligned, in the console's width."""
    oracles = oracle_keys(report.checks)
    results = [result for check in report.checks for result in check.parameter_results]
    layout = _layout(results, oracles, console.width)
    if layout is not None and results:
        _print_row(console, layout.titles, layout, style="dim")
    for check in report.checks:
        if len(report.checks) > 1 or not check.parameter_results:
            _print_check_line(console, check)
        for result in check.parameter_results:
            if layout is not None:
                _print_row(console, _cells(result, oracles), layout, verdict=result.verdict)
            else:
                _print_stacked(console, result, oracles)


def _titles(oracles: Sequence[str], resolution: str = "resolution") -> tuple[str, ...]:
    return ("parameter", "shape", *(name_of(o, 20) for o in oracles), resolution, "verdict")


def _cells(result: ParameterResult, oracles: Sequence[str]) -> list[str]:
    compared = [against(result, oracle) for oracle in oracles]
    return [
        name_of(result.name, 200),
        shape_text(result.shape),
        *(
            "-" if c is None or not c.checked else error_text(c.max_relative_error)
            for c in compared
        ),
        "-" if result.best is None else error_text(result.resolution),
        verdict_word(result.verdict),
    ]


def verdict_word(verdict: Verdict) -> str:
    """Return glyph and word, so that colour is never the only sign."""
    return f"{GLYPHS[verdict]} {verdict}"


def _layout(
    results: Sequence[ParameterResult], oracles: Sequence[str], total: int
) -> _Layout | None:
    """Return the roomiest layout that fits, or None where the rows are to be stacked."""
    from rich.cells import cell_len

    rows = [_cells(result, oracles) for result in results]
    for resolution, gap, least_name in (
        ("resolution", 2, 12),
        ("resolution", 1, 9),
        ("resol.", 1, 5),
    ):
        titles = _titles(oracles, resolution)
        table = [titles, *rows]
        widths = [max(cell_len(row[column]) for row in table) for column in range(len(titles))]
        widths[1] = min(widths[1], _SHAPE)
        spare = total - _INDENT - sum(widths[1:]) - gap * (len(widths) - 1)
        if spare >= min(widths[0], least_name):
            name = titles[0] if spare >= cell_len(titles[0]) else "name"
            return _Layout((name, *titles[1:]), (min(widths[0], spare), *widths[1:]), gap)
    return None


def _print_row(
    console: Console,
    cells: Sequence[str],
    layout: _Layout,
    *,
    style: str = "",
    verdict: Verdict | None = None,
) -> None:
    from rich.cells import cell_len, set_cell_size
    from rich.text import Text

    last = len(cells) - 1
    line = Text(" " * _INDENT, style=style)
    for column, (cell, width) in enumerate(zip(cells, layout.widths, strict=True)):
        shown = cell if cell_len(cell) <= width else shorten(cell, width)
        is_number = 1 < column < last
        padding = " " * max(0, width - cell_len(shown))
        line.append(padding if is_number else "")
        line.append(
            set_cell_size(shown, min(width, cell_len(shown))),
            style=STYLES[verdict] if verdict is not None and column == last else "",
        )
        line.append("" if is_number or column == last else padding)
        line.append("" if column == last else " " * layout.gap)
    console.print(line, soft_wrap=True)


def _print_check_line(console: Console, check: Check) -> None:
    from rich.cells import cell_len
    from rich.text import Text

    word = expectation_word(check)
    right = word if check.parameter_results else f"{verdict_word(check.verdict)}  {word}".strip()
    stacked = console.width < len(right) + 20
    name = name_of(check.name, console.width - 4 - (0 if stacked else len(right)))
    line = Text(f"{GLYPHS[check.verdict]} ", style=STYLES[check.verdict])
    line.append(name, style="bold")
    if right:
        gap = console.width - 2 - cell_len(name) - len(right)
        line.append("\n  " if stacked else " " * max(2, gap))
        line.append(right, style="" if check.as_expected else "bold red")
    console.print(line, soft_wrap=True)


def _print_stacked(console: Console, result: ParameterResult, oracles: Sequence[str]) -> None:
    from rich.padding import Padding

    cells = _cells(result, oracles)
    console.print(Padding(_stacked_title(cells, result.verdict), (0, 0, 0, _INDENT)))
    titles = _titles(oracles)[2:-1]
    for title, cell in zip(titles, cells[2:-1], strict=True):
        console.print(f"{' ' * (_INDENT + 2)}{title} {cell}", soft_wrap=True)


def _stacked_title(cells: Sequence[str], verdict: Verdict) -> Text:
    from rich.text import Text

    title = Text(f"{shorten(cells[0], 40)} {cells[1]}  ")
    title.append(cells[-1], style=STYLES[verdict])
    return title
