"""Losses at many single-entry changes at once: only what changes is computed, and it is the same.

Every loss here is evaluated with entries of each parameter moved far, together and one at a time.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from gradcheck.torch_target.varied.carrier import carrier, varied_of
from gradcheck.torch_target.varied.tensor import Tally, Varied, unravelled
from tests.moved_losses import drawn, losses_in_turn, moved_losses

F64 = torch.float64


X = drawn(5, 4, seed=9)


PICTURES = drawn(2, 3, 6, 6, seed=8)


LABELS = torch.tensor([0, 2, 1, 1, 0])


MASK = torch.tensor([True, False, True, True, False])


class Cube(torch.autograd.Function):
    """A function with a backward of its own."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):
        return 3 * g * ctx.saved_tensors[0] ** 2


def attention(q, k, v):
    x = X.reshape(1, 5, 4)
    return functional.scaled_dot_product_attention(x @ q, x @ k, x @ v).square().sum()


def in_place_sum(w):
    total = X[0] @ w
    for row in X[1:]:
        total += row @ w
    return total


def convolutions(w1, b1, w2, b2):
    h = functional.conv2d(PICTURES, w1, b1, padding=1).relu()
    h = functional.max_pool2d(h, 2)
    h = functional.conv2d(h, w2, b2, stride=2)
    return h.flatten(1).logsumexp(1).mean()


MEANS, VARIANCES = drawn(3, seed=4), drawn(3, seed=6).square() + 0.5


HEADS = drawn(1, 2, 5, 4, seed=11)


LOSSES = {
    "all written into": (lambda w: (X @ w).copy_((X @ w).exp()).cumsum_(0).sum(), (drawn(4, 3),)),
    "copied from what stays": (
        lambda w: (X @ w).copy_(X[:, :3]).square().sum() + w.tanh().copy_(w).prod(),
        (drawn(4, 3),),
    ),
    "another type of number": (
        lambda w: (X @ w).tanh().to(torch.complex128).real.sum() + w.to(F64, copy=True).sum(),
        (drawn(4, 3),),
    ),
    "linear and cross entropy": (
        lambda w, b, v: functional.cross_entropy(functional.linear(X, w, b).tanh() @ v, LABELS),
        (drawn(6, 4), drawn(6), drawn(6, 3)),
    ),
    "three layers": (
        lambda a, b, c: ((X @ a).sigmoid() @ b).relu().mm(c).square().mean(),
        (drawn(4, 3), drawn(3, 5), drawn(5, 2)),
    ),
    "the matrix on the left": (lambda w, v: (w @ X.T).tanh().mv(v).sum(), (drawn(3, 4), drawn(5))),
    "rows and columns": (
        lambda w: (w - w.mean(0)).square().sum(1, keepdim=True).sqrt().sum() + w.sum(0).prod(),
        (drawn(4, 3),),
    ),
    "broadcasting": (lambda u, v: (u[:, None] * v + u.sum() * v).sin().sum(), (drawn(3), drawn(4))),
    "a single number": (lambda s, v: (s * v).exp().sum() / s, (drawn(()), drawn(4))),
    "used twice": (lambda w: (w @ w.T).tanh().sum() + (w * w.sum()).cos().mean(), (drawn(3, 4),)),
    "every entry alone": (lambda v: (v.sin() * v.exp()).sum(), (drawn(30),)),
    "shapes": (
        lambda w: (
            w.reshape(3, 8).T.reshape(4, 6).flatten().view(2, 12).permute(1, 0).unsqueeze(1).tanh()
            * drawn(12, 1, 2, seed=3)
        ).sum(),
        (drawn(6, 4),),
    ),
    "slices": (lambda w: (w[1:, 2].exp() * w[0, :2].sum() + w[..., -1][:2]).sum(), (drawn(3, 4),)),
    "indices": (lambda w: (w[LABELS] * X).sum(0).square().sum(), (drawn(3, 4),)),
    "a mask": (
        lambda w: (
            torch.where(MASK[:, None], X @ w, X.sum() * w.sum())
            .sum(1)
            .masked_fill(~MASK, 0.5)
            .sum()
        ),
        (drawn(4, 3),),
    ),
    "joined": (
        lambda a, b: (torch.cat([a, b]).cumsum(0) * torch.stack([a, a, b, b]).mean()).sum(),
        (drawn(4), drawn(4, seed=1)),
    ),
    "chosen by value": (
        lambda w: w.max(1).values.sum() + w.sort(0).values[0].sum() + w.clamp(-0.5, 0.5).sum(),
        (drawn(4, 3),),
    ),
    "normalised": (
        lambda w, g: (
            (functional.layer_norm(X @ w, (6,), g).square() * drawn(5, 6, seed=2)).sum() + w.norm()
        ),
        (drawn(4, 6), drawn(6)),
    ),
    "batch statistics": (
        lambda w, g: (functional.batch_norm(X @ w, None, None, g, training=True).exp()).sum(),
        (drawn(4, 6), drawn(6)),
    ),
    "running statistics": (
        lambda w: (
            functional.batch_norm(X @ w, torch.zeros(6, dtype=F64), torch.ones(6, dtype=F64))
            .exp()
            .sum()
        ),
        (drawn(4, 6),),
    ),
    "attention": (attention, tuple(drawn(4, 4, seed=k) for k in range(3))),
    "convolutions": (convolutions, (drawn(4, 3, 3, 3), drawn(4), drawn(2, 4, 2, 2), drawn(2))),
    "grouped convolution": (
        lambda w: functional.conv2d(PICTURES, w, groups=3).tanh().sum(),
        (drawn(6, 1, 3, 3),),
    ),
    "transposed convolution": (
        lambda w: functional.conv_transpose2d(PICTURES, w).tanh().sum(),
        (drawn(3, 2, 3, 3),),
    ),
    "pictures": (
        lambda x: functional.avg_pool2d(x, 2).flatten(1).softmax(1).square().sum(),
        (PICTURES,),
    ),
    "likelihoods": (
        lambda w: (
            functional.nll_loss((X @ w).log_softmax(1), LABELS, drawn(3).abs(), ignore_index=2)
            + functional.nll_loss((X @ w).log_softmax(1), LABELS, reduction="sum")
        ),
        (drawn(4, 3),),
    ),
    "losses": (
        lambda w: (
            functional.mse_loss(X @ w, X[:, :3])
            + functional.smooth_l1_loss(X @ w, X[:, :3])
            + functional.binary_cross_entropy_with_logits(X @ w, X[:, :3].sigmoid())
        ),
        (drawn(4, 3),),
    ),
    "a function of one's own": (lambda w: (Cube.apply(X @ w) @ w.T).sum(), (drawn(4, 3),)),
    "an embedding": (lambda w: functional.embedding(LABELS, w).tanh().sum(), (drawn(3, 4),)),
    "rows in turn": (lambda w: sum((row * row.sum()).sum() for row in w), (drawn(4, 3),)),
    "columns in turn": (
        lambda w: sum(
            (a * b).tanh().sum() for a, b in zip(w.unbind(1), w.split(1, 1), strict=True)
        ),
        (drawn(4, 3),),
    ),
    "in place": (
        lambda w: (functional.relu((X @ w).add_(0.1), inplace=True).mul_(w[0]) ** 2).sum(),
        (drawn(4, 3),),
    ),
    "added up": (lambda w: in_place_sum(w).square().sum(), (drawn(4, 3),)),
    "unit length": (lambda w: (functional.normalize(X @ w) * X[:, :3]).sum(), (drawn(4, 3),)),
    "einsum": (lambda w: torch.einsum("ni,io,no->", X, w, X[:, :3]).exp(), (drawn(4, 3),)),
    "slices with steps": (
        lambda w: (w[::2].exp() * w[1:-1, 1:].sum() + w[-1]).sum() + w[3, 1:2].tan().sum(),
        (drawn(5, 3),),
    ),
    "an empty slice": (lambda w: w[2:2].sum() + w.sum().sin(), (drawn(4, 3),)),
    "parts": (
        lambda w: sum(
            (k + 1) * one.sum(0).tanh().prod()
            for k, one in enumerate((*w.split([1, 3, 2]), *w.chunk(4), *w.tensor_split(2, 1)))
        ),
        (drawn(6, 4),),
    ),
    "parts of what is computed": (
        lambda w: sum((k + 1) * one.tanh().sum() for k, one in enumerate((X @ w).chunk(3, 1))),
        (drawn(4, 6),),
    ),
    "joined in the middle": (
        lambda a, b: (
            torch.cat([drawn(2, 3, seed=1), a, b, drawn(1, 3, seed=2)]).tanh().prod(1).sum()
            + torch.cat([drawn(2, 2, seed=3), a], 1).cos().sum()
        ),
        (drawn(2, 3), drawn(4, 3, seed=5)),
    ),
    "joined with itself": (
        lambda w: torch.cat([w, w.sin()], 1).prod(1).sum() + torch.stack([w, X[:4, :3]], -1).std(),
        (drawn(4, 3),),
    ),
    "joined columns": (
        lambda w: torch.cat([(X @ w).tanh(), X @ w, X], 1).prod(1).sum(),
        (drawn(4, 3),),
    ),
    "stacked": (
        lambda w: torch.stack([row * k for k, row in enumerate(w)], 1).tanh().prod(0).sum(),
        (drawn(4, 3),),
    ),
    "expanded": (
        lambda u, w: (
            (u[:, None].expand(3, 4).reshape(-1).cumsum(0) * u.expand(4, 3).T.flatten()).sum()
            + (w.mean(0, keepdim=True).expand(4, -1) * w).tanh().sum()
        ),
        (drawn(3), drawn(4, 3)),
    ),
    "words": (
        lambda w: (
            functional.embedding(torch.tensor([[0, 2, 2], [1, 0, 3]]), w, padding_idx=1)
            .mean(1)
            .tanh()
            .mm(drawn(4, 3, seed=1))
            .square()
            .sum()
        ),
        (drawn(6, 4),),
    ),
    "picked": (
        lambda w: (
            w[[0, -1, 2, 0]].tanh().prod(1).sum()
            + w[:, torch.tensor([[2, 1], [0, 0]])].cos().sum()
            + w.index_select(1, torch.tensor([2, 2])).prod(1).sum()
            + (X @ w).T[torch.tensor([1, 1])].exp().sum()
        ),
        (drawn(4, 3),),
    ),
    "picked by masks and pairs": (
        lambda w: w[MASK[:4]].prod(1).sum() + w[[0, 1], [2, 2]].prod() + w[0][torch.tensor(1)],
        (drawn(4, 3),),
    ),
    "heads": (
        lambda q, k: (
            (
                (
                    (X @ q).view(5, 3, 2).transpose(0, 1) @ (X @ k).view(5, 3, 2).permute(1, 2, 0)
                ).softmax(-1)
                @ X
            )
            .square()
            .transpose(0, 1)
            .reshape(5, 12)
            .tanh()
            .sum()
        ),
        (drawn(4, 6), drawn(4, 6, seed=2)),
    ),
    "stacks of matrices": (
        lambda a, b: (
            (torch.bmm(torch.bmm(a, b).tanh(), b.transpose(1, 2)) @ a.mT).square().sum()
            + torch.baddbmm(a @ b, a, b).cos().sum()
            + (a[:, 0] @ b[1]).sin().sum()
        ),
        (drawn(2, 3, 4), drawn(2, 4, 3, seed=1)),
    ),
    "a stack of stacks": (
        lambda w: (w.tanh() @ drawn(2, 2, 4, 5, seed=1)).exp().sum() + (w @ w.mT).tanh().sum(),
        (drawn(2, 2, 3, 4),),
    ),
    "bilinear": (
        lambda w: torch.einsum("ni,hij,nj->nh", X, w, X[:, :3]).tanh().square().sum(),
        (drawn(2, 4, 3),),
    ),
    "the same weights again": (
        lambda w, b: (
            functional.linear(
                functional.linear(functional.linear(X, w, b).tanh(), w, b).tanh(), w, b
            )
            .square()
            .sum()
            + (w @ (X @ w).tanh().T).sin().sum()
            + ((X @ w).tanh() @ w[:, :1]).sum()
            + ((X @ w.sum(0, keepdim=True).expand(4, 4)).tanh() @ w.sum(1)).sum()
        ),
        (drawn(4, 4), drawn(4)),
    ),
    "layers normalised": (
        lambda w, g, b: (
            (functional.layer_norm((X @ w).tanh(), (6,), g, b).cos() @ w.T).sum()
            + functional.layer_norm(w.view(2, 2, 6), (2, 6)).cos().sum()
        ),
        (drawn(4, 6), drawn(6, seed=1), drawn(6, seed=2)),
    ),
    "channels normalised": (
        lambda x, g, b: (
            functional.batch_norm(x, MEANS, VARIANCES, g, b).tanh().sum()
            + functional.batch_norm(x * g[:, None, None], None, None, g, b, True).tanh().sum()
            + functional.batch_norm(x.flatten(2), None, None, None, None, True).exp().sum()
        ),
        (drawn(2, 3, 4, 4), drawn(3, seed=1), drawn(3, seed=2)),
    ),
    "attention that looks back": (
        lambda q, k, v: (
            (
                functional.scaled_dot_product_attention(
                    HEADS @ q, HEADS @ k, HEADS @ v, is_causal=True, scale=0.3
                )
                + functional.scaled_dot_product_attention(
                    HEADS @ q, HEADS @ k, HEADS @ v, attn_mask=drawn(5, 5, seed=7)
                )
            )
            .cos()
            .sum()
        ),
        tuple(drawn(4, 4, seed=k) for k in range(3)),
    ),
    "not reached": (lambda w: X.sum() + 0 * X[0, 0], (drawn(3),)),
    "other precisions": (lambda w: (X.float() @ w.float()).double().sum(), (drawn(4, 3),)),
}


def with_this_torch(names):
    """Older versions have another kernel of attention, which is left to calls one by one."""
    known = hasattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu")
    skip = pytest.mark.skipif(not known, reason="needs the kernel of attention of torch 2.3")
    return [
        pytest.param(
            name, marks=[skip] if "attention that" in name or name == "transformer" else []
        )
        for name in names
    ]


@pytest.mark.parametrize("name", with_this_torch(LOSSES))
def test_losses_together_are_those_of_plain_calls(name):
    assert_as_in_plain_calls(name, *LOSSES[name])


def assert_as_in_plain_calls(name, loss, tensors):
    for number in range(len(tensors)):
        together, alone, _ = moved_losses(loss, tensors, number)
        in_turn = losses_in_turn(loss, tensors, number)
        rounding = 1e-4 if name == "other precisions" else 1e-11
        np.testing.assert_allclose(together, alone, rtol=rounding, atol=rounding)
        np.testing.assert_allclose(in_turn, alone, rtol=rounding, atol=rounding)


@pytest.mark.parametrize(
    "name",
    [
        *("every entry alone", "rows and columns", "broadcasting"),
        *("slices with steps", "parts", "joined in the middle", "joined with itself"),
    ],
)
def test_a_loss_does_not_depend_on_how_many_are_evaluated_together(name):
    loss, tensors = LOSSES[name]
    tensor = tensors[0]
    places = dict(enumerate(unravelled(torch.arange(7) % tensor.numel(), tensor.shape)))
    values = drawn(7)
    with torch.no_grad():

        def losses(at):
            chosen = {d: where[at] for d, where in places.items()}
            varied = Varied(tensor, values[at], chosen, Tally(len(values[at])))
            return varied_of(loss(carrier(varied), *tensors[1:])).loosened().values

        together = losses(slice(0, 7))
        parts = torch.cat([losses(slice(0, 2)), losses(slice(2, 3)), losses(slice(3, 7))])
    assert torch.equal(together, parts)


def test_a_value_without_its_history_changes_all_the_same():
    """What ``.data`` and ``detach`` give is the tensor of each evaluation."""
    for loss in (lambda w: (w * w.data).sum(), lambda w: (w * w.detach()).sum()):
        together, alone, _ = moved_losses(loss, (drawn(4, 3),), 0)
        np.testing.assert_allclose(together, alone, rtol=1e-12)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["three layers", "broadcasting", "used twice", "rows and columns"])
def test_losses_together_are_those_of_plain_calls_on_a_cuda_device(name, monkeypatch):
    loss, tensors = LOSSES[name]
    monkeypatch.setitem(globals(), "X", X.cuda())
    for number in range(len(tensors)):
        together, alone, _ = moved_losses(loss, tuple(one.cuda() for one in tensors), number)
        np.testing.assert_allclose(together, alone, rtol=1e-10, atol=1e-10)
