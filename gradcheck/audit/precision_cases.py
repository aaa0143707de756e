"""The same code in lower precision: it may round, and do no more than that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gradcheck.audit.bench import Bench, NotTriedError, dense, finding, relative_difference
from gradcheck.report import Diagnosis
from gradcheck.torch_target.outputs import as_real

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ALLOWED = {"float32": 1e-3, "bfloat16": 0.1, "float16": 0.05}
"""Difference from float64, relative to the largest entry, that passes for rounding."""
SAFETY = 10.0


def low_precision(make: Callable[[torch.dtype | None], Bench], name: str) -> Diagnosis | None:
    """Compare the gradient in the precision called ``name`` with that in float64.

    ``make`` returns a bench with all floating-point tensors rounded to a dtype, kept in float64
    for None.
    """
    import torch

    dtype: torch.dtype = getattr(torch, name)
    low = make(dtype)
    found = [None if one is None else one.detach().clone() for one in low.gradient()]
    returned = [as_real(one.detach()).double() for one in low.outputs()]
    draws = low.draws()
    exact = make(None)
    # The same numbers in float64: rounding the inputs is no fault of the target.
    exact.adopt(low.start)
    outputs = exact.outputs()
    if not _alike(returned, outputs, ALLOWED[name]):
        why = "what it draws is" if draws else "its outputs are, by more than rounding,"
        raise NotTriedError(f"{why} not what they are in float64")
    precise = exact.pull(outputs, exact.cotangents(outputs))
    eps = float(torch.finfo(dtype).eps)
    exact.move([one.detach().clone() for one in exact.call.read], eps)
    beside = exact.pull(outputs := exact.outputs(), exact.cotangents(outputs))
    for label, a, b, c, read in zip(
        exact.names, found, precise, beside, exact.call.read, strict=True
    ):
        reference = as_real(dense(b, read))
        apart = relative_difference(as_real(dense(a, read)).double(), reference)
        condition = relative_difference(as_real(dense(c, read)), reference)
        if not apart <= max(ALLOWED[name], SAFETY * condition):
            return finding(
                f"contract_{name}",
                f"in {name} the gradient of {label} is off by {apart:.2g} of its largest entry "
                "from the same in float64, where rounding explains "
                f"{max(eps, condition):.1g}",
                parameter=label,
                evidence={"relative_difference": apart},
                reproduce=f"the same with inputs.to(torch.{name})",
                remedy="accumulate sums in float32 or wider, and scale before exp and square",
            )
    return None


def _alike(one: Sequence[Tensor], two: Sequence[Tensor], allowed: float) -> bool:
    return all(
        relative_difference(a, as_real(b.detach())) <= allowed
        for a, b in zip(one, two, strict=True)
    )
