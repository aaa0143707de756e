"""A torch perceptron on which checkers are timed, and the checkers that take torch targets."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from benchmarks.speed_cases import Wrong, spoiled_entry


class OneEntryOff(torch.autograd.Function):
    """The identity, whose backward pass makes an entry too large."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, wrong: Wrong) -> torch.Tensor:
        """Return a copy."""
        ctx.wrong = wrong
        return x.clone()

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Return a wrong cotangent."""
        wrong = cotangent.clone()
        flat = wrong.view(-1)
        entry, factor = spoiled_entry(flat.abs().numpy(), ctx.wrong)
        flat[entry] *= factor
        return wrong, None


@dataclass
class TorchSpeedCase:
    """A loss of tensors; ``wrong`` makes an entry of the first gradient wrong."""

    loss: Callable[..., torch.Tensor]
    start: tuple[torch.Tensor, ...]
    wrong: Wrong = ""
    calls: int = 0

    def __call__(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        self.calls += 1
        if self.wrong:
            tensors = (OneEntryOff.apply(tensors[0], self.wrong), *tensors[1:])
        return self.loss(*tensors)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(one.numel() for one in self.start)


def perceptron(*widths: int) -> TorchSpeedCase:
    """Tanh layers and the cross entropy of the last, on 20 examples."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(20, widths[0], generator=draw, dtype=torch.float64)
    labels = torch.randint(widths[-1], (20,), generator=draw)
    start = []
    for inner, outer in itertools.pairwise(widths):
        weight = torch.randn(outer, inner, generator=draw, dtype=torch.float64) / inner**0.5
        start += [weight, torch.randn(outer, generator=draw, dtype=torch.float64)]

    def loss(*weights: torch.Tensor) -> torch.Tensor:
        h = x
        for k in range(0, len(weights), 2):
            h = functional.linear(h.tanh() if k else h, weights[k], weights[k + 1])
        return functional.cross_entropy(h, labels)

    return TorchSpeedCase(loss, tuple(one.requires_grad_() for one in start))


def gradcheck_default(case: TorchSpeedCase) -> str:
    """``gradcheck.check`` as it comes: forward mode, and random directions for large parameters."""
    import gradcheck

    return str(gradcheck.check(case, case.start).verdict)


def gradcheck_every_entry(case: TorchSpeedCase) -> str:
    """Every entry by central differences; no autograd, and no forward mode."""
    import gradcheck

    check = gradcheck.check(case, case.start, entries="all", oracles=("central",))
    return str(check.verdict)


def _torch(case: TorchSpeedCase, *, fast: bool) -> str:
    good = torch.autograd.gradcheck(case, case.start, fast_mode=fast, raise_exception=False)
    return "pass" if good else "fail"


def torch_slow(case: TorchSpeedCase) -> str:
    """``torch.autograd.gradcheck``."""
    return _torch(case, fast=False)


def torch_fast(case: TorchSpeedCase) -> str:
    """The same in fast mode."""
    return _torch(case, fast=True)


TORCH_CASES: dict[str, Callable[[], TorchSpeedCase]] = {
    "torch_mlp_100": lambda: perceptron(4, 10, 5),
    "torch_mlp": lambda: perceptron(12, 92, 92, 5),
    "torch_mlp_large": lambda: perceptron(60, 270, 270, 40),
}
TORCH_CHECKERS: dict[str, Callable[[TorchSpeedCase], str]] = {
    "gradcheck": gradcheck_default,
    "gradcheck, every entry": gradcheck_every_entry,
    "torch gradcheck slow": torch_slow,
    "torch gradcheck fast": torch_fast,
}
