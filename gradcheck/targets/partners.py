"""The gradient function that stands beside a loss, told by its name.

``fun`` and ``jac``, ``f`` and ``df``, ``loglike`` and ``score``, ``forward`` and ``backward``:
whoever checks one of them means the other as its gradient.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from gradcheck.report import Check, Notice
from gradcheck.targets.gradient_form import is_cache
from gradcheck.targets.signature import VARIADIC

_OWN = (
    *("{}_grad", "{}_gradient", "grad_{}", "gradient_{}", "d{}", "d_{}", "{}_prime", "{}prime"),
    *("{}_der", "{}_derivative", "{}_deriv", "{}_jac", "{}_jacobian", "{}Grad", "{}Gradient"),
    *("{}_backward", "der_{}", "deriv_{}", "{}_dot", "{}_and_gradient"),
)
"""Names made of the loss's own, the likeliest first."""

_PAIRS = (
    (
        r"fun|func|objective|obj|f|residuals?|res",
        ("jac", "jacobian", "fprime", "grad", "gradient", "der"),
    ),
    (r"(?:neg_?)?log_?like(?:lihood)?", ("score", "gradient", "grad")),
    (r"(?:neg_?)?log_?like(?:lihood)?_?obs", ("score_obs",)),
    (
        r"loss|cost|J|objective|compute_loss|compute_cost|cost_function|loss_fn|loss_function|energy",
        (
            *("gradient", "grad", "gradients", "grads", "compute_gradient", "compute_gradients"),
            *("compute_grad", "backprop", "backward", "calc_gradient", "get_gradient", "dloss"),
        ),
    ),
)
"""Names that go together though neither is made of the other."""

_LAYERS = ((r"forward", "backward"), (r"fprop", "bprop"), (r"fwd", "bwd"), (r"Forward", "Backward"))


@dataclass(frozen=True)
class Partner:
    """A gradient function found by its name: the option it is for, and how the option names it."""

    option: str
    name: str
    function: Any

    @property
    def takes_cache(self) -> bool:
        """Whether it needs what the loss hands on to it."""
        try:
            parameters = inspect.signature(self.function).parameters
        except (TypeError, ValueError):
            return False
        return any(is_cache(name) for name in parameters)


def partner(target: Callable[..., Any], attribute: str, module: ModuleType) -> Partner | None:
    """Return the gradient function beside ``module:attribute``, or None.

    It is looked for where the target stands: among the methods of its object, or in its module.
    """
    place, _, own = attribute.rpartition(".")
    if not own:
        return None
    owner = getattr(target, "__self__", None)
    if place and owner is None:
        return None
    beside = _functions(owner if place else module)
    prefix = f"{place}." if place else ""
    for pattern, backward in _LAYERS:
        name = re.sub(pattern, backward, own)
        if name != own and name in beside:
            layer = not _lacks_cotangent(target, beside[name])
            return Partner("vjp" if layer else "grad", prefix + name, beside[name])
    for name in _names(own):
        if name not in beside or name == own:
            continue
        option = "vjp" if name == f"{own}_backward" else "grad"
        if option == "vjp" or _goes_with(target, beside[name]):
            return Partner(option, prefix + name, beside[name])
    return None


def with_partner(check: Check, found: Partner, attribute: str) -> Check:
    """Say in a check where its gradient was found, and name it in the line that reproduces it."""
    notice = Notice(
        "gradient_found",
        f"{attribute} returns no gradient; {found.name}, which stands beside it, was taken for it: "
        f"--{found.option} names another",
    )
    line = None if check.reproduce is None else f"{check.reproduce} --{found.option} {found.name}"
    return replace(check, warnings=(*check.warnings, notice), reproduce=line)


def loss_beside(target: Callable[..., Any], attribute: str, module: ModuleType) -> str | None:
    """Return the name of the loss beside a function that is its gradient, or None."""
    place, _, own = attribute.rpartition(".")
    owner = getattr(target, "__self__", None)
    if place and owner is None:
        return None
    prefix = f"{place}." if place else ""
    for name, function in _functions(owner if place else module).items():
        found = partner(function, prefix + name, module) if name != own else None
        if found is not None and found.name == attribute:
            return prefix + name
    return None


def _names(own: str) -> list[str]:
    made = [form.format(own) for form in _OWN]
    made += [
        own.replace(word, other)
        for word in ("loss", "cost", "objective", "fun", "value", "energy")
        if word in own and own != word
        for other in ("grad", "gradient", "jac", "d" + word)
    ]
    paired = [name for pattern, names in _PAIRS if re.fullmatch(pattern, own) for name in names]
    return [*made, *paired]


def _functions(owner: Any) -> Mapping[str, Any]:
    found = {}
    for name in dir(owner):
        if not name.startswith("__"):
            value = inspect.getattr_static(owner, name)
            if callable(value) and not isinstance(value, type):
                found[name] = getattr(owner, name)
    return found


def _goes_with(target: Any, gradient: Any) -> bool:
    """Whether a gradient function takes what the loss takes, as far as its names tell."""
    try:
        inputs = [name.lower() for name in inspect.signature(target).parameters]
        takes = [
            one.name
            for one in inspect.signature(gradient).parameters.values()
            if one.default is one.empty and one.kind not in VARIADIC
        ]
    except (TypeError, ValueError):
        return True
    strangers = [name for name in takes if name.lower() not in inputs and not is_cache(name)]
    return not strangers or (len(inputs) == len(takes) == 1)


def _lacks_cotangent(target: Any, backward: Any) -> bool:
    """Whether a backward function takes nothing but what the loss takes or returns."""
    try:
        inputs = list(inspect.signature(target).parameters)
        takes = [
            one.name
            for one in inspect.signature(backward).parameters.values()
            if one.default is one.empty
        ]
    except (TypeError, ValueError):
        return False
    further = [name for name in takes if name not in inputs]
    return takes == ["cache"] or (len(takes) > len(further) and len(further) <= 1)
