"""The progress bar, on a terminal only."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

Progress = Callable[[int, int, str], None]
"""Told ``(done, total, text)`` as work goes on."""


@contextlib.contextmanager
def progress_bar(*, wanted: bool) -> Iterator[Progress | None]:
    """Give a progress callable that draws on stderr, or None where nobody would see it."""
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    from gradcheck.render.text import visible

    console = Console(stderr=True)
    # The counts and the time come first where there is little room.
    name_width = max(8, min(32, console.width - 48))
    columns = (
        TextColumn(f"{{task.description:<{name_width}.{name_width}}}", markup=False),
        BarColumn(bar_width=max(1, min(20, console.width - name_width - 28))),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    # Redirecting would fight with what the target prints.
    with Bar(
        *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as bar:
        task = bar.add_task("starting", total=None)

        def report(done: int, total: int, text: str) -> None:
            bar.update(task, completed=done, total=total, description=visible(text))

        yield report
