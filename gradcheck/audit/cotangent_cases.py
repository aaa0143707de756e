"""What a backward pass must make of any cotangent that autograd may hand to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gradcheck.audit.bench import Bench, Case, dense, finding, random_like
from gradcheck.report import Diagnosis

if TYPE_CHECKING:
    from torch import Tensor

MOST_OUTPUTS = 16
"""Outputs that are looked at alone; of more, about so many spread evenly."""

CONTIGUOUS = "call grad_output.contiguous(), or work by shape and never by memory order"


def zero_cotangent(bench: Bench) -> Diagnosis | None:
    """A cotangent of zeros gives a gradient of zeros."""
    import torch

    outputs = bench.outputs()
    found = bench.pull(outputs, [torch.zeros_like(one) for one in outputs])
    for name, grad in zip(bench.names, found, strict=True):
        if grad is not None and not bool((dense(grad, grad) == 0).all()):
            return finding(
                "contract_zero_cotangent",
                f"a cotangent of zeros gives {name} a gradient that is not zero: the backward pass "
                "adds something of its own, or multiplies 0 by infinity",
                parameter=name,
                reproduce="torch.autograd.grad(y, inputs, grad_outputs=torch.zeros_like(y))",
                remedy="make every term of the gradient proportional to grad_output",
            )
    return None


def undefined_cotangent(bench: Bench) -> Diagnosis | None:
    """An output that nothing uses gives no cotangent, which counts as zero."""
    import torch

    outputs = bench.outputs()
    if len(outputs) < 2:
        return None
    cotangents = bench.cotangents(outputs)
    step = max(1, len(outputs) // MOST_OUTPUTS)
    for i, output in list(enumerate(outputs))[::step]:
        if output.numel() == 0:
            continue
        zeros = [torch.zeros_like(one) for one in outputs]
        zeros[i] = cotangents[i]
        alone = bench.pull([output], [cotangents[i]])
        apart = bench.first_difference(alone, bench.pull(outputs, zeros))
        if apart is not None:
            return finding(
                "contract_undefined_cotangent",
                f"with output {i} alone in use, the gradient of {apart.parameter} differs by "
                f"{apart.size:.2g} from that with zeros for the other outputs",
                parameter=apart.parameter,
                reproduce=f"torch.autograd.grad(outputs[{i}].sum(), inputs)",
                remedy="treat a grad_output of None as zeros, or leave "
                "ctx.set_materialize_grads at True",
            )
    return None


def _expanded(one: Tensor) -> Tensor:
    import torch

    return torch.full((), 0.75, dtype=one.dtype, device=one.device).expand(one.shape)


def _strided(one: Tensor) -> Tensor:
    import torch

    wide = torch.stack([one, random_like(one, (99,))], dim=-1)
    return wide[..., 0]


def _transposed(one: Tensor) -> Tensor:
    dims = list(range(one.dim()))[::-1]
    return one.permute(dims).contiguous().permute(dims)


def _sliced(one: Tensor) -> Tensor:
    import torch

    before = random_like(one.reshape(-1)[:3], (98,))
    return torch.cat([before, one.reshape(-1)])[len(before) :].reshape(one.shape)


def _layout(key: str, what: str, arrange: Callable[[Tensor], Tensor], code: str) -> Case:
    """Return the case that one layout of the cotangent gives what its contiguous copy gives."""

    def look(bench: Bench) -> Diagnosis | None:
        outputs = bench.outputs()
        arranged = [arrange(one) for one in bench.cotangents(outputs)]
        plain = [one.contiguous().clone() for one in arranged]
        apart = bench.first_difference(bench.pull(outputs, arranged), bench.pull(outputs, plain))
        if apart is None:
            return None
        return finding(
            key,
            f"{what} gives {apart.parameter} another gradient than its contiguous copy, by "
            f"{apart.size:.2g} of the largest entry",
            parameter=apart.parameter,
            reproduce=f"torch.autograd.grad(y, inputs, grad_outputs={code})",
            remedy=CONTIGUOUS,
        )

    return Case(key, what, look)


def changes_cotangent(bench: Bench) -> Diagnosis | None:
    """The cotangent belongs to autograd, which may hand it to others as well."""
    outputs = bench.outputs()
    cotangents = bench.cotangents(outputs)
    before = [one.clone() for one in cotangents]
    bench.pull(outputs, cotangents)
    for i, (one, two) in enumerate(zip(cotangents, before, strict=True)):
        if not bool((one == two).all()):
            return finding(
                "contract_changes_cotangent",
                f"the backward pass changes the cotangent of output {i} in place, which autograd "
                "may use again for another branch",
                reproduce="u = torch.randn_like(y); before = u.clone(); "
                "torch.autograd.grad(y, inputs, grad_outputs=u); (u == before).all()",
                remedy="work on grad_output.clone()",
            )
    return None


def nonlinear(bench: Bench) -> Diagnosis | None:
    """The gradient is linear in the cotangent."""
    outputs = bench.outputs()
    one, two = bench.cotangents(outputs, 1), bench.cotangents(outputs, 2)
    mixed = [2.5 * a - 1.5 * b for a, b in zip(one, two, strict=True)]
    first, second = bench.pull(outputs, one), bench.pull(outputs, two)
    expected = [
        2.5 * dense(a, read) - 1.5 * dense(b, read)
        for a, b, read in zip(first, second, bench.call.read, strict=True)
    ]
    apart = bench.first_difference(bench.pull(outputs, mixed), list(expected))
    if apart is None:
        return None
    return finding(
        "contract_nonlinear",
        f"the gradient of {apart.parameter} is not linear in the cotangent: that of 2.5 u - 1.5 v "
        f"is off by {apart.size:.2g} of the largest entry",
        parameter=apart.parameter,
        reproduce="vjp = lambda u: torch.autograd.grad(y, x, grad_outputs=u, retain_graph=True)[0]"
        "; vjp(2.5 * u - 1.5 * v) - (2.5 * vjp(u) - 1.5 * vjp(v))",
        remedy="multiply by grad_output once: no abs, sign, clamp or square of it",
    )


UNUSED_OUTPUT = Case(
    "contract_undefined_cotangent", "an output that nothing uses", undefined_cotangent
)

CASES = (
    Case("contract_zero_cotangent", "a cotangent of zeros", zero_cotangent),
    UNUSED_OUTPUT,
    _layout(
        "contract_expanded_cotangent",
        "an expanded cotangent (stride 0, as y.sum() makes it)",
        _expanded,
        "torch.tensor(0.75).expand_as(y)",
    ),
    _layout(
        "contract_strided_cotangent",
        "a non-contiguous cotangent (every other element)",
        _strided,
        "torch.randn(*y.shape, 2)[..., 0]",
    ),
    _layout(
        "contract_transposed_cotangent",
        "a transposed cotangent",
        _transposed,
        "torch.randn(*y.shape[::-1]).permute(*range(y.dim())[::-1])",
    ),
    _layout(
        "contract_sliced_cotangent",
        "a cotangent that begins in the middle of its storage",
        _sliced,
        "torch.randn(y.numel() + 3)[3:].reshape(y.shape)",
    ),
    Case("contract_changes_cotangent", "the cotangent afterwards", changes_cotangent),
    Case("contract_nonlinear", "a linear combination of cotangents", nonlinear),
)
