"""Losses with single entries of a tensor moved: many together, and one at a time."""

from __future__ import annotations

import numpy as np
import torch

from gradcheck.torch_target.varied.carrier import carrier, varied_of
from gradcheck.torch_target.varied.tensor import Tally, Varied, unravelled

F64 = torch.float64


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def moved_losses(loss, tensors, number, *, most=40):
    """Return the losses with entries of one tensor moved, together and one at a time."""
    tensor = tensors[number]
    generator = np.random.default_rng(1)
    drawn_places = np.sort(generator.integers(max(tensor.numel(), 1), size=most))
    flat = torch.from_numpy(drawn_places).to(tensor.device)
    moves = torch.from_numpy(generator.normal(size=most)).to(tensor)
    values = tensor.reshape(-1)[flat] + moves
    places = dict(enumerate(unravelled(flat, tensor.shape)))
    varied = Varied(tensor, values, places, Tally(most))
    with torch.no_grad():
        result = loss(*(carrier(varied) if k == number else t for k, t in enumerate(tensors)))
        found = varied_of(result)
        together = (
            found.loosened().values if found else torch.full((most,), float(result), dtype=F64)
        )
        alone = []
        for k in range(most):
            copy = tensor.clone()
            copy.reshape(-1)[flat[k]] = values[k]
            alone.append(float(loss(*(copy if j == number else t for j, t in enumerate(tensors)))))
    return together.double().cpu().numpy(), np.array(alone), varied.tally
