"""Losses of torch tensors with some ten thousand entries each, with the verdicts they deserve.

The nets that people write: perceptrons, convolutions, recurrent ones, attention, embeddings; and
sums without any net.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

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
        return self.positions(5, count)

    def positions(self, most: int, *shape: int) -> torch.Tensor:
        """Return whole numbers below ``most``."""
        return torch.randint(0, most, shape, generator=self.generator).to(self.device)


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


def drawn_on(device: str) -> Drawn:
    """Return what draws the tensors of all losses."""
    return Drawn(torch.Generator().manual_seed(0), device)


def nets_and_sums(drawn: Drawn) -> list[Target]:
    """Return the losses of nets' weights, and sums."""
    return [*_layers(drawn), *_modules(drawn), *_sums(drawn)]


def _layers(drawn: Drawn) -> list[Target]:
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
    ]


def of_module(drawn: Drawn, name: str, net: nn.Module, loss_of: Callable[..., Any]) -> Target:
    """Return a loss of a module's weights; ``loss_of`` is given what calls it."""
    net = net.to(drawn.device, torch.float64).requires_grad_(False)
    names, given = zip(*net.named_parameters(), strict=True)
    weights = tuple((one + 0.1 * drawn.data(*one.shape)).detach().requires_grad_() for one in given)

    def loss(*tensors: torch.Tensor) -> torch.Tensor:
        own = dict(zip(names, tensors, strict=True))
        found: torch.Tensor = loss_of(lambda *x: torch.func.functional_call(net, own, x))
        return found

    return Target(name, loss, weights, True)


class Cells(nn.Module):
    """A loop over an LSTM's cell, and a linear layer of the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.last = nn.LSTMCell(20, 38), nn.Linear(38, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a score for each class and sequence."""
        h = c = x.new_zeros(x.shape[1], 38)
        for row in x:
            h, c = self.cell(row, (h, c))
        return self.last(h)  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    """A recurrent module, and a linear layer of its last output."""

    def __init__(self, net: nn.LSTM | nn.GRU | nn.RNN) -> None:
        super().__init__()
        self.net, self.last = net, nn.Linear(net.hidden_size, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a score for each class and sequence."""
        return self.last(self.net(x)[0][-1])  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention with four heads and a perceptron, each behind a layer norm, added to the input."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(24, 24) for _ in range(4))
        self.first, self.second = nn.LayerNorm(24), nn.LayerNorm(24)
        self.wide = nn.Sequential(nn.Linear(24, 144), nn.GELU(), nn.Linear(144, 24))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return as many vectors."""
        h, sizes = self.first(x), (*x.shape[:2], 4, 6)
        q, k, v = (f(h).view(sizes).transpose(1, 2) for f in (self.query, self.key, self.value))
        weights = (q @ k.transpose(-2, -1) / 6**0.5).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(x.shape))
        return x + self.wide(self.second(x))  # type: ignore[no-any-return]


class Words(nn.Module):
    """The mean of words' vectors, and a perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(200, 40)
        self.net = nn.Sequential(nn.Linear(40, 40), nn.Tanh(), nn.Linear(40, 5))

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """Return a score for each class and text."""
        return self.net(self.table(words).mean(1))  # type: ignore[no-any-return]


def normalised(norm: Callable[[int], nn.Module], activation: type[nn.Module]) -> nn.Module:
    """Return a perceptron with two hidden layers, each normalised."""
    hidden = [(nn.Linear(n, 92), norm(92), activation()) for n in (12, 92)]
    return nn.Sequential(*hidden[0], *hidden[1], nn.Linear(92, 5))


def _modules(drawn: Drawn) -> list[Target]:
    torch.manual_seed(0)
    sequences, x, y = drawn.data(6, 4, 20), drawn.data(20, 12), drawn.labels(20)
    vectors, goal = drawn.data(2, 10, 24), drawn.data(2, 10, 24)
    images, words = drawn.data(4, 1, 12, 12), drawn.positions(200, 20, 8)
    encoder = nn.TransformerEncoderLayer(
        24, 4, 144, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    filters = nn.Sequential(
        *(nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 56, 3), nn.BatchNorm2d(56), nn.ReLU(), nn.Flatten(), nn.Linear(504, 5)),
    ).eval()

    def batch_norm(width: int) -> nn.Module:
        return nn.BatchNorm1d(width, track_running_stats=False)

    def scored(name: str, net: nn.Module, given: torch.Tensor, count: int) -> Target:
        return of_module(drawn, name, net, lambda f: functional.cross_entropy(f(given), y[:count]))

    def fitted(name: str, net: nn.Module) -> Target:
        return of_module(drawn, name, net, lambda f: (f(vectors) - goal).square().mean())

    return [
        scored("LSTM cell in a loop, 6 steps of 4", Cells(), sequences, 4),
        scored("nn.LSTM, 6 steps of 4", Recurrent(nn.LSTM(20, 38)), sequences, 4),
        scored("nn.GRU, 6 steps of 4", Recurrent(nn.GRU(20, 46)), sequences, 4),
        fitted("attention and perceptron, 2 by 10", Block()),
        fitted("nn.TransformerEncoderLayer, 2 by 10", encoder),
        scored("layer norm and GELU, 20 examples", normalised(nn.LayerNorm, nn.GELU), x, 20),
        scored("batch norm and SiLU, 20 examples", normalised(batch_norm, nn.SiLU), x, 20),
        scored("convolutions, fixed batch norm, 4", filters, images, 4),
        scored("embedding, 20 texts of 8 words", Words(), words, 20),
    ]


def _sums(drawn: Drawn) -> list[Target]:
    a, b, t = drawn.data(20, 30), drawn.data(20, 33), drawn.data(20, 10)
    rows = drawn.data(8, 10, 25)

    def bilinear(w: torch.Tensor) -> torch.Tensor:
        return (torch.einsum("ni,hij,nj->nh", a, w, b).tanh() - t).square().mean()

    def experts(w: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return torch.bmm(torch.bmm(rows, w).relu(), v).square().mean()

    return [
        Target("einsum, bilinear", bilinear, drawn.weights((10, 30, 33)), True),
        Target("bmm, twice", experts, drawn.weights((8, 25, 30), (8, 30, 16)), True),
        Target("elementwise", lambda v: (v.sin() * v.exp()).sum(), drawn.weights((10_000,)), True),
    ]
