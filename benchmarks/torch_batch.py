"""Every entry of a torch target checked: batched here, one by one in torch's own gradcheck.

    python benchmarks/torch_batch.py [--device cuda] [--only WORDS]

Prints, for each loss of some ten thousand entries, the seconds of both and their ratio, and stops
if a verdict is not the one that the gradient deserves. Both run in one process, on one thread, in
turn; processor time counts (wall-clock time on a GPU), and of the repetitions the fastest.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import gradcheck
from benchmarks.timing import table

Activation = Callable[[torch.Tensor], torch.Tensor]
Loss = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class Target:
    """A loss of tensors that require grad, with the verdict that it deserves."""

    name: str
    loss: Loss
    inputs: tuple[torch.Tensor, ...]
    right: bool

    @property
    def size(self) -> int:
        """Entries of all tensors together."""
        return sum(one.numel() for one in self.inputs)


class RightTanh(torch.autograd.Function):
    """A tanh with a backward pass of its own."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        """Return the hyperbolic tangent, and keep it."""
        output = x.tanh()
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> torch.Tensor:
        """Return the cotangent of the input."""
        return cotangent * (1 - ctx.saved_tensors[0] ** 2)


class WrongTanh(RightTanh):
    """One whose backward pass lacks the square."""

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> torch.Tensor:
        """Return a wrong cotangent."""
        return cotangent * (1 - ctx.saved_tensors[0])


@dataclass(frozen=True)
class Drawn:
    """Random tensors on a device, always the same ones."""

    generator: torch.Generator
    device: str

    def data(self, *shape: int) -> torch.Tensor:
        """Return standard normal numbers."""
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64).to(self.device)

    def weights(self, *shapes: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
        """Return tensors that require grad, scaled by what is summed over."""
        drawn = (self.data(*shape) / max(1, shape[1:].numel()) ** 0.5 for shape in _sizes(shapes))
        return tuple(one.requires_grad_() for one in drawn)

    def labels(self, count: int) -> torch.Tensor:
        """Return one of five classes for each example."""
        return torch.randint(0, 5, (count,), generator=self.generator).to(self.device)


def _sizes(shapes: tuple[tuple[int, ...], ...]) -> list[torch.Size]:
    return [torch.Size(shape) for shape in shapes]


def perceptron(drawn: Drawn, widths: tuple[int, ...], count: int, activation: Activation) -> Target:
    """Return linear layers with an activation between them, and the cross entropy of the last."""
    x, y = drawn.data(count, widths[0]), drawn.labels(count)
    shapes = [shape for a, b in itertools.pairwise(widths) for shape in ((b, a), (b,))]

    def loss(*weights: torch.Tensor) -> torch.Tensor:
        h = x
        for k in range(0, len(weights), 2):
            h = functional.linear(activation(h) if k else h, weights[k], weights[k + 1])
        return functional.cross_entropy(h, y)

    inner = "-".join(str(width) for width in widths)
    name = {WrongTanh.apply: "wrong tanh", RightTanh.apply: "own tanh"}
    words = name.get(activation, activation.__name__)
    title = f"{inner} {words}, {count} example{'s' if count > 1 else ''}"
    return Target(title, loss, drawn.weights(*shapes), activation != WrongTanh.apply)


def pictures(drawn: Drawn, count: int, activation: Activation) -> Target:
    """Return two convolutions with pooling, and a linear layer, on pictures of 12 by 12."""
    x, y = drawn.data(count, 1, 12, 12), drawn.labels(count)

    def loss(*weights: torch.Tensor) -> torch.Tensor:
        w1, b1, w2, b2, w3, b3 = weights
        h = functional.max_pool2d(activation(functional.conv2d(x, w1, b1)), 2)
        h = activation(functional.conv2d(h, w2, b2))
        return functional.cross_entropy(functional.linear(h.flatten(1), w3, b3), y)

    weights = drawn.weights((16, 1, 3, 3), (16,), (56, 16, 3, 3), (56,), (5, 504), (5,))
    right = activation != WrongTanh.apply
    words = torch.tanh.__name__ if right else "wrong tanh"
    return Target(f"two convolutions {words}, {count} pictures", loss, weights, right)


def targets(device: str) -> list[Target]:
    """Return networks and an elementwise loss with some ten thousand entries each."""
    drawn = Drawn(torch.Generator().manual_seed(0), device)
    wide, deep = (12, 92, 92, 5), (20, 52, 52, 52, 52, 5)
    return [
        perceptron(drawn, wide, 1, torch.tanh),
        perceptron(drawn, wide, 20, torch.tanh),
        perceptron(drawn, wide, 20, torch.relu),
        perceptron(drawn, wide, 64, torch.tanh),
        perceptron(drawn, (60, 150, 5), 32, torch.relu),
        perceptron(drawn, deep, 20, torch.tanh),
        perceptron(drawn, wide, 20, RightTanh.apply),
        perceptron(drawn, wide, 20, WrongTanh.apply),
        pictures(drawn, 4, torch.tanh),
        pictures(drawn, 4, WrongTanh.apply),
        Target("elementwise", lambda v: (v.sin() * v.exp()).sum(), drawn.weights((10_000,)), True),
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
    parser.add_argument("--only", default="", help="leave out losses without these words")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    ours(targets(options.device)[0])  # imports and first calls are not what is timed
    for target in targets(options.device):
        if options.only not in target.name:
            continue
        pairs = [(timed(ours, target), timed(theirs, target)) for _ in range(options.repetitions)]
        seconds = min(mine[0] for mine, _ in pairs)
        peer_seconds = min(peer[0] for _, peer in pairs)
        verdicts = {passed for pair in pairs for _, passed in pair}
        if verdicts != {target.right}:
            raise SystemExit(f"{target.name}: a verdict is wrong")
        ratio = f"{peer_seconds / seconds:.1f}"
        verdict = "pass" if target.right else "fail"
        print(f"{target.name}: {ratio}", file=sys.stderr, flush=True)
        rows.append(
            [
                *(target.name, f"{target.size:,}", f"{peer_seconds:.2f} s", f"{seconds:.2f} s"),
                *(ratio, verdict),
            ]
        )
    head = ("loss", "entries", "torch, slow mode", "gradcheck", "times as fast", "both say")
    print(table(head, rows))


if __name__ == "__main__":
    main()
