"""What a backward pass must leave alone, and what it must do again in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcheck.audit.bench import Bench, Case, finding, random_like, relative_difference
from gradcheck.calling import random_state
from gradcheck.report import Diagnosis

if TYPE_CHECKING:
    from torch import Tensor


def changes_input(bench: Bench) -> Diagnosis | None:
    """The forward pass changes an input only if it says so (``mark_dirty``)."""
    versions = [one._version for one in bench.call.watched()]
    bench.outputs()
    buffers = {id(one.tensor) for one in bench.call.buffers}
    for one, before, version in zip(bench.call.watched(), bench.start, versions, strict=True):
        quietly = one._version == version or id(one) in {id(r) for r in bench.call.read}
        if id(one) not in buffers and quietly and not _equal(one, before):
            name = _name(bench, one)
            return finding(
                "contract_changes_input",
                f"the forward pass changes its input {name} behind autograd's back",
                parameter=name,
                reproduce="before = x.clone(); target(x); (x == before).all()",
                remedy="work on a clone, or call ctx.mark_dirty(x) and return x",
            )
    return None


def backward_effects(bench: Bench) -> Diagnosis | None:
    """The backward pass changes neither inputs nor buffers, outputs or random state."""
    outputs = bench.outputs()
    values = [one.detach().clone() for one in outputs]
    watched = [one.detach().clone() for one in bench.call.watched()]
    grads = [(one.grad, None if one.grad is None else one.grad.clone()) for one in bench.call.read]
    state = random_state.snapshot()
    bench.pull(outputs, bench.cotangents(outputs))
    if random_state.differ(state, random_state.snapshot()):
        return finding(
            "contract_draws_in_backward",
            "the backward pass draws from a global random generator, so that training draws "
            "differently with it than without",
            reproduce="s = torch.get_rng_state(); y.sum().backward(); "
            "(s == torch.get_rng_state()).all()",
            remedy="draw in forward and save what was drawn",
        )
    for one, before in zip(bench.call.watched(), watched, strict=True):
        if not _equal(one, before):
            name = _name(bench, one)
            return finding(
                "contract_backward_changes_input",
                f"the backward pass changes {name} in place (an input, a saved tensor or a buffer)",
                parameter=name,
                reproduce="before = x.clone(); y.sum().backward(); (x == before).all()",
                remedy="do not write to what ctx.saved_tensors returns: work on clones",
            )
    for output, value in zip(outputs, values, strict=True):
        if not _equal(output, value):
            return finding(
                "contract_changes_output",
                "the backward pass changes an output of the forward pass in place",
                reproduce="before = y.clone(); y.sum().backward(); (y == before).all()",
                remedy="do not write to saved outputs: work on clones",
            )
    for name, one, (kept, held) in zip(bench.names, bench.call.read, grads, strict=True):
        touched = one.grad is not kept
        if kept is not None and held is not None:
            touched = touched or not _equal(kept, held)
        if touched:
            one.grad = kept
            if kept is not None and held is not None:
                kept.copy_(held)
            return finding(
                "contract_writes_grad",
                f"the backward pass writes {name}.grad itself; autograd adds what is returned, "
                "so that it counts twice, or where nobody asked for it",
                parameter=name,
                reproduce=f"torch.autograd.grad(y.sum(), {name}); {name}.grad is None",
                remedy="return the gradient and leave .grad alone",
            )
    return None


def accumulates(bench: Bench) -> Diagnosis | None:
    """A second backward pass over the same graph gives the same gradient again."""
    outputs = bench.outputs()
    cotangents = bench.cotangents(outputs)
    first = bench.pull(outputs, [one.clone() for one in cotangents])
    first = [None if one is None else one.detach().clone() for one in first]
    second = bench.pull(outputs, [one.clone() for one in cotangents])
    apart = bench.first_difference(first, second)
    if apart is None:
        return None
    return finding(
        "contract_accumulates",
        f"a second backward pass over the same graph gives {apart.parameter} another gradient, by "
        f"{apart.size:.2g} of the largest entry: it adds to what the first one left, or changes "
        "what was saved",
        parameter=apart.parameter,
        reproduce="torch.autograd.grad(y, x, u, retain_graph=True), torch.autograd.grad(y, x, u)",
        remedy="make new tensors in each backward pass; keep nothing on ctx or the class between",
    )


def second_call(bench: Bench) -> Diagnosis | None:
    """The target called again on the same inputs gives the same outputs and gradient."""
    first_outputs = [one.detach().clone() for one in bench.outputs()]
    first = [None if one is None else one.detach().clone() for one in bench.gradient()]
    bench.rewind()
    for i, (one, two) in enumerate(zip(first_outputs, bench.outputs(), strict=True)):
        if not relative_difference(one, two.detach()) <= bench.tolerance:
            return finding(
                "contract_second_call",
                f"called again on the same inputs, output {i} differs: the target keeps something "
                "from call to call",
                reproduce="target(*inputs) - target(*inputs)",
                remedy="keep what belongs to one call on ctx, nothing on the class or globally",
            )
    apart = bench.first_difference(first, bench.gradient())
    if apart is None:
        return None
    return finding(
        "contract_second_call",
        f"called again on the same inputs, the gradient of {apart.parameter} differs by "
        f"{apart.size:.2g} of the largest entry: something is kept from call to call",
        parameter=apart.parameter,
        reproduce="[torch.autograd.grad(target(*inputs).sum(), x) for _ in range(2)]",
        remedy="keep what belongs to one call on ctx, nothing on the class or globally",
    )


def none_gradient(bench: Bench) -> Diagnosis | None:
    """An input on which the outputs depend gets a gradient, not None."""
    import torch

    outputs = bench.outputs()
    found = bench.pull(outputs, bench.cotangents(outputs))
    for name, read, grad in zip(bench.names, bench.call.read, found, strict=True):
        if grad is not None:
            continue
        bench.rewind()
        before = [one.detach().clone() for one in bench.outputs()]
        ways = [torch.zeros_like(one) for one in bench.call.read]
        ways[bench.names.index(name)] = random_like(read, (5,))
        bench.move(ways, 1e-3 * (1 + float(read.detach().abs().max())))
        after = [one.detach() for one in bench.outputs()]
        bench.rewind()
        if any(not _equal(one, two) for one, two in zip(before, after, strict=True)):
            return finding(
                "contract_none_gradient",
                f"the gradient of {name} is None, although the outputs depend on it: an optimiser "
                "would never move it",
                parameter=name,
                reproduce=f"torch.autograd.grad(y.sum(), {name}, allow_unused=True)",
                remedy=f"return the gradient of {name}, in the position of the input",
            )
    return None


def subset(bench: Bench) -> Diagnosis | None:
    """An input alone requiring grad gets the gradient that it has among the others."""
    if len(bench.names) < 2:
        return None
    together = bench.gradient()
    reads = bench.call.read
    for k, name in enumerate(bench.names):
        bench.rewind()
        try:
            for j, one in enumerate(reads):
                one.requires_grad_(j == k)
            outputs = bench.outputs()
            if not outputs:
                alone: Tensor | None = None
            else:
                given = bench.cotangents(outputs)
                (alone,) = bench.pull(outputs, given, inputs=[reads[k]])
        finally:
            for one in reads:
                one.requires_grad_()
        second = [*together[:k], alone, *together[k + 1 :]]
        apart = bench.first_difference(together, second)
        if apart is not None:
            return finding(
                "contract_subset",
                f"with {name} alone requiring grad, its gradient differs by {apart.size:.2g} of "
                "the largest entry from the one it has when all inputs do",
                parameter=name,
                reproduce="only that input with requires_grad=True, then "
                "torch.autograd.grad(y.sum(), x)",
                remedy="index gradients by position, one for each input of forward; look at "
                "ctx.needs_input_grad[i] of the same i",
            )
    return None


def _equal(one: Tensor, two: Tensor) -> bool:
    import torch

    if one.shape != two.shape:
        return False
    same = one.detach() == two.detach()
    if one.is_floating_point() or one.is_complex():
        same = same | (torch.isnan(one.detach()) & torch.isnan(two.detach()))
    return bool(same.all())


def _name(bench: Bench, tensor: Tensor) -> str:
    for name, read in zip(bench.names, bench.call.read, strict=True):
        if read is tensor:
            return name
    for buffer in bench.call.buffers:
        if buffer.tensor is tensor:
            return buffer.name
    return "an input"


CASES = (
    Case("contract_changes_input", "the inputs after the forward pass", changes_input),
    Case("contract_backward_effects", "everything after the backward pass", backward_effects),
    Case("contract_accumulates", "a second backward pass", accumulates),
    Case("contract_second_call", "a second call", second_call),
    Case("contract_none_gradient", "inputs with the gradient None", none_gradient),
    Case("contract_subset", "one input alone requiring grad", subset),
)
