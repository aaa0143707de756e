"""Calls of PyTorch's differentiable operators, from the database that PyTorch tests itself with.

The database (``op_db`` of ``torch.testing._internal.common_methods_invocations``) lists every
operator with sample inputs: shapes, strides, broadcasts, options. It needs the package
``expecttest`` to be imported, and is no public interface of torch.
"""

from __future__ import annotations

import random
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

LARGEST = 200
"""Entries of the inputs that require gradients, up to which a sample is taken."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One call of an operator.

    Attributes:
        operator: its name, with its variant after a colon.
        number: position among the operator's samples.
        function: called with ``inputs``; applies what torch's tests apply around the operator
            (a symmetrised input, the absolute value of singular vectors).
        inputs: ``input, args, kwargs``: trees of tensors, numbers, strings and ``None``.
        repeats: difference between two backward passes that torch's own tests allow.
    """

    operator: str
    number: int
    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    repeats: float

    @property
    def name(self) -> str:
        """Operator and number, as ``--only`` takes them."""
        return f"{self.operator}/{self.number}"

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The tensors that require gradients, each once."""
        found = [leaf for leaf in _leaves(self.inputs) if _is_parameter(leaf)]
        return list({id(one): one for one in found}.values())

    @property
    def size(self) -> int:
        """Entries of these tensors together."""
        return sum(one.numel() for one in self.tensors)

    def call(self, *tensors: torch.Tensor) -> Any:
        """Call the operator with other tensors in the places of those that require gradients."""
        new = {id(old): one for old, one in zip(self.tensors, tensors, strict=True)}
        tree = torch.utils._pytree
        values, form = tree.tree_flatten(self.inputs)
        return self.function(
            *tree.tree_unflatten([new.get(id(value), value) for value in values], form)
        )


def _leaves(value: Any) -> list[Any]:
    return list(torch.utils._pytree.tree_leaves(value))


def _is_parameter(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.requires_grad


def operators(dtype: torch.dtype = torch.float64) -> list[Any]:
    """Return the operators that are differentiable in ``dtype`` on the CPU, by name."""
    from torch.testing._internal.common_methods_invocations import op_db

    found = [
        one
        for one in op_db
        if one.supports_autograd and dtype in one.supported_backward_dtypes("cpu")
    ]
    return sorted(found, key=operator_name)


def operator_name(operator: Any) -> str:
    """Return the name of an operator, with its variant after a colon."""
    variant = operator.variant_test_name
    return f"{operator.name}:{variant}" if variant else str(operator.name)


def samples(
    operator: Any,
    *,
    seed: int = 0,
    limit: int | None = None,
    dtype: torch.dtype = torch.float64,
    largest: int = LARGEST,
) -> list[Sample]:
    """Return an operator's samples with 1 to ``largest`` entries, or ``limit`` drawn from them.

    Where the operator has none so small, it gives its smallest one.
    """
    name = operator_name(operator)
    _seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawn = operator.sample_inputs("cpu", dtype, requires_grad=True)
        made = [_sample(operator, name, number, one) for number, one in enumerate(drawn)]
    made = [one for one in made if one.size > 0]
    found = [one for one in made if one.size <= largest]
    if not found and made:
        found = [min(made, key=lambda one: one.size)]
    if limit is None or len(found) <= limit:
        return found
    generator = random.Random(zlib.crc32(name.encode()) + seed)
    chosen = sorted(generator.sample(range(len(found)), limit))
    return [found[k] for k in chosen]


def _sample(operator: Any, name: str, number: int, drawn: Any) -> Sample:
    process = drawn.output_process_fn_grad

    def function(input: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        output = operator.gradcheck_wrapper(operator.op, input, *args, **kwargs)
        return output if process is None else process(output)

    inputs = (drawn.input, tuple(drawn.args), dict(drawn.kwargs))
    return Sample(name, number, function, inputs, operator.gradcheck_nondet_tol)


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


class _Tampered(torch.autograd.Function):
    """The identity, with a backward pass that scales one entry of the cotangent."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, entry: int, factor: float) -> torch.Tensor:
        """Return a copy of ``x``."""
        ctx.entry, ctx.factor = entry, factor
        return x.clone()

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """Return the cotangent with one entry wrong."""
        wrong = cotangent.clone(memory_format=torch.contiguous_format)
        wrong.view(-1)[ctx.entry] *= ctx.factor
        return wrong, None, None


FACTORS = (0.0, -1.0, 1.001, 2.0)
"""What a wrong backward pass multiplies one entry of the gradient by."""


def wrong_versions(sample: Sample, *, seed: int = 0) -> list[Sample]:
    """Return the sample with one entry of one gradient multiplied by a wrong factor.

    Tensor, entry and factor are drawn, the entry from those whose gradient is at least a tenth of
    the tensor's largest. None where every gradient is zero, or is not finite.
    """
    generator = random.Random(zlib.crc32(sample.name.encode()) + seed)
    weights = torch.Generator().manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = [one for one in _leaves(sample.call(*sample.tensors)) if _is_parameter(one)]
    real = [torch.view_as_real(one.resolve_conj()) if one.is_complex() else one for one in outputs]
    loss = sum((one * torch.randn(one.shape, generator=weights)).sum() for one in real)
    found = torch.autograd.grad(loss, sample.tensors, allow_unused=True)
    usable = [
        (k, one.abs().flatten())
        for k, one in enumerate(found)
        if one is not None and bool(one.isfinite().all()) and bool((one.abs() > 1e-6).any())
    ]
    if not usable:
        return []
    tensor, sizes = generator.choice(usable)
    entry = generator.choice((sizes >= 0.1 * sizes.max()).nonzero().flatten().tolist())
    return [_wrong(sample, tensor, entry, generator.choice(FACTORS))]


def _wrong(sample: Sample, tensor: int, entry: int, factor: float) -> Sample:
    place = next(
        k for k, leaf in enumerate(_leaves(sample.inputs)) if leaf is sample.tensors[tensor]
    )

    def function(*inputs: Any) -> Any:
        tree = torch.utils._pytree
        values, form = tree.tree_flatten(inputs)
        exact = values[place]
        wrong = _Tampered.apply(exact, entry, factor)
        values = [wrong if value is exact else value for value in values]
        return sample.function(*tree.tree_unflatten(values, form))

    return Sample(sample.operator, sample.number, function, sample.inputs, sample.repeats)


def all_samples(
    only: str = "",
    *,
    seed: int = 0,
    limit: int | None = None,
    dtype: torch.dtype = torch.float64,
    part: tuple[int, int] = (0, 1),
) -> Iterator[tuple[str, list[Sample]]]:
    """Yield each operator's name with its samples.

    ``only`` is an operator's name or ``name/number``; ``part`` is ``(i, n)`` for every n-th
    operator, beginning with number i.
    """
    wanted, slash, number = only.rpartition("/")
    wanted, number = (wanted, number) if slash and number.isdigit() else (only, "")
    chosen = [one for one in operators(dtype) if wanted in ("", operator_name(one))]
    if not chosen:
        raise SystemExit(
            f"no operator is called {wanted!r}, such as 'sin' or 'div:no_rounding_mode'"
        )
    for operator in chosen[part[0] :: part[1]]:
        if not number:
            yield operator_name(operator), samples(operator, seed=seed, limit=limit, dtype=dtype)
            continue
        found = samples(operator, seed=seed, dtype=dtype)
        yield operator_name(operator), [one for one in found if str(one.number) == number]
