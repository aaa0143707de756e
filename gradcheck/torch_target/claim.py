"""The gradient of a torch target that is on trial, and the call that the oracles evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.calling import random_state
from gradcheck.calling.returns import NOT_GIVEN, GradientProblem, match_gradients, split_result
from gradcheck.calling.tree import leaves
from gradcheck.report import Notice
from gradcheck.torch_target.call import TorchCall
from gradcheck.torch_target.outputs import arrays_in, as_array, explicit_gradients, reduction_of
from gradcheck.torch_target.precision_inside import lowest_precision
from gradcheck.torch_target.prepared import Prepared
from gradcheck.torch_target.setup import widened
from gradcheck.torch_target.widening import widening

if TYPE_CHECKING:
    from torch import Tensor

Gradients = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Claim:
    """The gradient on trial, as it came out at the user's own precision."""

    arrays: Gradients
    problems: tuple[GradientProblem, ...]
    explicit: bool
    loss: float


def first_call(
    prepared: Prepared,
    call: TorchCall,
    seed: int,
    notices: list[Notice],
    states: tuple[Any, ...],
) -> Claim:
    """Call the target at the user's own precision; find out what it returns, changes and draws."""
    import torch

    before = [one.detach().clone() for one in call.watched()]
    start = random_state.snapshot()
    with torch.enable_grad(), call.kept() as keeps_tensors:
        result = call.run()
        keeps = keeps_tensors()
    draws = random_state.differ(start, random_state.snapshot())
    changed = [
        i
        for i, (one, two) in enumerate(zip(call.watched(), before, strict=True))
        if not _same(one, two)
    ]
    call.changed = [call.watched()[i] for i in changed]
    for i in changed:
        call.watched()[i].data.copy_(before[i])
    if keeps:
        call.remembers = _keeps_again(call)
    if draws:
        # Drawn again from the seed, so that loss and gradient belong to the same draw.
        call.seed = seed
    if changed:
        _note_mutation(prepared, call, notices)
    elsewhere = prepared.gradient is not None
    explicit = prepared.returns_gradient
    if not explicit and not elsewhere:
        explicit = explicit_gradients(result, prepared.shapes) is not NOT_GIVEN
    first = result[0] if isinstance(result, tuple | list) else None
    if explicit and getattr(first, "requires_grad", False):
        notices.append(_returned_notice(list(prepared.shapes)))
    call.reduction, left_out = reduction_of(
        result, explicit=explicit, gradient_elsewhere=elsewhere, seed=seed
    )
    if left_out:
        notices.append(_left_out_notice(left_out))
    matched = gradients_of(prepared, call, explicit=explicit, notices=notices)
    with torch.enable_grad(), call.preserved():
        loss = float(call.reduced(call.run()).detach())
    random_state.restore(states)
    return Claim(matched.arrays, matched.problems, explicit, loss)


def _keeps_again(call: TorchCall) -> bool:
    """Whether a second call keeps a tensor, too: a first one may keep what is then used always."""
    import torch

    with torch.enable_grad(), call.preserved(), call.kept():
        call.run()
        with call.kept() as keeps_tensors:
            call.run()
            return keeps_tensors()


def _same(one: Tensor, two: Tensor) -> bool:
    import torch

    one = one.detach()
    if one.is_floating_point() or one.is_complex():
        return bool(torch.isclose(one, two, rtol=0.0, atol=0.0, equal_nan=True).all())
    return bool(torch.equal(one, two))


def _note_mutation(prepared: Prepared, call: TorchCall, notices: list[Notice]) -> None:
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


def _returned_notice(names: Sequence[str]) -> Notice:
    return Notice(
        "gradient_returned",
        f"what the target returns after its first value was taken for the gradient of "
        f"{', '.join(names)}, since it has these shapes and carries no graph; if it is something "
        "else, return the first value alone, and autograd's gradient of it is checked",
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


def gradients_of(
    prepared: Prepared,
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


def working_call(
    prepared: Prepared, own: TorchCall, claim: Claim, lowest: np.dtype[Any]
) -> TorchCall:
    """Return the call that the oracles evaluate: in float64 if the target follows its inputs.

    ``lowest`` is the lowest precision that it computes in. Of a float32 target, what it reads
    besides its inputs is made to follow.
    """
    if not prepared.low_others and all(widened(one.dtype) == one.dtype for one in own.watched()):
        return _settled(own)
    follows = []
    for all_of_it in (False, True) if lowest == np.float32 else (False,):
        wide = _wide(prepared, own, all_of_it=all_of_it)
        if _follows(prepared, wide, claim):
            if lowest_precision(wide) == np.float64:
                return _settled(wide)
            follows.append(all_of_it)
    if follows:
        return _settled(_wide(prepared, own, all_of_it=follows[0]))
    return _settled(like(own, prepared.call(wide=False)))


def _wide(prepared: Prepared, own: TorchCall, *, all_of_it: bool) -> TorchCall:
    """Return the call in float64; if ``all_of_it``, with what it reads from elsewhere as well."""
    wide = like(own, prepared.call(wide=True))
    return replace(wide, around=widening()) if all_of_it else wide


def like(own: TorchCall, other: TorchCall) -> TorchCall:
    """Give ``other`` what the first call (``own``) showed of the target, and return it."""
    positions = [
        i for i, one in enumerate(own.watched()) if any(one is changed for changed in own.changed)
    ]
    other.changed = [other.watched()[i] for i in positions]
    other.reduction, other.seed, other.remembers = own.reduction, own.seed, own.remembers
    return other


def _follows(prepared: Prepared, wide: TorchCall, claim: Claim) -> bool:
    """Whether the target computes the same with its low-precision tensors made float64."""
    try:
        loss = _settled(wide).loss()
        gradients_of(prepared, wide, explicit=claim.explicit)
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
