"""The one place that opens output files, and never leaves half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from gradcheck.errors import UsageError
from gradcheck.render import html, json_file, markdown
from gradcheck.render.uninterrupted import uninterrupted
from gradcheck.report import SCHEMA, Report

_MARKS = {
    ".html": html.MARK,
    ".json": f'"schema": "{SCHEMA}"',
    ".md": markdown.MARK,
    ".min.js": "plotly.js v",
}
"""What stands near the top of every file of a kind, by which it is known again."""

_PATIENCE = 10.0
"""Seconds to wait for another process that writes to the same folder."""


def write_report(
    report: Report, directory: str | os.PathLike[str], *, self_contained: bool = False
) -> None:
    """Write HTML, JSON and Markdown into ``directory``, which is made if it is not there.

    Each file appears whole or not at all, and none before there was room for all of them. A file
    that is there already is replaced only if gradcheck wrote it; nothing is deleted. Two processes
    write one after the other, so that the pages of a report belong together; Ctrl-C and SIGTERM
    take effect when everything is written.

    Args:
        report: what to write.
        directory: where to.
        self_contained: write a single ``index.html`` with everything inside, not a folder of pages.

    Raises:
        UsageError: the folder cannot be written, or a file there belongs to someone else.
    """
    root = Path(directory)
    files: dict[str, str] = dict(html.render(report, self_contained=self_contained))
    files["summary.md"] = markdown.render(report)
    files["report.json"] = json_file.render(report)
    with _explained(root), uninterrupted():
        root.mkdir(parents=True, exist_ok=True)
        with _alone_in(root):
            for relative, text in files.items():
                _refuse_foreign_file(root / PurePosixPath(relative), text)
            _replace_all(
                {root / PurePosixPath(name): text.encode() for name, text in files.items()}
            )


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write one file, such as that of ``--json`` or ``--junit``: whole or not at all.

    A link is followed. What is no ordinary file (``/dev/stdout``, a pipe) is written to as it is.

    Raises:
        UsageError: it cannot be written.
    """
    with _explained(Path(path)), uninterrupted():
        place = Path(os.path.realpath(path))
        if _is_special(Path(path)):
            Path(path).write_bytes(text.encode())
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            _replace_all({place: text.encode()})


def _is_special(path: Path) -> bool:
    """Whether there is something that is neither a file nor a folder, and must not be replaced."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the operating system says into what to do about it."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}; give a place that can be written"
        ) from error


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes that write a report out of the folder, where the system can."""
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        # Each file is still whole; only the pages of two reports might end up side by side.
        yield
        return
    try:
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:
                break  # a file system without locks
        yield
    finally:
        os.close(descriptor)


def _replace_all(contents: Mapping[Path, bytes]) -> None:
    """Write everything beside its place, and only then move all of it there."""
    temporaries: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            if _holds(path, content):
                continue
            path.parent.mkdir(exist_ok=True)
            temporary = path.with_name(f".gradcheck-{secrets.token_hex(6)}.tmp")
            temporaries[path] = temporary
            temporary.write_bytes(content)
        for path, temporary in temporaries.items():
            temporary.replace(path)
    finally:
        for temporary in temporaries.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content


def _refuse_foreign_file(path: Path, text: str) -> None:
    """Raise if ``path`` is a file that gradcheck did not write; ``text`` is what it would hold.

    A file cut short is known by what is left of its beginning; our own scripts and styles by
    their first line, which says what they are.
    """
    if not path.is_file():
        return
    mark = _MARKS.get("".join(path.suffixes[-2:])) or _MARKS.get(path.suffix)
    if mark is None or mark not in text:
        mark = text.partition("\n")[0]
    with path.open("rb") as file:
        start = file.read(4096)
    head = text[: text.index(mark) + len(mark)].encode()
    if mark.encode() not in start and not head.startswith(start):
        raise UsageError(
            f"{path} was not written by gradcheck and would be overwritten; choose another folder"
        )
