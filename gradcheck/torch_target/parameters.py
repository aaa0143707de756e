"""Which tensors of a torch target are its parameters, and what each is called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradcheck.calling.calls import BoundInputs
from gradcheck.calling.returns import leaf_name
from gradcheck.calling.tree import Leaf, leaves
from gradcheck.errors import TargetError, UsageError
from gradcheck.settings import near_name
from gradcheck.torch_target.kinds import HeldModule, Subject

if TYPE_CHECKING:
    from torch import Tensor

Place = tuple[dict[str, Any], str]
"""A module's own dictionary of parameters or buffers, and a key in it."""


@dataclass(frozen=True, eq=False)
class TorchParameter:
    """One tensor under check, or that could be.

    Attributes:
        tensor: the tensor as the user made it, or that of a private copy of a module.
        group: the argument, module or tree it belongs to.
        places: where modules keep it; empty for an input and for a tensor held elsewhere.
        held: whether the target reads it from elsewhere than its inputs.
    """

    name: str
    path: str
    tensor: Tensor
    group: str
    places: tuple[Place, ...] = ()
    held: bool = False


def candidates(bound: BoundInputs, subject: Subject) -> list[TorchParameter]:
    """Return every tensor that could be a parameter, each once: modules, live tensors, inputs."""
    import torch

    found: list[TorchParameter] = []
    for held in subject.modules:
        found += _of_module(held, "")
    if subject.live is not None:
        found += _of_live(subject.live, subject.live_root)
    for label, value in bound.items():
        for leaf in leaves(value, label):
            if isinstance(leaf.value, torch.nn.Module):
                found += _of_module(HeldModule(leaf.path, leaf.value), label)
            elif isinstance(leaf.value, torch.Tensor):
                name = _input_name(leaf, label, len(bound.items()))
                found.append(TorchParameter(name, leaf.path, leaf.value, label))
    unique = {id(one.tensor): one for one in reversed(found)}
    kept = [one for one in found if unique[id(one.tensor)] is one]
    names = [one.name for one in kept]
    return [
        one if names.count(one.name) == 1 else TorchParameter(**(vars(one) | {"name": one.path}))
        for one in kept
    ]


def _input_name(leaf: Leaf, root: str, n_arguments: int) -> str:
    name = leaf_name(leaf, root)
    if n_arguments > 1 and leaf.keys and isinstance(leaf.keys[0], str):
        return f"{root}.{name}"
    return name


def _of_module(held: HeldModule, group: str) -> list[TorchParameter]:
    places: dict[int, list[Place]] = defaultdict(list)
    for owner in held.module.modules():
        for key, value in owner._parameters.items():
            if value is not None:
                places[id(value)].append((owner._parameters, key))
    prefix = f"{held.label}." if held.label else ""
    root = held.label or "module"
    return [
        TorchParameter(
            f"{prefix}{name}",
            f"{root}.get_parameter({name!r})",
            value,
            group or root,
            tuple(places[id(value)]),
            held=True,
        )
        for name, value in held.module.named_parameters()
    ]


def _of_live(live: Any, root: str) -> list[TorchParameter]:
    import torch

    found = []
    for leaf in leaves(live, root or "x"):
        if isinstance(leaf.value, torch.Tensor):
            name = leaf_name(leaf, root or "x")
            path = leaf.path if root else name
            found.append(TorchParameter(name, path, leaf.value, root or name, held=True))
    return found


def default_choice(known: Sequence[TorchParameter]) -> list[TorchParameter]:
    """Return the tensors that require grad; of none, the only one of floats; else nothing."""
    chosen = [one for one in known if one.tensor.requires_grad]
    if chosen:
        return chosen
    live = [one for one in known if one.held and not one.places and is_differentiable(one)]
    floats = [one for one in known if is_differentiable(one)]
    if live:
        return live
    return floats if len(floats) == 1 else []


def is_differentiable(parameter: TorchParameter) -> bool:
    """Return whether the tensor holds floating-point or complex numbers."""
    return bool(parameter.tensor.is_floating_point() or parameter.tensor.is_complex())


def is_empty(parameter: TorchParameter) -> bool:
    """Return whether a dense tensor has no entries; one without a shape yet is not empty."""
    import torch

    tensor = parameter.tensor
    if torch.nn.parameter.is_lazy(tensor) or tensor.layout is not torch.strided:
        return False
    return tensor.numel() == 0


def by_request(
    names: Sequence[str | int] | str | int, known: Sequence[TorchParameter], bound: BoundInputs
) -> list[TorchParameter]:
    """Return the tensors that ``wrt`` names: by name, by path, or all of an argument or module.

    Raises:
        UsageError: a name is unknown, or is an input without a tensor.
    """
    arguments = dict(bound.items())
    order = list(arguments)
    chosen: list[TorchParameter] = []
    for item in [names] if isinstance(names, str | int) else list(names):
        key = item
        if isinstance(item, int) and -len(order) <= item < len(order):
            key = order[item]
        exact = [one for one in known if key in (one.name, one.path)]
        found = exact or [one for one in known if one.group == key]
        if not found:
            raise UsageError(_unknown(item, key, arguments, known))
        chosen += [one for one in found if one not in chosen]
    return chosen


def _unknown(
    item: str | int, key: str | int, arguments: dict[str, Any], known: Sequence[TorchParameter]
) -> str:
    if key in arguments:
        kind = type(arguments[str(key)]).__name__
        return (
            f"wrt names {item!r}, which is a {kind} and no tensor; pass "
            f"torch.tensor(..., dtype=torch.float64) for it, or leave it out of wrt"
        )
    names = list(dict.fromkeys([*(one.name for one in known), *arguments]))
    near = near_name(item, names) if isinstance(item, str) else ""
    return f"wrt names {item!r}, which is no input{near}; there are {', '.join(names[:20])}"


def validate(chosen: Sequence[TorchParameter]) -> None:
    """Refuse tensors that cannot be perturbed entry by entry.

    Raises:
        TargetError: a parameter holds integers, or is empty.
        UsageError: a parameter is sparse, or not initialised yet.
    """
    import torch

    for one in chosen:
        if torch.nn.parameter.is_lazy(one.tensor):
            raise UsageError(
                f"{one.name} has no shape yet: call the module once before it is checked"
            )
        if not is_differentiable(one):
            raise TargetError(
                "integer_parameter",
                f"the parameter {one.name} holds {one.tensor.dtype}: a small step added to an "
                f"entry is lost, so that no numeric gradient exists; pass {one.name}.double()",
                parameter=one.name,
            )
        if one.tensor.layout is not torch.strided:
            raise UsageError(
                f"{one.name} has the layout {one.tensor.layout}; parameters are dense tensors: "
                f"pass {one.name}.to_dense(), or leave it out of wrt"
            )
        if is_empty(one):
            raise TargetError(
                "empty_parameter",
                f"there is nothing to check in {one.name}, which holds no entries: a shape of 0 "
                "is empty",
            )


def no_parameters(known: Sequence[TorchParameter]) -> str:
    """Return the message for a target of which no tensor stands out as the parameter."""
    floats = [one.name for one in known if is_differentiable(one)]
    if not floats:
        return (
            "no input is a floating-point tensor to differentiate with respect to; pass tensors "
            "that require grad, or give params= with those that the target reads from elsewhere"
        )
    return (
        f"no tensor requires grad, and several could be the parameters ({', '.join(floats)}): "
        f"call {floats[0]}.requires_grad_() on those that are, or name them with "
        f"wrt=[{floats[0]!r}] (--wrt {floats[0]})"
    )
