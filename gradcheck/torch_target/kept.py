"""Tensors that a target keeps between its calls: a warm start, a stored attention map, a state.

They lie in attributes and buffers of modules and other objects, in dicts and lists, and in
variables of enclosing functions or of the module. What an evaluation leaves there is taken out
again, so that no evaluation meets a tensor that another one made. Numbers, such as counts of calls,
stay as they are.
"""

from __future__ import annotations

import dis
import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

MOST = 10_000
"""Most containers that are looked at, and most items of one."""
LIBRARIES = frozenset({"gradcheck", "numpy", "scipy", "torch"})
"""Packages in whose own modules no target keeps anything."""
PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, ModuleType})
"""Types of values in which nothing is kept."""
OF_TORCH = frozenset({"_flat_weights"})
"""What torch's recurrent modules keep in step with their weights themselves."""
DEEP = 4
"""Levels of containers in a value in which a tensor is looked for."""
NOTHING = object()
"""Stands for a name that is not bound."""


@dataclass(frozen=True, eq=False)
class _Held:
    """A container and what it held; of a dict that is no more than some ``names``, if given."""

    container: Any
    before: Any
    names: frozenset[str] | None = None


@contextmanager
def kept(*roots: Any) -> Iterator[Callable[[], bool]]:
    """Put back, at the end, what was in the place of tensors that came in the meantime.

    Args:
        roots: functions, modules, and whatever else the target reaches its tensors from.

    Yields:
        A function that tells whether any such tensors have come so far.
    """
    held = list(_containers(roots))
    try:
        yield lambda: any(next(_new_tensors(one), None) is not None for one in held)
    finally:
        for one in held:
            for put_back in list(_new_tensors(one)):
                put_back()


def _new_tensors(held: _Held) -> Iterator[Callable[[], None]]:
    """Yield, for each place where a tensor came, what puts back what was there."""
    now, before = held.container, held.before
    if isinstance(now, CellType):
        value = _content(now)
        if value is not before and _holds_tensor(value):
            yield functools.partial(_fill, now, before)
    elif isinstance(now, dict):
        for key in list(now) if held.names is None else held.names:
            value, old = now.get(key, NOTHING), before.get(key, NOTHING)
            if value is not old and key not in OF_TORCH and _holds_tensor(value):
                yield functools.partial(_bind, now, key, old)
    elif any(
        k >= len(before) or one is not before[k] for k, one in enumerate(now) if _holds_tensor(one)
    ):
        yield functools.partial(_replace, now, before)


def _bind(container: dict[Any, Any], key: Any, value: Any) -> None:
    if value is NOTHING:
        del container[key]
    else:
        container[key] = value


def _fill(cell: CellType, value: Any) -> None:
    if value is NOTHING:
        del cell.cell_contents
    else:
        cell.cell_contents = value


def _replace(container: Any, items: Iterable[Any]) -> None:
    container.clear()
    container.extend(items)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        # A variable of the enclosing function that has no value yet.
        return NOTHING


def _holds_tensor(value: Any, levels: int = DEEP) -> bool:
    import torch

    if isinstance(value, torch.Tensor):
        return True
    if levels == 0:
        return False
    if isinstance(value, Mapping):
        inside: Iterable[Any] = list(value.values())
    elif isinstance(value, list | tuple | deque | set | frozenset):
        inside = list(value)
    else:
        of_class = _is_plain(value) or isinstance(value, type)
        inside = [] if of_class else list(getattr(value, "__dict__", {}).values())
    return any(_holds_tensor(one, levels - 1) for one in inside)


def _containers(roots: Iterable[Any]) -> Iterator[_Held]:
    """Yield everything reached from ``roots`` in which a target can leave a tensor, each once."""
    waiting, seen, found = deque(roots), set[int](), 0
    while waiting and found < MOST:
        value = waiting.popleft()
        if id(value) in seen or _is_plain(value):
            continue
        seen.add(id(value))
        for held in _of(value, waiting):
            found += 1
            yield held


def _of(value: Any, waiting: deque[Any]) -> Iterator[_Held]:
    """Yield what ``value`` itself keeps, and note what has to be looked at next."""
    if isinstance(value, FunctionType):
        waiting.extend((value.__defaults__, value.__kwdefaults__, *(value.__closure__ or ())))
        if not _of_library(value):
            names, home = _global_names(value.__code__), value.__globals__
            read = {name: home[name] for name in names if name in home}
            waiting.extend(read.values())
            yield _Held(home, read, names)
    elif isinstance(value, type):
        # What a class keeps itself is not put back; its functions may read from their module.
        waiting.extend([] if _of_library(value) else vars(value).values())
    elif isinstance(value, staticmethod | classmethod):
        waiting.append(value.__func__)
    elif isinstance(value, MethodType):
        waiting.extend((value.__self__, value.__func__))
    elif isinstance(value, functools.partial):
        waiting.extend((value.func, value.args, value.keywords))
    elif isinstance(value, CellType):
        waiting.append(_content(value))
        yield _Held(value, _content(value))
    elif isinstance(value, tuple):
        waiting.extend(value[:MOST])
    elif isinstance(value, dict | list | deque) and len(value) <= MOST:
        waiting.extend(_looked_at(value) if isinstance(value, dict) else value)
        yield _Held(value, value.copy())
    if isinstance(attributes := getattr(value, "__dict__", None), dict):
        waiting.append(type(value))
        skipped = _internals() | OF_TORCH
        waiting.extend(attributes[key] for key in attributes if key not in skipped)
        # Of a module's own dicts, those of hooks and the like are empty, mostly.
        own = [attributes[key] for key in _internals() if key in attributes]
        waiting.extend(one for one in own if one)
        yield _Held(attributes, attributes.copy())


@functools.cache
def _internals() -> frozenset[str]:
    """The attributes of every module but those that hold its buffers and parameters."""
    import torch

    return frozenset(vars(torch.nn.Module())) - {"_buffers", "_parameters"}


def _looked_at(container: dict[Any, Any]) -> Iterator[Any]:
    return (value for key, value in container.items() if key not in OF_TORCH)


def _of_library(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).partition(".")[0] in LIBRARIES


def _is_plain(value: Any) -> bool:
    """Whether nothing is kept in it: a number, an array, a tensor, a library."""
    import torch

    kind = type(value)
    # By type: torch's own classes take their time to say whether something is one of them.
    return kind in PLAIN or issubclass(kind, torch.Tensor) or kind.__module__ == "numpy"


@functools.lru_cache(maxsize=1024)
def _global_names(code: CodeType) -> frozenset[str]:
    """Names of the module that a function, and those inside it, read or write."""
    names = {
        one.argval
        for one in dis.get_instructions(code)
        if one.opname in ("LOAD_GLOBAL", "STORE_GLOBAL", "LOAD_NAME")
    }
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    return frozenset(names.union(*(_global_names(one) for one in inner)))
