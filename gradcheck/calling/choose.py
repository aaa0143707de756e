"""Which of a target's inputs are the parameters, where nobody said so."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.calling.calls import BoundInputs
from gradcheck.calling.named import Elsewhere
from gradcheck.calling.returned_names import meant
from gradcheck.calling.returns import NOT_GIVEN, gradient_keys, leaf_name
from gradcheck.calling.tree import Leaf, leaves
from gradcheck.errors import TargetError, UsageError


@dataclass(frozen=True, eq=False, slots=True)
class ChosenLeaf:
    """One array or number under check: its name, its path, and where it lives."""

    name: str
    path: str
    value: Any
    live: bool


@dataclass(frozen=True, eq=False, slots=True)
class Chosen:
    """The parameters of a problem; ``groups`` lists each argument with its parameters' names."""

    leaves: tuple[ChosenLeaf, ...]
    groups: tuple[tuple[str, tuple[str, ...]], ...]


def live_parameters(target: Callable[..., Any], params: Any) -> Any:
    """Return the tree of arrays that the target reads from elsewhere, or None.

    A bound method's ``self.params`` is found by itself.
    """
    if params is not None:
        return params
    owner = target.__self__ if inspect.ismethod(target) else target
    found = getattr(owner, "params", None) if not inspect.isfunction(owner) else None
    return found if isinstance(found, dict) and found else None


def choose(
    inputs: BoundInputs,
    grads: Any,
    *,
    wrt: Sequence[str | int] | str | int | None,
    live: Any,
    live_root: str = "params",
    hints: Callable[[], Sequence[str]] = tuple,
) -> Chosen:
    """Decide what is differentiated with respect to.

    ``hints`` returns the names that the code itself gives to the gradients that it returns.

    Raises:
        UsageError: a name is unknown, or nothing, or more than one thing, could be meant.
    """
    arguments = dict(inputs.items())
    if wrt is not None:
        names = [wrt] if isinstance(wrt, str | int) else list(wrt)
        return _by_request(names, arguments, live, live_root)
    if live is not None:
        return _collect([(live_root, live, True)])
    named = _by_key(arguments, grads)
    if named:
        return _collect([(name, arguments[name], False) for name in named])
    hinted = _by_hint(arguments, grads, hints)
    if hinted:
        return _collect([(name, arguments[name], False) for name in hinted])
    return _by_structure(arguments, grads)


def _by_hint(
    arguments: Mapping[str, Any], grads: Any, hints: Callable[[], Sequence[str]]
) -> list[str]:
    """The arguments that the code calls the gradients after, where they have their shapes."""
    parts = list(grads) if isinstance(grads, tuple) else [grads]
    floats = [name for name, value in arguments.items() if _is_differentiable(value)]
    if len(floats) < 2 or grads is NOT_GIVEN or isinstance(grads, Mapping):
        return []
    names = [meant(hint, floats) for hint in hints()]
    if len(parts) != len(names) or not all(names) or len(set(names)) != len(names):
        return []
    found = [str(name) for name in names]
    pairs = zip(found, parts, strict=True)
    fit = all(_shapes(arguments[name]) == _shapes(part) for name, part in pairs)
    return found if fit else []


def _is_differentiable(value: Any) -> bool:
    return _holds_floats(value) or (isinstance(value, int | float) and not isinstance(value, bool))


def _by_request(
    names: Sequence[str | int],
    arguments: Mapping[str, Any],
    live: Any,
    live_root: str,
) -> Chosen:
    order = list(arguments)
    roots: list[tuple[str, Any, bool]] = []
    picked: list[tuple[ChosenLeaf, str]] = []
    everything = [*((name, value, False) for name, value in arguments.items())]
    if live is not None:
        everything.append((live_root, live, True))
    known = _leaves_by_name(everything)
    for name in names:
        key = order[name] if isinstance(name, int) and -len(order) <= name < len(order) else name
        if isinstance(key, str) and key in arguments:
            roots.append((key, arguments[key], False))
        elif isinstance(key, str) and isinstance(live, Elsewhere) and key in live:
            picked += _inside(live, live_root, key)
        elif isinstance(key, str) and live is not None and key == live_root:
            roots.append((live_root, live, True))
        elif key in known:
            picked.append((known[str(key)], str(key)))
        elif isinstance(live, Mapping) and key in live:
            picked += _inside(live, live_root, str(key))
        else:
            available = ", ".join(list(dict.fromkeys([*arguments, *known]))[:20])
            raise UsageError(f"wrt names {name!r}, which is no input; the inputs are {available}")
    chosen = _collect(roots)
    extra = tuple(leaf for leaf, _ in picked)
    groups = chosen.groups + tuple((leaf.name, (leaf.name,)) for leaf in extra)
    return Chosen(chosen.leaves + extra, groups)


def _inside(live: Any, live_root: str, key: str) -> list[tuple[ChosenLeaf, str]]:
    """The arrays under one name of a tree that is read from elsewhere."""
    whole = _collect([(live_root, live, True)]).leaves
    inside = [leaf for leaf in whole if leaf.path.startswith(f"{live_root}[{key!r}]")]
    return [(leaf, leaf.name) for leaf in inside]


def _leaves_by_name(roots: Sequence[tuple[str, Any, bool]]) -> dict[str, ChosenLeaf]:
    """Map what ``wrt`` may call a leaf: its key, its argument and key, and its path."""
    plain, full = _collect(roots, qualify=False).leaves, _collect(roots, qualify=True).leaves
    counts = Counter(leaf.name for leaf in plain)
    known: dict[str, ChosenLeaf] = {}
    for short, long in zip(plain, full, strict=True):
        chosen = short if counts[short.name] == 1 else long
        known |= {chosen.name: chosen, long.name: chosen, chosen.path: chosen}
    return known


def _collect(roots: Sequence[tuple[str, Any, bool]], *, qualify: bool | None = None) -> Chosen:
    """Name the leaves: by key alone where there is one tree, else by argument and key."""
    qualified = len(roots) > 1 if qualify is None else qualify
    found: list[ChosenLeaf] = []
    groups: list[tuple[str, tuple[str, ...]]] = []
    for root, value, live in roots:
        members = [_named(leaf, root, qualified, live) for leaf in leaves(value, root)]
        found.extend(members)
        groups.append((root, tuple(leaf.name for leaf in members)))
    return Chosen(tuple(found), tuple(groups))


def _named(leaf: Leaf, root: str, qualified: bool, live: bool) -> ChosenLeaf:
    name = leaf_name(leaf, root)
    if qualified and leaf.keys and isinstance(leaf.keys[0], str):
        name = f"{root}.{name}"
    return ChosenLeaf(name, leaf.path, leaf.value, live)


def is_float_array(value: Any) -> bool:
    """Return whether ``value`` is an array of real floating-point numbers."""
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _shapes(tree: Any) -> list[tuple[int, ...]]:
    return [tuple(np.shape(leaf.value)) for leaf in leaves(tree, "x")]


def _holds_floats(tree: Any) -> bool:
    return any(is_float_array(leaf.value) for leaf in leaves(tree, "x"))


def explained_by_inputs(inputs: BoundInputs, grads: Any) -> bool:
    """Whether the gradient names inputs, or has the structure and shapes of some."""
    arguments = dict(inputs.items())
    return bool(_by_key(arguments, grads)) or _mirrored(arguments, grads) is not None


def _by_key(arguments: Mapping[str, Any], grads: Any) -> list[str]:
    if not isinstance(grads, Mapping):
        return []
    return [name for name in arguments if any(key in grads for key in gradient_keys(name))]


def _by_structure(arguments: Mapping[str, Any], grads: Any) -> Chosen:
    """The first argument that the gradient mirrors, else the one that could be meant."""
    found = _mirrored(arguments, grads)
    if found is not None:
        return found
    candidates = _candidates(arguments)
    trees = [n for n in candidates if not isinstance(arguments[n], np.ndarray)]
    if isinstance(grads, Mapping) and len(trees) == 1:
        return _collect([(trees[0], arguments[trees[0]], False)])
    if len(candidates) == 1:
        return _collect([(candidates[0], arguments[candidates[0]], False)])
    if not candidates:
        return _of_numbers(arguments)
    if isinstance(grads, Mapping):
        raise TargetError(
            "missing_gradient",
            f"the gradient's keys {', '.join(map(repr, grads)) or '(none)'} name no input (they "
            f"are {', '.join(arguments)}); use the parameters' names as keys, or name the "
            "parameters with wrt= (--wrt)",
        )
    raise UsageError(_which(candidates, _joined(arguments, candidates, grads)))


def _joined(arguments: Mapping[str, Any], candidates: Sequence[str], grads: Any) -> str:
    """The arguments side by side whose entries together are as many as those of the gradient."""
    size = np.size(grads) if isinstance(grads, np.ndarray) else 0
    sizes = [sum(int(np.prod(shape)) for shape in _shapes(arguments[name])) for name in candidates]
    runs = [
        candidates[start:end]
        for start in range(len(candidates))
        for end in range(start + 1, len(candidates) + 1)
        if sum(sizes[start:end]) == size
    ]
    return ",".join(runs[0]) if len(runs) == 1 else ""


def _of_numbers(arguments: Mapping[str, Any]) -> Chosen:
    """The one number among inputs that hold no array of floats."""
    integers = [n for n, v in arguments.items() if _is_integer(v)]
    numbers = [n for n, v in arguments.items() if isinstance(v, float | np.floating)]
    if len(integers) == 1 and not numbers:
        return _collect([(integers[0], arguments[integers[0]], False)])
    if len(numbers) + len(integers) > 1:
        raise UsageError(_which([*numbers, *integers]))
    raise UsageError(
        "no input holds floating-point arrays to differentiate with respect to; name the "
        "parameters with wrt= (--wrt) or give params= (--params module:attr)"
    )


def _which(candidates: Sequence[str], likely: str = "") -> str:
    names = (likely or candidates[0]).split(",")
    return (
        f"several inputs could be the parameters ({', '.join(candidates)}); say which with "
        f"wrt={names!r} (--wrt {','.join(names)})"
    )


def _candidates(arguments: Mapping[str, Any]) -> list[str]:
    """Arguments that hold arrays of floats; else the one number that there is."""
    candidates = [name for name, value in arguments.items() if _holds_floats(value)]
    if not candidates and len(arguments) == 1:
        return [n for n, v in arguments.items() if isinstance(v, float | np.floating)]
    return candidates


def _mirrored(arguments: Mapping[str, Any], grads: Any) -> Chosen | None:
    """The arguments that have the structure and the shapes of the gradient."""
    if grads is NOT_GIVEN or grads is None:
        return None
    candidates = _candidates(arguments)
    if isinstance(grads, tuple) and len(grads) > 1:
        first = list(arguments)[: len(grads)]
        if [_shapes(arguments[n]) for n in first] == [_shapes(g) for g in grads]:
            return _collect([(name, arguments[name], False) for name in first])
        floats = {n: v for n, v in arguments.items() if n in candidates or isinstance(v, float)}
        matching = in_order(grads, floats)
        if matching:
            return _collect([(name, arguments[name], False) for name in matching])
    wanted = _shapes(grads)
    flat = len(wanted) == 1 and len(wanted[0]) == 1
    for position, (name, value) in enumerate(arguments.items()):
        if _is_list_of_numbers(value) and len(value) == _length(grads):
            return _collect([(name, value, False)])
        if name not in candidates:
            continue
        if _shapes(value) == wanted and _same_keys(value, grads):
            return _collect([(name, value, False)])
        size = sum(int(np.prod(shape)) for shape in _shapes(value))
        if flat and position == 0 and size == wanted[0][0]:
            return _collect([(name, value, False)])
    return None


def in_order(parts: Sequence[Any], arguments: Mapping[str, Any]) -> list[str]:
    """The arguments that have the shapes of the parts in their order, where only some have.

    Of several such choices the one whose arguments stand side by side; none if that leaves a
    doubt.
    """
    wanted = [_shapes(part) for part in parts]
    names = list(arguments)
    shapes = [_shapes(arguments[name]) for name in names]
    found: list[tuple[int, ...]] = [()]
    for one in wanted:
        found = [
            (*chosen, k)
            for chosen in found
            for k in range(chosen[-1] + 1 if chosen else 0, len(names))
            if shapes[k] == one
        ]
        if len(found) > 1000:
            return []
    if len(found) > 1:
        found = [chosen for chosen in found if chosen[-1] - chosen[0] == len(chosen) - 1]
    return [names[k] for k in found[0]] if len(found) == 1 else []


def _is_list_of_numbers(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(one, float | np.floating) for one in value)
    )


def _length(grads: Any) -> int:
    """How many numbers a flat gradient has; -1 for any other."""
    if isinstance(grads, list | tuple):
        return len(grads) if all(np.ndim(one) == 0 for one in grads) else -1
    return len(grads) if isinstance(grads, np.ndarray) and grads.ndim == 1 else -1


def _is_integer(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "iu"
    return isinstance(value, int) and not isinstance(value, bool)


def _same_keys(value: Any, grads: Any) -> bool:
    if isinstance(value, Mapping) or isinstance(grads, Mapping):
        return (
            isinstance(value, Mapping) and isinstance(grads, Mapping) and set(value) == set(grads)
        )
    return True
