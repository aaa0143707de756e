"""The other ways in which autograd uses a function: forward mode, second derivatives, batches."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from gradcheck.audit.bench import (
    FLOOR,
    Bench,
    Case,
    NotTriedError,
    dense,
    finding,
    inner,
    largest,
    random_like,
    relative_difference,
)
from gradcheck.report import Diagnosis
from gradcheck.torch_target.outputs import tensors_of

if TYPE_CHECKING:
    from torch import Tensor

STEP = 1e-5
NEARBY = 1e-3
"""How far beside the point a second derivative is tried again, in sizes of each parameter."""
BESIDE = (19, 23)
"""Seeds of the directions there."""


def forward_against_reverse(bench: Bench) -> Diagnosis | None:
    """``<J v, u> = <v, J^T u>``: the forward formula and the backward pass are adjoint."""
    import torch
    from torch.autograd import forward_ad

    call = bench.call
    outputs = bench.outputs()
    positions = [i for i, one in enumerate(tensors_of(call.run())) if one.requires_grad]
    cotangents = bench.cotangents(outputs)
    found = bench.pull(outputs, cotangents)
    for k, (name, grad) in enumerate(zip(bench.names, found, strict=True)):
        tangent = random_like(call.read[k], (11, k))
        with warnings.catch_warnings(), torch.no_grad(), forward_ad.dual_level():
            warnings.filterwarnings("ignore", message=".*torch.jit.script")
            fixed = {j: one.detach() for j, one in enumerate(call.read)}
            fixed[k] = forward_ad.make_dual(fixed[k], tangent)  # type: ignore[no-untyped-call]
            returned = tensors_of(call.result_at(fixed))
            tangents: list[Tensor | None] = [
                forward_ad.unpack_dual(returned[i]).tangent  # type: ignore[no-untyped-call]
                for i in positions
            ]
        forward = inner(tangents, cotangents)
        reverse = inner([grad], [tangent])
        norm = float(tangent.abs().norm())
        scale = max(float(dense(grad, tangent).abs().norm()), FLOOR * largest(found)) * norm
        size = max(abs(forward), abs(reverse), scale)
        if not abs(forward - reverse) <= 10 * bench.tolerance * size:
            return finding(
                "contract_forward_mode",
                f"forward mode and the backward pass contradict each other in {name}: "
                f"<Jv, u> = {forward:.6g}, <v, J'u> = {reverse:.6g}; one of jvp and backward is "
                "wrong",
                parameter=name,
                evidence={"forward": forward, "reverse": reverse},
                reproduce="torch.autograd.gradcheck(target, inputs, check_forward_ad=True)",
                remedy="derive jvp and backward from the same formula: one is the other's adjoint",
            )
    return None


def double_backward(bench: Bench) -> Diagnosis | None:
    """The backward pass itself is differentiated rightly, or says that it cannot be.

    At a kink of the gradient its central difference is none of the slopes: what is found counts
    only if it is found beside the point, too.
    """
    found = _wrong_second_derivative(bench)
    for salt in BESIDE:
        if found is None:
            return None
        read = bench.call.read
        ways = [
            random_like(one, (salt, k)) * (NEARBY * (largest([one]) or 1.0))
            for k, one in enumerate(read)
        ]
        bench.move(ways, 1.0)
        bench.adopt([one.detach().clone() for one in bench.call.watched()])
        found = _wrong_second_derivative(bench)
    return found


def _wrong_second_derivative(bench: Bench) -> Diagnosis | None:
    outputs = bench.outputs()
    cotangents = bench.cotangents(outputs)
    ways = [random_like(one, (13, k)) for k, one in enumerate(bench.call.read)]
    moves = [random_like(one, (17, k)) for k, one in enumerate(bench.call.read)]
    claimed = _second_derivative(bench, outputs, cotangents, ways, moves)
    slopes = []
    for step in (STEP, 2 * STEP):
        bench.move(moves, step)
        up = inner(bench.pull(now := bench.outputs(), bench.cotangents(now)), ways)
        bench.move(moves, -step)
        down = inner(bench.pull(now := bench.outputs(), bench.cotangents(now)), ways)
        slopes.append((up - down) / (2 * step))
    bench.rewind()
    first = abs(inner(bench.pull(now := bench.outputs(), bench.cotangents(now)), ways))
    allowed = 2 * abs(slopes[0] - slopes[1]) + 1e-5 * max(abs(slopes[0]), abs(claimed))
    allowed += 100 * bench.tolerance * first
    if abs(claimed - slopes[0]) <= allowed:
        return None
    return finding(
        "contract_double_backward",
        f"the second derivative is wrong: along random directions double backward gives "
        f"{claimed:.6g}, central differences of the gradient {slopes[0]:.6g}",
        evidence={"double_backward": claimed, "central": slopes[0]},
        reproduce="torch.autograd.gradgradcheck(target, inputs)",
        remedy="compute the backward pass with torch functions of saved tensors (not of .data, "
        "NumPy or values kept on ctx), or decorate it with torch.autograd.function."
        "once_differentiable",
    )


def _second_derivative(
    bench: Bench,
    outputs: list[Tensor],
    cotangents: list[Tensor],
    ways: list[Tensor],
    moves: list[Tensor],
) -> float:
    """Return the derivative along ``moves`` of the gradient along ``ways``, by autograd."""
    import torch

    from gradcheck.torch_target.outputs import as_real

    # Cotangents with a graph: a backward pass that may be used once only then says so.
    given = [one.clone().requires_grad_() for one in cotangents]
    first = bench.pull(outputs, given, create_graph=True)
    terms: list[Tensor] = [
        (as_real(one) * as_real(way)).sum()
        for one, way in zip(first, ways, strict=True)
        if one is not None and one.requires_grad
    ]
    if not terms:
        return 0.0
    total = torch.stack(terms).sum()
    if _may_not_be_used_twice(total):
        raise NotTriedError("the backward pass is decorated with once_differentiable")
    found = torch.autograd.grad(total, bench.call.read, allow_unused=True)
    return inner(list(found), moves)


def _may_not_be_used_twice(result: Tensor) -> bool:
    """Whether a node that raises when it is differentiated stands in the graph.

    Such a node has no way back to the inputs, so that ``autograd.grad`` would not come to it.
    """
    waiting, seen = [result.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if type(node).__name__ == "Error":
            return True
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
    return False


def batched(bench: Bench) -> Diagnosis | None:
    """A batch of inputs and cotangents under vmap gives what they give one by one."""
    import torch

    call, several = bench.call, (3, 4, 5)
    outputs = bench.outputs()
    positions = [i for i, one in enumerate(tensors_of(call.run())) if one.requires_grad]
    moves = [[random_like(one, (salt, k)) for k, one in enumerate(call.read)] for salt in several]
    cotangents = [bench.cotangents(outputs, salt) for salt in several]
    alone, values = [], []
    for ways, given in zip(moves, cotangents, strict=True):
        bench.move(ways, 0.1)
        outputs = bench.outputs()
        values.append([one.detach().clone() for one in outputs])
        alone.append(bench.pull(outputs, given))
    bench.rewind()
    start = [one.detach().clone() for one in call.read]
    points = [torch.stack([one + 0.1 * ways[k] for ways in moves]) for k, one in enumerate(start)]

    def forward(*tensors: Tensor) -> tuple[Tensor, ...]:
        returned = tensors_of(call.result_at(dict(enumerate(tensors))))
        return tuple(returned[i] for i in positions)

    def both(tensors: list[Tensor], given: list[Tensor]) -> Any:
        found = torch.func.vjp(forward, *tensors)
        return found[0], found[1](tuple(given))

    stacked = [torch.stack(list(one)) for one in zip(*cotangents, strict=True)]
    returned, together = torch.func.vmap(both, randomness="same")(points, stacked)
    for j, expected in enumerate(alone):
        for one, two in zip(returned, values[j], strict=True):
            if not relative_difference(one[j], two) <= bench.tolerance:
                return _batched_finding("an output", 0.0, "")
        apart = bench.first_difference([one[j] for one in together], expected)
        if apart is not None:
            what = f"the gradient of {apart.parameter}"
            return _batched_finding(what, apart.size, apart.parameter)
    return None


def _batched_finding(what: str, size: float, parameter: str) -> Diagnosis:
    by = f", by {size:.2g} of the largest entry" if size else ""
    return finding(
        "contract_vmap",
        f"batched by vmap, {what} is another than one by one{by}",
        parameter=parameter,
        reproduce="torch.func.vmap(lambda x, u: torch.func.vjp(target, x)[1](u))(xs, us)",
        remedy="mind in_dims in the vmap rule, and return the right out_dims; or let it be "
        "derived: generate_vmap_rule = True",
    )


FORWARD_MODE = "forward mode against reverse"
SECOND_DERIVATIVE = Case(
    "contract_double_backward", "double backward", double_backward, optional=True
)

CASES = (
    Case(
        "contract_forward_mode",
        FORWARD_MODE,
        forward_against_reverse,
        optional=True,
    ),
    SECOND_DERIVATIVE,
    Case("contract_vmap", "a batch by vmap", batched, optional=True),
)
