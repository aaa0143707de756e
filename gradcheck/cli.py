"""The command line: what can be typed, and what it means; the work is done elsewhere."""

from __future__ import annotations

import gc
import importlib
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from gradcheck.errors import UsageError
from gradcheck.render.text import visible
from gradcheck.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command as it was typed, options by their names."""

    target: str | None
    inputs: str | None
    arg: tuple[str, ...]
    size: tuple[str, ...]
    params: str | None
    wrt: str | None
    grad: str | None
    vjp: str | None
    hess: str | None
    torch: str | None
    only: str | None
    learning_rate: float | None
    search: int | None
    report: str | None
    no_report: bool
    json: str | None
    junit: str | None
    self_contained: bool
    render: str | None
    compare: tuple[str, str] | None
    quiet: bool
    verbose: bool
    no_progress: bool
    settings: Settings
    reproduce: str


# Options that choose where the outcome goes, and where evaluations are made and kept: the line that
# reproduces the outcome goes without, also when the cluster is gone or the code mended.
_OUTPUTS = frozenset(
    [
        *("report", "no_report", "json", "junit", "self_contained", "quiet", "verbose"),
        *("no_progress", "workers", "dask", "checkpoint"),
    ]
)
_SETTINGS = (
    *("autograd", "rtol", "seed", "jitter", "repeats", "confidence", "budget", "time", "timeout"),
    *("workers", "dask", "checkpoint", "order", "audit"),
)

_EPILOG = """\b
Examples:
  python -m gradcheck homework:loss
  python -m gradcheck homework.py:loss --arg 'W=randn(D,K)' \\
      --arg 'X=randn(N,D)' --arg 'y=integers(K, size=N)'
  python -m gradcheck homework:loss --inputs homework:make_inputs --report out
  python -m gradcheck reference_models

Exit status: 0 every check passed, or came out as declared; 1 a gradient is
wrong; 2 the command or the target cannot be used; 3 nothing is wrong, but
something stayed inconclusive; 130 or 143 interrupted.
"""


def _option(*names: str, **attributes: Any) -> Any:
    return click.option(*names, **attributes)


_DECORATORS = [
    click.argument("target", required=False),
    _option("--inputs", metavar="MODULE:NAME|FILE.npz", help="factory, constant or npz of inputs"),
    _option(
        "--arg",
        multiple=True,
        metavar="NAME=SPEC",
        help="one input: reg=0.1, W=randn(D,K), y=integers(K, size=N)",
    ),
    _option("--size", multiple=True, metavar="N=20", help="bind a symbolic size"),
    _option("--params", metavar="MODULE:ATTR", help="arrays that the target reads from elsewhere"),
    _option("--wrt", metavar="NAMES", help="which inputs are parameters, comma-separated"),
    _option("--grad", metavar="MODULE:FN", help="gradient function, if the target gives the loss"),
    _option("--vjp", metavar="MODULE:FN", help="backward(cotangent, cache) of a layer"),
    _option("--hess", metavar="MODULE:FN", help="Hessian, or Hessian-vector product"),
    _option("--torch", metavar="MODULE:FN", help="PyTorch twin of the loss"),
    _option("--oracle", metavar="NAMES", help="central,complex,autograd,forward"),
    _option("--autograd/--no-autograd", default=True, help="use PyTorch autograd (default)"),
    _option("--audit/--no-audit", default=None, help="the contract of a torch backward"),
    _option("--only", metavar="PATTERN", help="of a package's checks, those that match"),
    _option("--learning-rate", type=float, help="judge this step against the curvature, too"),
    _option("--jitter", type=float, default=0.0, help="move off a degenerate point"),
    _option("--repeats", type=int, help="evaluations at a point of a stochastic loss"),
    _option("--confidence", type=float, default=0.999, help="of a stochastic verdict (0.999)"),
    _option("--entries", default="auto", metavar="all|auto|N", help="which entries are checked"),
    _option("--rtol", type=float, help="plain threshold on the relative error"),
    _option("--seed", type=int, default=0, help="of inputs, directions and generators (0)"),
    _option("--search", type=int, metavar="N", help="look for the worst input among N"),
    _option("--order", type=int, default=1, help="2 checks second derivatives, too"),
    _option("--budget", type=int, metavar="N", help="at most N loss evaluations"),
    _option("--time", type=float, metavar="S", help="at most S seconds in all"),
    _option("--timeout", type=float, metavar="S", help="at most S seconds an evaluation"),
    _option("--workers", type=int, metavar="N", help="evaluate in N local processes"),
    _option("--dask", metavar="ADDRESS", help="evaluate on an existing Dask cluster"),
    _option("--checkpoint", metavar="FILE", help="keep finished work there, and go on from it"),
    _option("--report", metavar="DIR", help="write HTML, JSON, Markdown (packages: reports)"),
    _option("--no-report", is_flag=True, help="write no report for a package"),
    _option("--self-contained", is_flag=True, help="one HTML file with everything inside"),
    _option("--json", metavar="FILE|-", help="results as JSON"),
    _option("--junit", metavar="FILE", help="results as JUnit XML"),
    _option("--render", metavar="REPORT.json", help="write a report again from its JSON"),
    _option(
        "--compare", nargs=2, metavar="OLD.json NEW.json", help="what got worse between two reports"
    ),
    _option("-q", "--quiet", is_flag=True, help="show only what did not come out as declared"),
    _option("-v", "--verbose", is_flag=True, help="show everything; let the target print"),
    _option("--no-progress", is_flag=True, help="no progress bar"),
]


@click.pass_context
def _entry(context: click.Context, /, **options: Any) -> int:
    """Check the gradient of TARGET against independent ones.

    TARGET is package.module:function, path/to/file.py:function, or a package or
    module that lists its checks in __gradcheck__.
    """
    from gradcheck.shell.command import run

    _refuse_beside(context)
    reproduce = _reproduce(context)
    settings = Settings.from_options(
        {
            **{name: options.pop(name) for name in _SETTINGS},
            "oracles": _oracles(options.pop("oracle")),
            "entries": _entries(options.pop("entries")),
        }
    )
    return run(Command(settings=settings, reproduce=reproduce, **options))


def build_command() -> click.Command:
    """Return the command with all of its options."""
    function: Any = _entry
    for decorator in reversed(_DECORATORS):
        function = decorator(function)
    version = click.version_option(package_name=None, version=_version(), prog_name="gradcheck")
    return click.command(
        name="gradcheck",
        epilog=_EPILOG,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    )(version(function))


def _version() -> str:
    from gradcheck import __version__

    return __version__


def _oracles(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(","))


def _entries(text: str) -> str | int:
    return int(text) if text.lstrip("+-").isdigit() else text


def _given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _refuse_beside(context: click.Context) -> None:
    """Refuse options of a check beside those that check nothing."""
    shown = {"target", "quiet", "verbose", "no_progress"}
    for mode, allowed in (("render", _OUTPUTS | shown), ("compare", shown)):
        if context.params.get(mode) is None:
            continue
        for parameter in context.command.params:
            name = str(parameter.name)
            if _given(context, name) and name != mode and name not in allowed:
                raise UsageError(
                    f"--{mode} checks nothing, so that {parameter.opts[-1]} has nothing to do: "
                    "leave it out"
                )


def _reproduce(context: click.Context) -> str:
    """The command that was typed, without what concerns its output."""
    import shlex

    words = ["python", "-m", "gradcheck"]
    for parameter in context.command.params:
        name = str(parameter.name)
        value = context.params.get(name)
        if not _given(context, name) or name in _OUTPUTS or value is None:
            continue
        if isinstance(parameter, click.Argument):
            words.append(str(value))
        elif isinstance(value, bool):
            words.append((parameter.opts if value else parameter.secondary_opts)[-1])
        elif parameter.multiple:
            words += [word for item in value for word in (parameter.opts[-1], str(item))]
        else:
            items = value if isinstance(value, tuple) else (value,)
            words += [parameter.opts[-1], *map(str, items)]
    return shlex.join(words)


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; nothing is raised."""
    command = build_command()
    try:
        status = command.main(arguments, prog_name=_program(), standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        text = io.StringIO()
        error.show(file=text)
        click.echo(visible(text.getvalue(), keep="\n"), nl=False, err=True)
        return 2
    except UsageError as error:
        click.echo(_wrapped(visible(f"gradcheck: {error}", keep="\n")), err=True)
        return 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("gradcheck: interrupted", err=True)
        return 130
    return int(status or 0)


def _wrapped(text: str) -> str:
    """Break the lines of a message at 80 columns; those that are indented are to be pasted."""
    import textwrap

    lines = [
        [line] if line.startswith(" ") else textwrap.wrap(line, 80, break_on_hyphens=False) or [""]
        for line in text.splitlines()
    ]
    return "\n".join(part for lined in lines for part in lined)


def _program() -> str:
    return "gradcheck" if sys.argv[0].endswith("gradcheck") else "python -m gradcheck"


def main() -> None:
    """Entry point of ``gradcheck`` and ``python -m gradcheck``."""
    # Imports make many objects and no garbage: looking for it would take 5% of a small check.
    gc.set_threshold(50_000, 20, 20)
    # A script that shows its plots when it is imported must not wait for somebody to close them.
    os.environ.setdefault("MPLBACKEND", "Agg")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    # What is imported before the target lasts as long as the process; kept out of the collections,
    # those at its end above all, it holds up none of them. Nothing of the user's is among it.
    try:
        importlib.import_module("gradcheck.shell.command")
    except KeyboardInterrupt:
        click.echo("gradcheck: interrupted", err=True)
        sys.exit(130)
    gc.freeze()
    sys.exit(run_command())
