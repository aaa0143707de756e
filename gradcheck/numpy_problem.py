"""From a NumPy target and its inputs to a Problem: the first calls, and what they tell."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck import random_state
from gradcheck.calls import (
    LOW_PRECISION,
    BoundInputs,
    Call,
    arrays_of,
    bind_inputs,
    copy_inputs,
    generators_of,
    same,
)
from gradcheck.choose import Chosen, ChosenLeaf, choose, live_parameters
from gradcheck.errors import TargetError, UsageError
from gradcheck.evaluator import Evaluator
from gradcheck.problem import (
    FloatArray,
    LossFacts,
    Parameter,
    Problem,
    Surroundings,
    TraceRequest,
)
from gradcheck.report import Notice
from gradcheck.returns import (
    NOT_GIVEN,
    MatchedGradients,
    loss_as_number,
    match_gradients,
    require_gradient,
    split_result,
)
from gradcheck.tree import Leaf, leaves, map_leaves

REPEATS = 12
"""Calls at one point from which the spread of a stochastic loss is taken."""


@dataclass(frozen=True)
class Limits:
    """How much work the evaluator may do, and whom to tell of it."""

    budget: int | None = None
    deadline: float | None = None
    progress: Callable[[int], None] | None = None


@dataclass(frozen=True)
class _Target:
    """The user's functions, and how to read what they return."""

    function: Callable[..., Any]
    gradient: Callable[..., Any] | None

    def loss_of(self, result: Any) -> Any:
        return split_result(result, gradient_elsewhere=self.gradient is not None)[0]


@dataclass(frozen=True)
class _FirstCall:
    """What one call on a private copy of the inputs showed."""

    loss: np.floating[Any]
    grads: Any
    changed: tuple[int, ...]
    draws: bool


def numpy_problem(
    target: Callable[..., Any],
    inputs: Any,
    wrt: Sequence[str | int] | str | int | None = None,
    *,
    grad: Callable[..., Any] | None = None,
    params: Any = None,
    twin: Callable[..., Any] | str | None = None,
    seed: int = 0,
    name: str = "",
    limits: Limits | None = None,
) -> Problem:
    """Examine a NumPy target and make it ready for the oracles.

    The inputs are copied: the user's arrays are never written to, except those in ``params``,
    which are put back by ``Problem.cleanup``.

    Raises:
        UsageError: the inputs do not fit the target, or the parameters cannot be told.
        TargetError: the loss is not a finite scalar, there is no gradient, or a parameter holds
            integers.
    """
    bound = bind_inputs(target, inputs)
    functions = _Target(target, grad)
    live = live_parameters(target, params)
    states = random_state.snapshot()
    live_saved = [(array, array.copy()) for array in arrays_of(live)] if live is not None else []
    try:
        return _build(functions, bound, wrt, live, twin, seed, name, limits or Limits(), states)
    except BaseException:
        for array, saved in live_saved:
            np.copyto(array, saved)
        random_state.restore(states)
        raise


def _build(
    target: _Target,
    bound: BoundInputs,
    wrt: Sequence[str | int] | str | int | None,
    live: Any,
    twin: Callable[..., Any] | str | None,
    seed: int,
    name: str,
    limits: Limits,
    states: tuple[Any, ...],
) -> Problem:
    notices: list[Notice] = []
    first = _first_call(target, bound, live, seed, states)
    require_gradient(first.grads)
    if first.changed:
        notices.append(_mutation_notice(bound, live, first.changed))
    chosen = choose(bound, first.grads, wrt=wrt, live=live)
    _validate(chosen, notices)
    positions = _positions(bound, chosen)
    shapes = [(leaf.name, np.shape(leaf.value)) for leaf in chosen.leaves]
    known = [label for label, _ in bound.items()]
    matched = match_gradients(first.grads, shapes, chosen.groups, known_names=known)
    if not np.isfinite(first.loss):
        raise TargetError("non_finite_loss", _non_finite_message(float(first.loss)))

    call_seed = seed if first.draws else None
    call, values = _working_call(target, bound, chosen, positions, first, live, call_seed)
    loss = loss_closure(call, target)
    gradient_at = _gradient_closure(call, target, shapes, chosen, known)
    follows = _follows(loss, gradient_at, first.loss, bound, live)
    if not follows:
        call, values = _working_call(
            target, bound, chosen, positions, first, live, call_seed, upcast=False
        )
        loss = loss_closure(call, target)
        gradient_at = _gradient_closure(call, target, shapes, chosen, known)
    parameters = tuple(
        Parameter(leaf.name, leaf.path, value, np.asarray(leaf.value).dtype)
        for leaf, value in zip(chosen.leaves, values, strict=True)
    )
    analytic = {key: array.astype(np.float64) for key, array in matched.arrays.items()}
    rounding = _low_precision_rounding(matched, gradient_at)
    facts, repeats = _examine_loss(call, target, notices)
    if facts.spread > 0:
        analytic, rounding = _average_gradients(gradient_at, analytic, rounding)
    evaluator = Evaluator(
        loss,
        values,
        budget=limits.budget,
        deadline=limits.deadline,
        progress=limits.progress,
    )
    evaluator.count = 2 + repeats
    return Problem(
        name=name,
        target="",
        parameters=parameters,
        analytic=analytic,
        analytic_rounding=rounding,
        gradient_problems=matched.problems,
        facts=facts,
        evaluator=evaluator,
        notices=tuple(notices),
        complex_loss=_complex_closure(call, target, chosen, positions, live),
        twin_gradient=_twin_closure(twin, call, chosen, positions, live),
        gradient_at=gradient_at,
        trace_request=_trace_request(call, target, chosen, positions, values),
        surroundings=_surroundings(bound, chosen),
        cleanup=_cleanup(live, values, states),
    )


def _first_call(
    target: _Target, bound: BoundInputs, live: Any, seed: int, states: tuple[Any, ...]
) -> _FirstCall:
    """Call the target once on copies in the user's own precision."""
    private = copy_inputs(bound)
    live_before = [array.copy() for array in arrays_of(live)] if live is not None else []
    before = random_state.snapshot()
    with quiet():
        result = target.function(*private.args, **private.kwargs)
    draws = random_state.differ(before, random_state.snapshot())
    if draws:
        # Drawn again from the seed, so that loss and gradient belong to the same draw.
        private = copy_inputs(bound)
        random_state.seed_all(seed)
        with quiet():
            result = target.function(*private.args, **private.kwargs)
    loss, grads = split_result(result, gradient_elsewhere=target.gradient is not None)
    changed = _changed(bound, private, live, live_before)
    if target.gradient is not None:
        if draws:
            random_state.seed_all(seed)
        fresh = copy_inputs(bound)
        with quiet():
            grads = target.gradient(*fresh.args, **fresh.kwargs)
    random_state.restore(states)
    return _FirstCall(loss_as_number(loss), _detach(grads), changed, draws)


def _detach(grads: Any) -> Any:
    """Copy the gradient's arrays: the target may reuse its buffers in the next call."""
    if grads is None or grads is NOT_GIVEN:
        return grads
    return map_leaves(lambda x: x.copy() if isinstance(x, np.ndarray) else x, grads)


def _changed(
    bound: BoundInputs, private: BoundInputs, live: Any, live_before: Sequence[NDArray[Any]]
) -> tuple[int, ...]:
    """Positions of the inputs that a call changed; live arrays are counted after them."""
    originals = arrays_of((bound.args, bound.kwargs))
    copies = arrays_of((private.args, private.kwargs))
    changed = [
        i for i, (one, two) in enumerate(zip(originals, copies, strict=True)) if not same(one, two)
    ]
    if live is not None:
        for i, (one, two) in enumerate(zip(arrays_of(live), live_before, strict=True)):
            if not same(one, two):
                changed.append(len(originals) + i)
                np.copyto(one, two)
    return tuple(changed)


def _mutation_notice(bound: BoundInputs, live: Any, changed: tuple[int, ...]) -> Notice:
    paths = [
        leaf.path
        for label, value in bound.items()
        for leaf in leaves(value, label)
        if isinstance(leaf.value, np.ndarray)
    ]
    if live is not None:
        paths += [x.path for x in leaves(live, "params") if isinstance(x.value, np.ndarray)]
    names = ", ".join(paths[i] for i in changed)
    return Notice(
        "mutates_input",
        f"the target changes its input {names}; every evaluation here starts from the original "
        "values, but a second call on the same arrays computes something else: work on a copy",
    )


def _non_finite_message(loss: float) -> str:
    return (
        f"the loss is {loss} at the point checked, so that there is no gradient to compare; check "
        "for an overflow in exp, a log of 0 or a division by 0, or choose other inputs"
    )


def _validate(chosen: Chosen, notices: list[Notice]) -> None:
    """Refuse what cannot be perturbed; convert Python integers with a notice."""
    if not chosen.leaves:
        raise UsageError("the parameters hold no arrays; name others with wrt= (--wrt)")
    for leaf in chosen.leaves:
        value = leaf.value
        # numpy.ma is slow to import; where nobody did, no array is masked.
        if "numpy.ma" in sys.modules and isinstance(value, np.ma.MaskedArray):
            raise UsageError(
                f"{leaf.name} is a masked array; pass the plain array ({leaf.name}.data)"
            )
        if isinstance(value, np.ndarray | np.generic):
            if value.dtype.kind in "iub":
                raise TargetError(
                    "integer_parameter",
                    f"the parameter {leaf.name} holds integers ({value.dtype}): a small step added "
                    "to an entry is lost, so that no numeric gradient exists; pass "
                    f"{leaf.name}.astype(float)",
                    parameter=leaf.name,
                )
            if value.dtype.kind != "f":
                raise UsageError(
                    f"{leaf.name} has dtype {value.dtype}; parameters are arrays of real floats"
                )
            if value.size == 0:
                raise UsageError(f"{leaf.name} is empty (shape {value.shape}): nothing to check")
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(
                f"{leaf.path} is {type(value).__name__}, not an array of floats; convert it with "
                "numpy.asarray, or leave it out of wrt (--wrt)"
            )
        elif isinstance(value, int):
            notices.append(
                Notice(
                    "integer_parameter",
                    f"the parameter {leaf.name} is the Python int {value}; it was converted to a "
                    f"float: write {float(value)}",
                )
            )


def _positions(bound: BoundInputs, chosen: Chosen) -> dict[int, int]:
    """Map the position of a leaf among all inputs to the parameter that it is."""
    paths = [leaf.path for label, value in bound.items() for leaf in leaves(value, label)]
    where = {path: i for i, path in enumerate(paths)}
    return {where[leaf.path]: k for k, leaf in enumerate(chosen.leaves) if not leaf.live}


def _convert(leaf: Any, *, upcast: bool) -> Any:
    if isinstance(leaf, np.ndarray) and upcast and leaf.dtype.name in LOW_PRECISION:
        return leaf.astype(np.float64)
    if isinstance(leaf, np.generic) and upcast and leaf.dtype.name in LOW_PRECISION:
        return np.float64(leaf)
    return leaf


def _working_call(
    target: _Target,
    bound: BoundInputs,
    chosen: Chosen,
    positions: Mapping[int, int],
    first: _FirstCall,
    live: Any,
    seed: int | None,
    *,
    upcast: bool = True,
) -> tuple[Call, list[NDArray[Any]]]:
    """Make the inputs that the oracles perturb, and the call that reads them."""
    private = copy_inputs(bound)
    values: list[NDArray[Any] | None] = [None] * len(chosen.leaves)
    scalars: dict[int, NDArray[Any]] = {}
    counter = iter(range(1_000_000_000))

    def adopt(leaf: Any) -> Any:
        position = next(counter)
        converted = _convert(leaf, upcast=upcast)
        if position in positions:
            if isinstance(converted, np.ndarray):
                values[positions[position]] = converted
            else:
                cell = np.array(float(converted))
                scalars[position] = values[positions[position]] = cell
        return converted

    args, kwargs = map_leaves(adopt, (private.args, private.kwargs))
    inputs = BoundInputs(args, kwargs, bound.names)
    for k, leaf in enumerate(chosen.leaves):
        if leaf.live:
            values[k] = _live_array(leaf)
    everything = arrays_of((args, kwargs)) + (arrays_of(live) if live is not None else [])
    # An array under check is perturbed on purpose: put back the data alone, and it by its entry.
    parameters = {id(value) for value in values}
    undo = [
        (everything[i], everything[i].copy())
        for i in first.changed
        if id(everything[i]) not in parameters
    ]
    hurt = [i for i in first.changed if id(everything[i]) in parameters]
    generators = [(g, g.bit_generator.state) for g in generators_of((args, kwargs))]
    function = target.function
    if hurt:
        function = _on_copies(function, {id(everything[i]) for i in hurt})
    call = Call(function, inputs, scalars, undo, generators, seed)
    return call, [value for value in values if value is not None]


def _live_array(leaf: ChosenLeaf) -> NDArray[Any]:
    if not isinstance(leaf.value, np.ndarray):
        raise UsageError(
            f"{leaf.path} is the number {leaf.value!r}; parameters read from elsewhere must be "
            "arrays, which can be perturbed in place: use numpy.array(...)"
        )
    if not leaf.value.flags.writeable:
        raise UsageError(f"{leaf.path} is read-only; parameters read from elsewhere are perturbed")
    return leaf.value


def _on_copies(function: Callable[..., Any], identities: set[int]) -> Callable[..., Any]:
    """Call ``function`` with fresh copies of those arrays, which it was seen to overwrite."""

    def protected(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = map_leaves(
            lambda x: x.copy() if id(x) in identities else x, (args, dict(kwargs))
        )
        return function(*args, **kwargs)

    return protected


def loss_closure(call: Call, target: _Target) -> Callable[[], float]:
    """Return the loss as a function of nothing, as lean as the call allows."""
    pick = target.loss_of
    if call.scalars or call.undo or call.generators or call.seed is not None:
        return lambda: float(np.asarray(pick(call())).reshape(())[()])
    function, args, kwargs = call.target, call.inputs.args, call.inputs.kwargs
    result = None
    with quiet():
        try:
            result = function(*args, **kwargs)
        except Exception:
            # Judged by the caller, which compares this precision with the user's own.
            return lambda: float(np.asarray(pick(function(*args, **kwargs))).reshape(())[()])
    if isinstance(result, tuple) and isinstance(result[0], float) and pick(result) is result[0]:
        return lambda: float(function(*args, **kwargs)[0])
    if isinstance(result, float):
        return lambda: float(function(*args, **kwargs))
    return lambda: float(np.asarray(pick(function(*args, **kwargs))).reshape(())[()])


def _gradient_closure(
    call: Call,
    target: _Target,
    shapes: Sequence[tuple[str, tuple[int, ...]]],
    chosen: Chosen,
    known: Sequence[str],
) -> Callable[[], Mapping[str, FloatArray]]:
    caller = call if target.gradient is None else replace(call, target=target.gradient)

    def gradient() -> Mapping[str, FloatArray]:
        result = caller()
        if target.gradient is None:
            result = split_result(result, gradient_elsewhere=False)[1]
        matched = match_gradients(result, shapes, chosen.groups, known_names=known)
        return {key: array.astype(np.float64) for key, array in matched.arrays.items()}

    return gradient


def _follows(
    loss: Callable[[], float],
    gradient_at: Callable[[], Mapping[str, FloatArray]],
    own: np.floating[Any],
    bound: BoundInputs,
    live: Any,
) -> bool:
    """Whether the target computes the same with its low-precision inputs made float64."""
    inputs = arrays_of((bound.args, bound.kwargs))
    if not any(array.dtype.name in LOW_PRECISION for array in inputs):
        return True
    try:
        with quiet():
            upcast = loss()
            gradient_at()
    except Exception:
        return False
    tolerance = 0.05 if any(a.dtype.name == "float16" for a in inputs) else 1e-2
    return bool(np.isclose(upcast, float(own), rtol=tolerance, atol=0.0)) or (
        abs(upcast) < 1e-6 and abs(float(own)) < 1e-6
    )


def _low_precision_rounding(
    matched: MatchedGradients, gradient_at: Callable[[], Mapping[str, FloatArray]]
) -> dict[str, FloatArray]:
    """How far the gradient in its own low precision is from the same code's in float64.

    More than a thousandth of the entry (or of the parameter's typical entry) is not taken for
    rounding.
    """
    low = {k: a for k, a in matched.arrays.items() if a.dtype.name in LOW_PRECISION}
    zeros = {k: np.zeros(a.shape) for k, a in matched.arrays.items()}
    if not low:
        return zeros
    with quiet():
        precise = gradient_at()
    for key, array in low.items():
        if key not in precise:
            continue
        reference = precise[key]
        typical = float(np.sqrt(np.mean(np.square(reference)))) if reference.size else 0.0
        share = 0.05 if array.dtype.name == "float16" else 1e-3
        cap = share * np.maximum(np.abs(reference), typical)
        zeros[key] = np.minimum(np.abs(array.astype(np.float64) - reference), cap)
    return zeros


def _examine_loss(call: Call, target: _Target, notices: list[Notice]) -> tuple[LossFacts, int]:
    """Evaluate the loss twice at one point; when the values differ, as often as it takes."""
    with quiet():
        raw = [loss_as_number(target.loss_of(call())) for _ in range(2)]
        if raw[0] == raw[1]:
            return LossFacts(float(raw[0]), raw[0].dtype), 2
        raw += [loss_as_number(target.loss_of(call())) for _ in range(REPEATS - 2)]
    values = np.array([float(value) for value in raw])
    spread = float(values.std(ddof=1))
    notices.append(
        Notice(
            "nondeterministic",
            f"the loss differs from call to call at the same point (by {spread:.2g}, standard "
            f"deviation of {REPEATS} calls): it draws from a generator of its own; pass the "
            "generator or the draws as an input, or draw from NumPy's global generator",
        )
    )
    return LossFacts(float(values.mean()), raw[0].dtype, spread), REPEATS


def _average_gradients(
    gradient_at: Callable[[], Mapping[str, FloatArray]],
    analytic: Mapping[str, FloatArray],
    rounding: Mapping[str, FloatArray],
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Mean of repeated gradients of a stochastic target, and four standard errors of it."""
    with quiet():
        draws = [gradient_at() for _ in range(REPEATS)]
    mean, error = dict(analytic), dict(rounding)
    for key in analytic:
        stack = np.stack([draw[key] for draw in draws])
        mean[key] = stack.mean(axis=0)
        error[key] = rounding[key] + 4 * stack.std(axis=0, ddof=1) / np.sqrt(REPEATS)
    return mean, error


def _complex_closure(
    call: Call, target: _Target, chosen: Chosen, positions: Mapping[int, int], live: Any
) -> Callable[[Sequence[NDArray[np.complex128]]], complex]:
    def complex_loss(values: Sequence[NDArray[np.complex128]]) -> complex:
        replacement = {id(leaf.value): values[k] for k, leaf in enumerate(chosen.leaves)}
        scalars = {p: values[k] for p, k in positions.items() if p in call.scalars}
        counter = iter(range(1_000_000_000))

        def substitute(leaf: Any) -> Any:
            position = next(counter)
            if position in scalars:
                return complex(scalars[position][()])
            return values[positions[position]] if position in positions else leaf

        args, kwargs = map_leaves(substitute, (call.inputs.args, call.inputs.kwargs))
        inputs = BoundInputs(args, kwargs, call.inputs.names)
        with substituted(live, replacement), warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            result = replace(call, inputs=inputs, scalars={})()
        return complex(np.asarray(target.loss_of(result)).reshape(())[()])

    return complex_loss


@contextmanager
def substituted(live: Any, replacement: Mapping[int, Any]) -> Iterator[None]:
    """Put other arrays into the containers of a live tree, and the old ones back at the end.

    Raises:
        UsageError: an array stands in a container that cannot be changed.
    """
    places: list[tuple[Any, Any, Any]] = []
    if live is not None:
        for leaf in leaves(live, "params"):
            if id(leaf.value) in replacement:
                places.append((_container(live, leaf), leaf.keys[-1], leaf.value))
    try:
        for container, key, value in places:
            _put(container, key, replacement[id(value)])
        yield
    finally:
        for container, key, value in places:
            _put(container, key, value)


def _container(tree: Any, leaf: Leaf) -> Any:
    for key in leaf.keys[:-1]:
        tree = getattr(tree, key) if isinstance(key, str) and hasattr(tree, key) else tree[key]
    return tree


def _put(container: Any, key: Any, value: Any) -> None:
    if isinstance(container, dict | list):
        container[key] = value
    elif isinstance(container, tuple):
        raise UsageError("parameters in a tuple cannot be replaced; keep them in a list or a dict")
    else:
        object.__setattr__(container, key, value)


def _twin_closure(
    twin: Callable[..., Any] | str | None,
    call: Call,
    chosen: Chosen,
    positions: Mapping[int, int],
    live: Any,
) -> Callable[[], tuple[float, dict[str, FloatArray]]] | None:
    if twin is None:
        return None

    def twin_gradient() -> tuple[float, dict[str, FloatArray]]:
        from gradcheck.oracles.torch_twin import evaluate_twin

        names = [leaf.name for leaf in chosen.leaves]
        live_names = {id(leaf.value): leaf.name for leaf in chosen.leaves if leaf.live}
        return evaluate_twin(
            twin,
            call.inputs.args,
            call.inputs.kwargs,
            {position: names[k] for position, k in positions.items()},
            live,
            live_names,
        )

    return twin_gradient


def _trace_request(
    call: Call,
    target: _Target,
    chosen: Chosen,
    positions: Mapping[int, int],
    values: Sequence[NDArray[Any]],
) -> TraceRequest:
    def prepare() -> tuple[tuple[Any, ...], Mapping[str, Any], Mapping[str, Any]]:
        if call.seed is not None:
            random_state.seed_all(call.seed)
        args, kwargs, numbers = call.arguments()
        parameters: dict[str, Any] = {
            leaf.name: value for leaf, value in zip(chosen.leaves, values, strict=True)
        }
        for position, number in numbers.items():
            parameters[chosen.leaves[positions[position]].name] = number
        return args, kwargs, parameters

    return TraceRequest(target.function, prepare, call.restore, target.loss_of)


def _surroundings(bound: BoundInputs, chosen: Chosen) -> Surroundings:
    under_check = {leaf.path for leaf in chosen.leaves}
    scalars: dict[str, float] = {}
    data: dict[str, FloatArray] = {}
    integers: dict[str, NDArray[Any]] = {}
    for label, value in bound.items():
        for leaf in leaves(value, label):
            if leaf.path in under_check or isinstance(leaf.value, bool):
                continue
            if isinstance(leaf.value, int | float | np.floating | np.integer):
                scalars[leaf.path] = float(leaf.value)
            elif isinstance(leaf.value, np.ndarray) and leaf.value.dtype.kind == "f":
                data[leaf.path] = leaf.value.astype(np.float64)
            elif isinstance(leaf.value, np.ndarray) and leaf.value.dtype.kind in "iu":
                integers[leaf.path] = leaf.value
    return Surroundings(scalars, data, integers)


def _cleanup(
    live: Any, values: Sequence[NDArray[Any]], states: tuple[Any, ...]
) -> Callable[[], None]:
    saved = [(array, array.copy()) for array in arrays_of(live)] if live is not None else []

    def cleanup() -> None:
        for array, before in saved:
            np.copyto(array, before)
        random_state.restore(states)

    return cleanup


@contextmanager
def quiet() -> Iterator[None]:
    """Silence floating-point warnings: what is not finite is reported by name instead."""
    with np.errstate(all="ignore"):
        yield
