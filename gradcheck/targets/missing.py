"""The message for a target whose inputs are missing: its signature, and a stub to paste."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from gradcheck.targets.signature import Signature
from gradcheck.targets.tensor_inputs import wanted

_SCALARS = re.compile(
    r"(reg|lam|lambda_?|lmbda|alpha|beta|gamma|delta|eps|epsilon|lr|learning_rate|c|C|rho|mu|"
    r"margin|temperature|tau|l1|l2|weight_decay|penalty|sigma|scale|strength|reg_strength)\Z"
)
_LABELS = re.compile(r"(y|ys|labels?|y_true|targets?|classes|idx|y_train|y_batch)\Z")
_DATA = re.compile(r"(X|Xs|x|data|features|inputs?|x_train|X_train|X_batch|A|Phi|Psi)\Z")
_WEIGHTS = re.compile(r"(W|w|theta|weights?|params|coef|beta_)_?(\d?)\Z", re.IGNORECASE)
_BIASES = re.compile(r"(b|bias|biases|intercept)_?(\d?)\Z", re.IGNORECASE)


def describe_missing(target: Callable[..., Any], missing: Sequence[str], name: str) -> str:
    """Return the message: what is missing, the signature, a stub, and the same as ``--arg``.

    The stub runs when it is pasted into the target's module; its shapes are guesses by name.
    """
    own = getattr(target, "__name__", type(target).__name__)
    shown = name or own
    if missing[0] == "self":
        return _describe_unbound(target, shown)
    signature = Signature.of(target)
    call = "..." if signature.parameters is None else ", ".join(map(str, signature.parameters))
    verb = "is" if len(missing) == 1 else "are"
    guesses = [(argument, *_guess(argument, missing)) for argument in missing]
    lines = [
        f"{shown} cannot be called yet: {', '.join(missing)} {verb} missing.",
        "",
        f"    {own}({call})",
        "",
        "Paste this into its module and adapt the shapes:",
        "",
        *(_specs(guesses) if wanted(target) else _factory(guesses)),
        "",
        "or give them on the command line:",
        "",
        f"    python -m gradcheck {shown} \\",
        *(
            f"        --arg '{argument}={spec}'" + (" \\" if argument != missing[-1] else "")
            for argument, _, spec in guesses
        ),
    ]
    return "\n".join(lines)


def _factory(guesses: Sequence[tuple[str, str, str]]) -> list[str]:
    return [
        "    def gradcheck_inputs():",
        "        import numpy as np",
        "",
        "        rng = np.random.default_rng(0)",
        "        return {",
        *(f'            "{argument}": {code},' for argument, code, _ in guesses),
        "        }",
    ]


def _specs(guesses: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return a mapping of specs, from which tensors are drawn for a target that takes these."""
    return [
        "    gradcheck_inputs = {",
        *(f'        "{argument}": "{spec}",' for argument, _, spec in guesses),
        "    }",
    ]


def _describe_unbound(target: Callable[..., Any], shown: str) -> str:
    """Return the message for a method that was taken from its class: it has no object yet."""
    path, _, method = getattr(target, "__qualname__", shown).rpartition(".")
    place = shown.rpartition(":")[0]
    cls = path.rpartition(".")[2] or "Model"
    named = f"{place}:model.{method}" if place else f"model.{method}"
    return (
        f"{shown} is a method without its object: make one in the module, model = {cls}(...), "
        f"and name {named} instead"
    )


def _guess(name: str, names: Sequence[str]) -> tuple[str, str]:
    """Return NumPy code and a spec for an argument of this name, among the others missing."""
    if _SCALARS.match(name):
        return "0.1", "0.1"
    if _LABELS.match(name):
        return "rng.integers(3, size=7)", "integers(3, size=7)"
    if _DATA.match(name):
        return _normal(7, 5)
    layered = sum(1 for item in names if _WEIGHTS.match(item)) > 1
    weights, biases = _WEIGHTS.match(name), _BIASES.match(name)
    if weights and name.islower() and not layered and not any(map(_LABELS.match, names)):
        return _normal(5)
    if weights:
        second = weights.group(2) == "2"
        if not layered:
            return _normal(5, 3)
        return _normal(4, 3) if second else _normal(5, 4)
    if biases:
        return _normal(3) if not layered or biases.group(2) == "2" else _normal(4)
    return _normal(5)


def _normal(*shape: int) -> tuple[str, str]:
    size = str(shape[0]) if len(shape) == 1 else f"({', '.join(map(str, shape))})"
    return f"rng.normal(size={size})", f"randn({','.join(map(str, shape))})"
