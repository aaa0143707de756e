"""From a torch target and its inputs to a Problem: the backward pass is on trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.calling import random_state
from gradcheck.calling.calls import bind_inputs
from gradcheck.calling.jitter import jitter_notice
from gradcheck.calling.stochastic import Repetition, averaged_loss, is_steady
from gradcheck.calling.time_limit import limited, plain
from gradcheck.calling.tree import leaves
from gradcheck.errors import TargetError, UsageError
from gradcheck.numpy_target.problem import Limits
from gradcheck.problem import FloatArray, LossFacts, Parameter, Problem, Surroundings
from gradcheck.report import Notice
from gradcheck.sweep.evaluator import Evaluator
from gradcheck.torch_target.batch import batched_losses
from gradcheck.torch_target.call import TorchCall
from gradcheck.torch_target.claim import first_call, gradients_of, working_call
from gradcheck.torch_target.forward import ForwardDerivatives
from gradcheck.torch_target.kept import kept
from gradcheck.torch_target.kinds import is_torch_target, understand
from gradcheck.torch_target.outputs import as_array, as_real
from gradcheck.torch_target.own_rounding import low_precision_rounding, of_backward, with_residue
from gradcheck.torch_target.precision_inside import lowest_precision
from gradcheck.torch_target.prepared import Prepared, prepare
from gradcheck.torch_target.second import double_backward
from gradcheck.torch_target.setup import widened, with_private_modules
from gradcheck.torch_target.two_precisions import scatter_about

__all__ = ["is_torch_target", "torch_problem"]


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
    jitter: float = 0.0,
    repetition: Repetition | None = None,
) -> Problem:
    """Examine a torch target and make it ready for the oracles.

    The gradient on trial is what autograd computes of the target at the user's own precision and
    device (or what ``grad``, ``vjp`` or the target itself returns). The oracles evaluate the
    target in float64 where it follows its inputs. Outputs that are no scalar are reduced with a
    fixed random cotangent. A complex tensor counts as real and imaginary parts on a last axis.

    The inputs are copied, and so are a target module and modules among the inputs. What the
    target reads from elsewhere is swapped for private tensors, and put back by
    ``Problem.cleanup``; no ``.grad`` is touched. With ``jitter`` the parameters are moved by that
    much of their scale first.

    Raises:
        UsageError: the inputs do not fit the target, or the parameters cannot be told.
        TargetError: there is no finite loss or no gradient, or a parameter holds integers.
    """
    subject = understand(target, params)
    bound = with_private_modules(bind_inputs(subject.function, inputs))
    if vjp is not None:
        raise UsageError("vjp= takes a NumPy layer; a torch layer has its backward in its graph")
    states = random_state.snapshot()
    limits = limits or Limits()
    subject = replace(subject, function=limited(subject.function, limits.timeout))
    with ExitStack() as undo:
        undo.enter_context(kept(target, grad, params, inputs))
        prepared = prepare(subject, bound, wrt, grad and limited(grad, limits.timeout))
        prepared = replace(prepared, jitter=jitter, seed=seed)
        undo.callback(random_state.restore, states)
        undo.callback(prepared.put_back)
        problem = _build(prepared, seed, name, limits, repetition or Repetition(), states)
        return replace(problem, cleanup=undo.pop_all().close)


def _build(
    prepared: Prepared,
    seed: int,
    name: str,
    limits: Limits,
    repetition: Repetition,
    states: tuple[Any, ...],
) -> Problem:
    notices: list[Notice] = [jitter_notice(prepared.jitter)] if prepared.jitter else []
    if prepared.empty:
        notices.append(_empty_notice(prepared.empty))
    own = prepared.call(wide=False)
    claim = first_call(prepared, own, seed, notices, states)
    if not np.isfinite(claim.loss):
        raise TargetError("non_finite_loss", _non_finite_message(claim.loss))
    lowest = lowest_precision(own)
    half_claimed = lowest == np.float16
    call = working_call(prepared, own, claim, lowest)
    values = [np.asarray(as_real(memory).numpy()) for memory in call.memory]
    parameters = tuple(
        Parameter(one.name, one.path, value, prepared.dtypes[k], prepared.dtype_names[k])
        for k, (one, value) in enumerate(zip(prepared.parameters, values, strict=True))
    )

    def gradient_at() -> Mapping[str, FloatArray]:
        arrays = gradients_of(prepared, call, explicit=claim.explicit).arrays
        return {key: array.astype(np.float64) for key, array in arrays.items()}

    analytic = {key: array.astype(np.float64) for key, array in claim.arrays.items()}
    inside = lowest_precision(call)
    mixed = prepared.low_others or any(widened(one.dtype) != one.dtype for one in own.watched())

    def scatter() -> Mapping[str, FloatArray]:
        return scatter_about(prepared, own, call, gradient_at, explicit=claim.explicit)

    low = low_precision_rounding(
        claim, parameters, gradient_at, mixed=mixed, half=half_claimed, scatter=scatter
    )
    rounding = of_backward(low, analytic, gradient_at, inside)
    facts, repeats = _examine_loss(call, repetition, sum(value.size for value in values), notices)
    if inside == np.float16:
        facts = replace(facts, dtype=np.dtype(np.float16))
    random = facts.spread > 0
    if random:
        analytic, rounding = _averaged(gradient_at, rounding, repetition)
    else:
        rounding = with_residue(rounding, parameters, analytic, gradient_at, facts.value)
    evaluator = _evaluator(call, values, limits, repetition.averaged if random else None)
    evaluator.count = 4 + repeats
    return Problem(
        name=name,
        target="",
        parameters=parameters,
        analytic=analytic,
        analytic_rounding=rounding,
        gradient_problems=claim.problems,
        facts=facts,
        gradient_dtypes=dict.fromkeys(analytic, np.dtype(np.float16)) if half_claimed else {},
        evaluator=evaluator,
        notices=tuple(notices),
        forward_gradient=ForwardDerivatives(replace(call, function=plain(call.function)), values),
        gradient_at=gradient_at,
        hessian_product=None if claim.explicit else double_backward(call, list(prepared.shapes)),
        surroundings=_surroundings(prepared),
        torch_trace=_tracer(call, [parameter.name for parameter in parameters]),
        kind="torch",
        precision_inside=inside,
        outputs=_outputs(call),
    )


def _evaluator(
    call: TorchCall, values: Sequence[NDArray[Any]], limits: Limits, averaged: int | None
) -> Evaluator:
    """Return what evaluates the loss, or the mean of several draws of a random one."""
    # Batches take longer than one evaluation may.
    single = averaged is not None or limits.timeout is not None
    return Evaluator(
        call.loss if averaged is None else averaged_loss(call.loss, averaged),
        values,
        budget=limits.budget,
        deadline=limits.deadline,
        batch=None if single else batched_losses(call, values),
        progress=limits.progress,
        calls=averaged or 1,
    )


def _outputs(call: TorchCall) -> int:
    cotangents = None if call.reduction is None else call.reduction.cotangents
    return 1 if cotangents is None else len(cotangents)


def _tracer(call: TorchCall, names: Sequence[str]) -> Callable[[], Any] | None:
    """Return what records the target's operations; None for complex parameters."""
    if any(tensor.is_complex() for tensor in call.read):
        return None

    def run() -> Any:
        from gradcheck.diagnose.torch_trace import trace_torch

        return trace_torch(
            lambda *tensors: call.loss_at(dict(enumerate(tensors))),
            tuple(call.read),
            {},
            dict(zip(names, call.read, strict=True)),
        )

    return run


def _empty_notice(names: Sequence[str]) -> Notice:
    return Notice(
        "empty_parameter",
        f"there is nothing to check in {', '.join(names)}, which holds no entries",
    )


def _non_finite_message(loss: float) -> str:
    return (
        f"the loss is {loss} at the point checked, so that there is no gradient to compare; check "
        "for an overflow in exp, a log of 0 or a division by 0, or choose other inputs"
    )


def _examine_loss(
    call: TorchCall, repetition: Repetition, entries: int, notices: list[Notice]
) -> tuple[LossFacts, int]:
    """Evaluate the loss twice at one point; when the values differ, as often as it takes."""
    dtype = np.dtype(np.float64) if call.reduction is None else call.reduction.dtype
    values = [call.loss(), call.loss()]
    if values[0] == values[1] or (dtype == np.float64 and is_steady(values, dtype)):
        return LossFacts(values[0], dtype), 2
    values += [call.loss() for _ in range(repetition.calls - 2)]
    facts = repetition.facts(values, dtype, entries)
    remedy = (
        "pass the generator as an input, draw from torch's global one, or, if a kernel adds in no "
        "fixed order, call torch.use_deterministic_algorithms(True)"
    )
    notices.append(repetition.notice(facts, remedy))
    return facts, len(values)


def _averaged(
    gradient_at: Callable[[], Mapping[str, FloatArray]],
    rounding: Mapping[str, FloatArray],
    repetition: Repetition,
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Mean of repeated gradients of a stochastic target, and the error bars of it."""
    draws = [gradient_at() for _ in range(repetition.calls)]
    entries = sum(array.size for array in draws[0].values())
    found = {key: repetition.mean([draw[key] for draw in draws], entries) for key in draws[0]}
    error = {key: rounding.get(key, 0.0) + own for key, (_, own) in found.items()}
    return {key: mean for key, (mean, _) in found.items()}, error


def _surroundings(prepared: Prepared) -> Surroundings:
    import torch

    checked = {id(one.tensor) for one in prepared.parameters}
    scalars: dict[str, float] = dict(prepared.bound.defaults)
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
