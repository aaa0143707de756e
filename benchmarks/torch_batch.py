"""Every entry of a torch target checked: batched here, one by one in torch's own gradcheck.

    python benchmarks/torch_batch.py [--device cuda] [--hidden 92]

Prints, for each target, the seconds of both and their ratio, and whether the verdicts agree. Both
run in one process, on one thread, in turn; processor time counts, and of the repetitions the
fastest. The ratio is large where torch's overhead for each evaluation is (one example), and small
where the evaluation itself is the work (an elementwise function of every entry).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

import gradcheck


@dataclass(frozen=True)
class Target:
    """A loss of tensors that require grad, with the verdict that it deserves."""

    name: str
    loss: Callable[..., torch.Tensor]
    inputs: tuple[torch.Tensor, ...]
    right: bool

    @property
    def size(self) -> int:
        """Entries of all tensors together."""
        return sum(one.numel() for one in self.inputs)


class WrongTanh(torch.autograd.Function):
    """A tanh whose backward pass lacks the square."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor) -> torch.Tensor:
        """Return the hyperbolic tangent."""
        return x.tanh()

    @staticmethod
    def setup_context(ctx: Any, _: Any, output: torch.Tensor) -> None:
        """Keep the output."""
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> torch.Tensor:
        """Return a wrong cotangent."""
        return cotangent * (1 - ctx.saved_tensors[0])


def targets(hidden: int, device: str) -> list[Target]:
    """Return networks and an elementwise loss with some ten thousand entries each."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        drawn = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return (drawn / max(shape[-1], 1) ** 0.5).to(device).requires_grad_()

    data = draw(20, 12).detach()
    labels = torch.randint(0, 5, (20,), generator=generator).to(device)

    def network(
        activation: Callable[[torch.Tensor], torch.Tensor], rows: int
    ) -> Callable[..., torch.Tensor]:
        x, y = data[:rows], labels[:rows]

        def loss(*weights: torch.Tensor) -> torch.Tensor:
            w1, b1, w2, b2, w3, b3 = weights
            h = activation(x @ w1 + b1)
            h = activation(h @ w2 + b2)
            return torch.nn.functional.cross_entropy(h @ w3 + b3, y)

        return loss

    weights = (
        draw(12, hidden),
        draw(hidden),
        draw(hidden, hidden),
        draw(hidden),
        draw(hidden, 5),
        draw(5),
    )
    vector = draw(10_000)
    return [
        Target("net, 1 example", network(torch.tanh, 1), weights, True),
        Target("net, 1 example, wrong tanh", network(WrongTanh.apply, 1), weights, False),
        Target("net, 20 examples", network(torch.tanh, 20), weights, True),
        Target("net, 20 examples, wrong tanh", network(WrongTanh.apply, 20), weights, False),
        Target("elementwise", lambda v: (v.sin() * v.exp()).sum(), (vector,), True),
    ]


def timed(function: Callable[[Target], bool], target: Target) -> tuple[float, bool]:
    """Return the seconds that a check takes, and whether it passed."""
    if target.inputs[0].is_cuda:
        torch.cuda.synchronize()
        began = time.perf_counter()
        passed = function(target)
        torch.cuda.synchronize()
        return time.perf_counter() - began, passed
    began = time.process_time()
    passed = function(target)
    return time.process_time() - began, passed


def ours(target: Target) -> bool:
    """Check every entry by central differences."""
    check = gradcheck.check(target.loss, target.inputs, entries="all", oracles=("central",))
    return str(check.verdict) == "pass"


def theirs(target: Target) -> bool:
    """Check with torch's gradcheck in slow mode."""
    return bool(
        torch.autograd.gradcheck(target.loss, target.inputs, fast_mode=False, raise_exception=False)
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--hidden", type=int, default=92)
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'target':<30}{'entries':>8}{'torch s':>10}{'ours s':>9}{'ratio':>7}  verdicts")
    for target in targets(options.hidden, options.device):
        pairs = [(timed(ours, target), timed(theirs, target)) for _ in range(options.repetitions)]
        seconds = min(mine[0] for mine, _ in pairs)
        peer_seconds = min(peer[0] for _, peer in pairs)
        verdicts = {passed for pair in pairs for _, passed in pair}
        agree = "agree" if verdicts == {target.right} else "DISAGREE"
        print(
            f"{target.name:<30}{target.size:>8}{peer_seconds:>10.2f}{seconds:>9.2f}"
            f"{peer_seconds / seconds:>7.1f}  {agree}"
        )


if __name__ == "__main__":
    main()
