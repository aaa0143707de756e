"""Parameters that a function's forward pass reads from elsewhere than its inputs."""

from __future__ import annotations

from typing import Any

from gradcheck.audit.bench import Bench, finding, random_like
from gradcheck.report import Diagnosis
from gradcheck.torch_target.kinds import closed_over


def closed_over_parameter(bench: Bench, function_class: Any) -> Diagnosis | None:
    """Every parameter that ``forward`` reads is one of its inputs, else it gets no gradient."""
    import torch

    tensors: dict[str, Any] = {}
    for name, value in closed_over(function_class.forward):
        if isinstance(value, torch.nn.Module):
            tensors |= {f"{name}.{key}": one for key, one in value.named_parameters()}
        else:
            tensors[name] = value
    known = {id(one) for one in bench.call.read}
    before = [one.detach().clone() for one in bench.outputs()]
    for name, tensor in tensors.items():
        if id(tensor) in known:
            continue
        data = tensor.data
        try:
            size = 1e-2 * (1 + float(data.abs().max()))
            tensor.data = data + size * random_like(tensor, (19,))
            bench.rewind()
            after = [one.detach() for one in bench.outputs()]
        finally:
            tensor.data = data
        if any(not torch.equal(one, two) for one, two in zip(before, after, strict=True)):
            return finding(
                "contract_closed_over",
                f"forward reads the parameter {name}, which is none of its inputs: it gets no "
                "gradient, and a checker that perturbs inputs never sees it",
                parameter=name,
                reproduce=f"y = target(*inputs); torch.autograd.grad(y.sum(), {name}, "
                "allow_unused=True)  # (None,)",
                remedy=f"pass {name} to apply, and return its gradient from backward",
            )
    return None
