"""Losses of some ten thousand entries as other models have them, besides those of the common nets.

Graphs by their matrices, sets, triplets, experts' weights, sequences without alignment, noise that
is held, systems of equations, transforms.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.torch_losses import Drawn, Recurrent, Target, of_module


def models(drawn: Drawn) -> list[Target]:
    """Return losses of all of these kinds."""
    return [*_modules(drawn), *_compared(drawn), *_coded(drawn), *_solved(drawn)]


def _targets(drawn: Drawn, losses: list[tuple[str, Any, tuple[tuple[int, ...], ...]]]) -> Any:
    return [Target(name, loss, drawn.weights(*shapes), True) for name, loss, shapes in losses]


def _modules(drawn: Drawn) -> list[Target]:
    torch.manual_seed(0)
    sequences, vectors = drawn.data(6, 4, 20), drawn.data(10, 2, 48)
    x, y, images = drawn.data(20, 12), drawn.labels(20), drawn.data(4, 3, 8, 8)
    later = torch.ones(10, 10, dtype=torch.bool, device=x.device).triu(1)
    grouped = nn.Sequential(
        *(nn.Conv2d(3, 24, 3, padding=1), nn.GroupNorm(4, 24), nn.ReLU()),
        *(nn.Conv2d(24, 40, 3), nn.GroupNorm(4, 40), nn.ReLU(), nn.Flatten(), nn.Linear(1440, 1)),
    )
    sloped = nn.Sequential(
        *(nn.Linear(12, 90), nn.PReLU(90), nn.Linear(90, 90), nn.PReLU(), nn.Linear(90, 5))
    )

    def masked(call: Any) -> Any:
        found: torch.Tensor = call(vectors, vectors, vectors, None, False, later)[0]
        return found.square().mean()

    def labelled(call: Any) -> Any:
        return functional.cross_entropy(call(sequences), y[:4])

    return [
        of_module(drawn, "nn.RNN, 6 steps of 4", Recurrent(nn.RNN(20, 85)), labelled),
        of_module(drawn, "nn.MultiheadAttention, masked", nn.MultiheadAttention(48, 4), masked),
        of_module(drawn, "group norm, 4 pictures", grouped, lambda f: f(images).square().mean()),
        of_module(drawn, "PReLU, 20 examples", sloped, lambda f: functional.cross_entropy(f(x), y)),
    ]


def _compared(drawn: Drawn) -> list[Target]:
    x, y = drawn.data(20, 12), drawn.labels(20)
    edges = (drawn.data(30, 30) > 0.5).double()
    edges, nodes, kinds = edges / edges.sum(1, keepdim=True), drawn.data(30, 40), drawn.labels(30)
    points, sets = drawn.data(60, 10), drawn.positions(8, 60)
    anchor, near, far = (drawn.data(12, 40) for _ in range(3))

    def graph(a: Any, b: Any, c: Any) -> Any:
        return functional.cross_entropy(edges @ ((edges @ (nodes @ a)).relu() @ b) @ c, kinds)

    def deep_sets(a: Any, b: Any, c: Any) -> Any:
        each = ((points @ a).relu() @ b).relu()
        sums = each.new_zeros(8, 60).scatter_add(0, sets[:, None].expand(-1, 60), each)
        return functional.cross_entropy(sums @ c, y[:8])

    def triplets(a: Any, b: Any) -> Any:
        def placed(z: torch.Tensor) -> Any:
            return functional.normalize((z @ a).tanh() @ b, dim=1)

        return functional.triplet_margin_loss(placed(anchor), placed(near), placed(far))

    def smoothed(a: Any, b: Any, c: Any) -> Any:
        scores = ((x @ a).relu() @ b).relu() @ c
        return functional.cross_entropy(scores, y, label_smoothing=0.1)

    def divergence(a: Any, b: Any, c: Any, d: Any) -> Any:
        one, two = ((x @ v).tanh() @ w for v, w in ((a, b), (c, d)))
        return functional.kl_div(one.log_softmax(1), two.softmax(1), reduction="batchmean")

    def dropped_out(a: Any, b: Any, c: Any) -> Any:
        torch.manual_seed(7)
        h = functional.dropout((x @ a).relu(), 0.5)
        return functional.cross_entropy(functional.dropout(h @ b, 0.3).relu() @ c, y)

    net = ((12, 90), (90, 90), (90, 5))
    return _targets(  # type: ignore[no-any-return]
        drawn,
        [
            ("graph by its matrix, 30 nodes", graph, ((40, 120), (120, 40), (40, 5))),
            ("deep sets, scatter_add", deep_sets, ((10, 130), (130, 60), (60, 5))),
            ("triplets of 12", triplets, ((40, 130), (130, 36))),
            ("labels smoothed, 20 examples", smoothed, net),
            ("divergence of two nets", divergence, ((12, 160), (160, 20)) * 2),
            ("dropout with a seed", dropped_out, net),
        ],
    )


def _coded(drawn: Drawn) -> list[Target]:
    noise, images = drawn.data(20, 8), drawn.data(20, 50).sigmoid()
    sounds, words = drawn.data(12, 3, 40), drawn.positions(19, 3, 5) + 1
    pixels, digits = drawn.data(64, 784), drawn.positions(10, 64)
    cells = drawn.data(2, 1, 6, 6, 6)

    def autoencoder(a: Any, m: Any, s: Any, d: Any, o: Any) -> Any:
        h = (images @ a).relu()
        mean, log = h @ m, h @ s
        seen = ((mean + noise * (log / 2).exp()) @ d).relu() @ o
        missed = functional.binary_cross_entropy_with_logits(seen, images, reduction="sum")
        return missed - 0.5 * (1 + log - mean**2 - log.exp()).sum()

    def sequences(a: Any, b: Any) -> Any:
        scores = ((sounds @ a).tanh() @ b).log_softmax(2)
        lengths = torch.full((3,), 12), torch.full((3,), 5)
        return functional.ctc_loss(scores, words, *lengths)

    def regression(w: Any, b: Any) -> Any:
        return functional.cross_entropy(pixels @ w + b, digits)

    def in_space(w: Any, b: Any, v: Any) -> Any:
        h = functional.conv3d(functional.conv3d(cells, w, b).relu(), v)
        return h.mean((2, 3, 4)).square().sum()

    coder = ((50, 80), (80, 8), (80, 8), (8, 80), (80, 50))
    return _targets(  # type: ignore[no-any-return]
        drawn,
        [
            ("variational autoencoder", autoencoder, coder),
            ("CTC, 3 sequences of 12", sequences, ((40, 160), (160, 20))),
            ("softmax regression, 784 by 10", regression, ((784, 10), (10,))),
            ("convolutions in space", in_space, ((24, 1, 3, 3, 3), (24,), (14, 24, 3, 3, 3))),
        ],
    )


def _solved(drawn: Drawn) -> list[Target]:
    right, signal, places = drawn.data(100, 10), drawn.data(10, 100), drawn.data(300, 20)
    users, items = drawn.positions(150, 1500), drawn.positions(150, 1500)
    ratings, more = drawn.data(1500), 4 * torch.eye(10, dtype=torch.float64, device=right.device)

    def factors(u: Any, v: Any, a: Any, b: Any, m: Any) -> Any:
        found = (u[users] * v[items]).sum(1) + a[users] + b[items] + m
        sizes = u.square().sum() + v.square().sum()
        return (found - ratings).square().mean() + 0.01 * sizes

    def systems(a: Any) -> Any:
        return torch.linalg.solve(a + more, right).square().mean()

    def filters(w: Any, v: Any) -> Any:
        found = torch.fft.irfft(torch.fft.rfft(signal)[:, None] * torch.fft.rfft(w), n=100)
        return (found.tanh().mean(1) @ v).square().mean()

    def centres(c: Any) -> Any:
        return torch.cdist(places, c).logsumexp(1).mean()

    sizes = ((150, 32), (150, 32), (150,), (150,), (1,))
    return _targets(  # type: ignore[no-any-return]
        drawn,
        [
            ("factors of 1,500 ratings, biases", factors, sizes),
            ("100 systems of 10", systems, ((100, 10, 10),)),
            ("Fourier filters", filters, ((90, 100), (100, 10))),
            ("distances to 500 centres", centres, ((500, 20),)),
        ],
    )
