"""The message for a target whose inputs are missing: its signature, and inputs that work."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from gradcheck.targets.docstring_shapes import documented
from gradcheck.targets.guesses import SIZES, guesses, is_label, is_wanted
from gradcheck.targets.held_sizes import module_specs, sizes_held
from gradcheck.targets.partners import loss_beside, partner
from gradcheck.targets.real_targets import with_real_targets
from gradcheck.targets.signature import Signature
from gradcheck.targets.switched_off import switched_off
from gradcheck.targets.target import is_torch_function
from gradcheck.targets.tensor_inputs import wanted
from gradcheck.targets.trial import (
    GRADIENT,
    JACOBIAN,
    LOSS,
    MISFIT,
    NUMBERS,
    OPEN,
    OUTPUT,
    Tried,
    flat_alternatives,
    try_out,
)
from gradcheck.targets.unbound import describe_unbound

_SAID = {
    GRADIENT: "With these it can be; they were tried, and loss and gradient fit together:",
    JACOBIAN: "With these it can be; they were tried, and loss and gradient fit together:",
    NUMBERS: "With these it can be; they were tried, and loss and gradient fit together:",
    LOSS: "With these it can be; they were tried:",
    OPEN: "With these it can be; they were tried:",
    MISFIT: "With these it can be; they were tried, but the gradient does not fit its parameters:",
    OUTPUT: "With these it can be called, which was tried; adapt them:",
}


def describe_missing(
    target: Callable[..., Any],
    missing: Sequence[str],
    name: str,
    *,
    given: Mapping[str, Any] | None = None,
    module: ModuleType | None = None,
    typed: str = "",
) -> str:
    """Return the message: what is missing, the signature, a command that works, and a stub.

    Inputs are guessed by name and docstring and tried on the target until it gives a loss with a
    gradient of the right shapes.

    Args:
        target: the function under check.
        missing: its arguments without a value.
        name: how the user named it.
        given: inputs that there are.
        module: where it stands; a gradient function beside it is tried along.
        typed: the command that was typed, without its target's missing inputs.
    """
    own = getattr(target, "__name__", type(target).__name__)
    shown = name or own
    if missing[0] == "self":
        return describe_unbound(target, shown, module)
    signature = Signature.of(target)
    call = "..." if signature.parameters is None else ", ".join(map(_shown, signature.parameters))
    verb = "is" if len(missing) == 1 else "are"
    tried = _tried(target, missing, signature, dict(given or {}), shown, module)
    loss = None if module is None else loss_beside(target, shown.rpartition(":")[2], module)
    if loss is not None and tried.outcome < MISFIT:
        place = shown.rpartition(":")[0]
        return (
            f"{shown} returns gradients and no loss: name the loss as the target, {place}:{loss}; "
            "its gradient is found beside it, or named by --grad"
        )
    specs = {key: text for key, text in tried.specs.items() if key in missing or text != "None"}
    specs |= dict.fromkeys(switched_off(signature, dict(given or {})), "0.1")
    return "\n".join(
        [
            f"{shown} cannot be called yet: {', '.join(missing)} {verb} missing.",
            "",
            *_wrapped_call(own, call),
            "",
            _SAID.get(tried.outcome) or _untried(tried),
            "",
            *_proposal(typed or f"python -m gradcheck {shown}", specs),
        ]
    )


def _proposal(command: str, specs: Mapping[str, str]) -> list[str]:
    """The command with these inputs, and the same as lines to paste."""
    last = list(specs)[-1]
    return [
        f"    {command} \\",
        *(
            f"        --arg {_quoted(key, text)}" + (" \\" if key != last else "")
            for key, text in specs.items()
        ),
        "",
        "or, pasted at the end of its module:",
        "",
        "    gradcheck_inputs = {",
        *(f'        "{key}": {_as_code(text)},' for key, text in specs.items()),
        "    }",
    ]


def _untried(tried: Tried) -> str:
    raised = f" (it raises {tried.raised})" if tried.raised else ""
    return f"Give them; what follows is a guess by name that does not fit yet{raised}, so adapt it:"


def _shown(parameter: inspect.Parameter) -> str:
    """A parameter as in the source: a function that is a default by its name."""
    default = getattr(parameter.default, "__name__", None)
    if parameter.default is parameter.empty or default is None:
        return str(parameter)
    return f"{parameter.name}={default}"


def _wrapped_call(own: str, call: str) -> list[str]:
    import textwrap

    return textwrap.wrap(f"{own}({call})", 80, initial_indent="    ", subsequent_indent="        ")


def _quoted(name: str, text: str) -> str:
    return f"'{name}={text}'" if "'" not in text else f'"{name}={text}"'


def _as_code(text: str) -> str:
    """A spec as it stands in a mapping: literals as they are, draws as text."""
    import ast

    try:
        ast.literal_eval(text)
    except ValueError:
        return f"'{text}'" if '"' in text else f'"{text}"'
    return text


def _tried(
    target: Callable[..., Any],
    missing: Sequence[str],
    signature: Signature,
    given: Mapping[str, Any],
    shown: str,
    module: ModuleType | None,
) -> Tried:
    """Guess, and try the guesses."""
    function = getattr(target, "__name__", "")
    names = signature.names()
    optional = [one for one in signature.open(given) if one not in missing and is_wanted(one)]
    tensors = wanted(target)
    alternatives: dict[str, list[str]] = {}
    written = documented(target, names, SIZES)
    held = sizes_held(target, given, SIZES)
    for name in (*missing, *optional):
        lists = [guesses(name, names, sizes, function) for sizes in held]
        texts = [text for same in itertools.zip_longest(*lists) for text in same if text]
        if name in written:
            texts.insert(0, written[name])
        if tensors is not None:
            texts = [*module_specs(target), *texts]
        if name in optional:
            texts = ["None", *texts] if is_label(name) else [*texts, "None"]
        alternatives[name] = list(dict.fromkeys(texts))
    flat = _flat(alternatives, written)
    if flat is not None:
        alternatives[flat] = flat_alternatives()
    place = shown.rpartition(":")[2]
    found = None if module is None else partner(target, place, module)
    attempt = functools.partial(
        try_out,
        _plain_call(target),
        given=given,
        gradient=found.function if found is not None and found.option == "grad" else None,
        backward=found.function if found is not None and found.option == "vjp" else None,
        tensors=tensors,
        positional=signature.positional({**dict.fromkeys(alternatives), **given}),
    )
    tried = attempt(alternatives, flat=flat)
    real = with_real_targets(target, tried.specs)
    if real == tried.specs or written.keys() & {n for n in real if real[n] != tried.specs[n]}:
        return tried
    again = attempt({name: [text] for name, text in real.items()})
    return again if again.outcome == tried.outcome else tried


def _plain_call(target: Callable[..., Any]) -> Callable[..., Any]:
    """A torch function class is called by its ``apply``."""
    if not is_torch_function(target):
        return target
    from gradcheck.torch_target.kinds import call_of_function

    return call_of_function(target)


def _flat(alternatives: Mapping[str, Sequence[str]], written: Mapping[str, str]) -> str | None:
    """The argument that holds all parameters in one vector, where sizes are handed in, too."""
    counts = [name for name, texts in alternatives.items() if all(text.isdigit() for text in texts)]
    if len(counts) < 2:
        return None
    return next((name for name in alternatives if name not in counts and name not in written), None)
