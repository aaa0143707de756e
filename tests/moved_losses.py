"""Losses with single entries of a tensor moved: many together, and one at a time."""

from __future__ import annotations

from unittest import mock

import numpy as np
import torch

from gradcheck.torch_target.varied import turns
from gradcheck.torch_target.varied.carrier import carrier, varied_of
from gradcheck.torch_target.varied.tensor import Tally, Varied, unravelled

F64 = torch.float64
FEW = 1000
"""Bytes of the largest tensor of a few evaluations that are computed in turn."""


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def moved_losses(loss, tensors, number, *, most=40):
    """Return the losses with entries of one tensor moved, together and one at a time."""
    tally = Tally(most)
    flat, values = _moves(tensors[number], most)
    with torch.no_grad():
        together = _together(loss, tensors, number, flat, values, tally)
        alone = []
        for k in range(most):
            copy = tensors[number].clone()
            copy.reshape(-1)[flat[k]] = values[k]
            alone.append(float(loss(*(copy if j == number else t for j, t in enumerate(tensors)))))
    return together, np.array(alone), tally


def losses_in_turn(loss, tensors, number, *, most=40):
    """Return the same losses, of which a few are computed at a time, and when they are needed."""
    tally = Tally(most)
    tally.defers = True
    moves = _moves(tensors[number], most)
    with torch.no_grad(), mock.patch.object(turns, "IN_CACHE", FEW):
        return _together(loss, tensors, number, *moves, tally)


def _moves(tensor, most):
    generator = np.random.default_rng(1)
    drawn_places = np.sort(generator.integers(max(tensor.numel(), 1), size=most))
    flat = torch.from_numpy(drawn_places).to(tensor.device)
    moves = torch.from_numpy(generator.normal(size=most)).to(tensor)
    return flat, tensor.reshape(-1)[flat] + moves


def _together(loss, tensors, number, flat, values, tally):
    tensor = tensors[number]
    given = carrier(Varied(tensor, values, dict(enumerate(unravelled(flat, tensor.shape))), tally))
    result = loss(*(given if k == number else t for k, t in enumerate(tensors)))
    found = varied_of(result)
    if found is None:
        return np.full(tally.rows, float(result))
    return found.loosened().values.double().cpu().numpy()
