"""The HTML report: an index, a page per check and one shared assets folder, or a single file."""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcheck.render.page_data import page_data, script_json
from gradcheck.render.page_names import page_names
from gradcheck.render.template_tools import FILTERS, FUNCTIONS, shown
from gradcheck.report import Check, Report

if TYPE_CHECKING:
    from jinja2 import Environment

MARK = '<meta name="generator" content="gradcheck">'
"""Stands near the top of every page, by which it is known again as one that may be replaced."""

SINGLE_FILE_LIMIT = 8_000_000
"""Bytes of a self-contained file; pictures of checks that passed are left out to stay below."""

PLOTLY = "assets/plotly.min.js"
_STYLE = "gradcheck.css"
_SCRIPTS = ("tables.js", "plots.js")


def render(report: Report, *, self_contained: bool = False) -> dict[str, str]:
    """Return the pages and their assets: relative path (with ``/``) -> text.

    Args:
        report: what to show.
        self_contained: everything inside one ``index.html``.
    """
    names = page_names([check.name for check in report.checks])
    if self_contained:
        return {"index.html": _single_file(report, names)}
    links = {check.name: f"{name}.html" for check, name in zip(report.checks, names, strict=True)}
    pages = [f"{name}.html" for name in names]
    files = {
        "index.html": _page("index.html.jinja", report=report, pages=pages, links=links),
        f"assets/{_STYLE}": _asset(_STYLE),
        **{f"assets/{script}": _asset(script) for script in _SCRIPTS},
    }
    plotly = _plotly()
    if plotly is not None:
        files[PLOTLY] = plotly
    for position, check in enumerate(report.checks):
        files[pages[position]] = _page(
            "check.html.jinja",
            report=report,
            check=check,
            previous=_neighbour(report.checks, pages, position - 1),
            following=_neighbour(report.checks, pages, position + 1),
            data=script_json(page_data(check)),
            has_plotly=plotly is not None,
        )
    return files


def _neighbour(
    checks: Sequence[Check], pages: Sequence[str], position: int
) -> tuple[str, str] | None:
    return (checks[position].name, pages[position]) if 0 <= position < len(checks) else None


def _page(template: str, **values: Any) -> str:
    text: str = _environment().get_template(template).render(self_contained=False, **values)
    return text


def _single_file(report: Report, names: Sequence[str]) -> str:
    """Return everything in one page; leave out pictures, passing checks' first, if too large."""
    by_need = sorted(range(len(names)), key=lambda i: report.checks[i].verdict.severity)
    data = [script_json(page_data(check)) for check in report.checks]
    left_out: set[int] = set()
    while True:
        text = _single_text(report, names, data, n_left_out=len(left_out))
        excess = len(text.encode()) - SINGLE_FILE_LIMIT
        remaining = [position for position in by_need if position not in left_out]
        if excess < 0 or not remaining:
            return text
        for position in remaining:
            excess -= len(data[position])
            data[position] = script_json({"parameters": []})
            left_out.add(position)
            if excess < 0:
                break


def _single_text(
    report: Report, names: Sequence[str], data: Sequence[str], *, n_left_out: int
) -> str:
    plotly = _plotly()
    scripts = [_asset(script) for script in _SCRIPTS]
    executed = [*scripts, *([plotly] if plotly is not None else [])]
    anchors = [f"#check-{name}" for name in names]
    text: str = (
        _environment()
        .get_template("single.html.jinja")
        .render(
            self_contained=True,
            report=report,
            names=names,
            pages=anchors,
            links={check.name: a for check, a in zip(report.checks, anchors, strict=True)},
            data=data,
            n_left_out=n_left_out,
            has_plotly=plotly is not None,
            style=_asset(_STYLE),
            scripts=scripts,
            hashes=[_csp_hash(script) for script in executed],
            plotly="" if plotly is None else _packed(plotly),
        )
    )
    return text


def _csp_hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@cache
def _packed(text: str) -> str:
    """Return text compressed for a page: gzip, then base64."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _asset(name: str) -> str:
    return resources.files("gradcheck.render").joinpath("assets", name).read_text("utf-8")


@cache
def _plotly() -> str | None:
    """Return plotly.js out of the installed ``plotly`` package, which is not imported."""
    spec = importlib.util.find_spec("plotly")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0], "package_data", "plotly.min.js")
    return path.read_text("utf-8") if path.is_file() else None


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("gradcheck.render", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    tools: Mapping[str, Any] = FUNCTIONS
    environment.globals.update(tools)
    return environment
