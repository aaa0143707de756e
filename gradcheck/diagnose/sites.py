"""Places in the user's source, as the report shows them."""

from __future__ import annotations

import linecache
from pathlib import Path

from gradcheck.report import Location
from gradcheck.tracing.contract import Operation, Site

_SPOKEN = {"assemble": "assignment", "setitem": "assignment", "getitem": "indexing"}

AROUND = 2
"""Lines shown before and after the one that is meant."""


def location(site: Site) -> Location:
    """Return the report's location of a site, its source read through ``linecache``."""
    source = linecache.getline(site.file, site.line).rstrip("\n")
    context = []
    for number in range(site.line - AROUND, site.line + AROUND + 1):
        text = linecache.getline(site.file, number)
        if text:
            context.append((number, text.rstrip("\n")))
    one_line = site.end_line in (None, site.line)
    return Location(
        file=_relative(site.file),
        line=site.line,
        source=source,
        function=site.function,
        column=site.column,
        end_column=site.end_column if one_line else len(source),
        context=tuple(context),
    )


def in_words(operation: Operation) -> str:
    """Return for instance "the `maximum` in line 41 (`A2 = np.maximum(0, Z2)`)"."""
    source = linecache.getline(operation.site.file, operation.site.line).strip()
    quoted = f" (`{source}`)" if source else ""
    what = _SPOKEN.get(operation.name, f"`{operation.name}`")
    return f"the {what} in line {operation.site.line}{quoted}"


def _relative(file: str) -> str:
    path = Path(file)
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else file
