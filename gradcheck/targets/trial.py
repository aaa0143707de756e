"""Inputs for a target that nobody gave any: guesses by name, tried until the target takes them.

What comes out is a proposal for the user to read, never an input that is used silently.
"""

from __future__ import annotations

import copy
import itertools
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.calling.calls import BoundInputs, bind_inputs
from gradcheck.calling.choose import choose, explained_by_inputs, live_parameters
from gradcheck.calling.quiet import quiet
from gradcheck.calling.returned_names import returned_names, variables_of
from gradcheck.calling.returns import NOT_GIVEN, match_gradients, split_result
from gradcheck.calling.time_limit import TimeUp, limited
from gradcheck.errors import TargetError, UsageError
from gradcheck.targets.elsewhere import explained_elsewhere
from gradcheck.targets.input_specs import evaluate, generator_source
from gradcheck.targets.partners import Partner
from gradcheck.targets.scout import unchanged
from gradcheck.targets.spec_grammar import parse
from gradcheck.targets.tensor_inputs import Tensors

SECONDS = 1.5
"""Seconds of processor time for which guesses are tried before the best so far is taken."""

BUSY = 4
"""How many times as long it may last by the clock, on a machine that has other things to do."""

LARGEST_FLAT = 300
"""Lengths up to which a vector that holds all parameters is tried."""

GRADIENT, JACOBIAN, NUMBERS, LOSS, OPEN, MISFIT, OUTPUT, NOTHING = range(7, -1, -1)
"""How far a call came: a loss with a gradient that fits; many outputs with a Jacobian that fits; a
gradient by plain numbers; a loss alone; a gradient that several inputs could be meant by; one that
fits none; an array; nothing."""


@dataclass(frozen=True)
class Tried:
    """Specs by argument, how far the target came with them, and what it raised if nowhere."""

    specs: Mapping[str, str]
    outcome: int
    raised: str = ""


def try_out(
    target: Callable[..., Any],
    alternatives: Mapping[str, Sequence[str]],
    given: Mapping[str, Any],
    *,
    gradient: Callable[..., Any] | None = None,
    backward: Callable[..., Any] | None = None,
    tensors: Tensors | None = None,
    positional: Sequence[str] | None = None,
    flat: str | None = None,
    seconds: float = SECONDS,
) -> Tried:
    """Call the target with one guess after the other, the likeliest together first.

    Args:
        target: the function under check.
        alternatives: specs to try for each missing argument, the likeliest first.
        given: the inputs that there are.
        gradient: the gradient function beside a loss, if one was found.
        backward: the backward function of a layer, if one was found.
        tensors: how arrays become tensors, for a torch target.
        positional: the order of the arguments, where they cannot be passed by name.
        flat: the argument whose length is searched for with every choice of the others.
        seconds: of processor time, after which to stop.
    """
    first = {name: specs[0] for name, specs in alternatives.items()}
    best = Tried(first, NOTHING)
    spent, end = time.process_time() + seconds, time.monotonic() + BUSY * seconds
    drawn: dict[tuple[str, str], Any] = {}
    for specs in _combinations(alternatives, flat):
        if time.process_time() > spent or time.monotonic() > end:
            break
        values = dict(given)
        for name, text in specs.items():
            if (name, text) not in drawn:
                drawn[name, text] = _draw(name, text, tensors)
            values[name] = drawn[name, text]
        inputs: Any = (
            tuple(values[name] for name in positional if name in values) if positional else values
        )
        left = max(0.05, end - time.monotonic())
        outcome, raised = _outcome(target, inputs, gradient, backward, left)
        if outcome == GRADIENT and all(np.size(values[name]) == 1 for name in specs):
            outcome = NUMBERS
        if outcome == JACOBIAN and len(specs) > 1:
            outcome = OPEN
        if outcome > best.outcome:
            best = Tried(specs, outcome)
        elif best.outcome == NOTHING and not best.raised:
            best = Tried(best.specs, NOTHING, raised)
        if outcome in (GRADIENT, LOSS):
            break
    return best


def partner_is_needed(target: Callable[..., Any], inputs: Any, found: Partner) -> bool:
    """Whether a target gives no gradient of its own, so that the one beside it is meant.

    What a loss returns as a cache may look like a gradient; it is a cache if the function beside it
    takes one, and makes a gradient of it.
    """
    with unchanged(target):
        alone, _ = _outcome(target, inputs, None, None, SECONDS)
        if alone in (LOSS, OUTPUT):
            return True
        if alone == NOTHING or not found.takes_cache:
            return False
        gradient = found.function if found.option == "grad" else None
        backward = found.function if found.option == "vjp" else None
        return _outcome(target, inputs, gradient, backward, SECONDS)[0] == GRADIENT


def _combinations(
    alternatives: Mapping[str, Sequence[str]], flat: str | None
) -> Iterator[dict[str, str]]:
    """All choices, the likeliest first, each with all lengths of ``flat``."""
    if flat is not None:
        others = {name: texts for name, texts in alternatives.items() if name != flat}
        for specs in _combinations(others, None):
            for text in alternatives[flat]:
                yield {name: specs.get(name, text) for name in alternatives}
        return
    names, lists = list(alternatives), list(alternatives.values())
    deepest = sum(len(one) - 1 for one in lists)
    for total in range(deepest + 1):
        for indices in _summing([len(one) for one in lists], total):
            yield {name: one[i] for name, one, i in zip(names, lists, indices, strict=True)}


def _summing(lengths: Sequence[int], total: int) -> Iterator[tuple[int, ...]]:
    """Tuples of indices below ``lengths`` whose sum is ``total``."""
    if not lengths:
        if total == 0:
            yield ()
        return
    room = sum(length - 1 for length in lengths[1:])
    for first in range(max(0, total - room), min(lengths[0] - 1, total) + 1):
        for rest in _summing(lengths[1:], total - first):
            yield (first, *rest)


def flat_alternatives() -> list[str]:
    """Vectors of every length, for an argument that holds all parameters in one."""
    return [f"randn({length})" for length in range(2, LARGEST_FLAT + 1)]


def _draw(name: str, text: str, tensors: Tensors | None) -> Any:
    value = evaluate(parse(name, text), {}, generator_source(0, name))
    return value if tensors is None else tensors.of(value)


def _outcome(
    target: Callable[..., Any],
    inputs: Any,
    gradient: Callable[..., Any] | None,
    backward: Callable[..., Any] | None,
    seconds: float,
) -> tuple[int, str]:
    """How far the target comes with these inputs, and what it raises where they do not fit."""
    try:
        bound = bind_inputs(target, copy.deepcopy(inputs))
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = limited(target, seconds)(*bound.args, **bound.kwargs)
            fresh = bind_inputs(target, inputs)
            return _judged(target, result, fresh, inputs, gradient, backward), ""
    except (Exception, SystemExit, TimeUp) as error:
        said = textwrap.shorten(f"{type(error).__name__}: {error}", 90, placeholder=" ...")
        return NOTHING, said.rstrip(": ")


def _judged(
    target: Callable[..., Any],
    result: Any,
    bound: BoundInputs,
    inputs: Any,
    gradient: Callable[..., Any] | None,
    backward: Callable[..., Any] | None,
) -> int:
    if hasattr(result, "requires_grad") or _holds_tensors(result):
        return LOSS
    if backward is not None:
        from gradcheck.targets.layers import as_loss

        layer = as_loss(target, backward, inputs, None, seed=0)
        found = layer.gradient(*copy.deepcopy(bound.args), **copy.deepcopy(bound.kwargs))
        shapes = {name: np.shape(value) for name, value in bound.items()}
        fits = all(np.shape(found[n]) == shapes[n] for n in layer.wrt if n in shapes)
        return GRADIENT if fits else OUTPUT
    try:
        loss, grads = split_result(result, gradient_elsewhere=gradient is not None)
    except TargetError:
        if gradient is not None and _is_jacobian(target, gradient, inputs):
            return JACOBIAN
        return OUTPUT if isinstance(result, np.ndarray | tuple) else NOTHING
    if not np.isfinite(float(np.asarray(loss).reshape(-1)[0])):
        return NOTHING
    if gradient is not None:
        from gradcheck.targets.gradient_form import fitted

        own = fitted(target, gradient, inputs)
        grads = own(*copy.deepcopy(bound.args), **copy.deepcopy(bound.kwargs))
    if grads is NOT_GIVEN or grads is None:
        return LOSS
    try:
        return GRADIENT if _fits(target, gradient, bound, grads) else MISFIT
    except UsageError:
        # Which input is the parameter has to be said by the user.
        return OPEN


def _is_jacobian(target: Callable[..., Any], gradient: Callable[..., Any], inputs: Any) -> bool:
    """Whether the gradient of a function of many outputs is a Jacobian that fits."""
    from gradcheck.targets.jacobian import contracted

    found = contracted(target, gradient, inputs, seed=0)
    if found is None:
        return False
    bound = bind_inputs(target, copy.deepcopy(inputs))
    return _fits(target, gradient, bound, found[1](*bound.args, **bound.kwargs))


def _fits(
    target: Callable[..., Any],
    gradient: Callable[..., Any] | None,
    bound: BoundInputs,
    grads: Any,
) -> bool:
    """Whether the gradient has the structure and the shapes of what it is the gradient of.

    Raises:
        UsageError: it cannot be told what that is.
    """
    try:
        live = live_parameters(target, None)
        if live is None and not explained_by_inputs(bound, grads):
            live = explained_elsewhere(target, gradient, grads)
        chosen = choose(bound, grads, wrt=None, live=live, hints=lambda: _hints(target, gradient))
        shapes = [(leaf.name, np.shape(leaf.value)) for leaf in chosen.leaves]
        names = [*(name for name, _ in bound.items()), *variables_of(target)]
        return not match_gradients(grads, shapes, chosen.groups, known_names=names).problems
    except TargetError:
        return False


def _hints(target: Callable[..., Any], gradient: Callable[..., Any] | None) -> list[str]:
    return returned_names(gradient) if gradient is not None else returned_names(target)[1:]


def _holds_tensors(result: Any) -> bool:
    parts = result if isinstance(result, tuple | list) else (result,)
    return any(hasattr(part, "requires_grad") for part in itertools.chain(parts))
