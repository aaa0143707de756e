"""Finished losses of a long check, kept in a file as they come, and taken up again.

The file is a line that says of which check it is, and then records: length, checksum, key, losses.
Records are only ever added and reach the disk once a second, so that a process killed at any
moment loses a second of work; a record cut short is dropped by its length or checksum. Keys are
digests of what was evaluated, so that it does not matter in which order or how cut up.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
import weakref
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import UsageError
from gradcheck.problem import Problem
from gradcheck.sweep.evaluator import FloatArray

MAGIC = "gradcheck.checkpoint/1"
KEY_BYTES = 16
FLUSH_SECONDS = 1.0
_HEAD = struct.Struct("<II")


class Checkpoint:
    """A file of finished losses, for ``Evaluator.journal``; use as a context manager.

    Args:
        path: the file; made if it does not exist.
        fingerprint: what the losses belong to (see :func:`fingerprint`).

    Raises:
        UsageError: the file belongs to another check, is something else, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], fingerprint: str) -> None:
        self.path = Path(path)
        self._kept: dict[bytes, FloatArray] = {}
        self._pending = bytearray()
        self._written = time.monotonic()
        try:
            self._file = self._open(fingerprint)
        except OSError as error:
            raise UsageError(
                f"the checkpoint {self.path} cannot be used: {error.strerror or error}"
            ) from error
        _kept_open.add(self)

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._kept)

    def key(self, *parts: Any) -> bytes:
        """Return a digest of the parts: arrays by their bytes, everything else by its repr."""
        digest = hashlib.blake2b(digest_size=KEY_BYTES)
        for part in parts:
            _feed(digest.update, part)
        return digest.digest()

    def find(self, key: bytes) -> FloatArray | None:
        """Return the losses kept under ``key``, or None."""
        return self._kept.get(key)

    def keep(self, key: bytes, losses: FloatArray) -> None:
        """Add losses under ``key``; they reach the disk within a second of further work."""
        losses = np.array(losses, dtype="<f8")
        self._kept[key] = losses
        body = key + losses.tobytes()
        self._pending += _HEAD.pack(len(body), zlib.crc32(body)) + body
        if time.monotonic() - self._written > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Bring everything to the disk."""
        if self._pending:
            self._file.write(self._pending)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._pending.clear()
        self._written = time.monotonic()

    def close(self) -> None:
        """Bring everything to the disk and close the file."""
        if not self._file.closed:
            self.flush()
            self._file.close()

    def _open(self, fingerprint: str) -> BinaryIO:
        header = json.dumps({"schema": MAGIC, "fingerprint": fingerprint}).encode() + b"\n"
        if not self.path.exists() or self.path.stat().st_size == 0:
            file: BinaryIO = self.path.open("ab")
            _lock(file, self.path)
            file.write(header)
            file.flush()
            os.fsync(file.fileno())
            return file
        file = self.path.open("r+b")
        _lock(file, self.path)
        try:
            content = file.read()
            start = self._check_header(content, header)
            end = self._read_records(content, start) if start else file.seek(0)
            if not start:
                end = file.write(header)
        except BaseException:
            file.close()
            raise
        file.seek(end)
        # What follows was cut short when the process was killed.
        file.truncate()
        return file

    def _check_header(self, content: bytes, header: bytes) -> int:
        """Return where the records begin."""
        if len(content) < len(header) and header.startswith(content):
            return 0
        line, _, _ = content.partition(b"\n")
        try:
            found = json.loads(line)
            known = found["schema"] == MAGIC
        except (ValueError, TypeError, KeyError):
            known = False
        if not known:
            raise UsageError(
                f"{self.path} is not a checkpoint of gradcheck: give --checkpoint a new file"
            )
        if not content.startswith(header):
            raise UsageError(
                f"the checkpoint {self.path} belongs to another check: its target, inputs or "
                "settings differ from these; delete it, or give another file"
            )
        return len(header)

    def _read_records(self, content: bytes, start: int) -> int:
        """Read records up to the first that is not whole; return where it begins."""
        at = start
        while at + _HEAD.size <= len(content):
            length, checksum = _HEAD.unpack_from(content, at)
            body = content[at + _HEAD.size : at + _HEAD.size + length]
            whole = len(body) == length >= KEY_BYTES and (length - KEY_BYTES) % 8 == 0
            if not whole or zlib.crc32(body) != checksum:
                break
            self._kept[body[:KEY_BYTES]] = np.frombuffer(body[KEY_BYTES:], dtype="<f8")
            at += _HEAD.size + length
        return at


# Forked processes share an open file, and its lock with it: a worker that outlives the check by
# its last evaluation would keep the file from whoever takes up the work.
_kept_open: weakref.WeakSet[Checkpoint] = weakref.WeakSet()


def _let_go() -> None:
    """Put nothing in the place of every open checkpoint, in a process that was just forked."""
    for checkpoint in _kept_open:
        if not checkpoint._file.closed:
            with Path(os.devnull).open("r+b") as nothing:
                os.dup2(nothing.fileno(), checkpoint._file.fileno(), inheritable=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def _lock(file: BinaryIO, path: Path) -> None:
    """Refuse a file that another running check writes to, where the system can tell."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UsageError(
            f"another running check writes to the checkpoint {path}: wait for it, or give "
            "another file"
        ) from None


def _feed(update: Callable[[Any], None], part: Any) -> None:
    if isinstance(part, np.ndarray):
        update(f"{part.dtype.str}{part.shape}".encode())
        update(np.ascontiguousarray(part).data)
    elif isinstance(part, bytes):
        update(part)
    else:
        update(repr(part).encode())
    update(b"\0")


def fingerprint(problem: Problem, target: Any, settings: Iterable[Any] = ()) -> str:
    """Return a digest of a check: the target's source, every input, and the settings.

    The loss at the point and the claimed gradient stand for what the target calls, as far as that
    shows at the point. ``settings`` are those that change what is evaluated.
    """
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    for part in (_source(target), problem.facts.value, str(problem.facts.dtype), *settings):
        _feed(digest.update, part)
    for parameter in problem.parameters:
        _feed(digest.update, parameter.name)
        _feed(digest.update, parameter.value)
        _feed(digest.update, problem.analytic.get(parameter.name, np.zeros(0)))
    everything: tuple[dict[str, Any], ...] = (
        dict(problem.surroundings.scalars),
        dict(problem.surroundings.data),
        dict(problem.surroundings.integers),
    )
    for group in everything:
        for name in sorted(group):
            _feed(digest.update, name)
            _feed(digest.update, _plain(group[name]))
    return digest.hexdigest()


def _plain(value: Any) -> NDArray[Any] | str:
    return value if isinstance(value, np.ndarray) else repr(value)


def _source(target: Any) -> str:
    """Return the source of the module of the target, or what can be had of its code."""
    import inspect

    for thing in (inspect.getmodule(target), target):
        try:
            return inspect.getsource(thing) if thing is not None else ""
        except (OSError, TypeError):
            continue
    code = getattr(target, "__code__", None)
    return "" if code is None else code.co_code.hex() + repr(code.co_names)
