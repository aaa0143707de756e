"""The one place that opens output files, and never leaves half of one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from gradcheck.errors import UsageError
from gradcheck.render import html, json_file, markdown
from gradcheck.report import SCHEMA, Report


def write_report(
    report: Report, directory: str | os.PathLike[str], *, self_contained: bool = False
) -> None:
    """Write HTML, JSON and Markdown into ``directory``, which is made if it is not there.

    Each file appears whole or not at all, and a file that is there already is replaced only if
    gradcheck wrote it; nothing is deleted.

    Args:
        report: what to write.
        directory: where to.
        self_contained: write a single ``index.html`` with everything inside, not a folder of pages.

    Raises:
        UsageError: the folder cannot be written, or a file there belongs to someone else.
    """
    root = Path(directory)
    files: dict[str, str] = dict(html.render(report, self_contained=self_contained))
    files["report.json"] = json_file.render(report)
    files["summary.md"] = markdown.render(report)
    with _explained(root):
        for relative in files:
            _refuse_foreign_file(root / PurePosixPath(relative))
        for relative, text in files.items():
            _replace(root / PurePosixPath(relative), text.encode("utf-8"))


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write one file, such as that of ``--json`` or ``--junit``: whole or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    with _explained(Path(path)):
        _replace(Path(path), text.encode("utf-8"))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the operating system says into what to do about it."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}; give a place that can be written"
        ) from error


def _replace(path: Path, content: bytes) -> None:
    """Write beside ``path``, then move over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return
    temporary = path.with_name(f".{secrets.token_hex(6)}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _refuse_foreign_file(path: Path) -> None:
    """Raise if ``path`` is a file that gradcheck did not write."""
    marks = {
        ".html": html.MARK.encode(),
        ".json": f'"schema": "{SCHEMA}"'.encode(),
        ".md": markdown.MARK.encode(),
    }
    mark = marks.get(path.suffix)
    if mark is None or not path.is_file():
        return
    with path.open("rb") as file:
        start = file.read(4096)
    if start and mark not in start:
        raise UsageError(
            f"{path} was not written by gradcheck and would be overwritten; choose another folder"
        )
