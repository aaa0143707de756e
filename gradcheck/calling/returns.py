"""What a target returned: which part is the loss, which parts are gradients, and of what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.calling.tree import Leaf, leaves
from gradcheck.errors import TargetError

NOT_GIVEN: Any = object()
"""Stands for a gradient that the target did not return at all."""


@dataclass(frozen=True, slots=True)
class GradientProblem:
    """A gradient that cannot be compared: missing, unknown or of the wrong shape."""

    cause: str
    parameter: str
    message: str


@dataclass(frozen=True, eq=False, slots=True)
class MatchedGradients:
    """The analytic gradient by parameter name, and what was wrong with its form."""

    arrays: Mapping[str, NDArray[Any]]
    problems: tuple[GradientProblem, ...] = field(default=())


def is_number(value: Any) -> bool:
    """Return whether ``value`` is a number or an array (or tensor) of no dimensions."""
    if isinstance(value, bool | str | bytes):
        return False
    if isinstance(value, int | float | complex | np.generic):
        return True
    return getattr(value, "shape", None) == () and hasattr(value, "dtype")


def _is_loss(value: Any) -> bool:
    """Return whether ``value`` can be a loss: a number, or an array of a single element."""
    if is_number(value):
        return True
    shape = getattr(value, "shape", None)
    return shape is not None and hasattr(value, "dtype") and all(n == 1 for n in shape)


def split_result(result: Any, *, gradient_elsewhere: bool) -> tuple[Any, Any]:
    """Return ``(loss, gradients)`` of what a target returned; ``NOT_GIVEN`` for no gradients.

    Understands ``loss``, ``(loss, grads)``, ``(grads, loss)`` and ``(loss, g1, g2, ...)``.

    Raises:
        TargetError: no part of the result can be a loss.
    """
    if _is_loss(result):
        return result, NOT_GIVEN
    if isinstance(result, tuple | list) and result:
        first, *rest = result
        if is_number(first) or (_is_loss(first) and not (len(rest) == 1 and is_number(rest[0]))):
            if gradient_elsewhere or not rest:
                return first, NOT_GIVEN
            return first, rest[0] if len(rest) == 1 else tuple(rest)
        if len(rest) == 1 and _is_loss(rest[0]):
            return rest[0], first
    raise TargetError(
        "non_finite_loss" if result is None else "loss_not_scalar",
        f"the target returned {_describe(result)}, in which no scalar loss was found; return "
        "loss, (loss, grads), (grads, loss) or (loss, grad_of_first, grad_of_second, ...); the "
        "backward pass of a layer is named by vjp= (--vjp), the Jacobian or derivative of a "
        "function of many outputs by grad= (--grad)",
    )


def _describe(value: Any) -> str:
    if value is None:
        return "None"
    if hasattr(value, "shape"):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        inner = ", ".join(_describe(item) for item in value[:4])
        return f"{type(value).__name__} ({inner}{', ...' if len(value) > 4 else ''})"
    if isinstance(value, Mapping):
        return f"{type(value).__name__} with keys {list(value)[:8]}"
    return type(value).__name__


def loss_as_number(loss: Any) -> np.floating[Any]:
    """Return the loss as a NumPy scalar of its own dtype.

    Raises:
        TargetError: the loss is complex or not a number.
    """
    array = np.asarray(loss)
    if array.dtype.kind == "c":
        raise TargetError("loss_not_scalar", "the loss is complex; return a real number")
    if array.dtype.kind not in "fiu" or array.size != 1:
        raise TargetError(
            "loss_not_scalar", f"the loss is {_describe(loss)}; return one real number"
        )
    if array.dtype.kind in "iu":
        array = array.astype(np.float64)
    scalar: np.floating[Any] = array.reshape(-1)[0]
    return scalar


def gradient_keys(name: str) -> tuple[str, ...]:
    """Return the keys under which the gradient of ``name`` may be returned, best first."""
    return (name, f"d{name}", f"grad_{name}", f"d_{name}", f"{name}_grad")


def _by_name(grads: Mapping[Any, Any], names: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        for key in gradient_keys(name):
            if key in grads:
                found[name] = grads[key]
                break
    return found


def require_gradient(grads: Any) -> None:
    """Refuse a gradient that is not there.

    Raises:
        TargetError: the gradient is None, or the target returned only a loss.
    """
    if grads is None or grads is NOT_GIVEN:
        what = "the gradient is None" if grads is None else "the target returned only a loss"
        raise TargetError(
            "missing_gradient",
            f"{what}: return it with the loss, as (loss, grads), or give the function that "
            "computes it as grad= (--grad module:function); a backward pass that fills a "
            "dictionary has to return it",
        )


def match_gradients(
    grads: Any,
    parameters: Sequence[tuple[str, tuple[int, ...]]],
    groups: Sequence[tuple[str, Sequence[str]]],
    *,
    known_names: Sequence[str] = (),
    copy: bool = True,
) -> MatchedGradients:
    """Match what was returned as gradients with the parameters, given as ``(name, shape)``.

    ``groups`` lists, for each argument under check, its name and the names of its parameters;
    ``known_names`` are inputs that are not under check: gradients by these names are left alone.
    Without ``copy``, arrays are those that were returned, where these will do.

    Raises:
        TargetError: there is no gradient at all.
    """
    require_gradient(grads)
    names = [name for name, _ in parameters]
    if isinstance(grads, Mapping):
        found, unknown = _from_mapping(grads, names, groups, known_names)
    else:
        found, unknown = _from_sequence(grads, parameters, groups), []
    problems = [_unknown(key, names) for key in unknown]
    arrays: dict[str, NDArray[Any]] = {}
    for name, shape in parameters:
        value = found.get(name, NOT_GIVEN)
        outcome = _as_gradient(name, shape, value, unknown, copy=copy)
        if isinstance(outcome, GradientProblem):
            problems.append(outcome)
        else:
            arrays[name] = outcome
    return MatchedGradients(arrays, tuple(problems))


def _from_mapping(
    grads: Mapping[Any, Any],
    names: Sequence[str],
    groups: Sequence[tuple[str, Sequence[str]]],
    known_names: Sequence[str],
) -> tuple[dict[str, Any], list[str]]:
    found = _by_name(grads, names)
    used = {key for name in found for key in gradient_keys(name) if key in grads}
    for group, members in groups:
        # A tree of parameters may come back under its argument's name, or as it stands.
        for key in gradient_keys(group):
            if key in grads and key not in used:
                found.update(_pair_leaves(grads[key], members))
                used.add(key)
    missing = [name for name in names if name not in found]
    if missing and len(groups) == 1:
        tree = {leaf_name(leaf, groups[0][0]): leaf for leaf in leaves(grads, groups[0][0])}
        for name in missing:
            if name in tree:
                found[name] = tree[name].value
                used.add(tree[name].keys[0] if tree[name].keys else name)
    ignorable = {key for name in known_names for key in gradient_keys(name)}
    unknown = [str(key) for key in grads if key not in used and key not in ignorable]
    return found, unknown


def leaf_name(leaf: Leaf, root: str) -> str:
    """Return the name of a leaf: ``W1``, ``layer1.W``, ``theta[0]``."""
    if not leaf.keys:
        return root
    name = "" if isinstance(leaf.keys[0], str) else root
    for key in leaf.keys:
        if isinstance(key, str):
            name += f".{key}" if name else key
        else:
            name += f"[{key!r}]"
    return name


def _pair_leaves(tree: Any, members: Sequence[str]) -> dict[str, Any]:
    values = [leaf.value for leaf in leaves(tree, "gradient")]
    return dict(zip(members, values, strict=False))


def _from_sequence(
    grads: Any,
    parameters: Sequence[tuple[str, tuple[int, ...]]],
    groups: Sequence[tuple[str, Sequence[str]]],
) -> dict[str, Any]:
    names = [name for name, _ in parameters]
    shapes = [shape for _, shape in parameters]
    if hasattr(grads, "shape") or is_number(grads):
        if len(names) == 1:
            return {names[0]: grads}
        array = np.asarray(grads)
        sizes = [int(np.prod(shape)) for shape in shapes]
        in_line = array.ndim > 0 and max(array.shape) == array.size
        if in_line and array.size == sum(sizes):
            # Rolled into one vector in the order of the parameters, as optimisers want it.
            parts = np.split(array.reshape(-1), np.cumsum(sizes)[:-1])
            return {
                name: part.reshape(shape)
                for name, shape, part in zip(names, shapes, parts, strict=True)
            }
        return {names[0]: grads}
    if isinstance(grads, tuple | list) and len(groups) == len(grads) and len(groups) > 1:
        found: dict[str, Any] = {}
        for (_, members), value in zip(groups, grads, strict=True):
            single = len(members) == 1
            found.update({members[0]: value} if single else _pair_leaves(value, members))
        return found
    values = [leaf.value for leaf in leaves(grads, "gradient")]
    if len(values) > len(names):
        # Parameters without entries are not under check; theirs are no entries either.
        values = [value for value in values if np.size(value)]
    if len(names) == 1 and len(values) > 1 and shapes[0] == (len(values),):
        return {names[0]: np.asarray(values)}
    return dict(zip(names, values, strict=False))


def _unknown(key: str, names: Sequence[str]) -> GradientProblem:
    import difflib

    close = difflib.get_close_matches(key, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return GradientProblem(
        "unknown_gradient",
        key,
        f"the gradient has a key {key!r} that names no parameter (they are "
        f"{', '.join(names)}){hint}",
    )


def _as_gradient(
    name: str, shape: tuple[int, ...], value: Any, unknown: Sequence[str], *, copy: bool
) -> NDArray[Any] | GradientProblem:
    if value is None or value is NOT_GIVEN:
        what = "is None" if value is None else "is missing"
        hint = f" (there is a key {unknown[0]!r} of no parameter)" if unknown else ""
        return GradientProblem(
            "missing_gradient", name, f"the gradient of {name} {what}{hint}; return its array"
        )
    try:
        array = np.array(value) if copy else np.asarray(value)
    except ValueError:
        # Rows of different lengths: no array of numbers.
        array = np.array(None)
    if array.dtype.kind not in "fiub":
        return GradientProblem(
            "shape_mismatch",
            name,
            f"the gradient of {name} is {_describe(value)} with dtype {array.dtype}; return real "
            "numbers",
        )
    if array.shape != shape:
        same_size = array.size == int(np.prod(shape)) and array.size == 1
        if not same_size:
            return GradientProblem(
                "broadcast_not_summed" if _is_broadcast(shape, array.shape) else "shape_mismatch",
                name,
                f"the gradient of {name} has shape {array.shape}, the parameter has {shape}; "
                + _shape_hint(array.shape, shape),
            )
        array = array.reshape(shape)
    return array.astype(np.float64) if array.dtype.kind in "iub" else array


def _is_broadcast(shape: tuple[int, ...], wider: tuple[int, ...]) -> bool:
    """Whether ``wider`` is what an array of ``shape`` becomes by broadcasting, and is larger."""
    try:
        together = np.broadcast_shapes(shape, wider)
    except ValueError:
        return False
    return together == wider and int(np.prod(wider)) > int(np.prod(shape))


def _shape_hint(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    if found == wanted[::-1]:
        return "it looks transposed"
    if int(np.prod(found)) == int(np.prod(wanted)):
        return f"reshape it to {wanted}"
    if len(found) > len(wanted) or any(
        a != b and b == 1 for a, b in zip(found[::-1], wanted[::-1], strict=False)
    ):
        return (
            "a parameter that is broadcast in the forward pass has its gradient summed over the "
            "broadcast axes (keepdims=True keeps an axis of length 1)"
        )
    return "return an array of the parameter's shape"
