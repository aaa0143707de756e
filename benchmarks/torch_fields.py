"""Losses of some ten thousand entries that are no nets' weights, or weights of other nets.

Fields with differences of neighbours, entries picked by indices and masks, factors of matrices,
graphs, pictures; and what every entry moves as a whole.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from benchmarks.torch_losses import Drawn, Target


def fields(drawn: Drawn) -> list[Target]:
    """Return losses of all of these kinds."""
    return [*_neighbours(drawn), *_picked(drawn), *_nets(drawn), *_pictures(drawn), *_whole(drawn)]


def valley(v: torch.Tensor) -> torch.Tensor:
    """Return Rosenbrock's function of many variables."""
    return (100 * (v[1:] - v[:-1] ** 2) ** 2 + (1 - v[:-1]) ** 2).mean()


def total_variation(x: torch.Tensor) -> torch.Tensor:
    """Return the total variation of a picture, smooth at zero."""
    down, right = x[1:, :-1] - x[:-1, :-1], x[:-1, 1:] - x[:-1, :-1]
    return (down**2 + right**2 + 1e-3).sqrt().sum()


def flow(u: torch.Tensor) -> torch.Tensor:
    """Return by how much Burgers' equation is missed, by finite differences in time and space."""
    now, left, right = u[:-1, 1:-1], u[:-1, :-2], u[:-1, 2:]
    missed = (u[1:, 1:-1] - now) / 0.1 + now * (right - left) / 0.2
    return (missed - 10 * (right - 2 * now + left)).square().mean()


def periodic(x: torch.Tensor) -> torch.Tensor:
    """Return a field's energy, of gradients and a double well, with periodic boundaries."""
    apart = [x - x.roll(1, 0), x - x.roll(1, 1)]
    return sum((one.square().mean() for one in apart), (x**2 - 1).square().mean())


def _neighbours(drawn: Drawn) -> list[Target]:
    kernel, seen, taps = drawn.data(1, 1, 5, 5), drawn.data(100, 100), drawn.data(5) / 5

    def sharpened(x: torch.Tensor) -> torch.Tensor:
        blurred = functional.conv2d(x[None, None], kernel, padding=2)[0, 0]
        return (blurred - seen).square().mean() + x.diff(dim=0).abs().mean()

    def filtered(v: torch.Tensor) -> torch.Tensor:
        return (v.unfold(0, 5, 1) * taps).sum(1).cosh().mean()

    line, picture = (10_000,), (100, 100)
    losses: list[tuple[str, Any, tuple[int, ...]]] = [
        ("each entry and the next", valley, line),
        ("second differences", lambda v: v.diff(n=2).square().mean(), line),
        ("filter of five, unfold", filtered, line),
        ("total variation of a picture", total_variation, picture),
        ("differences in time and space", flow, picture),
        ("periodic field, roll", periodic, picture),
        ("sharpened picture, convolution", sharpened, picture),
    ]
    return [Target(name, loss, drawn.weights(shape), True) for name, loss, shape in losses]


def _picked(drawn: Drawn) -> list[Target]:
    index, along = drawn.positions(10_000, 10_000), drawn.positions(100, 100, 30)
    factor, rating = drawn.data(10_000), drawn.data(2000)
    rows, columns = drawn.positions(200, 2000), drawn.positions(200, 2000)
    known = drawn.data(100, 100) > 0.5
    table = drawn.data(100, 100)

    def factors(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return ((u[rows] * v[columns]).sum(1) - rating).square().mean()

    def completed(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return ((u @ v.T)[known] - table[known]).square().mean()

    def picked(v: torch.Tensor) -> torch.Tensor:
        return (v[index] * factor).tanh().sum()

    def chosen(x: torch.Tensor) -> torch.Tensor:
        return x.gather(1, along).exp().mean() + x.masked_select(known).square().mean()

    flat, square = (10_000,), (100, 100)
    return [
        Target("index of all", picked, drawn.weights(flat), True),
        Target("gather and masked_select", chosen, drawn.weights(square), True),
        Target("factors of 2,000 ratings", factors, drawn.weights((200, 25), (200, 25)), True),
        Target("factors of a masked matrix", completed, drawn.weights((100, 50), (100, 50)), True),
    ]


def _nets(drawn: Drawn) -> list[Target]:
    x, y, goal = drawn.data(20, 52), drawn.labels(20), drawn.data(20, 1)
    nodes, ends = drawn.data(40, 50), drawn.positions(40, 2, 160)
    bags, pairs = drawn.positions(200, 20, 8), torch.arange(50, device=x.device)

    def residual(a: Any, b: Any, c: Any, d: Any) -> torch.Tensor:
        h = x
        for w in (a, b, c):
            h = h + (h @ w).tanh()
        return functional.cross_entropy(h @ d, y)

    def mixture(w: Any, b: Any, v: Any, c: Any) -> torch.Tensor:
        share, mean, scale = (functional.linear((x[:, :12] @ w + b).tanh(), v, c)).chunk(3, 1)
        likely = share.log_softmax(1) - ((goal - mean) * (-scale).exp()).square() / 2 - scale
        return -likely.logsumexp(1).mean()

    def weight_norm(v: Any, g: Any, u: Any) -> torch.Tensor:
        w = g[:, None] * v / v.norm(dim=1, keepdim=True)
        return functional.cross_entropy((x @ w.T).tanh() @ u, y)

    def bag(table: Any, w: Any) -> torch.Tensor:
        return functional.cross_entropy(functional.embedding_bag(bags, table).tanh() @ w, y)

    def bilinear(w: Any, b: Any) -> torch.Tensor:
        return functional.bilinear(x[:, :20], x[:, 20:45], w, b).tanh().sum()

    def graph(a: Any, b: Any, c: Any) -> torch.Tensor:
        h = nodes
        for w in (a, b):
            z = h @ w
            h = (torch.zeros_like(z).index_add(0, ends[1], z[ends[0]]) + z).relu()
        return (h @ c).square().mean()

    def contrast(a: Any, b: Any) -> torch.Tensor:
        one, two = functional.normalize(a, dim=1), functional.normalize(b, dim=1)
        return functional.cross_entropy(one @ two.T * 10, pairs)

    square, last = (52, 52), (52, 5)
    losses: list[tuple[str, Any, tuple[tuple[int, ...], ...]]] = [
        ("residual, 3 layers of 52", residual, (square, square, square, last)),
        ("mixture density, 20 examples", mixture, ((12, 200), (200,), (36, 200), (36,))),
        ("weight norm, 20 examples", weight_norm, ((170, 52), (170,), (170, 5))),
        ("embedding bag, 20 of 8", bag, ((200, 48), (48, 5))),
        ("bilinear, 20 examples", bilinear, ((20, 20, 25), (20,))),
        ("graph of 40 nodes, index_add", graph, ((50, 90), (90, 60), (60, 5))),
        ("contrastive, 50 pairs", contrast, ((50, 100), (50, 100))),
    ]
    return [Target(name, loss, drawn.weights(*shapes), True) for name, loss, shapes in losses]


def _pictures(drawn: Drawn) -> list[Target]:
    lines, images, small = drawn.data(4, 8, 30), drawn.data(4, 16, 12, 12), drawn.data(2, 1, 10, 10)

    def in_lines(w: Any, b: Any, v: Any, c: Any) -> torch.Tensor:
        h = functional.gelu(functional.conv1d(lines, w, b, padding=2))
        return functional.conv1d(h, v, c, stride=2).mean(2).square().sum()

    def separable(w: Any, a: Any, v: Any, b: Any) -> torch.Tensor:
        h = functional.conv2d(functional.conv2d(images, w, groups=16, padding=1).relu(), a)
        h = functional.conv2d(functional.conv2d(h, v, groups=96, padding=1).relu(), b)
        return h.mean((2, 3)).square().sum()

    def down_and_up(w: Any, v: Any, u: Any) -> torch.Tensor:
        h = functional.conv2d(small, w, padding=1).relu()
        low = functional.conv2d(functional.avg_pool2d(h, 2), v, padding=1).relu()
        both = torch.cat([h, functional.interpolate(low, scale_factor=2.0)], 1)
        return (functional.conv2d(both, u, padding=1) - small).square().mean()

    def shuffled(w: Any, v: Any) -> torch.Tensor:
        h = functional.conv2d(functional.conv2d(small, w, padding=1).tanh(), v, padding=1)
        return functional.pixel_shuffle(h, 2).square().mean()

    pointwise = ((16, 1, 3, 3), (96, 16, 1, 1), (96, 1, 3, 3), (77, 96, 1, 1))
    losses: list[tuple[str, Any, tuple[tuple[int, ...], ...]]] = [
        ("two convolutions of lines", in_lines, ((64, 8, 5), (64,), (38, 64, 3), (38,))),
        ("separable convolutions, 4", separable, pointwise),
        (
            "down and up again, 2 pictures",
            down_and_up,
            ((20, 1, 3, 3), (48, 20, 3, 3), (1, 68, 3, 3)),
        ),
        ("pixel shuffle, 2 pictures", shuffled, ((64, 1, 3, 3), (16, 64, 3, 3))),
    ]
    return [Target(name, loss, drawn.weights(*shapes), True) for name, loss, shapes in losses]


def _whole(drawn: Drawn) -> list[Target]:
    x = drawn.data(100, 20)

    def gaussian(a: torch.Tensor) -> torch.Tensor:
        factor = torch.linalg.cholesky(a @ a.T + torch.eye(100, dtype=a.dtype, device=a.device))
        solved = torch.linalg.solve_triangular(factor, x, upper=False)
        return solved.square().mean() + factor.diagonal().log().mean()

    flat, square = (10_000,), (100, 100)
    return [
        Target("logsumexp of all", lambda v: v.logsumexp(0), drawn.weights(flat), True),
        Target("running sum of all", lambda v: v.cumsum(0).sin().mean(), drawn.weights(flat), True),
        Target("Gaussian, Cholesky of 100", gaussian, drawn.weights(square), True),
    ]
