"""Tensors and a small network, with a right and a wrong backward pass, for torch targets."""

from __future__ import annotations

import torch
from torch import nn

F64 = torch.float64


def leaf(*shape, seed=0, dtype=F64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=F64).to(dtype).requires_grad_()


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        return 2 * g * ctx.saved_tensors[0]


class WrongSquare(Square):
    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0]


class Affine(nn.Module):
    """Two layers, of which the second can be given a wrong backward."""

    def __init__(self, function=Square):
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Linear(4, 3, dtype=F64)
        self.second = nn.Linear(3, 2, dtype=F64)
        self.function = function

    def forward(self, x):
        return self.second(self.function.apply(self.first(x)))

    def loss(self, x):
        return self(x).square().mean()
