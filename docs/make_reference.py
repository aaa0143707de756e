"""Write ``docs/reference.md`` from the command line's options and the docstrings.

    python docs/make_reference.py

The docstrings are read by griffe, which parses the source and checks them against the signatures;
the options are those that click and ``Settings`` declare.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import griffe

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

FUNCTIONS = (
    *("check", "assert_gradients", "run_cases", "inputs", "correct", "faulty", "erroneous"),
    "strategies.inputs",
)
CLASSES = (
    *("Case", "Settings", "Check", "ParameterResult", "Comparison", "Entry", "Diagnosis"),
    *("Location", "Notice", "Expectation", "Report", "Story", "TrainingTrace", "Verdict"),
    *("GradcheckError", "GradientError", "UsageError", "TargetError"),
)
WIDTH = 88


def reference() -> str:
    """Return the whole page."""
    package = griffe.load(
        "gradcheck",
        search_paths=[ROOT],
        docstring_parser="google",
        docstring_options={"returns_multiple_items": False, "returns_named_value": False},
    )
    parts = [
        "# Options and Python interface",
        "Generated from the program by `docs/make_reference.py`.",
        "## Command line",
        "`python -m gradcheck TARGET [OPTIONS]`; the command `gradcheck` means the same.",
        options(),
        "## Functions",
        *(function(name, package[name]) for name in FUNCTIONS),
        "## Data and errors",
        *(data(name, package[name]) for name in CLASSES),
    ]
    return "\n\n".join(parts) + "\n"


def options() -> str:
    """Return the table of the command line's options."""
    from gradcheck.cli import build_command

    rows = []
    for parameter in build_command().params:
        if isinstance(parameter, click.Option):
            names = ", ".join(parameter.opts + parameter.secondary_opts)
            shown = f"{names} {parameter.metavar}" if parameter.metavar else names
            rows.append((code(shown), parameter.help or ""))
    return table(("option", "meaning"), rows)


def function(name: str, found: griffe.Object | griffe.Alias) -> str:
    """Return the section of one function: signature, then what its docstring says."""
    return "\n\n".join([f"### `{name}`", signature(name, found), *described(found)])


def data(name: str, found: griffe.Object | griffe.Alias) -> str:
    """Return the section of one class: its docstring, fields, values, properties and methods."""
    parts = [f"### `{name}`"]
    if not {"dataclass", "enum"} & set(kinds(found)):
        maker = found.members.get("__init__")
        parts.append(signature(name, maker) if maker else f"```python\n{heading(found)}\n```")
    parts += described(found, fields=dataclass_fields(name, found))
    for member in found.members.values():
        if member.name.startswith("_") or member.docstring is None:
            continue
        if member.is_function:
            parts += [signature(f"{name}.{member.name}", member), *described(member)]
        elif "property" in member.labels:
            parts.append(f"{code(f'{name}.{member.name}')} (`{member.annotation}`):")
            parts += described(member)
    return "\n\n".join(parts)


def kinds(found: griffe.Object | griffe.Alias) -> Iterable[str]:
    """Say what sort of class it is, as far as that decides what is shown of it."""
    if "dataclass" in found.labels:
        yield "dataclass"
    if any(str(base).endswith("Enum") for base in found.bases):
        yield "enum"


def heading(found: griffe.Object | griffe.Alias) -> str:
    """Return the line that declares a class."""
    bases = ", ".join(str(base) for base in found.bases)
    return f"class {found.name}({bases})" if bases else f"class {found.name}"


def dataclass_fields(name: str, found: griffe.Object | griffe.Alias) -> list[tuple[str, ...]]:
    """Return name, type, default and meaning of each field, or each value of an enumeration."""
    import gradcheck

    texts = {}
    sections = found.docstring.parsed if found.docstring else []
    for section in sections:
        if section.kind.value in ("parameters", "attributes"):
            texts = {item.name: item.description for item in section.value}
    declared = getattr(gradcheck, name)
    if "enum" in kinds(found):
        return [(code(one.name), code(repr(one.value))) for one in declared]
    if not dataclasses.is_dataclass(declared):
        return []
    return [
        (
            code(field.name),
            code(str(found.members[field.name].annotation)),
            default(field),
            texts.get(field.name) or field.metadata.get("help", ""),
        )
        for field in dataclasses.fields(declared)
    ]


def default(field: dataclasses.Field[Any]) -> str:
    """Return the default of a field as it would be written; nothing where one must be given."""
    if field.default_factory is not dataclasses.MISSING:
        return code(repr(field.default_factory()))
    if field.default is dataclasses.MISSING:
        return ""
    return code(repr(field.default))


def described(
    found: griffe.Object | griffe.Alias, *, fields: Sequence[tuple[str, ...]] = ()
) -> list[str]:
    """Return the parts of a docstring as Markdown, in the order in which it is written.

    ``fields`` stand in for the parameters or attributes of a class, which they hold already.
    """
    parts = []
    for section in found.docstring.parsed if found.docstring else []:
        kind, value = section.kind.value, section.value
        if kind == "text":
            parts.append(plain(value))
        elif kind in ("parameters", "attributes"):
            if not fields:
                rows = [(code(item.name), item.description) for item in value]
                parts.append(table(("parameter", "meaning"), rows))
        elif kind == "returns":
            parts.append("Returns: " + " ".join(inline(item.description) for item in value))
        elif kind == "raises":
            rows = [f"* {code(str(item.annotation))}: {inline(item.description)}" for item in value]
            parts.append("Raises:\n\n" + "\n".join(rows))
        else:
            raise ValueError(f"{found.path}: say how a section of kind {kind} is to be shown")
    if fields:
        head = ("field", "type", "default", "meaning")
        if len(fields[0]) == 2:
            head = ("value", "written")
        elif not any(row[-1] for row in fields):
            head, fields = head[:-1], [row[:-1] for row in fields]
        parts.append(table(head, fields))
    return parts


def signature(name: str, found: griffe.Object | griffe.Alias) -> str:
    """Return a signature as Python writes it, one parameter a line where it is long."""
    shown, kind_before = [], None
    for one in found.parameters:
        if one.name in ("self", "cls"):
            continue
        kind = one.kind
        if kind_before is griffe.ParameterKind.positional_only and kind is not kind_before:
            shown.append("/")
        if kind is griffe.ParameterKind.keyword_only and kind_before not in (
            griffe.ParameterKind.keyword_only,
            griffe.ParameterKind.var_positional,
        ):
            shown.append("*")
        shown.append(parameter_text(one))
        kind_before = kind
    if kind_before is griffe.ParameterKind.positional_only:
        shown.append("/")
    returns = f" -> {found.returns}" if found.returns and found.name != "__init__" else ""
    line = f"{name}({', '.join(shown)}){returns}"
    if len(line) > WIDTH:
        rows = "".join(f"    {text},\n" for text in shown)
        line = f"{name}(\n{rows}){returns}"
    return f"```python\n{line}\n```"


def parameter_text(one: griffe.Parameter) -> str:
    """Return one parameter with its annotation and default."""
    stars = {
        griffe.ParameterKind.var_positional: "*",
        griffe.ParameterKind.var_keyword: "**",
    }.get(one.kind, "")
    annotated = f"{stars}{one.name}: {one.annotation}" if one.annotation else f"{stars}{one.name}"
    return annotated if stars or one.default is None else f"{annotated} = {one.default}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *([inline(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def code(text: str) -> str:
    """Return ``text`` as code."""
    return f"`{text}`"


def inline(text: str) -> str:
    """Return a description as one line that may stand in a table."""
    return re.sub(r"\s*\n\s*", " ", plain(text)).replace("|", "\\|")


def plain(text: str) -> str:
    """Return the text without the roles that Sphinx would read, code in single backticks."""
    return re.sub(r"``(.+?)``", r"`\1`", re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", text.strip()))


if __name__ == "__main__":
    Path(__file__).with_name("reference.md").write_text(reference(), encoding="utf-8")
