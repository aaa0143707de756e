"""Write ``docs/reference.md`` from the command line's options and the docstrings.

python docs/make_reference.py
"""

from __future__ import annotations

import inspect
from pathlib import Path

import click

import gradcheck
from gradcheck.cli import build_command

FUNCTIONS = (
    *("check", "assert_gradients", "run_cases", "inputs", "correct", "faulty", "erroneous"),
)
CLASSES = (
    *("Case", "Settings", "Check", "ParameterResult", "Comparison", "Entry", "Diagnosis"),
    *("Location", "Report", "Verdict", "GradientError", "UsageError", "TargetError"),
)


def options() -> str:
    """Return the table of the command line's options."""
    rows = ["| option | meaning |", "|---|---|"]
    for parameter in build_command().params:
        if isinstance(parameter, click.Option):
            names = ", ".join(parameter.opts + parameter.secondary_opts)
            metavar = f" {parameter.metavar}" if parameter.metavar else ""
            shown = f"{names}{metavar}".replace("|", "\\|")
            rows.append(f"| `{shown}` | {parameter.help} |")
    return "\n".join(rows)


def entry(name: str) -> str:
    """Return the section of one public name: its signature and its docstring."""
    value = getattr(gradcheck, name)
    try:
        signature = str(inspect.signature(value)) if inspect.isroutine(value) else ""
    except ValueError:
        signature = ""
    return f"### `{name}`\n\n```text\n{name}{signature}\n\n{inspect.getdoc(value)}\n```"


def strategies() -> str:
    """Return the section of ``gradcheck.strategies.inputs``."""
    function = gradcheck.strategies.inputs
    text = f"strategies.inputs{inspect.signature(function)}\n\n{inspect.getdoc(function)}"
    return f"### `strategies.inputs`\n\n```text\n{text}\n```"


def reference() -> str:
    """Return the whole page."""
    parts = [
        "# Options and Python interface",
        "Generated from the program by `docs/make_reference.py`.",
        "## Command line",
        "`python -m gradcheck TARGET [OPTIONS]`; the command `gradcheck` means the same.",
        options(),
        "## Functions",
        *map(entry, FUNCTIONS),
        strategies(),
        "## Data",
        *map(entry, CLASSES),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("reference.md").write_text(reference(), encoding="utf-8")
