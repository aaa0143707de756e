"""A problem as bytes, for processes that do not share this one's memory."""

from __future__ import annotations

import contextlib
import pickle
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import UsageError
from gradcheck.sweep.evaluator import Evaluator


def pack(evaluator: Evaluator, target: Any = None) -> bytes:
    """Return loss and parameters of a problem as bytes, in one piece: shared arrays stay shared.

    The user's own module travels with its functions where it can (a worker on another machine
    does not have it), else by its name.

    Raises:
        UsageError: the target cannot be sent.
    """
    content = (evaluator.loss, [_View.of(value) for value in evaluator.values])
    try:
        import cloudpickle
    except ImportError:
        return _pickled(content)
    first: Exception | None = None
    for module in (_own_module(target), None):
        try:
            with _by_value(cloudpickle, module):
                return bytes(cloudpickle.dumps(content))
        except Exception as error:
            # The next way may do; where none does, the user is told what the first one raised.
            first = first or error
    raise UsageError(
        f"the target cannot be sent to worker processes ({first}); give it no open files, locks "
        "or generators to hold, or leave out workers (--workers, --dask, executor=)"
    ) from first


def unpack(source: bytes) -> tuple[Any, Any]:
    """Return loss and parameters of a packed problem."""
    loss, views = pickle.loads(source)
    return loss, [view.array() for view in views]


@dataclass(frozen=True, slots=True)
class _View:
    """An array as a view of the one that owns its memory, which pickling would copy apart."""

    owner: NDArray[Any]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, array: NDArray[Any]) -> _View:
        owner = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        offset = array.ctypes.data - owner.ctypes.data
        return cls(owner, offset, array.shape, array.strides)

    def array(self) -> NDArray[Any]:
        memory = self.owner if self.owner.flags.c_contiguous else self.owner.T
        return np.ndarray(
            self.shape, self.owner.dtype, buffer=memory, offset=self.offset, strides=self.strides
        )


def _pickled(content: Any) -> bytes:
    try:
        return pickle.dumps(content)
    except Exception as error:
        raise UsageError(
            f"the target cannot be sent to worker processes ({error}); pip install cloudpickle, "
            "which sends lambdas and local functions too, or leave out workers"
        ) from error


def _own_module(target: Any) -> ModuleType | None:
    """Return the module (or package) of the user's function, unless it is an installed one."""
    name = getattr(target, "__module__", None) or type(target).__module__
    module = sys.modules.get(name.partition(".")[0]) if isinstance(name, str) else None
    file = getattr(module, "__file__", None)
    if module is None or file is None or module.__name__ in ("__main__", "gradcheck"):
        return None
    places = {Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "purelib", "platlib")}
    here = Path(file).resolve()
    return None if any(here.is_relative_to(place) for place in places) else module


@contextlib.contextmanager
def _by_value(cloudpickle: Any, module: ModuleType | None) -> Iterator[None]:
    if module is None or module.__name__ in cloudpickle.list_registry_pickle_by_value():
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)
