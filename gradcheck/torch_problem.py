"""From a torch target and its inputs to a Problem: the backward pass is on trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcheck import random_state
from gradcheck.calls import BoundInputs, bind_inputs
from gradcheck.choose import choose
from gradcheck.errors import TargetError, UsageError
from gradcheck.evaluator import Evaluator
from gradcheck.numpy_problem import REPEATS, Limits, quiet
from gradcheck.problem import FloatArray, LossFacts, Parameter, Problem, Surroundings
from gradcheck.report import Notice
from gradcheck.returns import NOT_GIVEN, GradientProblem, match_gradients, split_result
from gradcheck.scales import rms
from gradcheck.torch_batch import batched_losses
from gradcheck.torch_call import (
    Buffer,
    TorchCall,
    buffers_of,
    hold,
    make_call,
    modules_in,
    widened,
    with_private_modules,
)
from gradcheck.torch_forward import forward_derivatives
from gradcheck.torch_outputs import (
    arrays_in,
    as_array,
    as_real,
    explicit_gradients,
    numpy_dtype,
    reduction_of,
    shapes_of,
)
from gradcheck.torch_parameters import (
    TorchParameter,
    by_request,
    candidates,
    default_choice,
    no_parameters,
    validate,
)
from gradcheck.torch_targets import Subject, is_torch_target, understand
from gradcheck.tree import leaves

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["is_torch_target", "torch_problem"]

Gradients = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class _Prepared:
    """The target, its inputs, and everything that it reads."""

    subject: Subject
    bound: BoundInputs
    gradient: Callable[..., Any] | None
    parameters: tuple[TorchParameter, ...]
    others: tuple[Tensor, ...]
    buffers: tuple[Buffer, ...]
    put_back: Callable[[], None]
    dtypes: tuple[np.dtype[Any], ...]
    returns_gradient: bool

    @property
    def low_others(self) -> bool:
        """Whether tensors that the target reads, not under check, are of low precision."""
        return any(widened(one.dtype) != one.dtype for one in self.others)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return shapes_of(self.parameters)

    @property
    def groups(self) -> list[tuple[str, tuple[str, ...]]]:
        names = list(dict.fromkeys(one.group for one in self.parameters))
        return [
            (group, tuple(one.name for one in self.parameters if one.group == group))
            for group in names
        ]

    def call(self, *, wide: bool) -> TorchCall:
        self.put_back()
        return make_call(
            self.subject.function,
            self.bound,
            self.parameters,
            self.others,
            self.buffers,
            wide=wide,
        )


@dataclass(frozen=True)
class _Claim:
    """The gradient on trial, as it came out at the user's own precision."""

    arrays: Gradients
    problems: tuple[GradientProblem, ...]
    explicit: bool
    loss: float


def torch_problem(
    target: Callable[..., Any],
    inputs: Any,
    wrt: Sequence[str | int] | str | int | None = None,
    *,
    grad: Callable[..., Any] | None = None,
    vjp: Callable[..., Any] | None = None,
    params: Any = None,
    seed: int = 0,
    name: str = "",
    limits: Limits | None = None,
) -> Problem:
    """Examine a torch target and make it ready for the oracles.

    The gradient on trial is what autograd computes of the target at the user's own precision and
    device (or what ``grad``, ``vjp`` or the target itself returns). The oracles evaluate the
    target in float64 where it follows its inputs. Outputs that are no scalar are reduced with a
    fixed random cotangent. A complex tensor counts as real and imaginary parts on a last axis.

    The inputs are copied, and so are a target module and modules among the inputs. What the
    target reads from elsewhere is swapped for private tensors, and put back by
    ``Problem.cleanup``; no ``.grad`` is touched.

    Raises:
        UsageError: the inputs do not fit the target, or the parameters cannot be told.
        TargetError: there is no finite loss or no gradient, or a parameter holds integers.
    """
    subject = understand(target, params)
    bound = with_private_modules(bind_inputs(subject.function, inputs))
    if vjp is not None:
        raise UsageError("vjp= takes a NumPy layer; a torch layer has its backward in its graph")
    states = random_state.snapshot()
    prepared = _choose(subject, bound, wrt, grad)
    try:
        return _build(prepared, seed, name, limits or Limits(), states)
    except BaseException:
        prepared.put_back()
        random_state.restore(states)
        raise


def _choose(
    subject: Subject,
    bound: BoundInputs,
    wrt: Sequence[str | int] | str | int | None,
    grad: Callable[..., Any] | None,
) -> _Prepared:
    known = candidates(bound, subject)
    returns_gradient = False
    if wrt is not None:
        parameters = by_request(wrt, known, bound)
    else:
        parameters = default_choice(known)
        if not parameters:
            parameters = _by_returned_gradient(subject, bound, known)
            returns_gradient = bool(parameters)
    if not parameters:
        raise UsageError(no_parameters(known))
    validate(parameters)
    chosen = {id(one.tensor) for one in parameters}
    others = tuple(one.tensor for one in known if one.held and id(one.tensor) not in chosen)
    modules = [(held.label, held.module) for held in subject.modules] + modules_in(bound)
    buffers = tuple(buffers_of(modules))
    return _Prepared(
        subject,
        bound,
        grad,
        tuple(parameters),
        others,
        buffers,
        hold(parameters, buffers, others),
        tuple(numpy_dtype(one.tensor.dtype) for one in parameters),
        returns_gradient,
    )


def _by_returned_gradient(
    subject: Subject, bound: BoundInputs, known: Sequence[TorchParameter]
) -> list[TorchParameter]:
    """Choose as for a NumPy target where the target returns its gradient with the loss."""
    import torch

    states = random_state.snapshot()
    call = make_call(subject.function, bound, (), (), (), wide=False)
    with torch.no_grad():
        grads = explicit_gradients(call.run(), {})
    random_state.restore(states)
    if grads is NOT_GIVEN:
        return []
    args, kwargs = arrays_in((bound.args, dict(bound.kwargs)))
    names = choose(BoundInputs(args, kwargs, bound.names), arrays_in(grads), wrt=None, live=None)
    paths = {leaf.path for leaf in names.leaves}
    return [one for one in known if one.path in paths]


def _build(
    prepared: _Prepared, seed: int, name: str, limits: Limits, states: tuple[Any, ...]
) -> Problem:
    notices: list[Notice] = []
    own = prepared.call(wide=False)
    claim = _first_call(prepared, own, seed, notices, states)
    if not np.isfinite(claim.loss):
        raise TargetError("non_finite_loss", _non_finite_message(claim.loss))
    call = _working_call(prepared, own, claim)
    values = [np.asarray(as_real(memory).numpy()) for memory in call.memory]
    parameters = tuple(
        Parameter(one.name, one.path, value, dtype)
        for one, value, dtype in zip(prepared.parameters, values, prepared.dtypes, strict=True)
    )

    def gradient_at() -> Mapping[str, FloatArray]:
        arrays = _gradients(prepared, call, explicit=claim.explicit).arrays
        return {key: array.astype(np.float64) for key, array in arrays.items()}

    analytic = {key: array.astype(np.float64) for key, array in claim.arrays.items()}
    rounding = _rounding(prepared, claim, gradient_at)
    facts, repeats = _examine_loss(call, notices)
    if facts.spread > 0:
        analytic, rounding = _averaged(gradient_at, rounding)
    evaluator = Evaluator(
        call.loss,
        values,
        budget=limits.budget,
        deadline=limits.deadline,
        batch=None if facts.spread > 0 else batched_losses(call, values),
        progress=limits.progress,
    )
    evaluator.count = 2 + repeats
    return Problem(
        name=name,
        target="",
        parameters=parameters,
        analytic=analytic,
        analytic_rounding=rounding,
        gradient_problems=claim.problems,
        facts=facts,
        evaluator=evaluator,
        notices=tuple(notices),
        forward_gradient=forward_derivatives(call, values),
        gradient_at=gradient_at,
        surroundings=_surroundings(prepared),
        kind="torch",
        cleanup=_cleanup(prepared, states),
    )


def _first_call(
    prepared: _Prepared,
    call: TorchCall,
    seed: int,
    notices: list[Notice],
    states: tuple[Any, ...],
) -> _Claim:
    """Call the target at the user's own precision; find out what it returns, changes and draws."""
    import torch

    before = [one.detach().clone() for one in call.watched()]
    start = random_state.snapshot()
    with torch.enable_grad():
        result = call.run()
    draws = random_state.differ(start, random_state.snapshot())
    changed = [
        i
        for i, (one, two) in enumerate(zip(call.watched(), before, strict=True))
        if not _same(one, two)
    ]
    call.changed = [call.watched()[i] for i in changed]
    for i in changed:
        call.watched()[i].data.copy_(before[i])
    if draws:
        # Drawn again from the seed, so that loss and gradient belong to the same draw.
        call.seed = seed
    if changed:
        _note_mutation(prepared, call, notices)
    elsewhere = prepared.gradient is not None
    explicit = prepared.returns_gradient
    if not explicit and not elsewhere:
        explicit = explicit_gradients(result, prepared.shapes) is not NOT_GIVEN
    call.reduction, left_out = reduction_of(
        result, explicit=explicit, gradient_elsewhere=elsewhere, seed=seed
    )
    if left_out:
        notices.append(_left_out_notice(left_out))
    matched = _gradients(prepared, call, explicit=explicit, notices=notices)
    with torch.enable_grad(), call.preserved():
        loss = float(call.reduced(call.run()).detach())
    random_state.restore(states)
    return _Claim(matched.arrays, matched.problems, explicit, loss)


def _same(one: Tensor, two: Tensor) -> bool:
    import torch

    one = one.detach()
    if one.is_floating_point() or one.is_complex():
        return bool(torch.isclose(one, two, rtol=0.0, atol=0.0, equal_nan=True).all())
    return bool(torch.equal(one, two))


def _note_mutation(prepared: _Prepared, call: TorchCall, notices: list[Notice]) -> None:
    names = []
    for label, value in zip(
        [label for label, _ in prepared.bound.items()],
        [*call.args, *call.kwargs.values()],
        strict=True,
    ):
        inside = [
            leaf.path
            for leaf in leaves(value, label)
            if any(leaf.value is one for one in call.changed)
        ]
        names += inside
    names += [
        one.name
        for one, read in zip(prepared.parameters, call.read, strict=True)
        if one.held and any(read is changed for changed in call.changed)
    ]
    if names:
        notices.append(
            Notice(
                "mutates_input",
                f"the target changes its input {', '.join(names)}; every evaluation here starts "
                "from the original values, but a second call on the same tensors computes "
                "something else: work on a clone",
            )
        )


def _left_out_notice(left_out: Sequence[int]) -> Notice:
    which = ", ".join(str(i) for i in left_out)
    return Notice(
        "output_without_graph",
        f"of the returned tensors, number {which} (counted from 0) carries no graph and was left "
        "out of the check: it is detached, or does not depend on the parameters",
    )


@dataclass(frozen=True)
class _Matched:
    arrays: Gradients
    problems: tuple[GradientProblem, ...] = ()


def _gradients(
    prepared: _Prepared,
    call: TorchCall,
    *,
    explicit: bool,
    notices: list[Notice] | None = None,
) -> _Matched:
    """Return the gradient on trial at the present values, in the dtype in which it came."""
    import torch

    if explicit or prepared.gradient is not None:
        with torch.enable_grad(), call.preserved():
            if explicit:
                grads = split_result(call.run(), gradient_elsewhere=False)[1]
            else:
                grads = call.run(prepared.gradient)
        known = [label for label, _ in prepared.bound.items()]
        matched = match_gradients(
            arrays_in(grads), list(prepared.shapes.items()), prepared.groups, known_names=known
        )
        return _Matched(dict(matched.arrays), matched.problems)
    found = call.gradient()
    unreached = [
        one.name for one, grad in zip(prepared.parameters, found, strict=True) if grad is None
    ]
    if unreached and notices is not None:
        notices.append(_unreached_notice(unreached))
    arrays: Gradients = {}
    for one, read, grad in zip(prepared.parameters, call.read, found, strict=True):
        arrays[one.name] = as_array(torch.zeros_like(read) if grad is None else _dense(grad))
    return _Matched(arrays)


def _dense(grad: Tensor) -> Tensor:
    return grad.to_dense() if grad.is_sparse else grad


def _unreached_notice(names: Sequence[str]) -> Notice:
    return Notice(
        "gradient_none",
        f"autograd gives None for {', '.join(names)}: the graph does not reach it, which counts "
        "as a gradient of zero here",
    )


def _non_finite_message(loss: float) -> str:
    return (
        f"the loss is {loss} at the point checked, so that there is no gradient to compare; check "
        "for an overflow in exp, a log of 0 or a division by 0, or choose other inputs"
    )


def _working_call(prepared: _Prepared, own: TorchCall, claim: _Claim) -> TorchCall:
    """Return the call that the oracles evaluate: in float64 if the target follows its inputs."""
    if any(widened(one.dtype) != one.dtype for one in own.watched()) or prepared.low_others:
        wide = _like(own, prepared.call(wide=True))
        if _follows(prepared, wide, claim):
            return _settled(wide)
        own = _like(own, prepared.call(wide=False))
    return _settled(own)


def _like(own: TorchCall, other: TorchCall) -> TorchCall:
    """Give ``other`` what the first call showed of the target."""
    positions = [
        i for i, one in enumerate(own.watched()) if any(one is changed for changed in own.changed)
    ]
    other.changed = [other.watched()[i] for i in positions]
    other.reduction, other.seed = own.reduction, own.seed
    return other


def _follows(prepared: _Prepared, wide: TorchCall, claim: _Claim) -> bool:
    """Whether the target computes the same with its low-precision tensors made float64."""
    try:
        loss = _settled(wide).loss()
        _gradients(prepared, wide, explicit=claim.explicit)
    except Exception:
        # A constant of its own is in lower precision and does not mix with float64.
        return False
    half = any(dtype == np.float16 for dtype in prepared.dtypes)
    small = abs(loss) < 1e-6 and abs(claim.loss) < 1e-6
    return small or bool(np.isclose(loss, claim.loss, rtol=0.05 if half else 1e-2, atol=0.0))


def _settled(call: TorchCall) -> TorchCall:
    """Find out whether the target runs without a graph, and the precision of its outputs."""
    import torch

    try:
        with torch.no_grad(), call.preserved():
            result = call.run()
    except RuntimeError:
        # It calls autograd itself, as a loss with a derivative of the model in it does.
        call.keeps_graph = True
        with torch.enable_grad(), call.preserved():
            result = call.run()
    if call.reduction is not None:
        call.reduction = call.reduction.at_precision_of(result)
    return call


def _rounding(
    prepared: _Prepared, claim: _Claim, gradient_at: Callable[[], Mapping[str, FloatArray]]
) -> dict[str, FloatArray]:
    """How far the gradient in its own low precision is from the same code's in float64.

    More than a thousandth of the entry (or of the parameter's typical entry), a twentieth in half
    precision, is not taken for rounding.
    """
    dtypes = dict(zip(prepared.shapes, prepared.dtypes, strict=True))
    rounding = {key: np.zeros(array.shape) for key, array in claim.arrays.items()}
    low = [key for key in claim.arrays if dtypes[key] != np.float64]
    if not low:
        return rounding
    with quiet():
        precise = gradient_at()
    for key in low:
        if key not in precise:
            continue
        reference = precise[key]
        share = 0.05 if dtypes[key] == np.float16 else 1e-3
        cap = share * np.maximum(np.abs(reference), rms(reference))
        apart = np.abs(claim.arrays[key].astype(np.float64) - reference)
        rounding[key] = np.minimum(apart, cap)
    return rounding


def _examine_loss(call: TorchCall, notices: list[Notice]) -> tuple[LossFacts, int]:
    """Evaluate the loss twice at one point; when the values differ, as often as it takes."""
    dtype = np.dtype(np.float64) if call.reduction is None else call.reduction.dtype
    values = [call.loss(), call.loss()]
    if values[0] == values[1]:
        return LossFacts(values[0], dtype), 2
    values += [call.loss() for _ in range(REPEATS - 2)]
    spread = float(np.std(values, ddof=1))
    notices.append(
        Notice(
            "nondeterministic",
            f"the loss differs from call to call at the same point (by {spread:.2g}, standard "
            f"deviation of {REPEATS} calls): it draws from a generator of its own, or runs on a "
            "kernel that adds in no fixed order; pass the generator as an input, draw from "
            "torch's global one, or call torch.use_deterministic_algorithms(True)",
        )
    )
    return LossFacts(float(np.mean(values)), dtype, spread), REPEATS


def _averaged(
    gradient_at: Callable[[], Mapping[str, FloatArray]], rounding: Mapping[str, FloatArray]
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Mean of repeated gradients of a stochastic target, and four standard errors of it."""
    draws = [gradient_at() for _ in range(REPEATS)]
    stacks = {key: np.stack([draw[key] for draw in draws]) for key in draws[0]}
    mean = {key: stack.mean(axis=0) for key, stack in stacks.items()}
    error = {
        key: rounding.get(key, 0.0) + 4 * stack.std(axis=0, ddof=1) / np.sqrt(REPEATS)
        for key, stack in stacks.items()
    }
    return mean, error


def _surroundings(prepared: _Prepared) -> Surroundings:
    import torch

    checked = {id(one.tensor) for one in prepared.parameters}
    scalars: dict[str, float] = {}
    data: dict[str, FloatArray] = {}
    integers: dict[str, NDArray[Any]] = {}
    for label, value in prepared.bound.items():
        for leaf in leaves(value, label):
            one = leaf.value
            if isinstance(one, int | float) and not isinstance(one, bool):
                scalars[leaf.path] = float(one)
            elif isinstance(one, torch.Tensor) and id(one) not in checked:
                if one.is_floating_point():
                    data[leaf.path] = as_array(one).astype(np.float64)
                elif not one.is_complex() and one.dtype is not torch.bool:
                    integers[leaf.path] = as_array(one)
    return Surroundings(scalars, data, integers)


def _cleanup(prepared: _Prepared, states: tuple[Any, ...]) -> Callable[[], None]:
    def cleanup() -> None:
        prepared.put_back()
        random_state.restore(states)

    return cleanup
